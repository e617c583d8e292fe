/**
 * What the engine's tests share: a database with a kind's own table beside River's, workers, clients, jobs and logs.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { inject } from "vitest"
import {
  Client,
  ClientConfig,
  type ClientOptions,
  Database,
  type RowEffect,
  type Worker
} from "../../src/river/index.ts"
import type { Job } from "../../src/river/Job.ts"
import { signerDatabase, TestDatabase } from "../support/Database.ts"
import { until } from "../support/until.ts"

export { until }

/** A migrated database in which kinds of tests can have rows of their own: `app.item`. */
export const riverDatabase = Layer.effectDiscard(
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    for (const statement of itemTable) yield* sql.unsafe(statement)
  })
).pipe(Layer.provideMerge(signerDatabase))

const itemTable = [
  "CREATE SCHEMA app",
  `CREATE TABLE app.item (
    id text PRIMARY KEY,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'answered', 'failed')),
    answer text CHECK (answer <> 'forbidden'),
    number int,
    reason text CHECK (char_length(reason) BETWEEN 5 AND 500 AND reason NOT LIKE '%unspeakable%'),
    writes int NOT NULL DEFAULT 0
  )`,
  `CREATE FUNCTION app.count_write() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.writes := OLD.writes + 1; RETURN NEW; END $$`,
  `CREATE TRIGGER count_write BEFORE UPDATE OF status, answer, number, reason ON app.item
    FOR EACH ROW EXECUTE FUNCTION app.count_write()`
]

/** The row of `app.item` that a job's `args.item` names. An answered item is never written again. */
export const itemEffect: RowEffect = {
  table: "app.item",
  id: "id",
  key: "j.args ->> 'item'",
  keyOf: (args) => {
    const item = typeof args === "object" && args !== null && "item" in args ? args.item : undefined
    return item === undefined || item === null ? undefined : String(item)
  },
  keyType: "text",
  columns: { answer: "text", number: "int" },
  missing: "the item of this job does not exist",
  onCompleted: {
    set: "status = 'answered', answer = d.answer, number = d.number, reason = null",
    where: "r.status <> 'answered'"
  },
  onDead: { set: "status = 'failed', reason = d.message", where: "r.status <> 'answered'" }
}

export interface Item {
  readonly id: string
  readonly status: "open" | "answered" | "failed"
  readonly answer: string | null
  readonly number: number | null
  readonly reason: string | null
  /** How often the row was written since it was inserted. */
  readonly writes: number
}

let serial = 0

/** A worker of a kind that no other test has, without a row of its own. */
export const worker = (work: Worker["work"], overrides: Partial<Worker> = {}): Worker => ({
  kind: `kind_${++serial}`,
  timeout: Duration.seconds(5),
  ready: Effect.succeed(true),
  work,
  ...overrides
})

/** A worker that answers items. */
export const itemWorker = (work: Worker["work"] = answer, overrides: Partial<Worker> = {}): Worker =>
  worker(work, { effect: itemEffect, ...overrides })

/** What {@link itemWorker} answers unless told otherwise: the job's id. */
export const answer = (job: Job) => Effect.succeed({ answer: `by job ${job.id}`, number: "1" })

/** A worker that succeeds at once. */
export const done = Effect.succeed({})

export interface JobInsert {
  readonly args: unknown
  readonly state: string
  readonly queue: string
  readonly attempt: number
  readonly max_attempts: number
  readonly priority: number
  readonly metadata: unknown
  /** SQL, as in `now() - interval '1 hour'`. */
  readonly scheduled_at: string
  readonly created_at: string
  readonly attempted_at: string
  readonly attempted_by: string
  readonly finalized_at: string
  readonly errors: string
  readonly unique_key: string
  readonly unique_states: string
}

const literal = (value: unknown) => `'${JSON.stringify(value).replaceAll("'", "''")}'::jsonb`

/** Inserts a job as SQL does, without a notification, and returns its id. */
export const insertJob = Effect.fnUntraced(function* (kind: string | Worker, job: Partial<JobInsert> = {}) {
  const [id] = yield* insertJobs(kind, 1, job)
  return id!
})

