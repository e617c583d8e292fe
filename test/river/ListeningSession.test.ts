import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { TestDatabase } from "../support/Database.ts"
import { done, insertJob, jobIn, riverDatabase, sessions, startClient, until, worker } from "./support.ts"

layer(riverDatabase, { excludeTestServices: true })("a client", (it) => {
  it.effect("[39] hears of inserts, of control and on its wake channels in one session besides its pool", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const pg = yield* PgClient.PgClient
      const kind = worker(() => done)
      const client = yield* startClient([kind], {
        fetchPollInterval: Duration.minutes(1),
        listen: { url: Redacted.make(url), applicationName: "river-test-listener" },
        wakeChannels: ["something_else"]
      })
      const listening = sessions("application_name = 'river-test-listener'")
      const [before] = yield* until(listening, ([session]) => /^listen/i.test(session?.query ?? ""))
      yield* Effect.sleep("500 millis")

      for (const [channel, payload] of [
        ["metadata.river_insert", '{"queue": "test"}'],
        ["something_else", ""]
      ] as const) {
        const id = yield* insertJob(kind)
        yield* pg.notify(channel, payload)
        yield* jobIn("completed", id, "1 second")
      }
      yield* pg.notify("metadata.river_control", '{"action": "pause", "queue": "test"}')
      yield* until(
        Effect.sync(() => client.logged(/^queue paused/).length),
        (count) => count === 1,
        "1 second"
      )

      assert.deepEqual(
        (yield* listening).map(({ pid }) => pid),
        [before!.pid]
      )
      assert.deepEqual(yield* sessions("application_name = 'river-test' AND query ILIKE '%listen%'"), [])
    })
  )
})
