import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { Database } from "../src/river/index.ts"
import * as Migrate from "../src/Migrate.ts"
import { TableCheck, type TableCheckOptions } from "../src/TableCheck.ts"
import { onDatabase, role } from "./process/support.ts"
import { TestDatabase } from "./support/Database.ts"

const look = (url: string, options: Partial<TableCheckOptions> = {}) =>
  Effect.map(
    Layer.build(TableCheck.layer({ schema: "metadata", requestRetention: false, ...options })),
    Context.get(TableCheck)
  ).pipe(
    Effect.provide(Database.layer.pipe(Layer.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 }))), {
      local: true
    }),
    Effect.scoped
  )

/** What a role finds wrong; nothing when it may work. */
const check = (url: string, options: Partial<TableCheckOptions> = {}) =>
  Effect.match(look(url, options), { onFailure: ({ message }) => message.split("\n"), onSuccess: () => [] })

/** Makes the table of download requests, which is there only for those who ask for it. */
const makeDownloads = Migrate.up({ schema: "metadata", to: { line: "s3_signer", version: 1 } })

/** What a role needs to work without a retention of requests, and no more. */
const needed = [
  "USAGE ON SCHEMA metadata",
  ...["SELECT", "UPDATE", "DELETE"].map((privilege) => `${privilege} ON metadata.river_job`),
  ...["SELECT", "INSERT", "UPDATE"].map((privilege) => `${privilege} ON metadata.river_queue`),
  ...["SELECT", "UPDATE"].map((privilege) => `${privilege} ON metadata.file_upload_requests`),
  "EXECUTE ON FUNCTION metadata.river_job_state_in_bitmask"
]

const run = Effect.fnUntraced(function* (...statements: ReadonlyArray<string>) {
  const sql = yield* SqlClient.SqlClient
  for (const statement of statements) yield* sql.unsafe(statement).unprepared
})

const closeToPublic = run("REVOKE EXECUTE ON FUNCTION metadata.river_job_state_in_bitmask FROM PUBLIC")

