/**
 * The process that is measured: `node <program> work` with settings of ours alone, whatever the caller's environment has.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import type { Bench } from "./Bench.ts"

export interface Worker {
  readonly pid: number
  /** When it was started, milliseconds since the epoch. */
  readonly startedAt: number
  /** Fails when the process ends before it is told to. */
  readonly diedEarly: Promise<never>
  /** Asks it to stop and waits until it has; fails when that was not a clean stop. */
  readonly stop: () => Promise<void>
}

/** The access key that AWS's documentation has in its examples. */
export const staticKeys = {
  S3_ACCESS_KEY_ID: "AKIAIOSFODNN7EXAMPLE",
  S3_SECRET_ACCESS_KEY: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
}

const living = new Set<ChildProcess>()

/** Ends every worker that still runs, at once. */
export const killWorkers = (): void => {
  for (const child of living) child.kill("SIGKILL")
}

/** Environment variables beyond what a worker cannot do without; undefined takes one of those away. */
export type WorkerSettings = Readonly<Record<string, string | undefined>>

/** Starts a worker on the bench's database. */
export const startWorker = (
  { program, url }: Pick<Bench, "program" | "url">,
  settings: WorkerSettings = {}
): Worker => {
  const startedAt = Date.now()
  const child = spawn(process.execPath, [...process.execArgv.filter(isProfiling), program, "work"], {
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      AWS_EC2_METADATA_DISABLED: "true",
      DATABASE_URL: url,
      ...staticKeys,
      ...settings
    }
  })
  living.add(child)
  const exited = once(child, "exit").finally(() => living.delete(child))
  let said = ""
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk) => (said = `${said}${chunk}`.slice(-4000)))
  const failure = ([code, signal]: ReadonlyArray<unknown>) =>
    new Error(`the worker ended with ${String(signal ?? code)}:\n${said.trim() || "it said nothing"}`)

  let stopping = false
  const diedEarly = exited.then((how) => (stopping ? new Promise<never>(() => {}) : Promise.reject(failure(how))))
  diedEarly.catch(() => {})
  return {
    pid: child.pid ?? 0,
    startedAt,
    diedEarly,
    stop: async () => {
      stopping = true
      child.kill("SIGTERM")
      const how = await exited
      if (how[0] !== 0) throw failure(how)
    }
  }
}

/** `node --cpu-prof bench/main.ts` profiles the workers as well. */
const isProfiling = (flag: string) => flag.startsWith("--cpu-prof")
