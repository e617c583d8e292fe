/**
 * A real client of River's beside ours: its commands as effects, typed.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { TestDatabase } from "../../support/Database.ts"
import type { JobRow } from "../support.ts"
import type { Version } from "./Build.ts"
import { type Event, type Refused, start as startProgram } from "./Program.ts"

export interface StartOptions {
  readonly clientId: string
  /** Slots by queue; `test`, with 10, unless told otherwise. */
  readonly queues?: Readonly<Record<string, number>>
  /** Kinds with a worker, which does what a job's args say. */
  readonly kinds: ReadonlyArray<string>
  /** 100 ms unless told otherwise. */
  readonly pollMs?: number
  readonly cooldownMs?: number
  readonly pollOnly?: boolean
  /** As a leader it rescues jobs that have been running for longer; River's hour unless told otherwise. */
  readonly rescueAfterMs?: number
  /** A minute unless told otherwise; it must not exceed `rescueAfterMs`. */
  readonly timeoutMs?: number
  /** Since 0.48. */
  readonly onlyKnownKinds?: boolean
}

/** What one attempt does on River: nothing but succeed when there is none for it. */
export type Act =
  | { readonly do: "fail" | "panic" | "cancel" | "steps"; readonly text: string }
  | { readonly do: "snooze" | "sleep"; readonly ms: number }
  /** Until it is told to end; it fails with the reason. */
  | { readonly do: "wait" }
  | null

/** Args that say what the first attempt and those after it do on River. */
export const attempts = (...acts: ReadonlyArray<Act>) => ({ attempts: acts.map((act) => act ?? {}) })

export interface Insert {
  readonly kind: string
  /** `test` unless told otherwise. */
  readonly queue?: string
  readonly args?: object
  readonly maxAttempts?: number
  readonly metadata?: object
  readonly priority?: number
  readonly scheduledAt?: string
  readonly tags?: ReadonlyArray<string>
  /** By its args. */
  readonly unique?: boolean
}

/** A row of `river_queue` as River decodes it. */
export interface QueueRow {
  readonly name: string
  readonly created_at: string
  readonly updated_at: string
  readonly paused_at: string | null
  readonly metadata: unknown
}

export interface River {
  readonly version: Version
  /** Starts a client that works jobs; it stands for election, and does all maintenance when it leads. */
  readonly start: (options: StartOptions) => Effect.Effect<void, Refused>
  /** Lets running jobs finish. */
  readonly stop: Effect.Effect<void, Refused>
  /** Interrupts running jobs. */
  readonly stopAndCancel: Effect.Effect<void, Refused>
  /** The row, and whether it is one that was there before. */
  readonly insert: (job: Insert) => Effect.Effect<JobRow & { readonly duplicate: boolean }, Refused>
  /** Inserts jobs that are alike, in one call. */
  readonly insertMany: (count: number, job: Insert) => Effect.Effect<ReadonlyArray<bigint>, Refused>
  /** The job as River decodes it. */
  readonly jobGet: (id: bigint) => Effect.Effect<JobRow, Refused>
  readonly jobCancel: (id: bigint) => Effect.Effect<JobRow, Refused>
  readonly jobRetry: (id: bigint) => Effect.Effect<JobRow, Refused>
  readonly jobDelete: (id: bigint) => Effect.Effect<JobRow, Refused>
  readonly queueGet: (queue: string) => Effect.Effect<QueueRow, Refused>
  /** One queue, or `*`. */
  readonly queuePause: (queue: string) => Effect.Effect<void, Refused>
  readonly queueResume: (queue: string) => Effect.Effect<void, Refused>
  /** Whether all migrations are applied, from 0.48 on those up to `version`; if not, what is missing. */
  readonly migrateValidate: (version?: number) => Effect.Effect<ReadonlyArray<string>, Refused>
  /** Applies River's own migrations and answers with their versions. */
  readonly migrateUp: (version?: number) => Effect.Effect<ReadonlyArray<number>, Refused>
  /** What it told of a job so far. */
  readonly eventsOf: (id: bigint) => ReadonlyArray<Event>
  /** SIGKILL. */
  readonly kill: Effect.Effect<void>
}

/** Starts a process with River in it, on the test's database. It ends with the scope, and resigns before if it leads. */
export const startRiver = Effect.fnUntraced(function* (version: Version, file: string, schema = "metadata") {
  const { url } = yield* TestDatabase
  const { call, events, kill } = yield* startProgram(file, { DATABASE_URL: url, RIVER_SCHEMA: schema })
  const job = (command: string) => (id: bigint) =>
    Effect.map(call(command, { id: String(id) }), (row) => jobOf(row as WireRow))
  const insertMany = (count: number, insert: Insert) =>
    Effect.map(call("insert", { queue: "test", ...insert, count }), (rows) =>
      (rows as ReadonlyArray<WireRow & { readonly duplicate: boolean }>).map((row) => ({
        ...jobOf(row),
        duplicate: row.duplicate
      }))
    )
  let working = false
  const river: River = {
    version,
    start: (options) =>
      Effect.tap(call("start", { queues: { test: 10 }, pollMs: 100, ...options }), () =>
        Effect.sync(() => (working = true))
      ),
    stop: call("stop"),
    stopAndCancel: call("stop", { cancel: true }),
    insert: (insert) => Effect.map(insertMany(1, insert), ([row]) => row!),
    insertMany: (count, insert) => Effect.map(insertMany(count, insert), (rows) => rows.map(({ id }) => id)),
    jobGet: job("jobGet"),
    jobCancel: job("jobCancel"),
    jobRetry: job("jobRetry"),
    jobDelete: job("jobDelete"),
    queueGet: (queue) => Effect.map(call("queueGet", { queue }), (row) => row as QueueRow),
    queuePause: (queue) => call("queuePause", { queue }),
    queueResume: (queue) => call("queueResume", { queue }),
    migrateValidate: (version = 0) =>
      Effect.map(call("migrateValidate", { version }), (result) => {
        const { Messages, OK } = result as { readonly OK: boolean; readonly Messages: ReadonlyArray<string> | null }
        return OK ? [] : (Messages ?? ["not valid"])
      }),
    migrateUp: (version = 0) =>
      Effect.map(call("migrateUp", { version }), (versions) => versions as ReadonlyArray<number>),
    eventsOf: (id) => events.filter(({ job }) => job === String(id)),
    kill
  }
  yield* Effect.addFinalizer(() =>
    working ? Effect.exit(Effect.timeoutOption(river.stopAndCancel, "5 seconds")) : Effect.void
  )
  return river
}) satisfies (...args: never) => Effect.Effect<River, never, Scope.Scope | TestDatabase>

type WireRow = Omit<JobRow, "id"> & { readonly id: string }

const jobOf = (row: WireRow): JobRow => ({ ...row, id: BigInt(row.id) })
