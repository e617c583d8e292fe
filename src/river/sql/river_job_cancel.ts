/**
 * Which running jobs somebody asked to cancel.
 */
import type * as Effect from "effect/Effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Tables } from "./river_job.ts"

export interface CancelRequested {
  readonly id: bigint
  /** When it was asked, as whoever asked wrote it. */
  readonly cancel_attempted_at: unknown
}

/** Of these jobs, those that are running and carry `cancel_attempted_at`. */
export const jobGetCancelRequested =
  (sql: SqlClient, { river_job }: Tables) =>
  (ids: ReadonlyArray<bigint>): Effect.Effect<ReadonlyArray<CancelRequested>, SqlError> =>
    sql<CancelRequested>`
      select id, metadata -> 'cancel_attempted_at' as cancel_attempted_at from ${sql.literal(river_job)}
      where id = any(${ids}::bigint[]) and state::text = 'running'
        and jsonb_typeof(metadata) = 'object' and metadata ? 'cancel_attempted_at'`
