/**
 * What it costs that a hundred thousand jobs of kinds that are not ours wait in our queue, before ours.
 */
import { setTimeout as sleep } from "node:timers/promises"
import type { Bench, Measured, Measurement } from "./Bench.ts"
import { drained, empty, fill, runIn } from "./Backlog.ts"
import { insertEnded } from "./BacklogCost.ts"
import { type Claims, claimsSoFar, forget, withStatistics } from "./Claims.ts"
import { number, percent } from "./Report.ts"
import type { Sql } from "./Sql.ts"
import { median } from "./Statistics.ts"
import { startWorker } from "./Worker.ts"

const foreignJobs = 100_000
const mostRounds = 3
/** Of ours, from before. */
const endedJobs = 100_000

/** Of looking at a process that finds nothing: until it has settled down, and then. */
const idle = { before: 3000, milliseconds: 5000 }
/** So often somebody tells of new jobs that are not ours. */
const chatter = 20

const variants = [
  { name: "none", dueAt: undefined },
  { name: "inserted together, due at one moment", dueAt: "now() - interval '1 hour'" },
  { name: "due one after the other", dueAt: "now() - interval '1 hour' + i * interval '1 millisecond'" }
] as const

type Variant = (typeof variants)[number]

interface Drain {
  readonly jobsPerSecond: number
  readonly claims: Claims
}

/** What claims take of a second in which none of ours waits. */
interface Idle {
  readonly claims: number
  readonly milliseconds: number
}

interface Looks {
  readonly silent: Idle
  readonly told: Idle
}

export const foreign: Measurement = {
  name: "foreign",
  run: (bench) =>
    withStatistics(bench, async (bench) => {
      const rounds = Math.min(bench.runs, mostRounds)
      const steps = (rounds + 1) * variants.length
      let step = 0
      const next = ({ name }: Variant) => bench.progress.show(`foreign kinds: ${name}`, step++, steps)

      const measured = variants.map((variant) => ({ variant, drains: new Array<Drain>() }))
      for (let round = 0; round < rounds; round++) {
        for (const { drains, variant } of measured) {
          next(variant)
          drains.push(await drain(bench, variant))
        }
      }
      const rows: Array<Row> = []
      for (const { drains, variant } of measured) {
        next(variant)
        rows.push({ variant, drains, idle: await look(bench, variant) })
      }
      return report(bench.jobs, rounds, rows)
    })
}

interface Row {
  readonly variant: Variant
  readonly drains: ReadonlyArray<Drain>
  readonly idle: Looks
}

/** As urgent as ours, and due before them. */
const insertForeign = async (sql: Sql, { dueAt }: Variant) => {
  if (dueAt !== undefined) {
    await sql.query(
      `insert into metadata.river_job (kind, queue, priority, max_attempts, args, scheduled_at)
       select 'thumbnail', 's3_signer', 1, 25, jsonb_build_object('file_id', gen_random_uuid()::text), ${dueAt}
       from generate_series(1, $1::int) i`,
      [foreignJobs]
    )
  }
  await sql.query("vacuum analyze metadata.river_job")
  await sql.query("checkpoint")
}

/** Ours, drained by a process that is started for it. */
const drain = async (bench: Bench, variant: Variant): Promise<Drain> => {
  const { sql } = bench
  const jobs = bench.jobs + runIn
  await fill(sql, jobs)
  await insertForeign(sql, variant)
  await forget(sql)
  const worker = startWorker(bench)
  await Promise.race([untilAnswered(sql), worker.diedEarly])
  const claims = await claimsSoFar(sql)
  await worker.stop()
  const { counted, from, to } = await drained(sql, jobs)
  return { jobsPerSecond: (counted * 1000) / (to - from), claims }
}

const untilAnswered = async (sql: Sql) => {
  for (;;) {
    const { open } = await sql.one<{ open: boolean }>(
      `select exists (select from metadata.file_upload_requests where status = 'pending')
         or exists (select from metadata.river_job where state = 'running') as open`
    )
    if (!open) return
    await sleep(50)
  }
}

/** What a process spends that finds none of ours: left in peace, and told of new jobs all the time. */
const look = async (bench: Bench, variant: Variant): Promise<Looks> => {
  const { sql } = bench
  await empty(sql)
  // As at any time but the first day: a kind without a single job is found missing by the look-up of kinds.
  await insertEnded(sql, endedJobs)
  await insertForeign(sql, variant)
  const worker = startWorker(bench)
  const inASecond = async (meanwhile: () => Promise<unknown>): Promise<Idle> => {
    await forget(sql)
    const end = performance.now() + idle.milliseconds
    while (performance.now() < end) await meanwhile()
    const { claims, milliseconds } = await claimsSoFar(sql)
    const seconds = idle.milliseconds / 1000
    return { claims: claims / seconds, milliseconds: milliseconds / seconds }
  }
  const measure = async () => {
    await sleep(idle.before)
    const silent = await inASecond(() => sleep(chatter))
    const told = await inASecond(async () => {
      await sql.query(`select pg_notify('metadata.river_insert', '{"queue":"s3_signer"}')`)
      await sleep(chatter)
    })
    return { silent, told }
  }
  const result = await Promise.race([measure(), worker.diedEarly])
  await worker.stop()
  return result
}

const report = (jobs: number, rounds: number, measured: ReadonlyArray<Row>): Measured => {
  const speed = ({ drains }: Row) => median(drains.map(({ jobsPerSecond }) => jobsPerSecond))
  const without = measured[0]!
  const rows = measured.map((row) => ({
    name: row.variant.name,
    jobsPerSecond: speed(row),
    // Round by round, so that a machine that is slow for a minute is slow for both.
    ofNone: median(row.drains.map((drain, i) => drain.jobsPerSecond / (without.drains[i]?.jobsPerSecond ?? NaN))),
    claims: median(row.drains.map(({ claims }) => claims.claims)),
    milliseconds: median(row.drains.map(({ claims }) => claims.milliseconds / claims.claims)),
    longest: median(row.drains.map(({ claims }) => claims.longest)),
    pages: median(row.drains.map(({ claims }) => claims.pages / claims.jobs)),
    idle: row.idle
  }))
  const least = Math.min(...rows.map(({ ofNone }) => ofNone))
  return {
    table: {
      columns: [
        `${number(foreignJobs)} foreign jobs before ours`,
        "jobs/s",
        "of none",
        "claims",
        "ms/claim",
        "longest, ms",
        "pages/job",
        "idle",
        "told of jobs"
      ],
      rows: rows.map((row) => [
        row.name,
        number(row.jobsPerSecond),
        percent(row.ofNone),
        number(row.claims),
        number(row.milliseconds, 1),
        number(row.longest),
        number(row.pages, 1),
        ofSecond(row.idle.silent),
        ofSecond(row.idle.told)
      ]),
      note:
        `${number(jobs)} jobs of ours, after a run-in of ${number(runIn)}, drained by a process as it comes; medians of ${rounds} ` +
        `rounds. Claims of the whole drain by PostgreSQL's own statistics, planning included. Idle: how many ` +
        `claims there are in a second while none of ours waits, and what they take of it; told of jobs: while a notification ` +
        `comes every ${chatter} ms that brings none of ours.`
    },
    figures: { rows },
    goals: [
      {
        goal: `behind ${number(foreignJobs)} foreign jobs a drain is at least half as fast as without: ${percent(least)}`,
        met: least >= 0.5
      }
    ]
  }
}

const ofSecond = ({ claims, milliseconds }: Idle) => `${number(claims)}, ${number(milliseconds, 1)} ms`
