/**
 * Judges a history, and shows what is wrong with it.
 */
import type { History } from "./History.ts"
import * as JobRules from "./JobRules.ts"
import type { Event, Fault, JobFacts } from "./Recorder.ts"
import * as RequestRules from "./RequestRules.ts"

/** What a client may log as an error when its last words reach nobody, and when a result is refused to the end. */
const expected = /could not be given back|the result could not be stored/

/** Everything that is wrong with a history. */
export const faults = ({ events, ids, logs, unfinished }: History): ReadonlyArray<Fault> => [
  ...JobRules.faults(events, ids),
  ...RequestRules.faults(events),
  ...unfinished.map((what) => ({ says: `everything ends: ${what}` })),
  ...logs
    .filter((line) => /^(Error|Fatal)/.test(line) && !expected.test(line))
    .map((line) => ({ says: `logged: ${line}` }))
]

/** The faults, and of the first few what happened to their jobs and requests. */
export const report = (history: History, found: ReadonlyArray<Fault>): string => {
  const shown = found
    .slice(0, 3)
    .map(({ event, says }) => `- ${says}\n${event === undefined ? "" : story(history, event)}`)
  return [
    `${found.length} rules are broken in the history of HISTORY_SEED=${history.plan.seed} ` +
      "(which gives the same plan again, not the same moments)",
    ...shown
  ].join("\n")
}

/** What happened to an event's request and its jobs; `>` marks the event itself. */
const story = ({ events }: History, wrong: Event): string =>
  events
    .filter(({ request }) => request === wrong.request)
    .map((event) => `  ${event === wrong ? ">" : " "} ${line(event)}`)
    .join("\n")

const line = (event: Event): string => {
  const who = `${event.seq} ${event.now.slice(11, 26)} tx ${event.tx} ${event.writer ?? "somebody"}:`
  if (event.of === "request") {
    const { after, before } = event
    return `${who} request ${before?.status ?? "none"} → ${after?.status ?? "none"} ${after?.presigned_url ?? after?.error_message ?? ""}`
  }
  return `${who} job ${event.id} ${state(event.before)} → ${state(event.after)}`
}

const state = (job: JobFacts | null) =>
  job === null
    ? "none"
    : `${job.state} (${job.attempt}/${job.max_attempts}, ${job.attempted_at?.slice(11, 26)} ` +
      `${job.attempted_by?.at(-1)}, ${job.errors?.length ?? 0} errors, ${JSON.stringify(job.metadata)})`
