/**
 * The queue as others see it and stop it: registered in `river_queue`, said to be alive, paused and resumed.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import { ClientConfig } from "./ClientConfig.ts"
import { backoff, Database } from "./Database.ts"
import { Listening } from "./Listening.ts"
import { tables } from "./sql/river_job.ts"
import { queueCreateOrSetUpdatedAt, queueGet, type QueueRow } from "./sql/river_queue.ts"
import { describe, severity, type SqlFault } from "./SqlFault.ts"

/** River's; a row that nobody has touched for a day is removed by River's leader. */
const heartbeat = Duration.minutes(10)

export class Queue extends Context.Service<
  Queue,
  {
    /** Waits while the queue is paused, or not registered yet. */
    readonly resumed: Effect.Effect<void>
    /** Waits until the queue is paused. */
    readonly paused: Effect.Effect<void>
    /** Somebody tells that it was paused or resumed. */
    readonly told: (paused: boolean) => Effect.Effect<void>
  }
>()("river/Queue") {
  static readonly layer = Layer.effect(
    Queue,
    Effect.gen(function* () {
      const { queue, schema } = yield* ClientConfig
      const { run, runPatiently, sql } = yield* Database
      const listening = yield* Listening
      const register = queueCreateOrSetUpdatedAt(sql, tables(schema))(queue)
      const get = queueGet(sql, tables(schema))(queue)
      // Both are shut until it is known which it is.
      const resumed = yield* Latch.make(false)
      const paused = yield* Latch.make(false)

      /** Pauses or resumes, if that is a change: each change is told once. */
      const apply = (pause: boolean) =>
        Effect.suspend(() => {
          if (pause ? paused.isOpen() : resumed.isOpen()) return Effect.void
          const before = paused.isOpen() || resumed.isOpen()
          if (pause) {
            resumed.closeUnsafe()
            paused.openUnsafe()
            return Effect.logInfo("queue paused: no jobs are claimed until it is resumed", { queue })
          }
          paused.closeUnsafe()
          resumed.openUnsafe()
          return before ? Effect.logInfo("queue resumed", { queue }) : Effect.void
        })

      let told = 0
      /** Applies what the row says, unless a notification came while it was read: then it is read once more. */
      const reconcile = (read: Effect.Effect<ReadonlyArray<QueueRow>, SqlFault>): Effect.Effect<void, SqlFault> =>
        Effect.suspend(() => {
          const before = told
          return Effect.flatMap(read, ([row]) => {
            if (told !== before) return reconcile(run(get))
            return row === undefined ? Effect.void : apply(row.paused)
          })
        })

      // A queue that cannot be registered is no reason to leave its jobs unworked.
      const beat = reconcile(runPatiently(register)).pipe(
        Effect.retry({ while: (fault) => severity(fault) !== "data", times: 10, schedule: backoff }),
        Effect.catch((fault) =>
          Effect.andThen(
            Effect.logError(`could not register the queue in river_queue: ${describe(fault)}`),
            paused.isOpen() ? Effect.void : apply(false)
          )
        )
      )
      const look = Effect.catch(reconcile(run(get)), (fault) =>
        severity(fault) === "outage"
          ? Effect.void
          : Effect.logError(`could not look whether the queue is paused: ${describe(fault)}`)
      )
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(beat, Effect.sleep(heartbeat))))
      yield* Effect.forkScoped(listening.lookAgain(look))

      return Queue.of({
        resumed: resumed.await,
        paused: paused.await,
        told: (pause) =>
          Effect.suspend(() => {
            told += 1
            return apply(pause)
          })
      })
    })
  )
}
