/**
 * What a client of ours may write to a job: River's transitions, and a result only for the claim that it is of.
 */
import * as Duration from "effect/Duration"
import { claimText, timeout } from "./Attempts.ts"
import { cancelling, equal, errors, final, millis, rescues, untouched } from "./Facts.ts"
import type { Event, Fault, JobEvent, JobFacts } from "./Recorder.ts"

/** How long a claim stands before it may be given up, in milliseconds: one of our clients', and anybody else's. */
const stuckAfter = { ours: Duration.toMillis(timeout) + 5000, others: 3_600_000 }

interface Change {
  readonly before: JobFacts
  readonly after: JobFacts
  /** The transaction's `now()`, and the id of the client that wrote. */
  readonly now: string
  readonly client: string
  /** The claim that the job runs for, as results name it. */
  readonly claim: string | undefined
}

/** A sentence of what must hold, and whether it does. */
type Rule = readonly [says: string, holds: boolean]

/** What is wrong with writes of ours to jobs: the sentences that do not hold. */
export const faults = (events: ReadonlyArray<Event>, ids: ReadonlyMap<string, string>): ReadonlyArray<Fault> => {
  const claims = new Map<string, string>()
  return events.flatMap((event) => {
    if (event.of !== "job") return []
    const { after, before, id, writer } = event
    const client = ids.get(writer ?? "")
    const says = client === undefined ? [] : broken(event, client, claims.get(id))
    // Hours that pass move a claim's time, and it is the same claim.
    if (after?.state === "running" && before?.state !== "running")
      claims.set(id, claimText({ ...after, id }, writer ?? ""))
    return says.map((says) => ({ event, says }))
  })
}

const broken = ({ after, before, now }: JobEvent, client: string, claim: string | undefined): ReadonlyArray<string> => {
  if (before === null) return ["we insert no jobs"]
  if (after === null) return ["we delete no job that ended just now"]
  const change = { before, after, now, client, claim }
  return [...always(change), ...transition(change)].filter(([, holds]) => !holds).map(([says]) => says)
}

const always = ({ after, before }: Change): ReadonlyArray<Rule> => [
  ["a job that is over is not written again", !final.includes(before.state)],
  ["attempt is at most max_attempts", after.attempt <= after.max_attempts],
  [
    "finalized_at is there when, and only when, the job is over",
    final.includes(after.state) === (after.finalized_at !== null)
  ],
  ["what an inserter wrote stays", untouched(before, after, "max_attempts", "args")],
  ["no metadata is lost", Object.keys(before.metadata).every((key) => key in after.metadata)],
  ["no error is lost or changed", equal(before.errors ?? [], (after.errors ?? []).slice(0, before.errors?.length ?? 0))]
]

const transition = (change: Change): ReadonlyArray<Rule> => {
  const { after, before } = change
  if (before.state === "available") return claim(change)
  if (before.state === "retryable" || before.state === "scheduled") return schedule(change)
  if (before.state !== "running") return [[`a client of ours writes no job that is ${before.state}`, false]]
  return rescues(after) > rescues(before) ? rescue(change) : settle(change)
}

const claim = ({ after, before, client, now }: Change): ReadonlyArray<Rule> => [
  ["a waiting job becomes running", after.state === "running"],
  ["a claim takes jobs that are due", before.scheduled_at <= now],
  ["a claim counts one attempt", after.attempt === before.attempt + 1],
  ["a claim begins now", after.attempted_at === now],
  ["a claim is signed", equal(after.attempted_by, [...(before.attempted_by ?? []), client])],
  ["a claim changes nothing else", untouched(before, after, "errors", "finalized_at", "scheduled_at", "metadata")]
]

const schedule = ({ after, before, now }: Change): ReadonlyArray<Rule> => [
  ["a job that waits for its time becomes available", after.state === "available"],
  ["its time has nearly come", millis(before.scheduled_at) <= millis(now) + 5000],
  [
    "its state changes and nothing else",
    untouched(
      before,
      after,
      "attempt",
      "attempted_at",
      "attempted_by",
      "errors",
      "finalized_at",
      "scheduled_at",
      "metadata"
    )
  ]
]

const rescue = ({ after, before, now }: Change): ReadonlyArray<Rule> => {
  const age = millis(now) - millis(before.attempted_at)
  const last = before.attempted_by?.at(-1) ?? ""
  const ended = cancelling(before) ? "cancelled" : "discarded"
  const over = ended === "cancelled" || before.attempt >= before.max_attempts
  return [
    [
      "a rescued job is available, cancelled or discarded, as it should be",
      after.state === (over ? ended : "available")
    ],
    ["only a lost claim is given up", age > (/_test_\d{4}_/.test(last) ? stuckAfter.ours : stuckAfter.others)],
    [
      "a rescue is one error",
      errors(after) === errors(before) + 1 && after.errors?.at(-1)?.error === "Stuck job rescued by JobRescuer"
    ],
    ["a rescue is counted", rescues(after) === rescues(before) + 1],
    ["a rescued job is due at once", over ? untouched(before, after, "scheduled_at") : after.scheduled_at === now],
    ["a rescue leaves the attempt", untouched(before, after, "attempt", "attempted_at", "attempted_by")]
  ]
}

const settle = (change: Change): ReadonlyArray<Rule> => {
  const { after, before, client } = change
  return [
    ["only the client of the claim ends it", before.attempted_by?.at(-1) === client],
    ["a result counts for the claim that it is of", resultIsOfClaim(change)],
    ["the claim stays on the row", untouched(before, after, "attempted_at", "attempted_by")],
    ...(final.includes(after.state) ? endForGood(change) : endForNow(change))
  ]
}

const endForGood = ({ after, before, now }: Change): ReadonlyArray<Rule> => {
  const failed = errors(after) === errors(before) + 1
  const asBefore = errors(after) === errors(before)
  const [began, ended] = [before.attempted_at ?? "", after.finalized_at ?? ""]
  return [
    ["a job that is over keeps attempt and scheduled_at", untouched(before, after, "attempt", "scheduled_at")],
    ["it ended after its attempt began", began <= ended && ended <= now],
    ["a job that completes has no error more", after.state !== "completed" || asBefore],
    ["any other has one more, or was to be cancelled", after.state === "completed" || failed || cancelling(before)]
  ]
}

const endForNow = ({ after, before }: Change): ReadonlyArray<Rule> => {
  const failed = after.attempt === before.attempt && errors(after) === errors(before) + 1
  const givenBack = after.attempt === Math.max(0, before.attempt - 1) && errors(after) === errors(before)
  const states = [...(failed ? ["retryable"] : []), ...(givenBack ? ["scheduled"] : []), "available"]
  return [
    ["a job that is to be cancelled does not go on", !cancelling(before)],
    ["it goes on with its attempt counted and an error, or uncounted and without", failed || givenBack],
    ["a failed job is retryable or available, any other scheduled or available", states.includes(after.state)],
    ["after its last attempt it does not go on", !failed || after.attempt < after.max_attempts]
  ]
}

/** The result names the claim that the job runs for; a result that names none came of no work at all, or was refused. */
const resultIsOfClaim = ({ after, before, claim }: Change): boolean => {
  if (after.metadata["claim"] === before.metadata["claim"]) return after.state !== "completed"
  return after.metadata["claim"] === claim
}
