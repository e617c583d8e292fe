/**
 * The line `civic_os`: what it gives a bare database, and that it keeps away from one that Civic OS manages.
 */
import { assert, describe } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { SqlClient } from "effect/sql/SqlClient"
import * as Migrate from "../src/Migrate.ts"
import { load, statementsOf } from "../src/MigrationFiles.ts"
import { catalogOf, column, fingerprint, onEmpty, run } from "./catalog.ts"

const schema = "metadata"

/**
 * A database as Civic OS makes it, as far as a migration could take it for its own: River's line at a version, recorded
 * the same way, with Civic OS's own quirks, and the request table, trigger and functions with rows in them.
 */
const civicOsDatabase = Effect.fnUntraced(function* (river: number) {
  yield* run("CREATE SCHEMA metadata")
  yield* Migrate.up({ schema, to: { line: "main", version: river } })
  yield* run(
    // The record has an id of its own, and takes rows that name no line.
    "ALTER TABLE metadata.river_migration ADD COLUMN id bigserial, ALTER COLUMN line SET DEFAULT 'main'",
    "ALTER TABLE metadata.river_migration RENAME CONSTRAINT version_gte_1 TO version",
    "ALTER TABLE metadata.river_migration DROP CONSTRAINT line_length",
    "ALTER TABLE metadata.river_job SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 1)",
    "CREATE UNIQUE INDEX IF NOT EXISTS river_job_kind_unique_key_idx ON metadata.river_job (kind, unique_key)",
    "ALTER TABLE metadata.river_client DROP CONSTRAINT name_length",
    "ALTER TABLE metadata.river_client_queue ADD COLUMN paused_at timestamptz, ALTER COLUMN max_workers DROP DEFAULT",
    // Its functions live in public, and find one another by a search path of the database's.
    `CREATE FUNCTION public.uuid_generate_v7() RETURNS uuid LANGUAGE plpgsql
     AS 'BEGIN RETURN pg_catalog.gen_random_uuid(); END'`,
    `CREATE TABLE metadata.file_upload_requests (
       id uuid PRIMARY KEY DEFAULT public.uuid_generate_v7(), entity_type text NOT NULL, entity_id text NOT NULL,
       file_name text NOT NULL, file_type text NOT NULL, status text DEFAULT 'pending', presigned_url text, s3_key text,
       file_id uuid, error_message text, created_at timestamptz NOT NULL DEFAULT now())`,
    `CREATE FUNCTION public.insert_s3_presign_job() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
     SET search_path = metadata, public
     AS 'BEGIN
       INSERT INTO metadata.river_job (kind, queue, max_attempts, args)
       VALUES (''s3_presign'', ''s3_signer'', 25, pg_catalog.jsonb_build_object(''request_id'', NEW.id));
       RETURN NEW;
     END'`,
    `CREATE TRIGGER insert_s3_presign_job_trigger AFTER INSERT ON metadata.file_upload_requests
     FOR EACH ROW EXECUTE FUNCTION public.insert_s3_presign_job()`,
    `CREATE FUNCTION public.request_upload_url(text, text, text, text) RETURNS uuid LANGUAGE sql SECURITY DEFINER
     AS 'INSERT INTO metadata.file_upload_requests (entity_type, entity_id, file_name, file_type)
       VALUES ($1, $2, $3, $4) RETURNING id'`,
    `CREATE TABLE metadata.files (id uuid PRIMARY KEY, s3_original_key text NOT NULL)`,
    "INSERT INTO metadata.files VALUES (gen_random_uuid(), 'issues/1/x/original.png')",
    "SELECT public.request_upload_url('issues', '1', 'a.png', 'image/png') FROM generate_series(1, 5)"
  )
})

