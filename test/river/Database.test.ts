import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as SqlClient from "effect/sql/SqlClient"
import { Database } from "../../src/river/index.ts"
import { describe, StatementTimeout } from "../../src/river/SqlFault.ts"
import * as Migrate from "../../src/Migrate.ts"
import { TestDatabase } from "../support/Database.ts"
import { startPostgres } from "../support/Postgres.ts"
import { startProxy } from "../support/TcpProxy.ts"
import {
  answer,
  countStates,
  done,
  ended,
  getJob,
  insertItems,
  insertJob,
  itemWorker,
  jobIn,
  riverDatabase,
  serverPort,
  startClient,
  until,
  worker
} from "./support.ts"

const terminate = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'river-test'`
})

/** Runs with the service on the test's database, and with what it logs. */
const withService = <A, E>(
  use: (database: Database["Service"], logs: ReadonlyArray<string>) => Effect.Effect<A, E>
) => {
  const logs: Array<string> = []
  const logger = Logger.make<unknown, void>(({ message }) => {
    logs.push(String(message))
  })
  return Effect.flatMap(Database, (database) => use(database, logs)).pipe(
    Effect.provide(Layer.fresh(Database.layer)),
    Effect.provide(Logger.layer([logger]))
  )
}

layer(riverDatabase, { excludeTestServices: true })("Database", (it) => {
  it.effect("drops a statement that does not answer in time, and says once that the database is away and back", () =>
    withService((database, logs) =>
      Effect.gen(function* () {
        const { sql } = database
        const begun = yield* Clock.currentTimeMillis

        for (let i = 0; i < 2; i++) {
          const fault = yield* Effect.flip(database.run(sql`SELECT pg_sleep(5)`, Duration.millis(100)))
          assert.instanceOf(fault, StatementTimeout)
        }
        yield* database.run(sql`SELECT 1`)
        yield* database.run(sql`SELECT 1`)

        assert.isBelow((yield* Clock.currentTimeMillis) - begun, 2000)
        assert.lengthOf(logs, 2)
        assert.match(logs[0]!, /^the database is away, waiting for it: .* did not answer within 0.1 seconds$/)
        assert.match(logs[1]!, /^the database is back after \d+\.\d s$/)
      })
    )
  )

  it.effect("leaves a statement at once when it is interrupted", () =>
    withService((database) =>
      Effect.gen(function* () {
        const statement = database.run(database.sql`SELECT pg_sleep(5)`)
        const fiber = yield* Effect.forkChild(statement, { startImmediately: true })
        yield* Effect.sleep("50 millis")
        const begun = yield* Clock.currentTimeMillis

        yield* Fiber.interrupt(fiber)

        assert.isBelow((yield* Clock.currentTimeMillis) - begun, 50)
      })
    )
  )

  it.effect("hands on at once what is no outage, and takes it for a sign of life", () =>
    withService((database, logs) =>
      Effect.gen(function* () {
        const { sql } = database

        yield* Effect.flip(database.run(sql`SELECT pg_sleep(5)`, Duration.millis(50)))
        const fault = yield* Effect.flip(database.runPatiently(sql`SELECT 1 / 0`))

        assert.strictEqual(describe(fault), "division by zero (SQLSTATE 22012)")
        assert.lengthOf(logs, 2)
      })
    )
  )
})

layer(riverDatabase, { excludeTestServices: true })("a client whose sessions are killed", (it) => {
  it.effect("[54] settles everything all the same, each row once", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = itemWorker((job) => Effect.delay(answer(job), "5 millis"), { timeout: Duration.millis(500) })
      const { prefix } = yield* insertItems(kind, 2000)
      const killing = yield* Effect.forkChild(Effect.repeat(terminate, Schedule.spaced("150 millis")))

      const client = yield* startClient([kind], { maxWorkers: 20 })
      yield* until(countStates(kind), ({ completed = 0 }) => completed > 1000)
      yield* Fiber.interrupt(killing)

      // A job whose claim was committed and never heard of is rescued after 5.5 seconds.
      assert.deepEqual(yield* ended(kind), { completed: 2000 })
      assert.deepEqual(
        yield* sql`SELECT min(writes), max(writes), count(*)::int FROM app.item WHERE id LIKE ${`${prefix}%`}`,
        [{ min: 1, max: 1, count: 2000 }]
      )
      const odd = client.logs.filter(({ message }) => !/^the database is|^rescued|^a late result/.test(message))
      assert.deepEqual(odd, [])
    })
  )
})

layer(riverDatabase, { excludeTestServices: true })("a client of a database that became read-only", (it) => {
  it.effect("waits, says so in one line and in another one when it goes on, and completes everything", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { name } = yield* TestDatabase
      const release = yield* Deferred.make<void>()
      const slow = worker(() => Effect.as(Deferred.await(release), {}))
      const quick = worker(() => done)
      const running = yield* insertJob(slow)
      const client = yield* startClient([slow, quick])
      yield* jobIn("running", running)
      const begun = client.events.length

      yield* sql.unsafe(`ALTER DATABASE ${name} SET default_transaction_read_only = on`)
      yield* terminate
      const waiting = yield* insertJob(quick)
      yield* Deferred.succeed(release, undefined)
      yield* Effect.sleep("1500 millis")
      // Claims, settles and chores of 1.5 s, each with growing pauses: nothing spins.
      assert.isAtMost(client.events.length - begun, 30)
      assert.deepInclude(yield* getJob(waiting), { state: "available", attempt: 0 })
      yield* sql.unsafe(`ALTER DATABASE ${name} RESET default_transaction_read_only`)
      yield* terminate

      assert.deepInclude(yield* jobIn("completed", running), { attempt: 1, errors: null })
      assert.deepInclude(yield* jobIn("completed", waiting), { attempt: 1, errors: null })
      assert.lengthOf(client.logs, 2)
      assert.lengthOf(client.logged(/^the database is away, waiting for it: /), 1)
      assert.lengthOf(client.logged(/^the database is back after /), 1)
    })
  )
})

layer(riverDatabase, { excludeTestServices: true })("a client that starts before its database", (it) => {
  it.effect("[6] waits for it without spinning, and then works", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const proxy = yield* Effect.acquireRelease(
        Effect.promise(() => startProxy({ targetPort: serverPort() })),
        (started) => Effect.promise(() => started.stop())
      )
      yield* Effect.promise(() => proxy.mode("refuse"))
      const kind = worker(() => done)
      const id = yield* insertJob(kind)

      const client = yield* startClient([kind], { url: proxy.through(url) })
      yield* Effect.sleep("800 millis")
      assert.isAtMost(client.events.length, 12)
      assert.lengthOf(client.logged(/^the database is away, waiting for it: /), 1)
      yield* Effect.promise(() => proxy.mode("pass"))

      assert.deepInclude(yield* jobIn("completed", id), { attempt: 1 })
      assert.lengthOf(client.logs, 2)
    })
  )
})

/** The server, to be stopped and started. */
class Server extends Context.Service<Server, Awaited<ReturnType<typeof startPostgres>>>()("test/Server") {}

/** A PostgreSQL of one's own, which may be stopped; the test's statements wait for it, too. */
const ownServer = Layer.unwrap(
  Effect.gen(function* () {
    const server = yield* Effect.acquireRelease(
      Effect.promise(() => startPostgres({ durable: false })),
      (started) => Effect.promise(() => started.stop())
    )
    const pool = PgClient.layer({ url: Redacted.make(server.url), maxConnections: 2 })
    const migrated = Layer.effectDiscard(Migrate.up({ schema: "metadata" })).pipe(Layer.provideMerge(pool))
    return Layer.merge(Layer.succeed(TestDatabase, { url: server.url, name: "postgres" }), migrated).pipe(
      Layer.merge(Layer.succeed(Server, server))
    )
  })
)

layer(ownServer, { excludeTestServices: true })("a client whose PostgreSQL is stopped and started", (it) => {
  it.effect("[54] completes what ended meanwhile at its first attempt, and works and listens on", () =>
    Effect.gen(function* () {
      const server = yield* Server
      const release = yield* Deferred.make<void>()
      const slow = worker(() => Effect.as(Deferred.await(release), {}))
      const quick = worker(() => done)
      const running = yield* insertJob(slow)
      const client = yield* startClient([slow, quick], { listen: { url: Redacted.make(server.url) } })
      yield* jobIn("running", running)

      yield* Effect.promise(() => server.shutdown("fast"))
      yield* Deferred.succeed(release, undefined)
      yield* Effect.sleep("1 second")
      yield* Effect.promise(() => server.start())
      yield* until(Effect.exit(insertJob(quick)), (exit) => Exit.isSuccess(exit))

      assert.deepInclude(yield* jobIn("completed", running), { attempt: 1, errors: null })
      assert.deepEqual(yield* ended(quick), { completed: 1 })
      yield* until(
        Effect.sync(() => client.logs.length),
        (count) => count === 4
      )
      assert.lengthOf(client.logged(/^the database is away/), 1)
      assert.lengthOf(client.logged(/^the database is back/), 1)
      assert.lengthOf(client.logged(/^not listening/), 1)
      assert.lengthOf(client.logged(/^listening again/), 1)
    })
  )
})
