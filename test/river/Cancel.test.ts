import { assert, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { JobCancel, JobSnooze, type Worker } from "../../src/river/index.ts"
import {
  answer,
  getItem,
  getJob,
  insertItem,
  insertJob,
  itemWorker,
  jobIn,
  riverDatabase,
  startClient,
  startListening,
  type StartOptions,
  until,
  worker
} from "./support.ts"

/** Cancels as River does: one statement for the row and the notification. */
const cancel = Effect.fnUntraced(function* (
  id: bigint,
  options: { readonly silent?: boolean; readonly queue?: string } = {}
) {
  const sql = yield* SqlClient.SqlClient
  const told = options.silent === true ? "nowhere" : "metadata.river_control"
  yield* sql`
    WITH told AS (SELECT pg_notify(${told},
      '{"action" : "cancel", "job_id" : ' || ${id}::text || ', "queue" : "' || ${options.queue ?? "test"} || '"}'))
    UPDATE metadata.river_job SET
      metadata = jsonb_set(metadata, '{cancel_attempted_at}', to_jsonb(clock_timestamp()::text)),
      state = CASE WHEN state = 'running' THEN state ELSE 'cancelled' END,
      finalized_at = CASE WHEN state = 'running' THEN NULL ELSE now() END
    WHERE id = ${id} AND finalized_at IS NULL AND (SELECT count(*) FROM told) > 0`
})

/** A client that listens, and polls as well. */
const startListener = (kind: Worker, options: StartOptions = {}) =>
  startListening([kind], { fetchPollInterval: Duration.millis(50), fetchCooldown: Duration.millis(10), ...options })

/** A worker of items whose attempts last until they are aborted; it notes which were. */
const abortable = (finalizer: Effect.Effect<void> = Effect.void) => {
  const aborted: Array<bigint> = []
  const kind = itemWorker(
    (job) =>
      Effect.onInterrupt(Effect.never, () => {
        aborted.push(job.id)
        return finalizer
      }),
    { timeout: Duration.minutes(1) }
  )
  return { aborted, kind }
}

const remotely = "JobCancelError: job cancelled remotely"

layer(riverDatabase, { excludeTestServices: true })("Cancel, told,", (it) => {
  it.effect("[79] aborts a running job within a second, which ends cancelled with its request failed", () =>
    Effect.gen(function* () {
      const { aborted, kind } = abortable()
      const { item, job } = yield* insertItem(kind)
      const client = yield* startListener(kind)
      yield* jobIn("running", job)

      yield* cancel(job)

      const row = yield* jobIn("cancelled", job, "1 second")
      assert.deepEqual(aborted, [job])
      assert.deepInclude(row, { attempt: 1 })
      assert.lengthOf(row.errors!, 1)
      assert.deepInclude(row.errors![0], { error: remotely, attempt: 1, trace: "" })
      assert.isString(row.metadata["cancel_attempted_at"])
      assert.deepInclude(yield* getItem(item), { status: "failed", reason: "the job was cancelled" })
      assert.lengthOf(client.logged(/^attempt ended: somebody cancelled the job/), 1)
    })
  )

  const endings = {
    fails: Effect.fail(new Error("something else")),
    "asks to be put off": new JobSnooze({ duration: Duration.seconds(1) }),
    "cancels the job itself": new JobCancel({ message: "in its own words" })
  }
  for (const [how, ending] of Object.entries(endings)) {
    it.effect(`[79] [82] cancels the job when its worker cannot be aborted at once and then ${how}`, () =>
      Effect.gen(function* () {
        const kind = itemWorker(() => Effect.uninterruptible(Effect.andThen(Effect.sleep("500 millis"), ending)))
        const { item, job } = yield* insertItem(kind)
        yield* startListener(kind)
        yield* jobIn("running", job)

        yield* cancel(job)

        const row = yield* jobIn("cancelled", job, "2 seconds")
        assert.deepEqual(
          row.errors?.map(({ error }) => error),
          [remotely]
        )
        assert.notProperty(row.metadata, "snoozes")
        assert.deepInclude(yield* getItem(item), { status: "failed" })
      })
    )
  }

  it.effect("[81] completes a job whose worker succeeded before it could be aborted", () =>
    Effect.gen(function* () {
      const succeed = yield* Deferred.make<void>()
      const kind = itemWorker((job) => Effect.andThen(Deferred.await(succeed), answer(job)))
      const { item, job } = yield* insertItem(kind)
      yield* startListener(kind)
      yield* jobIn("running", job)

      yield* cancel(job, { silent: true })
      yield* Deferred.succeed(succeed, undefined)

      assert.deepInclude(yield* jobIn("completed", job, "1 second"), { errors: null, attempt: 1 })
      assert.deepInclude(yield* getItem(item), { status: "answered" })
    })
  )

  it.effect("keeps a defect of the worker, and cancels the job", () =>
    Effect.gen(function* () {
      const { kind } = abortable(Effect.die(new TypeError("not a function")))
      const { item, job } = yield* insertItem(kind)
      yield* startListener(kind)
      yield* jobIn("running", job)

      yield* cancel(job)

      const row = yield* jobIn("cancelled", job, "1 second")
      assert.deepInclude(row.errors?.[0], { error: "not a function" })
      assert.deepInclude(yield* getItem(item), { status: "failed", reason: "the job was cancelled" })
    })
  )

  it.effect("[86] does nothing to jobs that do not run here, and for other queues", () =>
    Effect.gen(function* () {
      const { aborted, kind } = abortable()
      const { job } = yield* insertItem(kind)
      const client = yield* startListener(kind)
      yield* jobIn("running", job)

      yield* cancel(job, { queue: "other" })
      yield* cancel(job, { queue: "*" })
      yield* cancel(-1n)
      yield* cancel(9_223_372_036_854_775_807n)
      yield* Effect.sleep("500 millis")

      assert.deepInclude(yield* getJob(job), { state: "running" })
      assert.deepEqual(aborted, [])
      assert.deepEqual(client.logs, [])
    })
  )

  it.effect("[7] tells jobs apart whose ids differ only beyond the 53rd bit", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { aborted, kind } = abortable()
      yield* sql`SELECT setval('metadata.river_job_id_seq', 9007199254740991)`
      const jobs = [(yield* insertItem(kind)).job, (yield* insertItem(kind)).job]
      assert.deepEqual(jobs, [9_007_199_254_740_992n, 9_007_199_254_740_993n])
      yield* startListener(kind)
      for (const job of jobs) yield* jobIn("running", job)

      yield* cancel(jobs[1]!)

      yield* jobIn("cancelled", jobs[1]!, "1 second")
      assert.deepInclude(yield* getJob(jobs[0]!), { state: "running" })
      assert.deepEqual(aborted, [jobs[1]])
    })
  )

  it.effect("[84] honours a cancel that comes while the claim is on its way: the worker never starts", () =>
    Effect.gen(function* () {
      const claimed = yield* Deferred.make<void>()
      const pass = yield* Deferred.make<void>()
      let started = 0
      const kind = itemWorker((job) => {
        started += 1
        return answer(job)
      })
      yield* startListener(kind, {
        // The claim is committed and its answer held back.
        around: (name, statement) =>
          name === "claim"
            ? Effect.tap(statement, (rows) =>
                Array.isArray(rows) && rows.length > 0
                  ? Effect.andThen(Deferred.succeed(claimed, undefined), Deferred.await(pass))
                  : Effect.void
              )
            : statement
      })
      const { item, job } = yield* insertItem(kind)
      yield* Deferred.await(claimed)
      yield* cancel(job)
      yield* Effect.sleep("300 millis")
      yield* Deferred.succeed(pass, undefined)

      const row = yield* jobIn("cancelled", job, "1 second")
      assert.deepInclude(row.errors?.[0], { error: remotely, attempt: 1 })
      assert.strictEqual(started, 0)
      assert.deepInclude(yield* getItem(item), { status: "failed", reason: "the job was cancelled" })
    })
  )

  it.effect("[85] aborts the current attempt of a job that was put off and claimed again", () =>
    Effect.gen(function* () {
      let attempts = 0
      const kind = worker(() => (++attempts === 1 ? new JobSnooze({ duration: Duration.zero }) : Effect.never), {
        timeout: Duration.minutes(1)
      })
      const job = yield* insertJob(kind)
      yield* startListener(kind)
      yield* until(getJob(job), ({ attempted_by, state }) => state === "running" && attempted_by?.length === 2)

      yield* cancel(job)

      assert.deepInclude(yield* jobIn("cancelled", job, "1 second"), { attempt: 1 })
    })
  )

  it.effect("[126] finds out, after its session was away, what was cancelled meanwhile", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { aborted, kind } = abortable()
      const { job } = yield* insertItem(kind)
      yield* startListener(kind)
      yield* jobIn("running", job)

      yield* cancel(job, { silent: true })
      yield* Effect.sleep("2 seconds")
      assert.deepInclude(yield* getJob(job), { state: "running" }) // nobody told, and it looks once a minute
      yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'river-test-listener'`

      yield* jobIn("cancelled", job, "10 seconds")
      assert.deepEqual(aborted, [job])
    })
  )
})

layer(riverDatabase, { excludeTestServices: true })("Cancel, not told,", (it) => {
  it.effect("[126] [128] is seen within two seconds, also while the queue is paused and every slot is taken", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { aborted, kind } = abortable()
      const jobs = [(yield* insertItem(kind)).job, (yield* insertItem(kind)).job]
      const client = yield* startClient([kind], { maxWorkers: 2 })
      for (const job of jobs) yield* jobIn("running", job)
      yield* sql`UPDATE metadata.river_queue SET paused_at = now() WHERE name = 'test'`
      yield* until(
        Effect.sync(() => client.logged(/^queue paused/)),
        (lines) => lines.length === 1,
        "3 seconds"
      )

      yield* cancel(jobs[0]!, { silent: true })

      yield* jobIn("cancelled", jobs[0]!, "2 seconds")
      assert.deepInclude(yield* getJob(jobs[1]!), { state: "running" })
      assert.deepEqual(aborted, [jobs[0]])
      yield* sql`UPDATE metadata.river_queue SET paused_at = NULL WHERE name = 'test'`
    })
  )

  it.effect("[126] is seen while a stop lets jobs finish", () =>
    Effect.gen(function* () {
      const { aborted, kind } = abortable()
      const { job } = yield* insertItem(kind)
      const client = yield* startClient([kind], { softStopTimeout: Duration.seconds(20) })
      yield* jobIn("running", job)

      yield* Effect.forkScoped(client.stop)
      yield* Effect.sleep("200 millis")
      yield* cancel(job, { silent: true })

      yield* jobIn("cancelled", job, "3 seconds")
      assert.deepEqual(aborted, [job])
      assert.isBelow(yield* client.stop, 6000)
    })
  )

  it.effect(
    "[90] [129] was asked before the claim, by a retry that left it there: the attempt runs, a new request aborts",
    () =>
      Effect.gen(function* () {
        const { aborted, kind } = abortable()
        const { job } = yield* insertItem(kind, { metadata: { cancel_attempted_at: "2026-11-01T00:00:00Z", kept: 1 } })
        yield* startClient([kind])
        yield* jobIn("running", job)
        yield* Effect.sleep("4 seconds")
        assert.deepInclude(yield* getJob(job), { state: "running" })

        yield* cancel(job, { silent: true })

        yield* jobIn("cancelled", job, "3 seconds")
        assert.deepEqual(aborted, [job])
      })
  )

  it.effect("[90] was asked before the claim: a failure ends the job cancelled, a success completes it", () =>
    Effect.gen(function* () {
      const metadata = { cancel_attempted_at: "2026-11-01T00:00:00Z" }
      const failing = itemWorker(() => Effect.fail(new Error("no luck")))
      const kind = itemWorker()
      const failed = yield* insertItem(failing, { metadata })
      const succeeded = yield* insertItem(kind, { metadata })

      yield* startClient([failing, kind])

      const row = yield* jobIn("cancelled", failed.job)
      assert.deepInclude(row.errors?.[0], { error: "no luck", attempt: 1 })
      assert.deepInclude(yield* getItem(failed.item), { status: "failed", reason: "the job was cancelled" })
      assert.deepInclude(yield* jobIn("completed", succeeded.job), { metadata })
      assert.deepInclude(yield* getItem(succeeded.item), { status: "answered" })
    })
  )

  it.effect("[128] is not asked about while no job runs", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const { kind } = abortable()
      yield* startClient([kind], {
        around: (name, statement, text) => {
          if (text.includes("cancel_attempted_at' as cancel_attempted_at from")) asked.push(name)
          return statement
        }
      })
      yield* Effect.sleep("4 seconds")
      assert.deepEqual(asked, [])

      yield* insertItem(kind)
      yield* until(
        Effect.sync(() => asked.length),
        (count) => count > 0,
        "3 seconds"
      )
    })
  )
})
