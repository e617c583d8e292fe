/**
 * The program as an operator runs it: a process of its own, told everything by environment variables, seen from outside
 * through what it prints, how it answers signals and how it ends.
 *
 * A process ends with the scope of its test; when the test's own process dies, a small shell ends it.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { s3Credentials } from "./S3.ts"
import { until } from "./until.ts"

export { until }

/** Environment variables; undefined takes one of the ground ones away. */
export type Settings = Readonly<Record<string, string | undefined>>

/** A line of the log. */
export interface LogLine {
  readonly timestamp: string
  readonly level: string
  readonly message: string
  readonly [field: string]: unknown
}

/** How a process ended: with a status, or by a signal that it did not handle. */
export interface End {
  readonly status: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ChildProcess {
  readonly pid: number
  /** What it printed so far, both streams as they came. */
  readonly output: () => string
  readonly stdout: () => string
  /** Lines of standard error. */
  readonly errors: ReadonlyArray<string>
  readonly signal: (signal: NodeJS.Signals) => Effect.Effect<void>
  /** Waits until it has ended and everything it printed is here; dies when it has not within half a minute. */
  readonly ended: Effect.Effect<End>
}

export interface WorkerProcess extends ChildProcess {
  /** The log so far. A line on standard output that is no JSON is a line of level `garbage`. */
  readonly log: ReadonlyArray<LogLine>
  /** The messages that match, in order. */
  readonly logged: (pattern: RegExp) => ReadonlyArray<string>
  /** Waits for a line whose message matches, also one that is there already. */
  readonly line: (pattern: RegExp, within?: Duration.Input) => Effect.Effect<LogLine>
  /** Waits until it works: settings read, tables found. */
  readonly working: Effect.Effect<LogLine>
  /** SIGTERM, then waits for the end. */
  readonly stop: Effect.Effect<End>
}

const project = path.join(import.meta.dirname, "../..")

/** What every process is told; nothing of the caller's own environment reaches it but the path. */
const ground: Settings = {
  PATH: process.env["PATH"],
  HOME: "/nonexistent",
  AWS_EC2_METADATA_DISABLED: "true"
}

/** The program as it is in a clone; `npm run build` makes another form of it. */
const source = path.join(project, "src/main.ts")

/** `s3-signer work`, with the S3 server's access key unless the settings say otherwise. */
export const startWorker = Effect.fnUntraced(function* (url: string, settings: Settings = {}, program = source) {
  const log: Array<LogLine> = []
  const child = yield* run(
    [program, "work"],
    {
      DATABASE_URL: url,
      S3_ACCESS_KEY_ID: s3Credentials.accessKeyId,
      S3_SECRET_ACCESS_KEY: s3Credentials.secretAccessKey,
      ...settings
    },
    (line) => log.push(parse(line))
  )
  const line = (pattern: RegExp, within: Duration.Input = "20 seconds") =>
    Effect.map(
      until(
        Effect.sync(() => log.find(({ message }) => pattern.test(message)) ?? child.output()),
        (found) => typeof found === "object",
        within
      ),
      (found) => found as LogLine
    )
  const worker: WorkerProcess = {
    ...child,
    log,
    logged: (pattern) => log.filter(({ message }) => pattern.test(message)).map(({ message }) => message),
    line,
    working: line(/^working$/),
    stop: Effect.andThen(child.signal("SIGTERM"), child.ended)
  }
  return worker
})

/** Runs the program to its end. */
export const runToEnd = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>,
  settings: Settings,
  program = source
) {
  const child = yield* run([program, ...args], settings, () => {})
  const end = yield* child.ended
  return { ...end, stdout: child.stdout(), errors: child.errors }
})

const run = (args: ReadonlyArray<string>, settings: Settings, onLine: (line: string) => void) =>
  Effect.acquireRelease(
    Effect.sync(() => start(args, settings, onLine)),
    (child) => Effect.andThen(child.signal("SIGKILL"), child.ended)
  )

const start = (args: ReadonlyArray<string>, settings: Settings, onLine: (line: string) => void): ChildProcess => {
  const child = spawn(process.execPath, args, {
    cwd: "/",
    // Signals of a terminal are for the tests, not for it.
    detached: true,
    env: defined({ ...ground, ...settings }),
    stdio: ["ignore", "pipe", "pipe"]
  })
  const letGo = endWithUs(child.pid ?? 0)
  const errors: Array<string> = []
  const chunks: Array<Buffer> = []
  const written: Array<Buffer> = []
  const end = Deferred.makeUnsafe<End>()
  child.stdout.on("data", (chunk: Buffer) => (chunks.push(chunk), written.push(chunk)))
  child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk))
  createInterface({ input: child.stdout }).on("line", onLine)
  createInterface({ input: child.stderr }).on("line", (line) => errors.push(line))
  child.once("close", (status, signal) => {
    letGo()
    Deferred.doneUnsafe(end, Effect.succeed({ status, signal }))
  })
  const output = () => Buffer.concat(chunks).toString()
  return {
    pid: child.pid ?? 0,
    output,
    stdout: () => Buffer.concat(written).toString(),
    errors,
    signal: (signal) => Effect.sync(() => void child.kill(signal)),
    ended: Effect.timeoutOrElse(Deferred.await(end), {
      duration: "30 seconds",
      orElse: () => Effect.die(new Error(`it did not end:\n${output().slice(-3000)}`))
    })
  }
}

/** Kills the process when this one is gone; returns what takes the order back. */
const endWithUs = (pid: number): (() => void) => {
  const shell = spawn("/bin/sh", ["-c", 'read -r word && [ "$word" = done ] || kill -KILL "$1"', "sh", String(pid)], {
    cwd: "/",
    detached: true,
    stdio: ["pipe", "ignore", "ignore"]
  })
  shell.unref()
  shell.stdin.on("error", () => {})
  // The types say Writable; a pipe is a socket, which must not keep this process alive.
  ;(shell.stdin as unknown as { unref: () => void }).unref()
  return () => void shell.stdin.end("done\n")
}

const parse = (line: string): LogLine => {
  try {
    return JSON.parse(line) as LogLine
  } catch {
    return { timestamp: "", level: "garbage", message: line }
  }
}

const defined = (settings: Settings): Record<string, string> =>
  Object.fromEntries(Object.entries(settings).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))
