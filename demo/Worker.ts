/**
 * Runs s3-signer as an operator does: its own process, told everything by environment variables.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { setTimeout as sleep } from "node:timers/promises"
import { project } from "./Place.ts"

/** What the worker is told, on top of the environment of the demo. */
export type Settings = Readonly<Record<string, string>>

export interface Worker {
  readonly pid: number
  readonly log: string
  /** What a person should know when it has ended by itself. */
  readonly problem: () => string | undefined
  /** Ends it softly; after 16 seconds hard. */
  readonly stop: () => Promise<void>
}

/** `s3-signer migrate up`, with the opt-in tables of downloads; answers with what it printed. */
export const migrate = async (settings: Settings): Promise<string> => {
  const child = start(["migrate", "up", "--to", "s3_signer:1"], settings)
  let said = ""
  child.stdout?.on("data", (chunk) => (said += chunk))
  child.stderr?.on("data", (chunk) => (said += chunk))
  const [code] = await once(child, "close")
  if (code !== 0) throw new Error(`s3-signer migrate ended with status ${code}:\n${said.trim()}`)
  return said.trim()
}

/** `s3-signer work`. Its log goes to a file; `onTrouble` is told warnings, errors and an end that nobody asked for. */
export const startWorker = (settings: Settings, log: string, onTrouble: (line: string) => void): Worker => {
  const file = fs.createWriteStream(log, { flags: "w", mode: 0o600 })
  const child = start(["work"], { ...settings, LOG_FORMAT: "json" })
  let stopping = false
  let problem: string | undefined
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue
    createInterface({ input: stream }).on("line", (line) => {
      file.write(`${line}\n`)
      if (!stopping && isTrouble(line)) onTrouble(`worker: ${line}`)
    })
  }
  child.on("close", (code, signal) => {
    file.end()
    if (stopping) return
    problem = `The worker has ended (${signal ?? `status ${code}`}), so no upload will be signed. Its log is ${log}; start the demo again.`
    onTrouble(problem)
  })

  const ended = new Promise((resolve) => child.once("close", resolve))
  return {
    pid: child.pid ?? 0,
    log,
    problem: () => problem,
    stop: async () => {
      stopping = true
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill("SIGTERM")
      await Promise.race([ended, sleep(16_000, undefined, { ref: false })])
      child.kill("SIGKILL")
      await ended
    }
  }
}

// In a session of its own, so that Ctrl-C in the terminal reaches the demo only and the parts stop in their order.
const start = (args: ReadonlyArray<string>, settings: Settings): ChildProcess =>
  spawn(
    process.execPath,
    ["--import", path.join(import.meta.dirname, "leash.ts"), path.join(project, "src/main.ts"), ...args],
    { cwd: project, detached: true, env: { ...neutral(process.env), ...settings }, stdio: ["pipe", "pipe", "pipe"] }
  )

/** Without what would point the worker elsewhere than to the demo's own parts. */
const neutral = (environment: NodeJS.ProcessEnv) =>
  Object.fromEntries(
    Object.entries(environment).filter(([name]) => !/^(DATABASE_|DB_|PG|S3_|AWS_|RIVER_|HTTP_|LOG_|UPLOAD_)/.test(name))
  )

const isTrouble = (line: string): boolean => {
  try {
    return /^(warn|error|fatal)/i.test(String(JSON.parse(line).level))
  } catch {
    return true
  }
}
