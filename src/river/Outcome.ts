/**
 * What becomes of a job after an attempt: a pure function of the job, how the attempt ended, and why it was interrupted
 * if it was.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as ErrorText from "./ErrorText.ts"
import type { Job, JobState } from "./Job.ts"
import { JobCancel, JobDiscard, JobSnooze, type Result } from "./Worker.ts"

/**
 * Why this client interrupted an attempt: it stops, somebody cancelled the job, or the attempt's time was over. An
 * interruption that it did not ask for is a failure of the worker.
 */
export type InterruptReason = "stop" | "cancel" | { readonly timeout: Duration.Duration }

/** Why an attempt failed, in texts fit for the `errors` column. */
export interface Failure {
  /** One line; what a kind tells its user is this too. */
  readonly message: string
  /** The stack of a defect, else empty. */
  readonly trace: string
}

/** The outcome of an attempt. `Retry` is given its delay by the retry policy before it is settled. */
export type Outcome =
  | { readonly _tag: "Completed"; readonly result: Result }
  | { readonly _tag: "Retry"; readonly failure: Failure }
  | { readonly _tag: "Discarded"; readonly failure: Failure }
  | { readonly _tag: "Cancelled"; readonly failure: Failure }
  | { readonly _tag: "Snoozed"; readonly duration: Duration.Duration }
  | { readonly _tag: "Interrupted" }
  | { readonly _tag: "CancelledRemotely" }

export type NotCompleted = Exclude<Outcome, { readonly _tag: "Completed" }>

/** Decides what becomes of `job`, as River decides it. */
export const decide = (
  job: Job,
  exit: Exit.Exit<Result, unknown>,
  interrupted: InterruptReason | undefined
): Outcome => {
  if (Exit.isSuccess(exit)) return { _tag: "Completed", result: exit.value }
  const { cause } = exit
  if (interrupted === "cancel" && !Cause.hasDies(cause)) return { _tag: "CancelledRemotely" }
  if (Cause.hasInterruptsOnly(cause)) {
    if (interrupted === "stop") return { _tag: "Interrupted" }
    const message =
      typeof interrupted !== "object"
        ? "the attempt was interrupted by the worker itself"
        : `the attempt did not end within ${Duration.toSeconds(interrupted.timeout)} seconds`
    return failed(job, { message, trace: "" })
  }
  const error = Cause.squash(cause)
  if (error instanceof JobSnooze) {
    return Duration.isNegative(error.duration)
      ? failed(job, { message: "the worker asked for a snooze of negative length", trace: "" })
      : { _tag: "Snoozed", duration: error.duration }
  }
  const failure = { message: ErrorText.clean(ErrorText.messageOf(error)), trace: traceOf(cause, error) }
  if (error instanceof JobCancel) return { _tag: "Cancelled", failure }
  if (error instanceof JobDiscard) return { _tag: "Discarded", failure }
  return failed(job, failure)
}

/** A failed attempt: tried again, or discarded when it was the last. */
export const failed = (job: Job, failure: Failure): Outcome =>
  job.attempt >= job.max_attempts ? { _tag: "Discarded", failure } : { _tag: "Retry", failure }

/** A fault that the worker does not name is a defect, as a panic is in Go: its stack is kept. */
const traceOf = (cause: Cause.Cause<unknown>, error: unknown): string =>
  Cause.hasDies(cause)
    ? ErrorText.cleanTrace(error instanceof Error && error.stack ? error.stack : ErrorText.messageOf(error))
    : ""

/** How many stored errors a job has after this attempt's own; where they cannot be counted, its attempts. */
export const failures = (job: Job): number => (job.error_count === -1 ? job.attempt : (job.error_count ?? 0) + 1)

/** River's. A wait no longer than this needs no scheduler: the job is `available` at once, due in the future. */
export const schedulerInterval = Duration.seconds(5)

/** What an outcome other than `Completed` writes into the job's row. An absent field leaves its column as it is. */
export interface Change {
  readonly state: Exclude<JobState, "running" | "completed">
  readonly attempt?: number
  /** `scheduled_at`, counted from the end of the attempt. */
  readonly delay?: Duration.Duration
  /** Appended to `errors`; its `at` is the attempt's start. */
  readonly error?: { readonly error: string; readonly trace: string }
  /** Why a job is over, in words for the kind's user. */
  readonly message?: string
  readonly metadata?: Readonly<Record<string, unknown>>
}

/** The row's change for an outcome; `delay` is the retry policy's. */
export const change = (job: Job, outcome: NotCompleted, delay: Duration.Duration): Change => {
  switch (outcome._tag) {
    case "Retry":
      return { state: waiting(delay, "retryable"), delay, error: errorOf(outcome.failure) }
    case "Discarded":
      return { state: "discarded", error: errorOf(outcome.failure), message: outcome.failure.message }
    case "Cancelled":
      return {
        state: "cancelled",
        error: { error: `JobCancelError: ${outcome.failure.message}`, trace: "" },
        message: outcome.failure.message
      }
    case "CancelledRemotely":
      return {
        state: "cancelled",
        error: { error: "JobCancelError: job cancelled remotely", trace: "" },
        message: "the job was cancelled"
      }
    case "Snoozed":
      return {
        state: waiting(outcome.duration, "scheduled"),
        attempt: Math.max(0, job.attempt - 1),
        delay: outcome.duration,
        metadata: { snoozes: snoozes(job.metadata?.snoozes) + 1 }
      }
    case "Interrupted":
      return { state: "available", attempt: Math.max(0, job.attempt - 1), delay: Duration.zero }
  }
}

const errorOf = ({ message, trace }: Failure) => ({ error: message, trace })

const waiting = (delay: Duration.Duration, state: "retryable" | "scheduled") =>
  Duration.isLessThanOrEqualTo(delay, schedulerInterval) ? "available" : state

/** The snoozes counted so far, read as leniently as River reads them. */
const snoozes = (value: unknown): number => {
  if (typeof value === "number") return Math.trunc(value)
  if (typeof value === "string") return /^[+-]?\d{1,15}$/.test(value) ? Number(value) : 0
  return value === true ? 1 : 0
}
