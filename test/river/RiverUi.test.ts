/**
 * What River UI reads in the rows of our jobs, and what its buttons write, as it does both with SQL of its own. River UI
 * itself is not here.
 */
import { assert, layer } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { JobCancel, JobSnooze } from "../../src/river/index.ts"
import { TestDatabase } from "../support/Database.ts"
import {
  countStates,
  done,
  getJob,
  insertJob,
  jobIn,
  type JobRow,
  riverDatabase,
  sessions,
  startClient,
  until,
  worker
} from "./support.ts"

/** The retry of the River that River UI 0.22 is built on: whatever is in the metadata stays. */
const retry = Effect.fnUntraced(function* (id: bigint) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`UPDATE metadata.river_job SET state = 'available', scheduled_at = now(), finalized_at = null,
    max_attempts = CASE WHEN attempt = max_attempts THEN max_attempts + 1 ELSE max_attempts END
    WHERE id = ${id} AND state <> 'running' AND NOT (state = 'available' AND scheduled_at < now())`
})

/** Marks a job that runs, ends one that does not, and says so. */
const cancel = Effect.fnUntraced(function* (id: bigint) {
  const sql = yield* SqlClient.SqlClient
  const at = new Date(yield* Clock.currentTimeMillis).toISOString()
  yield* sql`
    WITH locked AS (
      SELECT id, queue, state FROM metadata.river_job WHERE id = ${id} AND finalized_at IS NULL FOR UPDATE
    ), told AS (
      SELECT id, state, pg_notify('metadata.river_control',
        json_build_object('action', 'cancel', 'job_id', id, 'queue', queue)::text) FROM locked
    )
    UPDATE metadata.river_job j SET
      state = CASE WHEN told.state = 'running' THEN j.state ELSE 'cancelled' END,
      finalized_at = CASE WHEN told.state = 'running' THEN null ELSE now() END,
      metadata = jsonb_set(j.metadata, '{cancel_attempted_at}', to_jsonb(${at}::text))
    FROM told WHERE j.id = told.id`
})

const setPaused = Effect.fnUntraced(function* (paused: boolean) {
  const sql = yield* SqlClient.SqlClient
  const action = JSON.stringify({ action: paused ? "pause" : "resume", queue: "test" })
  yield* sql`
    WITH changed AS (
      UPDATE metadata.river_queue SET paused_at = CASE WHEN ${paused} THEN now() END, updated_at = now()
      WHERE name = 'test' RETURNING name
    ) SELECT pg_notify('metadata.river_control', ${action}) FROM changed`
})

/** What is true of any row, so that each page can be shown. */
const isShowable = (job: JobRow) => {
  assert.isTrue(typeof job.metadata === "object" && !Array.isArray(job.metadata))
  assert.isArray(job.tags)
  for (const at of [job.created_at, job.scheduled_at]) assert.isFalse(Number.isNaN(Date.parse(at)))
  for (const { at, attempt, error, trace } of job.errors ?? []) {
    assert.match(at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/)
    assert.isTrue(Number.isInteger(attempt) && attempt >= 1)
    assert.isString(error)
    assert.isString(trace)
  }
}

const millisBetween = (from: string | null, to: string | null) => Date.parse(to!) - Date.parse(from!)

