/**
 * The command line.
 */
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import type { SqlClient } from "effect/sql/SqlClient"
import packageJson from "../package.json" with { type: "json" }
import { doctorCommand } from "./doctor/DoctorCommand.ts"
import * as Migrate from "./Migrate.ts"
import * as Settings from "./settings/Settings.ts"
import { work } from "./Work.ts"

const workCommand = Command.make("work", {}, () => work).pipe(
  Command.withDescription("Answer upload and download requests until told to stop; settings come from the environment")
)

const migrateCommand = Command.make(
  "migrate",
  {
    action: Argument.Literals("action", ["up", "down", "status"]).pipe(
      Argument.withDefault("up"),
      Argument.withDescription("up: apply what is missing; down: take back the newest version; status: only look")
    ),
    to: Flag.String("to").pipe(
      Flag.optional,
      Flag.withDescription(
        "go to this version: main:6, civic_os:2, s3_signer:1 (downloads, only applied when named); " +
          "down to main:0 removes everything"
      )
    ),
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDefault(false),
      Flag.withDescription("print the SQL that would run, and change nothing")
    ),
    yes: Flag.Boolean("yes").pipe(
      Flag.withDefault(false),
      Flag.withDescription("down: drop tables also when they hold rows")
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("print the result as JSON"))
  },
  Effect.fnUntraced(function* ({ action, dryRun, json, to, yes }) {
    const settings = yield* Settings.loadMigrate
    const { schema } = settings.river
    const target = yield* parseTarget(to)
    // Unprepared: behind a transaction pooler even a named COMMIT would be sought in another session.
    const database = PgClient.layer({ ...settings.database.connection, maxConnections: 1, prepare: false })
    const run: Effect.Effect<Shown, Migrate.MigrateError, SqlClient> =
      action === "status"
        ? Effect.map(Migrate.status({ schema }), (status) => ({ result: status, text: statusText(status) }))
        : Effect.map(
            (action === "up" ? Migrate.up : Migrate.down)({ schema, to: target, dryRun, dropRows: yes }),
            (migrated) => ({
              result: migrated,
              text: dryRun ? dryRunText(migrated) : migratedText(migrated)
            })
          )
    const shown = yield* Effect.provide(run, database)
    yield* Console.log(json ? JSON.stringify(shown.result, null, 2) : shown.text)
  })
).pipe(Command.withDescription("Make the tables in a bare database; what Civic OS made is left alone"))

/** A result for scripts and for people. */
interface Shown {
  readonly result: Migrate.Status | Migrate.Migrated
  readonly text: string
}

const parseTarget = Effect.fnUntraced(function* (to: Option.Option<string>) {
  if (Option.isNone(to)) return undefined
  const version = Migrate.parseVersion(to.value)
  if (Option.isSome(version)) return version.value
  return yield* new Migrate.MigrateError({
    reason: "usage",
    message: `--to is ${JSON.stringify(to.value)}; it should be a version such as main:6, civic_os:2 or s3_signer:1`
  })
})

const statusText = ({ accepted, lines, summary }: Migrate.Status) =>
  [
    summary,
    ...lines.map(({ applied, line, optIn, pending }) => {
      const names = pending.map(({ name, version }) => `${version} (${name})`).join(", ")
      const offered = optIn && applied.length === 0
      const missing = offered
        ? `; opt-in: ${names}, by up --to ${line}:${pending.at(-1)?.version}`
        : `; pending: ${names}`
      return `  ${line.padEnd(9)} applied: ${applied.join(", ") || "none"}${names === "" ? "" : missing}`
    }),
    accepted ? "the worker can run on it" : "the worker cannot run on it"
  ].join("\n")

const migratedText = ({ civicOs, schema, steps, tablesWithRows }: Migrate.Migrated) => {
  if (steps.length === 0) {
    return civicOs
      ? `schema ${schema} is managed by Civic OS: nothing to do, nothing changed`
      : `schema ${schema}: nothing to do`
  }
  const done = steps.map(({ direction, line, name, version }) => `${line} ${version} ${direction}: ${name}`)
  const dropped = tablesWithRows.length === 0 ? [] : [`dropped with their rows: ${tablesWithRows.join(", ")}`]
  return [...done, ...dropped].join("\n")
}

const dryRunText = (migrated: Migrate.Migrated) =>
  migrated.steps.length === 0 ? migratedText(migrated) : Migrate.toScript(migrated.steps)

/** Reads the arguments and runs the command that they name. */
export const cli = Command.make("s3-signer").pipe(
  Command.withDescription("Presigned S3 URLs for PostgreSQL: a worker on River's job table"),
  Command.withSubcommands([workCommand, migrateCommand, doctorCommand]),
  Command.run({ version: packageJson.version }),
  Effect.provide(NodeServices.layer)
)