describe("a database that Civic OS manages", () => {
  onEmpty(
    "is left as it is by every command",
    Effect.gen(function* () {
      yield* civicOsDatabase(6)
      const before = yield* fingerprint

      const applied = yield* Migrate.up({ schema })
      const planned = yield* Migrate.up({ schema, dryRun: true })
      const targeted = yield* Migrate.up({ schema, to: { line: "main", version: 8 } })
      const { reason } = yield* Effect.flip(Migrate.down({ schema }))
      yield* Effect.flip(Migrate.down({ schema, to: { line: "main", version: 0 }, dropRows: true }))
      const status = yield* Migrate.status({ schema })

      assert.deepEqual(yield* fingerprint, before)
      for (const result of [applied, planned, targeted]) assert.deepInclude(result, { civicOs: true, steps: [] })
      assert.strictEqual(reason, "civicOs")
      assert.deepEqual(status, {
        schema,
        civicOs: true,
        accepted: true,
        lines: [
          { line: "main", optIn: false, applied: [1, 2, 3, 4, 5, 6], pending: [] },
          { line: "civic_os", optIn: false, applied: [], pending: [] },
          { line: "s3_signer", optIn: true, applied: [], pending: [{ version: 1, name: "downloads" }] }
        ],
        summary:
          "Civic OS manages schema metadata, with River's tables at version 6, which the worker accepts. " +
          "There is nothing to migrate."
      })
    })
  )

  onEmpty(
    "is accepted at version 7 or 8 too, where River's own tools took it there",
    Effect.gen(function* () {
      yield* civicOsDatabase(6)
      for (const migration of yield* load) {
        if (migration.line !== "main" || migration.version < 7) continue
        yield* run(
          ...statementsOf(migration.up, schema),
          `INSERT INTO metadata.river_migration (line, version) VALUES ('main', ${migration.version})`
        )
        const before = yield* fingerprint

        assert.deepInclude(yield* Migrate.up({ schema }), { civicOs: true, steps: [] })
        assert.include(yield* Migrate.status({ schema }), { civicOs: true, accepted: true })
        assert.deepEqual(yield* fingerprint, before)
      }
    })
  )

  onEmpty(
    "is refused, and left as it is, when its River tables are older than the worker needs",
    Effect.gen(function* () {
      yield* civicOsDatabase(5)
      const before = yield* fingerprint

      const error = yield* Effect.flip(Migrate.up({ schema }))

      assert.strictEqual(error.reason, "civicOs")
      assert.include(error.message, "River's tables at version 5; the worker needs 6 to 8. Upgrade Civic OS")
      assert.include(yield* Migrate.status({ schema }), { civicOs: true, accepted: false })
      assert.deepEqual(yield* fingerprint, before)
    })
  )

  onEmpty(
    "does not get a second set of tables in another schema that would share its functions",
    Effect.gen(function* () {
      yield* civicOsDatabase(6)
      const before = yield* fingerprint

      const error = yield* Effect.flip(Migrate.up({ schema: "jobs" }))

      assert.strictEqual(error.reason, "taken")
      assert.deepEqual(yield* fingerprint, before)
    })
  )
})

