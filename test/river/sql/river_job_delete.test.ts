import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { tables } from "../../../src/river/sql/river_job.ts"
import { type JobDeleteBefore, jobDeleteBefore } from "../../../src/river/sql/river_job_maintenance.ts"
import type { Worker } from "../../../src/river/Worker.ts"
import {
  beginElsewhere,
  getItem,
  getJobs,
  insertItem,
  insertJob,
  insertJobs,
  itemWorker,
  riverDatabase,
  worker
} from "../support.ts"

const deleteBefore = Effect.fnUntraced(function* (
  kinds: ReadonlyArray<Worker>,
  options: Partial<JobDeleteBefore> = {}
) {
  const sql = yield* SqlClient.SqlClient
  const [changed] = yield* jobDeleteBefore(
    sql,
    tables("metadata")
  )({
    kinds: kinds.map(({ kind }) => kind),
    limit: 1000,
    queue: "test",
    retention: { cancelled: Duration.hours(24), completed: Duration.hours(24), discarded: Duration.days(7) },
    skip: 0,
    ...options
  })
  return changed!.count
})

const anyWork = () => Effect.die("not worked here")
const ended = (state: string, ago: string) => ({ state, finalized_at: `now() - interval '${ago}'` })

layer(riverDatabase, { excludeTestServices: true })("jobDeleteBefore", (it) => {
  it.effect("[114] deletes jobs that completed or were cancelled over 24 hours ago, or discarded over 7 days ago", () =>
    Effect.gen(function* () {
      const kinds = [worker(anyWork), worker(anyWork)]
      const old = yield* Effect.forEach(kinds, (kind) =>
        Effect.all([
          insertJob(kind, ended("completed", "24 hours 1 second")),
          insertJob(kind, ended("cancelled", "24 hours 1 second")),
          insertJob(kind, ended("discarded", "7 days 1 second"))
        ])
      )
      const young = [
        yield* insertJob(kinds[0]!, ended("completed", "23 hours 59 minutes")),
        yield* insertJob(kinds[0]!, ended("cancelled", "23 hours 59 minutes")),
        yield* insertJob(kinds[0]!, ended("discarded", "6 days 23 hours 59 minutes"))
      ]

      assert.strictEqual(yield* deleteBefore(kinds), 6)

      assert.deepEqual(yield* getJobs(old.flat()), [])
      assert.lengthOf(yield* getJobs(young), 3)
    })
  )

  it.effect("[114] leaves alone jobs that have not ended, however old, and other kinds and queues", () =>
    Effect.gen(function* () {
      const kind = worker(anyWork)
      const old = ended("completed", "30 days")
      const years = { scheduled_at: "now() - interval '9 years'", created_at: "now() - interval '9 years'" }
      const kept = [
        yield* insertJob("of_nobody", old),
        yield* insertJob(kind, { ...old, queue: "other" }),
        ...(yield* Effect.forEach(["available", "pending", "retryable", "running", "scheduled"], (state) =>
          insertJob(kind, { state, ...years })
        ))
      ]
      const before = yield* getJobs(kept)

      assert.strictEqual(yield* deleteBefore([kind]), 0)

      assert.deepEqual(yield* getJobs(kept), before)
    })
  )

  it.effect("tells the kind's own row nothing", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const { item, job } = yield* insertItem(kind, ended("discarded", "8 days"))

      yield* deleteBefore([kind])

      assert.lengthOf(yield* getJobs([job]), 0)
      assert.deepInclude(yield* getItem(item), { status: "open", writes: 0 })
    })
  )

  it.effect("takes a bounded batch, the oldest of a state first, and leaves out as many as it is told", () =>
    Effect.gen(function* () {
      const kind = worker(anyWork)
      const [second] = yield* insertJobs(kind, 1, ended("completed", "3 days"))
      const [first] = yield* insertJobs(kind, 1, ended("completed", "4 days"))
      const [third] = yield* insertJobs(kind, 1, ended("completed", "2 days"))

      assert.strictEqual(yield* deleteBefore([kind], { limit: 1, skip: 1 }), 1)
      assert.deepEqual(
        (yield* getJobs([first!, second!, third!])).map(({ id }) => id),
        [first!, third!]
      )
      assert.strictEqual(yield* deleteBefore([kind], { limit: 1 }), 1)
      assert.deepEqual(
        (yield* getJobs([first!, third!])).map(({ id }) => id),
        [third!]
      )
    })
  )

  it.effect("never waits for what somebody holds, and two at once delete each job once", () =>
    Effect.gen(function* () {
      const kind = worker(anyWork)
      const ids = yield* insertJobs(kind, 1500, ended("completed", "2 days"))
      const other = yield* beginElsewhere([
        `SELECT FROM metadata.river_job WHERE id = ANY ('{${ids.slice(0, 100).join(",")}}') FOR UPDATE`
      ])

      const counts = yield* Effect.all([deleteBefore([kind]), deleteBefore([kind])], { concurrency: 2 })
      const rest = yield* deleteBefore([kind])

      assert.strictEqual(counts[0]! + counts[1]! + rest, 1400)
      assert.lengthOf(yield* getJobs(ids), 100)
      yield* other.rollback
      assert.strictEqual(yield* deleteBefore([kind]), 100)
    })
  )
})
