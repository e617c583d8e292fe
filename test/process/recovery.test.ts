/**
 * Jobs whose process died, or never heard of its claim: back at work within seconds.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { TestDatabase } from "../support/Database.ts"
import { startWorker, until } from "../support/WorkerProcess.ts"
import {
  answered,
  countJobs,
  countRequests,
  getAnswer,
  getJobs,
  insertRequests,
  jobEnded,
  jobOf,
  onDatabase,
  proxyTo,
  requestUpload
} from "./support.ts"

const inFlight = 1000

/** How long a job may be away. */
const promised = "15 seconds"

/** Runs statements in a transaction that stays open, with its locks, until it is let go. */
const hold = Effect.fnUntraced(function* (statements: Effect.Effect<unknown, SqlError, SqlClient.SqlClient>) {
  const sql = yield* SqlClient.SqlClient
  const done = yield* Latch.make()
  const letGo = yield* Latch.make()
  const transaction = yield* statements.pipe(
    Effect.andThen(done.open),
    Effect.andThen(letGo.await),
    sql.withTransaction,
    Effect.forkScoped
  )
  yield* Effect.raceFirst(done.await, Fiber.join(transaction))
  return { commit: Effect.andThen(letGo.open, Fiber.join(transaction)) }
})

/** How many sessions of this name there are. */
const sessions = Effect.fnUntraced(function* (name: string, condition = "true") {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ readonly count: number }>`SELECT count(*)::int AS count FROM pg_stat_activity
    WHERE application_name = ${name} AND datname = current_database() AND ${sql.literal(condition)}`
  return row!.count
})

/** Every job was lost once, and completed at its second attempt. */
const assertLostOnce = Effect.gen(function* () {
  assert.deepEqual(yield* countRequests, { completed: inFlight })
  assert.deepEqual(yield* countJobs, { completed: inFlight })
  const jobs = yield* getJobs("true")
  for (const { attempt, attempted_by, errors, metadata } of jobs) {
    assert.strictEqual(attempt, 2)
    assert.lengthOf(attempted_by ?? [], 2)
    assert.deepEqual(
      errors?.map(({ attempt, error }) => ({ attempt, error })),
      [{ attempt: 1, error: "Stuck job rescued by JobRescuer" }]
    )
    assert.strictEqual(metadata["river:rescue_count"], 1)
  }
  return jobs
})

