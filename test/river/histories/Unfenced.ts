/**
 * Settling without the fence, as River's own clients do it: whoever comes with a result ends the job that runs.
 */
import * as Effect from "effect/Effect"
import { CurrentTransformer } from "effect/sql/Statement"
import type { Rewrite } from "./Line.ts"

/** What of the settling statement's condition says whose claim it is; what is left is the job's id and state. */
const fence =
  / and j\.attempt = i\.attempt and j\.attempted_at = i\.attempted_at::timestamptz\s+and j\.attempted_by\[cardinality\(j\.attempted_by\)\] = i\.client_id/g

/** Takes the fence out of statements that have one. */
export const unfenced: Rewrite = Effect.provideService(CurrentTransformer, (statement, sql) => {
  const [text, params] = statement.compile()
  const open = text.replaceAll(fence, "")
  return Effect.succeed(open === text ? statement : sql.unsafe(open, params))
})
