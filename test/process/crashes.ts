/**
 * A drain in which the process is killed again and again, and what must be true of it; in a short and in a long form.
 */
import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as SqlClient from "effect/sql/SqlClient"
import { TestDatabase } from "../support/Database.ts"
import { startWorker, until, type WorkerProcess } from "../support/WorkerProcess.ts"
import { countRequests, getJobs, insertRequests } from "./support.ts"

/** What a request was answered with: its URL, key and file id, in one text. */
const answers = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly id: string; readonly answer: string }>`
    SELECT id, concat_ws(' ', presigned_url, s3_key, file_id) AS answer FROM metadata.file_upload_requests
    WHERE status = 'completed'`
  return new Map(rows.map(({ answer, id }) => [id, answer]))
})

/** Halts the process at a moment when it has claimed jobs and not settled them. */
const stopAtWork = (worker: WorkerProcess) =>
  until(
    Effect.gen(function* () {
      yield* worker.signal("SIGCONT")
      yield* Effect.sleep("5 millis")
      yield* worker.signal("SIGSTOP")
      // Statements that are under way end all the same.
      yield* Effect.sleep("20 millis")
      return yield* getJobs("j.state = 'running' AND j.attempted_at > now() - interval '1 second'")
    }),
    (running) => running.length > 0
  )

/** So slow that a drain outlasts its kills. */
const slow = { MAX_WORKERS: "10", DB_MAX_CONNS: "1" }

/**
 * Drains this many requests with one process after the other, `kills` of which are killed: each at another point of the
 * drain, every second while it has claimed jobs, and every fourth while it starts.
 */
export const drainWithKills = Effect.fnUntraced(function* (options: {
  readonly requests: number
  readonly kills: number
}) {
  const { kills, requests } = options
  const { url } = yield* TestDatabase
  const sql = yield* SqlClient.SqlClient
  yield* insertRequests(requests)
  const handedOut = new Map<string, string>()

  for (let kill = 1; kill <= kills; kill++) {
    const worker = yield* startWorker(url, { ...slow, RIVER_CLIENT_ID: `life_${kill}` })
    if (kill % 4 === 0) {
      yield* Effect.flatMap(Random.nextBetween(100, 600), (millis) => Effect.sleep(Duration.millis(millis)))
    } else {
      // Somewhere in the share of the drain that is this process's.
      const share = requests / (kills + 1)
      const point = Math.round(share * (kill - 1 + (yield* Random.nextBetween(0, 0.9))))
      yield* until(countRequests, (statuses) => (statuses["completed"] ?? 0) > point, "40 seconds")
    }
    if (kill % 2 === 1) yield* stopAtWork(worker)
    yield* worker.signal("SIGKILL")
    assert.deepEqual(yield* worker.ended, { status: null, signal: "SIGKILL" })
    const now = yield* answers
    assert.isBelow(now.size, requests, "the drain was over before the kill")
    for (const [id, answer] of now) {
      assert.strictEqual(handedOut.get(id) ?? answer, answer)
      handedOut.set(id, answer)
    }
  }

  const [took] = yield* Effect.timed(
    Effect.gen(function* () {
      yield* startWorker(url, { RIVER_CLIENT_ID: "last_life" })
      yield* until(countRequests, (statuses) => statuses["completed"] === requests, "25 seconds")
    })
  )

  assert.isBelow(Duration.toSeconds(took), 15)
  const end = yield* answers
  for (const [id, answer] of handedOut) assert.strictEqual(end.get(id), answer)
  const [distinct] = yield* sql`SELECT count(*)::int AS requests, count(DISTINCT file_id)::int AS files,
    count(DISTINCT s3_key)::int AS keys, count(DISTINCT presigned_url)::int AS urls,
    count(*) FILTER (WHERE s3_key <> concat_ws('/', entity_type, entity_id, file_id, 'original.jpg')
      OR presigned_url NOT LIKE '%/' || s3_key || '?%')::int AS wrong
    FROM metadata.file_upload_requests`
  assert.deepEqual(distinct, { requests, files: requests, keys: requests, urls: requests, wrong: 0 })
  const jobs = yield* until(getJobs("true"), (jobs) => jobs.every(({ state }) => state === "completed"))
  assert.lengthOf(jobs, requests)
  for (const { attempt, errors, metadata } of jobs) {
    assert.isTrue((errors ?? []).every(({ error }) => error === "Stuck job rescued by JobRescuer"))
    assert.strictEqual(attempt, (errors?.length ?? 0) + 1)
    assert.strictEqual(metadata["river:rescue_count"] ?? 0, errors?.length ?? 0)
  }
  return { seconds: Duration.toSeconds(took), handedOut: handedOut.size }
})
