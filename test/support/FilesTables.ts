/**
 * The files table as Civic OS has it, in two generations, with the roles, claims and helpers that its policies look at.
 *
 * In 0.10.0 every file is everybody's, and no row says which bucket it is in. In 0.39.0 a file is seen by administrators,
 * by who uploaded it, by whose role may read its entity type, and by whoever sees the very record that it belongs to.
 */
import * as Effect from "effect/Effect"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Migrate from "../../src/Migrate.ts"
import type { Version } from "../../src/MigrationFiles.ts"

export type Generation = "0.10.0" | "0.39.0"

/** The version that makes what downloads need. */
export const downloads: Version = { line: "s3_signer", version: 1 }

/** A request of somebody's browser, as PostgREST puts it to the database. */
export interface Caller {
  readonly role: "authenticated" | "web_anon"
  /** The subject of the token. */
  readonly sub?: string
  /** Their roles in Civic OS. */
  readonly roles?: ReadonlyArray<string>
  /** As Civic OS sets it for its roles, unless given. */
  readonly searchPath?: string
}

export interface FileRow {
  readonly id: string
  readonly entity_type: string
  readonly entity_id: string
  readonly created_by?: string
  /** Unless given, `original.png` in the file's own folder. */
  readonly key?: string
  /** Unless given, `photo.png`. */
  readonly name?: string
  /** In 0.39.0 only; unless given, `site-files`. */
  readonly bucket?: string
}

const browsersPath = "public, metadata, plugins, postgis"

const run = (statements: ReadonlyArray<string>): Effect.Effect<void, SqlError, SqlClient> =>
  Effect.flatMap(SqlClient, (sql) =>
    Effect.forEach(statements, (statement) => sql.unsafe(statement).unprepared, { discard: true })
  )

/**
 * Runs in a transaction of its own as the caller: logged in as PostgREST, with the caller's role, claims and search path.
 */
export const as =
  ({ role, roles = [], searchPath = browsersPath, sub }: Caller) =>
  <A, E, R>(body: Effect.Effect<A, E, R>): Effect.Effect<A, E | SqlError, R | SqlClient> =>
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const claims = JSON.stringify({ ...(sub === undefined ? {} : { sub }), realm_access: { roles } })
      return yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* run(["SET LOCAL SESSION AUTHORIZATION authenticator", `SET LOCAL ROLE ${role}`])
          yield* sql`SELECT pg_catalog.set_config('request.jwt.claims', ${claims}, true),
            pg_catalog.set_config('search_path', ${searchPath}, true)`.unprepared
          return yield* body
        })
      )
    })

/** Roles belong to the whole server, and stay: other databases may have been here first, or be here now. */
export const makeRoles = Effect.forEach(
  [
    "CREATE ROLE web_anon",
    "CREATE ROLE authenticated",
    "CREATE ROLE authenticator NOINHERIT LOGIN",
    "GRANT web_anon, authenticated TO authenticator"
  ],
  (statement) => run([statement]).pipe(Effect.retry({ times: 2 }), Effect.ignore),
  { discard: true }
)

/** A schema that Civic OS manages, as far as downloads are concerned: River's tables, files, roles. No request table of ours. */
export const makeCivicOs = (generation: Generation) =>
  Effect.gen(function* () {
    yield* makeRoles
    yield* run(["CREATE SCHEMA metadata", "GRANT USAGE ON SCHEMA metadata TO web_anon, authenticated"])
    yield* Migrate.up({ schema: "metadata", to: { line: "main", version: 6 } })
    yield* run([
      "GRANT SELECT ON metadata.river_job, metadata.river_queue, metadata.river_migration TO authenticated",
      `CREATE TABLE metadata.file_upload_requests (
         id uuid PRIMARY KEY, status text DEFAULT 'pending', presigned_url text, s3_key text, file_id uuid,
         error_message text, created_at timestamptz NOT NULL DEFAULT now())`,
      ...filesTable,
      ...(generation === "0.10.0" ? openToAll : tiered)
    ])
  })

/** {@link makeCivicOs}, and the download requests. */
export const makeDownloads = (generation: Generation) =>
  Effect.andThen(makeCivicOs(generation), Migrate.up({ schema: "metadata", to: downloads }))

