/**
 * What may be written to a request: an answer or a failure together with the end of its job, and by the closer a
 * failure.
 */
import { answerOf, fileIdOf } from "./Attempts.ts"
import { cancelling, errors, final } from "./Facts.ts"
import type { Event, Fault, JobEvent, RequestEvent, RequestFacts } from "./Recorder.ts"

/** Looks through a history for writes to requests that should not be there, and for those that should. */
export const faults = (events: ReadonlyArray<Event>): ReadonlyArray<Fault> => {
  const found: Array<Fault> = []
  const transactions = Map.groupBy(events, ({ tx }) => tx)
  const now = new Map<string, RequestFacts | null>()
  for (const event of events) {
    const together = transactions.get(event.tx) ?? []
    const says = event.of === "request" ? written(event, together) : ended(event, together, now)
    if (says !== undefined) found.push({ event, says })
    if (event.of === "request") now.set(event.id, event.after)
  }
  return found
}

const isOurs = ({ writer }: Event) => writer !== null && writer !== "closer"

/** The ends of jobs of this request, by us, in a transaction. */
const endsOf = (request: string, together: ReadonlyArray<Event>) =>
  together.flatMap((event) => (event.of === "job" && endsJob(event) && event.request === request ? [event] : []))
const endsJob = (event: JobEvent) => isOurs(event) && final.includes(event.after?.state ?? "")

const written = (event: RequestEvent, together: ReadonlyArray<Event>): string | undefined => {
  const { after, before, id, writer } = event
  if (writer === null) return undefined
  if (before === null || after === null) return "we neither insert nor delete requests"
  if (before.status === "completed") return "an answered request is not written again"
  if (after.status === "pending") return "a request is written to be answered or to fail"
  const text = after.error_message ?? ""
  if (after.status === "failed" && (text.length < 5 || text.length > 500)) return "a failed request says why"
  if (writer === "closer") return after.status === "failed" ? undefined : "the closer answers no request"
  const ends = endsOf(id, together)
  if (after.status === "failed") {
    return ends.some((end) => end.after?.state !== "completed") ? undefined : "a request fails together with its job"
  }
  if (after.file_id !== fileIdOf(id)) return "a request is about one file"
  return ends.some(
    (end) => end.after?.state === "completed" && after.presigned_url === answerOf(String(end.after.metadata["claim"]))
  )
    ? undefined
    : "a request is answered by the claim of the job that completes with it"
}

/** A job that is given back at a stop while it is to be cancelled ends without a word; the closer says it. */
const isGivenBack = ({ after, before }: JobEvent) =>
  after !== null &&
  before !== null &&
  after.state === "cancelled" &&
  cancelling(before) &&
  errors(after) === errors(before) &&
  after.metadata["snoozes"] === before.metadata["snoozes"]

const ended = (
  event: JobEvent,
  together: ReadonlyArray<Event>,
  now: ReadonlyMap<string, RequestFacts | null>
): string | undefined => {
  if (!endsJob(event) || event.after === null) return undefined
  const { state } = event.after
  const writes = together.flatMap((other) => (other.of === "request" && other.id === event.request ? [other] : []))
  const request = writes[0] === undefined ? now.get(event.request) : writes[0].before
  if (request === undefined || request === null) {
    return state === "completed" ? "a job whose request is gone does not complete" : undefined
  }
  if (request.status === "completed" || writes.length === 1 || isGivenBack(event)) return undefined
  return `a job that ends ${state} takes its request along`
}
