import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { JobSnooze } from "../../../src/river/index.ts"
import { done, getJob, jobIn, startClient, until, worker } from "../support.ts"
import { attempts } from "./River.ts"
import { besideRiver, entries } from "./support.ts"

besideRiver("the history of a job beside", (it, { minor, start }) => {
  it.effect("[65] [67] [74] [78] [138] fails on theirs, on ours, succeeds on theirs: one clean history", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => Effect.die(new Error("ours said “no”\u0007")))
      const river = yield* start()
      const { id } = yield* river.insert({
        kind: kind.kind,
        args: attempts({ do: "panic", text: "theirs said no" }),
        metadata: { kept: true }
      })

      yield* river.start({ clientId: "their_first", kinds: [kind.kind] })
      yield* until(getJob(id), ({ errors }) => errors?.length === 1)
      yield* river.stop
      const ours = yield* startClient([kind])
      const failed = yield* jobIn("retryable", id)
      yield* ours.stop
      const read = yield* river.jobGet(id)
      // The second failure waits 16 seconds.
      yield* sql`UPDATE metadata.river_job SET scheduled_at = now() WHERE id = ${id}`
      const second = yield* start()
      yield* second.start({ clientId: "their_second", kinds: [kind.kind] })
      yield* jobIn("completed", id)

      const job = yield* river.jobGet(id)
      assert.deepInclude(job, { attempt: 3, metadata: { kept: true } })
      assert.deepEqual(job.attempted_by, ["their_first", ours.clientId, "their_second"])
      assert.deepEqual(
        job.errors?.map(({ attempt, error }) => [attempt, error]),
        [
          [1, "theirs said no"],
          [2, "ours said “no”"]
        ]
      )
      // Their reading of our entry is the entry, to the last digit; and nobody rewrites an old one.
      assert.deepEqual(job.errors, read.errors)
      assert.deepEqual(entries(job), entries(failed))
      const [panic, entry] = failed.errors ?? []
      assert.match(panic!.trace, /worker\.go/)
      assert.hasAllKeys(entry, ["at", "attempt", "error", "trace"])
      assert.match(entry!.trace, /history\.test\.ts/)
      assert.approximately(Date.parse(entry!.at), Date.parse(failed.attempted_at!), 100)
    })
  )

  it.effect("[88] [89] is put off by theirs, by ours, by theirs: no attempt is used up and the count goes on", () =>
    Effect.gen(function* () {
      const kind = worker(() => new JobSnooze({ duration: Duration.millis(200) }))
      const river = yield* start()
      const { id } = yield* river.insert({
        kind: kind.kind,
        maxAttempts: 1,
        args: attempts({ do: "snooze", ms: 200 })
      })
      const snoozed = (times: number) => until(getJob(id), ({ metadata }) => metadata["snoozes"] === times)

      yield* river.start({ clientId: "their_client", kinds: [kind.kind] })
      yield* snoozed(1)
      yield* river.stop
      const before = (yield* getJob(id)).metadata["snoozes"] as number
      const ours = yield* startClient([kind])
      yield* snoozed(before + 1)
      yield* ours.stop
      const between = (yield* getJob(id)).metadata["snoozes"] as number
      yield* (yield* start()).start({ clientId: "their_next", kinds: [kind.kind] })
      yield* snoozed(between + 1)

      const job = yield* river.jobGet(id)
      assert.isNotOk(job.errors?.length)
      assert.include(job.attempted_by ?? [], ours.clientId)
      assert.isAtLeast(between, before + 1)
    })
  )

  it.effect("[137] keeps the metadata of theirs through a failure and a success on ours", () =>
    Effect.gen(function* () {
      let failing = true
      const kind = worker(() => (failing ? Effect.fail(new Error("not yet")) : done))
      const river = yield* start()
      const metadata = {
        "river:resumable_step": "first",
        "river:resumable_cursor": { second: { at: 12, digits: 9.75 } },
        "river:log": [{ attempt: 1, log: "theirs" }],
        output: { made: ["before"] },
        workflow_id: "w1"
      }
      const { id } = yield* river.insert({ kind: kind.kind, metadata })

      yield* startClient([kind])
      yield* until(getJob(id), ({ errors }) => errors?.length === 1)
      failing = false
      yield* jobIn("completed", id)

      assert.deepEqual((yield* river.jobGet(id)).metadata, metadata)
    })
  )

  if (minor >= 37) {
    it.effect("[137] goes on on theirs at the step that theirs had reached before an attempt on ours", () =>
      Effect.gen(function* () {
        const kind = worker(() => Effect.fail(new Error("ours said no")))
        const river = yield* start()
        const { id } = yield* river.insert({
          kind: kind.kind,
          args: attempts({ do: "steps", text: "half way" }, null, { do: "steps", text: "" })
        })

        yield* river.start({ clientId: "their_first", kinds: [kind.kind] })
        yield* until(getJob(id), ({ errors }) => errors?.length === 1)
        yield* river.stop
        const ours = yield* startClient([kind])
        yield* jobIn("retryable", id)
        yield* ours.stop
        yield* river.jobRetry(id)
        yield* (yield* start()).start({ clientId: "their_second", kinds: [kind.kind] })

        const job = yield* jobIn("completed", id)
        assert.deepInclude(job.metadata, { output: { resumedAt: 2 } })
        assert.deepEqual(
          job.errors?.map(({ error }) => error),
          ["half way", "ours said no"]
        )
      })
    )
  }
})
