/**
 * The shape of all maintenance: a statement that is run again and again by every replica, in batches.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { Database } from "../Database.ts"
import { describe, severity } from "../SqlFault.ts"
import type { Changed } from "../sql/river_job_maintenance.ts"
import type { SqlError } from "effect/sql/SqlError"

/** Rows that a chore changes in one statement. */
export const batchSize = 1000

export interface Chore {
  /** For the log, as in "could not rescue lost jobs". */
  readonly name: string
  readonly every: Duration.Duration
  /** One statement; it answers how many rows it changed, at most {@link batchSize}. */
  readonly batch: Effect.Effect<ReadonlyArray<Changed>, SqlError>
  /** Run after a pass that changed something. */
  readonly afterwards: (changed: number) => Effect.Effect<void>
}

/**
 * Does the chore for ever, in the scope: at start within its interval, so that replicas spread out, then each interval.
 * A pass repeats the statement while its batches are full. A pass that fails is logged, and the next one comes anyway.
 */
export const run = Effect.fnUntraced(function* (chore: Chore) {
  const database = yield* Database

  const pass = Effect.gen(function* () {
    let changed = 0
    let count: number
    do {
      const [row] = yield* database.run(chore.batch)
      count = row?.count ?? 0
      changed += count
    } while (count >= batchSize)
    if (changed > 0) yield* chore.afterwards(changed)
  }).pipe(
    Effect.catch((fault) =>
      severity(fault) === "outage" ? Effect.void : Effect.logError(`could not ${chore.name}: ${describe(fault)}`)
    )
  )
  const first = yield* Random.nextBetween(0, Duration.toMillis(chore.every))
  return yield* Effect.sleep(Duration.millis(first)).pipe(
    Effect.andThen(Effect.forever(Effect.andThen(pass, Effect.sleep(chore.every)))),
    Effect.forkScoped
  )
})
