import { assert, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { freePort } from "../support/Postgres.ts"
import {
  done,
  getJob,
  insertJob,
  jobIn,
  riverDatabase,
  listeners,
  startClient,
  startListening,
  type StartOptions,
  until,
  worker
} from "./support.ts"
import type { Worker } from "../../src/river/index.ts"

/** A client that listens, and has claimed for the last time when this returns. */
const startListener = Effect.fnUntraced(function* (kind: Worker, options: StartOptions = {}) {
  const client = yield* startListening([kind], options)
  yield* settled(client)
  return client
})

const claims = (client: { readonly events: ReadonlyArray<string> }) =>
  client.events.filter((event) => event === "claim").length

/** Waits until there has been no claim for longer than a cooldown. */
const settled = Effect.fnUntraced(function* (client: { readonly events: ReadonlyArray<string> }) {
  let before: number
  do {
    before = claims(client)
    yield* Effect.sleep("250 millis")
  } while (claims(client) > before)
})

const notify = Effect.fnUntraced(function* (payload: string, channel = "metadata.river_insert") {
  const sql = yield* SqlClient.SqlClient
  yield* sql`SELECT pg_notify(${channel}, ${payload})`
})

layer(riverDatabase, { excludeTestServices: true })("Notifier", (it) => {
  const payloads = {
    "as River's inserting clients write it": '{"queue": "test"}',
    "as Go encodes it": '{"queue":"test"}',
    "with members that nobody knows, in any order": '\n{ "tags" : [null], "queue"\t: "test" , "x": {} }'
  }
  for (const [how, payload] of Object.entries(payloads)) {
    it.effect(`[40] [46] has a job of its queue claimed at once when it is told of it, ${how}`, () =>
      Effect.gen(function* () {
        const kind = worker(() => done)
        yield* startListener(kind)
        const id = yield* insertJob(kind)

        yield* notify(payload)

        yield* jobIn("completed", id, "1 second")
      })
    )
  }

  it.effect("[20] [46] takes no notice of other queues and of what it cannot read", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const client = yield* startListener(kind)
      const id = yield* insertJob(kind)
      const before = claims(client)

      for (const payload of [
        '{"queue": "Test"}',
        '{"queue": null}',
        '"test"',
        "test",
        "{",
        "",
        "[]",
        '{"action": "x"}'
      ]) {
        yield* notify(payload)
      }
      for (const channel of ["river_insert", "metadata.river_control", "other.river_insert"]) {
        yield* notify('{"queue": "test"}', channel)
      }
      yield* Effect.sleep("300 millis")
      assert.strictEqual(claims(client), before)
      assert.deepInclude(yield* getJob(id), { state: "available" })
      yield* notify('{"queue": "test"}')

      yield* jobIn("completed", id, "1 second")
    })
  )

  it.effect("hears on every wake channel that it is given, whatever the notification says", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      yield* startListener(kind, { wakeChannels: ["upload_url_request", "an other-one"] })

      for (const [channel, payload] of [
        ["upload_url_request", "0192f0c1-2345-7abc-8def-0123456789ab"],
        ["an other-one", ""]
      ]) {
        const id = yield* insertJob(kind)
        yield* notify(payload!, channel)
        yield* jobIn("completed", id, "1 second")
      }
    })
  )

  it.effect("[32] claims at most twice for a burst of a hundred notifications", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const client = yield* startListener(worker(() => done))
      const before = claims(client)

      yield* sql`SELECT pg_notify('metadata.river_insert', '{"queue": "test", "n": ' || n || '}')
        FROM generate_series(1, 100) n`
      yield* settled(client)

      assert.isAtLeast(claims(client) - before, 1)
      assert.isAtMost(claims(client) - before, 2)
    })
  )

  it.effect("[47] hears again when its session was killed, and loses no running job meanwhile", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const finish = yield* Deferred.make<void>()
      let first = true
      const kind = worker(() => {
        if (!first) return done
        first = false
        return Effect.as(Deferred.await(finish), {})
      })
      const running = yield* insertJob(kind)
      const client = yield* startListener(kind)
      yield* jobIn("running", running)
      const [session] = yield* listeners

      yield* sql`SELECT pg_terminate_backend(${session!.pid})`
      yield* until(listeners, ([now]) => now !== undefined && now.pid !== session!.pid, "10 seconds")
      yield* settled(client)
      const id = yield* insertJob(kind)
      yield* notify('{"queue": "test"}')

      yield* jobIn("completed", id, "1 second")
      yield* Deferred.succeed(finish, undefined)
      assert.deepInclude(yield* jobIn("completed", running), { attempt: 1 })
      assert.lengthOf(client.logged(/^not listening, jobs are found by polling/), 1)
      assert.lengthOf(client.logged(/^listening again/), 1)
    })
  )

  it.effect("finds out after a lost session what it was not told of", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done)
      yield* startListener(kind)
      const id = yield* insertJob(kind)

      yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'river-test-listener'`

      yield* jobIn("completed", id, "10 seconds")
    })
  )

  it.effect("[48] leaves jobs to polling while it cannot listen at all, and says so once", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const port = yield* Effect.promise(freePort)
      const client = yield* startClient([kind], {
        listen: { url: Redacted.make(`postgres://postgres@127.0.0.1:${port}/postgres`) }
      })

      yield* jobIn("completed", yield* insertJob(kind))
      yield* Effect.sleep("1 second") // some tries to listen
      yield* jobIn("completed", yield* insertJob(kind))

      assert.lengthOf(client.logged(/^not listening, jobs are found by polling/), 1)
    })
  )
})
