/**
 * How long a failed job waits before its next attempt: River's curve.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"

/** The longest delay River can express: 2⁶³ − 1 nanoseconds, about 292 years. */
export const longest = Duration.nanos(2n ** 63n - 1n)

/** The failure from which on the curve is past {@link longest}. */
const firstCapped = 310

/** n⁴ seconds after the nth failure, within 10 %. */
export const riverDefault = Schedule.forever.pipe(
  Schedule.modifyDelay(({ attempt }) =>
    attempt >= firstCapped
      ? Effect.succeed(longest)
      : Effect.map(Random.nextBetween(0.9, 1.1), (factor) =>
          Duration.min(longest, Duration.millis(attempt ** 4 * 1000 * factor))
        )
  )
)

/**
 * The delay after the nth failure (from 1), without sleeping: the policy stepped n times.
 *
 * River counts stored errors, not attempts, so a job whose `attempt` was changed by hand waits as its history says.
 */
export const delayAfter = Effect.fnUntraced(function* <O>(policy: Schedule.Schedule<O>, failures: number) {
  const step = yield* Schedule.toStep(policy)
  const steps = Math.min(Math.max(1, failures), firstCapped)
  let delay = Duration.zero
  for (let i = 0; i < steps; i++) {
    delay = yield* step(0, undefined).pipe(
      Effect.map(([, next]) => next),
      Pull.catchDone(() => Effect.succeed(longest))
    )
  }
  return delay
})
