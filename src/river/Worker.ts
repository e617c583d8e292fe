/**
 * Workers: what handles one kind of job, and what that kind writes into tables of its own.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Job } from "./Job.ts"

/** Ends the job `cancelled`, whatever attempts remain: it is no longer wanted. */
export class JobCancel extends Schema.TaggedError<JobCancel>()("JobCancel", { message: Schema.String }) {}

/** Ends the job `discarded`, whatever attempts remain: it can never succeed. */
export class JobDiscard extends Schema.TaggedError<JobDiscard>()("JobDiscard", { message: Schema.String }) {}

/** Puts the job off without using up an attempt. */
export class JobSnooze extends Schema.TaggedError<JobSnooze>()("JobSnooze", { duration: Schema.Duration }) {}

/**
 * What a worker hands back: one text a column of its kind's {@link RowEffect}, none where there is no effect. A secret
 * stays redacted until it is written.
 */
export type Result = Readonly<Record<string, string | Redacted.Redacted>>

/** The text of a result's column; empty where it has none. */
export const textOf = (result: Result, column: string): string => {
  const value = result[column] ?? ""
  return typeof value === "string" ? value : Redacted.value(value)
}

/**
 * The row of another table that a kind's job is about, and what the end of the job writes into it.
 *
 * The pieces are SQL and become part of the statement that ends the jobs, so the row and the job change together or
 * not at all. They see `j`, the locked job; `r`, the row; and `d`, the job as it was just persisted, with a result's
 * columns (`onCompleted`) or the reason as `d.message` (`onDead`).
 */
export interface RowEffect {
  /** The table, qualified and quoted. */
  readonly table: string
  /** The row's primary key, from `j.args`; it must yield null, not fail, where the args name none. */
  readonly key: string
  /** The same from the args that an attempt was given: its result is for this row, whatever became of the args since. */
  readonly keyOf: (args: unknown) => string | undefined
  /** The key's type. */
  readonly keyType: string
  /** The primary key's column. */
  readonly id: string
  /** Names and types of a result's columns. */
  readonly columns: Readonly<Record<string, string>>
  /** Why a job that succeeded ends `cancelled` when the row is gone. */
  readonly missing: string
  /** Written when the job completes, to a row that `where` holds for. */
  readonly onCompleted: { readonly set: string; readonly where: string }
  /** Written when the job ends `discarded` or `cancelled`. */
  readonly onDead: { readonly set: string; readonly where: string }
}

/** Handles the jobs of one kind. */
export interface Worker {
  readonly kind: string
  /**
   * How long an attempt may run before it is interrupted and counts as failed.
   *
   * A job that a dead client left behind is rescued after this and 5 seconds more.
   */
  readonly timeout: Duration.Duration
  /**
   * One attempt. It returns a result and writes nothing: the engine persists the result together with the job's end.
   *
   * It fails with {@link JobCancel}, {@link JobDiscard} or {@link JobSnooze} to say what becomes of the job; any other
   * failure, and any defect, is a failed attempt that is tried again later.
   */
  readonly work: (job: Job) => Effect.Effect<Result, unknown>
  /**
   * Reads what attempts need, for all jobs of a claim in one go, before these attempts begin; `work` is then given the
   * same objects. It must not fail, and should not take long: it holds up the next claim, and no timeout counts for it.
   */
  readonly prepare?: (jobs: ReadonlyArray<Job>) => Effect.Effect<void>
  /** Whether jobs of this kind could be worked now; while it is false none are claimed. */
  readonly ready: Effect.Effect<boolean>
  readonly effect?: RowEffect
}
