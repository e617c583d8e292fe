/**
 * What can be said of a job as it was before or after a write.
 */
import type { JobFacts } from "./Recorder.ts"

/** The states in which a job is over. */
export const final = ["cancelled", "completed", "discarded"]

export const rescues = ({ metadata }: JobFacts) => Number(metadata["river:rescue_count"] ?? 0)
export const errors = (job: JobFacts) => job.errors?.length ?? 0

/** Whether somebody asked to cancel it. */
export const cancelling = ({ metadata }: JobFacts) => "cancel_attempted_at" in metadata

export const millis = (instant: string | null) => Date.parse(instant ?? "")

/** Whether these columns are as they were. */
export const untouched = (before: JobFacts, after: JobFacts, ...columns: ReadonlyArray<keyof JobFacts>) =>
  columns.every((column) => equal(before[column], after[column]))

/** Whether two values out of `jsonb`, which has one order for the members of an object, are the same. */
export const equal = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)
