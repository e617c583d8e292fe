/**
 * A PostgreSQL database for one test file: cloned when its layer is built, dropped when it is released.
 *
 * Its `search_path` is empty, so that SQL that leaves out a schema is found at once.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { inject } from "vitest"
import { databaseUrl, emptyTemplate, onServer, signerTemplate } from "./Templates.ts"

/** Where the database is, for what connects by itself: a second client, a child process, a proxy. */
export class TestDatabase extends Context.Service<
  TestDatabase,
  {
    /** Holds the password, which is good on this machine and for this run only. */
    readonly url: string
    readonly name: string
  }
>()("test/TestDatabase") {}

type Database = Layer.Layer<TestDatabase | PgClient.PgClient | SqlClient.SqlClient, SqlError>

const clonedFrom = (template: string): Database =>
  Layer.unwrap(
    Effect.gen(function* () {
      const serverUrl = inject("databaseUrl")
      const name = `test_${process.pid}_${Math.random().toString(36).slice(2, 10)}`
      const url = databaseUrl(serverUrl, name)
      yield* Effect.acquireRelease(
        onServer(serverUrl, [
          `CREATE DATABASE ${name} TEMPLATE ${template}`,
          `ALTER DATABASE ${name} SET search_path = ''`
        ]),
        () => Effect.orDie(onServer(serverUrl, [`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`]))
      )
      return Layer.merge(
        Layer.succeed(TestDatabase, { url, name }),
        PgClient.layer({ url: Redacted.make(url), maxConnections: 5 })
      )
    })
  )

/** As initdb leaves it: no schema but `public`, no tables. */
export const emptyDatabase: Database = clonedFrom(emptyTemplate)

/** With every migration applied and no rows. */
export const signerDatabase: Database = clonedFrom(signerTemplate)
