/**
 * The settings of the process, from environment variables.
 *
 * An empty variable counts as unset. What is wrong is reported all at once, a line each, before anything else is done.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Severity } from "effect/LogLevel"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { DatabaseConnection } from "./DatabaseUrl.ts"
import { type S3Settings, s3Settings } from "./S3Settings.ts"
import * as Reader from "./SettingReader.ts"
import { all, type Checked, connection, type Environment, find, optional, setting } from "./SettingReader.ts"
import * as Type from "./SettingTypes.ts"

/** What `work` needs to know. */
export interface Settings extends LogSettings {
  readonly database: DatabaseSettings
  readonly s3: S3Settings
  readonly river: RiverSettings
  /** How long ended requests are kept, from 1 second to 3650 days; for ever unless it is set. */
  readonly requestRetention: Duration.Duration | undefined
}

/** What `migrate` needs to know. */
export interface MigrateSettings extends LogSettings {
  readonly database: Pick<DatabaseSettings, "connection">
  readonly river: Pick<RiverSettings, "schema">
}

/** What any command needs to know. */
export interface LogSettings {
  readonly log: {
    readonly level: Severity
    readonly format: "pretty" | "json"
  }
  /** Lines to log once there is a logger: each use of a deprecated variable. */
  readonly warnings: ReadonlyArray<string>
  /** The passwords, keys and tokens among the settings: nothing that is logged may contain them. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
}

export interface DatabaseSettings {
  readonly connection: DatabaseConnection
  /** 1 to 1000; bounds the pool. The listening session is one more. */
  readonly maxConnections: number
  /** 0 to `maxConnections`. */
  readonly minConnections: number
  /** For the listening session; `off` means poll only. */
  readonly listen: DatabaseConnection | "off"
}

export interface RiverSettings {
  readonly schema: string
  readonly queue: string
  /** The operator's name for this client; the host's name serves without it. */
  readonly clientId: string | undefined
  /** 1 to 1000 jobs at once. */
  readonly maxWorkers: number
  readonly fetchPollInterval: Duration.Duration
  /** At most `fetchPollInterval`. */
  readonly fetchCooldown: Duration.Duration
  readonly jobTimeout: Duration.Duration
  readonly softStopTimeout: Duration.Duration
}

/** Something is wrong with the environment; the message has a line for each thing, and no secret. */
export class InvalidSettings extends Schema.TaggedError<InvalidSettings>()("InvalidSettings", {
  problems: Schema.Array(Schema.String)
}) {
  override get message() {
    return this.problems.join("\n")
  }
}

/** The settings of `work`, from the current `ConfigProvider`: the environment, unless a test says otherwise. */
export const load: Effect.Effect<Settings, InvalidSettings> = Effect.flatMap(Reader.environment, (environment) =>
  orInvalid(
    all({
      database: databaseSettings(environment),
      s3: s3Settings(environment),
      river: riverSettings(environment),
      requestRetention: optional(environment, "REQUEST_RETENTION", requestRetention),
      log: logSettings(environment)
    })
  ).pipe(
    Effect.map((settings) => ({
      ...settings,
      warnings: Reader.deprecations(environment),
      secrets: [
        ...passwords(settings.database.connection, settings.database.listen),
        ...Object.values(settings.s3.keys ?? {}).filter((secret) => secret !== undefined)
      ]
    }))
  )
)

/** The settings of `migrate`. */
export const loadMigrate: Effect.Effect<MigrateSettings, InvalidSettings> = Effect.flatMap(
  Reader.environment,
  (environment) =>
    orInvalid(
      all({
        database: all({ connection: connection(environment, "DATABASE_URL") }),
        river: all({ schema: setting(environment, "RIVER_SCHEMA", Type.schemaName) }),
        log: logSettings(environment)
      })
    ).pipe(Effect.map((settings) => ({ ...settings, warnings: [], secrets: passwords(settings.database.connection) })))
)

