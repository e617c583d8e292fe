/**
 * Sees to it that a PostgreSQL server does not outlive its owner, the process that started it.
 *
 * A small shell holds a pipe from the owner and stops the server when the pipe closes, however the owner ends. If even that
 * shell was killed, the next start on the same data directory stops the orphan.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import type { Account } from "./PostgresPrograms.ts"

/** In the data directory: the process id of the owner. */
export const ownerFile = "s3-signer.owner"

/** For all programs of PostgreSQL: nothing of ours, and messages in English. */
export const environment = { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LC_ALL: "C" }

/** Stops the server and removes `scratch` when this process ends without having said "done". */
export const startWatchdog = (account: Account, dataDir: string, scratch: string | undefined): ChildProcess => {
  const script = `
    read -r word && [ "$word" = done ] && exit
    pid=$(head -n 1 "$1/postmaster.pid" 2>/dev/null)
    if [ -n "$pid" ] && kill -INT "$pid" 2>/dev/null; then
      tenths=0
      while [ -e "$1/postmaster.pid" ] && [ $tenths -lt 100 ]; do
        sleep 0.1
        tenths=$((tenths + 1))
      done
    fi
    [ -z "$2" ] || rm -rf "$2"`
  const child = spawn("/bin/sh", ["-c", script, "s3-signer-watchdog", dataDir, scratch ?? ""], {
    ...account,
    cwd: "/",
    env: environment,
    detached: true,
    stdio: ["pipe", "ignore", "ignore"]
  })
  child.unref()
  child.stdin.on("error", () => {})
  // The types say Writable; a pipe is a socket, which must not keep this process alive.
  ;(child.stdin as unknown as { unref: () => void }).unref()
  return child
}

/** Waits for a server whose owner has died, and stops it if it stays; fails when its owner is alive. */
export const endFormerServer = async (dataDir: string): Promise<void> => {
  for (let waited = 0; waited < 15_000; waited += 50) {
    const pid = Number(readLines(path.join(dataDir, "postmaster.pid"))[0])
    if (!(pid > 0) || !commandOf(pid).includes(dataDir)) return
    const owner = Number(readLines(path.join(dataDir, ownerFile))[0])
    if (owner > 0 && isAlive(owner)) {
      throw new Error(`PostgreSQL (process ${pid}) is already running in ${dataDir}, started by process ${owner}`)
    }
    // The watchdog of a dead owner needs a moment; without a watchdog the server is an orphan and ours to stop.
    if (waited === 2_000) process.kill(pid, "SIGINT")
    if (waited === 10_000) process.kill(pid, "SIGQUIT")
    await sleep(50)
  }
  throw new Error(`the PostgreSQL left behind in ${dataDir} does not stop`)
}

/** The lines of a file; none when it is not there. */
export const readLines = (file: string): ReadonlyArray<string> => {
  try {
    return fs.readFileSync(file, "utf8").split("\n")
  } catch {
    return []
  }
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM"
  }
}

/** The command line of a process; empty when there is none. */
const commandOf = (pid: number): string => {
  try {
    return process.platform === "linux"
      ? fs.readFileSync(`/proc/${pid}/cmdline`, "utf8")
      : execFileSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8" })
  } catch {
    return ""
  }
}
