import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { fresh, round, seeds } from "./Rounds.ts"
import { unfenced } from "./Unfenced.ts"

describe("two clients of ours, whatever happens to them and to their jobs,", () => {
  it.live(
    "keep to River's transitions, count each result for its own claim, and end every job and every request",
    () =>
      Effect.gen(function* () {
        const wrong = yield* round(seeds(8, "swift"))

        if (wrong.length > 0) assert.fail(wrong.map(({ report }) => report).join("\n\n"))
      }),
    120_000
  )

  it.live(
    "would count results for claims that are not theirs, were it not for the fence",
    () =>
      Effect.gen(function* () {
        const misled = /^a result counts for the claim that it is of$/

        const wrong = yield* Effect.suspend(() => round(fresh(6, "swift"), unfenced)).pipe(
          Effect.map((wrong) => wrong.flatMap(({ says }) => says)),
          Effect.repeat({ until: (says) => says.some((rule) => misled.test(rule)) }),
          Effect.timeout("1 minute")
        )

        assert.isNotEmpty(wrong)
      }),
    120_000
  )
})
