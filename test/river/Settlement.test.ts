import { assert, layer } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as SqlClient from "effect/sql/SqlClient"
import { Metadata } from "../../src/river/index.ts"
import type { Job } from "../../src/river/Job.ts"
import type { Outcome } from "../../src/river/Outcome.ts"
import { sameStatement, type Settlement, writer } from "../../src/river/Settlement.ts"
import { jobGetAvailable, tables } from "../../src/river/sql/river_job.ts"
import type { Worker } from "../../src/river/Worker.ts"
import {
  beginElsewhere,
  done,
  getItem,
  getJob,
  getJobs,
  insertItem,
  insertItems,
  insertJob,
  insertJobs,
  itemEffect,
  itemWorker,
  type JobRow,
  riverDatabase,
  waitingForLocks,
  worker
} from "./support.ts"

const metadata = tables("metadata")

/** Claims the kind's waiting jobs, in the order of their ids. */
const claim = Effect.fnUntraced(function* (kind: Worker, clientId = "one") {
  const sql = yield* SqlClient.SqlClient
  const get = jobGetAvailable(sql, metadata, { detailed: false })
  const jobs = yield* get({ clientId, kinds: [kind.kind], limit: 1000, queue: "test" })
  return jobs.toSorted((a, b) => Number(a.id - b.id))
})

const claimOne = (kind: Worker, clientId?: string) => Effect.map(claim(kind, clientId), ([job]) => job!)

const settlement = (job: Job, kind: Worker, outcome: Outcome, overrides: Partial<Settlement> = {}) =>
  Effect.map(Clock.currentTimeMillis, (now): Settlement => ({
    job,
    worker: kind,
    outcome,
    startedAt: now - 5,
    endedAt: now,
    ...overrides
  }))

/** Settles as the client `one`, unless told otherwise, and returns the odd verdicts. */
const settle = Effect.fnUntraced(function* (batch: ReadonlyArray<Settlement>, clientId = "one") {
  const sql = yield* SqlClient.SqlClient
  assert.isTrue(batch.every((member) => sameStatement(member, batch[0]!)))
  const verdicts = yield* writer(sql, metadata, { clientId, workers: [batch[0]!.worker] }).write(batch)
  const claims = batch.map(({ job }) => `${job.id} ${job.attempted_at}`)
  assert.includeMembers(
    claims,
    verdicts.map(({ attempted_at, id }) => `${id} ${attempted_at}`)
  )
  return verdicts.map(({ id, verdict }) => ({ id, verdict }))
})

const settleOne = (job: Job, kind: Worker, outcome: Outcome, overrides: Partial<Settlement> = {}) =>
  Effect.flatMap(settlement(job, kind, outcome, overrides), (member) => settle([member]))

const completed = (answer?: string): Outcome => ({
  _tag: "Completed",
  result: answer === undefined ? {} : { answer, number: "7" }
})
const failure = { message: "no answer came", trace: "" }
const retry: Outcome = { _tag: "Retry", failure }
const discarded: Outcome = { _tag: "Discarded", failure }
const cancelled: Outcome = { _tag: "Cancelled", failure }
const interrupted: Outcome = { _tag: "Interrupted" }
const snoozed = (millis: number): Outcome => ({ _tag: "Snoozed", duration: Duration.millis(millis) })

const changedColumns = (before: JobRow, after: JobRow) =>
  Object.keys(after).filter((name) => {
    const column = name as keyof JobRow
    return typeof after[column] !== "bigint" && JSON.stringify(before[column]) !== JSON.stringify(after[column])
  })

/** Milliseconds from now by the database's clock to the job's `scheduled_at`, and from `finalized_at` to now. */
const timesOf = Effect.fnUntraced(function* (id: bigint) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ readonly dueIn: number; readonly ended: number | null }>`
    SELECT (extract(epoch FROM scheduled_at - clock_timestamp()) * 1000)::float8 AS "dueIn",
      (extract(epoch FROM clock_timestamp() - finalized_at) * 1000)::float8 AS ended
    FROM metadata.river_job WHERE id = ${id}`
  return row!
})

const cancelRequest = `UPDATE metadata.river_job
  SET metadata = metadata || '{"cancel_attempted_at": "2026-08-07T09:30:00Z"}' WHERE id =`