/** Inserts `count` jobs that are alike, in one statement. */
export const insertJobs = Effect.fnUntraced(function* (
  kind: string | Worker,
  count: number,
  job: Partial<JobInsert> = {}
) {
  const sql = yield* SqlClient.SqlClient
  const { args, attempt, max_attempts, metadata, priority, queue, state, ...expressions } = job
  const columns = {
    kind: `'${typeof kind === "string" ? kind : kind.kind}'`,
    queue: `'${queue ?? "test"}'`,
    max_attempts: String(max_attempts ?? 25),
    args: args === undefined ? "'{}'" : literal(args),
    ...(metadata === undefined ? {} : { metadata: literal(metadata) }),
    ...(state === undefined ? {} : { state: `'${state}'` }),
    ...(attempt === undefined ? {} : { attempt: String(attempt) }),
    ...(priority === undefined ? {} : { priority: String(priority) }),
    ...expressions
  }
  const rows = yield* sql<{ readonly id: bigint }>`
    INSERT INTO metadata.river_job (${sql.literal(Object.keys(columns).join(", "))})
    SELECT ${sql.literal(Object.values(columns).join(", "))} FROM generate_series(1, ${count}) RETURNING id`
  return rows.map(({ id }) => id)
})

/** Inserts an open item and `jobs` jobs about it. */
export const insertItem = Effect.fnUntraced(function* (kind: Worker, job: Partial<JobInsert> = {}, jobs = 1) {
  const sql = yield* SqlClient.SqlClient
  const id = `item_${++serial}`
  yield* sql`INSERT INTO app.item (id) VALUES (${id})`
  const ids = yield* insertJobs(kind, jobs, { args: { item: id }, ...job })
  return { item: id, job: ids[0]!, jobs: ids }
})

/** Inserts items with one job each; `args` may say more to the worker. */
export const insertItems = Effect.fnUntraced(function* (kind: Worker, count: number, max_attempts = 25) {
  const sql = yield* SqlClient.SqlClient
  const prefix = `items_${++serial}_`
  yield* sql`INSERT INTO app.item (id) SELECT ${prefix}::text || n FROM generate_series(1, ${count}) n`
  const rows = yield* sql<{ readonly id: bigint }>`
    INSERT INTO metadata.river_job (kind, queue, max_attempts, args)
    SELECT ${kind.kind}, 'test', ${max_attempts}, jsonb_build_object('item', ${prefix}::text || n, 'n', n)
    FROM generate_series(1, ${count}) n RETURNING id`
  return { prefix, ids: rows.map(({ id }) => id) }
})

export interface ErrorEntry {
  readonly at: string
  readonly attempt: number
  readonly error: string
  readonly trace: string
}

/** A row of `river_job` as JSON: timestamps are ISO texts with microseconds. */
export interface JobRow {
  readonly id: bigint
  readonly state: string
  readonly attempt: number
  readonly max_attempts: number
  readonly attempted_at: string | null
  readonly created_at: string
  readonly finalized_at: string | null
  readonly scheduled_at: string
  readonly priority: number
  readonly args: unknown
  readonly attempted_by: ReadonlyArray<string> | null
  readonly errors: ReadonlyArray<ErrorEntry> | null
  readonly kind: string
  readonly metadata: Readonly<Record<string, unknown>>
  readonly queue: string
  readonly tags: ReadonlyArray<string>
}

/** Jobs by their ids, in the order of the ids. */
export const getJobs = Effect.fnUntraced(function* (ids: ReadonlyArray<bigint>) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly id: bigint; readonly row: Omit<JobRow, "id"> }>`
    SELECT id, to_jsonb(j) - 'id' AS row FROM metadata.river_job j WHERE id = ANY (${ids}::bigint[]) ORDER BY id`
  return rows.map(({ id, row }): JobRow => ({ ...row, id }))
})

export const getJob = Effect.fnUntraced(function* (id: bigint) {
  const [row] = yield* getJobs([id])
  return row!
})

