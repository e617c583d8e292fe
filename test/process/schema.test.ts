/**
 * The schemas that the process must be at home in, and those that it must refuse with one clear line.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import * as Migrate from "../../src/Migrate.ts"
import * as MigrationFiles from "../../src/MigrationFiles.ts"
import { fingerprint, run } from "../catalog.ts"
import { emptyDatabase, TestDatabase } from "../support/Database.ts"
import { runToEnd, startWorker } from "../support/WorkerProcess.ts"
import { answered, onDatabase, requestUpload, role } from "./support.ts"

/** River's tables at a version, and what requests need. */
const makeTables = Effect.fnUntraced(function* (version: number) {
  yield* Migrate.up({ schema: "metadata", to: { line: "main", version } })
  for (const { line, up } of yield* MigrationFiles.load) {
    if (line === "civic_os") yield* run(...MigrationFiles.statementsOf(up, "metadata"))
  }
})

/** Takes River's tables on to a version, as River's own tool does. */
const takeOn = Effect.fnUntraced(function* (from: number, to: number) {
  for (const { line, up, version } of yield* MigrationFiles.load) {
    if (line !== "main" || version <= from || version > to) continue
    yield* run(
      ...MigrationFiles.statementsOf(up, "metadata"),
      `INSERT INTO metadata.river_migration (line, version) VALUES ('main', ${version})`
    )
  }
})

/** What Civic OS does otherwise than River, as far as a worker might notice. */
const asCivicOsHasIt = run(
  "CREATE UNIQUE INDEX river_job_kind_unique_key_idx ON metadata.river_job (kind, unique_key)",
  "ALTER TABLE metadata.river_job SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 1)",
  "ALTER TABLE metadata.river_migration ADD COLUMN id bigserial, ALTER COLUMN line SET DEFAULT 'main'",
  "ALTER TABLE metadata.river_client_queue ADD COLUMN paused_at timestamptz"
)

/** Whoever creates, alters or drops anything fails, until the scope ends. */
const forbidDdl = Effect.acquireRelease(
  run(
    `CREATE FUNCTION public.forbid_ddl() RETURNS event_trigger LANGUAGE plpgsql
     AS 'BEGIN RAISE EXCEPTION ''nobody asked for %'', tg_tag; END'`,
    "CREATE EVENT TRIGGER forbid_ddl ON ddl_command_start EXECUTE FUNCTION public.forbid_ddl()"
  ),
  () => Effect.orDie(run("DROP EVENT TRIGGER forbid_ddl"))
)

/** Every row of the catalog and of River's record, down to which transaction wrote it. */
const untouched = Effect.map(fingerprint, (lines) =>
  lines.map(String).filter((line) => line.startsWith("pg_catalog.") || line.includes("river_migration"))
)

/** A process on the schema answers, fails, rescues and schedules, and leaves the schema and River's record as they are. */
const works = Effect.fnUntraced(function* (schema = "metadata", url?: string) {
  const sql = yield* SqlClient.SqlClient
  const { url: owner } = yield* TestDatabase
  const jobs = sql.literal(`"${schema}".river_job`)
  yield* sql`INSERT INTO ${jobs} (kind, queue, args, max_attempts, state, attempt, attempted_at, attempted_by)
    VALUES ('s3_presign', 's3_signer', '{}', 25, 'running', 25, now() - interval '1 minute',
      '{h_s3signer_2020_01_01T00_00_00_000000}')`
  // With one unique key, and so only one where Civic OS's stray index is; of two, the second gives way when they are due.
  const unique = yield* sql`
    INSERT INTO ${jobs} (kind, queue, args, max_attempts, state, scheduled_at, unique_key, unique_states)
    SELECT 's3_presign', 's3_signer', '{}', 25, 'scheduled', now(), '\\x01', B'01110101' FROM generate_series(1, 2)
    ON CONFLICT DO NOTHING RETURNING id`
  yield* forbidDdl
  const before = yield* untouched

  const worker = yield* startWorker(url ?? owner, { RIVER_SCHEMA: schema })
  const [good, bad] = [yield* requestUpload(), yield* requestUpload({ entity_id: "" })]

  assert.strictEqual((yield* answered(good)).status, "completed")
  assert.strictEqual((yield* answered(bad)).status, "failed")
  yield* worker.line(/^rescued 1 jobs/)
  yield* worker.line(/^attempt failed: .*request_id/)
  const conflicts = yield* sql`SELECT id FROM ${jobs} WHERE metadata ? 'unique_key_conflict' AND state = 'discarded'`
  assert.lengthOf(conflicts, unique.length - 1)
  assert.deepEqual(yield* worker.stop, { status: 0, signal: null })
  const odd = worker.log.filter(({ message }) => !/^(working|stopping|attempt failed|rescued 1 jobs)/.test(message))
  assert.deepEqual(odd, [])
  assert.deepEqual(yield* untouched, before)
})

