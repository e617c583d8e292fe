/**
 * What signals do to the process, in quiet and in trouble.
 */
import { assert, describe, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { TestDatabase } from "../support/Database.ts"
import { startOtlpReceiver } from "../support/OtlpReceiver.ts"
import { freePort } from "../support/Postgres.ts"
import { startWorker, until, type WorkerProcess } from "../support/WorkerProcess.ts"
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

/** So slow that a stop falls into the middle of a drain. */
const slow = { MAX_WORKERS: "10", DB_MAX_CONNS: "1", DB_MIN_CONNS: "1" }

const clean = { status: 0, signal: null }

/** SIGTERM; how long it took to end, in seconds. */
const stopIn = (worker: WorkerProcess) =>
  Effect.map(Effect.timed(worker.stop), ([took, end]) => ({ ...end, seconds: Duration.toSeconds(took) }))

describe("a stop", () => {
  it.live("[91] under load ends with status 0, no job left running, no attempt burned, and nothing more claimed", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const sql = yield* SqlClient.SqlClient
        yield* insertRequests(5000)
        const worker = yield* startWorker(url, slow)
        yield* completed(500)

        const { seconds, ...end } = yield* stopIn(worker)

        assert.deepEqual(end, clean)
        assert.isBelow(seconds, 10)
        const jobs = yield* countJobs
        assert.hasAllKeys(jobs, ["available", "completed"])
        assert.deepEqual(yield* countRequests, { completed: jobs["completed"]!, pending: jobs["available"]! })
        assert.lengthOf(yield* getJobs("j.attempt <> CASE j.state WHEN 'completed' THEN 1 ELSE 0 END"), 0)
        assert.lengthOf(yield* getJobs("j.errors IS NOT NULL"), 0)
        const stopping = yield* worker.line(/^stopping: running jobs may finish, no more are claimed$/)
        assert.strictEqual(worker.log.at(-1), stopping)
        const [late] = yield* sql<{ readonly count: number }>`SELECT count(*)::int AS count FROM metadata.river_job
          WHERE attempted_at > ${stopping.timestamp}::timestamptz`
        assert.isAtMost(late!.count, 2 * Number(slow.MAX_WORKERS))
      })
    )
  )

  it.live("waits for what can still be written, claims nothing meanwhile, and closes the database after that", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const collector = yield* Effect.acquireRelease(
          Effect.promise(() => startOtlpReceiver()),
          (receiver) => Effect.promise(receiver.stop)
        )
        const { server, sql } = yield* ownServer({
          log_statement: "all",
          log_disconnections: "on",
          log_line_prefix: "%p %a ",
          log_parameter_max_length: 0
        })
        const worker = yield* startWorker(`${server.url}?application_name=worker`, {
          DB_MIN_CONNS: "4",
          OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
          OTEL_BSP_SCHEDULE_DELAY: "60000",
          OTEL_BSP_MAX_QUEUE_SIZE: "10000"
        })
        yield* worker.working
        yield* sql(insertRequests(200))

        yield* sql(
          holdRequests(
            20,
            Effect.gen(function* () {
              yield* completed(180)
              yield* worker.signal("SIGTERM")
              yield* worker.line(/^stopping/)
              yield* Effect.sleep("200 millis")
              yield* Effect.provide(insertRequests(10), elsewhere(server.url), { local: true })
              yield* Effect.sleep("500 millis")
              assert.deepEqual(yield* countJobs, { available: 10, completed: 180, running: 20 })
            })
          )
        )

        const [took, end] = yield* Effect.timed(worker.ended)
        assert.deepEqual(end, clean)
        assert.isBelow(Duration.toSeconds(took), 5)
        assert.deepEqual(yield* sql(countJobs), { available: 10, completed: 200 })
        const events = yield* until(
          Effect.sync(() => databaseEvents(server.log())),
          (events) => events.filter(({ what }) => what === "closed").length >= 2
        )
        const settles = events.filter(({ what }) => what === "settle")
        const pool = new Set(events.filter(({ what }) => what !== "closed").map(({ pid }) => pid))
        const last = events.lastIndexOf(settles.at(-1)!)
        assert.isBelow(
          events.findLastIndex(({ what }) => what === "claim"),
          last
        )
        assert.isAbove(
          events.findIndex(({ pid, what }) => what === "closed" && pool.has(pid)),
          last
        )
        assert.lengthOf(
          collector.spans.filter(({ name }) => name === "river.settle"),
          200
        )
      })
    )
  )

  it.live("is immediate while the database is away, refuses to answer, or has no work, with either signal", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const proxy = yield* proxyTo(url)
        yield* Effect.promise(() => proxy.mode("drop"))
        const nobody = `postgres://me:nobody@127.0.0.1:${yield* Effect.promise(freePort)}/db`
        const away = yield* startWorker(nobody)
        const hanging = yield* startWorker(proxy.through(url))
        const idle = yield* startWorker(url, { FETCH_POLL_INTERVAL: "60s" })
        yield* away.line(/^the database is away/)
        yield* idle.working
        yield* until(
          Effect.sync(() => proxy.connections()),
          (count) => count > 0
        )

        for (const [worker, signal] of [
          [away, "SIGTERM"],
          [hanging, "SIGTERM"],
          [idle, "SIGINT"]
        ] as const) {
          const [took, end] = yield* Effect.timed(Effect.andThen(worker.signal(signal), worker.ended))
          assert.deepEqual(end, clean)
          assert.isBelow(Duration.toSeconds(took), 3)
          assert.deepEqual(worker.errors, [])
        }
      })
    )
  )
})

