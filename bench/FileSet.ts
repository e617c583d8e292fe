/**
 * How long one job works that signs downloads of a thousand files.
 */
import { performance } from "node:perf_hooks"
import { setTimeout as sleep } from "node:timers/promises"
import { type Bench, type Measured, type Measurement, withDatabase } from "./Bench.ts"
import { empty } from "./Backlog.ts"
import { insertFiles } from "./Downloads.ts"
import { number } from "./Report.ts"
import { signDownloads } from "./Signing.ts"
import type { Sql } from "./Sql.ts"
import { median } from "./Statistics.ts"
import { startWorker } from "./Worker.ts"

const files = 1000
/** Jobs of a process, one after the other. */
const jobs = 20

export const set: Measurement = {
  name: "set",
  run: (bench) =>
    withDatabase(bench, { downloads: true }, async (bench) => {
      const { progress, runs, sql } = bench
      await insertFiles(sql, files)
      const processes: Array<ReadonlyArray<Job>> = []
      for (let run = 0; run < runs; run++) {
        processes.push(await inOneProcess(bench, (job) => progress.show("set of files", run * jobs + job, runs * jobs)))
      }
      return measured(processes, await signDownloads(await filesOf(sql), runs * jobs))
    })
}

/** Milliseconds. */
interface Job {
  /** The user's call. */
  readonly call: number
  /** By the job's row: from its claim to its attempt's end. */
  readonly work: number
  /** From its claim until its answer was committed. */
  readonly answered: number
  /** Reading all the URLs. */
  readonly read: number
}

/** The jobs of a process that is started for them. */
const inOneProcess = async (bench: Bench, tell: (job: number) => void): Promise<ReadonlyArray<Job>> => {
  const { sql } = bench
  await empty(sql)
  const worker = startWorker(bench)
  const work = async () => {
    const measured: Array<Job> = []
    for (let job = 0; job < jobs; job++) {
      tell(job)
      await sleep(20 + Math.random() * 40)
      measured.push(await one(sql))
    }
    return measured
  }
  const measured = await Promise.race([work(), worker.diedEarly])
  await worker.stop()
  return measured
}

const one = async (sql: Sql): Promise<Job> => {
  const calledAt = performance.now()
  const { id } = await sql.one<{ id: string }>(
    "select public.request_download_urls((select array_agg(id) from metadata.files))::text as id"
  )
  const call = performance.now() - calledAt
  const { answered, work } = await untilAnswered(sql, id)
  const readAt = performance.now()
  const answers = await sql.query<{ url: string | null }>("select * from public.get_download_url($1::uuid)", [id])
  const read = performance.now() - readAt
  const signed = answers.filter(({ url }) => url?.includes("X-Amz-Signature=") === true)
  if (signed.length !== files) throw new Error(`of ${files} files ${signed.length} have a URL`)
  return { call, work, answered, read }
}

const untilAnswered = async (sql: Sql, id: string): Promise<Pick<Job, "answered" | "work">> => {
  const deadline = performance.now() + 10_000
  for (;;) {
    const { answered, attempt, status, work } = await sql.one<{
      status: string
      attempt: number
      work: number
      answered: number
    }>(
      `select r.status, j.attempt::int as attempt, extract(epoch from j.finalized_at - j.attempted_at)::float8 * 1000 as work,
         extract(epoch from pg_xact_commit_timestamp(r.xmin) - j.attempted_at)::float8 * 1000 as answered
       from metadata.file_download_requests r join metadata.river_job j on (j.args ->> 'request_id')::uuid = r.id
       where r.id = $1::uuid`,
      [id]
    )
    if (status === "completed" && attempt === 1) return { work, answered }
    if (status === "failed" || attempt > 1 || performance.now() > deadline) {
      throw new Error(`the request is ${status} in attempt ${attempt}`)
    }
    await sleep(10)
  }
}

const filesOf = (sql: Sql) =>
  sql.query<{ key: string; name: string; type: string }>(
    "select s3_original_key as key, file_name as name, file_type as type from metadata.files"
  )

/** Milliseconds of work. */
const goal = 50

const measured = (processes: ReadonlyArray<ReadonlyArray<Job>>, signing: ReadonlyArray<number>): Measured => {
  const all = processes.flat()
  const of = (what: keyof Job) => ({
    median: median(all.map((job) => job[what])),
    worst: Math.max(...all.map((job) => job[what])),
    first: median(processes.flatMap((jobs) => jobs.slice(0, 1).map((job) => job[what])))
  })
  const figures = {
    work: of("work"),
    signing: { median: median(signing), worst: Math.max(...signing), first: signing[0] },
    answered: of("answered"),
    call: of("call"),
    read: of("read")
  }
  const row = (name: string, { first, median, worst }: (typeof figures)["signing"]) => [
    name,
    number(median, 1),
    number(worst, 1),
    number(first, 1)
  ]
  return {
    table: {
      columns: [`downloads of ${number(files)} files in one call, ms`, "median", "worst", "first of a process"],
      rows: [
        row("the job's work, from its claim to its end", figures.work),
        row("signing alone", figures.signing),
        row("from its claim until the URLs are committed", figures.answered),
        row("the call that asks for them", figures.call),
        row("reading them", figures.read)
      ],
      note:
        `${number(all.length)} jobs, one after the other, ${jobs} in each of ${processes.length} processes; work and claim by the times in the ` +
        `job's row. Signing alone is measured in the bench's own process.`
    },
    figures,
    goals: [
      {
        goal: `${number(files)} files are signed in under ${goal} ms of work at the median: ${number(figures.work.median, 1)} ms, ${number(figures.work.worst, 1)} ms at worst`,
        met: figures.work.median < goal
      }
    ]
  }
}
