/**
 * Runs the program that a profile names as its source of keys, so that all of it can be ended.
 */
import { spawn } from "node:child_process"
import { endWith } from "./Interruptible.ts"

type Done = (error: Error | null, result?: { readonly stdout: string }) => void

/**
 * Takes the place of the SDK's `exec`: a command line for the shell, and what it prints once it has ended well.
 *
 * It is in a process group of its own, since what the shell has started would outlive the shell. It reads nothing, and
 * what it writes on standard error, which may be anything, goes nowhere.
 */
export const run = (command: string, done: Done): void => {
  const child = spawn(command, { shell: true, detached: true, stdio: ["ignore", "pipe", "ignore"], windowsHide: true })
  const { pid } = child
  const chunks: Array<Buffer> = []
  let size = 0
  let closed = false
  child.stdout.on("data", (chunk: Buffer) => {
    size += chunk.length
    if (size <= mostBytes) chunks.push(chunk)
  })
  child.once("error", () => done(failed))
  child.once("close", (status) => {
    closed = true
    if (status !== 0 || size > mostBytes) done(failed)
    else done(null, { stdout: Buffer.concat(chunks).toString() })
  })
  endWith(() => {
    if (pid !== undefined && !closed) process.kill(-pid, "SIGKILL")
  })
}

const mostBytes = 1_000_000

const failed = new Error("Command failed")
