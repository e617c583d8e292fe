/**
 * Maintenance of jobs that nobody is working: the scheduler's, the rescuer's and the cleaner's statements, for our kinds
 * in one queue.
 *
 * All skip what others hold, take a bounded batch, and decide by the database's clock. A job that they end is ended
 * together with its kind's own row.
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Changed } from "../maintenance/Chore.ts"
import type { RowEffect } from "../Worker.ts"
import type { Tables } from "./river_job.ts"
import { effectSql } from "./row_effect.ts"

/** Whose jobs a statement is about, and what their end means for rows of the kind's own. */
interface Kind {
  readonly kind: string
  readonly effect?: RowEffect | undefined
}

const interval = (duration: Duration.Duration) => `${Math.round(Duration.toMillis(duration))} milliseconds`

/** A kind that has jobs for a chore. */
export interface FoundKind {
  readonly kind: string
}

export interface JobSchedule {
  readonly ahead: Duration.Duration
  /** Where clients hear of new jobs. */
  readonly channel: string
  readonly limit: number
  readonly queue: string
}

/** Whether {@link jobSchedule} is about the job `j`, by the input `i`. */
const isDue = `j.state in ('retryable', 'scheduled') and j.queue = i.queue and j.kind = i.kind
        and j.scheduled_at <= now() + i.ahead`

export interface JobKindsDue extends Pick<JobSchedule, "ahead" | "queue"> {
  readonly kinds: ReadonlyArray<string>
}

/** Those of the kinds that there are jobs of for {@link jobSchedule}, held by others or not. */
export const jobKindsDue = (sql: SqlClient, { river_job }: Tables) => {
  const found = sql.literal(`exists (select from ${river_job} j where ${isDue})`)
  return ({ ahead, kinds, queue }: JobKindsDue): Effect.Effect<ReadonlyArray<FoundKind>, SqlError> =>
    sql<FoundKind>`
      with input as (
        select ${queue}::text as queue, kind, ${interval(ahead)}::interval as ahead from unnest(${kinds}::text[]) kind
      )
      select i.kind from input i where ${found}`
}

/**
 * Makes due `retryable` and `scheduled` jobs `available`, looking `ahead`; `scheduled_at` stays, and a claim tests it.
 * Who listens is told when there are some that are due already.
 *
 * A unique job whose key is taken, by a row in a state that its own mask names or by an earlier one of the batch, is
 * discarded with River's mark in its metadata: made available it would violate the unique index and hold up the rest.
 */
export const jobSchedule = (sql: SqlClient, tables: Tables, { effect, kind }: Kind) => {
  const { river_job, river_job_state, river_job_state_in_bitmask } = tables
  const { apply, free, key, lookup, row } = effectSql(effect)
  const statement = sql.literal(`
    due as materialized (
      select j.id, j.ctid as tid, j.unique_key, j.unique_states, ${key} as subject, j.priority, j.scheduled_at
      from ${river_job} j cross join input i
      where ${isDue}
      order by j.priority, j.scheduled_at, j.id
      limit (select batch from input)
      for update of j skip locked
    ),
    judged as (
      select d.*, d.unique_key is not null and d.unique_states is not null and (
        exists (select from ${river_job} o where o.unique_key = d.unique_key and o.id <> d.id
          and o.unique_states is not null and ${river_job_state_in_bitmask}(o.unique_states, o.state)
          and o.id not in (select id from due))
        or row_number() over (partition by d.unique_key order by d.priority, d.scheduled_at, d.id) > 1
      ) as dead
      from due d
    ),
    member as (select j.*, case when dead then subject end as key from judged j),
    target as materialized (select m.*, ${free} as free, ${row} as row_tid from member m ${lookup}),
    done as (
      update ${river_job} j set
        state = (case when t.dead then 'discarded' else 'available' end)::${river_job_state},
        finalized_at = case when t.dead then now() end,
        metadata = case when t.dead and jsonb_typeof(j.metadata) = 'object'
          then j.metadata || '{"unique_key_conflict": "scheduler_discarded"}' else j.metadata end
      from target t
      where j.ctid = t.tid and j.id = t.id and (t.free or not t.dead)
      returning t.id, t.dead, t.key, t.row_tid, t.scheduled_at <= now() + interval '5 milliseconds' as due, 'another job with the same unique key took its place' as message
    ),
    dead as (select * from done where dead),
    applied as (${apply("onDead", "dead")})
    -- The second column is there to have the notification sent.
    select count(*)::int as count, case when bool_or(due and not dead) then
      pg_notify((select channel from input), jsonb_build_object('queue', (select queue from input))::text) end is null as untold
    from done`)

  return (options: JobSchedule) =>
    sql<Changed>`
      with input as (
        select ${options.channel}::text as channel, ${options.queue}::text as queue, ${kind}::text as kind, ${interval(options.ahead)}::interval as ahead,
          ${options.limit}::int as batch
      ),${statement}` satisfies Effect.Effect<ReadonlyArray<Changed>, SqlError>
}

