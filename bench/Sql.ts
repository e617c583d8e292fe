/**
 * Plain SQL for the bench: promises over the driver that the service itself uses, so that a ratio is not one of drivers.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import { SqlClient } from "effect/sql/SqlClient"

export interface Sql {
  /** Runs one statement, prepared at its first use on a connection; `$1` is the first of the parameters. */
  readonly query: <Row extends object>(
    statement: string,
    parameters?: ReadonlyArray<unknown>
  ) => Promise<ReadonlyArray<Row>>
  /** The one row of a statement that has one. */
  readonly one: <Row extends object>(statement: string, parameters?: ReadonlyArray<unknown>) => Promise<Row>
  readonly close: () => Promise<void>
}

/** Opens up to `connections` to the database, each when it is needed. */
export const connect = (url: string, connections: number): Sql => {
  const runtime = ManagedRuntime.make(
    PgClient.layer({ url: Redacted.make(url), maxConnections: connections, applicationName: "s3-signer-bench" })
  )
  const query: Sql["query"] = <Row extends object>(statement: string, parameters: ReadonlyArray<unknown> = []) =>
    runtime.runPromise(Effect.flatMap(SqlClient, (sql) => sql.unsafe<Row>(statement, parameters)))
  return {
    query,
    one: async <Row extends object>(statement: string, parameters: ReadonlyArray<unknown> = []) => {
      const [row] = await query<Row>(statement, parameters)
      if (row === undefined) throw new Error(`no row: ${statement}`)
      return row
    },
    close: () => runtime.dispose()
  }
}
