/**
 * The pool of connections to PostgreSQL that everything but the listening session shares.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Layer from "effect/Layer"
import type { SqlClient } from "effect/sql/SqlClient"
import type { DatabaseConnection } from "./settings/DatabaseUrl.ts"

export interface PoolOptions {
  readonly connection: DatabaseConnection
  /** The most connections at a time. */
  readonly maxConnections: number
  /** Connections kept when nobody needs them; the others close after a minute. */
  readonly minConnections: number
}

/**
 * A pool that connects when it is used: a server that is away fails the queries, not the layer.
 *
 * A connection starts with user, database, encoding and application name and nothing else, unless the connection string
 * has `options`: a transaction pooler accepts that.
 */
export const layer = (options: PoolOptions): Layer.Layer<PgClient.PgClient | SqlClient> =>
  Layer.orDie(
    PgClient.layer({
      ...options.connection,
      maxConnections: options.maxConnections,
      minConnections: options.minConnections
    })
  )
