import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { done, riverDatabase, startClient, until, worker } from "./support.ts"

layer(riverDatabase, { excludeTestServices: true })("a poll", (it) => {
  it.effect("[31] is up to a tenth of its interval late, at random", () =>
    Effect.gen(function* () {
      const polls: Array<number> = []
      yield* startClient([worker(() => done)], {
        fetchPollInterval: Duration.millis(400),
        around: (name, statement) => {
          if (name === "claim") polls.push(performance.now())
          return statement
        }
      })

      yield* until(
        Effect.sync(() => polls.length),
        (count) => count >= 17
      )

      const gaps = polls
        .slice(1)
        .map((at, i) => at - polls[i]!)
        .toSorted((a, b) => a - b)
      assert.isAtLeast(gaps[0]!, 399)
      // All but the worst, which a busy machine may have delayed.
      assert.isAtMost(gaps.at(-3)!, 440 + 15)
      assert.isAbove(gaps.at(-1)! - gaps[0]!, 12)
    })
  )
})
