/**
 * Looks, before anything is claimed, whether the database has what the worker works with.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Database, describe, quoteIdentifier } from "./river/index.ts"
import { table as requestTable } from "./signer/UploadRequests.ts"

/** The database is there and cannot be worked with as it is; the message says what to do. */
export class UnfitDatabase extends Schema.TaggedError<UnfitDatabase>()("UnfitDatabase", { message: Schema.String }) {}

interface Found {
  readonly name: string
  readonly exists: boolean
  readonly usable: boolean | null
  /** Whether row-level security applies to this role. */
  readonly guarded: boolean | null
  /** Whether it has the newest column that the worker needs. */
  readonly current: boolean
}

/**
 * Waits for a database that is away, then fails when a table is missing, too old, or closed to this role. It only
 * reads: the service never migrates on its own.
 */
export const layer = (schema: string) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { runPatiently, sql } = yield* Database
      const jobs = `${quoteIdentifier(schema)}.river_job`
      const rows = yield* runPatiently(sql<Found>`
        select t.name, to_regclass(t.name) is not null as exists,
          has_table_privilege(to_regclass(t.name), 'SELECT') and has_table_privilege(to_regclass(t.name), 'UPDATE') as usable,
          row_security_active(to_regclass(t.name)) as guarded,
          exists (select from pg_catalog.pg_attribute a
            where a.attrelid = to_regclass(t.name) and a.attname = t.newest and not a.attisdropped) as current
        from (values (${jobs}::text, 'unique_states'::text), (${requestTable(schema)}, 'error_message')) t(name, newest)
      `).pipe(
        Effect.mapError((fault) => new UnfitDatabase({ message: `the database cannot be used: ${describe(fault)}` }))
      )
      const missing = rows.filter(({ exists }) => !exists).map(({ name }) => name)
      if (missing.length > 0) {
        return yield* new UnfitDatabase({
          message:
            `the database has no table ${missing.join(" and no table ")}: check DATABASE_URL and RIVER_SCHEMA, ` +
            "or make the tables with the command `migrate up`"
        })
      }
      const old = rows.filter(({ current }) => !current).map(({ name }) => name)
      if (old.length > 0) {
        return yield* new UnfitDatabase({
          message: `${old.join(" and ")} is of a version that is too old: River's tables are needed at version 6 to 8`
        })
      }
      const closed = rows.filter(({ usable }) => usable !== true).map(({ name }) => name)
      if (closed.length > 0) {
        return yield* new UnfitDatabase({
          message: `the database role may not SELECT and UPDATE ${closed.join(" and ")}: grant it both`
        })
      }
      const guarded = rows.filter((row) => row.guarded === true).map(({ name }) => name)
      if (guarded.length > 0) {
        return yield* new UnfitDatabase({
          message:
            `row-level security applies to the database role on ${guarded.join(" and ")}, and a hidden row looks like ` +
            "a deleted one: give the role BYPASSRLS, or let it own the table"
        })
      }
    })
  )
