/**
 * The line `s3_signer`: what it makes for downloads, that nobody gets it who did not ask, and that it keeps away from what
 * Civic OS made.
 */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as Migrate from "../src/Migrate.ts"
import { load, type Version } from "../src/MigrationFiles.ts"
import { catalogOf, column, everyObject, fingerprint, onEmpty, run } from "./catalog.ts"
import { as, downloads, insertFiles, makeCivicOs, makeRoles } from "./support/FilesTables.ts"

const schema = "metadata"
const before: Version = { line: "s3_signer", version: 0 }
const names = (steps: ReadonlyArray<Version>) => steps.map(({ line, version }) => `${line}:${version}`)
const id = "0190a000-0000-7000-8000-000000000001"
const alice = { role: "authenticated", sub: "a11ce000-0000-4000-8000-000000000001" } as const

const recorded = column("SELECT line || ':' || version FROM metadata.river_migration ORDER BY line DESC, version")
const downloadsOf = Effect.map(Migrate.status({ schema }), ({ lines }) =>
  lines.find(({ line }) => line === "s3_signer")
)

/** The objects of both schemas whose names say that they are about downloads. */
const objects = Effect.gen(function* () {
  const all = [...(yield* column(catalogOf(schema))), ...(yield* column(catalogOf("public")))].map(String)
  return all.filter((line) => /download/.test(line))
})

/** What happens to a row of ours does not count, and the record of versions is where it is written. */
const ofCivicOs = Effect.map(fingerprint, (lines) =>
  lines
    .map(String)
    .filter((line) => !line.startsWith("pg_catalog.") && !/file_download_requests|river_migration/.test(line))
)

