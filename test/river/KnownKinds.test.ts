import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import {
  countStates,
  done,
  ended,
  getJobs,
  insertJobs,
  jobIn,
  insertJob,
  riverDatabase,
  startClient,
  worker
} from "./support.ts"

layer(riverDatabase, { excludeTestServices: true })("a client that knows some of the kinds in its queue", (it) => {
  it.effect("[72] [131] claims its own from behind a thousand older and more urgent ones, which stay as they are", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const unknown = worker(() => done)
      const foreign = yield* insertJobs(unknown, 1000, { priority: 1, scheduled_at: "now() - interval '1 hour'" })
      const before = yield* getJobs(foreign)
      yield* insertJobs(kind, 20, { priority: 4 })

      yield* startClient([kind], { maxWorkers: 3 })

      assert.deepEqual(yield* ended(kind, "5 seconds"), { completed: 20 })
      assert.deepEqual(yield* getJobs(foreign), before)
    })
  )

  it.effect("[131] claims nothing when it knows none", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const ids = yield* insertJobs(kind, 3)
      const before = yield* getJobs(ids)
      const client = yield* startClient([])
      // Another client's poll of the same length shows that there was time.
      const other = worker(() => done)
      yield* startClient([other])
      for (let i = 0; i < 5; i++) yield* jobIn("completed", yield* insertJob(other))

      assert.deepEqual(yield* countStates(kind), { available: 3 })
      assert.deepEqual(yield* getJobs(ids), before)
      assert.notInclude(client.events, "claim")
      assert.deepEqual(client.logs, [])
    })
  )
})
