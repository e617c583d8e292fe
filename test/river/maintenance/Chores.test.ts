/** The scheduler and the rescuer as parts of a running client; what each statement does is tested beside it. */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as SqlClient from "effect/sql/SqlClient"
import {
  answer,
  done,
  getItem,
  getJob,
  getJobs,
  beginElsewhere,
  insertItem,
  insertItems,
  insertJob,
  insertJobs,
  itemWorker,
  jobIn,
  riverDatabase,
  startClient,
  until,
  worker
} from "../support.ts"

const ours = "array['host_test_2026_08_07T09_30_00_123456']"
const lost = { state: "running", attempt: 1, attempted_at: "now() - interval '11 s'", attempted_by: ours }

layer(riverDatabase, { excludeTestServices: true })("a client's chores", (it) => {
  it.effect("[97] bring back what a dead client of ours left, and what was put off, without a notification", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const foreign = [
        yield* insertJob("of_nobody", lost),
        yield* insertJob("of_nobody", { state: "retryable" }),
        yield* insertJob(kind, { ...lost, queue: "other" }),
        yield* insertJob(kind, { state: "scheduled", queue: "other" })
      ]
      const before = yield* getJobs(foreign)
      const rescued = yield* insertItem(kind, lost)
      const retried = yield* insertItem(kind, { state: "retryable", attempt: 2 })
      const last = yield* insertItem(kind, { ...lost, max_attempts: 1 })

      const client = yield* startClient([kind], { fetchPollInterval: Duration.minutes(1) })

      const job = yield* jobIn("completed", rescued.job, "3 seconds")
      assert.deepInclude(job, { attempt: 2, metadata: { "river:rescue_count": 1 } })
      assert.lengthOf(job.errors ?? [], 1)
      assert.deepInclude(yield* getItem(rescued.item), { status: "answered", writes: 1 })
      assert.deepInclude(yield* jobIn("completed", retried.job, "6 seconds"), { attempt: 3 })
      assert.deepInclude(yield* getJob(last.job), { state: "discarded" })
      assert.deepInclude(yield* getItem(last.item), { status: "failed" })
      assert.deepEqual(yield* getJobs(foreign), before)
      assert.lengthOf(client.logged(/^rescued 2 jobs of kind .* from lost attempts/), 1)
    })
  )

  it.effect("never rescue what the client itself is running or has yet to settle", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const finish = yield* Deferred.make<void>()
      const kind = itemWorker((job) => Effect.andThen(Deferred.await(finish), answer(job)))
      const { job: id } = yield* insertItem(kind)
      const client = yield* startClient([kind])
      const running = yield* jobIn("running", id)

      // As if it had been running for long; the fence must go on holding, so the claim's time is put back afterwards.
      yield* sql`UPDATE metadata.river_job SET attempted_at = now() - interval '1 day' WHERE id = ${id}`
      const passes = client.events.filter((event) => event === "rescue").length
      yield* until(
        Effect.sync(() => client.events.filter((event) => event === "rescue").length),
        (count) => count >= passes + 2
      )
      assert.deepInclude(yield* getJob(id), { state: "running", errors: null })
      yield* sql`UPDATE metadata.river_job SET attempted_at = ${running.attempted_at}::timestamptz WHERE id = ${id}`
      yield* Deferred.succeed(finish, undefined)

      assert.deepInclude(yield* jobIn("completed", id), { attempt: 1, errors: null })
    })
  )

  it.effect("go on with the other jobs when the database refuses the word to one job's row", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'this row is not to be written'; END $$`
      const kind = itemWorker()
      const before = yield* insertItem(kind, lost)
      const poison = yield* insertItem(kind, { ...lost, max_attempts: 1 })
      yield* sql.unsafe(`CREATE TRIGGER refuse BEFORE UPDATE ON app.item FOR EACH ROW
        WHEN (OLD.id = '${poison.item}') EXECUTE FUNCTION app.refuse()`)
      const last = yield* insertItem(kind, { ...lost, max_attempts: 1 })
      const after = yield* insertJobs(kind, 5, { ...lost, args: { item: before.item } })

      yield* startClient([kind])

      yield* until(
        getJobs([before.job, ...after]),
        (jobs) => jobs.every(({ state }) => state === "completed"),
        "9 seconds"
      )
      yield* jobIn("discarded", last.job)
      assert.deepInclude(yield* getItem(last.item), { status: "failed" })
      yield* jobIn("discarded", poison.job)
      assert.deepInclude(yield* getItem(poison.item), { status: "open", writes: 0 })
    })
  )

  it.effect("[112] bring back lost jobs from behind a thousand whose own rows somebody holds", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const { prefix } = yield* insertItems(kind, 1100)
      const free = yield* insertItem(kind)
      const sql = yield* SqlClient.SqlClient
      yield* sql`UPDATE metadata.river_job SET state = 'running', attempt = 1, attempted_by = ${sql.literal(ours)},
        attempted_at = now() - interval '1 minute' WHERE kind = ${kind.kind}`
      const held = yield* beginElsewhere([`SELECT FROM app.item WHERE id LIKE '${prefix}%' FOR UPDATE`])

      yield* startClient([kind])

      yield* jobIn("completed", free.job, "5 seconds")
      yield* held.rollback
    })
  )

  it.effect("[107] make a job that was put off run when it is due, not before", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const id = yield* insertJob(kind, { state: "scheduled", scheduled_at: "now() + interval '2 s'" })
      const { scheduled_at } = yield* getJob(id)

      yield* startClient([kind], { fetchPollInterval: Duration.millis(200) })

      const job = yield* jobIn("completed", id, "8 seconds")
      assert.isAtLeast(Date.parse(job.attempted_at!), Date.parse(scheduled_at))
    })
  )

  it.effect("[108] tell whoever listens for the queue of jobs that are due, and of no others", () =>
    Effect.gen(function* () {
      const pg = yield* PgClient.PgClient
      const heard = yield* pg.listen("metadata.river_insert")
      const kind = worker(() => done)
      const early = yield* insertJob(kind, { state: "retryable", scheduled_at: "now() + interval '9 s'" })
      yield* insertJob("of_nobody", { state: "scheduled" })
      yield* startClient([kind])
      yield* jobIn("available", early, "10 seconds")
      const due = yield* insertJob(kind, { state: "scheduled" })
      yield* jobIn("completed", due, "7 seconds")

      yield* pg.notify("metadata.river_insert", "the end")
      const payloads = [(yield* Queue.take(heard)).payload, (yield* Queue.take(heard)).payload]
      assert.deepEqual(JSON.parse(payloads[0]!), { queue: "test" })
      assert.strictEqual(payloads[1], "the end")
    })
  )

  it.effect("[97] bring back what was lost and put off of each kind, and say of which", () =>
    Effect.gen(function* () {
      const kinds = [itemWorker(), itemWorker(), worker(() => done)]
      const ids = yield* Effect.forEach(kinds, (kind, i) =>
        Effect.all([insertJobs(kind, i + 1, { ...lost, max_attempts: 2 }), insertJob(kind, { state: "retryable" })])
      )

      const client = yield* startClient(kinds, { fetchPollInterval: Duration.minutes(1) })

      yield* until(
        getJobs(ids.flat(2)),
        (jobs) => jobs.every(({ state }) => ["completed", "cancelled"].includes(state)),
        "8 seconds"
      )
      assert.sameMembers(
        client.logged(/^rescued/),
        kinds.map(({ kind }, i) => `rescued ${i + 1} jobs of kind ${kind} from lost attempts`)
      )
    })
  )

  it.effect("cost as many statements for many kinds as for one, while there is nothing to do", () =>
    Effect.gen(function* () {
      const kinds = Array.from({ length: 5 }, () => itemWorker())
      const client = yield* startClient(kinds, { fetchPollInterval: Duration.minutes(1) })

      yield* Effect.sleep("5200 millis")

      const count = (name: string) => client.events.filter((event) => event === name).length
      assert.isAtLeast(count("rescue"), 2)
      assert.isAtMost(count("rescue"), 3)
      assert.isAtLeast(count("schedule"), 1)
      assert.isAtMost(count("schedule"), 2)
    })
  )

  it.effect("go on with the other kinds while the database refuses all that they do for one", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE FUNCTION app.refuse_job() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'this job is not to be written'; END $$`
      const [refused, kind] = [itemWorker(), itemWorker()]
      const poison = yield* insertItem(refused, lost)
      yield* sql.unsafe(`CREATE TRIGGER refuse BEFORE UPDATE ON metadata.river_job FOR EACH ROW
        WHEN (OLD.id = ${poison.job}) EXECUTE FUNCTION app.refuse_job()`)

      const client = yield* startClient([refused, kind])
      for (let i = 0; i < 2; i++) yield* jobIn("completed", (yield* insertItem(kind, lost)).job, "8 seconds")

      assert.deepInclude(yield* getJob(poison.job), { state: "running" })
      const told = client.logged(/^could not rescue lost jobs: /)
      assert.lengthOf(told, 1)
      assert.include(told[0], "this job is not to be written")
    })
  )
})
