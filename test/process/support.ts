/**
 * What the tests of the whole process share: databases, requests and their jobs as rows, and waiting for them.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Migrate from "../../src/Migrate.ts"
import { signerDatabase, TestDatabase } from "../support/Database.ts"
import { type PostgresOptions, startPostgres } from "../support/Postgres.ts"
import { startProxy } from "../support/TcpProxy.ts"
import { until } from "../support/WorkerProcess.ts"

/** Runs a test on a database of its own, which outlives everything that the test starts. */
export const onDatabase = <A, E>(
  test: Effect.Effect<A, E, Scope.Scope | SqlClient.SqlClient | TestDatabase>,
  database: Layer.Layer<TestDatabase | PgClient.PgClient | SqlClient.SqlClient, SqlError> = signerDatabase
) => Effect.provide(Effect.scoped(test), database)

/** Gives a test a PostgreSQL of its own, with the migrations, to be stopped and started as it likes. */
export const ownServer = Effect.fnUntraced(function* (extraSettings: PostgresOptions["extraSettings"] = {}) {
  const server = yield* Effect.acquireRelease(
    Effect.promise(() => startPostgres({ durable: false, extraSettings })),
    (server) => Effect.promise(server.stop)
  )
  const connected = PgClient.layer({ url: Redacted.make(server.url), maxConnections: 2, minConnections: 0 })
  /** Runs statements in a session of their own, so that the server may come and go in between. */
  const sql = <A, E>(statements: Effect.Effect<A, E, SqlClient.SqlClient>) =>
    Effect.provide(statements, connected, { local: true })
  yield* sql(
    Effect.andThen(
      Effect.flatMap(SqlClient.SqlClient, (sql) => sql`ALTER DATABASE postgres SET search_path = ''`),
      Migrate.up({ schema: "metadata" })
    )
  )
  return { server, sql }
})

/** A role that exists for one test; `grants` are what it may do in the test's database. */
export const role = Effect.fnUntraced(function* (grants: (name: string) => ReadonlyArray<string> = () => []) {
  const sql = yield* SqlClient.SqlClient
  const { url } = yield* TestDatabase
  const name = `role_${process.pid}_${Math.random().toString(36).slice(2, 10)}`
  const run = (statements: ReadonlyArray<string>) => Effect.forEach(statements, (text) => sql.unsafe(text).unprepared)
  yield* Effect.acquireRelease(run([`CREATE ROLE ${name} LOGIN PASSWORD 'of_the_role'`]), () =>
    Effect.orDie(run([`DROP OWNED BY ${name}`, `DROP ROLE ${name}`]))
  )
  yield* run(grants(name))
  const own = new URL(url)
  own.username = name
  own.password = "of_the_role"
  return { name, url: own.href }
})

/** A proxy in front of a database, by its URL. */
export const proxyTo = (url: string) =>
  Effect.acquireRelease(
    Effect.promise(() => startProxy({ targetPort: Number(new URL(url).port) })),
    (proxy) => Effect.promise(proxy.stop)
  )

/** What a browser asks for. */
export interface Upload {
  readonly entity_type: string
  readonly entity_id: string
  readonly file_name: string
  readonly file_type: string
}

export const upload: Upload = {
  entity_type: "document",
  entity_id: "42",
  file_name: "photo.jpg",
  file_type: "image/jpeg"
}

/** Asks for a URL, as a browser does; answers with the request's id. */
export const requestUpload = Effect.fnUntraced(function* (some: Partial<Upload> = {}) {
  const sql = yield* SqlClient.SqlClient
  const { entity_id, entity_type, file_name, file_type } = { ...upload, ...some }
  const [row] = yield* sql<{ readonly id: string }>`
    SELECT public.request_upload_url(${entity_type}, ${entity_id}, ${file_name}, ${file_type}) AS id`
  return row!.id
})

