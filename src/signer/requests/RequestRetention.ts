/**
 * Deletes requests that ended long ago, where an operator asks for it. They are River's jobs' neighbours, not part of
 * them: nobody else deletes them.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { Chore, ClientConfig, Database } from "../../river/index.ts"
import type { RequestTable } from "./RequestTable.ts"

const every = Duration.seconds(30)

/** A chore for each table; `retention` counts from when a request was made, and without it all are kept. */
export const layer = (retention: Duration.Duration | undefined, tables: ReadonlyArray<RequestTable>) =>
  retention === undefined
    ? Layer.empty
    : Layer.effectDiscard(
        Effect.gen(function* () {
          const { schema } = yield* ClientConfig
          const { sql } = yield* Database
          for (const { asks, table } of tables) {
            yield* Chore.run({
              name: `delete old ${asks} requests`,
              every,
              batch: (limit, skip) => requestDeleteBefore(sql, table(schema), { limit, retention, skip })
            })
          }
        })
      )

export interface RequestDeleteBefore {
  readonly limit: number
  readonly retention: Duration.Duration
  /** So many of the requests that are due are left out. */
  readonly skip: number
}

/**
 * Deletes requests that were made before, and are completed or failed: the oldest of each first, without those that
 * somebody else holds. Whatever is still open stays.
 */
export const requestDeleteBefore = (
  sql: SqlClient,
  table: string,
  { limit, retention, skip }: RequestDeleteBefore
): Effect.Effect<ReadonlyArray<Chore.Changed>, SqlError> => {
  const requests = sql.literal(table)
  return sql<Chore.Changed>`
    with old as materialized (
      select r.id from unnest('{completed, failed}'::text[]) s(status) cross join lateral (
        select r.id from ${requests} r
        where r.status = s.status
          and r.created_at < now() - ${`${Math.round(Duration.toMillis(retention))} milliseconds`}::interval
        order by r.created_at limit ${limit + skip} for update skip locked
      ) r
      limit ${limit} offset ${skip}
    ),
    done as (delete from ${requests} where id = any(array(select id from old)) returning id)
    select count(*)::int as count from done`
}
