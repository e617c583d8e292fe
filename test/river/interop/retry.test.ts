import { assert } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { done, getJobs, insertJob, jobIn, startClient, worker } from "../support.ts"
import { attempts } from "./River.ts"
import { besideRiver } from "./support.ts"

besideRiver("retry and delete by", (it, { start }) => {
  it.effect("[120] retries a job that ours gave up, and one that ours has put off", () =>
    Effect.gen(function* () {
      let failing = true
      const kind = worker(() => (failing ? Effect.fail(new Error("not yet")) : done))
      const river = yield* start()
      const last = yield* insertJob(kind, { max_attempts: 1 })
      const waits = yield* insertJob(kind, { attempt: 1, errors: `array['{"attempt": 1}'::jsonb]` })
      yield* startClient([kind])
      yield* jobIn("discarded", last)
      yield* jobIn("retryable", waits)
      failing = false

      const retried = yield* river.jobRetry(last)
      yield* river.jobRetry(waits)

      assert.deepInclude(retried, { state: "available", max_attempts: 2, attempt: 1, finalized_at: null })
      assert.deepInclude(yield* jobIn("completed", last, "2 seconds"), { attempt: 2 })
      assert.lengthOf((yield* jobIn("completed", waits, "2 seconds")).errors ?? [], 2)
    })
  )

  it.effect("[87] [120] retries a job that gave itself up on theirs, and ours completes it", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const river = yield* start()
      yield* river.start({ clientId: "their_client", kinds: [kind.kind] })
      const { id } = yield* river.insert({ kind: kind.kind, args: attempts({ do: "cancel", text: "enough" }) })
      const cancelled = yield* jobIn("cancelled", id)
      yield* river.stop
      yield* startClient([kind])

      yield* river.jobRetry(id)

      const job = yield* jobIn("completed", id, "2 seconds")
      assert.deepInclude(job, { attempt: 2, errors: cancelled.errors })
      assert.strictEqual(job.errors?.[0]?.error, "JobCancelError: enough")
    })
  )

  it.effect("[120] deletes a job that ours finished, and none that ours is running", () =>
    Effect.gen(function* () {
      const finish = yield* Deferred.make<void>()
      const kind = worker(() => Effect.as(Deferred.await(finish), {}))
      const river = yield* start()
      yield* startClient([kind])
      const id = yield* insertJob(kind)
      const running = yield* jobIn("running", id)

      const refused = yield* Effect.flip(river.jobDelete(id))
      const untouched = yield* river.jobRetry(id)
      yield* Deferred.succeed(finish, undefined)
      yield* jobIn("completed", id)
      yield* river.jobDelete(id)

      assert.match(refused.message, /running/)
      assert.deepInclude(untouched, { state: "running", attempt: running.attempt, attempted_by: running.attempted_by })
      assert.isEmpty(yield* getJobs([id]))
    })
  )
})