// They wait more than they work.
describe.concurrent("a stop that meets trouble", () => {
  it.live("stops claiming at once also when the listening session hangs", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const proxy = yield* proxyTo(url)
        const worker = yield* startWorker(url, {
          ...slow,
          DATABASE_LISTEN_URL: proxy.through(url),
          SOFT_STOP_TIMEOUT: "2s"
        })
        yield* until(
          Effect.sync(() => proxy.connections()),
          (count) => count > 0
        )
        yield* insertRequests(10_000)
        yield* completed(500)
        yield* Effect.promise(() => proxy.mode("drop"))

        const { seconds, ...end } = yield* stopIn(worker)

        assert.deepEqual(end, clean)
        assert.isBelow(seconds, 7)
        const stopping = yield* worker.line(/^stopping/)
        const late = yield* getJobs(`j.attempted_at > '${stopping.timestamp}'::timestamptz + interval '0.5 seconds'`)
        assert.lengthOf(late, 0)
        assert.hasAllKeys(yield* countJobs, ["available", "completed"])
      })
    )
  )

  it.live("gives back what cannot be written in time because somebody else holds its request", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        yield* insertRequests(200)

        yield* holdRequests(
          20,
          Effect.gen(function* () {
            const worker = yield* startWorker(url, { SOFT_STOP_TIMEOUT: "1s" })
            yield* completed(180)
            const { seconds, ...end } = yield* stopIn(worker)
            assert.deepEqual(end, clean)
            assert.isBelow(seconds, 6)
          })
        )

        assert.deepEqual(yield* countJobs, { available: 20, completed: 180 })
        assert.lengthOf(yield* getJobs("j.state = 'available' AND (j.attempt <> 0 OR j.errors IS NOT NULL)"), 0)
      })
    )
  )

  it.live("ends within the soft stop and 5 seconds although the database hangs in the middle of a drain", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const proxy = yield* proxyTo(url)
        yield* insertRequests(5000)
        const worker = yield* startWorker(proxy.through(url), { ...slow, SOFT_STOP_TIMEOUT: "2s" })
        yield* completed(500)
        yield* Effect.promise(() => proxy.mode("drop"))
        yield* Effect.sleep("200 millis")

        const { seconds, ...end } = yield* stopIn(worker)

        assert.deepEqual(end, clean)
        assert.isBelow(seconds, 7)
        assert.lengthOf(yield* getJobs("j.attempt > 1 OR j.errors IS NOT NULL"), 0)
      })
    )
  )

  it.live("is cut short by a second signal, with the status that the signal has", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const proxy = yield* proxyTo(url)
        const signals = [
          ["SIGTERM", "SIGTERM", 143],
          ["SIGINT", "SIGINT", 130],
          ["SIGTERM", "SIGINT", 130]
        ] as const
        const workers = [
          yield* startWorker(proxy.through(url)),
          yield* startWorker(proxy.through(url)),
          yield* startWorker(proxy.through(url))
        ]
        for (const worker of workers) yield* worker.working
        yield* Effect.promise(() => proxy.mode("drop"))
        // A claim hangs now.
        yield* Effect.sleep("1500 millis")

        for (const [n, [first, second, status]] of signals.entries()) {
          const worker = workers[n]!
          yield* worker.signal(first)
          yield* worker.line(/^stopping/)
          yield* Effect.sleep("300 millis")
          const [took, end] = yield* Effect.timed(Effect.andThen(worker.signal(second), worker.ended))
          assert.deepEqual(end, { status, signal: null })
          assert.isBelow(Duration.toSeconds(took), 1)
        }
      })
    )
  )
})

/** A session besides the one of a transaction. */
const elsewhere = (url: string) => PgClient.layer({ url: Redacted.make(url), maxConnections: 1 })

/** Runs something while another transaction holds the first requests. What is run reads in that transaction. */
const holdRequests = <A, E, R>(count: number, meanwhile: Effect.Effect<A, E, R>) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.withTransaction(
      Effect.andThen(
        sql`SELECT FROM metadata.file_upload_requests ORDER BY entity_id LIMIT ${count} FOR UPDATE`,
        meanwhile
      )
    )
  )

/** What the worker's sessions did, in the order of the server's log, whose further lines of an entry are indented. */
const databaseEvents = (log: string) =>
  log.split(/\n(?!\t)/).flatMap((entry) => {
    const [, pid, text = ""] = /^(\d+) worker LOG: +(.*)$/s.exec(entry) ?? []
    if (pid === undefined) return []
    if (text.startsWith("disconnection:")) return [{ pid, what: "closed" }]
    if (!text.startsWith("execute ")) return []
    if (text.includes("with candidate as")) return [{ pid, what: "claim" }]
    return text.includes("as client_id") ? [{ pid, what: "settle" }] : []
  })
