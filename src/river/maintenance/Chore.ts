/**
 * The shape of all maintenance: a statement that is run again and again by every replica, in batches.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { Database } from "../Database.ts"
import { describe, severity, type SqlFault } from "../SqlFault.ts"
import type { Changed } from "../sql/river_job_maintenance.ts"
import type { SqlError } from "effect/sql/SqlError"

/** Rows that a chore changes in one statement. */
export const batchSize = 1000

export interface Chore {
  /** For the log, as in "could not rescue lost jobs". */
  readonly name: string
  readonly every: Duration.Duration
  /** One statement for the next rows, at most `limit`; it answers how many it changed. */
  readonly batch: (limit: number) => Effect.Effect<ReadonlyArray<Changed>, SqlError>
  /** The same for one row, without a word to its kind's own row. */
  readonly alone: Effect.Effect<ReadonlyArray<Changed>, SqlError>
  /** Run after a pass that changed something. */
  readonly afterwards: (changed: number) => Effect.Effect<void>
}

/**
 * Does the chore for ever, in the scope: at start within its interval, so that replicas spread out, then each interval.
 * A pass repeats the statement while its batches are full. A pass that fails is logged, and the next one comes anyway.
 *
 * A batch that the database refuses is halved, so that one bad row holds up nobody: once it is the next in line and
 * refused by itself, it is ended alone.
 */
export const run = Effect.fnUntraced(function* (chore: Chore) {
  const database = yield* Database

  const batch = (limit: number): Effect.Effect<{ readonly count: number; readonly limit: number }, SqlFault> =>
    Effect.map(database.run(chore.batch(limit)), ([row]) => ({ count: row?.count ?? 0, limit })).pipe(
      Effect.catchIf(
        (fault) => severity(fault) === "data",
        (fault) => {
          if (limit > 1) return batch(Math.floor(limit / 2))
          const log = Effect.logError(`could not ${chore.name} with a word to their own rows: ${describe(fault)}`)
          return Effect.andThen(
            log,
            Effect.map(database.run(chore.alone), ([row]) => ({ count: row?.count ?? 0, limit }))
          )
        }
      )
    )

  const pass = Effect.gen(function* () {
    let changed = 0
    let more: boolean
    do {
      const { count, limit } = yield* batch(batchSize)
      changed += count
      more = count >= limit
    } while (more)
    if (changed > 0) yield* chore.afterwards(changed)
  }).pipe(
    Effect.catchDefect((defect) => Effect.logError(`could not ${chore.name}`, Cause.die(defect))),
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
