/**
 * Starts a real PostgreSQL 17 for tests, the demo and the bench: the programs come from npm, no container, no system user.
 *
 * The server never outlives the process that started it (`PostgresOwner.ts`).
 */
import { type ChildProcess, spawn } from "node:child_process"
import * as crypto from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { endFormerServer, environment, ownerFile, readLines, startWatchdog } from "./PostgresOwner.ts"
import { type Account, accountFor, canReach, makeScratch, own, programs } from "./PostgresPrograms.ts"

export interface PostgresOptions {
  /** Kept when the server stops, so that a later start finds its data. Without it a temporary one, removed by `stop`. */
  readonly dataDir?: string | undefined
  /** A TCP port on 127.0.0.1; without it a free one. */
  readonly port?: number | undefined
  /** True: stock settings. False: no fsync, for tests; what is committed still survives the death of the server. */
  readonly durable: boolean
  /** Of the user `postgres`, when the data directory is new. Random unless given; a kept directory remembers it. */
  readonly password?: string | undefined
  /** Settings as in postgresql.conf. */
  readonly extraSettings?: Readonly<Record<string, string | number>> | undefined
}

export interface Postgres {
  /** Holds the password. The database is `postgres`. Stays the same when the server is restarted. */
  readonly url: string
  readonly port: number
  readonly dataDir: string
  /** Of the postmaster; undefined while the server is down. */
  readonly pid: number | undefined
  /** What the server wrote to its log so far. */
  readonly log: () => string
  /** Resolves when the server has gone, also when nobody asked for it. */
  readonly exited: () => Promise<void>
  /** Starts a server that is down, on the same port. */
  readonly start: () => Promise<void>
  /** Ends the server, its data kept. `fast` ends sessions, `immediate` is a crash that PostgreSQL recovers from. */
  readonly shutdown: (mode?: "fast" | "immediate") => Promise<void>
  readonly restart: (mode?: "fast" | "immediate") => Promise<void>
  /** SIGKILL to the postmaster: its sessions end as they notice. */
  readonly kill: () => Promise<void>
  /** Ends the server for good and removes what is temporary. */
  readonly stop: () => Promise<void>
}

const version = "17"
const fastSettings = { fsync: "off", full_page_writes: "off" }

export const startPostgres = async (options: PostgresOptions): Promise<Postgres> => {
  const given = options.dataDir === undefined ? undefined : path.resolve(options.dataDir)
  const account = accountFor(given === undefined ? undefined : fs.statSync(given, { throwIfNoEntry: false }))
  let scratch: string | undefined
  const dataDir = given ?? path.join((scratch = makeScratch(account)), "data")
  const bin = programs(account, () => (scratch ??= makeScratch(account)))
  const watchdog = startWatchdog(account, dataDir, scratch)
  const dismiss = () => {
    watchdog.stdin?.end("done\n")
    if (scratch !== undefined) fs.rmSync(scratch, { recursive: true, force: true, maxRetries: 3 })
  }

  try {
    await endFormerServer(dataDir)
    const password = await prepare({ ...options, account, bin, dataDir })
    const settings = { ...(options.durable ? {} : fastSettings), ...options.extraSettings }
    let port = options.port ?? (await freePort())
    let server: Server | undefined

    const start = async () => {
      if (server?.running() === true) throw new Error(`PostgreSQL is already running on port ${port}`)
      for (let tries = 1; ; tries++) {
        const attempt = await startServer({ account, bin, dataDir, port, settings })
        if (attempt.failure === undefined) {
          server = attempt.server
          return
        }
        // Sessions of a killed server may still hold its memory for a moment; somebody else may have taken a free port.
        const taken = attempt.failure.includes("Address already in use")
        const held = /pre-existing shared memory|lock file ".*" already exists/.test(attempt.failure)
        if (tries > 50 || (!held && !(taken && options.port === undefined && server === undefined))) {
          throw new Error(`PostgreSQL did not start on port ${port} in ${dataDir}:\n${attempt.failure}`)
        }
        if (taken) port = await freePort()
        await sleep(100)
      }
    }
    const end = async (signal: NodeJS.Signals) => {
      if (server?.running() !== true) return
      server.process.ref()
      server.process.kill(signal)
      const late = setTimeout(() => server?.process.kill("SIGKILL"), 15_000)
      await server.exited
      clearTimeout(late)
    }
    const shutdown = (mode: "fast" | "immediate" = "fast") => end(mode === "fast" ? "SIGINT" : "SIGQUIT")

    await start()
    return {
      url: `postgres://postgres:${encodeURIComponent(password)}@127.0.0.1:${port}/postgres`,
      port,
      dataDir,
      get pid() {
        return server?.running() === true ? server.process.pid : undefined
      },
      log: () => fs.readFileSync(path.join(dataDir, logFile), "utf8"),
      exited: () => server?.exited ?? Promise.resolve(),
      start,
      shutdown,
      restart: async (mode) => {
        await shutdown(mode)
        await start()
      },
      kill: () => end("SIGKILL"),
      stop: async () => {
        await shutdown()
        dismiss()
      }
    }
  } catch (error) {
    dismiss()
    throw error
  }
}

/** A port of 127.0.0.1 that nobody listens on at this moment. */
export const freePort = async (): Promise<number> => {
  const probe = createServer().listen(0, "127.0.0.1")
  await once(probe, "listening")
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, "close")
  return port
}