describe("the line s3_signer", () => {
  onEmpty(
    "goes up only when it is named, with all that comes before it",
    Effect.gen(function* () {
      const planned = yield* Migrate.up({ schema, dryRun: true })
      yield* Migrate.up({ schema })
      const without = yield* Migrate.status({ schema })
      const offered = yield* downloadsOf
      const named = yield* Migrate.up({ schema, to: downloads })
      const again = yield* Migrate.up({ schema, to: downloads })
      const plain = yield* Migrate.up({ schema })

      assert.notInclude(names(planned.steps), "s3_signer:1")
      assert.strictEqual(without.summary, "Schema metadata is up to date.")
      assert.deepEqual(offered, {
        line: "s3_signer",
        optIn: true,
        applied: [],
        pending: [{ version: 1, name: "downloads" }]
      })
      assert.deepEqual(names(named.steps), ["s3_signer:1"])
      assert.deepEqual([again.steps, plain.steps], [[], []])
      assert.strictEqual((yield* Migrate.status({ schema })).summary, "Schema metadata is up to date.")
      assert.deepEqual((yield* downloadsOf)?.applied, [1])
      assert.strictEqual((yield* recorded).at(0), "s3_signer:1")
    })
  )

  onEmpty(
    "is planned on a bare database after everything else, and undone before it",
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const nothing = yield* fingerprint
      const { steps } = yield* Migrate.up({ schema, to: downloads, dryRun: true })

      assert.deepEqual(names(steps), names(yield* load))
      assert.deepEqual(yield* fingerprint, nothing)

      // As psql would, with another search path than `migrate` has.
      for (const step of steps) yield* sql.withTransaction(run(...step.statements))
      const made = yield* column(everyObject)
      const back = yield* Migrate.down({ schema, dryRun: true })

      assert.deepEqual(names(back.steps), ["s3_signer:1"])
      for (const step of back.steps) yield* sql.withTransaction(run(...step.statements))
      assert.deepEqual(yield* objects, [])

      yield* Migrate.up({ schema, to: downloads })

      assert.deepEqual(yield* column(everyObject), made)
    })
  )

  onEmpty(
    "makes the table, the triggers and the functions that callers and the worker use",
    Effect.gen(function* () {
      yield* Migrate.up({ schema, to: downloads })

      const pinned = 'security definer {"search_path=pg_catalog, pg_temp"}'
      const table = "file_download_requests"
      assert.deepEqual(yield* objects, [
        "column file_download_requests.answers jsonb",
        "column file_download_requests.created_at timestamp with time zone not null default now()",
        "column file_download_requests.error_message text",
        "column file_download_requests.expires_at timestamp with time zone",
        "column file_download_requests.file_ids uuid[]",
        "column file_download_requests.files jsonb not null",
        "column file_download_requests.id uuid not null default metadata.file_download_request_id()",
        "column file_download_requests.inline boolean not null default false",
        "column file_download_requests.requested_by text not null",
        "column file_download_requests.status text not null default 'pending'::text",
        `constraint ${table}.file_download_requests_pkey PRIMARY KEY (id)`,
        `constraint ${table}.file_download_requests_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'completed'::text, 'failed'::text])))`,
        "function accept_file_download() trigger plpgsql volatile",
        `function clear_file_download_keys() trigger plpgsql volatile ${pinned}`,
        "function file_download_asker() text sql stable",
        "function file_download_request_id() uuid sql volatile",
        "function file_download_snapshot(asked uuid[], seen jsonb[]) jsonb sql immutable",
        `function insert_s3_presign_download_job() trigger plpgsql volatile ${pinned}`,
        `index file_download_requests_pkey CREATE UNIQUE INDEX file_download_requests_pkey ON ${table} USING btree (id)`,
        `index idx_download_requests_status CREATE INDEX idx_download_requests_status ON ${table} USING btree (status, created_at)`,
        "table file_download_requests",
        `trigger ${table}.accept_file_download_trigger CREATE TRIGGER accept_file_download_trigger BEFORE INSERT ON metadata.${table} FOR EACH ROW EXECUTE FUNCTION metadata.accept_file_download()`,
        `trigger ${table}.clear_file_download_keys_trigger CREATE TRIGGER clear_file_download_keys_trigger BEFORE INSERT ON metadata.${table} FOR EACH ROW EXECUTE FUNCTION metadata.clear_file_download_keys()`,
        `trigger ${table}.insert_s3_presign_download_job_trigger CREATE TRIGGER insert_s3_presign_download_job_trigger AFTER INSERT ON metadata.${table} FOR EACH ROW EXECUTE FUNCTION metadata.insert_s3_presign_download_job()`,
        `function get_download_url(p_request_id uuid) TABLE(status text, url text, file_id uuid, error text, expires_at timestamp with time zone) sql stable ${pinned}`,
        "function request_download_url(p_file_id uuid, p_inline boolean DEFAULT false) uuid sql volatile",
        "function request_download_urls(p_file_ids uuid[], p_inline boolean DEFAULT false) uuid sql volatile"
      ])
    })
  )

  onEmpty(
    "works on tables of ours in any schema, where whoever is logged in sees every file",
    Effect.gen(function* () {
      yield* makeRoles
      yield* Migrate.up({ schema: "Mixed_Case", to: downloads })
      yield* run(
        `INSERT INTO "Mixed_Case".files (id, entity_type, entity_id, file_name, file_type, file_size, s3_original_key)
         VALUES ('${id}', 'issues', '1', 'a.png', 'image/png', 1, 'issues/1/${id}/original.png')`
      )

      const [row] = yield* as(alice)(column(`SELECT public.request_download_url('${id}')`))

      assert.deepEqual(yield* column(`SELECT args ->> 'request_id' FROM "Mixed_Case".river_job`), [row])
      assert.deepEqual(yield* column(`SELECT files #>> '{0,key}' FROM "Mixed_Case".file_download_requests`), [
        `issues/1/${id}/original.png`
      ])
      assert.deepEqual(yield* as(alice)(column(`SELECT status FROM public.get_download_url('${String(row)}')`)), [
        "pending"
      ])
    })
  )

  onEmpty(
    "is not taken away with its rows unless told to, and then alone",
    Effect.gen(function* () {
      yield* Migrate.up({ schema })
      const before_ = yield* column(everyObject)
      yield* Migrate.up({ schema, to: downloads })
      yield* run(
        `INSERT INTO metadata.files (id, entity_type, entity_id, file_name, file_type, file_size, s3_original_key)
         VALUES ('${id}', 'issues', '1', 'a.png', 'image/png', 1, 'k')`,
        `SELECT public.request_download_url('${id}')`
      )

      const error = yield* Effect.flip(Migrate.down({ schema }))
      const { steps, tablesWithRows } = yield* Migrate.down({ schema, to: before, dropRows: true })

      assert.strictEqual(error.reason, "rows")
      assert.include(error.message, "file_download_requests in schema metadata")
      assert.deepEqual(names(steps), ["s3_signer:1"])
      assert.deepEqual(tablesWithRows, ["file_download_requests"])
      assert.deepEqual(yield* column(everyObject), before_)
      // The job is River's, and stays.
      assert.deepEqual(yield* column("SELECT kind FROM metadata.river_job"), ["s3_presign_download"])
    })
  )

  onEmpty(
    "does not go up where somebody else's functions have the names of its own, or a newer release has been",
    Effect.gen(function* () {
      yield* Migrate.up({ schema })
      yield* run("CREATE FUNCTION public.get_download_url(uuid) RETURNS text LANGUAGE sql AS 'SELECT NULL::text'")
      const untouched = yield* fingerprint

      const taken = yield* Effect.flip(Migrate.up({ schema, to: downloads }))

      assert.strictEqual(taken.reason, "taken")
      assert.match(taken.message, /^public\.get_download_url\(uuid\): there already/)
      assert.deepEqual(yield* fingerprint, untouched)

      yield* run(
        "DROP FUNCTION public.get_download_url(uuid)",
        "INSERT INTO metadata.river_migration (line, version) VALUES ('s3_signer', 99)"
      )
      const newer = yield* Effect.flip(Migrate.up({ schema }))

      assert.strictEqual(newer.reason, "newer")
      assert.include(newer.message, "s3_signer:99")
      assert.strictEqual((yield* Migrate.status({ schema })).summary, "Schema metadata is ahead of this release.")
    })
  )

  onEmpty(
    "lets replicas race: one of them applies it",
    Effect.gen(function* () {
      yield* Migrate.up({ schema })
      const racers = yield* Effect.all(
        [1, 2, 3].map(() => Migrate.up({ schema, to: downloads })),
        { concurrency: "unbounded" }
      )

      assert.deepEqual(
        racers.flatMap(({ steps }) => names(steps)),
        ["s3_signer:1"]
      )
    })
  )
})

