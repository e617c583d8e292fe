/**
 * Drains: a process is started for jobs that wait, and ends them all. How one went, and how several compare.
 */
import type { Bench } from "./Bench.ts"
import { drained, fill, type Requests, runIn, untilDrained, uploads } from "./Backlog.ts"
import { cpuSeconds, familyCpuSeconds, memory } from "./Proc.ts"
import { megabytes, number, percent } from "./Report.ts"
import { median, medianOf } from "./Statistics.ts"
import { startWorker, type WorkerSettings } from "./Worker.ts"

/** What the README says for the highest throughput: more slots make larger statements, up to a point. */
export const bestSettings = { MAX_WORKERS: "500" }

/** How a drain went; CPU in microseconds a job. */
export interface Drain {
  readonly jobsPerSecond: number
  /** From the start of the process to the last commit. */
  readonly seconds: number
  readonly clientCpu: number | undefined
  readonly postgresCpu: number | undefined
  /** The most memory that the process had, in bytes. */
  readonly peak?: number | undefined
}

export interface DrainOptions {
  /** Uploads, unless given. */
  readonly requests?: Requests
  /** Of the process. */
  readonly settings?: WorkerSettings
  /** Is told now and then which part is done. */
  readonly tell?: (part: number) => void
}

/** Drains as many requests as the bench was told, after a run-in. */
export const drain = async (
  bench: Bench,
  { requests = uploads, settings = {}, tell = () => {} }: DrainOptions
): Promise<Drain> => {
  const { postgres, sql } = bench
  const jobs = bench.jobs + runIn
  await fill(sql, jobs, requests)
  const postgresBefore = familyCpuSeconds(postgres.pid ?? 0)
  const worker = startWorker(bench, settings)
  await Promise.race([untilDrained(sql, tell), worker.diedEarly])
  const client = cpuSeconds(worker.pid)
  const postgresAfter = familyCpuSeconds(postgres.pid ?? 0)
  const peak = memory(worker.pid)?.peak
  await worker.stop()
  const { counted, from, to } = await drained(sql, jobs, requests)
  return {
    jobsPerSecond: (counted * 1000) / (to - from),
    seconds: (to - worker.startedAt) / 1000,
    clientCpu: perJob(0, client, jobs),
    postgresCpu: perJob(postgresBefore, postgresAfter, jobs),
    peak
  }
}

/** Microseconds a job. */
export const perJob = (before: number | undefined, after: number | undefined, jobs: number): number | undefined =>
  before === undefined || after === undefined ? undefined : ((after - before) * 1e6) / jobs

/** Drains of one sort, in the order of the rounds. */
export type Drains = ReadonlyArray<Drain>

export const speed = (drains: Drains): number => median(drains.map(({ jobsPerSecond }) => jobsPerSecond))

export interface Summary {
  readonly jobsPerSecond: number
  readonly ratio: number
  readonly secondsFromStart: number | undefined
  readonly nodeCpu: number | undefined
  readonly postgresCpu: number | undefined
  readonly peakRss: number | undefined
  readonly rounds: ReadonlyArray<number>
}

/** Medians; the ratio round by round, so that a machine that is slow for a minute is slow for both. */
export const summary = (drains: Drains, reference: Drains): Summary => ({
  jobsPerSecond: speed(drains),
  ratio: median(drains.map((drain, round) => drain.jobsPerSecond / (reference[round]?.jobsPerSecond ?? NaN))),
  secondsFromStart: median(drains.map(({ seconds }) => seconds)),
  nodeCpu: medianOf(drains.map(({ clientCpu }) => clientCpu)),
  postgresCpu: medianOf(drains.map(({ postgresCpu }) => postgresCpu)),
  peakRss: medianOf(drains.map(({ peak }) => peak)),
  rounds: drains.map(({ jobsPerSecond }) => jobsPerSecond)
})

/** The columns of a table of drains; the ratio is one to what `of` names. */
export const columns = (jobs: number, of: string): ReadonlyArray<string> => [
  `${number(jobs)} waiting jobs`,
  "jobs/s",
  "worst and best",
  of,
  "from start, s",
  "CPU node, µs/job",
  "CPU PostgreSQL, µs/job",
  "peak RSS, MB"
]

export const row = (name: string, drains: Summary): ReadonlyArray<string> => [
  name,
  number(drains.jobsPerSecond),
  `${number(Math.min(...drains.rounds))} – ${number(Math.max(...drains.rounds))}`,
  percent(drains.ratio),
  number(drains.secondsFromStart, 1),
  number(drains.nodeCpu),
  number(drains.postgresCpu),
  megabytes(drains.peakRss)
]
