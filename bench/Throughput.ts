/**
 * How many waiting jobs one process answers in a second, beside the raw limit of the same database in the same minutes.
 */
import { type Bench, type Measured, type Measurement } from "./Bench.ts"
import { drained, fill, runIn, untilDrained } from "./Backlog.ts"
import { type Drain, drainRaw, perJob, type Shape, shapes } from "./Ceiling.ts"
import { cpuSeconds, familyCpuSeconds, memory } from "./Proc.ts"
import { megabytes, number, percent } from "./Report.ts"
import { median, medianOf } from "./Statistics.ts"
import { startWorker } from "./Worker.ts"

/** What the README says for the highest throughput: more slots make larger statements, up to a point. */
export const bestSettings = { MAX_WORKERS: "500" }

const variants = [
  { name: "as it comes", settings: {} },
  { name: "`MAX_WORKERS=500`", settings: bestSettings },
  { name: "`S3_PRESIGNER=sdk`", settings: { S3_PRESIGNER: "sdk" } },
  { name: "both", settings: { ...bestSettings, S3_PRESIGNER: "sdk" } }
]

export const throughput: Measurement = {
  name: "throughput",
  run: async (bench) => {
    const { jobs, progress, runs } = bench
    // Of twelve shapes, tried with half the jobs, the two best take part in every round.
    const steps = shapes.length + runs * (2 + variants.length)
    let step = 0
    const next = (what: string) => progress.show(`throughput: ${what}`, step++, steps)

    const tried: Array<Shape & { readonly drain: Drain }> = []
    for (const shape of shapes) {
      next(`raw limit, ${shape.lanes} × ${shape.batch}`)
      tried.push({ ...shape, drain: await drainRaw(bench, Math.ceil(jobs / 2), shape) })
    }
    const candidates = tried
      .toSorted((a, b) => b.drain.jobsPerSecond - a.drain.jobsPerSecond)
      .slice(0, 2)
      .map(({ batch, lanes }) => ({ batch, lanes, drains: new Array<Drain>() }))

    const ours = variants.map((variant) => ({
      ...variant,
      drains: new Array<Drain & { readonly peak: number | undefined }>()
    }))
    // Ours between the raw limits, so that a noisy minute meets both.
    const share = Math.ceil(ours.length / candidates.length)
    for (let run = 1; run <= runs; run++) {
      for (const [i, candidate] of candidates.entries()) {
        next(`round ${run}, raw limit`)
        candidate.drains.push(await drainRaw(bench, jobs, candidate))
        for (const variant of ours.slice(i * share, (i + 1) * share)) {
          const what = `throughput: round ${run}, ${variant.name}`
          next(what)
          variant.drains.push(
            await drain(bench, variant.settings, (part) => progress.show(what, step - 1 + part, steps))
          )
        }
      }
    }
    return measured(bench, candidates, ours)
  }
}

/** Drains the backlog through a process that is started for it. */
const drain = async (
  bench: Bench,
  settings: Readonly<Record<string, string>>,
  tell: (part: number) => void
): Promise<Drain & { readonly peak: number | undefined }> => {
  const { postgres, sql } = bench
  const jobs = bench.jobs + runIn
  await fill(sql, jobs)
  const postgresBefore = familyCpuSeconds(postgres.pid ?? 0)
  const worker = startWorker(bench, settings)
  await Promise.race([untilDrained(sql, tell), worker.diedEarly])
  const client = cpuSeconds(worker.pid)
  const postgresAfter = familyCpuSeconds(postgres.pid ?? 0)
  const peak = memory(worker.pid)?.peak
  await worker.stop()
  const { counted, from, to } = await drained(sql, jobs)
  return {
    jobsPerSecond: (counted * 1000) / (to - from),
    seconds: (to - worker.startedAt) / 1000,
    clientCpu: perJob(0, client, jobs),
    postgresCpu: perJob(postgresBefore, postgresAfter, jobs),
    peak
  }
}

const measured = (
  { jobs, runs }: Bench,
  candidates: ReadonlyArray<Shape & { readonly drains: ReadonlyArray<Drain> }>,
  ours: ReadonlyArray<{
    readonly name: string
    readonly settings: Readonly<Record<string, string>>
    readonly drains: ReadonlyArray<Drain & { readonly peak: number | undefined }>
  }>
): Measured => {
  const [limit] = candidates.toSorted((a, b) => speed(b.drains) - speed(a.drains))
  if (limit === undefined) throw new Error("no raw limit was measured")

  const rows = ours.map(({ drains, name, settings }) => ({
    name,
    settings,
    jobsPerSecond: speed(drains),
    // Round by round, so that a machine that is slow for a minute is slow for both.
    ofLimit: median(drains.map((drain, round) => drain.jobsPerSecond / (limit.drains[round]?.jobsPerSecond ?? NaN))),
    secondsFromStart: median(drains.map(({ seconds }) => seconds)),
    nodeCpu: medianOf(drains.map(({ clientCpu }) => clientCpu)),
    postgresCpu: medianOf(drains.map(({ postgresCpu }) => postgresCpu)),
    peakRss: medianOf(drains.map(({ peak }) => peak)),
    rounds: drains.map(({ jobsPerSecond }) => jobsPerSecond)
  }))
  const rawLimit = {
    batch: limit.batch,
    lanes: limit.lanes,
    jobsPerSecond: speed(limit.drains),
    clientCpu: medianOf(limit.drains.map(({ clientCpu }) => clientCpu)),
    postgresCpu: medianOf(limit.drains.map(({ postgresCpu }) => postgresCpu)),
    rounds: limit.drains.map(({ jobsPerSecond }) => jobsPerSecond)
  }
  const best = rows.find(({ settings }) => settings === bestSettings)?.ofLimit ?? NaN

  return {
    table: {
      columns: [
        `${number(jobs)} waiting jobs`,
        "jobs/s",
        "worst and best",
        "of the limit",
        "from start, s",
        "CPU node, µs/job",
        "CPU PostgreSQL, µs/job",
        "peak RSS, MB"
      ],
      rows: [
        ...rows.map((row) => [
          row.name,
          number(row.jobsPerSecond),
          range(row.rounds),
          percent(row.ofLimit),
          number(row.secondsFromStart, 1),
          number(row.nodeCpu),
          number(row.postgresCpu),
          megabytes(row.peakRss)
        ]),
        [
          "raw limit",
          number(rawLimit.jobsPerSecond),
          range(rawLimit.rounds),
          percent(1),
          "–",
          number(rawLimit.clientCpu),
          number(rawLimit.postgresCpu),
          "–"
        ]
      ],
      note:
        `By one process started for it, from commit to commit, without the first ${number(runIn)} jobs, in which it compiles its code and ` +
        `connects; medians of ${runs} rounds. The raw limit, measured likewise, claims ` +
        `and writes as much in two plain statements, without fence and signing, ${limit.batch} jobs at a time on ` +
        `${limit.lanes} connections: the best of ${shapes.length} shapes on the same database in the same minutes. ` +
        `CPU of node includes its start.`
    },
    figures: { rawLimit, rows },
    goals: [{ goal: `at the best setting, at least 60 % of the raw limit: ${percent(best)}`, met: best >= 0.6 }]
  }
}

const speed = (drains: ReadonlyArray<Drain>) => median(drains.map(({ jobsPerSecond }) => jobsPerSecond))

const range = (rounds: ReadonlyArray<number>) => `${number(Math.min(...rounds))} – ${number(Math.max(...rounds))}`
