/**
 * A drain in which the database gives trouble, and what must be true of it; in a short and in a long form.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { inject } from "vitest"
import { TestDatabase } from "../support/Database.ts"
import type { Postgres } from "../support/Postgres.ts"
import type { TcpProxy } from "../support/TcpProxy.ts"
import { onServer } from "../support/Templates.ts"
import { startWorker, until } from "../support/WorkerProcess.ts"
import {
  completed,
  countJobs,
  countRequests,
  getJobs,
  insertRequests,
  onDatabase,
  ownServer,
  proxyTo
} from "./support.ts"

/** Runs statements in the database, besides the worker. */
type Run = <A, E>(statements: Effect.Effect<A, E, SqlClient.SqlClient>) => Effect.Effect<A, E | SqlError>

/** Trouble that a database can have, on a server of its own or on the tests'. */
export interface Outage<Place> {
  readonly happens: (place: Place) => Effect.Effect<unknown, unknown>
  /** How often connections are lost, or the database changes its mind. */
  readonly cuts: number
}

interface OnDatabase {
  /** Between the worker and the database. */
  readonly proxy: TcpProxy
  readonly database: string
  readonly run: Run
}

interface OnServer {
  readonly server: Postgres
  readonly run: Run
}

/** Few slots make a slow drain: the outage falls into its middle. */
const slots = 2

/**
 * Trouble in a database of the tests' server. The process stays up, everything completes, hardly an attempt is spent,
 * and the log has a line a change of state.
 */
export const survives = (outage: Outage<OnDatabase>) =>
  onDatabase(
    Effect.gen(function* () {
      const { name: database, url } = yield* TestDatabase
      const sql = yield* SqlClient.SqlClient
      const proxy = yield* proxyTo(url)
      const run: Run = (statements) => Effect.provideService(statements, SqlClient.SqlClient, sql)
      yield* drain(proxy.through(url), run, outage.cuts, outage.happens({ proxy, database, run }))
    })
  )

/** The same on a server of its own. */
export const survivesServer = (outage: Outage<OnServer>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { server, sql: run } = yield* ownServer()
      yield* drain(server.url, run, outage.cuts, outage.happens({ server, run }))
    })
  )

const drain = Effect.fnUntraced(function* (
  url: string,
  run: Run,
  cuts: number,
  outage: Effect.Effect<unknown, unknown>
) {
  yield* run(insertRequests(2000))
  const worker = yield* startWorker(`${url}?application_name=worker`, {
    MAX_WORKERS: String(slots),
    DB_MAX_CONNS: "2"
  })
  yield* run(completed(200))
  assert.isAbove((yield* run(countRequests))["pending"] ?? 0, 0)

  yield* outage

  const requests = Object.values(yield* run(countRequests)).reduce((sum, count) => sum + count, 0)
  yield* run(completed(requests, "90 seconds"))
  const times = (pattern: RegExp) => worker.logged(pattern).length
  yield* until(
    Effect.sync(() => times(/^not listening/) - times(/^listening again$/)),
    (missing) => missing === 0
  )
  assert.deepEqual(yield* worker.stop, { status: 0, signal: null })

  assert.deepEqual(yield* run(countJobs), { completed: requests })
  const again = yield* run(getJobs("j.attempt > 1"))
  // Of a claim or a settlement whose answer was lost, nobody knows that it happened.
  assert.isAtMost(again.length, cuts * 2 * slots)
  for (const { errors } of again) {
    assert.isTrue(errors?.every(({ error }) => error === "Stuck job rescued by JobRescuer"))
  }
  assert.isAtLeast(times(/^the database is away, waiting for it: /), 1)
  assert.isAtMost(times(/^the database is away, waiting for it: /), cuts + 1)
  assert.strictEqual(times(/^the database is back after /), times(/^the database is away/))
  assert.isAtMost(times(/^not listening, jobs are found by polling until it works again: /), cuts + 1)
  assert.isAtMost(times(/^rescued \d+ jobs of kind s3_presign from lost attempts$/), cuts + 1)
  assert.isAtMost(times(/^a late result was dropped/), cuts * 2 * slots)
  const known = /^(working|stopping|the database is|not listening|listening again|rescued|a late result)/
  assert.deepEqual(
    worker.log.filter(({ message }) => !known.test(message)),
    []
  )
  assert.deepEqual(worker.errors, [])
})

/** Restarted in order, then by a crash. */
export const restarted: Outage<OnServer> = {
  cuts: 2,
  happens: ({ run, server }) =>
    Effect.gen(function* () {
      yield* Effect.promise(() => server.restart("fast"))
      const { completed: done = 0 } = yield* run(countRequests)
      yield* run(insertRequests(1000))
      yield* run(completed(done + 200))
      yield* Effect.promise(() => server.kill())
      yield* Effect.promise(() => server.start())
    })
}

/** Down, its port refusing connections, for this long. */
export const away = (seconds: number): Outage<OnServer> => ({
  cuts: 1,
  happens: ({ server }) =>
    Effect.gen(function* () {
      yield* Effect.promise(() => server.shutdown())
      yield* Effect.sleep(`${seconds} seconds`)
      yield* Effect.promise(() => server.start())
    })
})

/** Up, and refusing to write, as a primary that became a standby: sessions end when that begins and ends. */
export const readOnly = (seconds: number): Outage<OnDatabase> => ({
  cuts: 2,
  happens: ({ database, run }) => {
    const become = (setting: string) =>
      Effect.andThen(onServer(inject("databaseUrl"), [`ALTER DATABASE ${database} ${setting}`]), run(endSessions))
    return Effect.gen(function* () {
      yield* become("SET default_transaction_read_only = on")
      yield* Effect.sleep(`${seconds} seconds`)
      yield* become("RESET default_transaction_read_only")
    })
  }
})

/** Packets are dropped for this long, and nobody is told. */
export const silent = (seconds: number): Outage<OnDatabase> => ({
  cuts: 1,
  happens: ({ proxy }) =>
    Effect.gen(function* () {
      yield* Effect.promise(() => proxy.mode("drop"))
      yield* Effect.sleep(`${seconds} seconds`)
      yield* Effect.promise(() => proxy.mode("pass"))
    })
})

/** All its sessions are ended again and again, with so many requests more each time that there is always work. */
export const sessionsEnded = (rounds: number, everyMillis: number, more: number): Outage<OnDatabase> => ({
  cuts: rounds,
  happens: ({ run }) =>
    Effect.gen(function* () {
      for (let round = 0; round < rounds; round++) {
        yield* run(insertRequests(more))
        yield* run(endSessions)
        yield* Effect.sleep(`${everyMillis} millis`)
      }
    })
})

const endSessions = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'worker' AND datname = current_database()`
)
