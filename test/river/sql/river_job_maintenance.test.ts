import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as SqlClient from "effect/sql/SqlClient"
import * as ClientId from "../../../src/river/ClientId.ts"
import { tables } from "../../../src/river/sql/river_job.ts"
import { type JobRescue, jobRescue, jobSchedule } from "../../../src/river/sql/river_job_maintenance.ts"
import type { Worker } from "../../../src/river/Worker.ts"
import {
  beginElsewhere,
  getItem,
  getJob,
  getJobs,
  insertItem,
  insertJob,
  insertJobs,
  itemEffect,
  itemWorker,
  type JobInsert,
  riverDatabase,
  waitingForLocks,
  worker
} from "../support.ts"

const metadata = tables("metadata")

const schedule = Effect.fnUntraced(function* (kind: Worker, limit = 1000) {
  const sql = yield* SqlClient.SqlClient
  const [changed] = yield* jobSchedule(
    sql,
    metadata,
    kind
  )({ ahead: Duration.seconds(5), channel: "none", limit, queue: "test" })
  return changed!.count
})

const rescue = Effect.fnUntraced(function* (kind: Worker, options: Partial<JobRescue> = {}) {
  const sql = yield* SqlClient.SqlClient
  const [changed] = yield* jobRescue(
    sql,
    metadata,
    kind
  )({
    clientPattern: ClientId.pattern("test"),
    stuckAfter: Duration.seconds(10),
    stuckAfterElsewhere: Duration.hours(1),
    held: [],
    beyond: -1n,
    limit: 1000,
    queue: "test",
    ...options
  })
  return changed!.count
})

const bits = (integer: number) => `${integer}::bit(8)`

/** River's default: every state but cancelled and discarded. */
const usual = bits(245)

/** A unique job in one of the states that its mask leaves out: retryable and scheduled. */
const unguarded = bits(245 - 32 - 128)

const anyWork = () => Effect.die("not worked here")