export interface JobRescue {
  /** Matches the ids of our own clients. */
  readonly clientPattern: string
  /** How long a job last claimed by one of our clients may run. */
  readonly stuckAfter: Duration.Duration
  /** How long a job last claimed by anybody else may run: River's hour. */
  readonly stuckAfterElsewhere: Duration.Duration
  /** Jobs that this client is itself running or settling. */
  readonly held: ReadonlyArray<bigint>
  /** Only jobs with higher ids. */
  readonly beyond: bigint
  readonly limit: number
  readonly queue: string
}

export interface Rescued extends Changed {
  /** The last id that was looked at, when there may be more jobs behind it; some may have been left, because held. */
  readonly last: bigint | null
}

/** Whether {@link jobRescue} is about the job `j`, by the input `i`. */
const isStuck = `j.state = 'running' and j.queue = i.queue and j.kind = i.kind
        and coalesce(j.attempted_at, j.created_at) < now() - case
          when j.attempted_by[cardinality(j.attempted_by)] ~ i.client_pattern then i.stuck_after
          else i.stuck_after_elsewhere
        end
        and j.id <> all(i.held)`

export interface JobKindsStuck extends Pick<JobRescue, "clientPattern" | "held" | "queue" | "stuckAfterElsewhere"> {
  readonly kinds: ReadonlyArray<Pick<JobRescue, "stuckAfter"> & { readonly kind: string }>
}

/** Those of the kinds that there are jobs of for {@link jobRescue}, locked or not. */
export const jobKindsStuck = (sql: SqlClient, { river_job }: Tables) => {
  const found = sql.literal(`exists (select from ${river_job} j where ${isStuck})`)
  return ({
    clientPattern,
    held,
    kinds,
    queue,
    stuckAfterElsewhere
  }: JobKindsStuck): Effect.Effect<ReadonlyArray<FoundKind>, SqlError> =>
    sql<FoundKind>`
      with input as (
        select ${queue}::text as queue, k.kind, ${clientPattern}::text as client_pattern, k.stuck_after,
          ${interval(stuckAfterElsewhere)}::interval as stuck_after_elsewhere, ${held}::bigint[] as held
        from unnest(${kinds.map(({ kind }) => kind)}::text[],
          ${kinds.map(({ stuckAfter }) => interval(stuckAfter))}::interval[]) as k(kind, stuck_after)
      )
      select i.kind from input i where ${found}`
}

/**
 * Ends the attempts of jobs that have been running for too long: their client is dead, or never heard of its claim.
 *
 * It counts as a failed attempt, with River's error text and `river:rescue_count`, except that the job is available
 * again at once, because its user is waiting. At the last attempt it is discarded; a job that somebody asked to cancel
 * is cancelled. A job whose own row somebody holds is left for later: its client may be alive and waiting for that row.
 */
