import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as RetryPolicy from "../../src/river/RetryPolicy.ts"

const failuresIn = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const longestSeconds = (2 ** 63 - 1) / 1e9

describe("RetryPolicy.riverDefault", () => {
  it.effect.prop("[68] waits n⁴ seconds after the nth failure, within 10 %", [failuresIn(1, 309)], ([failures]) =>
    Effect.gen(function* () {
      const delay = Duration.toSeconds(yield* RetryPolicy.delayAfter(RetryPolicy.riverDefault, failures))

      assert.isAtLeast(delay, Math.min(failures ** 4 * 0.9, longestSeconds) - 0.001)
      assert.isAtMost(delay, failures ** 4 * 1.1 + 0.001)
    })
  )

  it.effect.prop(
    "[69] never waits longer than River can express, also where the jitter would pass it",
    [failuresIn(295, 309)],
    ([failures]) =>
      Effect.gen(function* () {
        const delay = yield* RetryPolicy.delayAfter(RetryPolicy.riverDefault, failures)

        assert.isTrue(Duration.isLessThanOrEqualTo(delay, RetryPolicy.longest), String(delay))
      })
  )

  it.effect.prop(
    "[69] waits 2⁶³ − 1 ns, neither more nor less, from the 310th failure on",
    [failuresIn(310, 100_000)],
    ([failures]) =>
      Effect.gen(function* () {
        const delay = yield* RetryPolicy.delayAfter(RetryPolicy.riverDefault, failures)

        assert.strictEqual(Duration.toNanosUnsafe(delay), 2n ** 63n - 1n)
      })
  )

  it.effect("spreads the retries of jobs that failed together", () =>
    Effect.gen(function* () {
      const delays = yield* Effect.replicateEffect(RetryPolicy.delayAfter(RetryPolicy.riverDefault, 3), 200)

      const seconds = delays.map(Duration.toSeconds)
      assert.isBelow(Math.min(...seconds), 81 * 0.95)
      assert.isAbove(Math.max(...seconds), 81 * 1.05)
    })
  )

  it.effect("takes any schedule as a policy, and waits as long as possible when it has ended", () =>
    Effect.gen(function* () {
      const twice = Schedule.spaced("3 seconds").pipe(Schedule.upTo({ times: 2 }))

      assert.strictEqual(Duration.toSeconds(yield* RetryPolicy.delayAfter(twice, 2)), 3)
      assert.isTrue(Duration.Equivalence(yield* RetryPolicy.delayAfter(twice, 3), RetryPolicy.longest))
    })
  )
})