layer(riverDatabase, { excludeTestServices: true })("a settled job", (it) => {
  it.effect("[50] that succeeded has a new state and finalized_at, and nothing else", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const id = yield* insertJob(kind, {
        errors: `array['{"error": "old"}'::jsonb]`,
        scheduled_at: "now() - interval '1 h'"
      })
      const job = yield* claimOne(kind)
      const before = yield* getJob(id)
      const now = yield* Clock.currentTimeMillis

      const verdicts = yield* settleOne(job, kind, completed(), { endedAt: now - 2000 })

      const after = yield* getJob(id)
      assert.deepEqual(verdicts, [])
      assert.sameMembers(changedColumns(before, after), ["state", "finalized_at"])
      assert.strictEqual(after.state, "completed")
      assert.closeTo((yield* timesOf(id)).ended!, 2000, 500)
    })
  )

  it.effect("[36] keeps old error entries as they are, however odd", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const odd = `array['{"at": "yesterday", "attempt": "1.0"}', '3', '[null]', '{"error": {"a":  1}}']::jsonb[]`
      const ids = yield* insertJobs(kind, 3, { errors: odd })
      const before = yield* getJobs(ids)
      const [first, second, third] = yield* claim(kind)

      yield* settleOne(first!, kind, completed())
      yield* settleOne(second!, kind, retry)
      yield* settleOne(third!, kind, snoozed(10_000))

      const after = yield* getJobs(ids)
      for (const [i, row] of after.entries()) assert.deepEqual(row.errors?.slice(0, 4), before[i]?.errors)
      assert.deepEqual(
        after.map(({ errors }) => errors?.length),
        [4, 5, 4]
      )
    })
  )

  it.effect("[64] [138] that failed has one more error, of River's four members, its time the attempt's start", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const id = yield* insertJob(kind, { attempt: 2 })
      const job = yield* claimOne(kind)
      const now = yield* Clock.currentTimeMillis

      yield* settleOne(job, kind, retry, { startedAt: now - 3000 })

      const { errors } = yield* getJob(id)
      assert.deepEqual(errors as unknown, [
        { at: new Date(now - 3000).toISOString(), attempt: 3, error: "no answer came", trace: "" }
      ])
    })
  )

  it.effect("[66] [68] is available about 1 s after a failure without earlier errors, whatever its attempt", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const id = yield* insertJob(kind, { attempt: 9 })
      const job = yield* claimOne(kind)
      const before = yield* getJob(id)

      yield* settleOne(job, kind, retry)

      const after = yield* getJob(id)
      assert.sameMembers(changedColumns(before, after), ["state", "errors", "scheduled_at"])
      assert.deepInclude(after, { state: "available", attempt: 10, finalized_at: null })
      const { dueIn } = yield* timesOf(id)
      assert.isAtLeast(dueIn, 600)
      assert.isAtMost(dueIn, 1100)
    })
  )

  it.effect("[67] is retryable about 16 s after the second failure, counted from when the attempt ended", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const id = yield* insertJob(kind, { errors: `array['{"error": "old"}'::jsonb]` })
      const job = yield* claimOne(kind)
      const now = yield* Clock.currentTimeMillis

      yield* settleOne(job, kind, retry, { endedAt: now - 8000 })

      assert.deepInclude(yield* getJob(id), { state: "retryable", finalized_at: null })
      const { dueIn } = yield* timesOf(id)
      assert.isAtLeast(dueIn, 14_400 - 8000 - 500)
      assert.isAtMost(dueIn, 17_600 - 8000)
    })
  )

  it.effect("[69] with 310 stored errors waits as long as River can express, and PostgreSQL can store that", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const id = yield* insertJob(kind, {
        max_attempts: 1000,
        errors: `(SELECT array_agg('{"error": "old"}'::jsonb) FROM generate_series(1, 310))`
      })
      const job = yield* claimOne(kind)

      yield* settleOne(job, kind, retry)

      assert.strictEqual((yield* getJob(id)).state, "retryable")
      const years = (yield* timesOf(id)).dueIn / 86_400_000 / 365.25
      assert.closeTo(years, 292.27, 0.1)
    })
  )

  it.effect("[70] is discarded at the last attempt, with its error, and its scheduled_at kept", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const id = yield* insertJob(kind)
      const job = yield* claimOne(kind)
      const before = yield* getJob(id)

      yield* settleOne(job, kind, discarded)

      const after = yield* getJob(id)
      assert.sameMembers(changedColumns(before, after), ["state", "errors", "finalized_at"])
      assert.deepInclude(after, { state: "discarded" })
      assert.deepInclude(after.errors?.[0], { error: "no answer came", attempt: 1 })
    })
  )

  it.effect("[87] is cancelled when its worker says so, in River's words", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const id = yield* insertJob(kind)
      const job = yield* claimOne(kind)

      yield* settleOne(job, kind, cancelled)

      const after = yield* getJob(id)
      assert.strictEqual(after.state, "cancelled")
      assert.isNotNull(after.finalized_at)
      assert.deepInclude(after.errors?.[0], { error: "JobCancelError: no answer came", trace: "" })
    })
  )

  it.effect("[88] that was snoozed has its attempt back, is due later, and has the snooze counted", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const ids = yield* insertJobs(kind, 2, { attempt: 4, metadata: { snoozes: 1, kept: "x" } })
      const [long, short] = yield* claim(kind)
      const before = yield* getJobs(ids)

      yield* settleOne(long!, kind, snoozed(10_000))
      yield* settleOne(short!, kind, snoozed(2000))

      const after = yield* getJobs(ids)
      for (const i of [0, 1]) {
        assert.sameMembers(changedColumns(before[i]!, after[i]!), ["state", "attempt", "scheduled_at", "metadata"])
        assert.deepEqual(after[i]!.metadata, { snoozes: 2, kept: "x" })
      }
      assert.deepInclude(after[0], { state: "scheduled", attempt: 4 })
      assert.deepInclude(after[1], { state: "available", attempt: 4 })
      assert.closeTo((yield* timesOf(long!.id)).dueIn, 10_000, 500)
      assert.closeTo((yield* timesOf(short!.id)).dueIn, 2000, 500)
    })
  )

  it.effect("[92] that was given back has its attempt back, is due at once, and shows no error", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const id = yield* insertJob(kind, { attempt: 4, scheduled_at: "now() - interval '1 hour'" })
      const job = yield* claimOne(kind)
      const before = yield* getJob(id)

      yield* settleOne(job, kind, interrupted)

      const after = yield* getJob(id)
      assert.sameMembers(changedColumns(before, after), ["state", "attempt", "scheduled_at"])
      assert.deepInclude(after, { state: "available", attempt: 4, attempted_by: ["one"], errors: null })
      assert.closeTo((yield* timesOf(id)).dueIn, 0, 500)
      assert.strictEqual((yield* claimOne(kind)).id, id)
    })
  )

  it.effect("[58] [59] has what its worker recorded beside what others wrote meanwhile, whatever the outcome", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done)
      const ids = yield* insertJobs(kind, 6, { metadata: { before: 1, output: "old" } })
      const jobs = yield* claim(kind)
      yield* sql`UPDATE metadata.river_job SET metadata = metadata || '{"during": 2}' WHERE id = ANY (${ids}::bigint[])`
      for (const job of jobs) yield* Metadata.set(job, "output", { text: "new", n: [1] })

      const outcomes = [completed(), retry, discarded, cancelled, interrupted, snoozed(1)]
      for (const [i, outcome] of outcomes.entries()) yield* settleOne(jobs[i]!, kind, outcome)

      for (const [i, row] of (yield* getJobs(ids)).entries()) {
        const { snoozes: _, ...rest } = row.metadata
        assert.deepEqual(rest, { before: 1, during: 2, output: { text: "new", n: [1] } }, outcomes[i]!._tag)
      }
    })
  )

  it.effect("is settled also where its metadata is no object, which stays as it is", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const ids = yield* insertJobs(kind, 3, { metadata: [1, { cancel_attempted_at: "x" }] })
      const [first, second, third] = yield* claim(kind)
      yield* Metadata.set(first!, "output", 1)

      yield* settleOne(first!, kind, completed())
      yield* settleOne(second!, kind, retry)
      yield* settleOne(third!, kind, snoozed(60_000))

      const rows = yield* getJobs(ids)
      assert.deepEqual(
        rows.map(({ state }) => state),
        ["completed", "available", "scheduled"]
      )
      for (const row of rows) assert.deepEqual(row.metadata as unknown, [1, { cancel_attempted_at: "x" }])
    })
  )

  it.effect("[60] [61] is cancelled instead of waiting again when somebody asked to cancel it meanwhile", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done)
      const late = yield* insertJobs(kind, 1, { errors: `array['{"error": "old"}'::jsonb]` })
      const ids = [...late, ...(yield* insertJobs(kind, 4, { attempt: 2 }))]
      const jobs = yield* claim(kind)
      const before = yield* getJobs(ids)
      for (const id of ids) yield* sql.unsafe(`${cancelRequest} ${id}`)

      const outcomes = [retry, retry, snoozed(1000), snoozed(60_000), interrupted]
      for (const [i, outcome] of outcomes.entries()) yield* settleOne(jobs[i]!, kind, outcome)

      for (const [i, row] of (yield* getJobs(ids)).entries()) {
        const failed = outcomes[i]!._tag === "Retry"
        assert.strictEqual(row.state, "cancelled")
        assert.sameMembers(
          changedColumns(before[i]!, row).filter((name) => name !== "metadata"),
          ["state", "finalized_at", ...(failed ? ["errors"] : [])]
        )
        if (failed) assert.deepInclude(row.errors?.at(-1), { error: "no answer came" })
        assert.closeTo((yield* timesOf(row.id)).ended!, 0, 2000)
      }
    })
  )

  it.effect("[60] is completed although somebody asked to cancel it, when it succeeded", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done)
      const id = yield* insertJob(kind)
      const job = yield* claimOne(kind)
      yield* sql.unsafe(`${cancelRequest} ${id}`)

      yield* settleOne(job, kind, completed())

      assert.strictEqual((yield* getJob(id)).state, "completed")
    })
  )

  it.effect("[57] is written although another job of the batch was deleted", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done)
      const [gone, there] = yield* insertJobs(kind, 2)
      const jobs = yield* claim(kind)
      yield* sql`DELETE FROM metadata.river_job WHERE id = ${gone}`

      const verdicts = yield* settle(yield* Effect.forEach(jobs, (job) => settlement(job, kind, completed())))

      assert.deepEqual(verdicts, [{ id: gone!, verdict: "lost" }])
      assert.strictEqual((yield* getJob(there!)).state, "completed")
    })
  )

  it.effect("may be one at the end of the range of attempts, or with an id beyond 2⁵³", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done)
      const last = yield* insertJob(kind, { attempt: 32_767, max_attempts: 32_767 })
      yield* sql`ALTER SEQUENCE metadata.river_job_id_seq RESTART WITH 9007199254740993`
      const [large, larger] = yield* insertJobs(kind, 2)
      yield* sql`ALTER SEQUENCE metadata.river_job_id_seq RESTART WITH 1000000`
      const jobs = new Map((yield* claim(kind)).map((job) => [job.id, job]))

      yield* settleOne(jobs.get(last)!, kind, discarded)
      yield* settleOne(jobs.get(large!)!, kind, completed())
      yield* settleOne(jobs.get(larger!)!, kind, retry)

      assert.deepEqual(
        (yield* getJobs([last, large!, larger!])).map(({ state }) => state),
        ["discarded", "completed", "available"]
      )
    })
  )
})

