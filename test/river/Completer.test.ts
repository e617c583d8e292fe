import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { JobDiscard, JobSnooze, Metadata } from "../../src/river/index.ts"
import type { Job } from "../../src/river/Job.ts"
import type { Worker } from "../../src/river/Worker.ts"
import { TestDatabase } from "../support/Database.ts"
import {
  answer,
  beginElsewhere,
  countStates,
  done,
  ended,
  getItem,
  getJob,
  getJobs,
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
} from "./support.ts"

const numberOf = (job: Job) => Number((job.args as { readonly n?: number }).n)

/** Raises an error when a job of the kind is written as `state`, only the first time or always. */
const raiseOn = Effect.fnUntraced(function* (
  { kind }: Worker,
  state: string,
  raise: { readonly code: string; readonly message?: string; readonly always?: boolean }
) {
  const sql = yield* SqlClient.SqlClient
  const name = `app.raise_${kind}`
  yield* sql.unsafe(`CREATE SEQUENCE ${name}_count`)
  yield* sql.unsafe(`CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF nextval('${name}_count') = 1 OR ${raise.always === true} THEN
      RAISE EXCEPTION '${raise.message ?? "not now"}' USING ERRCODE = '${raise.code}';
    END IF;
    RETURN NEW; END $$`)
  yield* sql.unsafe(`CREATE TRIGGER raise_${kind} BEFORE UPDATE ON metadata.river_job FOR EACH ROW
    WHEN (NEW.kind = '${kind}' AND NEW.state = '${state}') EXECUTE FUNCTION ${name}()`)
})

