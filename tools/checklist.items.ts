/**
 * The checklist for River's protocol: what a client at home in River's tables must do, an item a number.
 *
 * The texts are short reminders. What is marked says what is done in place of it, or why it cannot be asked of a client
 * that stands for no election, inserts nothing, and has one kind of worker.
 */

export interface Item {
  readonly says: string
  /** What of it is left out, though the rest is shown. */
  readonly note?: string
  /** What is done in its place, and why. */
  readonly overridden?: string
  /** Why it has no meaning here. */
  readonly notApplicable?: string
}

const item = (says: string, note?: string): Item => (note === undefined ? { says } : { says, note })
const overridden = (says: string, overridden: string): Item => ({ says, overridden })
const notApplicable = (says: string, notApplicable: string): Item => ({ says, notApplicable })

const noElection = "no client of ours stands for election"
const noInserts = "the engine inserts no jobs: SQL and River's own clients do"
const noControls = "it controls no jobs and queues: River UI, River's clients and SQL do"
const noEvents = "the engine has no events to subscribe to"

export const items: Readonly<Record<number, Item>> = {
  // A. Schema and start
  1: item("Works on versions 6, 7 and 8 and on Civic OS's tables, with no DDL and `river_migration` untouched"),
  2: item("Every name carries its schema, so an empty search path will do"),
  3: item("Needs none of the tables that some versions lack"),
  4: item("A schema's name keeps its capitals; one that is too long or of other characters is refused"),
  5: item(
    "A start with slots, poll or cooldown out of range, or a poll below the cooldown, is refused",
    "a start without a queue or a worker cannot be asked for: both are always there. Slots go to 1,000"
  ),
  6: overridden(
    "The start fails when the database or the listening session is not to be had",
    "both are waited for, with a line in the log; who starts before its database needs no second start"
  ),
  7: item("Ids beyond 2⁵³ are exact in claims, results, cancels and logs"),
  8: item(
    "The default client id tells host and start and never comes twice; a configured one has 100 characters at most"
  ),
  9: item("A role that owns no table can work", "nothing is reindexed, so nothing can fail to be"),

  // B. Queues
  10: item("A queue has its row within a second of the start"),
  11: item("A queue's row that is there already keeps its pause and metadata"),
  12: item("The row's sign of life comes every 10 minutes, also in a pause, and brings back a deleted row"),
  13: item("Who starts in a pause claims nothing until it ends"),
  14: item("A pause, notified, ends claiming within a second; what runs goes on"),
  15: item("A resume, notified, starts claiming within a second"),
  16: item("Pause and resume of `*` mean every queue", `River's reach us; none go the other way: ${noControls}`),
  17: item("Each actual pause and resume is told once", `a line in the log: ${noEvents}`),
  18: item("Without notifications, pause and resume are seen within 3 s"),
  19: notApplicable("Its own pause writes and notifies as River's does", noControls),
  20: item("Messages to others, of unknown actions and without JSON do no harm"),
  21: item("A pause while the listening session was away holds within 5 s of its return"),

  // C. Claims
  22: item("A claim writes four columns, by the database's clock, and no other"),
  23: item("Jobs are taken by priority, then due time, then id"),
  24: item("What is due in the future stays, also when it is `available`"),
  25: item("Other states and queues stay, to the letter of the queue's name"),
  26: item("Two clients share thousands of jobs, and each job has one attempt"),
  27: item("Locked jobs are gone past, not waited for"),
  28: item("There are never more attempts at once than slots"),
  29: overridden(
    "A backlog drains without polls in between, with one claim in a cooldown",
    "while claims come back full the next one follows at once: the cooldown is there for chatter, not for a backlog"
  ),
  30: item("A job that nobody tells of is claimed within a poll interval"),
  31: item("Polls come at their interval and up to a tenth later, at random"),
  32: item("A burst of notifications costs two claims at most"),
  33: item("`attempted_by` keeps its last hundred entries, the newest last"),
  34: item("Null `attempted_by` and `errors` and args of any JSON are fine"),
  35: item("A row that cannot be decoded fails alone, in River's words, and keeps the errors it has"),
  36: item("Old error entries may be odd, and are never rewritten"),
  37: item("A request's row becomes one job, completed at its first attempt within 2 s"),
  38: item("A claim that is under way at a stop leaves no job stranded"),

  // D. Notifications
  39: item("One session of its own listens for inserts and for control", `not for leadership: ${noElection}`),
  40: item("A notified insert is claimed within a second by a client that hardly polls"),
  41: notApplicable("Jobs that it inserts wake River's clients", noInserts),
  42: notApplicable("Inserts are notified once a queue and call, and not more often than the cooldown", noInserts),
  43: notApplicable("An insert's notification belongs to its transaction", noInserts),
  44: item("No outcome of an attempt, no rescue and no give-back is notified"),
  45: notApplicable("What it notifies has River's members and no others", "the engine sends no notifications"),
  46: item("Payloads are JSON, of any spacing and order"),
  47: item("After its sessions were killed it connects and listens again, and no running job is lost"),
  48: item("Everything holds without notifications, too"),
  49: item("A listening session that went silent is noticed and replaced"),

  // E. Results
  50: item("Success changes `state` and `finalized_at`, nothing else"),
  51: item("A thousand results at once take few statements"),
  52: item("A single result is written at once"),
  53: item("What fails once for a passing reason is tried again and costs no attempt"),
  54: item("A minute without a database costs no result and no attempt"),
  55: item("Somebody's lock on a row only delays"),
  56: overridden(
    "Who ends a running job from outside has the last word, but recorded metadata is still merged",
    "a result that comes too late is dropped whole: what it recorded belongs to an attempt that does not count"
  ),
  57: item("A job that was deleted meanwhile harms no other of its batch"),
  58: item("Recorded metadata is merged key by key, and River's own keys are refused"),
  59: item("It is merged whatever the outcome"),
  60: item("A requested cancel turns a wait for the next attempt into `cancelled`"),
  61: item("So it does with a short wait, a short snooze and a give-back"),
  62: item("A late result never ends a newer attempt"),
  63: notApplicable(
    "A worker can complete its job in a transaction of its own",
    "a worker writes nothing: what it returns and the job's end are one statement"
  ),

  // F. Failures
  64: item("A failure's entry has River's four members and the time of the attempt's start"),
  65: item("River's programs and ours read one another's entries without loss"),
  66: item("After the first failure a job is `available`, due in about 1 s, and nobody is notified"),
  67: item("After the second it is `retryable`, due in about 16 s"),
  68: item("The wait goes by stored errors, not by attempts"),
  69: item("From 310 errors on it is the longest that River can express"),
  70: item("A failure of the last attempt discards, and `scheduled_at` stays"),
  71: notApplicable(
    "A worker may name the time of the next attempt",
    "a worker names none: it snoozes, or the curve counts"
  ),
  72: overridden(
    "A job of an unknown kind is claimed and fails",
    "only known kinds are claimed, as with River's own switch for that: the others are somebody else's"
  ),
  73: overridden(
    "Args that cannot be decoded are a failure like any other",
    "they end the job at once, `discarded`: 25 attempts would not change them, and somebody waits for the answer"
  ),
  74: item("A fault in a worker leaves its stack in the entry, and work goes on"),
  75: overridden(
    "An attempt has 60 s; it is then interrupted and fails, or completes when it succeeds all the same",
    "an upload request has 5 s, because its user waits; and who was interrupted has failed, whatever comes of it later"
  ),
  76: item("A worker's own timeout counts, and it may have none"),
  77: notApplicable(
    "An error handler is asked once after each failure",
    "there is no handler: the rows and the log tell"
  ),
  78: item("Attempts of River's clients and of ours make one history"),

  // G. Cancel and snooze
  79: item("River's cancel interrupts a running job within a second, and it ends `cancelled` in River's words"),
  80: notApplicable("Its own cancel stops a job on River's client", noControls),
  81: item(
    "A worker that succeeds in spite of a cancel has completed",
    "when it succeeds before it is interrupted; afterwards it cannot, as Effect knows no success of what was interrupted"
  ),
  82: item("One that answers the cancel with a snooze is cancelled"),
  83: item(
    "A job that does not run is cancelled by who asks for it, and not worked",
    `it cancels none itself: ${noControls}`
  ),
  84: item("A cancel between a job's claim and its start counts"),
  85: item("A cancel meets the current attempt of a job that was put off and claimed again"),
  86: item("A cancel of a job that is not running here, or of another queue, does nothing"),
  87: item("A worker's own cancel ends the job in River's words, whatever attempts remain"),
  88: item("A snooze gives the attempt back, counts itself, and waits in the right state"),
  89: item("Snoozes use up no attempts, and are counted on from any value"),
  90: item("A cancel left over from before a retry turns a failure into `cancelled`, not a success"),

  // H. Stop
  91: item("Running jobs may finish and are written before the end"),
  92: item("What is interrupted goes back, attempt uncounted; what fails while it is, has failed"),
  93: item("What was given back can be claimed by anybody at once"),
  94: item("The soft stop's end is when that begins"),
  95: notApplicable("A stop gives up the leadership at once", noElection),
  96: item("No connection is left behind, and a second start works"),
  97: item("A killed client's job is rescued by River or by ours, and completes at its second attempt"),

  // I. Leadership
  98: item("There is one leader, by a lease of 15 s", `it is a client of River's: ${noElection}`),
  99: notApplicable("The lease is renewed every 5 s", noElection),
  100: notApplicable("A leader that stops is followed within a second", noElection),
  101: notApplicable("A leader that was killed is followed when its lease is over", noElection),
  102: notApplicable("A request to resign ends a term", noElection),
  103: notApplicable("A term of another start is nobody's", noElection),
  104: notApplicable("Renewing waits for no maintenance", noElection),
  105: notApplicable("Who cannot renew stops leading", noElection),
  106: item(
    "Who does not stand for election is never in the leader's table, and works jobs all the same",
    "the chores need no leadership, see 116"
  ),

  // J. Maintenance
  107: item("What waits for its time becomes available when it comes, `scheduled_at` unchanged"),
  108: item("Who listens for a queue is told when a due job becomes available"),
  109: item("Unique jobs whose key is taken are discarded instead, with River's mark"),
  110: item(
    "Jobs that run for too long are rescued as River does it",
    "after their kind's timeout and 5 s when a client of ours had them, and `available` again at once"
  ),
  111: item("A job that ended or was claimed anew meanwhile is not rescued"),
  112: item("Ten thousand running jobs that are none of its business do not hide the one that is"),
  113: item("A lost job that was to be cancelled is cancelled"),
  114: item("Ended jobs are deleted after River's retention, and no others"),
  115: notApplicable(
    "Queues without a sign of life are deleted after a day",
    "that is the leader's; none of ours leads"
  ),
  116: overridden(
    "While somebody else leads, no maintenance is done",
    "each replica does the chores for its own kinds in its own queue, whoever leads: beside a leader they are harmless"
  ),

  // K. Inserting
  117: notApplicable("A row that it inserts is River's, column for column", noInserts),
  118: notApplicable("Unique keys and masks are River's to the byte", noInserts),
  119: notApplicable("Two that insert one unique job get one row", noInserts),

  // L. Operations and telemetry
  120: item(
    "Retry, delete and cancel do in every state what River's do",
    `River's client does them to our jobs; ${noControls}`
  ),
  121: item(
    "River UI shows its queue, its running jobs and their attempts, and acts on them",
    "the rows that River UI shows, and the statements that it runs; not River UI itself"
  ),
  122: notApplicable("Logs of attempts are kept in the job's metadata", "logs go to standard output and say which job"),
  123: item(
    "Spans and metrics have otelriver's names, and a job's span links to who inserted it",
    "spans; there are no metrics yet"
  ),
  124: item("Processes are replaced under load, River's and ours, and each job completes once"),

  // M. From newer versions
  125: notApplicable("Its own retry removes the mark of a cancel and nothing else", noControls),
  126: item("A cancel that was not heard of is found by asking, within 3 s where nothing is heard at all"),
  127: item("A pause or resume that was not heard of is found by asking, and each change is told once"),
  128: item("That question is about running jobs only, and its answer meets no newer attempt"),
  129: item("A cancel that was on the row at the claim interrupts nothing; a new one does"),
  130: item("A result whose job was moved or rescued while it waited for the row's lock is none, and harms no other"),
  131: item(
    "Jobs of unknown kinds use up no claim; without a kind nothing is claimed",
    "a worker has one kind and no aliases"
  ),
  132: notApplicable("Periods of unique keys go by the due time, in UTC", noInserts),
  133: notApplicable("Unique keys take any names of args", noInserts),
  134: notApplicable("A duplicate leaves the row that was there as it is", noInserts),
  135: notApplicable("A leader that cannot do its maintenance resigns", noElection),
  136: notApplicable("A leader that stops at once does no maintenance", noElection),
  137: item("Where a resumable job of River's stands survives an attempt here"),
  138: item("Error entries suit the strictest reader"),
  139: item("A snooze of negative length is a failure"),
  140: item(
    "What runs in a caller's transaction begins and ends none, and is undone with it",
    "the function that requests an upload; the engine's own statements run in nobody's transaction"
  ),
  141: item(
    "Jobs that no worker sees have no span; a cancelled or interrupted attempt is an error, and no cancel of its own",
    `there are no metrics yet, and no spans of inserts: ${noInserts}`
  ),
  142: item(
    "River UI shows jobs that were given back or put off briefly, and its retry of a cancelled job lets it complete",
    "the rows that River UI reads and its retry's statement; not River UI itself"
  )
}
