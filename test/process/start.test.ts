/**
 * What an operator sees when the process starts: settings that are wrong, a database that is not ready, credentials that
 * are not there yet.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { inject } from "vitest"
import * as fs from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import * as os from "node:os"
import * as path from "node:path"
import { emptyDatabase, TestDatabase } from "../support/Database.ts"
import { databaseUrl, onServer, signerTemplate } from "../support/Templates.ts"
import { runToEnd, startWorker, until } from "../support/WorkerProcess.ts"
import {
  answered,
  countJobs,
  getAnswer,
  getJobs,
  insertJob,
  insertRequests,
  jobEnded,
  jobOf,
  onDatabase,
  requestUpload,
  role
} from "./support.ts"

/** Somebody who listens and counts who connects. */
const listener = Effect.acquireRelease(
  Effect.callback<{ readonly port: number; connections: number; readonly close: () => void }>((resume) => {
    const server = createServer((socket) => {
      heard.connections++
      socket.destroy()
    })
    const heard = { port: 0, connections: 0, close: () => void server.close() }
    server.listen(0, "127.0.0.1", () => {
      resume(Effect.succeed(Object.assign(heard, { port: (server.address() as AddressInfo).port })))
    })
  }),
  ({ close }) => Effect.sync(close)
)

const directory = Effect.acquireRelease(
  Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "s3-signer-process-test-"))),
  (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true }))
)

describe.concurrent("settings", () => {
  it.live("that are wrong end it with status 2, all told at once, no secret repeated, before it connects", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const heard = yield* listener

        const { errors, status, stdout } = yield* runToEnd(["work"], {
          DATABASE_URL: `postgres://me:canary-password@127.0.0.1:${heard.port}/db`,
          DATABASE_LISTEN_URL: "postgres://me:canary-password@127.0.0.1:port/db",
          DB_MAX_CONNS: "2",
          DB_MIN_CONNS: "3",
          MAX_WORKERS: "1e9",
          FETCH_POLL_INTERVAL: "often",
          UPLOAD_URL_LIFETIME: "8d",
          S3_BUCKET: "My_Bucket",
          S3_ENDPOINT: "https://me:canary-password@s3.example.org",
          S3_REGION: "Europe",
          S3_SECRET_ACCESS_KEY: "canary-secret",
          S3_SESSION_TOKEN: "canary token",
          S3_PRESIGNER: "openssl",
          RIVER_SCHEMA: "meta-data",
          LOG_LEVEL: "loud"
        })

        assert.strictEqual(status, 2)
        const named = errors.map((line) => /^s3-signer: ([A-Z0-9_]+) /.exec(line)?.[1] ?? line)
        assert.deepEqual(
          [...new Set(named)].toSorted(),
          [
            "DATABASE_LISTEN_URL",
            "DB_MIN_CONNS",
            "FETCH_POLL_INTERVAL",
            "LOG_LEVEL",
            "MAX_WORKERS",
            "RIVER_SCHEMA",
            "S3_BUCKET",
            "S3_ENDPOINT",
            "S3_PRESIGNER",
            "S3_REGION",
            "S3_SECRET_ACCESS_KEY",
            "S3_SESSION_TOKEN",
            "UPLOAD_URL_LIFETIME"
          ].toSorted()
        )
        assert.include(errors, 's3-signer: MAX_WORKERS holds "1e9"; it should be a whole number from 1 to 1000')
        assert.notInclude(errors.join("\n"), "canary")
        assert.strictEqual(stdout, "")
        assert.strictEqual(heard.connections, 0)
      })
    )
  )

  it.live("in the older names work, with one line that names the newer", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const worker = yield* startWorker(url, {
          S3_ACCESS_KEY_ID: "",
          S3_SECRET_ACCESS_KEY: undefined,
          AWS_ACCESS_KEY_ID: "OLDERNAME",
          AWS_SECRET_ACCESS_KEY: "older-secret",
          AWS_SESSION_TOKEN: "older-token",
          AWS_REGION: "eu-central-1",
          AWS_ENDPOINT_URL: "https://files.example.org/base"
        })

        const answer = yield* answered(yield* requestUpload())

        const signed = new URL(answer.url!)
        assert.strictEqual(signed.origin, "https://files.example.org")
        assert.isTrue(signed.pathname.startsWith("/base/civic-os-files/document/42/"))
        assert.match(signed.searchParams.get("X-Amz-Credential")!, /^OLDERNAME\/\d{8}\/eu-central-1\/s3\//)
        assert.strictEqual(signed.searchParams.get("X-Amz-Security-Token"), "older-token")
        assert.sameMembers(
          [...worker.logged(/deprecated/)],
          [
            "AWS_ACCESS_KEY_ID is deprecated: set S3_ACCESS_KEY_ID in its place",
            "AWS_SECRET_ACCESS_KEY is deprecated: set S3_SECRET_ACCESS_KEY in its place",
            "AWS_REGION is deprecated: set S3_REGION in its place",
            "AWS_ENDPOINT_URL is deprecated: set S3_ENDPOINT in its place"
          ]
        )
      })
    )
  )

  it.live(
    "of schema, queue, name and polling hold: its own tables only, its own queue only, no listening session",
    () =>
      onDatabase(
        Effect.gen(function* () {
          const { url } = yield* TestDatabase
          const sql = yield* SqlClient.SqlClient
          const settings = { RIVER_SCHEMA: "MixedCase", RIVER_QUEUE: "Other queue", RIVER_CLIENT_ID: "blue.site" }
          const migrated = yield* runToEnd(["migrate", "up"], { ...settings, DATABASE_URL: url })
          assert.strictEqual(migrated.status, 0, migrated.errors.join("\n"))
          const worker = yield* startWorker(url, {
            ...settings,
            DATABASE_LISTEN_URL: "off",
            FETCH_POLL_INTERVAL: "200ms"
          })
          yield* worker.working

          const left = yield* requestUpload()
          const id = yield* requestUpload()
          yield* sql`UPDATE "MixedCase".river_job SET queue = 'Other queue' WHERE args ->> 'request_id' = ${id}`
          assert.strictEqual((yield* answered(id)).status, "completed")

          assert.strictEqual((yield* getAnswer(left)).status, "pending")
          const [job] = yield* sql<{ readonly client: string }>`SELECT attempted_by[1] AS client
          FROM "MixedCase".river_job WHERE args ->> 'request_id' = ${id}`
          assert.match(job!.client, /^blue\.site_s3signer_\d{4}_\d\d_\d\dT\d\d_\d\d_\d\d_\d{6}$/)
          assert.deepEqual(
            yield* sql`SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE '%listen%'
            AND pid <> pg_backend_pid()`,
            []
          )
          assert.include(worker.log[0], { level: "info", message: "working", queue: "Other queue" })
        }),
        emptyDatabase
      )
  )
})