describe("request_upload_url", () => {
  onEmpty(
    "makes a pending request and one job for it, and notifies at commit",
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const pg = yield* PgClient.PgClient
      yield* Migrate.up({ schema })
      const heard = yield* pg.listen("upload_url_request")

      const [id] = yield* column("SELECT public.request_upload_url('issues', '42', 'My photo.PNG', 'image/png')")

      const notification = yield* Queue.take(heard)
      assert.deepEqual(JSON.parse(notification.payload), {
        requestId: id,
        fileName: "My photo.PNG",
        fileType: "image/png",
        entityType: "issues",
        entityId: "42"
      })
      assert.deepEqual(
        yield* sql`SELECT id, status, entity_type, entity_id, file_name, file_type, presigned_url, s3_key, file_id,
          error_message FROM metadata.file_upload_requests`,
        [
          {
            id,
            status: "pending",
            entity_type: "issues",
            entity_id: "42",
            file_name: "My photo.PNG",
            file_type: "image/png",
            presigned_url: null,
            s3_key: null,
            file_id: null,
            error_message: null
          }
        ]
      )
      assert.deepEqual(
        yield* sql`SELECT kind, queue, priority, max_attempts, state::text AS state, attempt, args, metadata, tags,
          created_at = scheduled_at AS due, attempted_at, attempted_by, errors, finalized_at, unique_key,
          unique_states::text AS unique_states FROM metadata.river_job`,
        [
          {
            kind: "s3_presign",
            queue: "s3_signer",
            priority: 1,
            max_attempts: 25,
            state: "available",
            attempt: 0,
            args: {
              request_id: id,
              file_name: "My photo.PNG",
              file_type: "image/png",
              entity_type: "issues",
              entity_id: "42"
            },
            metadata: {},
            tags: [],
            due: true,
            attempted_at: null,
            attempted_by: null,
            errors: null,
            finalized_at: null,
            unique_key: null,
            unique_states: null
          }
        ]
      )
    }).pipe(Effect.scoped)
  )

  onEmpty(
    "takes nothing from the caller's search path",
    Effect.gen(function* () {
      const sql = yield* SqlClient
      yield* Migrate.up({ schema })
      // Whoever can make a schema could otherwise run code with the owner's rights.
      yield* run(
        "CREATE SCHEMA hostile",
        "CREATE FUNCTION hostile.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE ''hostile''; END'",
        `CREATE FUNCTION hostile.jsonb_build_object(VARIADIC "any") RETURNS jsonb LANGUAGE internal
         AS 'jsonb_build_object'`,
        "CREATE FUNCTION hostile.gen_random_uuid() RETURNS uuid LANGUAGE plpgsql AS 'BEGIN RAISE ''hostile''; END'"
      )

      const requests = yield* sql.withTransaction(
        Effect.andThen(
          run("SET LOCAL search_path = hostile, pg_catalog"),
          column("SELECT public.request_upload_url('issues', '1', 'a.png', 'image/png')")
        )
      )

      assert.strictEqual(requests.length, 1)
    })
  )

  onEmpty(
    "serves a role that may read neither requests nor jobs",
    Effect.gen(function* () {
      const sql = yield* SqlClient
      yield* Migrate.up({ schema })
      const role = `browser_${String((yield* column("SELECT current_database()"))[0])}`
      const as = <A, E, R>(body: Effect.Effect<A, E, R>) =>
        sql.withTransaction(Effect.andThen(run(`SET LOCAL ROLE ${role}`), body))
      yield* run(`CREATE ROLE ${role}`)

      yield* Effect.gen(function* () {
        const [id] = yield* as(column("SELECT public.request_upload_url('issues', '1', 'a.png', 'image/png')"))

        assert.deepEqual(yield* as(column(`SELECT status FROM public.get_upload_url('${String(id)}')`)), ["pending"])
        for (const refused of [
          "SELECT 1 FROM metadata.file_upload_requests",
          "SELECT 1 FROM metadata.river_job",
          "SELECT public.create_file_record(NULL, '', '', '', '', 1, '', '')"
        ]) {
          assert.strictEqual((yield* Effect.flip(as(column(refused)))).reason._tag, "AuthorizationError", refused)
        }
      }).pipe(Effect.ensuring(Effect.orDie(run(`DROP ROLE ${role}`))))
    })
  )

  onEmpty(
    "gives requests ids of version 7 that carry the millisecond they were made in",
    Effect.gen(function* () {
      yield* Migrate.up({ schema })

      const [milliseconds] = yield* column("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint")
      const ids = yield* column("SELECT metadata.uuid_generate_v7()::text FROM generate_series(1, 1000)")

      assert.strictEqual(new Set(ids).size, 1000)
      for (const id of ids) {
        assert.match(String(id), /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
        const elapsed = Number(BigInt(`0x${String(id).slice(0, 13).replace("-", "")}`) - BigInt(String(milliseconds)))
        assert.isAtLeast(elapsed, 0)
        assert.isAtMost(elapsed, 10_000)
      }
    })
  )
})

describe("get_upload_url", () => {
  onEmpty(
    "answers with the request's row, and with none for an id that nobody asked for",
    Effect.gen(function* () {
      const sql = yield* SqlClient
      yield* Migrate.up({ schema })
      yield* run(
        `INSERT INTO metadata.file_upload_requests
           (id, entity_type, entity_id, file_name, file_type, status, presigned_url, file_id, error_message)
         VALUES ('0190a000-0000-7000-8000-000000000001', 'issues', '1', 'a', 'b', 'completed', 'https://url',
           '0190a000-0000-7000-8000-000000000002', 'none')`
      )

      assert.deepEqual(yield* sql`SELECT * FROM public.get_upload_url('0190a000-0000-7000-8000-000000000001')`, [
        {
          status: "completed",
          url: "https://url",
          file_id: "0190a000-0000-7000-8000-000000000002",
          error: "none"
        }
      ])
      assert.deepEqual(yield* sql`SELECT * FROM public.get_upload_url('0190a000-0000-7000-8000-000000000009')`, [])
    })
  )
})

