/**
 * Behind PgBouncer. In transaction mode each statement may meet another session, and no session hears notifications.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as SqlClient from "effect/sql/SqlClient"
import {
  findPgBouncer,
  noPgBouncer,
  type PgBouncer,
  type PgBouncerOptions,
  startPgBouncer
} from "../support/PgBouncer.ts"
import type { Postgres } from "../support/Postgres.ts"
import { runToEnd, type Settings, startWorker, until, type WorkerProcess } from "../support/WorkerProcess.ts"
import {
  answered,
  completed,
  countJobs,
  countRequests,
  getAnswer,
  getJobs,
  insertJob,
  insertRequests,
  jobEnded,
  ownServer,
  requestUpload
} from "./support.ts"

const program = findPgBouncer()
if (program === undefined) process.stderr.write(`skipped, the process behind a pooler: ${noPgBouncer}\n`)

interface Place {
  readonly server: Postgres
  readonly pooler: PgBouncer
  /** Starts a worker behind the pooler. */
  readonly start: (settings?: Settings) => Effect.Effect<WorkerProcess, never, Scope.Scope>
}

/** Fewer than the connections of one process. */
const poolSize = 3

/** Runs a test on a server of its own, its own statements going past the pooler. */
const behindPooler = <A, E>(
  test: (place: Place) => Effect.Effect<A, E, Scope.Scope | SqlClient.SqlClient>,
  mode: PgBouncerOptions["mode"] = "transaction"
) =>
  Effect.scoped(
    Effect.gen(function* () {
      const { server } = yield* ownServer()
      const pooler = yield* Effect.acquireRelease(
        Effect.promise(() =>
          startPgBouncer(program ?? "", {
            url: server.url,
            mode,
            // A client keeps a session for itself.
            poolSize: mode === "session" ? 20 : poolSize,
            settings: { server_login_retry: 1 }
          })
        ),
        ({ stop }) => Effect.promise(stop)
      )
      const start = (settings?: Settings) => startWorker(pooler.through(server.url), settings)
      const direct = PgClient.layer({ url: Redacted.make(server.url), maxConnections: 2, applicationName: "test" })
      return yield* Effect.provide(Effect.scoped(test({ server, pooler, start })), direct)
    })
  )

const sessions = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql`SELECT pid FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND application_name <> 'test'`
  return rows.length
})

/** The errors of the server's own log: statements that it refused, whether or not anybody was told. */
const serverErrors = (server: Postgres) => server.log().match(/^.* (ERROR|FATAL|PANIC): .*$/gm) ?? []

const pooled = /^a connection pooler stands before the database/
const deaf = /^not listening, jobs are found by polling/