describe("beside Civic OS, the line s3_signer", () => {
  onEmpty(
    "goes up and down by its own name, and leaves all else as it is",
    Effect.gen(function* () {
      yield* makeCivicOs("0.39.0")
      yield* insertFiles([{ id, entity_type: "issues", entity_id: "1", created_by: alice.sub }])
      const everything = yield* fingerprint
      const made = yield* column(everyObject)
      const theirs = yield* ofCivicOs
      const versions = yield* recorded

      for (const other of ["main", "civic_os"] as const) {
        const known = (yield* load).filter(({ line }) => line === other)
        for (const to of known) assert.deepEqual((yield* Migrate.up({ schema, to })).steps, [])
      }
      const planned = yield* Migrate.up({ schema, to: downloads, dryRun: true })
      assert.deepEqual((yield* Migrate.up({ schema })).steps, [])
      assert.strictEqual((yield* Effect.flip(Migrate.down({ schema }))).reason, "civicOs")
      assert.deepEqual((yield* Migrate.down({ schema, to: before })).steps, [])
      assert.deepEqual(names(planned.steps), ["s3_signer:1"])
      assert.deepEqual(yield* fingerprint, everything)

      const { civicOs, steps } = yield* Migrate.up({ schema, to: downloads })

      assert.isTrue(civicOs)
      assert.deepEqual(names(steps), ["s3_signer:1"])
      assert.deepEqual(yield* recorded, ["s3_signer:1", ...versions])
      assert.deepEqual(yield* ofCivicOs, theirs)
      const status = yield* Migrate.status({ schema })
      assert.include(status, { civicOs: true, accepted: true })
      assert.include(status.summary, "There is nothing to migrate.")
      assert.deepEqual(
        status.lines.map(({ applied, pending }) => [applied.length, pending.length]),
        [
          [6, 0],
          [0, 0],
          [1, 0]
        ]
      )

      // Only it may go again: not what Civic OS made, also when everything is asked for.
      for (const to of [
        { line: "main", version: 0 },
        { line: "civic_os", version: 0 }
      ] as const) {
        assert.strictEqual((yield* Effect.flip(Migrate.down({ schema, to, dropRows: true }))).reason, "civicOs")
      }
      const back = yield* Migrate.down({ schema })

      assert.deepEqual(names(back.steps), ["s3_signer:1"])
      assert.deepEqual(yield* column(everyObject), made)
      assert.deepEqual(yield* recorded, versions)
      assert.deepEqual(yield* ofCivicOs, theirs)
    })
  )

  onEmpty(
    "keeps its rows, too",
    Effect.gen(function* () {
      yield* makeCivicOs("0.10.0")
      yield* Migrate.up({ schema, to: downloads })
      yield* insertFiles([{ id, entity_type: "issues", entity_id: "1" }])
      yield* as(alice)(column(`SELECT public.request_download_url('${id}')`))

      assert.strictEqual((yield* Effect.flip(Migrate.down({ schema }))).reason, "rows")
      assert.deepEqual((yield* Migrate.down({ schema, dropRows: true })).tablesWithRows, ["file_download_requests"])
    })
  )

  onEmpty(
    "is refused where River's tables are too old for the worker",
    Effect.gen(function* () {
      yield* makeCivicOs("0.10.0")
      yield* run("DELETE FROM metadata.river_migration WHERE version = 6")
      const untouched = yield* fingerprint

      assert.strictEqual((yield* Effect.flip(Migrate.up({ schema, to: downloads }))).reason, "civicOs")
      assert.deepEqual(yield* fingerprint, untouched)
    })
  )

  onEmpty(
    "does not go up a second time for another schema of the database",
    Effect.gen(function* () {
      yield* makeCivicOs("0.10.0")
      yield* Migrate.up({ schema, to: downloads })
      yield* run("DROP FUNCTION IF EXISTS public.request_upload_url(text, text, text, text)")

      const error = yield* Effect.flip(Migrate.up({ schema: "second", to: downloads }))

      assert.strictEqual(error.reason, "taken")
      assert.include(error.message, "public.request_download_url(uuid,boolean)")
    })
  )
})
