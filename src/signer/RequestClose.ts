/**
 * The closer's statement: which requests no job will answer, and what they are told.
 */
import type * as Effect from "effect/Effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { quoteIdentifier } from "../river/index.ts"
import { kind } from "./S3Presign.ts"
import * as UploadRequests from "./UploadRequests.ts"

/** A place in the order in which jobs ended: the time as PostgreSQL writes it, then the id. */
export interface EndedJob {
  readonly finalized_at: string
  readonly id: string
}

export const beginning: EndedJob = { finalized_at: "-infinity", id: "0" }

/** Ended jobs that a statement looks at. More of them would be sorted, not walked along. */
const pageSize = 2000

/** Live jobs that open requests are held against. With more, the queue is being worked off: that waits. */
const mostAlive = 50_000

export interface RequestClose {
  /** Jobs that ended after it are looked at. */
  readonly from: EndedJob
  readonly limit: number
  /** So many of the requests that are due are left out. */
  readonly skip: number
}

export interface Closed {
  readonly count: number
  /** The last of the ended jobs, when there may be more of them. */
  readonly last: EndedJob | null
  /** A minute ago, by the database's clock. */
  readonly overlap: EndedJob
}

/**
 * Closes up to `limit` open requests:
 *
 * - those whose job in our queue ended `cancelled` or `discarded` since `from` (`ended`), and
 * - once these are all looked at, those of at least 5 seconds that no job in any queue will answer (`oldest` without
 *   `alive`). They are grouped, not joined, which stays quick whatever the planner guesses, and needs no index on args:
 *   operators drop it. As each job answers one request, it is enough to look at as many requests as there are live
 *   jobs, and a batch.
 *
 * What others hold is skipped. Requests are locked one by one by their key, and updated by their place (`ctid`): no guess
 * at their number makes the planner read the whole table. One that moved in between is left for the next pass.
 */
export const requestClose = (sql: SqlClient, options: { readonly queue: string; readonly schema: string }) => {
  const requests = UploadRequests.table(options.schema)
  const schema = quoteIdentifier(options.schema)
  const open = "(r.status in ('pending', 'processing') or r.status is null)"

  const ended = (state: string) => (from: EndedJob) =>
    sql`
    (select j.id, j.finalized_at, j.state, j.attempt, j.kind, j.queue, j.args from ${sql.literal(`${schema}.river_job`)} j
    where j.state = ${sql.literal(state)} and j.finalized_at >= ${from.finalized_at}::timestamptz
      and (j.finalized_at, j.id) > (${from.finalized_at}::timestamptz, ${from.id}::bigint)
    order by j.finalized_at, j.id limit ${sql.literal(String(pageSize))})`
  const [cancelled, discarded] = [ended("'cancelled'"), ended("'discarded'")]

  const oldest = (limit: string) =>
    ["= 'pending'", "= 'processing'", "is null"]
      .map(
        (status) => `(select r.id, r.created_at from ${requests} r
          where r.status ${status} and r.created_at < now() - interval '5 s' order by r.created_at, r.id limit ${limit})`
      )
      .join(" union all ")

  const alive = ["available", "pending", "retryable", "running", "scheduled"]
    .map(
      (state) => `(select lower(j.args ->> 'request_id') as request_id from ${schema}.river_job j
        where j.state = '${state}' and j.kind = '${kind}'
        order by j.queue, j.priority, j.scheduled_at, j.id limit ${mostAlive + 1})`
    )
    .join(" union all ")

  const sets = sql.literal(`
    page as materialized (select count(*) = ${pageSize} as filled from ended),
    alive as materialized (
      select * from (${alive}) a where not (select filled from page) and exists (${oldest("1")}) limit ${mostAlive + 1}
    ),
    enough as materialized (
      select case when count(*) > ${mostAlive} or (select filled from page) then 0
        else count(*) + (select batch + skip from input) end as number
      from alive
    ),
    oldest as materialized (
      select * from (${oldest("(select number from enough)")}) o
      order by created_at, id limit (select number from enough)
    ),
    unanswered as (
      select r.id, r.created_at, 1 as rank,
        'the job of this request was ' || case e.state when 'cancelled' then 'cancelled'
        else 'discarded after ' || e.attempt || case e.attempt when 1 then ' attempt' else ' attempts' end end as reason
      from ended e cross join input i cross join lateral (
        select r.id, r.created_at from ${requests} r
        where r.id = ${UploadRequests.requestId("e.args")} and ${open} offset 0
      ) r
      where e.kind = '${kind}' and e.queue = i.queue
      union all
      select key::uuid, min(created_at), 2, case when min(created_at) < now() - interval '24 hours'
        then 'expired: not answered within 24 hours, and no job is left that could'
        else 'the job of this request was deleted, or ended without an answer' end
      from (
        select id::text as key, created_at, false as live from oldest union all select request_id, null, true from alive
      ) a
      group by key having not bool_or(live)
    ),
    held as materialized (
      select r.place, u.id, u.reason
      from (select distinct on (created_at, id) id, reason from unanswered order by created_at, id, rank) u
      cross join lateral (
        select r.ctid as place from ${requests} r where r.id = u.id and ${open} for no key update skip locked
      ) r
      limit (select batch from input) offset (select skip from input)
    ),
    done as (
      update ${requests} r set status = 'failed', error_message = h.reason || ': ask for a new upload URL'
      from held h where r.ctid = h.place and r.id = h.id and ${open}
      returning r.id
    )
    select (select count(*)::int from done) as count,
      (select jsonb_build_object('finalized_at', finalized_at::text, 'id', id::text) from ended
        order by finalized_at, id limit 1 offset ${pageSize - 1}) as last,
      jsonb_build_object('finalized_at', (now() - interval '1 minute')::text, 'id', '0') as overlap`)

  return ({ from, limit, skip }: RequestClose): Effect.Effect<ReadonlyArray<Closed>, SqlError> =>
    sql<Closed>`
      with input as (select ${options.queue}::text as queue, ${limit}::int as batch, ${skip}::int as skip),
      ended as materialized (
        select * from (${cancelled(from)} union all ${discarded(from)}) e
        order by finalized_at, id limit ${sql.literal(String(pageSize))}
      ),${sets}`
}
