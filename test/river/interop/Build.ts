/**
 * The programs of `client/`: one client of River's for each version, built with Go into a cache outside the tree.
 *
 * Without Go, or without the modules and no way to fetch them, there are none, and the reason is printed once a run.
 * With `INTEROP=required` in the environment that is an error.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { inject } from "vitest"

export type Version = "0.26.0" | "0.51.1"

/** What `go build` is told besides: the newest version is what `go.mod` names. */
const versions: Readonly<Record<Version, ReadonlyArray<string>>> = {
  "0.26.0": ["-modfile=river_v0.26.0.mod", "-tags=river_v0_26_0"],
  "0.51.1": []
}

const everyBuild = ["-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags=-s -w"]

/** Where a version's program is, or why there is none. */
export type Program = { readonly path: string } | { readonly missing: string }

const source = path.join(import.meta.dirname, "client")
const cache = path.join(import.meta.dirname, "../../../node_modules/.cache/river-clients")

/** The programs, built unless they are there. */
export const programs: Effect.Effect<Readonly<Record<Version, Program>>> = Effect.suspend(() => {
  const fingerprint = createHash("sha256").update(`${process.platform} ${process.arch}`)
  for (const file of fs.readdirSync(source).toSorted()) {
    fingerprint.update(file).update(fs.readFileSync(path.join(source, file)))
  }
  const directory = path.join(cache, fingerprint.digest("hex").slice(0, 16))
  const program = (version: Version) => path.join(directory, `river-${version}`)
  const all = (of: (version: Version) => Program) => ({ "0.26.0": of("0.26.0"), "0.51.1": of("0.51.1") })

  const build = Effect.gen(function* () {
    const reason = path.join(cache, `missing-${thisRun}`)
    if (fs.existsSync(reason)) return all(() => ({ missing: fs.readFileSync(reason, "utf8") }))
    const missing = yield* buildAll(program)
    if (missing === undefined) return all((version) => ({ path: program(version) }))
    forget((entry) => entry.startsWith("missing-"))
    fs.mkdirSync(cache, { recursive: true })
    fs.writeFileSync(reason, missing)
    process.stderr.write(`River's own clients take no part in the tests: ${missing}\n`)
    return all(() => ({ missing }))
  })

  const built = all((version) => ({ path: program(version) }))
  const ready = Object.keys(versions).every((version) => fs.existsSync(program(version as Version)))
  return Effect.tap(ready ? Effect.succeed(built) : oneAtATime(build), (programs) => {
    const missing = Object.values(programs).flatMap((program) => ("missing" in program ? [program.missing] : []))
    const required = process.env["INTEROP"] === "required"
    return required && missing.length > 0 ? Effect.die(new Error(missing[0])) : Effect.void
  })
})

/** Names this run of the tests: the URL of their server holds a password of its own. */
const thisRun = createHash("sha256").update(inject("databaseUrl")).digest("hex").slice(0, 16)

/** Test files are processes: a lock of the tests' server lets one of them build, and ends with its session. */
const oneAtATime = <A>(build: Effect.Effect<A>): Effect.Effect<A> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const connection = yield* sql.reserve
    yield* connection.executeRaw("SELECT pg_advisory_lock(hashtextextended('river clients', 0))", [])
    return yield* build
  }).pipe(
    Effect.scoped,
    Effect.provide(PgClient.layer({ url: Redacted.make(inject("databaseUrl")), maxConnections: 1 }), { local: true }),
    Effect.orDie
  )

/** Builds what is not there; answers why that cannot be done. */
const buildAll = Effect.fnUntraced(function* (program: (version: Version) => string) {
  const go = findGo()
  if (go === undefined) return "there is no Go on the PATH"
  for (const [version, flags] of Object.entries(versions)) {
    const target = program(version as Version)
    if (fs.existsSync(target)) continue
    const half = `${target}.${process.pid}`
    const output = yield* run(go, ["build", ...everyBuild, ...flags, "-o", half, "."])
    if (output !== undefined) return `go build for River ${version} failed: ${output}`
    fs.renameSync(half, target)
  }
  forget((entry) => entry !== path.basename(path.dirname(program("0.26.0"))))
  return undefined
})

/** Takes what earlier sources and runs left out of the cache. */
const forget = (old: (entry: string) => boolean) => {
  if (!fs.existsSync(cache)) return
  for (const entry of fs.readdirSync(cache)) {
    if (old(entry)) fs.rmSync(path.join(cache, entry), { recursive: true, force: true })
  }
}

/** Go as it is on the PATH, or where its installer puts it. */
const findGo = (): string | undefined =>
  [...(process.env["PATH"] ?? "").split(path.delimiter), "/usr/local/go/bin"]
    .map((directory) => path.join(directory, "go"))
    .find((file) => fs.existsSync(file))

/** Runs Go in the sources; answers why, in a line, when it failed. */
const run = (go: string, args: ReadonlyArray<string>) =>
  Effect.callback<string | undefined>((resume) => {
    const options = { cwd: source, env: { ...process.env, GOWORK: "off" }, timeout: 600_000 }
    const child = execFile(go, args, options, (error, _, stderr) => {
      const [reason = error?.message] = stderr.split("\n").filter((line) => /^(?!go: downloading|#)./.test(line))
      resume(Effect.succeed(error === null ? undefined : reason))
    })
    return Effect.sync(() => void child.kill())
  })