layer(riverDatabase, { excludeTestServices: true })("River UI", (it) => {
  it.effect("[121] finds the queue, and in its list what runs, where and since when", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const finish = yield* Deferred.make<void>()
      const kind = worker(() => Effect.as(Deferred.await(finish), {}))
      const ids = [yield* insertJob(kind), yield* insertJob(kind)]

      const client = yield* startClient([kind])
      yield* until(countStates(kind), ({ running }) => running === 2)

      const list = yield* sql<{ readonly id: bigint; readonly attempted_by: ReadonlyArray<string> }>`
        SELECT id, attempted_by FROM metadata.river_job
        WHERE state = 'running' AND attempted_at IS NOT NULL ORDER BY attempted_at, id`
      assert.deepEqual(
        list.map(({ id }) => id),
        ids
      )
      assert.isTrue(list.every(({ attempted_by }) => attempted_by.at(-1) === client.clientId))
      assert.deepEqual(
        yield* sql`SELECT name, paused_at, metadata, updated_at > now() - interval '1 minute' AS alive FROM metadata.river_queue`,
        [{ name: "test", paused_at: null, metadata: {}, alive: true }]
      )
      yield* Deferred.succeed(finish, undefined)
      yield* until(countStates(kind), ({ completed }) => completed === 2)
    })
  )

  it.effect("[121] finds each attempt of a job with its machine and its error, and no time that runs backwards", () =>
    Effect.gen(function* () {
      const ends = [
        Effect.fail(new Error("no answer")),
        new JobSnooze({ duration: Duration.zero }),
        Effect.die("oh"),
        done
      ]
      let next = 0
      const kind = worker(() => ends[next++]!)
      const id = yield* insertJob(kind)
      const sql = yield* SqlClient.SqlClient
      const seen: Array<JobRow> = []
      const client = yield* startClient([kind])

      yield* until(getJob(id), ({ errors }) => errors?.length === 2)
      seen.push(yield* getJob(id))
      yield* sql`UPDATE metadata.river_job SET scheduled_at = now(), state = 'available' WHERE id = ${id}`
      seen.push(yield* jobIn("completed", id))

      const [retryable, completed] = seen
      for (const job of seen) isShowable(job)
      // A machine a claim, also of the one that was put off, which counts as no attempt.
      assert.deepEqual(retryable!.attempted_by, Array(3).fill(client.clientId))
      assert.deepEqual(completed!.attempted_by, Array(4).fill(client.clientId))
      assert.deepInclude(completed, { attempt: 3, state: "completed" })
      assert.deepEqual(
        completed!.errors?.map(({ attempt, error }) => [attempt, error]),
        [
          [1, "no answer"],
          [2, "failed: oh"]
        ]
      )
      assert.isAbove(completed!.errors![1]!.trace.length, 0)
      assert.isAtLeast(millisBetween(completed!.created_at, completed!.attempted_at), 0)
      assert.isAtLeast(millisBetween(completed!.scheduled_at, completed!.attempted_at), 0)
      assert.isAtLeast(millisBetween(completed!.attempted_at, completed!.finalized_at), 0)
      // Its bar of a job that waits again ends at the last error, which is when the attempt began.
      assert.closeTo(millisBetween(retryable!.attempted_at, retryable!.errors![1]!.at), 0, 50)
    })
  )

  it.effect("[121] pauses, resumes, cancels, retries and deletes, and the client does so within a second", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { url } = yield* TestDatabase
      const interrupted = yield* Deferred.make<void>()
      const hanging = worker(() => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined)))
      const cancelling = worker(() => new JobCancel({ message: "not wanted" }))
      let fine = 0
      const kind = worker(() =>
        Effect.as(
          Effect.sync(() => fine++),
          {}
        )
      )
      const client = yield* startClient([hanging, cancelling, kind], {
        fetchPollInterval: Duration.seconds(1),
        listen: { url: Redacted.make(url), applicationName: "river-test-listener" }
      })
      yield* until(sessions("application_name = 'river-test-listener'"), (listening) => listening.length > 0)
      yield* Effect.sleep("500 millis")

      yield* setPaused(true)
      yield* Effect.sleep("1 second")
      const held = yield* insertJob(kind)
      yield* Effect.sleep("1500 millis")
      assert.deepInclude(yield* getJob(held), { state: "available", attempt: 0 })
      yield* setPaused(false)
      yield* jobIn("completed", held, "1 second")

      const running = yield* insertJob(hanging)
      yield* jobIn("running", running)
      yield* cancel(running)
      yield* Effect.timeoutOrElse(Deferred.await(interrupted), {
        duration: "1 second",
        orElse: () => Effect.die(new Error("it was not interrupted"))
      })
      const cancelled = yield* jobIn("cancelled", running, "1 second")
      isShowable(cancelled)
      assert.deepInclude(cancelled.errors?.[0], { attempt: 1, error: "JobCancelError: job cancelled remotely" })

      const waiting = yield* insertJob(kind, { scheduled_at: "now() + interval '1 hour'" })
      yield* cancel(waiting)
      assert.deepInclude(yield* getJob(waiting), { state: "cancelled", errors: null })
      yield* retry(waiting)
      yield* jobIn("completed", waiting, "2 seconds")

      const deleted = yield* insertJob(kind, { scheduled_at: "now() + interval '500 ms'" })
      yield* sql`DELETE FROM metadata.river_job WHERE id = ${deleted} AND state <> 'running'`
      yield* jobIn("completed", yield* insertJob(kind, { scheduled_at: "now() + interval '600 ms'" }), "3 seconds")
      assert.strictEqual(fine, 3)
      assert.deepEqual(client.logged(/could not|late result/), [])
    })
  )

  it.effect("[142] shows jobs that were given back or put off briefly as not yet started", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const hanging = worker(() => Effect.andThen(Deferred.succeed(started, undefined), Effect.never))
      const snoozing = worker(() => new JobSnooze({ duration: Duration.seconds(4) }))
      const [given, put] = [yield* insertJob(hanging), yield* insertJob(snoozing)]
      const client = yield* startClient([hanging, snoozing], { softStopTimeout: Duration.millis(50) })
      yield* Deferred.await(started)
      yield* until(getJob(put), ({ metadata }) => metadata["snoozes"] === 1)

      yield* client.stop

      for (const job of [yield* getJob(given), yield* getJob(put)]) {
        isShowable(job)
        assert.deepInclude(job, { state: "available", attempt: 0, errors: null, finalized_at: null })
        assert.deepEqual(job.attempted_by, [client.clientId])
        assert.isNotNull(job.attempted_at)
      }
    })
  )

  it.effect("[142] retries a cancelled job, and it completes although the mark of the cancel stays on it", () =>
    Effect.gen(function* () {
      let first = true
      const kind = worker(() => {
        if (!first) return Effect.delay(done, "2 seconds")
        first = false
        return Effect.never
      })
      // Without notifications it looks every 1.5 seconds for cancels, and finds the old one.
      yield* startClient([kind])
      const [id, waiting] = [
        yield* insertJob(kind),
        yield* insertJob(kind, { scheduled_at: "now() + interval '1 hour'" })
      ]
      yield* jobIn("running", id)
      for (const each of [id, waiting]) {
        yield* cancel(each)
        yield* jobIn("cancelled", each)
      }

      for (const each of [id, waiting]) yield* retry(each)

      for (const each of [id, waiting]) {
        const job = yield* jobIn("completed", each, "5 seconds")
        isShowable(job)
        assert.property(job.metadata, "cancel_attempted_at")
      }
    })
  )
})
