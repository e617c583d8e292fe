/**
 * Looks, before anything is claimed, whether the database has what the worker works with.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Database, describe, quoteIdentifier } from "./river/index.ts"

/** The database is there and cannot be worked with as it is; the message says what to do, a line for each thing. */
export class UnfitDatabase extends Schema.TaggedError<UnfitDatabase>()("UnfitDatabase", { message: Schema.String }) {}

export interface TableCheckOptions {
  /** The schema of River's tables and of the requests. */
  readonly schema: string
  /** Whether ended requests are deleted after a while, which takes one privilege more. */
  readonly requestRetention: boolean
}

/** The schema as the role finds it; what is not there is denied to nobody. */
interface Found {
  readonly role: string
  /** Whether the role may use the schema. */
  readonly entered: boolean
  /** Whether the role may call `river_job_state_in_bitmask`; null when there is no such function. */
  readonly callable: boolean | null
  readonly tables: ReadonlyArray<{
    /** Without its schema. */
    readonly name: string
    readonly exists: boolean
    /** Whether it has every column that the worker needs. */
    readonly current: boolean
    /** The privileges that the role lacks, such as `UPDATE`. */
    readonly denied: ReadonlyArray<string>
    /** Whether row-level security applies to the role. */
    readonly guarded: boolean
  }>
}

/** What the worker reads and writes. */
const columns = {
  river_job: `id state attempt max_attempts attempted_at created_at finalized_at scheduled_at priority args attempted_by
    errors kind metadata queue tags unique_key unique_states`.replaceAll(/\s+/g, " "),
  river_queue: "name created_at metadata paused_at updated_at",
  file_upload_requests: "id status presigned_url s3_key file_id error_message created_at",
  file_download_requests: "id files inline requested_by status answers expires_at error_message created_at"
}

/** A table that an operator may do without. */
const optional = "file_download_requests"

/** What the database has of what it may do without. */
export class TableCheck extends Context.Service<
  TableCheck,
  {
    /** Whether there is a table of download requests. */
    readonly downloads: boolean
  }
>()("signer/TableCheck") {
  static readonly layer = (options: TableCheckOptions) => Layer.effect(TableCheck, check(options))
}

/**
 * Waits for a database that is away, then fails when a table is missing, too old, or closed to this role. It only
 * reads: the service never migrates on its own.
 */
const check = Effect.fnUntraced(function* ({ requestRetention, schema }: TableCheckOptions) {
  const { runPatiently, sql } = yield* Database
  const ofRequests = requestRetention ? "SELECT UPDATE DELETE" : "SELECT UPDATE"
  // Found in the catalog: by name, nothing can be looked up in a schema that the role may not use.
  const [found] = yield* runPatiently(sql<Found>`
    select current_user::text as role, coalesce(has_schema_privilege(n.oid, 'USAGE'), true) as entered,
      (select bool_and(has_function_privilege(f.oid, 'EXECUTE')) from pg_catalog.pg_proc f
        where f.pronamespace = n.oid and f.proname = 'river_job_state_in_bitmask') as callable,
      (select jsonb_agg(jsonb_build_object(
          'name', t.name,
          'exists', c.oid is not null,
          'current', (select count(*) = cardinality(string_to_array(t.columns, ' ')) from pg_catalog.pg_attribute a
            where a.attrelid = c.oid and a.attname = any(string_to_array(t.columns, ' ')) and not a.attisdropped),
          'denied', array(select p from unnest(string_to_array(t.needed, ' ')) p
            where not has_table_privilege(c.oid, p)),
          'guarded', coalesce(row_security_active(c.oid), false)) order by t.place)
        from (values
            (1, 'river_job', ${columns.river_job}, 'SELECT UPDATE DELETE'),
            (2, 'river_queue', ${columns.river_queue}, 'SELECT INSERT UPDATE'),
            (3, 'file_upload_requests', ${columns.file_upload_requests}, ${ofRequests}),
            (4, 'file_download_requests', ${columns.file_download_requests}, ${ofRequests})
          ) t(place, name, columns, needed)
          left join pg_catalog.pg_class c
            on c.relnamespace = n.oid and c.relname = t.name and c.relkind in ('r', 'p')) as tables
    from (values (${schema}::text)) s(name) left join pg_catalog.pg_namespace n on n.nspname = s.name
  `).pipe(Effect.mapError((fault) => new UnfitDatabase({ message: `the database cannot be used: ${describe(fault)}` })))
  const lines = found === undefined ? [] : findings(schema, found)
  if (lines.length > 0) return yield* new UnfitDatabase({ message: lines.join("\n") })
  return { downloads: found?.tables.some(({ exists, name }) => name === optional && exists) ?? false }
})

/** What is wrong, a line each; a privilege that is missing comes with the statement that grants it. */
const findings = (schema: string, { callable, entered, role: name, tables }: Found): ReadonlyArray<string> => {
  const role = quoteIdentifier(name)
  const inSchema = (name: string) => `${quoteIdentifier(schema)}.${name}`
  const list = (rows: Found["tables"], separator: string) => rows.map(({ name }) => inSchema(name)).join(separator)

  const old = tables.filter(
    ({ current, exists, name }) => exists && (!current || (name === "river_job" && callable === null))
  )
  if (old.length > 0) {
    return [
      `${list(old, " and ")} is of a version that is too old: River's tables are needed at version 6 to 8, ` +
        "Civic OS's from 0.10 on, that of downloads from s3_signer:1 on"
    ]
  }
  const missing = tables.filter(({ exists, name }) => !exists && name !== optional)
  if (missing.length > 0) {
    return [
      `the database has no table ${list(missing, " and no table ")}: check DATABASE_URL and RIVER_SCHEMA, ` +
        "or make the tables with the command `migrate up`"
    ]
  }

  const lacks = (privileges: ReadonlyArray<string>, on: string) =>
    privileges.length === 0
      ? []
      : [
          `the database role ${role} lacks ${privileges.join(" and ")} on ${on}: ` +
            `GRANT ${privileges.join(", ")} ON ${on} TO ${role}`
        ]
  return [
    ...lacks(entered ? [] : ["USAGE"], `SCHEMA ${quoteIdentifier(schema)}`),
    ...tables.flatMap(({ denied, name }) => lacks(denied, inSchema(name))),
    ...lacks(callable === false ? ["EXECUTE"] : [], `FUNCTION ${inSchema("river_job_state_in_bitmask")}`),
    ...tables
      .filter(({ guarded }) => guarded)
      .map(
        ({ name }) =>
          `row-level security applies to the database role ${role} on ${inSchema(name)}, and a hidden row looks like a ` +
          `deleted one: ALTER ROLE ${role} BYPASSRLS, or let it own the table`
      )
  ]
}
