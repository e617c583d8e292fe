/**
 * Deletes upload requests that ended long ago, where an operator asks for it. They are River's jobs' neighbours, not
 * part of them: nobody else deletes them.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { Chore, ClientConfig, Database } from "../../river/index.ts"
import { table } from "../uploads/UploadRequests.ts"

const every = Duration.seconds(30)

/** `retention` counts from when a request was made; without it all are kept. */
export const layer = (retention: Duration.Duration | undefined) =>
  retention === undefined
    ? Layer.empty
    : Layer.effectDiscard(
        Effect.gen(function* () {
          const { schema } = yield* ClientConfig
          const { sql } = yield* Database

          yield* Chore.run({
            name: "delete old upload requests",
            every,
            batch: (limit, skip) => requestDeleteBefore(sql, { limit, retention, schema, skip })
          })
        })
      )

export interface RequestDeleteBefore {
  readonly limit: number
  readonly retention: Duration.Duration
  readonly schema: string
  /** So many of the requests that are due are left out. */
  readonly skip: number
}

/**
 * Deletes requests that were made before, and are completed or failed: the oldest of each first, without those that
 * somebody else holds. Whatever is still open stays.
 */
export const requestDeleteBefore = (
  sql: SqlClient,
  { limit, retention, schema, skip }: RequestDeleteBefore
): Effect.Effect<ReadonlyArray<Chore.Changed>, SqlError> => {
  const requests = sql.literal(table(schema))
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
