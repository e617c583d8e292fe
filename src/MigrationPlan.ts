/**
 * Which migrations are due: from what is on disk, what a database has, and where somebody wants it to be. No database
 * here.
 *
 * A schema that Civic OS manages is told by a table of the line `civic_os` that is there without that line on record.
 * Of `main` and `civic_os` nothing is ever due in such a schema, neither up nor down. An opt-in line is due where somebody
 * names it, and once a schema has some of it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { isOptIn, lines, statementsOf, type Line, type Migration, type Version } from "./MigrationFiles.ts"
import { quoteIdentifier } from "./river/index.ts"
import { schemaName } from "./settings/SettingTypes.ts"

/** Versions of River's line `main` that the worker works with; nothing that it does differs between them. */
export const acceptedRiver = { from: 6, to: 8 } as const

/**
 * Why nothing further was done. The version that failed has left no trace; those before it stay.
 *
 * `usage`: not a schema's name, or not a version. `newer`: the database is ahead of this release. `civicOs`: Civic OS
 * manages the schema, and what was asked for would change it. `taken`: a function of ours is there and is not ours.
 * `rows`: tables that would be dropped hold rows. `permission`, `busy` (a lock could not be had in 10 s) and `database`
 * are the server's answer.
 */
export class MigrateError extends Schema.TaggedError<MigrateError>()("MigrateError", {
  reason: Schema.Literals(["usage", "newer", "civicOs", "taken", "rows", "permission", "busy", "database"]),
  message: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {}

/** What a schema has. */
export interface State {
  readonly schema: string
  readonly tables: ReadonlySet<string>
  readonly applied: ReadonlyArray<Version>
  /** Of {@link publicFunctions} those that are there, whoever made them. */
  readonly functions: ReadonlyArray<string>
}

/** What the first version of a line makes in `public`, where a database has room for one of each. */
export const publicFunctions: Readonly<Record<Line, ReadonlyArray<string>>> = {
  main: [],
  civic_os: [
    "public.request_upload_url(text,text,text,text)",
    "public.get_upload_url(uuid)",
    "public.create_file_record(uuid,text,text,text,text,bigint,text,text,text,text)"
  ],
  s3_signer: [
    "public.request_download_url(uuid,boolean)",
    "public.request_download_urls(uuid[],boolean)",
    "public.get_download_url(uuid)"
  ]
}

/** One version's way up or down. */
export interface Step extends Version {
  readonly direction: "up" | "down"
  readonly name: string
  /** In order, the record in `river_migration` included; each ends with a semicolon. */
  readonly statements: ReadonlyArray<string>
}

/** Whether Civic OS manages the schema, and not these migrations. */
export const isCivicOs = ({ applied, tables }: State): boolean =>
  (tables.has("file_upload_requests") || tables.has("files")) && !applied.some(({ line }) => line === "civic_os")

/** The newest version of River's line; 0 when there is none. */
export const riverVersion = ({ applied }: State): number =>
  applied.reduce((newest, { line, version }) => (line === "main" ? Math.max(newest, version) : newest), 0)

/** Whether the worker can work with the schema as it is. */
export const isAccepted = (state: State): boolean =>
  riverVersion(state) >= acceptedRiver.from &&
  riverVersion(state) <= acceptedRiver.to &&
  state.tables.has("river_job") &&
  state.tables.has("file_upload_requests")

const isSame = (a: Version) => (b: Version) => a.line === b.line && a.version === b.version
const nameOf = ({ line, version }: Version) => `${line}:${version}`

/** `main:6`, `civic_os:2`, `s3_signer:1`, or a bare number for the line `main`. */
export const parseVersion = (text: string): Option.Option<Version> => {
  const [, name = "main", number] = /^(?:(\w+):)?(\d{1,9})$/.exec(text) ?? []
  const line = lines.find((line) => line === name)
  return line === undefined || number === undefined ? Option.none() : Option.some({ line, version: Number(number) })
}

/** River's rule: a channel's name, schema included, has to fit PostgreSQL's 63 bytes. */
export const checkSchema = (schema: string): Effect.Effect<void, MigrateError> =>
  schemaName.decode(schema) !== undefined
    ? Effect.void
    : new MigrateError({
        reason: "usage",
        message: `${JSON.stringify(schema)} cannot be the schema: it should be ${schemaName.expected}`
      })

/** A version that is on disk, or 0. */
export const checkTarget = (known: ReadonlyArray<Migration>, to: Version): Effect.Effect<void, MigrateError> =>
  to.version === 0 || known.some(isSame(to))
    ? Effect.void
    : new MigrateError({
        reason: "usage",
        message: `there is no version ${nameOf(to)}; known are ${known.map(nameOf).join(", ")}`
      })

const checkNotNewer = (state: State, known: ReadonlyArray<Migration>): Effect.Effect<void, MigrateError> => {
  const newer = state.applied.filter((version) => !known.some(isSame(version)))
  return newer.length === 0
    ? Effect.void
    : new MigrateError({
        reason: "newer",
        message: `schema ${state.schema} has ${newer.map(nameOf).join(", ")}, which this release does not know; use the release that applied it`
      })
}

/** The versions that a schema should have: all of its lines, and of the opt-in ones those that it has some of. */
const wanted = (state: State, known: ReadonlyArray<Migration>, asked?: Line): ReadonlyArray<Migration> =>
  known.filter(({ line }) =>
    isOptIn(line) ? line === asked || state.applied.some((version) => version.line === line) : !isCivicOs(state)
  )

const isApplied = ({ applied }: State, version: Version) => applied.some(isSame(version))

/** What `up` has to do, to the end or up to `to`. */
export const planUp = Effect.fnUntraced(function* (state: State, known: ReadonlyArray<Migration>, to?: Version) {
  yield* checkNotNewer(state, known)
  if (isCivicOs(state) && !isAccepted(state)) {
    return yield* new MigrateError({ reason: "civicOs", message: unfit(state) })
  }
  const reached = known.slice(0, to === undefined ? known.length : positionOf(known, to))
  const due = wanted(state, reached, to?.line).filter((version) => !isApplied(state, version))
  const made = due.flatMap(({ line, version }) => (version === 1 ? publicFunctions[line] : []))
  const taken = state.functions.filter((name) => made.includes(name))
  if (taken.length > 0) {
    return yield* new MigrateError({
      reason: "taken",
      message:
        `${taken.join(" and ")}: there already, and not made for schema ${state.schema}. ` +
        "Civic OS or another schema of this database uses them; nothing was changed"
    })
  }
  return due.map((migration) => stepOf("up", migration, state.schema))
})

/** What `down` has to do: the newest version, or all after `to`. */
export const planDown = Effect.fnUntraced(function* (state: State, known: ReadonlyArray<Migration>, to?: Version) {
  yield* checkNotNewer(state, known)
  const applied = wanted(state, known)
    .filter((version) => isApplied(state, version))
    .toReversed()
  if (isCivicOs(state) && !(to === undefined ? applied.length > 0 : isOptIn(to.line))) {
    return yield* new MigrateError({
      reason: "civicOs",
      message: `Civic OS manages schema ${state.schema}; nothing of its own is taken down`
    })
  }
  const due =
    to === undefined
      ? applied.slice(0, 1)
      : applied.filter((migration) => known.indexOf(migration) >= positionOf(known, to))
  return due.map((migration) => stepOf("down", migration, state.schema))
})

/** One sentence on where a schema stands. */
export const summary = (state: State, known: ReadonlyArray<Migration>): string => {
  const { applied, schema } = state
  if (applied.some((version) => !known.some(isSame(version)))) return `Schema ${schema} is ahead of this release.`
  const all = wanted(state, known)
  const due = all.filter((version) => !isApplied(state, version)).length
  const lacks = `lacks ${due} of ${all.length} versions.`
  if (isCivicOs(state)) {
    return isAccepted(state)
      ? `Civic OS manages schema ${schema}, with River's tables at version ${riverVersion(state)}, which the worker accepts. ` +
          (due === 0 ? "There is nothing to migrate." : `It ${lacks}`)
      : `${unfit(state)}.`
  }
  return due === 0 ? `Schema ${schema} is up to date.` : `Schema ${schema} ${lacks}`
}

const unfit = (state: State) =>
  `Civic OS manages schema ${state.schema}, with River's tables at version ${riverVersion(state)}; ` +
  `the worker needs ${acceptedRiver.from} to ${acceptedRiver.to}. Upgrade Civic OS to 0.10.0 or later`

/** How many versions of the sequence are applied once `to` is. */
const positionOf = (known: ReadonlyArray<Migration>, to: Version): number =>
  to.version === 0 ? known.findIndex(({ line }) => line === to.line) : known.findIndex(isSame(to)) + 1

const stepOf = (direction: Step["direction"], migration: Migration, schema: string): Step => {
  const { line, name, version } = migration
  const statements = statementsOf(migration[direction], schema)
  const table = `${quoteIdentifier(schema)}.river_migration`
  // Before version 5 of its own line the table knows no lines.
  const lined = line !== "main" || version >= 5
  return {
    line,
    version,
    name,
    direction,
    statements:
      direction === "up"
        ? [
            ...statements,
            lined
              ? `INSERT INTO ${table} (line, version) VALUES ('${line}', ${version});`
              : `INSERT INTO ${table} (version) VALUES (${version});`
          ]
        : [`DELETE FROM ${table} WHERE ${lined ? `line = '${line}' AND ` : ""}version = ${version};`, ...statements]
  }
}
