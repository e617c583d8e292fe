/**
 * Waits for what a chore does under the test's clock.
 */
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import { until } from "./until.ts"

/**
 * Lets the chore's interval pass, and again, a few times at most, until the answer is as it should be: a chore that was
 * still at work when the time was put forward sleeps from then on.
 */
export const afterPasses = <A, E, R>(
  every: "5 seconds" | "30 seconds",
  ask: Effect.Effect<A, E, R>,
  holds: (answer: A) => boolean,
  passes = 5
): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    yield* TestClock.adjust(every)
    const asked = TestClock.withLive(until(ask, holds, passes > 1 ? "2 seconds" : "20 seconds"))
    return yield* passes > 1 ? Effect.catchDefect(asked, () => afterPasses(every, ask, holds, passes - 1)) : asked
  })