layer(riverDatabase, { excludeTestServices: true })("jobSchedule", (it) => {
  it.effect("[107] makes jobs available that are due within the look-ahead, and changes nothing else of them", () =>
    Effect.gen(function* () {
      const kind = worker(anyWork)
      const ids = [
        yield* insertJob(kind, { state: "retryable", attempt: 3, scheduled_at: "now() - interval '1 day'" }),
        yield* insertJob(kind, { state: "scheduled", scheduled_at: "now() + interval '4 s'" }),
        yield* insertJob(kind, { state: "retryable", errors: `array['{"error": "e"}'::jsonb]`, metadata: [1] })
      ]
      const later = yield* insertJob(kind, { state: "scheduled", scheduled_at: "now() + interval '6 s'" })
      const before = yield* getJobs(ids)

      assert.strictEqual(yield* schedule(kind), 3)

      assert.deepEqual(
        yield* getJobs(ids),
        before.map((job) => ({ ...job, state: "available" }))
      )
      assert.deepInclude(yield* getJob(later), { state: "scheduled" })
      assert.strictEqual(yield* schedule(kind), 0)
    })
  )

  it.effect("leaves alone other kinds, queues and states, and what somebody holds", () =>
    Effect.gen(function* () {
      const kind = worker(anyWork)
      const ids = [
        yield* insertJob("of_nobody", { state: "retryable" }),
        yield* insertJob(kind, { state: "retryable", queue: "other" }),
        yield* insertJob(kind, { state: "pending" }),
        yield* insertJob(kind, { state: "running" }),
        yield* insertJob(kind, { state: "cancelled", finalized_at: "now()" })
      ]
      const held = yield* insertJob(kind, { state: "retryable" })
      const before = yield* getJobs([...ids, held])
      const other = yield* beginElsewhere([`SELECT FROM metadata.river_job WHERE id = ${held} FOR UPDATE`])

      assert.strictEqual(yield* schedule(kind), 0)

      assert.deepEqual(yield* getJobs([...ids, held]), before)
      yield* other.rollback
    })
  )

  it.effect("takes a bounded batch, the most urgent first", () =>
    Effect.gen(function* () {
      const kind = worker(anyWork)
      const [low, high] = [
        yield* insertJobs(kind, 3, { state: "retryable", priority: 2 }),
        yield* insertJobs(kind, 3, { state: "scheduled", priority: 1 })
      ]

      assert.strictEqual(yield* schedule(kind, 4), 4)

      assert.isTrue((yield* getJobs(high)).every(({ state }) => state === "available"))
      assert.strictEqual((yield* getJobs(low)).filter(({ state }) => state === "available").length, 1)
    })
  )

  it.effect("[109] discards a unique job whose key another job holds, marks it, and tells its row", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const unique: Partial<JobInsert> = { unique_key: "'\\x01'", unique_states: unguarded }
      const holder = yield* insertJob(kind, { ...unique, unique_states: usual })
      const { item, job: id } = yield* insertItem(kind, { ...unique, state: "retryable", metadata: { kept: 1 } })
      const odd = yield* insertJob(kind, { ...unique, state: "scheduled", metadata: [1] })
      const fine = yield* insertJob(kind, { state: "retryable" })

      assert.strictEqual(yield* schedule(kind), 3)

      const job = yield* getJob(id)
      assert.deepInclude(job, { state: "discarded", errors: null })
      assert.deepEqual(job.metadata, { kept: 1, unique_key_conflict: "scheduler_discarded" })
      assert.isNotNull(job.finalized_at)
      assert.deepInclude(yield* getItem(item), { status: "failed" })
      assert.match((yield* getItem(item)).reason!, /same unique key/)
      assert.deepInclude(yield* getJob(odd), { state: "discarded", metadata: [1] as never })
      assert.deepInclude(yield* getJob(fine), { state: "available" })
      assert.deepInclude(yield* getJob(holder), { state: "available" })
    })
  )

  it.effect("[109] makes the first of several available that share a free key, and discards the others", () =>
    Effect.gen(function* () {
      const kind = worker(anyWork)
      const unique: Partial<JobInsert> = { unique_key: "'\\x02'", unique_states: unguarded, state: "retryable" }
      const late = yield* insertJob(kind, { ...unique, scheduled_at: "now() - interval '1 s'" })
      const early = yield* insertJob(kind, { ...unique, scheduled_at: "now() - interval '9 s'" })
      const urgent = yield* insertJob(kind, { ...unique, priority: 1, scheduled_at: "now() - interval '5 s'" })
      yield* Effect.flatMap(
        SqlClient.SqlClient,
        (sql) => sql`UPDATE metadata.river_job SET priority = 2 WHERE id IN (${late}, ${early})`
      )

      yield* schedule(kind)

      assert.deepEqual(
        (yield* getJobs([late, early, urgent])).map(({ state }) => state),
        ["discarded", "discarded", "available"]
      )
    })
  )

  it.effect("[109] takes neither a job itself nor one whose own mask leaves its state out for a conflict", () =>
    Effect.gen(function* () {
      const kind = worker(anyWork)
      const alone = yield* insertJob(kind, { unique_key: "'\\x03'", unique_states: usual, state: "retryable" })
      yield* insertJob(kind, {
        unique_key: "'\\x04'",
        unique_states: bits(245 - 4),
        state: "completed",
        finalized_at: "now()"
      })
      const beside = yield* insertJob(kind, { unique_key: "'\\x04'", unique_states: usual, state: "retryable" })

      yield* schedule(kind)

      assert.deepEqual(
        (yield* getJobs([alone, beside])).map(({ state }) => state),
        ["available", "available"]
      )
    })
  )
})

const ours = "host_test_2026_08_07T09_30_00_123456"
const stuck: Partial<JobInsert> = {
  state: "running",
  attempt: 1,
  attempted_at: "now() - interval '11 s'",
  attempted_by: `array['somebody', '${ours}']`
}

