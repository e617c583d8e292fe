/**
 * The shape of all maintenance: a statement that is run again and again by every replica, in batches.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { SqlError } from "effect/sql/SqlError"
import { contention, Database } from "../Database.ts"
import { describe, severity, type SqlFault } from "../SqlFault.ts"

/** Rows that a chore changes in one statement. */
export const batchSize = 1000

/** Rows that a pass steps over because the database refuses them; then the pass is over. */
const skippedRows = 20

/** What a statement did. */
export interface Changed {
  /** The rows that it changed. */
  readonly count: number
  /** Whether there may be more to do at once. Unless it says so, a full batch means that there is. */
  readonly more?: boolean
}

export interface Chore {
  /** For the log, as in "could not rescue lost jobs". */
  readonly name: string
  readonly every: Duration.Duration
  /**
   * One statement for the next rows, at most `limit`, after the first `skip` of those that are due. Only a chore without
   * `alone` is ever asked to skip.
   */
  readonly batch: (limit: number, skip: number) => Effect.Effect<ReadonlyArray<Changed>, SqlError>
  /** A statement for the next row in a way that the database does not refuse; without it the row is stepped over. */
  readonly alone?: Effect.Effect<ReadonlyArray<Changed>, SqlError>
  /** Run after a pass that changed something. */
  readonly afterwards?: (changed: number) => Effect.Effect<void>
}

/**
 * Does the chore for ever, in the scope: at start within its interval, so that replicas spread out, then each interval.
 * A pass repeats the statement while its batches are full. A pass that fails is logged, and the next one comes anyway.
 *
 * A batch that the database refuses is halved, so that one bad row holds up nobody: once it is the next in line and
 * refused by itself, it is changed alone, or stepped over until the next pass.
 */
export const run = Effect.fnUntraced(function* (chore: Chore) {
  const database = yield* Database
  let skip = 0
  // What is wrong in each pass is told once.
  let told: { readonly before: ReadonlySet<string>; readonly now: Set<string> } = { before: new Set(), now: new Set() }
  const tell = (message: string) =>
    Effect.suspend(() => {
      const again = told.before.has(message) || told.now.has(message)
      told.now.add(message)
      return again ? Effect.void : Effect.logError(message)
    })

  const change = (statement: Effect.Effect<ReadonlyArray<Changed>, SqlError>, progress: Progress) =>
    database.run(statement).pipe(
      Effect.retry({ schedule: contention, while: (fault) => severity(fault) === "contention" }),
      Effect.map(([row]) => {
        const { count, more = count >= progress.limit } = row ?? { count: 0 }
        return { ...progress, changed: progress.changed + count, more }
      })
    )

  const step = (progress: Progress) =>
    change(chore.batch(progress.limit, skip + progress.refused.length), progress).pipe(
      Effect.map((next) => ({ ...next, limit: Math.min(2 * next.limit, batchSize) })),
      Effect.catchIf(
        (fault) => severity(fault) === "data",
        (fault): Effect.Effect<Progress, SqlFault> => {
          if (progress.limit > 1) return Effect.succeed({ ...progress, limit: Math.floor(progress.limit / 2) })
          if (chore.alone === undefined) {
            return Effect.succeed({ ...progress, refused: [...progress.refused, describe(fault)] })
          }
          const log = tell(`could not ${chore.name} and write to their own rows: ${describe(fault)}`)
          return Effect.andThen(log, change(chore.alone, progress))
        }
      )
    )

  const pass = Effect.gen(function* () {
    told = { before: told.now, now: new Set() }
    let progress: Progress = { changed: 0, limit: batchSize, more: true, refused: [] }
    while (progress.more && progress.refused.length < skippedRows) progress = yield* step(progress)

    const { changed, refused } = progress
    if (changed > 0 && chore.afterwards !== undefined) yield* chore.afterwards(changed)
    if (refused[0] !== undefined) yield* tell(`could not ${chore.name}: the database refuses some: ${refused[0]}`)
    // The next pass goes on behind them; one that has come to the end is followed by one from the beginning.
    skip = refused.length < skippedRows ? 0 : skip + refused.length
  }).pipe(
    Effect.catchDefect((defect) => Effect.logError(`could not ${chore.name}`, Cause.die(defect))),
    Effect.catch((fault) =>
      severity(fault) === "outage" ? Effect.void : tell(`could not ${chore.name}: ${describe(fault)}`)
    )
  )
  const first = yield* Random.nextBetween(0, Duration.toMillis(chore.every))
  return yield* Effect.sleep(Duration.millis(first)).pipe(
    Effect.andThen(Effect.forever(Effect.andThen(pass, Effect.sleep(chore.every)))),
    Effect.forkScoped
  )
})

/** How far a pass is. */
interface Progress {
  readonly changed: number
  /** Of the next batch. */
  readonly limit: number
  readonly more: boolean
  /** Why rows were stepped over, a reason each. */
  readonly refused: ReadonlyArray<string>
}
