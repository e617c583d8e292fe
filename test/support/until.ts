/**
 * Waits for what no event tells of: asks until the answer is as it should be.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** Asks again until the answer is as it should be, and returns it; dies with the last answer after `within`. */
export const until = <A, E, R>(
  ask: Effect.Effect<A, E, R>,
  holds: (answer: A) => boolean,
  within: Duration.Input = "20 seconds"
): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const deadline = (yield* Clock.currentTimeMillis) + Duration.toMillis(Duration.fromInputUnsafe(within))
    for (;;) {
      const answer = yield* ask
      if (holds(answer)) return answer
      if ((yield* Clock.currentTimeMillis) > deadline) {
        return yield* Effect.die(new Error(`it did not happen: ${show(answer)}`))
      }
      yield* Effect.sleep("10 millis")
    }
  })

const show = (value: unknown) =>
  (typeof value === "string"
    ? value
    : JSON.stringify(value, (_, part) => (typeof part === "bigint" ? String(part) : part))
  ).slice(-3000)
