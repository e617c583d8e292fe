/**
 * What every measurement works with: a PostgreSQL of its own with our tables, the program that is measured, and where
 * to tell how far it is.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { execFileSync } from "node:child_process"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Migrate from "../src/Migrate.ts"
import { type Postgres, startPostgres } from "../test/support/Postgres.ts"
import type { Progress } from "./Progress.ts"
import type { Table } from "./Report.ts"
import { connect, type Sql } from "./Sql.ts"

/** One group of rows: what it is called on the command line and in JSON, and how its figures come about. */
export interface Measurement {
  readonly name: string
  readonly run: (bench: Bench) => Promise<Measured>
}

export interface Measured {
  /** As a reader sees it. */
  readonly table: Table
  /** The same and more, as a script reads it. */
  readonly figures: unknown
  /** What the project promises of these figures. */
  readonly goals: ReadonlyArray<Goal>
}

export interface Goal {
  readonly goal: string
  readonly met: boolean
}

export interface Bench {
  /** Of the database, for processes that connect by themselves. */
  readonly url: string
  readonly sql: Sql
  readonly postgres: Postgres
  /** The file that `node <file> work` starts. */
  readonly program: string
  /** Jobs that wait in a drain. */
  readonly jobs: number
  /** Rounds of what is compared, one after the other. */
  readonly runs: number
  readonly progress: Progress
}

export interface DatabaseOptions {
  /** As in postgresql.conf. */
  readonly settings?: Readonly<Record<string, string>>
  /** Whether it has download requests, too. */
  readonly downloads?: boolean
}

/** Stock settings, durable: only commit times are kept as well, to know when the last job was really settled. */
export const startDatabase = async ({ downloads = false, settings }: DatabaseOptions = {}): Promise<Postgres> => {
  const postgres = await startPostgres({ durable: true, extraSettings: { track_commit_timestamp: "on", ...settings } })
  const once = PgClient.layer({ url: Redacted.make(postgres.url), maxConnections: 1 })
  const to: Migrate.Version | undefined = downloads ? { line: "s3_signer", version: 1 } : undefined
  await Effect.runPromise(Effect.provide(Migrate.up({ schema: "metadata", to }), once))
  return postgres
}

/** Runs a measurement on a database of its own. */
export const withDatabase = async <A>(
  bench: Bench,
  options: DatabaseOptions,
  measure: (bench: Bench) => Promise<A>
): Promise<A> => {
  const postgres = await startDatabase(options)
  const sql = connectTo(postgres)
  try {
    return await measure({ ...bench, postgres, sql, url: postgres.url })
  } finally {
    await sql.close()
    await postgres.stop()
  }
}

/** Room for the lanes of the raw limit and one more. */
export const connectTo = (postgres: Postgres): Sql => connect(postgres.url, 5)

const root = path.join(import.meta.dirname, "..")
const bundle = path.join(root, "dist", "main.js")

/** The bundle, built anew when it is missing or older than what it is made of. */
export const builtProgram = (): string => {
  const sources = ["src", "tools", "migrations", "package.json"].map((name) => path.join(root, name))
  const built = fs.statSync(bundle, { throwIfNoEntry: false })
  if (built === undefined || sources.some((source) => newest(source) > built.mtimeMs)) {
    execFileSync(process.execPath, [path.join(root, "tools", "build.ts")], { cwd: root, stdio: ["ignore", 2, 2] })
  }
  return bundle
}

/** When the youngest file below `file` was written. */
const newest = (file: string): number => {
  const stat = fs.statSync(file)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(0, ...fs.readdirSync(file).map((name) => newest(path.join(file, name))))
}
