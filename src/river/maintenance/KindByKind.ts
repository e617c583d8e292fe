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
 * A kind whose statement fails is over for now, so that it holds up no other: a pass that it ended is followed by one
 * for the rest. A batch that the database refuses is not over, it comes again with less in it.
 */
export const kindByKind = (
  look: Effect.Effect<ReadonlyArray<{ readonly kind: string }>, SqlError>,
  kinds: ReadonlyArray<OfKind>
): Pick<Chore, "alone" | "batch"> => {
  let found: ReadonlyArray<{ readonly of: OfKind; readonly changed: number }> = []

  const find = Effect.map(look, (rows) => {
    found = kinds.filter(({ kind }) => rows.some((row) => row.kind === kind)).map((of) => ({ of, changed: 0 }))
    return [{ count: 0, more: found.length > 0 }]
  })

  const goOn = (statement: (of: OfKind) => OfKind["alone"], limit: number) =>
    Effect.suspend(() => {
      const [first, ...others] = found
      if (first === undefined) return find
      found = others
      return Effect.flatMap(statement(first.of), ([row = { count: 0 }]) => {
        const { count, more = count >= limit } = row
        const changed = first.changed + count
        if (more) {
          found = [{ of: first.of, changed }, ...others]
          return Effect.succeed([{ count, more }])
        }
        const afterwards = changed > 0 ? first.of.afterwards(changed) : Effect.void
        return Effect.as(afterwards, [{ count, more: others.length > 0 }])
      })
    })

  const batch = (limit: number) =>
    Effect.suspend(() => {
      const before = found
      return Effect.tapError(
        goOn(({ batch }) => batch(limit), limit),
        (fault) => Effect.sync(() => (found = severity(fault) === "data" ? before : found))
      )
    })

  return { batch, alone: goOn(({ alone }) => alone, 1) }
}
