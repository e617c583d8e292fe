import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Job } from "../../src/river/index.ts"
import { done, ended, getJob, insertJob, jobIn, riverDatabase, startClient, until, worker } from "./support.ts"

layer(riverDatabase, { excludeTestServices: true })("a worker that prepares", (it) => {
  it.effect("is given all jobs of its kind of a claim together, and then each of them to work", () =>
    Effect.gen(function* () {
      const prepared: Array<ReadonlyArray<Job>> = []
      const worked: Array<Job> = []
      const kind = {
        ...worker((job) =>
          Effect.as(
            Effect.sync(() => worked.push(job)),
            {}
          )
        ),
        prepare: (jobs: ReadonlyArray<Job>) =>
          Effect.as(
            Effect.sync(() => prepared.push(jobs)),
            undefined
          )
      }
      const other = worker(() => done)
      for (let n = 0; n < 4; n++) yield* insertJob(n === 1 ? other : kind)
      yield* startClient([kind, other])
      yield* ended(kind)
      yield* ended(other)

      assert.deepEqual(
        prepared.map(({ length }) => length),
        [3]
      )
      assert.sameMembers(worked, [...prepared[0]!])
    })
  )

  it.effect("holds up no job of another kind, and has its own worked however it fails", () =>
    Effect.gen(function* () {
      const kind = { ...worker(() => done), prepare: () => Effect.die(new Error("prepared badly")) }
      const slow = { ...worker(() => done), prepare: () => Effect.sleep("700 millis") }
      const other = worker(() => done)
      const ids = [yield* insertJob(kind), yield* insertJob(slow), yield* insertJob(other)] as const
      yield* startClient([kind, slow, other])

      yield* jobIn("completed", ids[2], "500 millis")
      assert.deepInclude(yield* getJob(ids[1]), { state: "running" })
      assert.deepInclude(yield* jobIn("completed", ids[0]), { attempt: 1, errors: null })
      assert.deepInclude(yield* jobIn("completed", ids[1]), { attempt: 1, errors: null })
    })
  )

  it.effect("and does not end holds up a stop no longer than the soft stop, and costs no job its attempt", () =>
    Effect.gen(function* () {
      let begun = false
      const kind = {
        ...worker(() => Effect.never),
        prepare: () =>
          Effect.andThen(
            Effect.sync(() => (begun = true)),
            Effect.never
          )
      }
      const id = yield* insertJob(kind)
      const client = yield* startClient([kind], { softStopTimeout: Duration.millis(500) })
      yield* until(
        Effect.sync(() => begun),
        (yes) => yes
      )

      const took = yield* client.stop

      assert.isBelow(took, 4500)
      assert.deepInclude(yield* getJob(id), { state: "available", attempt: 0 })
    })
  )
})
