/**
 * Claiming: the statement on `river_job` that turns waiting jobs into running ones.
 */
import type * as Effect from "effect/Effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { beginning, type Frontier } from "../Frontier.ts"
import type { Claimed } from "../Job.ts"

/** The longest `args` that are read, in characters; beyond, a claim returns null for them. Most need no measuring. */
const argsLimit = 32_768

/** A name as SQL writes it where it stands for an object. */
export const quoteIdentifier = (name: string): string => `"${name.replaceAll('"', '""')}"`

/** A schema's objects, quoted: every name in every statement carries its schema. */
export const tables = (schema: string) => {
  const quoted = quoteIdentifier(schema)
  return {
    river_job: `${quoted}.river_job`,
    river_job_state: `${quoted}.river_job_state`,
    river_job_state_in_bitmask: `${quoted}.river_job_state_in_bitmask`,
    river_queue: `${quoted}.river_queue`
  }
}

export type Tables = ReturnType<typeof tables>

/** Whose jobs a claim takes, and how many. */
export interface JobGetAvailable {
  readonly clientId: string
  readonly kinds: ReadonlyArray<string>
  readonly limit: number
  readonly queue: string
  /** Where it begins to look; without it at the beginning. */
  readonly from?: Frontier
}

/** What inserted a job may have begun so long before a claim and committed after it. */
const recently = "interval '10 seconds'"

/**
 * Claims up to `limit` due jobs of these kinds: priority first, then due time, then id; what another client holds is
 * left alone. A look-up for each priority goes through the index of its waiting jobs, in the order of the priorities, until
 * there are enough; the kind is compared so that no index on it is used, which would be sorted whole with each claim.
 *
 * The update goes by the ids of an array, which leaves the planner no choice but the primary key. `attempted_by` keeps
 * its last 100 entries. An `attempt` at the end of its range stays there, and an array of arrays, which can be
 * neither searched nor appended to, starts afresh: one odd row must not fail the claim.
 */
export const jobGetAvailable = (
  sql: SqlClient,
  { river_job }: Tables,
  { detailed }: { readonly detailed: boolean }
) => {
  const table = sql.literal(river_job)
  const limitOfArgs = sql.literal(String(argsLimit))
  const detail = sql.literal(detailed ? ", j.priority, j.scheduled_at, to_jsonb(j.tags) as tags" : "")
  const recent = sql.literal(recently)
  return ({
    clientId,
    from = beginning,
    kinds,
    limit,
    queue
  }: JobGetAvailable): Effect.Effect<ReadonlyArray<Claimed>, SqlError> =>
    sql<Claimed>`
      with level as materialized (
        select priority, id, case since when 'recent' then now() - ${recent} else since::timestamptz end as since
        from unnest(${from.map(({ since }) => since)}::text[], ${from.map(({ id }) => id)}::bigint[])
          with ordinality as l(since, id, priority)
      ),
      candidate as materialized (
        select c.* from level l cross join lateral (
          select j.id, j.priority, j.scheduled_at from ${table} j
          where j.state = 'available' and j.queue = ${queue} and j.priority = l.priority
            and (j.scheduled_at, j.id) >= (l.since, l.id) and j.scheduled_at <= now()
            and j.kind || '' = any(${kinds}::text[])
          order by j.scheduled_at, j.id
          limit ${limit}
          for update skip locked
        ) c
        limit ${limit}
      )
      update ${table} j set
        state = 'running',
        attempt = least(j.attempt::int + 1, 32767),
        attempted_at = now(),
        attempted_by = case when array_ndims(j.attempted_by) > 1 then array[${clientId}::text] else array_append(
          j.attempted_by[greatest(1, coalesce(cardinality(j.attempted_by), 0) - 98) :], ${clientId}::text) end
      where j.id = any(array(select id from candidate))
      returning j.id, j.kind, j.attempt, j.max_attempts, j.created_at,
        (select to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) as attempted_at,
        case when pg_column_size(j.args) <= ${limitOfArgs}
          and (pg_column_compression(j.args) is null or length(j.args::text) <= ${limitOfArgs}) then j.args end as args,
        case
          when j.errors is null then null
          when array_ndims(j.errors) > 1 then -1
          when array_position(j.errors, null) is null then cardinality(j.errors)
          else -1
        end as error_count,
        case when j.metadata <> '{}' then jsonb_build_object(
          'cancel_attempted_at', j.metadata -> 'cancel_attempted_at', 'snoozes', j.metadata -> 'snoozes',
          'traceparent', j.metadata -> 'traceparent', 'tracestate', j.metadata -> 'tracestate') end as metadata,
        case when j.id = (select id from candidate order by priority desc, scheduled_at desc, id desc limit 1)
          then jsonb_build_object('priority', j.priority, 'scheduled_at', j.scheduled_at, 'id', j.id::text)
          end as last
        ${detail}`
}