layer(riverDatabase, { excludeTestServices: true })("the fence", (it) => {
  const outcomes = [completed("late"), retry, discarded, cancelled, interrupted, snoozed(60_000)]

  /** Something that somebody else does to a running job. */
  const meanwhile: Record<string, (id: bigint) => string> = {
    "was rescued and is running elsewhere": (id) => `UPDATE metadata.river_job SET attempt = attempt + 1,
      attempted_at = now(), attempted_by = attempted_by || 'two'::text WHERE id = ${id}`,
    "was claimed again by the same client at the same attempt, a microsecond later": (id) => `UPDATE metadata.river_job
      SET attempted_at = attempted_at + interval '1 microsecond' WHERE id = ${id}`,
    "was claimed by another client at the same attempt and time": (id) => `UPDATE metadata.river_job
      SET attempted_by = attempted_by || 'two'::text WHERE id = ${id}`,
    "is available again": (id) => `UPDATE metadata.river_job SET state = 'available' WHERE id = ${id}`,
    "is pending": (id) => `UPDATE metadata.river_job SET state = 'pending' WHERE id = ${id}`,
    "was discarded by hand": (id) => `UPDATE metadata.river_job SET state = 'discarded', finalized_at = now(),
      errors = array['{"error": "by hand"}'::jsonb] WHERE id = ${id}`,
    "has lost its attempted_by": (id) => `UPDATE metadata.river_job SET attempted_by = null WHERE id = ${id}`,
    "has lost its attempted_at": (id) => `UPDATE metadata.river_job SET attempted_at = null WHERE id = ${id}`
  }

  for (const [what, statement] of Object.entries(meanwhile)) {
    it.effect(`[56] [62] drops every outcome of a job that ${what}: neither job nor row changes`, () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const kind = itemWorker()
        const { ids, prefix } = yield* insertItems(kind, outcomes.length)
        const jobs = yield* claim(kind)
        for (const job of jobs) yield* Metadata.set(job, "output", "late")
        for (const id of ids) yield* sql.unsafe(statement(id))
        const before = yield* getJobs(ids)

        const verdicts = yield* Effect.forEach(outcomes, (outcome, i) => settleOne(jobs[i]!, kind, outcome))

        assert.deepEqual(
          verdicts.flat(),
          ids.map((id) => ({ id, verdict: "lost" as const }))
        )
        assert.deepEqual(yield* getJobs(ids), before)
        for (let n = 1; n <= outcomes.length; n++) {
          assert.deepInclude(yield* getItem(`${prefix}${n}`), { status: "open", writes: 0 })
        }
      })
    )
  }

  it.effect("[62] lets the current claim settle a job whose earlier claim, by the same client, comes late", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const { item, job: id } = yield* insertItem(kind)
      const early = yield* claimOne(kind)
      yield* settleOne(early, kind, interrupted)
      const current = yield* claimOne(kind)
      assert.strictEqual(current.attempt, early.attempt)

      const late = yield* settleOne(early, kind, completed("early"))
      assert.deepInclude(yield* getJob(id), { state: "running" })
      const own = yield* settleOne(current, kind, completed("current"))

      assert.deepEqual([late, own], [[{ id, verdict: "lost" }], []])
      assert.deepInclude(yield* getJob(id), { state: "completed", attempt: 1 })
      assert.deepInclude(yield* getItem(item), { answer: "current", writes: 1 })
    })
  )

  it.effect("makes a replayed settle harmless, whatever the outcome", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const { ids, prefix } = yield* insertItems(kind, outcomes.length)
      const jobs = yield* claim(kind)
      const members = yield* Effect.forEach(outcomes, (outcome, i) => settlement(jobs[i]!, kind, outcome))
      for (const member of members) assert.deepEqual(yield* settle([member]), [])
      const before = yield* getJobs(ids)
      const items = yield* Effect.forEach(ids, (_, i) => getItem(`${prefix}${i + 1}`))

      const verdicts = yield* Effect.forEach(members, (member) => settle([member]))

      assert.isTrue(verdicts.flat().every(({ verdict }) => verdict === "lost"))
      assert.deepEqual(yield* getJobs(ids), before)
      assert.deepEqual(yield* Effect.forEach(ids, (_, i) => getItem(`${prefix}${i + 1}`)), items)
    })
  )

  it.effect("holds in sessions of any date style and time zone", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done)
      const styles = [
        ["ISO, DMY", "Asia/Kolkata"],
        ["SQL, DMY", "Asia/Kolkata"],
        ["German", "Europe/Berlin"],
        ["Postgres, MDY", "America/St_Johns"]
      ]

      for (const [style, zone] of styles) {
        const id = yield* insertJob(kind)
        const verdicts = yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`SELECT set_config('datestyle', ${style!}, true), set_config('timezone', ${zone!}, true)`
            return yield* settleOne(yield* claimOne(kind), kind, completed())
          })
        )
        assert.deepEqual(verdicts, [], `${style} in ${zone}`)
        assert.strictEqual((yield* getJob(id)).state, "completed")
      }
    })
  )
})

