/**
 * Waiting jobs, made as users make them, and how long it took until the last of them was answered.
 */
import { setTimeout as sleep } from "node:timers/promises"
import type { Sql } from "./Sql.ts"

/** What is asked for in a drain. */
export interface Requests {
  /** Of the requests. */
  readonly table: string
  /** Makes `$1` requests; the triggers on the table make their jobs. */
  readonly insert: string
  /** Whether the request `r` has the URL that it should have. */
  readonly answered: string
}

export const uploads: Requests = {
  table: "metadata.file_upload_requests",
  insert: `
    insert into metadata.file_upload_requests (entity_type, entity_id, file_name, file_type)
    select 'documents', gen_random_uuid()::text, 'photo ' || i || '.jpeg', 'image/jpeg' from generate_series(1, $1::int) i`,
  answered: `r.presigned_url like '%/' || r.file_id || '/original.jpeg?%' and r.presigned_url like '%X-Amz-Signature=%'`
}

/** The same state before every drain: empty tables, `jobs` requests through the trigger, fresh statistics, no checkpoint due. */
export const fill = async (sql: Sql, jobs: number, { insert, table }: Requests = uploads): Promise<void> => {
  await empty(sql)
  await sql.query(insert, [jobs])
  await sql.query(`vacuum analyze ${table}`)
  await sql.query("vacuum analyze metadata.river_job")
  await sql.query("checkpoint")
}

/** Of downloads too, where there is a table of them. */
export const empty = async (sql: Sql): Promise<void> => {
  const { tables } = await sql.one<{ tables: string }>(
    `select string_agg(oid::regclass::text, ', ') as tables from pg_class where relnamespace = 'metadata'::regnamespace
       and relname in ('river_job', 'file_upload_requests', 'file_download_requests')`
  )
  await sql.query(`truncate ${tables}`)
}

/** A drain in which nothing moves for so long has failed. */
const patience = 60_000

/**
 * Waits until no job is left, telling now and then which part is done.
 *
 * It looks at twenty jobs by their primary key, ten times a second: counting them all would slow down what it watches.
 */
export const untilDrained = async (sql: Sql, tell: (part: number) => void): Promise<void> => {
  const { ids } = await sql.one<{ ids: ReadonlyArray<string> }>(
    `select array_agg(id::text) as ids from (
       select max(id) as id from (select id, ntile(20) over (order by id) as part from metadata.river_job) j group by part
     ) last_of_part`
  )
  let before = { done: 0, at: Date.now() }
  for (;;) {
    const { done } = await sql.one<{ done: number }>(
      `select count(*)::int as done from metadata.river_job where id = any($1::bigint[]) and state = 'completed'`,
      [ids]
    )
    tell(done / ids.length)
    if (done === ids.length && (await left(sql)) === 0) return
    if (done > before.done) before = { done, at: Date.now() }
    if (Date.now() - before.at > patience) throw new Error(`no job was answered for ${patience / 1000} seconds`)
    await sleep(100)
  }
}

const left = async (sql: Sql): Promise<number> => {
  const { count } = await sql.one<{ count: number }>(
    `select count(*)::int as count from metadata.river_job where state in ('available', 'running', 'retryable')`
  )
  return count
}

/**
 * The first jobs of a drain, which its speed leaves out: a process compiles its code and opens its connections while it
 * works them, once in its life.
 */
export const runIn = 3000

/** When, by the clock of the machine, milliseconds since the epoch. */
export interface Drained {
  /** The settlement of the last job of the run-in was committed. */
  readonly from: number
  /** The last settlement was committed; `finalized_at` would leave out the statement itself. */
  readonly to: number
  /** Jobs settled between the two. */
  readonly counted: number
}

/** How long the drain took; fails unless every request has its URL and every job needed one attempt. */
export const drained = async (
  sql: Sql,
  jobs: number,
  { answered: isAnswered, table }: Requests = uploads
): Promise<Drained> => {
  const { answered, completed, counted, from, to } = await sql.one<{
    completed: number
    answered: number
    from: number
    to: number
    counted: number
  }>(
    `with job as (
       select j.state = 'completed' and j.attempt = 1 as completed,
         r.status = 'completed' and ${isAnswered} as answered,
         extract(epoch from pg_xact_commit_timestamp(j.xmin))::float8 * 1000 as at
       from ${table} r join metadata.river_job j on (j.args ->> 'request_id')::uuid = r.id
     ), run_in as (select coalesce((select at from job order by at offset $1 limit 1), 0) as ended)
     select count(*) filter (where completed)::int as completed, count(*) filter (where answered)::int as answered,
       max(ended) as from, max(at) as to, count(*) filter (where at > ended)::int as counted
     from job, run_in`,
    [runIn - 1]
  )
  if (completed !== jobs || answered !== jobs) {
    throw new Error(`of ${jobs} requests ${answered} have a URL and ${completed} jobs completed at their first attempt`)
  }
  return { from, to, counted }
}
