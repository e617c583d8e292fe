/**
 * Figures as a person reads them: Markdown that can be pasted into the README.
 */
import * as os from "node:os"
import type { Goal } from "./Bench.ts"

export interface Table {
  /** The first names what a row is about and is aligned to the left, the others to the right. */
  readonly columns: ReadonlyArray<string>
  readonly rows: ReadonlyArray<ReadonlyArray<string>>
  /** What one must know to read it. */
  readonly note: string
}

/** Where figures were taken. */
export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGB: number
  readonly system: string
  readonly postgres: string
  readonly node: string
  /** How many processes wanted a processor in the minute before the bench: all but 0 is somebody else's noise. */
  readonly loadBefore: number
}

export const machine = (postgres: string): Machine => ({
  cpu: os.cpus()[0]?.model.trim() ?? "unknown",
  cores: os.availableParallelism(),
  memoryGB: Math.round(os.totalmem() / 2 ** 30),
  system: `${os.type()} ${os.release().split(/[.-]/).slice(0, 2).join(".")}`,
  postgres,
  node: process.versions.node,
  loadBefore: os.loadavg()[0] ?? 0
})

export const markdown = (where: Machine, tables: ReadonlyArray<Table>, goals: ReadonlyArray<Goal>): string =>
  [
    "<!-- bench -->",
    `${where.cpu}, ${where.cores} cores, ${where.memoryGB} GB, ${where.system}, shared by PostgreSQL ${where.postgres} ` +
      `(stock settings, every commit on disk), Node ${where.node} and the bench itself.` +
      (where.loadBefore > 0.5 ? ` Others were at work on it as well (load ${number(where.loadBefore, 1)}).` : ""),
    ...tables.map(tableText),
    ...(goals.length === 0
      ? []
      : [goals.map(({ goal, met }) => `- ${met ? "met" : "**missed**"}: ${goal}`).join("\n")]),
    "<!-- /bench -->"
  ].join("\n\n")

const tableText = ({ columns, note, rows }: Table): string =>
  [row(columns), row(columns.map((_, i) => (i === 0 ? "---" : "---:"))), ...rows.map(row), "", note].join("\n")

const row = (cells: ReadonlyArray<string>) => `| ${cells.join(" | ")} |`

/** With thousands separated; a dash where nothing is known. */
export const number = (value: number | undefined, digits = 0): string =>
  value === undefined
    ? "–"
    : value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })

export const percent = (ratio: number): string => `${Math.round(ratio * 100)} %`

export const megabytes = (bytes: number | undefined): string => number(bytes && bytes / 1e6)

/** For scripts: two decimals are more than any figure here is good for. */
export const json = (report: unknown): string =>
  JSON.stringify(report, (_, value: unknown) => (typeof value === "number" ? Math.round(value * 100) / 100 : value), 2)
