import { assert, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { TestDatabase } from "../support/Database.ts"
import { startProxy } from "../support/TcpProxy.ts"
import {
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
  serverPort,
  sessions,
  startClient,
  until,
  waitingForLocks,
  worker
} from "./support.ts"

const softStop = { softStopTimeout: Duration.millis(300) }

/** A worker that never ends, and a signal that it has begun. */
const hanging = Effect.map(Deferred.make<void>(), (started) => ({
  started: Deferred.await(started),
  kind: worker(() => Effect.andThen(Deferred.succeed(started, undefined), Effect.never))
}))

/** Holds up every statement that writes jobs. */
const lockJobs = "LOCK TABLE metadata.river_job IN SHARE ROW EXCLUSIVE MODE"

const waitingClaim = until(
  sessions("wait_event_type = 'Lock' AND query LIKE '%candidate as materialized%'"),
  (waiting) => waiting.length > 0
)

const proxied = Effect.acquireRelease(
  Effect.promise(() => startProxy({ targetPort: serverPort() })),
  (proxy) => Effect.promise(() => proxy.stop())
)

layer(riverDatabase, { excludeTestServices: true })("a stop", (it) => {
  it.effect(
    "[91] under load lets running jobs finish and writes them: none is left running, no attempt is burned",
    () =>
      Effect.gen(function* () {
        const kind = itemWorker((job) =>
          Effect.delay(Effect.succeed({ answer: `job ${job.id}`, number: "1" }), "30 millis")
        )
        yield* insertItems(kind, 1000)
        const client = yield* startClient([kind], { maxWorkers: 50 })
        yield* until(countStates(kind), ({ completed = 0 }) => completed >= 200)

        const took = yield* client.stop

        const states = yield* countStates(kind)
        assert.isBelow(took, 1000)
        assert.hasAllKeys(states, ["available", "completed"])
        const sql = yield* SqlClient.SqlClient
        assert.deepEqual(
          yield* sql`SELECT state::text, min(attempt), max(attempt), count(errors)::int AS errors
          FROM metadata.river_job WHERE kind = ${kind.kind} GROUP BY 1 ORDER BY 1`,
          [
            { state: "available", min: 0, max: 0, errors: 0 },
            { state: "completed", min: 1, max: 1, errors: 0 }
          ]
        )
        assert.deepEqual(client.logs, [])
      })
  )

  it.effect("[91] ends at once when nothing runs", () =>
    Effect.gen(function* () {
      const client = yield* startClient([worker(() => done)])
      yield* until(
        Effect.sync(() => client.events.length),
        (count) => count > 0
      )

      assert.isBelow(yield* client.stop, 200)
    })
  )

  it.effect("claims nothing more from the moment on that it begins, though jobs wait and slots are free", () =>
    Effect.gen(function* () {
      const { kind, started } = yield* hanging
      const waiting = worker(() => done)
      yield* insertJob(kind)
      const client = yield* startClient([kind, waiting], { softStopTimeout: Duration.millis(700) })
      yield* started

      const stopping = yield* Effect.forkChild(client.stop, { startImmediately: true })
      const id = yield* insertJob(waiting)
      const begun = client.events.length
      yield* Fiber.join(stopping)

      assert.deepInclude(yield* getJob(id), { state: "available", attempted_by: null })
      assert.notInclude(client.events.slice(begun), "claim")
    })
  )

  it.effect("runs in order: chores and claims end, then jobs, then their settling, then the pool", () =>
    Effect.gen(function* () {
      const kind = worker(() => Effect.delay(done, "300 millis"))
      const ids = yield* insertJobs(kind, 5)
      const client = yield* startClient([kind])
      yield* until(countStates(kind), ({ running }) => running === 5)

      const begun = client.events.length
      yield* client.stop

      const after = client.events.slice(begun)
      assert.strictEqual(after.at(-1), "pool closes")
      assert.isAtLeast(after.length, 2)
      assert.isTrue(after.slice(0, -1).every((event) => event === "settle"))
      assert.isTrue((yield* getJobs(ids)).every(({ state }) => state === "completed"))
    })
  )

  it.effect("[92] [94] gives back a job that outlasts it: available at once, its attempt uncounted, no error", () =>
    Effect.gen(function* () {
      const { kind, started } = yield* hanging
      const id = yield* insertJob(kind, { attempt: 3, errors: `array['{"error": "old"}'::jsonb]` })
      const client = yield* startClient([kind], softStop)
      yield* started
      const { attempted_at } = yield* getJob(id)

      const took = yield* client.stop

      const job = yield* getJob(id)
      assert.isAtLeast(took, 290)
      assert.isBelow(took, 1000)
      assert.deepInclude(job, { state: "available", attempt: 3, attempted_by: [client.clientId], attempted_at })
      assert.deepEqual(job.errors as unknown, [{ error: "old" }])
      assert.isAbove(Date.parse(job.scheduled_at), Date.parse(attempted_at!))
      assert.lengthOf(client.logged(/1 running jobs are given back/), 1)
    })
  )

  it.effect("[93] leaves a job that was given back for the next client, which completes it at the same attempt", () =>
    Effect.gen(function* () {
      let first = true
      const started = yield* Deferred.make<void>()
      const kind = worker(() => {
        if (!first) return done
        first = false
        return Effect.andThen(Deferred.succeed(started, undefined), Effect.never)
      })
      const id = yield* insertJob(kind)
      const client = yield* startClient([kind], softStop)
      yield* Deferred.await(started)
      yield* client.stop

      const next = yield* startClient([kind])

      const job = yield* jobIn("completed", id, "1 second")
      assert.deepInclude(job, { attempt: 1, errors: null, attempted_by: [client.clientId, next.clientId] })
    })
  )

  it.effect("[92] counts the attempt of a job that answers its interruption with a failure of its own", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const kind = worker(() =>
        Effect.andThen(Deferred.succeed(started, undefined), Effect.never).pipe(
          Effect.onInterrupt(() => Effect.die(new Error("could not clean up")))
        )
      )
      const id = yield* insertJob(kind)
      const client = yield* startClient([kind], softStop)
      yield* Deferred.await(started)

      yield* client.stop

      const job = yield* getJob(id)
      assert.deepInclude(job, { state: "available", attempt: 1 })
      assert.deepInclude(job.errors?.[0], { error: "could not clean up" })
    })
  )

  it.effect("[61] cancels a job that outlasts it when somebody asked for that meanwhile", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { kind, started } = yield* hanging
      const id = yield* insertJob(kind)
      const client = yield* startClient([kind], softStop)
      yield* started
      yield* sql`UPDATE metadata.river_job SET metadata = '{"cancel_attempted_at": "2026-08-07T09:30:00Z"}'
        WHERE id = ${id}`

      yield* client.stop

      assert.deepInclude(yield* getJob(id), { state: "cancelled", attempt: 1, errors: null })
    })
  )

  it.effect("does not wait for a worker that cannot be interrupted", () =>
    Effect.gen(function* () {
      const started = yield* Deferred.make<void>()
      const forever = yield* Latch.make()
      const kind = worker(() =>
        Effect.uninterruptible(Effect.andThen(Deferred.succeed(started, undefined), Effect.as(forever.await, {})))
      )
      yield* insertJob(kind)
      const client = yield* startClient([kind], softStop)
      yield* Deferred.await(started)
      yield* Effect.addFinalizer(() => forever.open)

      assert.isBelow(yield* client.stop, 300 + 5000)
    })
  )

  it.effect("does not wait for a worker that cannot say whether it is ready", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const answered = yield* Latch.make()
      const ready = Effect.andThen(Deferred.succeed(asked, undefined), Effect.as(answered.await, true))
      const client = yield* startClient([worker(() => done, { ready })], softStop)
      yield* Deferred.await(asked)
      yield* Effect.addFinalizer(() => answered.open)

      assert.isBelow(yield* client.stop, 300 + 5000)
    })
  )

  it.effect("[38] lets a claim that is under way finish, and works its jobs", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const client = yield* startClient([kind])
      const lock = yield* beginElsewhere([
        lockJobs,
        `INSERT INTO metadata.river_job (kind, queue, max_attempts, args, scheduled_at)
          SELECT '${kind.kind}', 'test', 25, '{}', now() - interval '1 minute' FROM generate_series(1, 3)`
      ])
      yield* waitingClaim

      const stopping = yield* Effect.forkChild(client.stop, { startImmediately: true })
      yield* Effect.sleep("200 millis")
      assert.isUndefined(stopping.pollUnsafe())
      yield* lock.commit
      yield* Fiber.join(stopping)

      assert.deepEqual(yield* countStates(kind), { completed: 3 })
    })
  )

  it.effect("[38] leaves a claim that hangs, and the claim takes nothing afterwards", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const client = yield* startClient([kind], softStop)
      const lock = yield* beginElsewhere([lockJobs])
      yield* waitingClaim

      const took = yield* client.stop
      yield* lock.rollback
      const id = yield* insertJob(kind)
      yield* until(sessions("application_name = 'river-test'"), (rest) => rest.length === 0)

      assert.isBelow(took, 300 + 5000)
      assert.deepInclude(yield* getJob(id), { state: "available", attempted_by: null })
    })
  )

  it.effect("leaves a settle that hangs, and gives its jobs back", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = itemWorker()
      const { item, job: id } = yield* insertItem(kind)
      yield* sql`CREATE FUNCTION app.hang() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END $$`
      yield* sql`CREATE TRIGGER hang BEFORE UPDATE ON app.item FOR EACH ROW EXECUTE FUNCTION app.hang()`
      const lock = yield* beginElsewhere(["SELECT pg_advisory_xact_lock(7)"])
      const client = yield* startClient([kind], softStop)
      yield* waitingForLocks(1)

      const took = yield* client.stop
      const job = yield* getJob(id)
      yield* lock.rollback
      yield* sql`DROP TRIGGER hang ON app.item`
      yield* until(sessions("application_name = 'river-test'"), (rest) => rest.length === 0)

      assert.isBelow(took, 300 + 5000)
      assert.deepInclude(job, { state: "available", attempt: 0, errors: null })
      assert.deepEqual(yield* getJob(id), job)
      assert.deepInclude(yield* getItem(item), { status: "open", writes: 0 })
      assert.deepEqual(client.logged(/could not be given back/), [])
    })
  )

  it.effect("leaves a settle that waits for a kind's locked table, and gives its jobs back", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const { item, job: id } = yield* insertItem(kind)
      const lock = yield* beginElsewhere(["LOCK TABLE app.item"])
      const client = yield* startClient([kind], softStop)
      yield* waitingForLocks(1)

      const took = yield* client.stop
      const job = yield* getJob(id)
      yield* lock.rollback

      assert.isBelow(took, 300 + 5000)
      assert.deepInclude(job, { state: "available", attempt: 0, errors: null })
      assert.deepInclude(yield* getItem(item), { status: "open", writes: 0 })
      assert.deepEqual(client.logged(/could not be given back/), [])
    })
  )

  it.effect("settles a job that somebody holds as soon as it is let go, also in the last moments", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const { item, job: id } = yield* insertItem(kind)
      const lock = yield* beginElsewhere([`SELECT FROM app.item WHERE id = '${item}' FOR UPDATE`])
      const client = yield* startClient([kind], softStop)
      yield* jobIn("running", id)

      const stopping = yield* Effect.forkChild(client.stop, { startImmediately: true })
      yield* Effect.sleep("1500 millis") // the soft stop and its grace are over, the last round is under way
      yield* lock.rollback
      const took = yield* Fiber.join(stopping)

      assert.isBelow(took, 300 + 5000)
      assert.notStrictEqual((yield* getJob(id)).state, "running")
      assert.deepEqual(client.logged(/could not be given back/), [])
    })
  )

  it.effect("says so when a job could not be given back, because somebody holds it to the end", () =>
    Effect.gen(function* () {
      const { kind, started } = yield* hanging
      const id = yield* insertJob(kind)
      const client = yield* startClient([kind], softStop)
      yield* started
      const lock = yield* beginElsewhere([`SELECT FROM metadata.river_job WHERE id = ${id} FOR UPDATE`])

      const took = yield* client.stop
      yield* lock.rollback

      assert.isBelow(took, 300 + 5000)
      assert.deepInclude(yield* getJob(id), { state: "running" })
      assert.lengthOf(client.logged(/1 jobs could not be given back/), 1)
    })
  )

  it.effect("has ended in time, but for the pool, when the database has gone silent", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const proxy = yield* proxied
      const { kind, started } = yield* hanging
      yield* insertJob(kind)
      const client = yield* startClient([kind], {
        ...softStop,
        url: proxy.through(url),
        listen: { url: Redacted.make(proxy.through(url)) }
      })
      yield* started
      yield* Effect.promise(() => proxy.mode("drop"))

      yield* Effect.forkChild(client.stop, { startImmediately: true })
      // How long the pool then takes is the driver's affair.
      yield* until(
        Effect.sync(() => client.events.at(-1)),
        (event) => event === "pool closes",
        "4500 millis"
      )
      assert.lengthOf(client.logged(/could not be given back/), 1)
      proxy.killConnections()
    })
  )

  it.effect("gives jobs back when only the listening session has gone silent", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const proxy = yield* proxied
      const { kind, started } = yield* hanging
      const id = yield* insertJob(kind)
      const client = yield* startClient([kind], { ...softStop, listen: { url: Redacted.make(proxy.through(url)) } })
      yield* started
      yield* until(sessions("query ilike 'listen%'"), (listening) => listening.length > 0)
      yield* Effect.promise(() => proxy.mode("drop"))

      const stopping = yield* Effect.forkChild(client.stop, { startImmediately: true })
      yield* jobIn("available", id, "3 seconds")
      assert.isBelow(yield* Fiber.join(stopping), 300 + 5000)
    })
  )

  it.effect("[96] leaves no connection behind, and the client can be started again", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const kind = itemWorker()
      const options = { listen: { url: Redacted.make(url), applicationName: "river-test" } }
      for (let i = 0; i < 2; i++) {
        const { ids } = yield* insertItems(kind, 20)
        const client = yield* startClient([kind], options)
        assert.deepEqual(Object.keys(yield* ended(kind)), ["completed"])
        assert.lengthOf(yield* getJobs(ids), 20)
        yield* client.stop
        yield* until(sessions("application_name = 'river-test'"), (rest) => rest.length === 0, "2 seconds")
      }
    })
  )
})
