/**
 * The row of `river_queue` by which others see that a queue is worked, and pause it.
 */
import type * as Effect from "effect/Effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Tables } from "./river_job.ts"

export interface QueueRow {
  readonly paused: boolean
}

/**
 * Registers the queue, or says that it is still worked: of a row that is there only `updated_at` changes. Every column is
 * given a value, since not every version of the table has defaults for all.
 */
export const queueCreateOrSetUpdatedAt =
  (sql: SqlClient, { river_queue }: Tables) =>
  (queue: string): Effect.Effect<ReadonlyArray<QueueRow>, SqlError> =>
    sql<QueueRow>`
      insert into ${sql.literal(river_queue)} as q (name, created_at, metadata, paused_at, updated_at)
      values (${queue}, now(), '{}', null, now())
      on conflict (name) do update set updated_at = now()
      returning q.paused_at is not null as paused`

/** Whether the queue is paused; no row when nobody has registered it. */
export const queueGet =
  (sql: SqlClient, { river_queue }: Tables) =>
  (queue: string): Effect.Effect<ReadonlyArray<QueueRow>, SqlError> =>
    sql<QueueRow>`select paused_at is not null as paused from ${sql.literal(river_queue)} where name = ${queue}`
