/**
 * Jobs whose process died, or never heard of its claim: back at work within seconds.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { TestDatabase } from "../support/Database.ts"
import { startWorker, until } from "../support/WorkerProcess.ts"
import { assertLostOnce, hold, inFlight, killInFlight, promised, sessions } from "./inFlight.ts"
import {
  answered,
  countJobs,
  countRequests,
  getAnswer,
  insertRequests,
  jobEnded,
  jobOf,
  onDatabase,
  proxyTo,
  requestUpload
} from "./support.ts"

describe("jobs in flight", () => {
  it.live(
    "[97] of a process that is killed are completed by another within 15 s, a thousand of them, none discarded",
    () =>
      onDatabase(
        Effect.gen(function* () {
          yield* killInFlight((yield* TestDatabase).url)
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