describe.concurrent("a database", () => {
  it.live("without the tables ends it with status 2, and the message has the cure", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase

        const bare = yield* runToEnd(["work"], { DATABASE_URL: url })

        assert.strictEqual(bare.status, 2)
        assert.strictEqual(bare.errors.length, 1)
        assert.match(
          bare.errors[0]!,
          /has no table "metadata"\.river_job and no table "metadata"\.river_queue and no table "metadata"\.file_upload_requests: .*DATABASE_URL.*RIVER_SCHEMA.*migrate up/
        )
        const sql = yield* SqlClient.SqlClient
        assert.deepEqual(yield* sql`SELECT nspname FROM pg_namespace WHERE nspname = 'metadata'`, [])
      }),
      emptyDatabase
    )
  )

  it.live("with time zone, formats and isolation of its own is worked all the same, by two", () =>
    onDatabase(
      Effect.gen(function* () {
        const { name, url } = yield* TestDatabase
        const sql = yield* SqlClient.SqlClient
        for (const setting of [
          "TimeZone = 'Asia/Kathmandu'",
          "DateStyle = 'German, DMY'",
          "IntervalStyle = 'sql_standard'",
          "bytea_output = 'escape'",
          "extra_float_digits = -5",
          "default_transaction_isolation = 'serializable'",
          "jit_above_cost = 0"
        ]) {
          yield* sql.unsafe(`ALTER DATABASE ${name} SET ${setting}`)
        }
        const workers = [yield* startWorker(url), yield* startWorker(url)]
        for (const worker of workers) yield* worker.working
        yield* insertRequests(2000)
        const failed = yield* requestUpload({ entity_id: "" })
        const later = yield* insertJob("{}", { state: "'scheduled'", scheduled_at: "now() + interval '1 second'" })

        assert.strictEqual((yield* answered(failed)).status, "failed")
        yield* until(countJobs, ({ completed }) => completed === 2000)
        assert.deepInclude(yield* jobEnded(later), { state: "discarded", attempt: 1 })

        assert.lengthOf(yield* getJobs("j.attempt <> 1"), 0)
        assert.lengthOf(yield* getJobs("j.finalized_at < j.attempted_at OR j.finalized_at > now()"), 0)
        for (const worker of workers) {
          assert.deepEqual(yield* worker.stop, { status: 0, signal: null })
          const odd = worker.log.filter(({ message }) => !/^(working|stopping|attempt failed)/.test(message))
          assert.deepEqual(odd, [])
        }
      })
    )
  )

  it.live("[9] that is closed to the role ends it with status 2, and the lines that it says open what is needed", () =>
    onDatabase(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`REVOKE EXECUTE ON FUNCTION metadata.river_job_state_in_bitmask FROM PUBLIC`
        const { name, url } = yield* role()

        const refused = yield* runToEnd(["work"], { DATABASE_URL: url })

        assert.strictEqual(refused.status, 2)
        assert.deepEqual(
          refused.errors.map((line) => line.replaceAll(name, "it")),
          [
            ["USAGE", 'SCHEMA "metadata"'],
            ["SELECT, UPDATE, DELETE", '"metadata".river_job'],
            ["SELECT, INSERT, UPDATE", '"metadata".river_queue'],
            ["SELECT, UPDATE", '"metadata".file_upload_requests'],
            ["EXECUTE", 'FUNCTION "metadata".river_job_state_in_bitmask']
          ].map(
            ([privileges, object]) =>
              `s3-signer: the database role "it" lacks ${privileges!.replaceAll(", ", " and ")} on ${object}: ` +
              `GRANT ${privileges} ON ${object} TO "it"`
          )
        )

        for (const line of refused.errors) yield* sql.unsafe(line.replace(/.*: (?=GRANT)/, "")).unprepared
        const worker = yield* startWorker(url)
        const ids = [yield* requestUpload(), yield* requestUpload({ entity_id: "" })]
        const lost = yield* insertJob("{}", {
          state: "'running'",
          attempt: "1",
          attempted_at: "now() - interval '1 minute'",
          attempted_by: "'{h_s3signer_2020_01_01T00_00_00_000000}'"
        })
        assert.strictEqual((yield* answered(ids[0]!)).status, "completed")
        assert.strictEqual((yield* answered(ids[1]!)).status, "failed")
        assert.strictEqual((yield* jobEnded(lost)).state, "discarded")
        assert.deepEqual(worker.logged(/denied/), [])
      })
    )
  )

  it.live("[6] that refuses the password or is not there yet is waited for, with a line; then it works", () =>
    onDatabase(
      Effect.gen(function* () {
        const { name: database, url } = yield* TestDatabase
        const sql = yield* SqlClient.SqlClient
        const owner = yield* role((name) => [
          `GRANT USAGE ON SCHEMA metadata TO ${name}`,
          `GRANT ALL ON ALL TABLES IN SCHEMA metadata TO ${name}`
        ])
        const wrong = new URL(owner.url)
        wrong.password = "not_of_the_role"
        const later = `${database}_later`
        yield* Effect.addFinalizer(() => Effect.orDie(onServer(url, [`DROP DATABASE IF EXISTS ${later} WITH (FORCE)`])))
        const locked = yield* startWorker(wrong.href)
        const early = yield* startWorker(databaseUrl(inject("databaseUrl"), later))
        const id = yield* requestUpload()
        assert.match(
          (yield* locked.line(/database is away/)).message,
          /^the database is away, waiting for it: password authentication failed .*SQLSTATE 28P01/
        )
        assert.match(
          (yield* early.line(/database is away/)).message,
          /^the database is away, waiting for it: .*does not exist.*SQLSTATE 3D000/
        )

        yield* sql.unsafe(`ALTER ROLE ${owner.name} PASSWORD 'not_of_the_role'`)
        yield* onServer(url, [`CREATE DATABASE ${later} TEMPLATE ${signerTemplate}`])

        yield* locked.line(/^the database is back after/)
        yield* early.line(/^the database is back after/)
        yield* early.working
        assert.strictEqual((yield* answered(id)).status, "completed")
        for (const worker of [locked, early]) {
          assert.deepEqual(
            worker.log.map(({ message }) => message.replace(/ after .*|, waiting .*/, "")),
            ["the database is away", "the database is back", "working"]
          )
          assert.notInclude(worker.output(), "not_of_the_role")
          assert.deepEqual(yield* worker.stop, { status: 0, signal: null })
        }
      })
    )
  )
})