layer(riverDatabase, { excludeTestServices: true })("Completer", (it) => {
  it.effect("[51] writes a thousand jobs that finish together in a few statements", () =>
    Effect.gen(function* () {
      const gate = yield* Latch.make()
      const kind = itemWorker((job) => gate.whenOpen(answer(job)))
      yield* insertItems(kind, 1000)
      const client = yield* startClient([kind], { maxWorkers: 1000 })
      yield* until(countStates(kind), ({ running }) => running === 1000)

      yield* gate.open

      assert.deepEqual(yield* ended(kind), { completed: 1000 })
      assert.isAtMost(client.events.filter((event) => event === "settle").length, 10)
    })
  )

  it.effect("[52] writes a single job at once on an idle system", () =>
    Effect.gen(function* () {
      const finished = yield* Deferred.make<void>()
      const kind = worker(() => Effect.as(Deferred.succeed(finished, undefined), {}))
      yield* startClient([kind])
      const id = yield* insertJob(kind)
      yield* Deferred.await(finished)

      yield* jobIn("completed", id, "500 millis")
    })
  )

  for (const code of ["40001", "40P01", "55P03", "57014"]) {
    it.effect(`[53] tries again what fails once with ${code}: completed at the first attempt, without an error`, () =>
      Effect.gen(function* () {
        const kind = itemWorker()
        yield* raiseOn(kind, "completed", { code })
        const { item, job: id } = yield* insertItem(kind)
        yield* startClient([kind])

        const job = yield* jobIn("completed", id)

        assert.deepInclude(job, { attempt: 1, errors: null })
        assert.deepInclude(yield* getItem(item), { status: "answered", writes: 1 })
      })
    )
  }

  it.effect("settles 496 of 500 when four of them hold a result that the database refuses", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const poison: Record<number, Record<string, string>> = {
        7: { answer: "with a \u0000 in it" },
        70: { answer: "forbidden" },
        300: { number: "no number" },
        301: { answer: "raise" }
      }
      yield* sql`CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'not today'; END $$`
      yield* sql`CREATE TRIGGER refuse BEFORE UPDATE ON app.item FOR EACH ROW WHEN (NEW.answer = 'raise')
        EXECUTE FUNCTION app.refuse()`
      const gate = yield* Latch.make()
      const kind = itemWorker((job) =>
        gate.whenOpen(Effect.map(answer(job), (fine) => ({ ...fine, ...poison[numberOf(job)] })))
      )
      const { ids, prefix } = yield* insertItems(kind, 500)
      const client = yield* startClient([kind], { maxWorkers: 500, fetchPollInterval: Duration.seconds(60) })
      yield* until(countStates(kind), ({ running }) => running === 500)

      yield* gate.open
      yield* until(countStates(kind), ({ running }) => running === undefined)

      assert.deepEqual(yield* countStates(kind), { completed: 496, available: 4 })
      const texts = {
        7: /^the result could not be stored: invalid byte sequence for encoding "UTF8": 0x00/,
        70: /^the result could not be stored: new row for relation "item" violates check constraint "item_answer_check"/,
        300: /^the result could not be stored: invalid input syntax for type integer: "<number>"/,
        301: /^the result could not be stored: not today/
      }
      for (const [n, text] of Object.entries(texts)) {
        const job = yield* getJob(ids[Number(n) - 1]!)
        assert.deepInclude(job, { state: "available", attempt: 1 })
        assert.lengthOf(job.errors ?? [], 1)
        assert.match(job.errors![0]!.error, text)
        assert.strictEqual(job.errors![0]!.trace, "")
        assert.deepInclude(yield* getItem(`${prefix}${n}`), { status: "open", writes: 0 })
      }
      const others = (yield* getJobs(ids)).filter(({ state }) => state === "completed")
      assert.isTrue(others.every(({ attempt, errors }) => attempt === 1 && errors === null))
      assert.lengthOf(client.logged(/the result could not be stored/), 4)
    })
  )

  it.effect("discards a job whose last attempt gave a result that the database refuses, and tells its row", () =>
    Effect.gen(function* () {
      const kind = itemWorker(() => Effect.succeed({ answer: "forbidden", number: "1" }))
      const { item, job: id } = yield* insertItem(kind, { max_attempts: 1 })
      yield* startClient([kind])

      const job = yield* jobIn("discarded", id)

      assert.match(job.errors![0]!.error, /violates check constraint/)
      const row = yield* getItem(item)
      assert.strictEqual(row.status, "failed")
      assert.match(row.reason!, /^the result could not be stored: .* violates check constraint/)
    })
  )

  it.effect("discards a job also when the database refuses the word to its row, which then stays as it is", () =>
    Effect.gen(function* () {
      const kind = itemWorker(() => new JobDiscard({ message: "unspeakable" }))
      const { item, job: id } = yield* insertItem(kind)
      const fine = itemWorker()
      const other = yield* insertItem(fine)
      yield* startClient([kind, fine])

      const job = yield* jobIn("discarded", id)

      assert.deepInclude(job.errors?.[0], { error: "unspeakable" })
      assert.deepInclude(yield* getItem(item), { status: "open", writes: 0 })
      yield* jobIn("completed", other.job)
    })
  )

  it.effect("discards a job whose last result is refused in words that its row refuses, too", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE FUNCTION app.refuse_twice() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'an unspeakable result'; END $$`
      yield* sql`CREATE TRIGGER refuse_twice BEFORE UPDATE ON app.item FOR EACH ROW WHEN (NEW.answer = 'twice')
        EXECUTE FUNCTION app.refuse_twice()`
      const kind = itemWorker(() => Effect.succeed({ answer: "twice", number: "1" }))
      const { item, job: id } = yield* insertItem(kind, { max_attempts: 1 })
      yield* startClient([kind])

      const job = yield* jobIn("discarded", id)

      assert.lengthOf(job.errors ?? [], 1)
      assert.match(job.errors![0]!.error, /^the result could not be stored: an unspeakable result/)
      assert.deepInclude(yield* getItem(item), { status: "open", writes: 0 })
    })
  )

  it.effect("takes metadata that the database refuses for a failed attempt, not for a lost one", () =>
    Effect.gen(function* () {
      const kind = worker((job) => Effect.as(Metadata.set(job, "output", "with a \u0000 in it"), {}))
      const id = yield* insertJob(kind, { max_attempts: 1 })
      yield* startClient([kind])

      const job = yield* jobIn("discarded", id)

      assert.match(job.errors![0]!.error, /^the result could not be stored: /)
    })
  )

  it.effect("takes a snooze that the database cannot express for a failed attempt, not for a lost one", () =>
    Effect.gen(function* () {
      const kind = worker(() => new JobSnooze({ duration: Duration.infinity }))
      const id = yield* insertJob(kind, { max_attempts: 1 })
      yield* startClient([kind])

      const job = yield* jobIn("discarded", id)

      assert.match(job.errors![0]!.error, /^the result could not be stored: /)
    })
  )

  it.effect("takes a result that breaks the types for a failed attempt, and goes on settling others", () =>
    Effect.gen(function* () {
      const broken = itemWorker(() => Effect.succeed(undefined as never))
      const fine = itemWorker()
      const bad = yield* insertItem(broken, { max_attempts: 1 }, 3)
      yield* startClient([broken, fine])

      for (const id of bad.jobs) yield* jobIn("discarded", id, "5 seconds")
      const good = yield* insertItem(fine)
      yield* jobIn("completed", good.job)
    })
  )

  it.effect("neither loses nor doubles a settlement beside a transaction that locks the rows the other way round", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { url } = yield* TestDatabase
      const kind = itemWorker()
      const { ids, prefix } = yield* insertItems(kind, 1000)
      const locker = Effect.gen(function* () {
        const other = yield* SqlClient.SqlClient
        const round = other.withTransaction(
          Effect.gen(function* () {
            yield* other`SELECT FROM app.item WHERE id LIKE ${`${prefix}%`} ORDER BY id DESC FOR UPDATE`
            yield* other`SELECT FROM metadata.river_job WHERE kind = ${kind.kind} ORDER BY id DESC FOR UPDATE`
          })
        )
        return yield* Effect.forever(Effect.andThen(round, Effect.sleep("2 millis")))
      }).pipe(Effect.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 }), { local: true }))
      const deadlocks = sql<{ readonly deadlocks: bigint }>`SELECT deadlocks FROM pg_stat_database
        WHERE datname = current_database()`
      const [before] = yield* deadlocks

      const locking = yield* Effect.forkChild(locker)
      const client = yield* startClient([kind], { maxWorkers: 200 })
      assert.deepEqual(yield* ended(kind), { completed: 1000 })
      assert.isUndefined(locking.pollUnsafe())
      yield* Fiber.interrupt(locking)

      const jobs = yield* getJobs(ids)
      assert.isTrue(jobs.every(({ attempt, errors }) => attempt === 1 && errors === null))
      const [writes] = yield* sql<{ readonly min: number; readonly max: number }>`
        SELECT min(writes), max(writes) FROM app.item WHERE id LIKE ${`${prefix}%`}`
      assert.deepEqual(writes, { min: 1, max: 1 })
      assert.deepEqual(client.logs, [])
      yield* sql`SELECT pg_stat_force_next_flush()`
      assert.deepEqual(yield* deadlocks, [before!])
    })
  )

  it.effect("[55] lets a stranger's lock delay only its own member, for as long as it lasts", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const held = yield* insertItem(kind)
      const other = yield* beginElsewhere([`SELECT FROM app.item WHERE id = '${held.item}' FOR UPDATE`])
      yield* startClient([kind], { maxWorkers: 5 })
      yield* jobIn("running", held.job)
      yield* Effect.sleep("1500 millis")

      for (let i = 0; i < 3; i++) {
        const { jobs } = yield* insertItem(kind, {}, 10)
        for (const id of jobs) yield* jobIn("completed", id, "500 millis")
      }
      assert.deepInclude(yield* getJob(held.job), { state: "running" })
      yield* other.rollback

      yield* jobIn("completed", held.job, "500 millis")
    })
  )

  it.effect("keeps what cannot be settled now bounded, and claims no more meanwhile", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      yield* insertItems(kind, 200)
      const other = yield* beginElsewhere(["LOCK TABLE app.item"])
      const client = yield* startClient([kind], { maxWorkers: 10 })
      yield* Effect.sleep("1500 millis")

      const { running } = yield* countStates(kind)
      const claims = client.events.filter((event) => event === "claim").length
      yield* Effect.sleep("500 millis")
      assert.isAtMost(running!, 3 * 10)
      assert.strictEqual(client.events.filter((event) => event === "claim").length, claims)
      yield* other.rollback

      assert.deepEqual(yield* ended(kind), { completed: 200 })
      const sql = yield* SqlClient.SqlClient
      assert.deepEqual(yield* sql`SELECT max(attempt) FROM metadata.river_job WHERE kind = ${kind.kind}`, [{ max: 1 }])
    })
  )

  it.effect("settles workers' jobs of kinds with and without rows of their own in one go", () =>
    Effect.gen(function* () {
      const [plain, withItem, failing] = [worker(() => done), itemWorker(), worker(() => Effect.fail("no"))]
      yield* insertJobs(plain, 50)
      yield* insertItems(withItem, 50)
      yield* insertJobs(failing, 50, { max_attempts: 1 })
      yield* startClient([plain, withItem, failing], { maxWorkers: 60 })

      assert.deepEqual(yield* ended(plain), { completed: 50 })
      assert.deepEqual(yield* ended(withItem), { completed: 50 })
      assert.deepEqual(yield* ended(failing), { discarded: 50 })
    })
  )
})
