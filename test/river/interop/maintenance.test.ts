import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { done, ended, getJobs, insertJobs, startClient, until, worker } from "../support.ts"
import { deadOurs, leaders, left, rescuedOnce } from "./LostJobs.ts"
import { besideRiver } from "./support.ts"

besideRiver("maintenance beside a leading", (it, { minor, start }) => {
  it.effect("[98] [106] [107] has due jobs run once each, and leaves the lead alone", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      let runs = 0
      const kind = worker(() =>
        Effect.as(
          Effect.sync(() => (runs += 1)),
          {}
        )
      )
      const river = yield* start()
      yield* river.start({ clientId: "their_leader", kinds: [kind.kind], queues: { elsewhere: 1 } })
      yield* until(leaders, ([leader]) => leader === "their_leader")
      yield* startClient([kind], { maxWorkers: 50, fetchPollInterval: Duration.seconds(1) })

      const retried = yield* insertJobs(kind, 300, {
        state: "retryable",
        attempt: 1,
        scheduled_at: "now() - interval '1 s'"
      })
      const scheduled = yield* insertJobs(kind, 300, { state: "scheduled", scheduled_at: "now() + interval '3 s'" })
      const before = new Map((yield* getJobs([...retried, ...scheduled])).map((job) => [job.id, job.scheduled_at]))
      yield* ended(kind, "15 seconds")

      assert.strictEqual(runs, 600)
      for (const job of yield* getJobs(retried)) assert.deepInclude(job, { attempt: 2, errors: null })
      for (const job of yield* getJobs([...retried, ...scheduled])) {
        assert.strictEqual(job.scheduled_at, before.get(job.id))
        assert.lengthOf(job.attempted_by ?? [], 1)
        assert.isAtLeast(Date.parse(job.attempted_at!), Date.parse(job.scheduled_at) - 1)
      }
      assert.deepEqual(yield* leaders, ["their_leader"])
      const [row] = yield* sql<{ readonly count: number }>`
        SELECT count(*)::int AS count FROM metadata.river_job WHERE kind = ${kind.kind} AND state <> 'completed'`
      assert.strictEqual(row?.count, 0)
    })
  )

  it.effect("[110] has a lost job rescued once, by whichever is first", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const river = yield* start()
      const theirs = [
        ...(yield* insertJobs(kind, 20, left("their_dead_client", 11))),
        ...(yield* insertJobs(kind, 20, left(deadOurs, 9)))
      ]

      yield* river.start({
        clientId: "their_leader",
        kinds: [kind.kind],
        queues: { elsewhere: 1 },
        rescueAfterMs: 8000,
        timeoutMs: 1000
      })
      yield* until(getJobs(theirs), (jobs) => jobs.every(({ state }) => state !== "running"))
      yield* startClient([kind])
      const byOurs = yield* insertJobs(kind, 20, left(deadOurs, 11))

      yield* rescuedOnce(kind, [...theirs, ...byOurs])
    })
  )

  if (minor >= 48) {
    it.effect("[110] [111] has a lost job rescued once when both look at the same time", () =>
      Effect.gen(function* () {
        const kind = worker(() => done)
        const river = yield* start()
        const lost = yield* insertJobs(kind, 200, left(deadOurs, 11))

        yield* startClient([kind])
        const options = { clientId: "their_leader", kinds: [kind.kind], queues: { elsewhere: 1 } }
        yield* river.start({ ...options, rescueAfterMs: 10_000, timeoutMs: 1000 })

        yield* rescuedOnce(kind, lost)
      })
    )
  }
})
