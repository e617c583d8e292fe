/**
 * Jobs: rows of `river_job`, in River's words.
 */

/** The states of a job, as the enum `river_job_state` spells them. */
export type JobState =
  | "available"
  | "cancelled"
  | "completed"
  | "discarded"
  | "pending"
  | "retryable"
  | "running"
  | "scheduled"

/** What another program left in a job's metadata for its worker: the keys that an attempt reads. */
export interface JobMetadata {
  readonly cancel_attempted_at?: unknown
  readonly snoozes?: unknown
  readonly traceparent?: unknown
  readonly tracestate?: unknown
}

/** What only a trace shows of a job, so only a traced claim reads it. */
export interface JobDetail {
  readonly priority: number
  readonly scheduled_at: Date
  readonly tags: ReadonlyArray<string>
}

/**
 * A job as its claim returned it: the columns that an attempt reads, no more, because each costs on every job.
 *
 * `id`, `attempt` and `attempted_at`, with the client's own id, are the claim's fence: a result counts only while the
 * row still carries all of them.
 */
export interface Job extends Partial<JobDetail> {
  readonly id: bigint
  readonly kind: string
  /** The number of this attempt; the first is 1. */
  readonly attempt: number
  readonly max_attempts: number
  /** Start of this claim by the database's clock, RFC 3339 in UTC: a `Date` would lose its microseconds. */
  readonly attempted_at: string
  readonly created_at: Date
  /** Any JSON; `null` too when the stored value is over 32 kB. */
  readonly args: unknown
  /** Entries in `errors`; null stands for none, −1 for an array that holds an SQL NULL and so cannot be decoded. */
  readonly error_count: number | null
  /** Null when the job has none of these keys. */
  readonly metadata: JobMetadata | null
}

/** A job as its claim returned it, and whether it was the last in the claim's order: only one of them says where it stood. */
export interface Claimed extends Job {
  readonly last: { readonly priority: number; readonly scheduled_at: string; readonly id: string } | null
}
