/**
 * Where the demo keeps its data, and that only one demo uses it at a time.
 */
import * as crypto from "node:crypto"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { accountFor, canReach } from "../test/support/PostgresPrograms.ts"

export const project = path.join(import.meta.dirname, "..")

/**
 * The directory asked for, else `.demo` in the project. When root runs the demo and PostgreSQL's account cannot reach the
 * project, a directory for this project below `/var/tmp`, the same one each time.
 */
export const choose = (asked: string | undefined): string => {
  const inProject = path.join(project, ".demo")
  if (asked === undefined && !canReach(accountFor(undefined), project)) {
    const name = crypto.createHash("sha256").update(project).digest("hex").slice(0, 8)
    return made(path.join(fs.existsSync("/var/tmp") ? "/var/tmp" : os.tmpdir(), `s3-signer-demo-${name}`))
  }
  return made(path.resolve(asked ?? inProject))
}

// Others may enter, because PostgreSQL may run as one of them; its data and the files are closed to them further in.
const made = (directory: string): string => {
  fs.mkdirSync(directory, { recursive: true, mode: 0o755 })
  const { mode, uid } = fs.statSync(directory)
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0) {
    throw new Error(`${directory} belongs to somebody else or others may write to it: choose another with --dir`)
  }
  return fs.realpathSync(directory)
}

const note = (directory: string) => path.join(directory, "demo.json")

/** The address of the demo that is running on this directory, if one answers. */
export const running = async (
  directory: string
): Promise<{ readonly url: string; readonly pid: number } | undefined> => {
  try {
    const { pid, url } = JSON.parse(fs.readFileSync(note(directory), "utf8"))
    const response = await fetch(new URL("/api/demo", url), { signal: AbortSignal.timeout(2_000) })
    const answer = (await response.json()) as { readonly directory?: unknown }
    return answer.directory === directory ? { url, pid } : undefined
  } catch {
    return undefined
  }
}

/** Leaves word for the next demo on this directory; the answer takes it away again. */
export const claim = (directory: string, url: string): (() => void) => {
  fs.writeFileSync(note(directory), `${JSON.stringify({ pid: process.pid, url })}\n`)
  return () => fs.rmSync(note(directory), { force: true })
}