/** Inserts many requests in one transaction, `entity_id` counting up from 1, without a notification. */
export const insertRequests = Effect.fnUntraced(function* (count: number, some: Partial<Upload> = {}) {
  const sql = yield* SqlClient.SqlClient
  const { entity_type, file_name, file_type } = { ...upload, ...some }
  yield* sql`INSERT INTO metadata.file_upload_requests (entity_type, entity_id, file_name, file_type)
    SELECT ${entity_type}, n::text, ${file_name}, ${file_type} FROM generate_series(1, ${count}) n`
})

/** What a browser sees of its request. */
export interface Answer {
  readonly status: "pending" | "processing" | "completed" | "failed"
  readonly url: string | null
  readonly file_id: string | null
  readonly error: string | null
}

/** Looks once, as a browser does. */
export const getAnswer = Effect.fnUntraced(function* (id: string) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<Answer>`SELECT status, url, file_id, error FROM public.get_upload_url(${id}::uuid)`
  return row!
})

/** The answer, once there is one. */
export const answered = (id: string, within?: Duration.Input) =>
  until(getAnswer(id), ({ status }) => status !== "pending", within)

export interface JobRow {
  readonly id: string
  readonly state: string
  readonly kind: string
  readonly queue: string
  readonly attempt: number
  readonly max_attempts: number
  readonly attempted_at: string | null
  readonly attempted_by: ReadonlyArray<string> | null
  readonly errors: ReadonlyArray<{ readonly at: string; readonly attempt: number; readonly error: string }> | null
  readonly finalized_at: string | null
  readonly metadata: Readonly<Record<string, unknown>>
}

/** Jobs that a condition on `j` holds for, in the order of their ids. */
export const getJobs = Effect.fnUntraced(function* (condition: string) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly row: JobRow }>`
    SELECT to_jsonb(j) || jsonb_build_object('id', j.id::text) AS row
    FROM metadata.river_job j WHERE ${sql.literal(condition)} ORDER BY j.id`
  return rows.map(({ row }) => row)
})

export const jobOf = (requestId: string) =>
  Effect.map(getJobs(`j.args ->> 'request_id' = '${requestId}'`), ([job]) => job!)

/** A job that an operator inserts by hand; its id. Args are JSON. */
export const insertJob = Effect.fnUntraced(function* (args: string, columns: Readonly<Record<string, string>> = {}) {
  const sql = yield* SqlClient.SqlClient
  const all = { kind: "'s3_presign'", queue: "'s3_signer'", max_attempts: "25", ...columns }
  const [row] = yield* sql<{ readonly id: string }>`
    INSERT INTO metadata.river_job (args, ${sql.literal(Object.keys(all).join(", "))})
    VALUES (${args}::jsonb, ${sql.literal(Object.values(all).join(", "))}) RETURNING id::text AS id`
  return row!.id
})

/** The job, once it is over. */
export const jobEnded = (id: string, within?: Duration.Input) =>
  Effect.map(
    until(getJobs(`j.id = ${id}`), ([job]) => isFinal(job!.state), within),
    ([job]) => job!
  )

const isFinal = (state: string) => ["cancelled", "completed", "discarded"].includes(state)

/** How many requests are in each status. */
export const countRequests = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly status: string; readonly count: number }>`
    SELECT status, count(*)::int AS count FROM metadata.file_upload_requests GROUP BY 1`
  return Object.fromEntries(rows.map(({ count, status }) => [status, count]))
})

/** How many jobs are in each state. */
export const countJobs = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly state: string; readonly count: number }>`
    SELECT state::text AS state, count(*)::int AS count FROM metadata.river_job GROUP BY 1`
  return Object.fromEntries(rows.map(({ count, state }) => [state, count]))
})

/** Waits until this many requests are completed. */
export const completed = (count: number, within?: Duration.Input) =>
  until(countRequests, (statuses) => (statuses["completed"] ?? 0) >= count, within)

/** One line of 5 to 500 characters, no stack and no JSON: what a person is told. */
export const isForPeople = (text: unknown): boolean =>
  typeof text === "string" && /^[^\p{Cc}\u2028\u2029]{5,500}$/u.test(text) && !/^[{[]|\bat .*:\d+:\d+/.test(text)
