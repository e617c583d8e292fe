/**
 * The databases that tests clone: making one costs a second, cloning it 50 ms.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Migrate from "../../src/Migrate.ts"

/** Has what the migrations of `migrations/` make. */
export const signerTemplate = "template_signer"
/** As initdb leaves it. */
export const emptyTemplate = "template1"

/** Makes `template_signer` on the server. Nobody can connect to it afterwards: a session in it would block cloning. */
export const makeTemplates = async (serverUrl: string): Promise<void> => {
  await run(serverUrl, [
    `CREATE DATABASE ${signerTemplate}`,
    // Migrations, too, must name the schema of everything they touch.
    `ALTER DATABASE ${signerTemplate} SET search_path = ''`
  ])
  await Effect.runPromise(
    Effect.provide(Migrate.up({ schema: "metadata" }), onDatabase(databaseUrl(serverUrl, signerTemplate)))
  )
  await run(serverUrl, [`ALTER DATABASE ${signerTemplate} IS_TEMPLATE true ALLOW_CONNECTIONS false`])
}

const run = (serverUrl: string, statements: ReadonlyArray<string>) => Effect.runPromise(onServer(serverUrl, statements))

/** The URL of another database on the same server. */
export const databaseUrl = (serverUrl: string, database: string): string => {
  const url = new URL(serverUrl)
  url.pathname = `/${database}`
  return url.href
}

/** Runs statements one by one on a connection of its own; `CREATE DATABASE` must not be in a transaction. */
export const onServer = (serverUrl: string, statements: ReadonlyArray<string>): Effect.Effect<void, SqlError> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    for (const statement of statements) yield* sql.unsafe(statement).unprepared
  }).pipe(Effect.provide(onDatabase(serverUrl), { local: true }))

const onDatabase = (url: string) => PgClient.layer({ url: Redacted.make(url), maxConnections: 1 })
