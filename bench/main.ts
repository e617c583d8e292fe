/**
 * `npm run bench`: what the service does in figures, on a PostgreSQL that is started for it.
 *
 * Prints Markdown for the README, or with `--json` one JSON object. Ends with status 1 when a goal is missed.
 */
import { parseArgs } from "node:util"
import { backlog } from "./BacklogCost.ts"
import { builtProgram, connectTo, type Measured, type Measurement, startDatabase } from "./Bench.ts"
import { downloads } from "./Downloads.ts"
import { set } from "./FileSet.ts"
import { foreign } from "./ForeignKinds.ts"
import { latency } from "./Latency.ts"
import { memory } from "./Memory.ts"
import { makeProgress } from "./Progress.ts"
import { recovery } from "./Recovery.ts"
import { json, machine, markdown } from "./Report.ts"
import { start } from "./Start.ts"
import { credentials } from "./TemporaryCredentials.ts"
import { throughput } from "./Throughput.ts"
import { killWorkers } from "./Worker.ts"

/** In this order they run and appear. */
const measurements: ReadonlyArray<Measurement> = [
  throughput,
  downloads,
  set,
  credentials,
  latency,
  start,
  memory,
  recovery,
  foreign,
  backlog
]
const names = measurements.map(({ name }) => name)

const usage = `npm run bench -- [options]

  --jobs <n>        jobs that wait in a drain (20000)
  --runs <n>        rounds of what is compared (5)
  --only <names>    some of ${names.join(",")};
                    backlog takes longer than a minute and 3 GB of disk,
                    credentials longer than a minute
  --program <file>  what is started as \`node <file> work\` (dist/main.js, built when it is out of date)
  --json            one JSON object on standard output in place of the tables
  --help            this
`

const { values } = parseArgs({
  options: {
    jobs: { type: "string", default: "20000" },
    runs: { type: "string", default: "5" },
    only: { type: "string", default: names.join(",") },
    program: { type: "string" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false }
  }
})

const refuse = (message: string): never => {
  process.stderr.write(`${message}\n\n${usage}`)
  process.exit(2)
}

const count = (name: "jobs" | "runs", most: number) => {
  const value = /^\d{1,7}$/.test(values[name]) ? Number(values[name]) : 0
  return value >= 1 && value <= most ? value : refuse(`--${name} is a number from 1 to ${most}, not "${values[name]}"`)
}

if (values.help) {
  process.stdout.write(usage)
  process.exit(0)
}
const only = values.only.split(",")
const unknown = only.find((name) => !names.includes(name))
if (unknown !== undefined) refuse(`"${unknown}" is not measured here`)
const jobs = count("jobs", 1_000_000)
const runs = count("runs", 100)

const progress = makeProgress(process.stderr)
progress.show("building", 0, 1)
const program = values.program ?? builtProgram()
progress.show("starting PostgreSQL", 0, 1)
const postgres = await startDatabase()
const sql = connectTo(postgres)

let stopping = false
/** Leaves nothing behind, also in the middle of a measurement. */
const end = async () => {
  stopping = true
  killWorkers()
  progress.clear()
  await postgres.stop()
}
for (const [signal, status] of [
  ["SIGINT", 130],
  ["SIGTERM", 143]
] as const) {
  process.once(signal, () => void end().finally(() => process.exit(status)))
}

const bench = { url: postgres.url, sql, postgres, program, jobs, runs, progress }
const results: Array<Measured & { readonly name: string }> = []
try {
  const { version } = await sql.one<{ version: string }>("select current_setting('server_version') as version")
  const where = machine(version)
  for (const { name, run } of measurements) {
    if (only.includes(name)) results.push({ name, ...(await run(bench)) })
  }
  progress.clear()
  const goals = results.flatMap(({ goals }) => goals)
  const figures = Object.fromEntries(results.map(({ figures, name }) => [name, figures]))
  const tables = results.map(({ table }) => table)
  const report = values.json ? json({ machine: where, jobs, runs, ...figures, goals }) : markdown(where, tables, goals)
  process.stdout.write(`${report}\n`)
  if (goals.some(({ met }) => !met)) process.exitCode = 1
  await sql.close()
  await end()
} catch (error) {
  // What fails because everything is being ended is no news; the signal's own handler ends the process.
  if (!stopping) {
    await end()
    throw error
  }
}