describe.skipIf(program === undefined)("behind a transaction pooler", () => {
  it.live.each([
    ["polling alone", false],
    ["listening past it", true]
  ] as const)(
    "[48] [50] [64] [107] [110] three processes on three sessions end five thousand jobs at their first attempt, %s",
    ([, listening]) =>
      behindPooler(({ server, start }) =>
        Effect.gen(function* () {
          const settings = { DB_MAX_CONNS: "4", DATABASE_LISTEN_URL: listening ? server.url : undefined }
          const workers = [yield* start(settings), yield* start(settings), yield* start(settings)]
          for (const worker of workers) yield* worker.working
          const soon = yield* insertJob("{}", { state: "'scheduled'", scheduled_at: "now() + interval '1 second'" })
          const lost = yield* insertJob("{}", {
            state: "'running'",
            attempt: "25",
            attempted_at: "now() - interval '1 minute'",
            attempted_by: "'{h_s3signer_2020_01_01T00_00_00_000000}'"
          })

          yield* insertRequests(5000)
          const refused = yield* requestUpload({ entity_id: "" })
          let most = 0
          yield* until(
            Effect.gen(function* () {
              most = Math.max(most, yield* sessions)
              return yield* countRequests
            }),
            (statuses) => statuses["completed"] === 5000,
            "40 seconds"
          )

          assert.strictEqual((yield* answered(refused)).status, "failed")
          assert.deepInclude(yield* jobEnded(soon), { state: "discarded", attempt: 1 })
          assert.deepInclude(yield* jobEnded(lost), { state: "discarded", attempt: 25 })
          assert.deepEqual(yield* countJobs, { completed: 5000, discarded: 3 })
          assert.lengthOf(yield* getJobs("j.state = 'completed' AND (j.attempt <> 1 OR j.errors IS NOT NULL)"), 0)
          assert.isAtLeast(new Set((yield* getJobs("true")).flatMap(({ attempted_by }) => attempted_by)).size, 3)
          assert.isAtMost(most, poolSize + (listening ? workers.length : 0))
          for (const worker of workers) {
            assert.lengthOf(worker.logged(pooled), 1)
            assert.isAtMost(worker.logged(deaf).length, listening ? 0 : 1)
            assert.deepEqual(yield* worker.stop, { status: 0, signal: null })
            const known = /^(working|stopping|attempt failed|rescued 1 jobs)/
            const odd = worker.log.filter(({ message }) => ![pooled, deaf, known].some((each) => each.test(message)))
            assert.deepEqual(odd, [])
          }
          assert.deepEqual(serverErrors(server), [])
        })
      )
  )

  it.live("[97] [110] the jobs of a process that is killed amid its work are back at work within 15 seconds", () =>
    behindPooler(({ server, start }) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const victim = yield* start({ MAX_WORKERS: "100", JOB_TIMEOUT: "1s" })
        yield* victim.working
        yield* insertRequests(2000)
        yield* completed(300)
        yield* victim.signal("SIGSTOP")
        yield* Effect.sleep("200 millis")
        yield* victim.signal("SIGKILL")
        // Wherever it was killed, these it had claimed and not ended.
        yield* sql`UPDATE metadata.river_job SET state = 'running', attempt = 1, attempted_at = now(),
          attempted_by = (SELECT attempted_by FROM metadata.river_job WHERE state = 'completed' LIMIT 1)
          WHERE id IN (SELECT id FROM metadata.river_job WHERE state = 'available' LIMIT 100)`

        const heir = yield* start({ JOB_TIMEOUT: "1s" })
        const [took] = yield* Effect.timed(completed(2000, "25 seconds"))

        assert.isBelow(Duration.toSeconds(took), 15)
        assert.isAtLeast(heir.logged(/^rescued \d+ jobs/).length, 1)
        assert.isAtLeast((yield* getJobs("j.attempt = 2")).length, 100)
        assert.deepEqual(yield* countJobs, { completed: 2000 })
        assert.deepEqual(serverErrors(server), [])
      })
    )
  )

  it.live("[54] [127] a server that goes away behind it is waited for; then everything completes", () =>
    behindPooler(({ server, start }) =>
      Effect.gen(function* () {
        const worker = yield* start({ MAX_WORKERS: "10" })
        yield* worker.working
        yield* insertRequests(3000)
        yield* completed(200)

        yield* Effect.promise(() => server.shutdown("immediate"))
        yield* worker.line(/^the database is away, waiting for it: /)
        yield* Effect.promise(server.start)

        yield* worker.line(/^the database is back after /)
        yield* Effect.retry(completed(3000, "40 seconds"), { times: 5 })
        assert.deepEqual(yield* worker.stop, { status: 0, signal: null })
        assert.deepEqual(yield* countJobs, { completed: 3000 })
        assert.lengthOf(worker.logged(pooled), 1)
      })
    )
  )
})

