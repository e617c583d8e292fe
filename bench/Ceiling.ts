/**
 * The raw limit: what PostgreSQL allows anyone who claims jobs and writes URLs of the same size, with two plain
 * statements, no fence, no signing and nothing that could fail, at the batch size and number of connections that suit
 * this machine best.
 */
import { performance } from "node:perf_hooks"
import type { Bench } from "./Bench.ts"
import { drained, fill, runIn } from "./Backlog.ts"
import { type Drain, perJob } from "./Drain.ts"
import { familyCpuSeconds } from "./Proc.ts"
import type { Sql } from "./Sql.ts"

export interface Shape {
  /** Jobs in one statement. */
  readonly batch: number
  /** Connections that claim and settle side by side. */
  readonly lanes: number
}

export const shapes: ReadonlyArray<Shape> = [100, 300, 500, 1000].flatMap((batch) =>
  [1, 2, 4].map((lanes) => ({ batch, lanes }))
)

export const drainRaw = async ({ postgres, sql }: Bench, measured: number, shape: Shape): Promise<Drain> => {
  const { batch, lanes } = shape
  const jobs = measured + runIn
  await fill(sql, jobs)
  const postgresBefore = familyCpuSeconds(postgres.pid ?? 0)
  const clientBefore = process.cpuUsage()
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: lanes }, () => lane(sql, batch)))
  const seconds = (performance.now() - startedAt) / 1000
  const client = process.cpuUsage(clientBefore)
  const postgresAfter = familyCpuSeconds(postgres.pid ?? 0)
  const { counted, from, to } = await drained(sql, jobs)
  return {
    jobsPerSecond: (counted * 1000) / (to - from),
    seconds,
    clientCpu: (client.user + client.system) / jobs,
    postgresCpu: perJob(postgresBefore, postgresAfter, jobs)
  }
}

const lane = async (sql: Sql, batch: number): Promise<void> => {
  for (;;) {
    const jobs = await sql.query<{ id: bigint; request: string }>(claim, [batch])
    if (jobs.length === 0) return
    await sql.query(settle, [
      jobs.map(({ id }) => id),
      jobs.map(({ request }) => request),
      jobs.map(({ request }) => key(request)),
      jobs.map(({ request }) => `https://s3.us-east-1.amazonaws.com/civic-os-files/${key(request)}?${query}`)
    ])
  }
}

const claim = `
  update metadata.river_job set
    state = 'running', attempt = attempt + 1, attempted_at = now(), attempted_by = array_append(attempted_by, 'bench')
  where id = any(array(
    select id from metadata.river_job
    where state = 'available' and queue = 's3_signer' and scheduled_at <= now()
    order by priority, scheduled_at, id limit $1 for update skip locked))
  returning id, args ->> 'request_id' as request`

/** The look-up by primary key is what the planner does not find by itself when it guesses the size of an array. */
const settle = `
  with done as (
    update metadata.river_job set state = 'completed', finalized_at = now() where id = any($1::bigint[])
  )
  update metadata.file_upload_requests r set status = 'completed', s3_key = i.key, presigned_url = i.url, file_id = i.id
  from (
    select i.*, found.tid from unnest($2::uuid[], $3::text[], $4::text[]) as i(id, key, url)
    cross join lateral (
      select ctid as tid from metadata.file_upload_requests where id = i.id offset 0
    ) found
  ) i
  where r.ctid = i.tid`

const key = (request: string) => `documents/${request}/${request}/original.jpeg`

/** As long as a real one. */
const query = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&X-Amz-Credential=\
AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=900\
&X-Amz-Signature=${"0".repeat(64)}&X-Amz-SignedHeaders=host&x-id=PutObject`
