/**
 * The migrations as they lie on disk: three lines of numbered SQL files, each version with its way up and its way down.
 *
 * The driver sends one statement a query, so a line `-- statement` stands between statements. `:"schema"` stands for the
 * schema as an identifier, `:'schema'` for its name as a string, as in psql.
 */
import * as Effect from "effect/Effect"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { quoteIdentifier } from "./river/index.ts"

/**
 * The lines in the order in which they go up. `main` is River's own; `civic_os` is what a database needs to be used
 * without Civic OS; `s3_signer` is what goes beyond Civic OS, for those who ask for it.
 */
export const lines = ["main", "civic_os", "s3_signer"] as const

export type Line = (typeof lines)[number]

/** Whether the line goes up only where somebody asked for it by name, and then beside Civic OS, too. */
export const isOptIn = (line: Line): boolean => line === "s3_signer"

/** A version of a line; 0 is the state before the first. */
export interface Version {
  readonly line: Line
  readonly version: number
}

export interface Migration extends Version {
  /** The file's name in words, as `river_job`. */
  readonly name: string
  /** SQL with the placeholders still in it. */
  readonly up: string
  readonly down: string
}

const folders: Readonly<Record<Line, string>> = { main: "river", civic_os: "civic_os", s3_signer: "s3_signer" }

/** `src` and the bundle's `dist` lie beside it. */
const root = join(import.meta.dirname, "../migrations")

/** Every version there is, in the order in which they go up. Files that are missing are a broken installation: a defect. */
export const load: Effect.Effect<ReadonlyArray<Migration>> = Effect.sync(() =>
  lines.flatMap((line) => {
    const folder = join(root, folders[line])
    const read = (file: string) => readFileSync(join(folder, file), "utf8")
    return readdirSync(folder)
      .filter((file) => file.endsWith(".up.sql"))
      .toSorted()
      .map((file) => {
        const stem = file.slice(0, -".up.sql".length)
        return {
          line,
          version: Number(stem.slice(0, 3)),
          name: stem.slice(4),
          up: read(file),
          down: read(`${stem}.down.sql`)
        }
      })
  })
)

/** The statements of a file, for one schema. */
export const statementsOf = (text: string, schema: string): ReadonlyArray<string> =>
  text
    .replaceAll(`:"schema"`, () => quoteIdentifier(schema))
    .replaceAll(`:'schema'`, () => `'${schema.replaceAll("'", "''")}'`)
    .split(/^-- statement$/m)
    .map((statement) => statement.trim())