describe.concurrent("a schema", () => {
  it.live.each([6, 7, 8])("[1] [2] of River's version %i is worked as it is", (version) =>
    onDatabase(Effect.andThen(makeTables(version), works()), emptyDatabase)
  )

  it.live.each([6, 7, 8])("[1] of Civic OS is worked as it is, with River's tables taken on to version %i", (version) =>
    onDatabase(
      Effect.gen(function* () {
        yield* makeTables(6)
        yield* asCivicOsHasIt
        yield* takeOn(6, version)
        yield* works()
      }),
      emptyDatabase
    )
  )

  it.live("[2] with its extensions and functions in a schema `plugins`, which no search_path names, is worked", () =>
    onDatabase(
      Effect.gen(function* () {
        yield* run(
          "CREATE SCHEMA plugins",
          "CREATE EXTENSION pgcrypto SCHEMA plugins",
          'CREATE EXTENSION "uuid-ossp" SCHEMA plugins',
          "ALTER FUNCTION metadata.uuid_generate_v7() SET SCHEMA plugins"
        )
        yield* works()
      })
    )
  )

  it.live("[2] of whose names a search_path finds others first is worked", () =>
    onDatabase(
      Effect.gen(function* () {
        const { name } = yield* TestDatabase
        yield* run(
          "CREATE SCHEMA elsewhere",
          "CREATE TABLE elsewhere.river_job (id int)",
          "CREATE TABLE elsewhere.file_upload_requests (id int)",
          "CREATE TYPE elsewhere.river_job_state AS ENUM ('none')",
          `ALTER DATABASE ${name} SET search_path = elsewhere, public`
        )
        yield* works()
      })
    )
  )

  it.live.each([6, 8])("[3] of version %i is worked without the tables that no client needs on PostgreSQL", (version) =>
    onDatabase(
      Effect.gen(function* () {
        yield* makeTables(version)
        for (const table of ["river_client_queue", "river_client", "river_notification"]) {
          yield* run(`DROP TABLE IF EXISTS metadata.${table}`)
        }
        yield* works()
      }),
      emptyDatabase
    )
  )

  it.live.each(["MixedCase", "select", `X${"_y".repeat(22)}z`])("[4] named %s is worked", (schema) =>
    onDatabase(Effect.andThen(Migrate.up({ schema }), works(schema)), emptyDatabase)
  )

  it.live("[2] [9] is worked by a role that owns nothing in it and has an empty search_path", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* role((name) => [
          `GRANT USAGE ON SCHEMA metadata TO ${name}`,
          `GRANT SELECT, UPDATE, DELETE ON metadata.river_job TO ${name}`,
          `GRANT SELECT, INSERT, UPDATE ON metadata.river_queue TO ${name}`,
          `GRANT SELECT, UPDATE ON metadata.file_upload_requests TO ${name}`,
          `ALTER ROLE ${name} SET search_path = ''`
        ])
        yield* works("metadata", url)
      })
    )
  )
})

describe.concurrent("a schema that cannot be worked", () => {
  const keys = { S3_ACCESS_KEY_ID: "SAMPLE", S3_SECRET_ACCESS_KEY: "sample" }

  /** The one line with which the process ends. */
  const refused = Effect.fnUntraced(function* (settings: { readonly RIVER_SCHEMA?: string } = {}) {
    const { url } = yield* TestDatabase
    const { errors, status, stdout } = yield* runToEnd(["work"], { ...keys, DATABASE_URL: url, ...settings })
    assert.strictEqual(status, 2)
    assert.lengthOf(errors, 1)
    assert.strictEqual(stdout, "")
    return errors[0]!
  })

  it.live.each([5, 4, 3])("[1] because River's line is at version %i, ends the process with one line", (version) =>
    onDatabase(
      Effect.gen(function* () {
        yield* Migrate.up({ schema: "metadata", to: { line: "main", version } })
        assert.match(
          yield* refused(),
          /^s3-signer: "metadata"\.river_job is of a version that is too old: .* version 6 to 8/
        )
      }),
      emptyDatabase
    )
  )

  it.live.each(["river_job", "river_queue", "file_upload_requests"])(
    "[1] because it has no table %s, ends the process with one line",
    (table) =>
      onDatabase(
        Effect.gen(function* () {
          yield* run(`DROP TABLE metadata.${table} CASCADE`)
          assert.strictEqual(
            yield* refused(),
            `s3-signer: the database has no table "metadata".${table}: check DATABASE_URL and RIVER_SCHEMA, ` +
              "or make the tables with the command `migrate up`"
          )
        })
      )
  )

  it.live.each(["x".repeat(47), "meta-data", "1a", 'a"b', "a b", "ä"])(
    "[4] because its name is %s, ends the process with one line",
    (schema) =>
      onDatabase(
        Effect.gen(function* () {
          assert.match(
            yield* refused({ RIVER_SCHEMA: schema }),
            /^s3-signer: RIVER_SCHEMA holds .*; it should be 1 to 46 letters, digits and underscores/
          )
        })
      )
  )
})
