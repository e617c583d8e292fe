/**
 * The plans of statements, as PostgreSQL makes them for one that is prepared by name.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Statement } from "effect/sql/Statement"

/** For any parameters, and for the ones at hand. */
export const planCacheModes = ["force_generic_plan", "force_custom_plan"] as const

/** The lines of the plan of the statement, prepared by name, under a plan cache mode. */
export const planOf = Effect.fnUntraced(function* (
  statement: Effect.Effect<unknown, SqlError>,
  mode: (typeof planCacheModes)[number]
) {
  const sql = yield* SqlClient.SqlClient
  const { literals, text } = compiled(statement)
  return yield* sql.withTransaction(
    Effect.gen(function* () {
      yield* sql.unsafe(`SET LOCAL plan_cache_mode = ${mode}`)
      yield* sql.unsafe(`PREPARE p AS ${text}`).unprepared
      const lines = yield* sql.unsafe<{ readonly "QUERY PLAN": string }>(`EXPLAIN EXECUTE p (${literals.join(", ")})`)
        .unprepared
      yield* sql`DEALLOCATE p`
      return lines.map((line) => line["QUERY PLAN"])
    })
  )
})

/** The statement as one would paste it, and its parameters as literals. */
const compiled = (statement: Effect.Effect<unknown, SqlError>) => {
  const [text, params] = (statement as Statement<object>).compile(false)
  return { text, literals: params.map(literalOf) }
}

const literalOf = (value: unknown): string => {
  const quote = (text: string) => `'${text.replaceAll("'", "''")}'`
  if (Array.isArray(value)) return quote(`{${value.map((each) => JSON.stringify(String(each))).join(",")}}`)
  return quote(String(value))
}