/** What we keep in a data directory, beside PostgreSQL's own files. */
const logFile = "s3-signer.log"
const passwordFile = "s3-signer.password"

interface Server {
  readonly process: ChildProcess
  readonly exited: Promise<void>
  readonly running: () => boolean
}

/** One try to start the server; resolves when it accepts connections or has ended, then with what it said. */
const startServer = async (options: {
  readonly account: Account
  readonly bin: string
  readonly dataDir: string
  readonly port: number
  readonly settings: Readonly<Record<string, string | number>>
}): Promise<{ readonly server: Server; readonly failure?: string }> => {
  const { account, bin, dataDir, port } = options
  const settings = { listen_addresses: "127.0.0.1", port, unix_socket_directories: "", ...options.settings }
  const log = fs.openSync(path.join(dataDir, logFile), "a", 0o600)
  const logged = fs.fstatSync(log).size
  // A session of its own: Ctrl-C in a terminal reaches the owner, and the owner decides in which order things stop.
  const child = spawn(
    path.join(bin, "postgres"),
    ["-D", dataDir, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
    { ...account, cwd: dataDir, env: environment, detached: true, stdio: ["ignore", log, log] }
  )
  fs.closeSync(log)
  child.unref()
  const server: Server = {
    process: child,
    exited: new Promise((resolve) => {
      child.once("exit", () => resolve())
      child.once("error", () => resolve())
    }),
    running: () => child.pid !== undefined && child.exitCode === null && child.signalCode === null
  }

  for (let waited = 0; waited < 60_000; waited += 10) {
    if (!server.running()) {
      const said = fs.readFileSync(path.join(dataDir, logFile)).subarray(logged).toString()
      return { server, failure: said.trim().split("\n").slice(-10).join("\n") || "it said nothing" }
    }
    const [pid, , , , , , , state] = readLines(path.join(dataDir, "postmaster.pid"))
    if (Number(pid) === child.pid && state?.trim() === "ready") return { server }
    await sleep(10)
  }
  child.kill("SIGQUIT")
  return { server, failure: "it was not ready after 60 seconds" }
}

/** Makes the data directory if it is new, says whose it is now, and returns the password of the user `postgres`. */
const prepare = async (options: {
  readonly account: Account
  readonly bin: string
  readonly dataDir: string
  readonly durable: boolean
  readonly password?: string | undefined
}): Promise<string> => {
  const { account, bin, dataDir, durable } = options
  const entries = fs.existsSync(dataDir) ? fs.readdirSync(dataDir) : []
  if (entries.length > 0) {
    const [found] = readLines(path.join(dataDir, "PG_VERSION"))
    if (found !== version) {
      throw new Error(
        `${dataDir} is ${found === undefined ? "not empty and no PostgreSQL data directory" : `of PostgreSQL ${found}`}: remove it or choose another`
      )
    }
    if (!canReach(account, dataDir)) throw new Error(`uid ${account.uid ?? process.getuid?.()} cannot enter ${dataDir}`)
    write(account, dataDir, ownerFile, String(process.pid))
    const [kept] = readLines(path.join(dataDir, passwordFile))
    const password = options.password ?? kept
    if (password === undefined) throw new Error(`${path.join(dataDir, passwordFile)} is missing: give the password`)
    return password
  }

  // initdb works beside the final name, so that one that was killed leaves no half-made data directory.
  const fresh = `${dataDir}.new`
  fs.rmSync(fresh, { recursive: true, force: true })
  fs.mkdirSync(fresh, { recursive: true, mode: 0o700 })
  own(account, fresh)
  if (!canReach(account, fresh)) {
    fs.rmSync(fresh, { recursive: true, force: true })
    throw new Error(`uid ${account.uid ?? process.getuid?.()}, which runs PostgreSQL, cannot enter ${dataDir}`)
  }
  const password = options.password ?? crypto.randomBytes(18).toString("base64url")
  const passwords = `${fresh}.password`
  fs.writeFileSync(passwords, `${password}\n`, { mode: 0o600 })
  own(account, passwords)
  try {
    // The collation built into PostgreSQL 17 needs no locale of the machine.
    const flags = ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    const auth = ["--username=postgres", "--auth=scram-sha-256", `--pwfile=${passwords}`]
    await run(account, path.join(bin, "initdb"), [
      `--pgdata=${fresh}`,
      ...auth,
      ...flags,
      ...(durable ? [] : ["--no-sync"])
    ])
  } finally {
    fs.rmSync(passwords, { force: true })
  }
  write(account, fresh, passwordFile, password)
  write(account, fresh, ownerFile, String(process.pid))
  fs.rmSync(dataDir, { recursive: true, force: true })
  fs.renameSync(fresh, dataDir)
  return password
}

const run = async (account: Account, program: string, args: ReadonlyArray<string>): Promise<void> => {
  const child = spawn(program, args, {
    ...account,
    cwd: "/",
    env: environment,
    stdio: ["ignore", "pipe", "pipe"]
  })
  let said = ""
  child.stdout.on("data", (chunk) => (said += chunk))
  child.stderr.on("data", (chunk) => (said += chunk))
  const [code] = await once(child, "close")
  if (code !== 0) throw new Error(`${path.basename(program)} failed (exit ${code}):\n${said.trim()}`)
}

const write = (account: Account, directory: string, name: string, text: string) => {
  fs.writeFileSync(path.join(directory, name), `${text}\n`, { mode: 0o600 })
  own(account, path.join(directory, name))
}
