/**
 * One statement for a batch of ended attempts: which one it is, and what it says of each member.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { identity } from "effect/Function"
import type * as Tracer from "effect/Tracer"
import type { SqlClient } from "effect/sql/SqlClient"
import type { ClientConfig } from "./ClientConfig.ts"
import type { Job } from "./Job.ts"
import * as Metadata from "./Metadata.ts"
import * as Outcome from "./Outcome.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import type { Tables } from "./sql/river_job.ts"
import { jobSetStateChanged, jobSetStateCompleted, type Verdict } from "./sql/river_job_settle.ts"
import type { Worker } from "./Worker.ts"

/** An ended attempt that is to be written. */
export interface Settlement {
  readonly job: Job
  readonly worker: Worker
  readonly outcome: Outcome.Outcome
  /** Start and end of the attempt by this client's clock, milliseconds since the epoch. */
  readonly startedAt: number
  readonly endedAt: number
  /** The attempt's span, when it is traced. */
  readonly span?: Tracer.Span | undefined
  /** Leaves the kind's own row alone: set when that row is what the database refused to write, or what it hangs on. */
  readonly withoutEffect?: boolean
  /** Leaves out what the worker recorded: set when the database refused the outcome together with it. */
  readonly withoutMetadata?: boolean
}

/** Members of one statement agree in this: their worker, and whether they completed. */
export const sameStatement = (a: Settlement, b: Settlement): boolean =>
  a.worker === b.worker &&
  (a.outcome._tag === "Completed") === (b.outcome._tag === "Completed") &&
  a.withoutEffect === b.withoutEffect

/** Makes what writes a batch whose members agree in {@link sameStatement}; the statements are built once. */
export const writer = (
  sql: SqlClient,
  tables: Tables,
  { clientId, redact = identity, workers }: Pick<ClientConfig["Service"], "clientId" | "redact" | "workers">
) => {
  const statements = new Map(
    workers.map((worker) => [
      worker,
      {
        completed: jobSetStateCompleted(sql, tables, worker.effect),
        changed: jobSetStateChanged(sql, tables, worker.effect),
        changedAlone: jobSetStateChanged(sql, tables, undefined)
      }
    ])
  )

  /** Completes nothing: the first real batch then finds its statement planned and its code compiled. */
  const warmUp = Effect.forEach(statements.values(), ({ completed }) => completed(clientId, []), { discard: true })

  const write = Effect.fnUntraced(function* (
    batch: ReadonlyArray<Settlement>
  ): Effect.fn.Return<ReadonlyArray<Verdict>, SqlError> {
    const first = batch[0]
    const of = first === undefined ? undefined : statements.get(first.worker)
    if (first === undefined || of === undefined) return []
    const now = yield* Clock.currentTimeMillis
    if (first.outcome._tag === "Completed") {
      return yield* of.completed(
        clientId,
        batch.flatMap((member) =>
          member.outcome._tag === "Completed" ? [{ ...ended(member, now), result: member.outcome.result }] : []
        )
      )
    }
    const changed = yield* Effect.forEach(
      batch.flatMap((member) => (member.outcome._tag === "Completed" ? [] : [{ member, outcome: member.outcome }])),
      ({ member, outcome }) =>
        Effect.map(changeOf(member.job, outcome), (change) => ({
          ...ended(member, now),
          change: redacted(change, redact),
          startedAt: member.startedAt
        }))
    )
    return yield* (first.withoutEffect === true ? of.changedAlone : of.changed)(clientId, changed)
  })

  return { warmUp, write }
}

const ended = ({ endedAt, job, withoutMetadata }: Settlement, now: number) => ({
  job,
  age: Math.min(Math.max(0, Math.round(now - endedAt) - 1), 2 ** 31 - 1),
  metadata: withoutMetadata === true ? undefined : Metadata.of(job)
})

/** What a job's row and its kind's user read of an error holds no secret, whoever wrote the text. */
const redacted = (change: Outcome.Change, redact: (text: string) => string): Outcome.Change => ({
  ...change,
  ...(change.error && { error: { error: redact(change.error.error), trace: redact(change.error.trace) } }),
  ...(change.message && { message: redact(change.message) })
})

const changeOf = (job: Job, outcome: Outcome.NotCompleted) =>
  Effect.map(
    outcome._tag === "Retry"
      ? RetryPolicy.delayAfter(RetryPolicy.riverDefault, Outcome.failures(job))
      : Effect.succeed(Duration.zero),
    (delay) => Outcome.change(job, outcome, delay)
  )
