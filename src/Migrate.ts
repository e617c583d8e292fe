/**
 * Brings a schema to the versions of `migrations/`, or back: what stands behind `s3-signer migrate`.
 *
 * The versions form one sequence, River's line `main`, then `civic_os` and `s3_signer`, and are recorded in
 * `river_migration`, where River's own tools look. Each is a transaction of its own that first takes an advisory lock for
 * its duration, and then reads what is applied: replicas may race, also through a pooler. What Civic OS made of a schema
 * stays as it is; `s3_signer`, which is opt-in, goes beside it.
 */
import * as Effect from "effect/Effect"
import { BeginTransaction, SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { isOptIn, lines, load, type Line, type Version } from "./MigrationFiles.ts"
import * as Plan from "./MigrationPlan.ts"
import { MigrateError, type State, type Step } from "./MigrationPlan.ts"
import { quoteIdentifier } from "./river/index.ts"

export type { Line, Version } from "./MigrationFiles.ts"
export { acceptedRiver, MigrateError, parseVersion, type Step } from "./MigrationPlan.ts"

export interface UpOptions {
  /** Where River's tables are or shall be; 1 to 46 letters, digits and underscores, no digit first. */
  readonly schema: string
  /** `up` applies the sequence up to this version, `down` takes away what comes after it. */
  readonly to?: Version | undefined
  /** Plan only: nothing is changed. */
  readonly dryRun?: boolean | undefined
}

export interface DownOptions extends UpOptions {
  /** Drop tables also when they hold rows. */
  readonly dropRows?: boolean | undefined
}

export interface Migrated {
  readonly schema: string
  readonly dryRun: boolean
  /** Civic OS manages the schema: only what is opt-in goes up or down. */
  readonly civicOs: boolean
  /** What was done, or in a dry run would be. */
  readonly steps: ReadonlyArray<Step>
  /** Tables that held rows and were dropped, or in a dry run would be. */
  readonly tablesWithRows: ReadonlyArray<string>
}

export interface Status {
  readonly schema: string
  readonly civicOs: boolean
  /** Whether the worker can work with the schema as it is. */
  readonly accepted: boolean
  readonly lines: ReadonlyArray<{
    readonly line: Line
    /** It goes up only where somebody asks for it: `up --to s3_signer:1`. */
    readonly optIn: boolean
    readonly applied: ReadonlyArray<number>
    /** What is on disk and not applied; of Civic OS's own lines nothing where it manages the schema. */
    readonly pending: ReadonlyArray<{ readonly version: number; readonly name: string }>
  }>
  /** One sentence for a person. */
  readonly summary: string
}

/**
 * Applies what is missing, all of it or up to `to`. An opt-in line goes up when `to` names it, or when some of it is there;
 * where Civic OS manages the schema, nothing else does.
 */
export const up = (options: UpOptions): Effect.Effect<Migrated, MigrateError, SqlClient> => migrate("up", options)

/**
 * Takes away the newest version, or all after `to`; after `main` 0 nothing is left. Refused where Civic OS manages the
 * schema, except for an opt-in line.
 */
export const down = (options: DownOptions): Effect.Effect<Migrated, MigrateError, SqlClient> => migrate("down", options)

/** What is applied and what is not. Reads only. */
export const status = Effect.fn("Migrate.status")(function* ({ schema }: { readonly schema: string }) {
  yield* Plan.checkSchema(schema)
  const known = yield* load
  const state = yield* inTransaction("READ ONLY", inspect(schema))
  const civicOs = Plan.isCivicOs(state)
  const result: Status = {
    schema,
    civicOs,
    accepted: Plan.isAccepted(state),
    lines: lines.map((line) => {
      const optIn = isOptIn(line)
      const applied = state.applied.filter((version) => version.line === line).map(({ version }) => version)
      const missing = known.filter((migration) => migration.line === line && !applied.includes(migration.version))
      const pending = civicOs && !optIn ? [] : missing.map(({ name, version }) => ({ version, name }))
      return { line, optIn, applied, pending }
    }),
    summary: Plan.summary(state, known)
  }
  return result
})

/** The steps as a script that psql can run. */
export const toScript = (steps: ReadonlyArray<Step>): string =>
  steps
    .map(({ direction, line, name, statements, version }) =>
      [`-- ${line} ${version} ${direction}: ${name}`, "BEGIN;", ...statements, "COMMIT;\n"].join("\n\n")
    )
    .join("\n")

const migrate = Effect.fn("Migrate.migrate")(function* (
  direction: Step["direction"],
  { dropRows = false, dryRun = false, schema, to }: DownOptions
) {
  yield* Plan.checkSchema(schema)
  const known = yield* load
  if (to !== undefined) yield* Plan.checkTarget(known, to)

  const plan = Effect.gen(function* () {
    const state = yield* inspect(schema)
    const steps = yield* (direction === "up" ? Plan.planUp : Plan.planDown)(state, known, to)
    return { state, steps }
  })
  if (dryRun) {
    const dry = Effect.gen(function* () {
      const { state, steps } = yield* plan
      const tables = yield* tablesWithRows(state, steps)
      const migrated: Migrated = { schema, dryRun, civicOs: Plan.isCivicOs(state), steps, tablesWithRows: tables }
      return migrated
    })
    return yield* inTransaction("READ ONLY", dry)
  }

  // Plans afresh under the lock and takes the first step of the plan. Rows in any table that the plan drops, also in a
  // later step, refuse it; the first step's own tables are locked before they are looked at.
  const takeStep = Effect.gen(function* () {
    yield* lock
    const { state, steps } = yield* plan
    for (const name of steps.slice(0, 1).flatMap(droppedTables)) {
      if (state.tables.has(name)) yield* lockTable(schema, name)
    }
    const tables = yield* tablesWithRows(state, steps)
    if (tables.length > 0 && !dropRows) {
      return yield* new MigrateError({
        reason: "rows",
        message: `${tables.join(", ")} in schema ${schema} would be dropped and hold rows; say --yes to drop them all the same`
      })
    }
    for (const step of steps.slice(0, 1)) yield* apply(step)
    return { civicOs: Plan.isCivicOs(state), steps, tables }
  })

  const steps: Array<Step> = []
  const dropped = new Set<string>()
  while (true) {
    const planned = yield* inTransaction("READ WRITE", takeStep)
    planned.tables.forEach((table) => dropped.add(table))
    steps.push(...planned.steps.slice(0, 1))
    if (planned.steps.length > 1) continue
    const migrated: Migrated = { schema, dryRun, civicOs: planned.civicOs, steps, tablesWithRows: [...dropped] }
    return migrated
  }
})

/** A transaction that sees what others committed while it waited for the lock; the server's refusals become our own. */
const inTransaction = <A, R>(access: "READ ONLY" | "READ WRITE", body: Effect.Effect<A, MigrateError | SqlError, R>) =>
  Effect.flatMap(SqlClient, (sql) => sql.withTransaction(body)).pipe(
    Effect.provideService(BeginTransaction, `BEGIN ISOLATION LEVEL READ COMMITTED ${access}`),
    Effect.catchTag("SqlError", (error) => failed("could not read or change the migrations", error))
  )

/** One migration at a time in a database. The wait for it is not bounded; the locks that a migration takes are. */
const lock = Effect.gen(function* () {
  const sql = yield* SqlClient
  yield* sql`SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('s3-signer migrate', 0))`.unprepared
  yield* sql`
    SELECT pg_catalog.set_config('lock_timeout', '10s', true),
      pg_catalog.set_config('statement_timeout', '0', true),
      pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true)`.unprepared
})

/** What the schema has, from the catalog and from `river_migration` in either of its shapes. */
const inspect = Effect.fnUntraced(function* (schema: string) {
  const sql = yield* SqlClient
  const relations = yield* sql<{ readonly name: string; readonly lined: boolean }>`
    SELECT c.relname::text AS name,
      EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'line') AS lined
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ${schema} AND c.relkind IN ('r', 'p')`.unprepared
  const recorded = relations.find(({ name }) => name === "river_migration")
  const table = sql.literal(`${quoteIdentifier(schema)}.river_migration`)
  const line = sql.literal(recorded?.lined === true ? "line" : "'main'")
  const applied =
    recorded === undefined
      ? []
      : yield* sql<Version>`
          SELECT ${line} AS line, version::int AS version FROM ${table}
          WHERE ${line} = ANY (${[...lines]}::text[]) ORDER BY line, version`.unprepared
  const functions = yield* sql<{ readonly name: string }>`
    SELECT name FROM unnest(${Object.values(Plan.publicFunctions).flat()}::text[]) AS name
    WHERE to_regprocedure(name) IS NOT NULL`.unprepared
  const state: State = {
    schema,
    tables: new Set(relations.map(({ name }) => name)),
    applied,
    functions: functions.map(({ name }) => name)
  }
  return state
})

const lockTable = Effect.fnUntraced(function* (schema: string, name: string) {
  const sql = yield* SqlClient
  yield* sql.unsafe(`LOCK TABLE ${quoteIdentifier(schema)}.${name} IN ACCESS EXCLUSIVE MODE`).unprepared
})

const droppedTables = ({ statements }: Step): ReadonlyArray<string> =>
  statements.flatMap((statement) => /^DROP TABLE "\w+"\.(\w+);$/m.exec(statement)?.[1] ?? [])

/** The tables that the steps drop and that hold rows. The record of versions does not count. */
const tablesWithRows = Effect.fnUntraced(function* ({ schema, tables }: State, steps: ReadonlyArray<Step>) {
  const sql = yield* SqlClient
  const found: Array<string> = []
  for (const name of new Set(steps.flatMap(droppedTables))) {
    if (!tables.has(name) || name === "river_migration") continue
    const rows = yield* sql`SELECT FROM ${sql.literal(`${quoteIdentifier(schema)}.${name}`)} LIMIT 1`.unprepared
    if (rows.length > 0) found.push(name)
  }
  return found
})

const apply = Effect.fnUntraced(
  function* (step: Step) {
    const sql = yield* SqlClient
    for (const statement of step.statements) yield* sql.unsafe(statement).unprepared
  },
  (self, step) =>
    Effect.catchTag(self, "SqlError", (error) => failed(`${step.line} ${step.version} ${step.direction} failed`, error))
)

const failed = (what: string, error: SqlError) =>
  Effect.fail(
    new MigrateError({
      reason:
        error.reason._tag === "AuthorizationError"
          ? "permission"
          : error.reason._tag === "LockTimeoutError"
            ? "busy"
            : "database",
      message: `${what}: ${serverMessage(error)}`,
      cause: error
    })
  )

/** What the server said; the driver's own message says only that a query failed. */
const serverMessage = ({ message, reason: { cause } }: SqlError): string =>
  cause instanceof Error && cause.message !== "" ? cause.message : message
