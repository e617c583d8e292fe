/**
 * What claiming costs PostgreSQL, as its own statistics of statements tell, which count what a worker really sends.
 */
import { type Bench, withDatabase } from "./Bench.ts"
import type { Sql } from "./Sql.ts"

/** The cost of the claims since `forget`; times are PostgreSQL's own, planning included, in milliseconds. */
export interface Claims {
  readonly claims: number
  /** Claimed jobs. */
  readonly jobs: number
  readonly milliseconds: number
  /** The slowest of them. */
  readonly longest: number
  /** Pages that were looked at, in shared memory or not. */
  readonly pages: number
}

/** Runs a measurement on a database of its own, which counts statements: that would slow down the others'. */
export const withStatistics = <A>(bench: Bench, measure: (bench: Bench) => Promise<A>): Promise<A> => {
  const settings = { shared_preload_libraries: "pg_stat_statements", "pg_stat_statements.track_planning": "on" }
  return withDatabase(bench, { settings }, async (bench) => {
    await bench.sql.query("create extension pg_stat_statements")
    return measure(bench)
  })
}

/** Begins to count anew. */
export const forget = async (sql: Sql): Promise<void> => {
  await sql.query("select from pg_stat_statements_reset()")
}

/** Of all statements only a claim sets this column. */
export const claimsSoFar = (sql: Sql): Promise<Claims> =>
  sql.one<Claims>(
    `select coalesce(sum(calls), 0)::int as claims, coalesce(sum(rows), 0)::int as jobs,
       coalesce(sum(total_exec_time + total_plan_time), 0) as milliseconds,
       coalesce(max(max_exec_time + max_plan_time), 0) as longest,
       coalesce(sum(shared_blks_hit + shared_blks_read), 0)::float8 as pages
     from pg_stat_statements where query like '%river_job%' and query like '%attempted_at = now()%'`
  )
