/**
 * Jobs that were claimed and not settled when their process was lost, a thousand of them, and how they must end.
 */
import { assert } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { startWorker, until } from "../support/WorkerProcess.ts"
import { answered, countJobs, countRequests, getJobs, insertRequests, requestUpload } from "./support.ts"

export const inFlight = 1000

/** How long a job may be away. */
export const promised = "15 seconds"

/** Runs statements in a transaction that stays open, with its locks, until it is let go. */
export const hold = Effect.fnUntraced(function* (statements: Effect.Effect<unknown, SqlError, SqlClient.SqlClient>) {
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
export const sessions = Effect.fnUntraced(function* (name: string, condition = "true") {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ readonly count: number }>`SELECT count(*)::int AS count FROM pg_stat_activity
    WHERE application_name = ${name} AND datname = current_database() AND ${sql.literal(condition)}`
  return row!.count
})

/** Every job was lost once, and completed at its second attempt. */
export const assertLostOnce = Effect.gen(function* () {
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

/** A process is killed with all of them in flight, while another one is alive: they are completed by that, in time. */
export const killInFlight = Effect.fnUntraced(function* (url: string) {
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
