/**
 * The line between a client and the database: it is cut, held, or has mishaps.
 *
 * A client whose line is cut goes on in this process, but none of its statements runs any more: to everybody else it was
 * killed. One whose line is held is frozen: its statements run when it is released, late.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Latch from "effect/Latch"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import type { StartOptions, Statement } from "../support.ts"
import type { Mishap } from "./Plan.ts"

/** Changes the engine's statements on their way. */
export type Rewrite = <A>(statement: Effect.Effect<A, SqlError>) => Effect.Effect<A, SqlError>

const cause = new Error("the connection was lost")
const lost = new SqlError({ reason: new ConnectionError({ cause, message: cause.message }) })

export const make = Effect.fnUntraced(function* (options: {
  readonly rewrite: Rewrite
  /** Where statements go on that the client has given up. */
  readonly twins: FiberSet.FiberSet<unknown, unknown>
  /** Waits for the worst moment for a late statement, so many milliseconds at most. */
  readonly worstMoment: (atMost: number) => Effect.Effect<void>
}) {
  const free = yield* Latch.make(true)
  const mishaps = new Map<Statement, Mishap>()
  let state: "open" | "cut after the next statement" | "cut" = "open"

  const befall = (mishap: Mishap | undefined, statement: Effect.Effect<unknown, SqlError>) => {
    switch (mishap?.how) {
      case undefined:
        return statement
      case "refused":
        return Effect.fail(lost)
      case "reply lost":
        return Effect.andThen(statement, Effect.fail(lost))
      case "delayed":
        return Effect.delay(statement, Duration.millis(mishap.by))
      case "late twin":
        // The client hears that its connection is lost, and tries again; what it sent arrives all the same.
        return Effect.andThen(
          FiberSet.run(options.twins, Effect.andThen(options.worstMoment(mishap.by), Effect.ignore(statement))),
          Effect.fail(lost)
        )
    }
  }

  const around: StartOptions["around"] = (name, statement) =>
    Effect.andThen(
      free.await,
      Effect.suspend(() => {
        const rewritten = options.rewrite(statement)
        if (state === "cut") return Effect.never
        if (state === "cut after the next statement") {
          state = "cut"
          return Effect.andThen(rewritten, Effect.never)
        }
        const mishap = mishaps.get(name)
        mishaps.delete(name)
        return befall(mishap, rewritten)
      })
    )

  return {
    around,
    /** Cuts the line: at once, or so that one more statement runs and its reply reaches nobody. */
    cut: (when: "at once" | "in mid-statement") =>
      Effect.suspend(() => {
        state = when === "at once" ? "cut" : "cut after the next statement"
        return free.open
      }),
    hold: free.close,
    release: free.open,
    /** Has a mishap happen to the next statement of a name. */
    strike: (name: Statement, mishap: Mishap) => Effect.sync(() => void mishaps.set(name, mishap)),
    /** Releases it, and calls off what was to happen. */
    heal: Effect.suspend(() => {
      mishaps.clear()
      return free.open
    })
  }
})

export type Line = Effect.Success<ReturnType<typeof make>>
