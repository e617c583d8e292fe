import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Job } from "../../src/river/Job.ts"
import { Metadata } from "../../src/river/index.ts"

const job = (): Job => ({
  id: 1n,
  kind: "kind",
  attempt: 1,
  max_attempts: 25,
  attempted_at: "2026-08-07 09:30:00.123456+00",
  created_at: new Date(0),
  args: {},
  error_count: null,
  metadata: null
})

describe("Metadata", () => {
  it.effect("keeps what was recorded for one claim of a job, the last value of each key", () =>
    Effect.gen(function* () {
      const [first, second] = [job(), job()]

      yield* Metadata.set(first, "output", { n: 1 })
      yield* Metadata.set(first, "step", "a")
      yield* Metadata.set(first, "output", { n: 2 })

      assert.deepEqual(Metadata.of(first), { output: { n: 2 }, step: "a" })
      assert.isUndefined(Metadata.of(second))
    })
  )

  it.effect("[58] refuses the keys that belong to River", () =>
    Effect.gen(function* () {
      const claimed = job()

      const error = yield* Effect.flip(Metadata.set(claimed, "river:log", []))

      assert.match(error.message, /"river:log" is reserved/)
      assert.isUndefined(Metadata.of(claimed))
    })
  )
})
