/**
 * Claiming: the statement on `river_job` that turns waiting jobs into running ones.
 */
import type * as Effect from "effect/Effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Job } from "../Job.ts"

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
    river_job_state_in_bitmask: `${quoted}.river_job_state_in_bitmask`
  }
}

export type Tables = ReturnType<typeof tables>

/** Whose jobs a claim takes, and how many. */
export interface JobGetAvailable {
  readonly clientId: string
  readonly kinds: ReadonlyArray<string>
  readonly limit: number
  readonly queue: string
}

/**
 * Claims up to `limit` due jobs of these kinds: priority first, then due time, then id; what another client holds is
 * left alone.
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
  return ({ clientId, kinds, limit, queue }: JobGetAvailable): Effect.Effect<ReadonlyArray<Job>, SqlError> =>
    sql<Job>`
      with candidate as materialized (
        select id from ${table}
        where state = 'available' and queue = ${queue} and scheduled_at <= now() and kind = any(${kinds}::text[])
        order by priority, scheduled_at, id
        limit ${limit}
        for update skip locked
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
          'traceparent', j.metadata -> 'traceparent', 'tracestate', j.metadata -> 'tracestate') end as metadata
        ${detail}`
}
