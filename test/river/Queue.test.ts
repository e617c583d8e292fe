import { assert, layer } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import {
  beginElsewhere,
  done,
  getJob,
  insertJob,
  jobIn,
  riverDatabase,
  sessions,
  startClient,
  startListening,
  until,
  worker
} from "./support.ts"

let serial = 0
/** Each test has a queue of its own. */
const queueName = () => `queue_${++serial}`

interface QueueRow {
  readonly created_at: string
  readonly updated_at: string
  readonly paused_at: string | null
  readonly metadata: unknown
}

const getQueue = Effect.fnUntraced(function* (name: string) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly row: QueueRow }>`
    SELECT to_jsonb(q) AS row FROM metadata.river_queue q WHERE name = ${name}`
  return rows[0]?.row
})

const registered = (name: string) => until(getQueue(name), (row) => row !== undefined, "1 second")

const notify = Effect.fnUntraced(function* (payload: unknown) {
  const sql = yield* SqlClient.SqlClient
  const text = typeof payload === "string" ? payload : JSON.stringify(payload)
  yield* sql`SELECT pg_notify('metadata.river_control', ${text})`
})

/** Pauses or resumes as River does: the row and the notification in one transaction. */
const setPaused = Effect.fnUntraced(function* (name: string, pause: boolean) {
  const sql = yield* SqlClient.SqlClient
  const payload = JSON.stringify({ action: pause ? "pause" : "resume", queue: name })
  yield* sql`
    WITH changed AS (
      UPDATE metadata.river_queue SET paused_at = CASE WHEN ${pause} THEN now() END, updated_at = now()
      WHERE ${name} IN (name, '*') AND (paused_at IS NULL) = ${pause}
    )
    SELECT pg_notify('metadata.river_control', ${payload})`
})

/** A clock on which waits are so many times shorter. */
const hastened = (times: number): Clock.Clock => {
  const live = Clock.Clock.defaultValue()
  return Object.assign(Object.create(live), {
    sleep: (duration: Duration.Duration) => live.sleep(Duration.millis(Duration.toMillis(duration) / times))
  }) as Clock.Clock
}

layer(riverDatabase, { excludeTestServices: true })("Queue, registered,", (it) => {
  it.effect("[10] is there within a second of the start, with nothing in its metadata, and not paused", () =>
    Effect.gen(function* () {
      const queue = queueName()
      yield* startClient([worker(() => done)], { queue })

      const row = yield* registered(queue)

      assert.deepInclude(row, { metadata: {}, paused_at: null })
      assert.strictEqual(row?.created_at, row?.updated_at)
    })
  )

  it.effect("[11] [13] keeps what others wrote, and claims nothing while it is paused", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const queue = queueName()
      yield* sql`INSERT INTO metadata.river_queue (name, metadata, created_at, updated_at, paused_at)
        VALUES (${queue}, '{"concurrency": {"local": 3}}', '2026-01-01', '2026-01-02', '2026-01-03')`
      const before = yield* getQueue(queue)
      const kind = worker(() => done)
      const id = yield* insertJob(kind, { queue })

      const client = yield* startClient([kind], { queue })

      const after = yield* until(getQueue(queue), (row) => row?.updated_at !== before?.updated_at, "1 second")
      assert.deepEqual({ ...after, updated_at: before!.updated_at }, before)
      yield* Effect.sleep("500 millis")
      assert.deepInclude(yield* getJob(id), { state: "available", attempt: 0 })
      yield* setPaused(queue, false)
      yield* jobIn("completed", id, "3 seconds")
      assert.lengthOf(client.logged(/^queue (paused|resumed)/), 2)
    })
  )

  it.effect(
    "[12] is said to be worked every ten minutes, also while it is paused, and registered anew when its row is gone",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const queue = queueName()
        const row = Effect.suspend(() => getQueue(queue))
        yield* Effect.provideService(
          startClient([worker(() => done)], { queue, fetchPollInterval: Duration.hours(1) }),
          Clock.Clock,
          hastened(300)
        )
        const first = yield* registered(queue)
        yield* sql`UPDATE metadata.river_queue SET paused_at = now() WHERE name = ${queue}`

        const beaten = yield* until(row, (now) => now?.updated_at !== first?.updated_at, "5 seconds")
        const gap = Date.parse(beaten!.updated_at) - Date.parse(first!.updated_at)
        assert.closeTo(gap, 2000, 500) // ten minutes
        assert.isNotNull(beaten?.paused_at)
        yield* sql`DELETE FROM metadata.river_queue WHERE name = ${queue}`
        assert.deepInclude(yield* until(row, (now) => now !== undefined, "5 seconds"), {
          paused_at: null,
          metadata: {}
        })
      })
  )

  it.effect("works all the same when its row cannot be written, and says so", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done)
      yield* sql`ALTER TABLE metadata.river_queue ADD CONSTRAINT no_such_queue CHECK (name <> 'unwanted')`
      const id = yield* insertJob(kind, { queue: "unwanted" })

      const client = yield* startClient([kind], { queue: "unwanted" })

      yield* jobIn("completed", id)
      assert.lengthOf(client.logged(/^could not register the queue in river_queue: .*no_such_queue/), 1)
    })
  )
})

