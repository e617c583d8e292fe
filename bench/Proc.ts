/**
 * What processes cost, from Linux's `/proc`. Elsewhere it knows nothing and says so with `undefined`.
 */
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"

const available = process.platform === "linux"

/** Kernel ticks a second, in which `/proc/<pid>/stat` counts: 10 ms each on all but the oddest machines. */
const ticks = available ? Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" })) : 100

/** CPU of a process, user and system, in seconds. */
export const cpuSeconds = (pid: number): number | undefined => {
  const stat = available ? statOf(pid) : undefined
  return stat && stat.own / ticks
}

/** CPU of a process, of its living children and of those that ended, in seconds: PostgreSQL is its postmaster so seen. */
export const familyCpuSeconds = (pid: number): number | undefined => {
  const stat = available ? statOf(pid) : undefined
  if (stat === undefined) return undefined
  let sum = stat.own + stat.reaped
  for (const entry of fs.readdirSync("/proc")) {
    const child = /^\d+$/.test(entry) ? statOf(Number(entry)) : undefined
    if (child?.parent === pid) sum += child.own + child.reaped
  }
  return sum / ticks
}

/** Memory of a process in bytes. */
export interface Memory {
  /** Resident now. */
  readonly rss: number
  /** Of that, what is not backed by a file: what another process of the same program does not share. */
  readonly anonymous: number
  /** The most that was ever resident. */
  readonly peak: number
}

export const memory = (pid: number): Memory | undefined => {
  if (!available) return undefined
  const status = fs.readFileSync(`/proc/${pid}/status`, "utf8")
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? 0) * 1024
  return { rss: bytes("VmRSS"), anonymous: bytes("RssAnon"), peak: bytes("VmHWM") }
}

const statOf = (pid: number) => {
  try {
    // The command's name stands in parentheses and may hold anything; what follows is the state and then numbers.
    const fields = fs
      .readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /s, "")
      .split(" ")
      .map(Number)
    const [, parent = 0] = fields
    const [user = 0, system = 0, reapedUser = 0, reapedSystem = 0] = fields.slice(11, 15)
    return { parent, own: user + system, reaped: reapedUser + reapedSystem }
  } catch {
    // It has ended.
    return undefined
  }
}
