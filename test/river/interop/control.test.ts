import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { done, getJob, getJobs, insertJob, jobIn, startClient, until, worker, startListening } from "../support.ts"
import { besideRiver, entries } from "./support.ts"

const never = worker(() => Effect.never)

besideRiver("control by", (it, { minor, start }) => {
  it.effect(
    "[7] [79] [86] cancels the one job of two running on ours whose ids differ past the digits of a double",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`ALTER SEQUENCE metadata.river_job_id_seq RESTART WITH 9007199254740992`
        const river = yield* start()
        yield* startListening([never], { softStopTimeout: Duration.millis(50) })
        const [other, id] = [9007199254740992n, 9007199254740993n] as const
        assert.deepEqual(yield* river.insertMany(2, { kind: never.kind }), [other, id])
        yield* jobIn("running", id, "2 seconds")

        const asked = yield* river.jobCancel(id)
        const job = yield* jobIn("cancelled", id, "1 second")

        assert.deepInclude(asked, { id, state: "running" })
        assert.deepEqual(
          job.errors?.map(({ attempt, error, trace }) => ({ attempt, error, trace })),
          [{ attempt: 1, error: "JobCancelError: job cancelled remotely", trace: "" }]
        )
        assert.deepInclude(job, { id, attempt: 1, metadata: asked.metadata })
        assert.deepEqual(entries(yield* river.jobGet(id)), entries(job))
        yield* Effect.sleep("300 millis")
        assert.deepInclude(yield* getJob(other), { state: "running", metadata: {} })
      })
  )

  it.effect("[83] cancels waiting jobs for good, leaves a finished one as it is, and finds no unknown one", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const river = yield* start()
      const later = { scheduled_at: "now() + interval '1 second'" }
      const waiting = [
        yield* insertJob(kind, later),
        yield* insertJob(kind, { ...later, state: "scheduled" }),
        yield* insertJob(kind, { ...later, state: "retryable", attempt: 1 })
      ]
      const finished = yield* insertJob(kind)
      yield* startClient([kind])
      yield* jobIn("completed", finished)
      const before = yield* river.jobGet(finished)

      for (const id of waiting) yield* river.jobCancel(id)
      const unchanged = yield* river.jobCancel(finished)
      const unknown = yield* Effect.flip(river.jobCancel(2n ** 62n))
      yield* Effect.sleep("2 seconds")

      for (const job of yield* getJobs(waiting)) {
        assert.deepInclude(job, { state: "cancelled", errors: null, attempted_by: null })
        assert.hasAllKeys(job.metadata, ["cancel_attempted_at"])
      }
      assert.deepEqual(unchanged, before)
      assert.match(unknown.message, /not found/)
    })
  )

  it.effect(
    minor < 51
      ? "[90] [129] cancels, then retries a waiting job: ours completes it, or lets it end with its first failure"
      : "[90] cancels, then retries a waiting job: to ours it is like any other",
    () =>
      Effect.gen(function* () {
        let failing = true
        const kind = worker(({ id }) => (failing && id === bad ? Effect.fail(new Error("not this time")) : done))
        const river = yield* start()
        const [good, bad] = yield* river.insertMany(2, { kind: kind.kind })
        for (const id of [good!, bad!]) {
          yield* river.jobCancel(id)
          yield* river.jobRetry(id)
        }

        yield* startListening([kind])
        yield* jobIn("completed", good!)
        const job = yield* until(getJob(bad!), ({ errors }) => errors?.length === 1)
        failing = false

        assert.strictEqual(job.errors?.[0]?.error, "not this time")
        assert.deepInclude(job, { attempt: 1, state: minor < 51 ? "cancelled" : "available" })
        assert.strictEqual("cancel_attempted_at" in job.metadata, minor < 51)
      })
  )
})