layer(riverDatabase, { excludeTestServices: true })("Queue, paused while listening,", (it) => {
  for (const name of ["its own name", "*"]) {
    it.effect(`[14] [15] [16] stops claiming within a second, and goes on within a second, by ${name}`, () =>
      Effect.gen(function* () {
        const queue = queueName()
        const who = name === "*" ? "*" : queue
        const finish = yield* Deferred.make<void>()
        const long = worker(() => Effect.as(Deferred.await(finish), {}), { timeout: Duration.minutes(1) })
        const kind = worker(() => done)
        const running = yield* insertJob(long, { queue })
        const client = yield* startListening([kind], { queue })
        const other = yield* startListening([long], { queue })
        yield* jobIn("running", running)

        yield* setPaused(who, true)
        yield* until(
          Effect.sync(() => client.logged(/^queue paused/)),
          (lines) => lines.length === 1,
          "1 second"
        )
        const waiting = yield* insertJob(kind, { queue })
        const sql = yield* SqlClient.SqlClient
        yield* sql`SELECT pg_notify('metadata.river_insert', ${JSON.stringify({ queue })})`
        yield* Effect.sleep("500 millis")
        assert.deepInclude(yield* getJob(waiting), { state: "available", attempt: 0 })
        yield* Deferred.succeed(finish, undefined)
        yield* jobIn("completed", running, "1 second")

        yield* setPaused(who, false)
        const job = yield* jobIn("completed", waiting, "1 second")
        assert.isAtLeast(Date.parse(job.attempted_at!), Date.parse((yield* getQueue(queue))!.updated_at))
        yield* client.stop
        yield* other.stop
      })
    )
  }

  it.effect("[17] [20] tells of each change once, and minds neither other queues nor what it cannot read", () =>
    Effect.gen(function* () {
      const queue = queueName()
      const client = yield* startListening([worker(() => done)], { queue })

      for (const payload of [
        { action: "pause", queue: `${queue}x` },
        { action: "pause", queue: queue.toUpperCase() },
        { action: "pause" },
        { action: "PAUSE", queue },
        { action: "metadata_changed", queue, metadata: { concurrency: 1 } },
        { action: "cancel", queue },
        { action: "cancel", queue: "*", job_id: 1 },
        { action: "cancel", queue, job_id: "1" },
        { action: "cancel", queue, job_id: 1e300 },
        ["pause", queue],
        "null",
        "pause",
        "{",
        ""
      ]) {
        yield* notify(payload)
      }
      for (const pause of [true, true, false, false, true, false]) yield* setPaused(queue, pause)

      const lines = () => client.logged(/^queue (paused|resumed)/).map((line) => line.slice(0, 13).trim())
      yield* until(Effect.sync(lines), (lines) => lines.length === 4)
      yield* Effect.sleep("300 millis")
      assert.deepEqual(
        lines().map((line) => line.split(/[ :]/)[1]),
        ["paused", "resumed", "paused", "resumed"]
      )
      assert.deepEqual(
        client.logs.filter(({ level }) => level !== "Info"),
        []
      )
    })
  )

  it.effect("[21] [127] honours a pause and a resume that were told while its session was away", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const queue = queueName()
      const kind = worker(() => done)
      const client = yield* startListening([kind], { queue })
      const change = Effect.fnUntraced(function* (pause: boolean) {
        const before = client.logged(/^listening again/).length
        // Told before the new session listens: the row is all that is left of it.
        yield* sql`
          WITH killed AS (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND application_name = 'river-test-listener')
          UPDATE metadata.river_queue SET paused_at = CASE WHEN ${pause} THEN now() END
          WHERE name = ${queue} AND (SELECT count(*) FROM killed) > 0`
        yield* until(
          Effect.sync(() => client.logged(/^listening again/).length),
          (count) => count > before,
          "10 seconds"
        )
      })

      yield* change(true)
      yield* until(
        Effect.sync(() => client.logged(/^queue paused/).length),
        (count) => count === 1,
        "5 seconds"
      )
      const id = yield* insertJob(kind, { queue })
      yield* change(false)

      yield* jobIn("completed", id, "5 seconds")
      assert.lengthOf(client.logged(/^queue resumed/), 1)
    })
  )
})

