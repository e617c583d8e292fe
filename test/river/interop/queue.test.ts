import { assert } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { done, getJob, insertJob, jobIn, startClient, until, worker, startListening } from "../support.ts"
import { besideRiver } from "./support.ts"

besideRiver("the queue beside", (it, { start }) => {
  for (const name of ["test", "*"]) {
    it.effect(`[14] [15] [16] pauses ours within a second and resumes it, by the name ${name}`, () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const finish = yield* Deferred.make<void>()
        const long = worker(() => Effect.as(Deferred.await(finish), {}))
        const short = worker(() => done)
        const river = yield* start()
        const client = yield* startListening([long, short])
        const running = yield* river.insert({ kind: long.kind })
        yield* jobIn("running", running.id, "1 second")

        yield* river.queuePause(name)
        yield* Effect.sleep("1 second")
        const waiting = yield* river.insert({ kind: short.kind })
        yield* Deferred.succeed(finish, undefined)
        yield* jobIn("completed", running.id, "1 second")
        yield* Effect.sleep("500 millis")
        assert.deepInclude(yield* getJob(waiting.id), { state: "available", attempt: 0 })
        yield* river.queueResume(name)

        const job = yield* jobIn("completed", waiting.id, "1 second")
        const [resumed] = yield* sql<{ readonly before: boolean }>`
          SELECT updated_at <= ${job.attempted_at}::timestamptz AS before FROM metadata.river_queue WHERE name = 'test'`
        assert.isTrue(resumed?.before)
        assert.lengthOf(client.logged(/^queue paused/), 1)
        assert.lengthOf(client.logged(/^queue resumed/), 1)
      })
    )
  }

  it.effect("[10] [13] finds the queue that ours registered, and keeps ours from starting work in it", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const river = yield* start()
      yield* (yield* startClient([kind])).stop

      yield* river.queuePause("test")
      const id = yield* insertJob(kind)
      yield* startListening([kind])
      yield* Effect.sleep("500 millis")
      const paused = yield* river.queueGet("test")
      assert.deepInclude(yield* getJob(id), { state: "available", attempt: 0 })
      yield* river.queueResume("test")

      yield* jobIn("completed", id, "1 second")
      assert.deepInclude(paused, { name: "test", metadata: {} })
      assert.isNotNull(paused.paused_at)
      assert.isNull((yield* river.queueGet("test")).paused_at)
    })
  )

  it.effect("[12] is kept from the queue cleaner of theirs, which removes the queues that nobody works", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const names = Effect.map(
        sql<{ readonly name: string }>`SELECT name FROM metadata.river_queue ORDER BY name`,
        (rows) => rows.map(({ name }) => name)
      )
      yield* sql`DELETE FROM metadata.river_queue`
      yield* sql`INSERT INTO metadata.river_queue (name, created_at, updated_at)
        SELECT name, now() - interval '2 days', now() - interval '25 hours' FROM unnest(ARRAY['abandoned', 'test']) name`
      const kind = worker(() => done)
      yield* startListening([kind])
      const river = yield* start()

      yield* river.start({ clientId: "their_leader", kinds: [kind.kind], queues: { theirs: 1 } })

      const kept = yield* until(names, (names) => !names.includes("abandoned"), "5 seconds")
      assert.deepEqual(kept, ["test", "theirs"])
    })
  )
})