describe("create_file_record", () => {
  onEmpty(
    "records a file and answers with its row, also one of 5 GiB",
    Effect.gen(function* () {
      yield* Migrate.up({ schema })

      const [record] = yield* column(`
        SELECT public.create_file_record('0190a000-0000-7000-8000-000000000001', 'issues', '1', 'a.png', 'image/png',
          5368709120, 'bucket', 'issues/1/0190a000-0000-7000-8000-000000000001/original.png',
          p_property_name => 'photo')`)

      assert.deepInclude(record, {
        id: "0190a000-0000-7000-8000-000000000001",
        file_size: 5_368_709_120,
        s3_bucket: "bucket",
        s3_key_prefix: "issues/1/0190a000-0000-7000-8000-000000000001",
        s3_original_key: "issues/1/0190a000-0000-7000-8000-000000000001/original.png",
        thumbnail_status: "not_applicable",
        property_name: "photo",
        created_by: null
      })
    })
  )
})

describe("the line civic_os", () => {
  onEmpty(
    "makes the request table and the functions of the contract",
    Effect.gen(function* () {
      yield* Migrate.up({ schema })

      const requests = (yield* column(catalogOf(schema))).filter((line) =>
        String(line).includes("file_upload_requests")
      )
      assert.deepEqual(requests, [
        "column file_upload_requests.created_at timestamp with time zone not null default now()",
        "column file_upload_requests.entity_id text not null",
        "column file_upload_requests.entity_type text not null",
        "column file_upload_requests.error_message text",
        "column file_upload_requests.file_id uuid",
        "column file_upload_requests.file_name text not null",
        "column file_upload_requests.file_type text not null",
        "column file_upload_requests.id uuid not null default metadata.uuid_generate_v7()",
        "column file_upload_requests.presigned_url text",
        "column file_upload_requests.s3_key text",
        "column file_upload_requests.status text default 'pending'::text",
        "constraint file_upload_requests.file_upload_requests_pkey PRIMARY KEY (id)",
        "constraint file_upload_requests.file_upload_requests_status_check CHECK ((status = ANY (ARRAY['pending'::text, 'processing'::text, 'completed'::text, 'failed'::text])))",
        "index file_upload_requests_pkey CREATE UNIQUE INDEX file_upload_requests_pkey ON file_upload_requests USING btree (id)",
        "index idx_upload_requests_status CREATE INDEX idx_upload_requests_status ON file_upload_requests USING btree (status, created_at)",
        "table file_upload_requests",
        "trigger file_upload_requests.insert_s3_presign_job_trigger CREATE TRIGGER insert_s3_presign_job_trigger AFTER INSERT ON metadata.file_upload_requests FOR EACH ROW EXECUTE FUNCTION metadata.insert_s3_presign_job()"
      ])
      const pinned = 'security definer {"search_path=pg_catalog, pg_temp"}'
      assert.deepEqual(yield* column(catalogOf("public")), [
        `function create_file_record(p_id uuid, p_entity_type text, p_entity_id text, p_file_name text, p_file_type text, p_file_size bigint, p_s3_bucket text, p_s3_original_key text, p_thumbnail_status text DEFAULT 'not_applicable'::text, p_property_name text DEFAULT NULL::text) json sql volatile ${pinned}`,
        `function get_upload_url(p_request_id uuid) TABLE(status text, url text, file_id uuid, error text) sql volatile ${pinned}`,
        `function request_upload_url(p_entity_type text, p_entity_id text, p_file_name text, p_file_type text) uuid plpgsql volatile ${pinned}`,
        "schema public standard public schema"
      ])
    })
  )

  onEmpty(
    "lets the role `authenticated`, where there is one, read requests and files, and record files",
    Effect.gen(function* () {
      // Roles belong to the whole server; other databases may have been here first.
      yield* Effect.ignore(run("CREATE ROLE authenticated"))
      yield* Migrate.up({ schema })

      const rights = yield* column(`
        SELECT right_ FROM (VALUES
          ('use metadata', has_schema_privilege('authenticated', 'metadata', 'USAGE')),
          ('read requests', has_table_privilege('authenticated', 'metadata.file_upload_requests', 'SELECT')),
          ('write requests', has_table_privilege('authenticated', 'metadata.file_upload_requests', 'INSERT, UPDATE, DELETE')),
          ('read jobs', has_table_privilege('authenticated', 'metadata.river_job', 'SELECT')),
          ('read files', has_table_privilege('authenticated', 'metadata.files', 'SELECT')),
          ('write files', has_table_privilege('authenticated', 'metadata.files', 'INSERT, UPDATE, DELETE')),
          ('record files', has_function_privilege('authenticated',
            'public.create_file_record(uuid,text,text,text,text,bigint,text,text,text,text)', 'EXECUTE'))
        ) AS t (right_, held) WHERE held`)

      assert.deepEqual(rights, ["use metadata", "read requests", "read files", "record files"])
    })
  )
})