layer(riverDatabase, { excludeTestServices: true })("a kind's own row", (it) => {
  it.effect("is written together with the job, and only then", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const { ids, prefix } = yield* insertItems(kind, 6)
      const jobs = yield* claim(kind)

      const outcomes = [completed("yes"), discarded, cancelled, retry, interrupted, snoozed(1)]
      for (const [i, outcome] of outcomes.entries()) yield* settleOne(jobs[i]!, kind, outcome)

      const items = yield* Effect.forEach(ids, (_, i) => getItem(`${prefix}${i + 1}`))
      assert.deepInclude(items[0], { status: "answered", answer: "yes", number: 7, writes: 1 })
      for (const i of [1, 2]) assert.deepInclude(items[i], { status: "failed", reason: "no answer came", writes: 1 })
      for (const i of [3, 4, 5]) assert.deepInclude(items[i], { status: "open", writes: 0 })
    })
  )

  it.effect("hears of a job that is cancelled because somebody asked for it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = itemWorker()
      const { item, job: id } = yield* insertItem(kind)
      const job = yield* claimOne(kind)
      yield* sql.unsafe(`${cancelRequest} ${id}`)

      yield* settleOne(job, kind, interrupted)

      assert.strictEqual((yield* getJob(id)).state, "cancelled")
      assert.deepInclude(yield* getItem(item), { status: "failed", reason: "the job was cancelled" })
    })
  )

  it.effect("that is gone ends the job cancelled, with that reason and the time of the attempt's start", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = itemWorker()
      const { item, job: id } = yield* insertItem(kind)
      const nameless = yield* insertJob(kind, { args: { item: null } })
      const there = yield* insertItem(kind)
      const jobs = yield* claim(kind)
      yield* sql`DELETE FROM app.item WHERE id = ${item}`
      yield* Effect.sleep("300 millis")

      const members = yield* Effect.forEach(jobs, (job) => settlement(job, kind, completed("yes")))
      const verdicts = yield* settle(members)

      assert.sameDeepMembers(Array.from(verdicts), [
        { id, verdict: "missing" },
        { id: nameless, verdict: "missing" }
      ])
      for (const row of yield* getJobs([id, nameless])) {
        assert.strictEqual(row.state, "cancelled")
        assert.isNotNull(row.finalized_at)
        assert.deepInclude(row.errors?.[0], {
          attempt: 1,
          error: "JobCancelError: the item of this job does not exist",
          trace: ""
        })
        assert.closeTo(Date.parse(row.errors![0]!.at), Date.parse(row.attempted_at!), 50)
      }
      assert.strictEqual((yield* getJob(there.job)).state, "completed")
    })
  )

  it.effect("that is gone does not keep a job from failing, being discarded or given back", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const ids = yield* insertJobs(kind, 4, { args: { item: "none such" } })
      const jobs = yield* claim(kind)

      const outcomes = [retry, discarded, interrupted, cancelled]
      const verdicts = yield* Effect.forEach(outcomes, (outcome, i) => settleOne(jobs[i]!, kind, outcome))

      assert.deepEqual(verdicts.flat(), [])
      assert.deepEqual(
        (yield* getJobs(ids)).map(({ state }) => state),
        ["available", "discarded", "available", "cancelled"]
      )
    })
  )

  it.effect("takes the result of one of two jobs that are about it; both complete", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const { item, jobs: ids } = yield* insertItem(kind, {}, 2)
      const jobs = yield* claim(kind)

      const members = yield* Effect.forEach(jobs, (job, i) => settlement(job, kind, completed(`answer ${i}`)))
      const verdicts = yield* settle(members)

      assert.lengthOf(verdicts, 1)
      assert.strictEqual(verdicts[0]!.verdict, "already")
      assert.deepEqual(
        (yield* getJobs(ids)).map(({ state }) => state),
        ["completed", "completed"]
      )
      const row = yield* getItem(item)
      assert.match(row.answer!, /^answer [01]$/)
      assert.strictEqual(row.writes, 1)
    })
  )

  it.effect("gets the result that was made for it, also when the jobs' args were changed meanwhile", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = itemWorker()
      const [one, other] = [yield* insertItem(kind), yield* insertItem(kind)]
      const jobs = yield* claim(kind)
      yield* sql`UPDATE metadata.river_job j SET args = o.args FROM metadata.river_job o
        WHERE j.id IN (${one.job}, ${other.job}) AND o.id = ${one.job} + ${other.job} - j.id`

      yield* settle([
        yield* settlement(jobs[0]!, kind, completed("for one")),
        yield* settlement(jobs[1]!, kind, completed("for other"))
      ])

      assert.deepInclude(yield* getItem(one.item), { answer: "for one", writes: 1 })
      assert.deepInclude(yield* getItem(other.item), { answer: "for other", writes: 1 })
    })
  )

  it.effect("is told from a row at the same place in another part of a partitioned table", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const table = "app.parted"
      yield* sql.unsafe(
        `CREATE TABLE ${table} (LIKE app.item INCLUDING DEFAULTS, PRIMARY KEY (id)) PARTITION BY HASH (id)`
      )
      for (const part of [0, 1, 2, 3]) {
        yield* sql.unsafe(
          `CREATE TABLE ${table}_${part} PARTITION OF ${table} FOR VALUES WITH (MODULUS 4, REMAINDER ${part})`
        )
      }
      yield* sql.unsafe(`INSERT INTO ${table} (id) SELECT 'part_' || n FROM generate_series(1, 40) n`)
      const kind = itemWorker(undefined, { effect: { ...itemEffect, table } })
      for (let n = 1; n <= 20; n++) yield* insertJob(kind, { args: { item: `part_${n}` } })

      const jobs = yield* claim(kind)
      yield* settle(
        yield* Effect.forEach(jobs, (job) =>
          settlement(job, kind, completed((job.args as { readonly item: string }).item))
        )
      )

      const rows = yield* sql.unsafe<{ readonly id: string; readonly answer: string | null }>(
        `SELECT id, answer FROM ${table} ORDER BY id`
      )
      assert.isTrue(rows.every(({ answer, id }) => (Number(id.slice(5)) <= 20 ? answer === id : answer === null)))
    })
  )

  it.effect("that a trigger keeps from being written is reported as such", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const table = "app.stubborn"
      yield* sql.unsafe(`CREATE TABLE ${table} (LIKE app.item INCLUDING DEFAULTS, PRIMARY KEY (id))`)
      yield* sql.unsafe(`CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$`)
      yield* sql.unsafe(`CREATE TRIGGER refuse BEFORE UPDATE ON ${table} FOR EACH ROW EXECUTE FUNCTION app.refuse()`)
      yield* sql.unsafe(`INSERT INTO ${table} (id) VALUES ('it')`)
      const kind = itemWorker(undefined, { effect: { ...itemEffect, table } })
      const id = yield* insertJob(kind, { args: { item: "it" } })

      const verdicts = yield* settleOne(yield* claimOne(kind), kind, completed("yes"))

      assert.deepEqual(verdicts, [{ id, verdict: "unwritten" }])
    })
  )

  it.effect("that is answered is never written again, neither by a result nor by a failure", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = itemWorker()
      const { item, jobs: ids } = yield* insertItem(kind, {}, 4)
      const [first, second, third, fourth] = yield* claim(kind)
      yield* settleOne(first!, kind, completed("the first"))
      const answered = yield* getItem(item)

      const again = yield* settleOne(second!, kind, completed("the second"))
      yield* settleOne(third!, kind, discarded)
      yield* settleOne(fourth!, kind, cancelled)
      yield* sql`UPDATE metadata.river_job SET state = 'available', finalized_at = null WHERE id = ${ids[0]}`
      yield* settleOne(yield* claimOne(kind), kind, completed("retried by hand"))

      assert.deepEqual(again, [{ id: ids[1]!, verdict: "already" }])
      assert.deepEqual(yield* getItem(item), answered)
      assert.deepEqual(
        (yield* getJobs(ids)).map(({ state }) => state),
        ["completed", "completed", "discarded", "cancelled"]
      )
    })
  )

  it.effect("that was given up is answered when its job is retried", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = itemWorker()
      const { item, job: id } = yield* insertItem(kind, { max_attempts: 1 })
      yield* settleOne(yield* claimOne(kind), kind, discarded)
      assert.deepInclude(yield* getItem(item), { status: "failed" })
      yield* sql`UPDATE metadata.river_job SET state = 'available', finalized_at = null, max_attempts = 2,
        scheduled_at = now() WHERE id = ${id}`

      yield* settleOne(yield* claimOne(kind), kind, completed("after all"))

      assert.deepInclude(yield* getJob(id), { state: "completed", attempt: 2 })
      assert.deepInclude(yield* getItem(item), { status: "answered", answer: "after all", reason: null })
    })
  )

  it.effect("is left alone when it is what the database refuses to write", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const { item, job: id } = yield* insertItem(kind)
      const unspeakable: Outcome = { _tag: "Discarded", failure: { message: "unspeakable", trace: "" } }
      const member = yield* settlement(yield* claimOne(kind), kind, unspeakable)
      assert.isTrue((yield* Effect.exit(settle([member])))._tag === "Failure")

      yield* settle([{ ...member, withoutEffect: true }])

      assert.deepInclude(yield* getJob(id), { state: "discarded" })
      assert.deepInclude(yield* getItem(item), { status: "open", writes: 0 })
    })
  )
})