layer(riverDatabase, { excludeTestServices: true })("Queue, paused while it listens and nobody tells,", (it) => {
  it.effect("[127] honours a pause and a resume within a minute", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const queue = queueName()
      const kind = worker(() => done)
      const client = yield* Effect.provideService(startListening([kind], { queue }), Clock.Clock, hastened(30))
      const lines = (count: number) =>
        until(
          Effect.sync(() => client.logged(/^queue (paused|resumed)/).length),
          (length) => length === count,
          "5 seconds"
        )

      yield* sql`UPDATE metadata.river_queue SET paused_at = now() WHERE name = ${queue}`
      yield* lines(1)
      yield* sql`UPDATE metadata.river_queue SET paused_at = NULL WHERE name = ${queue}`
      yield* lines(2)

      assert.deepEqual(client.logged(/listening/), [])
    })
  )
})

layer(riverDatabase, { excludeTestServices: true })("Queue, paused without listening,", (it) => {
  it.effect("[18] [48] notices a pause and a resume within two seconds", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const queue = queueName()
      const kind = worker(() => done)
      const client = yield* startClient([kind], { queue })
      yield* registered(queue)

      yield* sql`UPDATE metadata.river_queue SET paused_at = now() WHERE name = ${queue}`
      yield* until(
        Effect.sync(() => client.logged(/^queue paused/)),
        (lines) => lines.length === 1,
        "2 seconds"
      )
      const id = yield* insertJob(kind, { queue })
      yield* Effect.sleep("300 millis")
      assert.deepInclude(yield* getJob(id), { state: "available" })
      yield* sql`UPDATE metadata.river_queue SET paused_at = NULL WHERE name = ${queue}`

      yield* jobIn("completed", id, "2 seconds")
    })
  )

  it.effect("keeps its state when its row is deleted", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const queue = queueName()
      const kind = worker(() => done)
      const client = yield* startClient([kind], { queue })
      yield* registered(queue)

      yield* sql`DELETE FROM metadata.river_queue WHERE name = ${queue}`
      yield* Effect.sleep("2 seconds")

      yield* jobIn("completed", yield* insertJob(kind, { queue }), "1 second")
      assert.deepEqual(client.logs, [])
    })
  )

  it.effect("[38] works the jobs of a claim that was on its way when the pause came", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const queue = queueName()
      const kind = worker(() => done)
      const lock = yield* beginElsewhere(["LOCK TABLE metadata.river_job IN SHARE MODE"])
      const client = yield* startClient([kind], { queue, maxConnections: 10 }) // the chores wait, too
      yield* registered(queue)
      yield* until(sessions("wait_event_type = 'Lock'"), (waiting) => waiting.length > 0)
      yield* sql`UPDATE metadata.river_queue SET paused_at = now() WHERE name = ${queue}`
      yield* until(
        Effect.sync(() => client.logged(/^queue paused/)),
        (lines) => lines.length === 1,
        "3 seconds"
      )

      yield* lock.commit
      const id = yield* insertJob(kind, { queue })
      yield* Effect.sleep("300 millis")
      assert.deepInclude(yield* getJob(id), { state: "available" })
    })
  )
})
