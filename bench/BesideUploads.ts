/**
 * Whether something keeps up with plain uploads: both are drained in turn, as the process comes and at its best setting.
 */
import type { Bench, Goal } from "./Bench.ts"
import * as Drain from "./Drain.ts"
import { percent } from "./Report.ts"

const settings = [
  { name: "as it comes", set: {} },
  { name: "`MAX_WORKERS=500`", set: Drain.bestSettings }
]

export interface BesideOptions {
  /** What is compared, as its rows and the goal call it. */
  readonly name: string
  /** What the rows of plain uploads say. */
  readonly plain: string
  /** Beyond what is set for both. */
  readonly drain: (options: Pick<Drain.DrainOptions, "settings" | "tell">) => Promise<Drain.Drain>
}

export interface Beside {
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
  readonly figures: unknown
  readonly goal: Goal
}

/** What is promised of everything that is drained beside plain uploads. */
const least = 0.8

export const besideUploads = async (bench: Bench, { drain, name, plain }: BesideOptions): Promise<Beside> => {
  const { progress, runs } = bench
  const steps = runs * settings.length * 2
  let step = 0
  const measured = settings.map((setting) => ({
    ...setting,
    plain: new Array<Drain.Drain>(),
    other: new Array<Drain.Drain>()
  }))
  for (let run = 1; run <= runs; run++) {
    for (const setting of measured) {
      const next = (what: string) => {
        const at = step++
        const show = (part: number) =>
          progress.show(`${name}: round ${run}, ${what}, ${setting.name}`, at + part, steps)
        show(0)
        return { settings: setting.set, tell: show }
      }
      // Each comes first in every other round: what comes second finds the database as the first one left it.
      const plainly = async () => setting.plain.push(await Drain.drain(bench, next(plain)))
      const otherwise = async () => setting.other.push(await drain(next(name)))
      for (const one of run % 2 === 1 ? [plainly, otherwise] : [otherwise, plainly]) await one()
    }
  }
  const rows = measured.map((setting) => ({
    name: setting.name,
    plain: Drain.summary(setting.plain, setting.plain),
    other: Drain.summary(setting.other, setting.plain)
  }))
  const ratios = rows.map(({ other }) => other.ratio)
  return {
    rows: rows.flatMap((row) => [
      Drain.row(`${plain}, ${row.name}`, row.plain),
      Drain.row(`${name}, ${row.name}`, row.other)
    ]),
    figures: rows,
    goal: {
      goal: `${name} at least ${percent(least)} as fast as ${plain}: ${rows.map((row) => `${percent(row.other.ratio)} ${row.name}`).join(", ")}`,
      met: ratios.every((ratio) => ratio >= least)
    }
  }
}