const orInvalid = <A>(settings: Checked<A>): Effect.Effect<A, InvalidSettings> =>
  Effect.fromResult(Result.mapError(settings, (problems) => new InvalidSettings({ problems })))

const passwords = (...connections: ReadonlyArray<DatabaseConnection | "off">): ReadonlyArray<Redacted.Redacted> =>
  connections.flatMap((connection) => (connection === "off" ? [] : (connection.password ?? [])))

const databaseSettings = (environment: Environment): Checked<DatabaseSettings> => {
  const pool = Result.filterOrFail(
    all({
      maxConnections: setting(environment, "DB_MAX_CONNS", Type.wholeNumber(1, 1_000)),
      minConnections: setting(environment, "DB_MIN_CONNS", Type.wholeNumber(0, 1_000))
    }),
    ({ maxConnections, minConnections }) => minConnections <= maxConnections,
    ({ maxConnections: max, minConnections: min }) => [
      `DB_MIN_CONNS is ${min}; it should be at most DB_MAX_CONNS, which is ${max}`
    ]
  )
  const listen = find(environment, "DATABASE_LISTEN_URL")?.text
  return Result.map(
    all({
      connection: connection(environment, "DATABASE_URL"),
      pool,
      listen:
        listen === "off"
          ? Result.succeed("off" as const)
          : connection(environment, listen === undefined ? "DATABASE_URL" : "DATABASE_LISTEN_URL")
    }),
    ({ connection, listen, pool }) => ({ connection, listen, ...pool })
  )
}

const riverSettings = (environment: Environment): Checked<RiverSettings> => {
  const fetch = Result.filterOrFail(
    all({
      fetchPollInterval: setting(environment, "FETCH_POLL_INTERVAL", timer("1ms")),
      fetchCooldown: setting(environment, "FETCH_COOLDOWN", timer("1ms"))
    }),
    ({ fetchCooldown, fetchPollInterval }) => Duration.isLessThanOrEqualTo(fetchCooldown, fetchPollInterval),
    ({ fetchCooldown, fetchPollInterval }) => [
      `FETCH_COOLDOWN is ${Duration.format(fetchCooldown)}; it should be at most FETCH_POLL_INTERVAL, which is ${Duration.format(fetchPollInterval)}`
    ]
  )
  return Result.map(
    all({
      fetch,
      schema: setting(environment, "RIVER_SCHEMA", Type.schemaName),
      queue: setting(environment, "RIVER_QUEUE", Type.text(1, 127)),
      clientId: optional(environment, "RIVER_CLIENT_ID", Type.text(1, 100)),
      maxWorkers: setting(environment, "MAX_WORKERS", Type.wholeNumber(1, 1_000)),
      jobTimeout: setting(environment, "JOB_TIMEOUT", timer("1ms")),
      softStopTimeout: setting(environment, "SOFT_STOP_TIMEOUT", timer("0s"))
    }),
    ({ fetch, ...settings }) => ({ ...settings, ...fetch })
  )
}

/** Node fires a timer of 2^31 milliseconds or more, 24.8 days, at once. */
const timer = (minimum: string) => Type.duration({ minimum, maximum: "24d" })

/** It is counted by the database, so no timer bounds it. */
const requestRetention = Type.duration({ minimum: "1s", maximum: "3650d" })

const logSettings = (environment: Environment): Checked<LogSettings["log"]> => {
  const format = process.stdout.isTTY ? "pretty" : "json"
  return Result.map(
    all({
      level: setting(environment, "LOG_LEVEL", Type.oneOf("trace", "debug", "info", "warn", "error")),
      format: optional(environment, "LOG_FORMAT", Type.oneOf("pretty", "json"))
    }),
    (log) => ({ level: severities[log.level], format: log.format ?? format })
  )
}

const severities = { trace: "Trace", debug: "Debug", info: "Info", warn: "Warn", error: "Error" } as const