const filesTable = [
  `CREATE TABLE metadata.files (
     id uuid PRIMARY KEY, entity_type text NOT NULL, entity_id text NOT NULL, file_name text NOT NULL,
     file_type text NOT NULL, file_size integer NOT NULL, s3_original_key text NOT NULL, created_by uuid,
     created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now())`,
  "ALTER TABLE metadata.files ENABLE ROW LEVEL SECURITY",
  "GRANT SELECT ON metadata.files TO web_anon, authenticated",
  "GRANT INSERT, UPDATE ON metadata.files TO authenticated"
]

const openToAll = ["CREATE POLICY everybody ON metadata.files FOR SELECT USING (true)"]

/** The helpers find one another by the caller's search path, as Civic OS's do since 0.24.0. */
const tiered = [
  "ALTER TABLE metadata.files ADD s3_bucket varchar(255) NOT NULL DEFAULT 'civic-os-files', ADD property_name text",
  "CREATE TABLE metadata.role_permissions (role_name text, table_name text, permission text)",
  `CREATE FUNCTION metadata.get_user_roles() RETURNS text[] LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
   BEGIN
     RETURN ARRAY(SELECT json_array_elements_text(
       nullif(current_setting('request.jwt.claims', true), '')::json #> '{realm_access,roles}'));
   END $$`,
  `CREATE FUNCTION metadata.is_admin() RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
   BEGIN RETURN 'admin' = ANY (get_user_roles()); END $$`,
  `CREATE FUNCTION metadata.has_permission(text, text) RETURNS boolean LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
   BEGIN
     RETURN EXISTS (SELECT FROM metadata.role_permissions
       WHERE role_name = ANY (get_user_roles()) AND table_name = $1 AND permission = $2);
   END $$`,
  `CREATE FUNCTION metadata.current_user_id() RETURNS uuid LANGUAGE sql STABLE AS $$
     SELECT nullif(nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub', '')::uuid $$`,
  `CREATE FUNCTION metadata.can_view_entity_record(text, text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
   DECLARE found_it boolean;
   BEGIN
     IF to_regclass(format('public.%I', $1)) IS NULL THEN RETURN false; END IF;
     EXECUTE format('SELECT EXISTS (SELECT FROM public.%I WHERE id::text = $1)', $1) INTO found_it USING $2;
     RETURN found_it;
   END $$`,
  `CREATE POLICY tiers ON metadata.files FOR SELECT USING (
     metadata.is_admin()
     OR created_by = metadata.current_user_id()
     OR metadata.has_permission(entity_type, 'read')
     OR metadata.can_view_entity_record(entity_type, entity_id))`,
  // Records that only their owner sees, and a table that is closed to everybody: asking whether one sees it raises.
  "CREATE TABLE public.issues (id bigint PRIMARY KEY, owner uuid)",
  "ALTER TABLE public.issues ENABLE ROW LEVEL SECURITY",
  "CREATE POLICY owners ON public.issues FOR SELECT USING (owner = metadata.current_user_id())",
  "GRANT SELECT ON public.issues TO authenticated",
  "CREATE TABLE public.closed (id bigint PRIMARY KEY)"
]

/** Records files, as nobody in particular: whatever the tables' triggers and policies say of a caller does not count. */
export const insertFiles = Effect.fnUntraced(function* (files: ReadonlyArray<FileRow>) {
  const sql = yield* SqlClient
  const rows = files.map(({ bucket, created_by, entity_id, entity_type, id, key, name }) => ({
    id,
    entity_type,
    entity_id,
    created_by: created_by ?? null,
    file_name: name ?? "photo.png",
    s3_original_key: key ?? `${entity_type}/${entity_id}/${id}/original.png`,
    s3_bucket: bucket ?? "site-files"
  }))
  const has = yield* sql`SELECT FROM pg_catalog.pg_attribute
    WHERE attrelid = 'metadata.files'::pg_catalog.regclass AND attname = 's3_bucket'`.unprepared
  const bucket = sql.literal(has.length > 0 ? ", s3_bucket" : "")
  yield* sql`
    INSERT INTO metadata.files
      (id, entity_type, entity_id, file_name, file_type, file_size, s3_original_key, created_by${bucket})
    SELECT id, entity_type, entity_id, file_name, 'image/png', 1, s3_original_key, created_by${bucket}
    FROM pg_catalog.json_to_recordset(${JSON.stringify(rows)}::json) AS f (id uuid, entity_type text, entity_id text,
      file_name text, s3_original_key text, created_by uuid, s3_bucket text)`.unprepared
})
