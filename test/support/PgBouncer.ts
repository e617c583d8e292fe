/**
 * PgBouncer in front of a PostgreSQL server, for tests of what a pooler does to a client.
 *
 * The program is the machine's own, none is downloaded. It never outlives the process that started it.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import { connect } from "node:net"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { freePort } from "./Postgres.ts"
import { environment } from "./PostgresOwner.ts"
import { accountFor, makeScratch, own } from "./PostgresPrograms.ts"

export interface PgBouncerOptions {
  /** Of the server behind it, with user and password; clients log in with these. */
  readonly url: string
  /** After what a connection to the server goes to the next client: a session, a transaction, or each statement. */
  readonly mode: "session" | "transaction" | "statement"
  /** Connections to the server at most, for each database. */
  readonly poolSize: number
  /** Further settings of the section `pgbouncer`. */
  readonly settings?: Readonly<Record<string, string | number>>
}

export interface PgBouncer {
  readonly port: number
  /** A URL of the server, with this in place of its host and port. */
  readonly through: (url: string) => string
  /** What it wrote to its log so far. */
  readonly log: () => string
  readonly stop: () => Promise<void>
}

/** `PGBOUNCER`, else the first one on PATH or where Debian has it. */
export const findPgBouncer = (): string | undefined => {
  const given = process.env["PGBOUNCER"]
  if (given !== undefined && given !== "") return given
  const folders = (process.env["PATH"] ?? "").split(path.delimiter).filter((folder) => path.isAbsolute(folder))
  return [...folders, "/usr/sbin"].map((folder) => path.join(folder, "pgbouncer")).find((file) => fs.existsSync(file))
}

export const noPgBouncer = "no pgbouncer on PATH or in /usr/sbin: install it, or name one with PGBOUNCER"

/**
 * What runs it and cleans up after it: the shell's input closes when the owner stops it or dies. The signals that ask it
 * to stop differ from version to version, and it has nothing to lose.
 */
const keeper = `
  "$1" -q "$2/pgbouncer.ini" &
  read -r _
  kill -KILL $!
  wait
  rm -rf "$2"`

export const startPgBouncer = async (program: string, options: PgBouncerOptions): Promise<PgBouncer> => {
  const server = new URL(options.url)
  // It refuses to run as root, as PostgreSQL does.
  const account = accountFor(undefined)
  const directory = makeScratch(account)
  const port = await freePort()
  const settings = {
    listen_addr: "127.0.0.1",
    listen_port: port,
    unix_socket_dir: "",
    pool_mode: options.mode,
    default_pool_size: options.poolSize,
    max_client_conn: 200,
    auth_type: "scram-sha-256",
    auth_file: path.join(directory, "users"),
    logfile: path.join(directory, "log"),
    ...options.settings
  }
  const write = (name: string, text: string) => {
    fs.writeFileSync(path.join(directory, name), text, { mode: 0o600 })
    own(account, path.join(directory, name))
  }
  write("users", `"${decodeURIComponent(server.username)}" "${decodeURIComponent(server.password)}"\n`)
  write(
    "pgbouncer.ini",
    [
      "[databases]",
      `* = host=${server.hostname} port=${server.port}`,
      "[pgbouncer]",
      ...Object.entries(settings).map(([name, value]) => `${name} = ${value}`),
      ""
    ].join("\n")
  )
  const log = () => (fs.existsSync(settings.logfile) ? fs.readFileSync(settings.logfile, "utf8") : "")

  const shell = spawn("/bin/sh", ["-c", keeper, "sh", program, directory], {
    ...account,
    cwd: "/",
    env: environment,
    detached: true,
    stdio: ["pipe", "ignore", "ignore"]
  })
  const ended = once(shell, "exit")
  shell.unref()
  shell.stdin.on("error", () => {})
  // The types say Writable; a pipe is a socket, which must not keep this process alive.
  ;(shell.stdin as unknown as { unref: () => void }).unref()
  const stop = async () => {
    shell.ref()
    shell.stdin.end()
    await ended
  }

  for (let waited = 0; !(await listens(port)); waited += 20) {
    if (waited > 10_000) {
      const said = log()
      await stop()
      throw new Error(`pgbouncer did not start on port ${port}:\n${said.slice(-3000)}`)
    }
    await sleep(20)
  }
  return {
    port,
    through: (url) => {
      const pooled = new URL(url)
      pooled.hostname = "127.0.0.1"
      pooled.port = String(port)
      return pooled.href
    },
    log,
    stop
  }
}

const listens = async (port: number): Promise<boolean> => {
  const socket = connect({ host: "127.0.0.1", port })
  try {
    await once(socket, "connect")
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