export const jobRescue = (sql: SqlClient, { river_job, river_job_state }: Tables, { effect, kind }: Kind) => {
  const { apply, free, key, lookup, row } = effectSql(effect)
  const statement = sql.literal(`
    stuck as materialized (
      select j.id, j.ctid as tid, j.attempt, ${key} as key,
        case
          when jsonb_typeof(j.metadata) = 'object' and j.metadata ? 'cancel_attempted_at' then 'cancelled'
          when j.attempt >= j.max_attempts then 'discarded'
          else 'available'
        end as state
      from ${river_job} j cross join input i
      where ${isStuck} and j.id > i.beyond
      order by j.id
      limit (select batch from input)
      for update of j skip locked
    ),
    member as (select *, state <> 'available' as dead from stuck),
    target as materialized (select m.*, ${free} as free, ${row} as row_tid from member m ${lookup}),
    done as (
      update ${river_job} j set
        state = t.state::${river_job_state},
        errors = case when array_ndims(j.errors) > 1 then j.errors else array_append(j.errors, jsonb_build_object(
          'at', to_char(now() at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
          'attempt', j.attempt, 'error', 'Stuck job rescued by JobRescuer', 'trace', '')) end,
        finalized_at = case when t.dead then now() end,
        scheduled_at = case when t.dead then j.scheduled_at else now() end,
        metadata = case when jsonb_typeof(j.metadata) <> 'object' then j.metadata
          else j.metadata || jsonb_build_object('river:rescue_count', 1 + case
            when jsonb_typeof(j.metadata -> 'river:rescue_count') = 'number'
            then trunc((j.metadata ->> 'river:rescue_count')::numeric) else 0 end) end
      from target t
      where j.ctid = t.tid and j.id = t.id and t.free
      returning t.id, t.dead, t.key, t.row_tid, case t.state when 'cancelled' then 'the job was cancelled'
        else 'the job was given up: its worker was lost in each of ' || t.attempt || ' attempts' end as message
    ),
    dead as (select * from done where dead),
    applied as (${apply("onDead", "dead")})
    select (select count(*)::int from done) as count,
      case when count(*) = (select batch from input) then max(id) end as last
    from stuck`)

  return (options: JobRescue) =>
    sql<Rescued>`
      with input as (
        select ${options.queue}::text as queue, ${kind}::text as kind, ${options.clientPattern}::text as client_pattern,
          ${interval(options.stuckAfter)}::interval as stuck_after,
          ${interval(options.stuckAfterElsewhere)}::interval as stuck_after_elsewhere,
          ${options.held}::bigint[] as held, ${options.beyond}::bigint as beyond, ${options.limit}::int as batch
      ),${statement}` satisfies Effect.Effect<ReadonlyArray<Rescued>, SqlError>
}

export interface JobDeleteBefore {
  readonly kinds: ReadonlyArray<string>
  readonly limit: number
  readonly queue: string
  /** How long a job is kept after its end. */
  readonly retention: Readonly<Record<"cancelled" | "completed" | "discarded", Duration.Duration>>
  /** So many of the jobs that are due are left out. */
  readonly skip: number
}

/**
 * Deletes jobs that ended long ago, the oldest of each state first, without a word to their kinds' own rows.
 *
 * Each state is a walk along the index of ended jobs. The deletion goes by the ids of an array, which leaves the planner
 * no choice but the primary key.
 */
export const jobDeleteBefore = (sql: SqlClient, { river_job, river_job_state }: Tables) => {
  const table = sql.literal(river_job)
  const states = sql.literal(`${river_job_state}[]`)
  return ({ kinds, limit, queue, retention, skip }: JobDeleteBefore): Effect.Effect<ReadonlyArray<Changed>, SqlError> =>
    sql<Changed>`
      with old as materialized (
        select j.id
        from unnest(${Object.keys(retention)}::${states}, ${Object.values(retention).map(interval)}::interval[])
          as s(state, retention)
        cross join lateral (
          select j.id from ${table} j
          where j.state = s.state and j.finalized_at < now() - s.retention
            and j.queue = ${queue} and j.kind = any(${kinds}::text[])
          order by j.finalized_at limit ${limit + skip} for update skip locked
        ) j
        limit ${limit} offset ${skip}
      ),
      done as (delete from ${table} j where j.id = any(array(select id from old)) returning j.id)
      select count(*)::int as count from done`
}
