import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import { JobCancel, JobSnooze } from "../../src/river/index.ts"
import { TestDatabase } from "../support/Database.ts"
import { done, getJob, insertJob, jobIn, riverDatabase, startClient, until, worker } from "./support.ts"

layer(riverDatabase, { excludeTestServices: true })("the engine", (it) => {
  it.effect("[44] [66] notifies nobody of jobs, whatever becomes of them", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase
      const pg = yield* PgClient.PgClient
      const channels = ["river_insert", "metadata.river_insert", "metadata.river_control", "metadata.river_leadership"]
      const heard = yield* Effect.forEach(channels, (channel) => pg.listen(channel))
      const failing = worker(() => Effect.fail(new Error("no")))
      const snoozing = worker(() => new JobSnooze({ duration: Duration.seconds(2) }))
      const postponing = worker(() => new JobSnooze({ duration: Duration.minutes(1) }))
      const cancelling = worker(() => new JobCancel({ message: "not wanted" }))
      const hanging = worker(() => Effect.never, { timeout: Duration.minutes(1) })
      const fine = worker(() => done)
      const lost = {
        state: "running",
        attempt: 1,
        attempted_at: "now() - interval '1 minute'",
        attempted_by: "array['host_test_2026_08_07T09_30_00_123456']"
      }
      const failed = yield* insertJob(failing)
      const snoozed = yield* insertJob(snoozing)
      const hung = yield* insertJob(hanging)
      const others = {
        postponed: ["scheduled", yield* insertJob(postponing)],
        cancelled: ["cancelled", yield* insertJob(cancelling)],
        discarded: ["discarded", yield* insertJob(failing, { max_attempts: 1 })],
        completed: ["completed", yield* insertJob(fine)],
        rescued: ["completed", yield* insertJob(fine, lost)]
      } as const

      const client = yield* startClient([failing, snoozing, postponing, cancelling, hanging, fine], {
        softStopTimeout: Duration.millis(100),
        listen: { url: Redacted.make(url) }
      })
      yield* until(getJob(failed), ({ errors }) => errors?.length === 2)
      yield* until(getJob(snoozed), ({ metadata }) => metadata["snoozes"] !== undefined)
      for (const [state, id] of Object.values(others)) yield* jobIn(state, id)
      yield* client.stop
      assert.deepInclude(yield* getJob(hung), { state: "available", attempt: 0 })

      // What is notified now is heard after all that was notified before.
      for (const channel of channels) yield* pg.notify(channel, "the end")
      for (const notifications of heard) assert.strictEqual((yield* Queue.take(notifications)).payload, "the end")
    })
  )
})