export const getItem = Effect.fnUntraced(function* (id: string) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<Item>`SELECT * FROM app.item WHERE id = ${id}`
  return row!
})

/** How many jobs of a kind are in each state. */
export const countStates = Effect.fnUntraced(function* ({ kind }: Worker) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly state: string; readonly count: number }>`
    SELECT state::text AS state, count(*)::int AS count FROM metadata.river_job WHERE kind = ${kind} GROUP BY 1`
  return Object.fromEntries(rows.map(({ count, state }) => [state, count]))
})

/** The job once it is in the state. */
export const jobIn = (state: string, id: bigint, within?: Duration.Input) =>
  until(getJob(id), (job) => job.state === state, within)

/** The counts of a kind once all its jobs are in final states. */
export const ended = (kind: Worker, within?: Duration.Input) =>
  until(
    countStates(kind),
    (states) => Object.keys(states).every((state) => ["cancelled", "completed", "discarded"].includes(state)),
    within
  )

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly annotations: Readonly<Record<string, unknown>>
}

export interface StartOptions extends Partial<ClientOptions> {
  /** Another way to the database, as through a proxy. */
  readonly url?: string
  readonly maxConnections?: number
  /** Sees each statement of the engine before it runs, and may run something around it. */
  readonly around?: (
    name: Statement,
    statement: Effect.Effect<unknown, SqlError>,
    text: string
  ) => Effect.Effect<unknown, SqlError>
}

export type Statement = "claim" | "settle" | "schedule" | "rescue" | "other"

/** What a client does, in order: its statements as they start, and the closing of its pool. */
export type Event = Statement | "pool closes"

/** Starts a client of the engine; it stops with the test unless it is stopped before. */
export const startClient = Effect.fnUntraced(function* (workers: ReadonlyArray<Worker>, options: StartOptions = {}) {
  const { around = (_, statement) => statement, maxConnections = 4, url, ...overrides } = options
  const database = yield* TestDatabase
  const logs: Array<LogLine> = []
  const events: Array<Event> = []
  const logger = Logger.make<unknown, void>(({ cause, fiber, logLevel, message }) => {
    logs.push({
      level: logLevel,
      message: [...(Array.isArray(message) ? message : [message]), ...reasons(cause)].map(String).join(" "),
      annotations: fiber.getRef(References.CurrentLogAnnotations)
    })
  })
  const pool = Layer.effectDiscard(Effect.addFinalizer(() => Effect.sync(() => events.push("pool closes")))).pipe(
    Layer.provideMerge(
      Layer.effect(
        SqlClient.SqlClient,
        Effect.map(SqlClient.SqlClient, (sql) => watched(sql, events, around))
      )
    ),
    Layer.provide(
      PgClient.layer({ url: Redacted.make(url ?? database.url), maxConnections, applicationName: "river-test" })
    )
  )
  const layer = Client.layer(
    {
      schema: "metadata",
      queue: "test",
      clientName: undefined,
      host: "test.host",
      marker: "test",
      maxWorkers: 10,
      fetchPollInterval: Duration.millis(50),
      fetchCooldown: Duration.millis(10),
      softStopTimeout: Duration.seconds(5),
      listen: undefined,
      wakeChannels: [],
      traced: false,
      ...overrides
    },
    workers
  ).pipe(Layer.provide(Database.layer), Layer.provide(pool), Layer.provide(Logger.layer([logger])))

  const scope = yield* Scope.make()
  const close = yield* Effect.cached(Effect.timed(Scope.close(scope, Exit.void)))
  yield* Effect.addFinalizer(() => close)
  // A memo map of its own: clients share nothing.
  const context = yield* Layer.buildWithMemoMap(layer, Layer.makeMemoMapUnsafe(), scope)
  return {
    clientId: Context.get(context, ClientConfig).clientId,
    /** Stops the client; returns how long that took, in milliseconds. */
    stop: Effect.map(close, ([duration]) => Duration.toMillis(duration)),
    logs,
    events,
    /** The lines of the log that match. */
    logged: (pattern: RegExp) => logs.filter(({ message }) => pattern.test(message)).map(({ message }) => message)
  }
})

