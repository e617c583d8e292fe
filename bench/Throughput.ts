/**
 * How many waiting jobs one process answers in a second, beside the raw limit of the same database in the same minutes.
 */
import { type Bench, type Measured, type Measurement } from "./Bench.ts"
import { runIn } from "./Backlog.ts"
import { drainRaw, type Shape, shapes } from "./Ceiling.ts"
import * as Drain from "./Drain.ts"
import { number, percent } from "./Report.ts"

const variants = [
  { name: "as it comes", settings: {} },
  { name: "`MAX_WORKERS=500`", settings: Drain.bestSettings },
  { name: "`S3_PRESIGNER=sdk`", settings: { S3_PRESIGNER: "sdk" } },
  { name: "both", settings: { ...Drain.bestSettings, S3_PRESIGNER: "sdk" } }
]

export const throughput: Measurement = {
  name: "throughput",
  run: async (bench) => {
    const { jobs, progress, runs } = bench
    // Of twelve shapes, tried with half the jobs, the two best take part in every round.
    const steps = shapes.length + runs * (2 + variants.length)
    let step = 0
    const next = (what: string) => progress.show(`throughput: ${what}`, step++, steps)

    const tried: Array<Shape & { readonly drain: Drain.Drain }> = []
    for (const shape of shapes) {
      next(`raw limit, ${shape.lanes} × ${shape.batch}`)
      tried.push({ ...shape, drain: await drainRaw(bench, Math.ceil(jobs / 2), shape) })
    }
    const candidates = tried
      .toSorted((a, b) => b.drain.jobsPerSecond - a.drain.jobsPerSecond)
      .slice(0, 2)
      .map(({ batch, lanes }) => ({ batch, lanes, drains: new Array<Drain.Drain>() }))

    const ours = variants.map((variant) => ({ ...variant, drains: new Array<Drain.Drain>() }))
    // Ours between the raw limits, so that a noisy minute meets both.
    const share = Math.ceil(ours.length / candidates.length)
    for (let run = 1; run <= runs; run++) {
      for (const [i, candidate] of candidates.entries()) {
        next(`round ${run}, raw limit`)
        candidate.drains.push(await drainRaw(bench, jobs, candidate))
        for (const { drains, name, settings } of ours.slice(i * share, (i + 1) * share)) {
          const what = `throughput: round ${run}, ${name}`
          next(what)
          const tell = (part: number) => progress.show(what, step - 1 + part, steps)
          drains.push(await Drain.drain(bench, { settings, tell }))
        }
      }
    }
    return measured(bench, candidates, ours)
  }
}

interface Drained {
  readonly drains: Drain.Drains
}

const measured = (
  { jobs, runs }: Bench,
  candidates: ReadonlyArray<Shape & Drained>,
  ours: ReadonlyArray<(typeof variants)[number] & Drained>
): Measured => {
  const [limit] = candidates.toSorted((a, b) => Drain.speed(b.drains) - Drain.speed(a.drains))
  if (limit === undefined) throw new Error("no raw limit was measured")

  const rows = ours.map(({ drains, name, settings }) => ({ name, settings, ...Drain.summary(drains, limit.drains) }))
  const { batch, lanes } = limit
  // From its start a limit is not comparable: it runs in a process that is there already.
  const rawLimit = { batch, lanes, ...Drain.summary(limit.drains, limit.drains), secondsFromStart: undefined }
  const best = rows.find(({ settings }) => settings === Drain.bestSettings)?.ratio ?? NaN

  return {
    table: {
      columns: Drain.columns(jobs, "of the limit"),
      rows: [...rows.map((row) => Drain.row(row.name, row)), Drain.row("raw limit", rawLimit)],
      note:
        `By one process started for it, from commit to commit, without the first ${number(runIn)} jobs, in which it compiles its code and ` +
        `connects; medians of ${runs} rounds. The raw limit, measured likewise, claims ` +
        `and writes as much in two plain statements, without fence and signing, ${batch} jobs at a time on ` +
        `${lanes} connections: the best of ${shapes.length} shapes on the same database in the same minutes. ` +
        `CPU of node includes its start.`
    },
    figures: { rawLimit, rows },
    goals: [{ goal: `at the best setting, at least 60 % of the raw limit: ${percent(best)}`, met: best >= 0.6 }]
  }
}
