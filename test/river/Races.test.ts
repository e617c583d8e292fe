/** A running job and its result, and what others do to rows beside and beneath them. */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import {
  answer,
  beginElsewhere,
  countStates,
  getItem,
  getJob,
  getJobs,
  insertItem,
  insertItems,
  insertJobs,
  itemWorker,
  jobIn,
  riverDatabase,
  startClient,
  until
} from "./support.ts"

const ours = "array['host_test_2026_08_07T09_30_00_123456']"

layer(riverDatabase, { excludeTestServices: true })("a result that waits for its job's row", (it) => {
  /** What somebody else does to the running job, in a transaction that holds its row until the result is there. */
  const meanwhile = {
    "made pending": "state = 'pending'",
    rescued: `state = 'available', scheduled_at = now() + interval '1 hour',
      errors = array['{"at": "2026-08-07T09:30:00Z", "attempt": 1, "error": "Stuck job rescued by JobRescuer", "trace": ""}'::jsonb]`
  }

  for (const [what, change] of Object.entries(meanwhile)) {
    it.effect(`[130] is dropped, and told of as such, when the job was ${what} meanwhile; others are written`, () =>
      Effect.gen(function* () {
        const gate = yield* Latch.make()
        const kind = itemWorker((job) => gate.whenOpen(answer(job)))
        const { ids, prefix } = yield* insertItems(kind, 3)
        const client = yield* startClient([kind], { maxWorkers: 3 })
        yield* until(countStates(kind), ({ running }) => running === 3)
        const other = yield* beginElsewhere([`UPDATE metadata.river_job SET ${change} WHERE id = ${ids[1]}`])

        yield* gate.open
        for (const id of [ids[0]!, ids[2]!]) yield* jobIn("completed", id, "2 seconds")
        assert.deepEqual(client.logs, [])
        yield* other.commit
        const after = yield* getJob(ids[1]!)
        yield* until(
          Effect.sync(() => client.logged(/^a late result was dropped/)),
          (lines) => lines.length === 1
        )

        assert.deepInclude(after, { state: what === "rescued" ? "available" : "pending", finalized_at: null })
        assert.deepEqual(yield* getJob(ids[1]!), after)
        assert.deepInclude(yield* getItem(`${prefix}2`), { status: "open", writes: 0 })
        assert.lengthOf(client.logs, 1)
      })
    )
  }
})

layer(riverDatabase, { excludeTestServices: true })("a lost job", (it) => {
  it.effect("[112] is rescued from behind ten thousand running ones that are none of the rescuer's business", () =>
    Effect.gen(function* () {
      const kind = itemWorker()
      const running = { state: "running", attempt: 1 }
      const long = { ...running, attempted_at: "now() - interval '50 minutes'" }
      const go = "array['go_2026_08_07T09_30_00_123456']"
      const ignorable = [
        ...(yield* insertJobs(kind, 4000, { ...long, attempted_by: go })),
        ...(yield* insertJobs("of_nobody", 4000, { ...long, attempted_by: ours })),
        ...(yield* insertJobs(kind, 2000, { ...long, attempted_by: ours, queue: "other" }))
      ]
      const before = yield* getJobs(ignorable)
      const { item, job: id } = yield* insertItem(kind, { ...long, attempted_by: ours })

      yield* startClient([kind])

      assert.deepInclude(yield* jobIn("completed", id, "5 seconds"), { attempt: 2 })
      assert.deepInclude(yield* getItem(item), { status: "answered" })
      assert.deepEqual(yield* getJobs(ignorable), before)
    })
  )
})