/** The sessions of the clients that {@link startListening} started. */
export const listeners = Effect.suspend(() => sessions("application_name = 'river-test-listener'"))

/** A client that polls only once a minute, unless told otherwise, and listens; it does when this returns. */
export const startListening = Effect.fnUntraced(function* (workers: ReadonlyArray<Worker>, options: StartOptions = {}) {
  const { url } = yield* TestDatabase
  const before = (yield* listeners).map(({ pid }) => pid)
  const client = yield* startClient(workers, {
    fetchPollInterval: Duration.minutes(1),
    fetchCooldown: Duration.millis(100),
    listen: { url: Redacted.make(url), applicationName: "river-test-listener" },
    ...options
  })
  const listens = /^listen (?!.*river_echo)/i
  yield* until(listeners, (now) => now.some(({ pid, query }) => !before.includes(pid) && listens.test(query)))
  yield* Effect.sleep("300 millis")
  return client
})

const reasons = (cause: Cause.Cause<unknown>) => (cause.reasons.length === 0 ? [] : [Cause.pretty(cause)])

/** The client with every whole statement announced; the pieces that statements are made of pass. */
const watched = (
  sql: SqlClient.SqlClient,
  events: Array<Event>,
  around: NonNullable<StartOptions["around"]>
): SqlClient.SqlClient =>
  new Proxy(sql, {
    apply: (target, self, args: ReadonlyArray<unknown>) => {
      const made: unknown = Reflect.apply(target, self, args)
      const [strings] = args
      if (!Array.isArray(strings) || !/^\s*(with|select|insert)\b/.test(String(strings[0]))) return made
      const text = strings.join(" ")
      const name = nameOf(text)
      const statement = made as Effect.Effect<unknown, SqlError>
      return around(
        name,
        Effect.suspend(() => {
          events.push(name)
          return statement
        }),
        text
      )
    }
  })

const nameOf = (text: string): Statement => {
  if (text.includes("candidate as materialized")) return "claim"
  if (text.includes("i.client_id") || text.includes("as client_id")) return "settle"
  if (text.includes("client_pattern")) return "rescue"
  return text.includes("ahead") ? "schedule" : "other"
}

/** A transaction of somebody else, on a connection of its own: open until it is ended, by name or with the test. */
export const beginElsewhere = Effect.fnUntraced(function* (statements: ReadonlyArray<string>) {
  const { url } = yield* TestDatabase
  const began = yield* Deferred.make<void, unknown>()
  const end = yield* Deferred.make<"COMMIT" | "ROLLBACK">()
  const transaction = Effect.scoped(
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const connection = yield* sql.reserve
      yield* connection.executeRaw("BEGIN", [])
      for (const statement of statements) yield* connection.executeRaw(statement, [])
      yield* Deferred.succeed(began, undefined)
      yield* connection.executeRaw(yield* Deferred.await(end), [])
    })
  ).pipe(
    Effect.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 }), { local: true }),
    Effect.tapCause((cause) => Deferred.failCause(began, cause))
  )
  const fiber = yield* Effect.forkScoped(transaction)
  yield* Effect.orDie(Deferred.await(began))
  const finish = (how: "COMMIT" | "ROLLBACK") => Effect.andThen(Deferred.succeed(end, how), Fiber.await(fiber))
  return { commit: finish("COMMIT"), rollback: finish("ROLLBACK") }
})

/** Sessions of the test's database, except the asking one's, that match a condition on `pg_stat_activity`. */
export const sessions = Effect.fnUntraced(function* (condition: string) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<{ readonly pid: number; readonly query: string }>`
    SELECT pid, query FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND (${sql.literal(condition)})`
})

/** Waits until as many sessions wait for locks. */
export const waitingForLocks = (count: number) =>
  until(sessions("wait_event_type = 'Lock'"), (waiting) => waiting.length >= count)

/** The port of the tests' PostgreSQL, for a proxy in front of it. */
export const serverPort = () => Number(new URL(inject("databaseUrl")).port)
