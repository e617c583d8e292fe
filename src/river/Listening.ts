/**
 * Whether notifications arrive; and, because one may be missed, how often to look oneself.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"

/** How often to look for what notifications tell, while they arrive and while they do not. */
const intervals = { heard: Duration.seconds(3), unheard: Duration.millis(1500) }

export class Listening extends Context.Service<
  Listening,
  {
    /** Says that notifications arrive from now on, or no longer. */
    readonly changed: (hears: boolean) => Effect.Effect<void>
    /**
     * Looks again and again, for ever: at once when listening begins, for what was missed before; then every 3 seconds
     * while somebody listens, as people at a SQL prompt notify nobody, and every 1.5 seconds while nobody does.
     */
    readonly lookAgain: (look: Effect.Effect<void>) => Effect.Effect<never>
  }
>()("river/Listening") {
  static readonly layer = Layer.effect(
    Listening,
    Effect.gen(function* () {
      const change = yield* Latch.make()
      let state = { interval: intervals.unheard }

      const changed = (hears: boolean) =>
        Effect.suspend(() => {
          state = { interval: hears ? intervals.heard : intervals.unheard }
          return Effect.asVoid(change.release)
        })

      const lookAgain = (look: Effect.Effect<void>) =>
        Effect.suspend(() => {
          let seen = state
          // A change while it looks is a reason to look once more.
          const wait = Effect.suspend(() =>
            seen === state ? Effect.asVoid(Effect.timeoutOption(change.await, state.interval)) : Effect.void
          )
          const round = Effect.andThen(
            wait,
            Effect.suspend(() => {
              seen = state
              return look
            })
          )
          return Effect.forever(round)
        })

      return Listening.of({ changed, lookAgain })
    })
  )
}
