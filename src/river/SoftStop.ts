/**
 * The clock of a stop: it starts when claiming ends, and everything that still waits for something looks at it.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import { ClientConfig } from "./ClientConfig.ts"

export class SoftStop extends Context.Service<
  SoftStop,
  {
    /** Starts the clock. */
    readonly begin: Effect.Effect<void>
    /** Waits until the soft-stop time, counted from `begin`, is over. */
    readonly over: Effect.Effect<void>
  }
>()("river/SoftStop") {
  static readonly layer = Layer.effect(
    SoftStop,
    Effect.gen(function* () {
      const { softStopTimeout } = yield* ClientConfig
      const over = yield* Latch.make()
      const begin = Effect.asVoid(
        Effect.forkDetach(Effect.andThen(Effect.sleep(softStopTimeout), over.open), { startImmediately: true })
      )
      return SoftStop.of({ begin, over: over.await })
    })
  )
}