layer(riverDatabase, { excludeTestServices: true })("jobRescue", (it) => {
  it.effect("[110] [138] makes a lost job available at once, its attempt counted as failed", () =>
    Effect.gen(function* () {
      const kind = worker(anyWork)
      const id = yield* insertJob(kind, {
        ...stuck,
        attempt: 3,
        errors: `array['{"error": "old"}'::jsonb]`,
        metadata: { kept: "x", "river:rescue_count": 2 }
      })
      const before = yield* getJob(id)

      assert.strictEqual(yield* rescue(kind), 1)

      const { errors, scheduled_at, ...job } = yield* getJob(id)
      const { errors: _, scheduled_at: __, ...rest } = before
      assert.deepEqual(job, { ...rest, state: "available", metadata: { kept: "x", "river:rescue_count": 3 } })
      assert.deepEqual(errors?.[0] as unknown, { error: "old" })
      assert.deepInclude(errors?.[1], { attempt: 3, error: "Stuck job rescued by JobRescuer", trace: "" })
      assert.match(errors![1]!.at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
      assert.closeTo(Date.parse(errors![1]!.at), Date.parse(scheduled_at), 5)
      assert.isAbove(Date.parse(scheduled_at), Date.parse(before.scheduled_at))
    })
  )

  it.effect(
    "[110] tells the clients of ours, which end their attempts in time, from all others, which have an hour",
    () =>
      Effect.gen(function* () {
        const kind = worker(anyWork)
        const at = (ago: string, attempted_by: string) =>
          insertJob(kind, { ...stuck, attempted_at: `now() - interval '${ago}'`, attempted_by })
        const lost = [
          yield* at("11 s", `array['${ours}']`),
          yield* at("61 min", "array['go_2026_08_07T09_30_00_123456']"),
          yield* at("61 min", "null"),
          yield* at("61 min", "'{}'"),
          yield* at("61 min", "array[null::text]")
        ]
        const alive = [
          yield* at("9 s", `array['${ours}']`),
          yield* at("59 min", "array['go_2026_08_07T09_30_00_123456']"),
          yield* at("59 min", `array['${ours}', 'go_2026_08_07T09_30_00_123456']`),
          yield* at("59 min", "null"),
          yield* at("59 min", `array['${ours.replace("_test_", "_toast_")}']`),
          yield* insertJob(kind, { ...stuck, attempted_at: "null" })
        ]
        const before = yield* getJobs(alive)

        assert.strictEqual(yield* rescue(kind), lost.length)

        assert.isTrue((yield* getJobs(lost)).every(({ state }) => state === "available"))
        assert.deepEqual(yield* getJobs(alive), before)
      })
  )

  it.effect("leaves alone what its client holds, what somebody has locked, other kinds, queues and states", () =>
    Effect.gen(function* () {
      const kind = worker(anyWork)
      const held = yield* insertJobs(kind, 2, stuck)
      const locked = yield* insertJob(kind, stuck)
      const others = [
        yield* insertJob("of_nobody", stuck),
        yield* insertJob(kind, { ...stuck, queue: "other" }),
        yield* insertJob(kind, { ...stuck, state: "available" }),
        yield* insertJob(kind, { ...stuck, state: "pending" }),
        yield* insertJob(kind, { ...stuck, state: "completed", finalized_at: "now()" })
      ]
      const all = [...held, locked, ...others]
      const before = yield* getJobs(all)
      const other = yield* beginElsewhere([`SELECT FROM metadata.river_job WHERE id = ${locked} FOR UPDATE`])

      assert.strictEqual(yield* rescue(kind, { held }), 0)

      assert.deepEqual(yield* getJobs(all), before)
      yield* other.rollback
    })
  )

  it.effect("[70] discards a job that was lost in its last attempt, and tells its row", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const { item, job: id } = yield* insertItem(kind, { ...stuck, attempt: 4, max_attempts: 4 })
      const { scheduled_at } = yield* getJob(id)

      yield* rescue(kind)

      const job = yield* getJob(id)
      assert.deepInclude(job, { state: "discarded", attempt: 4, scheduled_at })
      assert.isNotNull(job.finalized_at)
      assert.lengthOf(job.errors ?? [], 1)
      const row = yield* getItem(item)
      assert.strictEqual(row.status, "failed")
      assert.match(row.reason!, /lost in each of 4 attempts/)
    })
  )

  it.effect("[113] cancels a lost job that somebody asked to cancel, and tells its row", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const { item, job: id } = yield* insertItem(kind, {
        ...stuck,
        metadata: { cancel_attempted_at: "2026-08-07T09:30:00Z" }
      })

      yield* rescue(kind)

      const job = yield* getJob(id)
      assert.strictEqual(job.state, "cancelled")
      assert.isNotNull(job.finalized_at)
      assert.deepInclude(job.errors?.[0], { error: "Stuck job rescued by JobRescuer" })
      assert.deepInclude(yield* getItem(item), { status: "failed", reason: "the job was cancelled" })
    })
  )

  it.effect("leaves the row of a job that it makes available, and one that is answered", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = itemWorker()
      const waiting = yield* insertItem(kind, stuck)
      const answered = yield* insertItem(kind, { ...stuck, max_attempts: 1 })
      yield* sql`UPDATE app.item SET status = 'answered', answer = 'yes' WHERE id = ${answered.item}`

      assert.strictEqual(yield* rescue(kind), 2)

      assert.deepInclude(yield* getItem(waiting.item), { status: "open", writes: 0 })
      assert.deepInclude(yield* getItem(answered.item), { status: "answered", answer: "yes", writes: 1 })
    })
  )

  it.effect("counts rescues on from any value, and is not stopped by metadata that is no object", () =>
    Effect.gen(function* () {
      const kind = worker(anyWork)
      const values = [{}, 0, 7, 1.9, -1, "5", null, true, [1]]
      const ids = yield* Effect.forEach(values, (value, i) =>
        insertJob(kind, { ...stuck, metadata: i === 0 ? {} : { "river:rescue_count": value } })
      )
      const odd = yield* Effect.forEach([[1, 2], "text", 5, null], (metadata) =>
        insertJob(kind, { ...stuck, metadata })
      )
      const before = yield* getJobs(odd)

      yield* rescue(kind)

      assert.deepEqual(
        (yield* getJobs(ids)).map((job) => job.metadata["river:rescue_count"]),
        [1, 1, 8, 2, 0, 1, 1, 1, 1]
      )
      const after = yield* getJobs(odd)
      assert.isTrue(after.every(({ state }) => state === "available"))
      assert.deepEqual(
        after.map(({ metadata }) => metadata),
        before.map(({ metadata }) => metadata)
      )
    })
  )

  it.effect("is not stopped by errors that cannot be read or appended to", () =>
    Effect.gen(function* () {
      const kind = worker(anyWork)
      const nested = yield* insertJob(kind, { ...stuck, errors: `array[array['{}'::jsonb]]` })
      const odd = yield* insertJob(kind, { ...stuck, errors: `array[null, '3'::jsonb]` })
      const fine = yield* insertJob(kind, stuck)

      yield* rescue(kind)

      assert.deepEqual(
        (yield* getJobs([nested, odd, fine])).map(({ state }) => state),
        ["available", "available", "available"]
      )
    })
  )

  it.effect("waits with a job whose own row somebody holds: its client may be waiting for that row", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const { item, job } = yield* insertItem(kind, stuck)
      const other = yield* beginElsewhere([`SELECT FROM app.item WHERE id = '${item}' FOR UPDATE`])

      assert.strictEqual(yield* rescue(kind), 0)
      yield* other.rollback
      assert.strictEqual(yield* rescue(kind), 1)
      assert.deepInclude(yield* getJob(job), { state: "available" })
    })
  )

  it.effect("finds a job that somebody set running without saying since when", () =>
    Effect.gen(function* () {
      const kind = worker(anyWork)
      const id = yield* insertJob(kind, {
        ...stuck,
        attempted_at: "null",
        attempted_by: "null",
        created_at: "now() - interval '2 hours'"
      })

      yield* rescue(kind)

      assert.deepInclude(yield* getJob(id), { state: "available" })
    })
  )

  it.effect("[111] leaves alone a job that ended, or was claimed anew, while it was looking", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE FUNCTION app.wait_for(key text) RETURNS text LANGUAGE plpgsql AS
        $$ BEGIN IF key = 'wait' THEN PERFORM pg_advisory_xact_lock_shared(43); END IF; RETURN key; END $$`
      const kind = itemWorker(undefined, { effect: { ...itemEffect, key: "app.wait_for(j.args ->> 'item')" } })
      const first = yield* insertJob(kind, { ...stuck, args: { item: "wait" } })
      const [ended, claimed] = yield* insertJobs(kind, 2, stuck)
      const gate = yield* beginElsewhere(["SELECT pg_advisory_xact_lock(43)"])

      const rescuing = yield* Effect.forkChild(rescue(kind))
      yield* waitingForLocks(1)
      yield* sql`UPDATE metadata.river_job SET state = 'completed', finalized_at = now() WHERE id = ${ended}`
      yield* sql`UPDATE metadata.river_job SET attempt = 2, attempted_at = now() WHERE id = ${claimed}`
      const before = yield* getJobs([ended!, claimed!])
      yield* gate.rollback

      assert.strictEqual(yield* Fiber.join(rescuing), 1)
      assert.deepEqual(yield* getJobs([ended!, claimed!]), before)
      assert.deepInclude(yield* getJob(first), { state: "available" })
    })
  )
})
