/**
 * Settling: the two statements that end claims, many in one, together with what their kind writes elsewhere.
 *
 * Both go the same way. `input` is what the client hands over. `member` locks, in id order and skipping what others
 * hold, the jobs that are still *this claim's*: the fence. `target` finds and locks the kind's own rows. `done` writes
 * the jobs, `applied` the kind's rows, fed from `done` alone. A row that changed between the snapshot and its lock is
 * not found by its `ctid` and stays as it is.
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Job } from "../Job.ts"
import type { Change } from "../Outcome.ts"
import { type Result, type RowEffect, textOf } from "../Worker.ts"
import type { Tables } from "./river_job.ts"
import { effectSql } from "./row_effect.ts"

/** The end of one attempt. */
export interface Ended {
  readonly job: Job
  /** Milliseconds since the attempt ended. Ages travel, not instants: the database's clock is the only one written. */
  readonly age: number
  /** Metadata that the worker recorded, merged into the job's. */
  readonly metadata: Readonly<Record<string, unknown>> | undefined
}

export interface JobCompleted extends Ended {
  readonly result: Result
}

export interface JobChanged extends Ended {
  readonly change: Change
  /** The attempt's start by this client's clock, milliseconds since the epoch. */
  readonly startedAt: number
}

/**
 * What became of a member; settled members get no row.
 *
 * `busy`: somebody holds the job's or the kind's row, try again. `lost`: the claim is no longer current, nothing was
 * written. `missing`: the kind's row is gone, the job is cancelled. `already`: settled, the kind's row needed no write.
 * `unwritten`: settled, and something of the table's own, a trigger or a policy, kept the row from being written.
 */
export interface Verdict {
  readonly id: bigint
  /** With the id, which claim it was: a batch may hold an old and a new claim of one job. */
  readonly attempted_at: string
  readonly verdict: "busy" | "lost" | "missing" | "already" | "unwritten"
}

/** Holds while the row `j` is still the claim `i` of the client. The state is compared as text so that no index on it is used. */
const fence = `j.id = i.id and j.attempt = i.attempt and j.attempted_at = i.attempted_at::timestamptz
  and j.attempted_by[cardinality(j.attempted_by)] = i.client_id and j.state::text = 'running'`

const age = "now() - i.age * interval '1 millisecond'"

const merge = `case when i.metadata = '' or jsonb_typeof(j.metadata) <> 'object' then j.metadata
  else j.metadata || i.metadata::jsonb end`

/** Completes jobs, and applies their kind's `onCompleted`; a job whose row is gone ends `cancelled` with that reason. */
export const jobSetStateCompleted = (
  sql: SqlClient,
  { river_job, river_job_state }: Tables,
  effect: RowEffect | undefined
) => {
  const { apply, found, free, lookup, open, row, subject } = effectSql(effect)
  const types = effect?.columns ?? {}
  const names = Object.keys(types)
  const missing = `jsonb_build_object('at', ${utc("j.attempted_at")}, 'attempt', i.attempt, 'error', i.missing, 'trace', '')`
  const inputs = sql.literal(["id", "attempt", "attempted_at", "age", "metadata", "subject", ...names].join(", "))
  const statement = sql.literal(`
    member as materialized (
      select i.*, l.tid, ${subject} as key from (select * from input order by id) i
      cross join lateral (
        select j.ctid as tid from ${river_job} j where ${fence} for update skip locked
      ) l
    ),
    target as materialized (select m.*, ${found} as found, ${open} as open, ${free} as free, ${row} as row_tid from member m ${lookup}),
    done as (
      update ${river_job} j set
        state = (case when i.found then 'completed' else 'cancelled' end)::${river_job_state},
        finalized_at = ${age},
        errors = case when i.found then j.errors else array_append(j.errors, ${missing}) end,
        metadata = ${merge}
      from target i
      where j.ctid = i.tid and j.id = i.id and i.free
      returning i.*
    ),
    applied as (${apply("onCompleted", "done")})
    select i.id, i.attempted_at, case when exists (select from ${river_job} j where ${fence}) then 'busy' else 'lost' end as verdict
    from input i where i.id not in (select id from done)
    union all select id, attempted_at, 'missing' from done where not found
    union all select id, attempted_at,
      case when open and row_tid not in (select row_tid from applied) then 'unwritten' else 'already' end
    from done where found and row_tid is not null and id not in (select id from applied)`)

  return (clientId: string, members: ReadonlyArray<JobCompleted>): Effect.Effect<ReadonlyArray<Verdict>, SqlError> =>
    sql<Verdict>`
      with input as materialized (
        select *, ${clientId}::text as client_id, ${`JobCancelError: ${effect?.missing ?? ""}`}::text as missing
        from unnest(${arrays(sql, [
          ["bigint", members.map(({ job }) => job.id)],
          ["int", members.map(({ job }) => job.attempt)],
          ["text", members.map(({ job }) => job.attempted_at)],
          ["int", members.map(({ age }) => age)],
          ["text", members.map(({ metadata }) => (metadata === undefined ? "" : JSON.stringify(metadata)))],
          ["text", members.map(({ job }) => effect?.keyOf(job.args) ?? "")],
          ...names.map((name) => [types[name] ?? "text", members.map(({ result }) => textOf(result, name))] as const)
        ])}) as i(${inputs})
      ),${statement}`
}