describe("TableCheck", () => {
  it.live("has nothing to say to a role with what is needed, and misses each privilege that is taken away", () =>
    onDatabase(
      Effect.gen(function* () {
        yield* closeToPublic
        const { name, url } = yield* role((name) => needed.map((grant) => `GRANT ${grant} TO ${name}`))

        assert.deepEqual(yield* check(url), [])
        for (const grant of needed) {
          yield* run(`REVOKE ${grant} FROM ${name}`)
          const [privilege, object] = grant.replace("metadata", '"metadata"').split(" ON ")
          assert.deepEqual(yield* check(url), [
            `the database role "${name}" lacks ${privilege} on ${object}: GRANT ${privilege} ON ${object} TO "${name}"`
          ])
          yield* run(`GRANT ${grant} TO ${name}`)
        }
        assert.deepEqual(yield* check(url), [])
      })
    )
  )

  it.live("wants DELETE on the requests only where they are deleted after a while", () =>
    onDatabase(
      Effect.gen(function* () {
        const { name, url } = yield* role((name) => needed.map((grant) => `GRANT ${grant} TO ${name}`))

        assert.deepEqual(yield* check(url, { requestRetention: true }), [
          `the database role "${name}" lacks DELETE on "metadata".file_upload_requests: ` +
            `GRANT DELETE ON "metadata".file_upload_requests TO "${name}"`
        ])
        yield* run(`GRANT DELETE ON metadata.file_upload_requests TO ${name}`)
        assert.deepEqual(yield* check(url, { requestRetention: true }), [])
      })
    )
  )

  it.live("takes no view for a table, and no table without a column that it needs", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        yield* run("ALTER TABLE metadata.file_upload_requests DROP COLUMN s3_key")
        const [old] = yield* check(url)
        assert.match(old!, /^"metadata".file_upload_requests is of a version that is too old/)

        yield* run(
          "ALTER TABLE metadata.file_upload_requests RENAME TO requests",
          "CREATE VIEW metadata.file_upload_requests AS SELECT *, ''::text AS s3_key FROM metadata.requests"
        )
        const [view] = yield* check(url)
        assert.match(view!, /^the database has no table "metadata".file_upload_requests/)
      })
    )
  )

  it.live("tells each table that is missing, and nothing of privileges then", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const outside = yield* role()

        yield* run("DROP TABLE metadata.river_queue")
        for (const each of [url, outside.url]) {
          const [line, ...more] = yield* check(each)
          assert.match(line!, /^the database has no table "metadata"\.river_queue: /)
          assert.deepEqual(more, [])
        }
        const [nowhere] = yield* check(url, { schema: "No such schema" })
        assert.match(nowhere!, /^the database has no table "No such schema"\.river_job and no table /)
      })
    )
  )

  it.live("takes a table without what version 6 brought for too old, whatever else is missing", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase

        yield* run("DROP FUNCTION metadata.river_job_state_in_bitmask CASCADE")
        assert.match((yield* check(url)).join("\n"), /^"metadata"\.river_job is of a version that is too old: [^\n]*$/)
        yield* run("DROP TABLE metadata.river_queue")
        assert.match((yield* check(url)).join("\n"), /^"metadata"\.river_job is of a version that is too old: [^\n]*$/)
      })
    )
  )

  it.live("finds row-level security that applies to the role, not that which does not", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url: owner } = yield* TestDatabase
        const { name, url } = yield* role((name) => needed.map((grant) => `GRANT ${grant} TO ${name}`))
        yield* run(
          "ALTER TABLE metadata.river_queue ENABLE ROW LEVEL SECURITY",
          "ALTER TABLE metadata.file_upload_requests ENABLE ROW LEVEL SECURITY"
        )

        const lines = yield* check(url)

        assert.lengthOf(lines, 2)
        for (const [place, table] of ["river_queue", "file_upload_requests"].entries()) {
          assert.match(
            lines[place]!,
            new RegExp(`^row-level .* role "${name}" on "metadata"\\.${table}, .*: ALTER ROLE "${name}" BYPASSRLS, or`)
          )
        }
        assert.deepEqual(yield* check(owner), [])
        yield* run(`ALTER ROLE ${name} BYPASSRLS`)
        assert.deepEqual(yield* check(url), [])
      })
    )
  )

  it.live("tells whether there are downloads, and says nothing when there are none", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase

        assert.deepEqual(yield* look(url), { downloads: false })
        yield* makeDownloads
        assert.deepEqual(yield* look(url), { downloads: true })
        yield* run(
          "ALTER TABLE metadata.file_download_requests RENAME TO requests",
          "CREATE VIEW metadata.file_download_requests AS SELECT * FROM metadata.requests"
        )
        assert.deepEqual(yield* look(url), { downloads: false })
      })
    )
  )

  it.live("takes a partitioned table of downloads for one", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        yield* makeDownloads
        yield* run(
          "ALTER TABLE metadata.file_download_requests RENAME TO requests",
          "CREATE TABLE metadata.file_download_requests (LIKE metadata.requests) PARTITION BY HASH (id)"
        )

        assert.deepEqual(yield* look(url), { downloads: true })
      })
    )
  )

  it.live("wants of the downloads' table what it wants of the uploads', once it is there", () =>
    onDatabase(
      Effect.gen(function* () {
        const { name, url } = yield* role((name) => needed.map((grant) => `GRANT ${grant} TO ${name}`))
        const table = '"metadata".file_download_requests'
        const lacking = (privileges: string) =>
          `the database role "${name}" lacks ${privileges.replace(", ", " and ")} on ${table}: ` +
          `GRANT ${privileges} ON ${table} TO "${name}"`
        assert.deepEqual(yield* look(url, { requestRetention: false }), { downloads: false })
        yield* makeDownloads

        assert.deepEqual(yield* check(url), [lacking("SELECT, UPDATE")])
        yield* run(`GRANT SELECT, UPDATE ON ${table} TO ${name}`)
        assert.deepEqual(yield* look(url), { downloads: true })
        yield* run(`GRANT DELETE ON metadata.file_upload_requests TO ${name}`)
        assert.deepEqual(yield* check(url, { requestRetention: true }), [lacking("DELETE")])
        yield* run(`ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`)
        const [guarded] = yield* check(url)
        assert.match(guarded!, /^row-level security applies to .* on "metadata"\.file_download_requests, /)
        yield* run(
          `ALTER TABLE ${table} DISABLE ROW LEVEL SECURITY`,
          `ALTER TABLE ${table} RENAME COLUMN answers TO replies`
        )
        const [old] = yield* check(url)
        assert.match(old!, /^"metadata"\.file_download_requests is of a version that is too old: .* s3_signer:1 on$/)
      })
    )
  )
})