describe.skipIf(program === undefined).concurrent("behind a pooler", () => {
  it.live("[18] [48] without a way past it a process says once that it hears nothing, and looks by itself", () =>
    behindPooler(({ pooler, start }) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const worker = yield* start()
        yield* worker.line(deaf)

        // What one process listens to must not reach whoever has its session next.
        for (let request = 0; request < 10; request++) {
          assert.strictEqual((yield* answered(yield* requestUpload(), "5 seconds")).status, "completed")
        }
        assert.isAtMost(pooler.log().match(/got packet 'A' from server when not linked/g)?.length ?? 0, 1)

        yield* sql`UPDATE metadata.river_queue SET paused_at = now(), updated_at = now()`
        yield* worker.line(/^queue paused/, "3 seconds")
        const id = yield* requestUpload()
        yield* Effect.sleep("1500 millis")
        assert.strictEqual((yield* getAnswer(id)).status, "pending")
        yield* sql`UPDATE metadata.river_queue SET paused_at = NULL, updated_at = now()`
        assert.strictEqual((yield* answered(id, "5 seconds")).status, "completed")
        assert.lengthOf(worker.logged(deaf), 1)
      })
    )
  )

  it.live("[40] a request is answered at once by a process that listens past it, however seldom it polls", () =>
    behindPooler(({ server, start }) =>
      Effect.gen(function* () {
        const worker = yield* start({ DATABASE_LISTEN_URL: server.url, FETCH_POLL_INTERVAL: "1m" })
        yield* worker.working
        // It listens after its first claim.
        yield* answered(yield* requestUpload())

        const [took, answer] = yield* Effect.timed(Effect.flatMap(requestUpload(), answered))

        assert.strictEqual(answer.status, "completed")
        assert.isBelow(Duration.toSeconds(took), 5)
      })
    )
  )

  it.live("a database that comes only later is waited for, and the pooler found out then", () =>
    behindPooler(({ server, start }) =>
      Effect.gen(function* () {
        yield* Effect.promise(() => server.shutdown())
        const worker = yield* start()
        yield* worker.line(/^the database is away, waiting for it: /)

        yield* Effect.promise(server.start)

        yield* worker.working
        const messages = worker.log.map(({ message }) => message.replace(/ after .*|, waiting .*|: .*/, ""))
        assert.deepEqual(messages.slice(0, 4), [
          "the database is away",
          "the database is back",
          "a connection pooler stands before the database",
          "working"
        ])
        assert.strictEqual(
          (yield* Effect.retry(Effect.flatMap(requestUpload(), answered), { times: 5 })).status,
          "completed"
        )
      })
    )
  )

  it.live("the tables are made and taken away through it, amid the statements of others", () =>
    behindPooler(({ pooler, server }) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE DATABASE other`
        const other = new URL(pooler.through(server.url))
        other.pathname = "/other"
        const busy = PgClient.layer({ url: Redacted.make(other.href), maxConnections: 6, prepare: false })
        yield* Effect.gen(function* () {
          const others = yield* SqlClient.SqlClient
          const traffic = Effect.forever(others`SELECT pg_sleep(0.002)`)
          yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => Effect.forkScoped(traffic), { discard: true })
          for (const args of [["up"], ["status"], ["down", "--to", "main:0", "--yes"]]) {
            const { errors, status } = yield* runToEnd(["migrate", ...args], { DATABASE_URL: other.href })
            assert.deepEqual({ errors, status }, { errors: [], status: 0 })
          }
        }).pipe(Effect.provide(busy, { local: true }), Effect.scoped)
        assert.deepEqual(serverErrors(server), [])
      })
    )
  )

  it.live.each([
    ["session", true],
    ["statement", false]
  ] as const)(
    "[40] [48] one that lends its sessions for one %s is worked through, and listened through: %s",
    ([mode, hears]) =>
      behindPooler(
        ({ server, start }) =>
          Effect.gen(function* () {
            const worker = yield* start({ FETCH_POLL_INTERVAL: hears ? "1m" : "1s" })
            yield* worker.line(pooled)
            // It listens after its first claim.
            if (hears) yield* answered(yield* requestUpload())
            else yield* worker.line(deaf)

            const [took, answer] = yield* Effect.timed(Effect.flatMap(requestUpload(), answered))

            assert.strictEqual(answer.status, "completed")
            assert.isBelow(Duration.toSeconds(took), 5)
            assert.lengthOf(worker.logged(deaf), hears ? 0 : 1)
            assert.deepEqual(yield* worker.stop, { status: 0, signal: null })
            assert.deepEqual(serverErrors(server), [])
          }),
        mode
      )
  )
})
