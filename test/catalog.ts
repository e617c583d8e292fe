/**
 * A database as seen from outside: what objects it has, in words, and whether anything at all was written to it.
 */
import type * as PgClient from "@effect/sql-pg/PgClient"
import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { emptyDatabase } from "./support/Database.ts"

/** A test on a database of its own, with nothing in it. */
export const onEmpty = <E>(name: string, body: Effect.Effect<void, E, SqlClient.SqlClient | PgClient.PgClient>) =>
  it.live(name, () => Effect.provide(body, emptyDatabase, { local: true }))

/** Runs statements one by one. */
export const run = (...statements: ReadonlyArray<string>): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.forEach(statements, (statement) => sql.unsafe(statement).unprepared, { discard: true })
  )

/** The first column of what a query answers. */
export const column = (query: string): Effect.Effect<ReadonlyArray<unknown>, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(sql.unsafe(query).valuesUnprepared, (rows) => rows.map(([value]) => value))
  )

const notOfTheSystem = "nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"

/** A query for the objects of the schemas that a condition on `pg_namespace` names, one line each, in order. */
const catalogWhere = (condition: string) => `
  WITH ns AS (SELECT oid, nspname FROM pg_namespace WHERE ${condition}),
  rel AS (SELECT c.* FROM pg_class c JOIN ns ON ns.oid = c.relnamespace)
  SELECT concat_ws(' ', kind, name, details) FROM (
    SELECT 'schema' AS kind, nspname::text AS name, obj_description(oid, 'pg_namespace') AS details FROM ns
    UNION ALL
    SELECT CASE relpersistence WHEN 'u' THEN 'unlogged table' ELSE 'table' END, relname::text, reloptions::text
    FROM rel WHERE relkind = 'r'
    UNION ALL
    SELECT 'column', rel.relname || '.' || a.attname,
      concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
        'default ' || pg_get_expr(d.adbin, d.adrelid))
    FROM rel JOIN pg_attribute a ON a.attrelid = rel.oid AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef d ON d.adrelid = rel.oid AND d.adnum = a.attnum
    WHERE relkind = 'r'
    UNION ALL
    SELECT 'constraint', rel.relname || '.' || k.conname, pg_get_constraintdef(k.oid)
    FROM pg_constraint k JOIN rel ON rel.oid = k.conrelid
    UNION ALL
    SELECT 'index', c.relname::text, replace(pg_get_indexdef(c.oid), ns.nspname || '.', '')
    FROM rel c JOIN ns ON ns.oid = c.relnamespace WHERE c.relkind = 'i'
    UNION ALL
    SELECT 'trigger', rel.relname || '.' || t.tgname, pg_get_triggerdef(t.oid)
    FROM pg_trigger t JOIN rel ON rel.oid = t.tgrelid WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'enum', t.typname::text, string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
    FROM pg_type t JOIN ns ON ns.oid = t.typnamespace JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY t.oid, t.typname
    UNION ALL
    SELECT 'function', p.proname || '(' || pg_get_function_arguments(p.oid) || ')',
      concat_ws(' ', pg_get_function_result(p.oid), l.lanname,
        CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 'v' THEN 'volatile' ELSE 'stable' END,
        CASE WHEN p.prosecdef THEN 'security definer' END, p.proconfig::text)
    FROM pg_proc p JOIN ns ON ns.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
  ) AS object
  ORDER BY kind COLLATE "C", name COLLATE "C"`

/** A query for the objects of one schema, one line each. */
export const catalogOf = (schema: string): string => catalogWhere(`nspname = '${schema}'`)

/** A query for all objects that are not the system's, the bodies of functions included. */
export const everyObject = `
  (${catalogWhere(notOfTheSystem)})
  UNION ALL
  (SELECT pg_get_functiondef(p.oid) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
   WHERE ${notOfTheSystem} ORDER BY p.proname)`

const catalogs = [
  "pg_attrdef",
  "pg_attribute",
  "pg_class",
  "pg_constraint",
  "pg_default_acl",
  "pg_depend",
  "pg_description",
  "pg_enum",
  "pg_extension",
  "pg_index",
  "pg_namespace",
  "pg_policy",
  "pg_proc",
  "pg_sequence",
  "pg_trigger",
  "pg_type"
]

/**
 * One line a table, the system's own included, that is another one after any insert, update or delete: which
 * transaction wrote each row, and where it lies.
 */
export const fingerprint = Effect.gen(function* () {
  const tables = yield* column(`
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE ${notOfTheSystem} AND c.relkind = 'r' ORDER BY 1`)
  const lines: Array<string> = []
  for (const table of [...catalogs.map((name) => `pg_catalog.${name}`), ...tables.map(String)]) {
    // What the system writes over in place, statistics for one, is not in the row's version.
    const row = table.startsWith("pg_catalog.") ? "xmin, ctid" : "xmin, ctid, t"
    const [rows] = yield* column(
      `SELECT count(*) || ' ' || md5(string_agg(concat(${row}), ' ' ORDER BY ctid)) FROM ${table} AS t`
    )
    lines.push(`${table} ${String(rows)}`)
  }
  const sequences = yield* column(
    "SELECT concat_ws(' ', schemaname, sequencename, last_value) FROM pg_sequences ORDER BY 1"
  )
  return [...lines, ...sequences]
})