layer(riverDatabase, { excludeTestServices: true })("a stranger's lock", (it) => {
  it.effect("[55] on a job or on a kind's row keeps only that member from being settled, and nothing waits", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const { ids, prefix } = yield* insertItems(kind, 5)
      const jobs = yield* claim(kind)
      const other = yield* beginElsewhere([
        `SELECT FROM metadata.river_job WHERE id = ${ids[1]} FOR UPDATE`,
        `SELECT FROM app.item WHERE id = '${prefix}4' FOR UPDATE`
      ])
      const members = yield* Effect.forEach(jobs, (job) => settlement(job, kind, completed("yes")))

      const first = yield* settle(members)
      assert.deepEqual(
        (yield* getJobs(ids)).map(({ state }) => state),
        ["completed", "running", "completed", "running", "completed"]
      )
      assert.deepInclude(yield* getItem(`${prefix}2`), { status: "open" })
      yield* other.rollback
      const second = yield* settle(members)

      assert.sameDeepMembers(Array.from(first), [
        { id: ids[1]!, verdict: "busy" },
        { id: ids[3]!, verdict: "busy" }
      ])
      assert.sameMembers(
        second.map(({ verdict }) => verdict),
        ["lost", "lost", "lost"]
      )
      assert.isTrue((yield* getJobs(ids)).every(({ state }) => state === "completed"))
      for (const n of [2, 4]) assert.deepInclude(yield* getItem(`${prefix}${n}`), { status: "answered", writes: 1 })
    })
  )

  it.effect("on a kind's row holds up a job that dies, but none that is tried again or given back", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const { item, jobs: ids } = yield* insertItem(kind, {}, 3)
      const jobs = yield* claim(kind)
      const other = yield* beginElsewhere([`SELECT FROM app.item WHERE id = '${item}' FOR UPDATE`])

      const verdicts = yield* Effect.forEach([discarded, retry, interrupted], (outcome, i) =>
        settleOne(jobs[i]!, kind, outcome)
      )

      assert.deepEqual(verdicts, [[{ id: ids[0]!, verdict: "busy" }], [], []])
      assert.deepEqual(
        (yield* getJobs(ids)).map(({ state }) => state),
        ["running", "available", "available"]
      )
      yield* other.rollback
    })
  )

  /**
   * A kind whose condition is judged after the statement has its snapshot and before it locks the kind's rows, and only
   * when `meanwhile` has been committed in between.
   */
  const duringSettle = Effect.fnUntraced(function* (
    outcome: Outcome,
    meanwhile: (ids: { readonly item: string; readonly id: bigint }) => string
  ) {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE OR REPLACE FUNCTION app.slow_key(key text) RETURNS text LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN key; END $$`
    const kind = itemWorker(undefined, {
      effect: {
        ...itemEffect,
        onCompleted: { ...itemEffect.onCompleted, where: "app.slow_key(r.status) <> 'answered'" }
      }
    })
    const { item, job: id } = yield* insertItem(kind)
    const member = yield* settlement(yield* claimOne(kind), kind, outcome)
    const gate = yield* beginElsewhere(["SELECT pg_advisory_xact_lock(42)"])
    const settling = yield* Effect.forkChild(settle([member]))
    yield* waitingForLocks(1)
    yield* sql.unsafe(meanwhile({ item, id }))
    yield* gate.rollback
    const first = yield* Fiber.join(settling)
    const second = first.some(({ verdict }) => verdict === "busy") ? yield* settle([member]) : []
    return { first, second, job: yield* getJob(id), item: yield* getItem(item) }
  })

  it.effect("does not cost a row its answer when it changed between the statement's snapshot and its lock", () =>
    Effect.gen(function* () {
      const { item, job } = yield* duringSettle(
        completed("yes"),
        ({ item }) => `UPDATE app.item SET reason = 'being looked at' WHERE id = '${item}'`
      )

      assert.deepInclude(item, { status: "answered", answer: "yes" })
      assert.strictEqual(job.state, "completed")
    })
  )

  it.effect("does not cost a row its failure when it changed between the statement's snapshot and its lock", () =>
    Effect.gen(function* () {
      const { item, job } = yield* duringSettle(
        discarded,
        ({ item }) => `UPDATE app.item SET reason = 'being looked at' WHERE id = '${item}'`
      )

      assert.deepInclude(item, { status: "failed", reason: "no answer came" })
      assert.strictEqual(job.state, "discarded")
    })
  )

  it.effect("lets another's answer stand that was given between the statement's snapshot and its lock", () =>
    Effect.gen(function* () {
      const { item, job } = yield* duringSettle(
        completed("too late"),
        ({ item }) => `UPDATE app.item SET status = 'answered', answer = 'in time' WHERE id = '${item}'`
      )

      assert.deepInclude(item, { status: "answered", answer: "in time", writes: 1 })
      assert.strictEqual(job.state, "completed")
    })
  )

  it.effect("ends a job cancelled when its row was deleted between the statement's snapshot and its lock", () =>
    Effect.gen(function* () {
      const { job } = yield* duringSettle(completed("yes"), ({ item }) => `DELETE FROM app.item WHERE id = '${item}'`)

      assert.strictEqual(job.state, "cancelled")
    })
  )
})
