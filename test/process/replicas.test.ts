/**
 * Several processes on one queue.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { TestDatabase } from "../support/Database.ts"
import { startWorker, until } from "../support/WorkerProcess.ts"
import { completed, countJobs, countRequests, getJobs, insertRequests, onDatabase } from "./support.ts"

/** Counts every write of a job's or a request's end, so that a second one cannot hide behind the first. */
const countEnds = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`CREATE TABLE public.ended (what text, id text)`
  yield* sql`CREATE FUNCTION public.count_end() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO public.ended VALUES (TG_TABLE_NAME, NEW.id::text); RETURN NULL; END $$`
  yield* sql`CREATE TRIGGER count_end AFTER UPDATE ON metadata.river_job FOR EACH ROW
    WHEN (NEW.state <> 'running') EXECUTE FUNCTION public.count_end()`
  yield* sql`CREATE TRIGGER count_end AFTER UPDATE ON metadata.file_upload_requests FOR EACH ROW
    EXECUTE FUNCTION public.count_end()`
})

describe("two processes", () => {
  it.live("[26] drain ten thousand requests together, each job completed exactly once", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const sql = yield* SqlClient.SqlClient
        yield* countEnds
        const workers = [
          yield* startWorker(`${url}?application_name=one`, { RIVER_CLIENT_ID: "one", DB_MAX_CONNS: "3" }),
          yield* startWorker(`${url}?application_name=two`, { RIVER_CLIENT_ID: "two", DB_MAX_CONNS: "3" })
        ]
        for (const worker of workers) yield* worker.working

        yield* insertRequests(10_000)
        let most = 0
        yield* until(
          Effect.gen(function* () {
            const sessions = yield* sql<{ readonly count: number }>`SELECT count(*)::int AS count FROM pg_stat_activity
              WHERE application_name IN ('one', 'two') GROUP BY application_name`
            most = Math.max(most, ...sessions.map(({ count }) => count))
            return yield* countRequests
          }),
          (statuses) => statuses["completed"] === 10_000,
          "40 seconds"
        )
        // The pool and the listening session.
        assert.isAtMost(most, 4)
        for (const worker of workers) assert.deepEqual(yield* worker.stop, { status: 0, signal: null })

        assert.deepEqual(yield* countRequests, { completed: 10_000 })
        assert.deepEqual(yield* countJobs, { completed: 10_000 })
        const ends = yield* sql`SELECT what, count(*)::int AS writes, count(DISTINCT id)::int AS rows
          FROM public.ended GROUP BY 1 ORDER BY 1`
        assert.deepEqual(ends, [
          { what: "file_upload_requests", writes: 10_000, rows: 10_000 },
          { what: "river_job", writes: 10_000, rows: 10_000 }
        ])
        const shares = yield* sql<{ readonly client: string; readonly jobs: number }>`
          SELECT split_part(attempted_by[1], '_', 1) AS client, count(*)::int AS jobs FROM metadata.river_job
          WHERE attempt = 1 AND cardinality(attempted_by) = 1 AND errors IS NULL GROUP BY 1 ORDER BY 1`
        assert.deepEqual(
          shares.map(({ client }) => client),
          ["one", "two"]
        )
        assert.strictEqual(
          shares.reduce((sum, { jobs }) => sum + jobs, 0),
          10_000
        )
        const [distinct] = yield* sql`SELECT count(DISTINCT file_id)::int AS files, count(DISTINCT s3_key)::int AS keys
          FROM metadata.file_upload_requests`
        assert.deepEqual(distinct, { files: 10_000, keys: 10_000 })
        for (const worker of workers) {
          assert.deepEqual(
            worker.log.filter(({ level }) => level !== "info"),
            []
          )
        }
      })
    )
  )

  it.live("[124] are replaced one after the other under load, by others of the same name, and no attempt is lost", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const settings = { RIVER_CLIENT_ID: "same", MAX_WORKERS: "10", DB_MAX_CONNS: "1" }
        let old = yield* startWorker(url, settings)
        yield* old.working

        for (let replaced = 0; replaced < 3; replaced++) {
          const next = yield* startWorker(url, settings)
          yield* next.working
          const { completed: before = 0 } = yield* countRequests
          yield* insertRequests(1500)
          yield* completed(before + 300)
          assert.deepEqual(yield* old.stop, { status: 0, signal: null })
          old = next
          yield* insertRequests(100)
          yield* completed(before + 1600)
        }
        assert.deepEqual(yield* old.stop, { status: 0, signal: null })
        assert.deepEqual(yield* countJobs, { completed: 4800 })

        const jobs = yield* getJobs("true")
        for (const { attempt, errors, state } of jobs) {
          assert.deepEqual({ attempt, errors, state }, { attempt: 1, errors: null, state: "completed" })
        }
        // Whoever came found work, and had a name of its own all the same.
        assert.isAtLeast(new Set(jobs.flatMap(({ attempted_by }) => attempted_by)).size, 3)
      })
    )
  )
})
