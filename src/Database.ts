/**
 * The pool of connections to PostgreSQL that everything but the listening session shares.
 *
 * Behind a transaction pooler, such as PgBouncer, each statement may meet another session, so a named
 * prepared statement would be sought where it is not. What stands before the database is found out, not configured.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type { SqlClient } from "effect/sql/SqlClient"
import type { Connection } from "effect/sql/SqlConnection"
import { makeRunner } from "./river/index.ts"
import type { DatabaseConnection } from "./settings/DatabaseUrl.ts"

export interface PoolOptions {
  readonly connection: DatabaseConnection
  /** The most connections at a time. */
  readonly maxConnections: number
  /** Connections kept when nobody needs them; the others close after a minute. */
  readonly minConnections: number
}

/**
 * A pool that connects when it is used. It is there once the database has been: until then it waits, with a line in the
 * log. A server that goes away later fails the queries.
 *
 * A connection starts with user, database, encoding and application name and nothing else, unless the connection string
 * has `options`: a transaction pooler accepts that. Statements are prepared once for each connection; behind a pooler they
 * are not prepared, at the cost of planning each anew.
 */
export const layer = (options: PoolOptions): Layer.Layer<PgClient.PgClient | SqlClient> =>
  Layer.orDie(PgClient.layerFrom(make(options)))

const make = Effect.fnUntraced(function* ({ connection, maxConnections, minConnections }: PoolOptions) {
  const open = (prepare: boolean) => PgClient.make({ ...connection, maxConnections, minConnections, prepare })

  // Nearly everybody is connected directly: that pool opens its connections while the question is put.
  const scope = yield* Scope.fork(yield* Effect.scope)
  const direct = yield* Scope.provide(open(true), scope)
  // Whatever keeps the question from being put, besides an outage, meets the first query, too, and is told of there.
  const pooled = yield* Effect.orElseSucceed(makeRunner().runPatiently(isPooled(direct)), () => false)
  if (!pooled) return direct
  yield* Scope.close(scope, Exit.void)
  yield* Effect.logInfo("a connection pooler stands before the database: statements are not prepared")
  return yield* open(false)
})

/** Whether somebody stands in between: a pooler tells its clients another process id than the session's own. */
const isPooled = (client: PgClient.PgClient) =>
  Effect.scoped(
    Effect.gen(function* () {
      const session = yield* client.reserve
      const query = "select pg_catalog.pg_backend_pid() as pid"
      const [row]: ReadonlyArray<{ readonly pid: number }> = yield* session.executeUnprepared(query, [], undefined)
      return row?.pid !== processIdOf(session)
    })
  )

/** What the client was told when it logged in: the driver's connection inside this one knows. */
const processIdOf = (session: Connection): unknown => {
  const inner = "connection" in session ? session.connection : undefined
  return typeof inner === "object" && inner !== null && "processId" in inner ? inner.processId : undefined
}