/**
 * One array a column, as scalar subqueries: so the planner does not see how long they are, and plans the first batch as
 * well as the thousandth.
 */
const arrays = (sql: SqlClient, columns: ReadonlyArray<readonly [type: string, values: ReadonlyArray<unknown>]>) =>
  sql.join(", ", false)(columns.map(([type, values]) => sql`(select ${values}::${sql.literal(type)}[])`))

/** Writes every other outcome, and applies the kind's `onDead` to jobs that end `discarded` or `cancelled`. */
export const jobSetStateChanged = (
  sql: SqlClient,
  { river_job, river_job_state }: Tables,
  effect: RowEffect | undefined
) => {
  const { apply, free, key, lookup, row } = effectSql(effect)
  const statement = sql.literal(`
    member as materialized (
      select i.*, l.tid, l.cancel, case when l.cancel then 'cancelled' else i.wanted end as state,
        l.cancel or i.wanted in ('cancelled', 'discarded') as dead,
        case when l.cancel or i.wanted in ('cancelled', 'discarded') then l.key end as key,
        case when l.cancel then 'the job was cancelled' else i.reason end as message
      from (select * from input order by id) i
      cross join lateral (
        select j.ctid as tid, ${key} as key,
          i.wanted in ('available', 'retryable', 'scheduled') and jsonb_typeof(j.metadata) = 'object'
            and j.metadata ? 'cancel_attempted_at' as cancel
        from ${river_job} j where ${fence} for update skip locked
      ) l
    ),
    target as materialized (select m.*, ${free} as free, ${row} as row_tid from member m ${lookup}),
    done as (
      update ${river_job} j set
        state = i.state::${river_job_state},
        attempt = case when i.cancel or i.new_attempt < 0 then j.attempt else i.new_attempt end,
        errors = case when i.error = '' or array_ndims(j.errors) > 1 then j.errors else array_append(j.errors, i.error::jsonb) end,
        finalized_at = case when i.cancel then now() when i.dead then ${age} end,
        scheduled_at = case when i.cancel or i.delay = '' then j.scheduled_at
          else ${age} + i.delay::bigint * interval '1 millisecond' end,
        metadata = ${merge}
      from target i
      where j.ctid = i.tid and j.id = i.id and (i.free or not i.dead)
      returning i.*
    ),
    dead as (select * from done where dead),
    applied as (${apply("onDead", "dead")})
    select i.id, i.attempted_at, case when exists (select from ${river_job} j where ${fence}) then 'busy' else 'lost' end as verdict
    from input i where i.id not in (select id from done)`)

  return (clientId: string, members: ReadonlyArray<JobChanged>): Effect.Effect<ReadonlyArray<Verdict>, SqlError> => {
    return sql<Verdict>`
      with input as materialized (
        select *, ${clientId}::text as client_id from unnest(${arrays(sql, [
          ["bigint", members.map(({ job }) => job.id)],
          ["int", members.map(({ job }) => job.attempt)],
          ["text", members.map(({ job }) => job.attempted_at)],
          ["int", members.map(({ age }) => age)],
          ["text", members.map(({ change }) => change.state)],
          ["int", members.map(({ change }) => change.attempt ?? -1)],
          ["text", members.map(({ change }) => (change.delay === undefined ? "" : millis(change.delay)))],
          ["text", members.map(errorJson)],
          ["text", members.map(({ change }) => change.message ?? "")],
          ["text", members.map(metadataJson)]
        ])}) as i(id, attempt, attempted_at, age, wanted, new_attempt, delay, error, reason, metadata)
      ),${statement}`
  }
}

const errorJson = ({ change, job, startedAt }: JobChanged) =>
  change.error === undefined
    ? ""
    : JSON.stringify({ at: new Date(startedAt).toISOString(), attempt: job.attempt, ...change.error })

const metadataJson = ({ change, metadata }: JobChanged) =>
  change.metadata === undefined && metadata === undefined ? "" : JSON.stringify({ ...metadata, ...change.metadata })

const millis = (duration: Duration.Duration) => String(Math.round(Duration.toMillis(duration)))

/** An instant as RFC 3339 in UTC, whatever the session's time zone. */
const utc = (instant: string) => `to_char((${instant}) at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
