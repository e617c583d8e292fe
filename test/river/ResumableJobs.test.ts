import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { JobSnooze, Metadata } from "../../src/river/index.ts"
import { done, getJob, insertJob, riverDatabase, startClient, until, worker } from "./support.ts"

layer(riverDatabase, { excludeTestServices: true })("where a resumable job of River's stands", (it) => {
  const ends = {
    failed: Effect.fail(new Error("no")),
    "put off": new JobSnooze({ duration: Duration.minutes(1) }),
    completed: done
  }

  for (const [how, end] of Object.entries(ends)) {
    it.effect(`[137] stays in its metadata, untouched, when an attempt here was ${how}`, () =>
      Effect.gen(function* () {
        const stand = {
          "river:resumable_step": "second",
          "river:resumable_cursor": { first: null, second: { at: 9007199254740991, of: ["a"] } }
        }
        const kind = worker((job) => Effect.andThen(Metadata.set(job, "output", 1), end))
        const id = yield* insertJob(kind, { metadata: stand })

        yield* startClient([kind])
        const { metadata } = yield* until(getJob(id), ({ metadata }) => metadata["output"] === 1)

        const { output: _, snoozes: __, ...rest } = metadata
        assert.deepEqual(rest, stand)
      })
    )
  }
})