describe("jobs in flight", () => {
  it.live(
    "[97] of a process that is killed are completed by another within 15 s, a thousand of them, none discarded",
    () =>
      onDatabase(
        Effect.gen(function* () {
          const { url } = yield* TestDatabase
          const survivor = yield* startWorker(url, { RIVER_CLIENT_ID: "survivor" })
          yield* Effect.flatMap(requestUpload(), (id) => answered(id))
          const sql = yield* SqlClient.SqlClient
          yield* sql`TRUNCATE metadata.file_upload_requests, metadata.river_job`

          // It is halted while the other one claims them all. None can be settled as long as their requests are held.
          yield* survivor.signal("SIGSTOP")
          yield* insertRequests(inFlight)
          const held = yield* hold(sql`SELECT FROM metadata.file_upload_requests FOR UPDATE`)
          const victim = yield* startWorker(`${url}?application_name=victim`, {
            RIVER_CLIENT_ID: "victim",
            MAX_WORKERS: String(inFlight)
          })
          yield* until(countJobs, ({ running }) => running === inFlight)
          yield* survivor.signal("SIGCONT")
          const killedAt = yield* Clock.currentTimeMillis
          yield* victim.signal("SIGKILL")
          assert.deepEqual(yield* victim.ended, { status: null, signal: "SIGKILL" })
          // What it had sent ends with the requests still held.
          yield* until(sessions("victim"), (count) => count === 0)
          yield* held.commit
          const running = yield* getJobs("j.state = 'running'")
          assert.lengthOf(running, inFlight)
          for (const { attempted_by } of running) assert.match(attempted_by?.at(-1) ?? "", /^victim_/)

          yield* until(countRequests, ({ completed }) => completed === inFlight, promised)
          assert.isBelow((yield* Clock.currentTimeMillis) - killedAt, 15_000)
          yield* until(countJobs, ({ completed }) => completed === inFlight)
          const jobs = yield* assertLostOnce
          for (const { attempted_by } of jobs) assert.match(attempted_by?.at(-1) ?? "", /^survivor_/)
        })
      )
  )

  it.live("whose claim was never heard of are completed within 15 s by the process that had sent it", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const sql = yield* SqlClient.SqlClient
        const proxy = yield* proxyTo(url)
        const worker = yield* startWorker(proxy.through(`${url}?application_name=worker`), {
          MAX_WORKERS: String(inFlight)
        })
        yield* Effect.flatMap(requestUpload(), (id) => answered(id))
        yield* sql`TRUNCATE metadata.file_upload_requests, metadata.river_job`

        // The claim has arrived and waits for the table; its answer will not get through.
        const held = yield* hold(
          Effect.andThen(sql`LOCK TABLE metadata.river_job IN SHARE ROW EXCLUSIVE MODE`, insertRequests(inFlight))
        )
        const claiming = "wait_event_type = 'Lock' AND query LIKE '%attempted_at = now()%'"
        yield* until(sessions("worker", claiming), (count) => count > 0)
        yield* Effect.promise(() => proxy.mode("drop"))
        yield* held.commit
        yield* until(countJobs, ({ running }) => running === inFlight)
        const lostAt = yield* Clock.currentTimeMillis
        yield* Effect.promise(() => proxy.mode("pass"))
        proxy.killConnections()

        yield* until(countRequests, ({ completed }) => completed === inFlight, promised)
        assert.isBelow((yield* Clock.currentTimeMillis) - lostAt, 15_000)
        yield* until(countJobs, ({ completed }) => completed === inFlight)
        const jobs = yield* assertLostOnce
        // One process, which is alive.
        assert.lengthOf(new Set(jobs.flatMap(({ attempted_by }) => attempted_by)), 1)
        assert.deepEqual(yield* worker.stop, { status: 0, signal: null })
      })
    )
  )
})

describe("a job that kills its process again and again", () => {
  it.live(
    "ends discarded when its attempts are used up, and its request failed",
    () =>
      onDatabase(
        Effect.gen(function* () {
          const { url } = yield* TestDatabase
          const sql = yield* SqlClient.SqlClient
          const attempts = 3
          // So lost jobs are found after 6 seconds.
          const settings = { JOB_TIMEOUT: "1s" }
          let request: string | undefined
          for (let life = 1; life <= attempts; life++) {
            const proxy = yield* proxyTo(url)
            const worker = yield* startWorker(proxy.through(url), { ...settings, RIVER_CLIENT_ID: `life_${life}` })
            yield* worker.working
            // Far away: the job is seen to run for twice this long before it can be settled.
            yield* Effect.promise(() => proxy.mode({ delay: 400 }))
            if (request === undefined) {
              request = yield* sql.withTransaction(
                Effect.tap(requestUpload(), () => sql`UPDATE metadata.river_job SET max_attempts = ${attempts}`)
              )
            }
            yield* until(jobOf(request!), ({ attempt, state }) => state === "running" && attempt === life)
            yield* worker.signal("SIGKILL")
            assert.deepEqual(yield* worker.ended, { status: null, signal: "SIGKILL" })
          }

          yield* startWorker(url, settings)
          const { id } = yield* jobOf(request!)
          const job = yield* jobEnded(id)
          assert.deepInclude(job, { state: "discarded", attempt: attempts })
          assert.deepEqual(
            job.errors?.map(({ attempt, error }) => ({ attempt, error })),
            [1, 2, 3].map((attempt) => ({ attempt, error: "Stuck job rescued by JobRescuer" }))
          )
          assert.deepEqual(
            job.attempted_by?.map((client) => client.slice(0, "life_n".length)),
            ["life_1", "life_2", "life_3"]
          )
          assert.strictEqual(job.metadata["river:rescue_count"], attempts)
          assert.deepEqual(yield* getAnswer(request!), {
            status: "failed",
            url: null,
            file_id: null,
            error: "the job was given up: its worker was lost in each of 3 attempts"
          })
        })
      ),
    120_000
  )
})
