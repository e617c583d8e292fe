import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import * as Migrate from "../../src/Migrate.ts"
import { emptyDatabase, TestDatabase } from "../support/Database.ts"
import {
  answer,
  done,
  ended,
  getJobs,
  insertItems,
  insertJob,
  insertJobs,
  itemWorker,
  jobIn,
  riverDatabase,
  startClient,
  until,
  worker
} from "./support.ts"

layer(riverDatabase, { excludeTestServices: true })("two clients", (it) => {
  it.effect("[26] complete each of many jobs exactly once between them, and both get a share", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = itemWorker((job) => Effect.delay(answer(job), "1 millis"))
      const { prefix } = yield* insertItems(kind, 4000)
      const foreign = yield* insertJobs("of_nobody", 10)
      const untouched = yield* getJobs(foreign)

      const clients = yield* Effect.all([
        startClient([kind], { maxWorkers: 50, clientName: "blue" }),
        startClient([kind], { maxWorkers: 50, clientName: "green" })
      ])
      assert.deepEqual(yield* ended(kind), { completed: 4000 })

      assert.deepEqual(
        yield* sql`SELECT count(*)::int, min(attempt), max(attempt), count(errors)::int AS errors,
          max(cardinality(attempted_by)) AS claims FROM metadata.river_job WHERE kind = ${kind.kind}`,
        [{ count: 4000, min: 1, max: 1, errors: 0, claims: 1 }]
      )
      assert.deepEqual(
        yield* sql`SELECT min(writes), max(writes), bool_and(i.answer = 'by job ' || j.id) AS own
          FROM app.item i JOIN metadata.river_job j ON j.args ->> 'item' = i.id WHERE i.id LIKE ${`${prefix}%`}`,
        [{ min: 1, max: 1, own: true }]
      )
      const shares = yield* sql<{ readonly by: string; readonly count: number }>`
        SELECT attempted_by[1] AS by, count(*)::int FROM metadata.river_job WHERE kind = ${kind.kind} GROUP BY 1`
      assert.sameMembers(
        shares.map(({ by }) => by),
        clients.map(({ clientId }) => clientId)
      )
      assert.isAtLeast(Math.min(...shares.map(({ count }) => count)), 100)
      assert.deepEqual(yield* getJobs(foreign), untouched)
      for (const client of clients) assert.deepEqual(client.logs, [])
    })
  )
})

layer(riverDatabase, { excludeTestServices: true })("a client", (it) => {
  it.effect("[3] needs none of River's other tables", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`DROP TABLE IF EXISTS metadata.river_client_queue, metadata.river_client, metadata.river_notification,
        metadata.river_leader, metadata.river_migration`
      const kind = itemWorker()
      const { ids } = yield* insertItems(kind, 5)

      yield* startClient([kind])

      assert.deepEqual(yield* ended(kind), { completed: 5 })
      assert.lengthOf(yield* getJobs(ids), 5)
    })
  )

  it.effect("[2] [9] works as a role that owns nothing and has only what it needs", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { name, url } = yield* TestDatabase
      const role = `worker_${name}`
      yield* Effect.acquireRelease(sql.unsafe(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`), () =>
        Effect.orDie(Effect.andThen(sql.unsafe(`DROP OWNED BY ${role}`), sql.unsafe(`DROP ROLE ${role}`)))
      )
      for (const grant of [
        "USAGE ON SCHEMA metadata, app",
        "SELECT, UPDATE, DELETE ON metadata.river_job",
        "SELECT, INSERT, UPDATE ON metadata.river_queue",
        "EXECUTE ON FUNCTION metadata.river_job_state_in_bitmask",
        "SELECT, UPDATE ON app.item"
      ]) {
        yield* sql.unsafe(`GRANT ${grant} TO ${role}`)
      }
      const own = new URL(url)
      own.username = role
      own.password = "secret"
      const kind = itemWorker()
      const failing = worker(() => Effect.fail("no"))
      yield* insertItems(kind, 5)
      const scheduled = yield* insertJob(kind, { state: "scheduled", args: { item: "none" } })
      const failed = yield* insertJob(failing, { max_attempts: 1 })

      const client = yield* startClient([kind, failing], { url: own.href })

      yield* jobIn("discarded", failed)
      yield* jobIn("cancelled", scheduled)
      assert.deepEqual(yield* ended(kind), { completed: 5, cancelled: 1 })
      assert.deepEqual(client.logged(/could not/), [])
      yield* client.stop
    })
  )
})

layer(emptyDatabase, { excludeTestServices: true })("on an empty database, a client", (it) => {
  const migrations = (schema: string) =>
    Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT * FROM ${sql(schema)}.river_migration ORDER BY version`)

  const worksAt = Effect.fnUntraced(function* (version: number) {
    const sql = yield* SqlClient.SqlClient
    const schema = `at_${version}`
    const before = yield* migrations(schema)
    const kind = worker(() => done)
    for (const state of ["available", "scheduled"]) {
      yield* sql`INSERT INTO ${sql(schema)}.river_job (kind, queue, max_attempts, args, state)
        VALUES (${kind.kind}, 'test', 1, '{}', ${state})`
    }

    yield* startClient([kind], { schema })
    yield* until(sql<{ readonly state: string }>`SELECT state::text FROM ${sql(schema)}.river_job`, (jobs) =>
      jobs.every(({ state }) => state === "completed")
    )

    assert.deepEqual(yield* migrations(schema), before)
  })

  it.effect("[1] works at versions 6, 7 and 8 of River's tables, and changes no schema", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const versions = [6, 7, 8]
      for (const version of versions) yield* Migrate.up({ schema: `at_${version}`, to: { line: "main", version } })
      const catalog = sql`SELECT max(oid)::bigint AS newest, count(*)::int FROM pg_class`
      const before = yield* catalog

      yield* Effect.forEach(versions, worksAt, { concurrency: "unbounded" })

      assert.deepEqual(yield* catalog, before)
    })
  )

  it.effect("[4] works in a schema whose name has capitals", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const sql = yield* SqlClient.SqlClient
      yield* Migrate.up({ schema: "MixedCase", to: { line: "main", version: 8 } })
      const kind = worker(() => done)

      yield* startClient([kind], {
        schema: "MixedCase",
        fetchPollInterval: Duration.minutes(1),
        listen: { url: Redacted.make(url) }
      })
      yield* Effect.sleep("500 millis")
      yield* sql`INSERT INTO "MixedCase".river_job (kind, queue, max_attempts, args) VALUES (${kind.kind}, 'test', 1, '{}')`
      const pg = yield* PgClient.PgClient
      yield* pg.notify("MixedCase.river_insert", '{"queue": "test"}')

      yield* until(
        sql<{ readonly state: string }>`SELECT state::text FROM "MixedCase".river_job`,
        ([job]) => job?.state === "completed",
        "1 second"
      )
    })
  )
})
