/**
 * A chore whose statement is for one kind: a pass first asks, in one statement, for which kinds there is something to do.
 * So a kind without costs nothing.
 */
import * as Effect from "effect/Effect"
import type { SqlError } from "effect/sql/SqlError"
import { severity } from "../SqlFault.ts"
import type { Changed, Chore } from "./Chore.ts"

/** What is done for one kind, as a {@link Chore} does it for all. */
export interface OfKind {
  readonly kind: string
  readonly batch: (limit: number) => Effect.Effect<ReadonlyArray<Changed>, SqlError>
  readonly alone: Effect.Effect<ReadonlyArray<Changed>, SqlError>
  readonly afterwards: (changed: number) => Effect.Effect<void>
}

/**
 * The statements of such a chore: in a pass `look` comes first, then those of each kind that it found.
 *
 * A kind whose statement fails holds up no other: the pass is over, and the next one does the rest before it looks again.
 * But a batch that the database refuses comes again, with less in it.
 */
export const kindByKind = (
  look: Effect.Effect<ReadonlyArray<{ readonly kind: string }>, SqlError>,
  kinds: ReadonlyArray<OfKind>
): Pick<Chore, "alone" | "batch"> => {
  let toDo: ToDo = { found: [], thenLook: true }

  const find = Effect.map(look, (rows) => {
    const found = kinds.filter(({ kind }) => rows.some((row) => row.kind === kind))
    toDo = { found: found.map((of) => ({ of, changed: 0 })), thenLook: false }
    return [{ count: 0, more: found.length > 0 }]
  })

  const goOn = (
    statement: (of: OfKind) => Effect.Effect<ReadonlyArray<Changed>, SqlError>,
    limit: number,
    comesAgain: (fault: SqlError) => boolean
  ) =>
    Effect.suspend(() => {
      const before = toDo
      const [first, ...others] = before.found
      if (first === undefined) return find
      // As it stays when the statement fails.
      toDo = { found: others, thenLook: true }
      return statement(first.of).pipe(
        Effect.tapError((fault) => Effect.sync(() => (toDo = comesAgain(fault) ? before : toDo))),
        Effect.flatMap(([row = { count: 0 }]) => {
          const { count, more = count >= limit } = row
          const changed = first.changed + count
          toDo = { ...before, found: more ? [{ of: first.of, changed }, ...others] : others }
          const afterwards = !more && changed > 0 ? first.of.afterwards(changed) : Effect.void
          return Effect.as(afterwards, [{ count, more: more || others.length > 0 || before.thenLook }])
        })
      )
    })

  return {
    batch: (limit) =>
      goOn(
        ({ batch }) => batch(limit),
        limit,
        (fault) => severity(fault) === "data"
      ),
    alone: goOn(
      ({ alone }) => alone,
      1,
      () => false
    )
  }
}

/** What is left of a pass. */
interface ToDo {
  readonly found: ReadonlyArray<{ readonly of: OfKind; readonly changed: number }>
  /** Whether a pass before was cut short, so that this one has yet to look. */
  readonly thenLook: boolean
}