describe("credentials", () => {
  it.live("that are missing cost nobody an attempt; when they appear, work goes on", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const files = yield* directory
        const worker = yield* startWorker(url, {
          S3_ACCESS_KEY_ID: undefined,
          S3_SECRET_ACCESS_KEY: undefined,
          AWS_SHARED_CREDENTIALS_FILE: path.join(files, "credentials"),
          AWS_CONFIG_FILE: path.join(files, "config"),
          FETCH_POLL_INTERVAL: "100ms"
        })
        yield* insertRequests(100)
        yield* worker.line(/^no usable AWS credentials, nothing can be signed/)
        yield* worker.working
        const id = yield* requestUpload()
        yield* Effect.sleep("1 second")
        assert.deepEqual(yield* countJobs, { available: 101 })
        assert.lengthOf(yield* getJobs("j.attempt <> 0 OR j.attempted_by IS NOT NULL OR j.errors IS NOT NULL"), 0)

        fs.writeFileSync(
          path.join(files, "credentials"),
          "[default]\naws_access_key_id = APPEARED\naws_secret_access_key = later-secret\n"
        )

        const answer = yield* answered(id)
        assert.match(new URL(answer.url!).searchParams.get("X-Amz-Credential")!, /^APPEARED\//)
        yield* until(countJobs, ({ completed }) => completed === 101)
        assert.deepInclude(yield* jobOf(id), { attempt: 1, errors: null })
        assert.deepEqual(
          worker.log.map(({ message }) => message.replace(/:.*/, "")).filter((message) => message !== "working"),
          ["no usable AWS credentials, nothing can be signed", "AWS credentials found"]
        )
        assert.notInclude(worker.output(), "later-secret")
      })
    )
  )
})
