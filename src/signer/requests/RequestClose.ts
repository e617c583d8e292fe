/**
 * The closer's statement: which requests no job will answer, and what they are told.
 */
import type * as Effect from "effect/Effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { quoteIdentifier } from "../../river/index.ts"
import { isOpen, isOpenByStatus, requestId, type RequestTable } from "./RequestTable.ts"

/** A place in the order in which jobs ended: the time as PostgreSQL writes it, then the id. */
export interface EndedJob {
  readonly finalized_at: string
  readonly id: string
}

export const beginning: EndedJob = { finalized_at: "-infinity", id: "0" }

/** Ended jobs that a statement looks at. More of them would be sorted, not walked along. */
const pageSize = 2000

export interface RequestClose {
  /** Jobs that ended after it are looked at. */
  readonly from: EndedJob
  readonly limit: number
  /** Live jobs that open requests are held against, at most. With more, requests without a job are not looked for. */
  readonly mostAlive: number
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
 * Closes up to `limit` open requests of a table that no live job in any queue will answer:
 *
 * - those whose job in our queue ended `cancelled` or `discarded` since `from`, and
 * - once these are all looked at, those that are at least 5 seconds old.
 *
 * Requests and live jobs are grouped, not joined, which stays quick whatever the planner guesses, and needs no index on
 * args: operators drop it. What others hold is skipped. Requests are locked one by one by their key, and updated by their
 * place (`ctid`): no guess at their number makes the planner read the whole table. One that moved in between is left for
 * the next pass.
 */
export const requestClose = (
  sql: SqlClient,
  requestTable: RequestTable,
  options: { readonly queue: string; readonly schema: string }
) => {
  const { asks, kind, table } = requestTable
  const requests = table(options.schema)
  const jobs = `${quoteIdentifier(options.schema)}.river_job`
  const open = isOpen(requestTable)

  const endedIn = (state: string) => `(
    select j.id, j.finalized_at, j.state, j.attempt, j.args from ${jobs} j
    where j.state = '${state}' and j.finalized_at >= (select since from input)
      and (j.finalized_at, j.id) > ((select since from input), (select since_id from input))
      and j.queue = (select queue from input) and j.kind = '${kind}'
    order by j.finalized_at, j.id limit ${pageSize})`

  const aliveIn = (state: string) => `(
    select lower(j.args ->> 'request_id') as key from ${jobs} j where j.state = '${state}' and j.kind = '${kind}'
    order by j.queue, j.priority, j.scheduled_at, j.id limit (select most + 1 from input))`

  const oldestOf = (status: string, limit: string) => `(
    select r.id, r.created_at from ${requests} r
    where ${status} and r.created_at < now() - interval '5 s' order by r.created_at, r.id limit ${limit})`
  const oldest = (limit: string) =>
    isOpenByStatus(requestTable)
      .map((status) => oldestOf(status, limit))
      .join(" union all ")

  const statement = sql.literal(`
    -- A page of the jobs that ended, and their requests that are still open.
    ended as materialized (
      select * from (${endedIn("cancelled")} union all ${endedIn("discarded")}) e
      order by finalized_at, id limit ${pageSize}
    ),
    page as materialized (select count(*) = ${pageSize} as filled from ended),
    left_open as materialized (
      select r.id, r.created_at, 'the job of this request was ' || case when e.state = 'cancelled' then 'cancelled'
        else 'discarded' || case e.attempt when 0 then '' when 1 then ' after 1 attempt'
          else ' after ' || e.attempt || ' attempts' end end as reason
      from ended e cross join lateral (
        select r.id, r.created_at from ${requests} r
        where r.id = ${requestId("e.args")} and ${open} offset 0
      ) r
    ),
    -- What may still be answered; and, when that is all of it, the oldest open requests. As each job answers one request,
    -- it is enough to look at as many requests as there are live jobs, and a batch.
    alive as materialized (
      select * from (${["available", "pending", "retryable", "running", "scheduled"].map(aliveIn).join(" union all ")}) a
      where exists (select from left_open) or exists (${oldest("1")})
      limit (select most + 1 from input)
    ),
    enough as materialized (
      select case when count(*) > (select most from input) or (select filled from page) then 0
        else count(*) + (select batch + skip from input) end as number
      from alive
    ),
    oldest as materialized (
      select * from (${oldest("(select number from enough)")}) o
      order by created_at, id limit (select number from enough)
    ),
    unanswered as (
      select key::uuid as id, min(created_at) as created_at, coalesce(min(reason),
        case when min(created_at) < now() - interval '24 hours'
          then 'expired: not answered within 24 hours, and no job is left that could'
          else 'the job of this request was deleted, or ended without an answer' end) as reason
      from (
        select id::text as key, created_at, reason, false as live from left_open
        union all select id::text, created_at, null, false from oldest
        union all select key, null, null, true from alive
      ) a
      group by key having not bool_or(live)
    ),
    held as materialized (
      select r.place, u.id, u.reason from (select * from unanswered order by created_at, id) u
      cross join lateral (
        select r.ctid as place from ${requests} r where r.id = u.id and ${open} for no key update skip locked
      ) r
      limit (select batch from input) offset (select skip from input)
    ),
    done as (
      update ${requests} r set status = 'failed', error_message = h.reason || ': ask for a new ${asks} URL'
      from held h where r.ctid = h.place and r.id = h.id and ${open}
      returning r.id
    )
    select (select count(*)::int from done) as count,
      (select jsonb_build_object('finalized_at', finalized_at, 'id', id::text) from ended
        order by finalized_at, id limit 1 offset ${pageSize - 1}) as last,
      jsonb_build_object('finalized_at', now() - interval '1 minute', 'id', '0') as overlap`)

  return ({ from, limit, mostAlive, skip }: RequestClose): Effect.Effect<ReadonlyArray<Closed>, SqlError> =>
    sql<Closed>`
      with input as materialized (
        select ${options.queue}::text as queue, ${from.finalized_at}::timestamptz as since, ${from.id}::bigint as since_id,
          ${limit}::int as batch, ${mostAlive}::int as most, ${skip}::int as skip
      ),${statement}`
}
