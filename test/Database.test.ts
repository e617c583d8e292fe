import * as PgConnection from "@effect/sql-pg/PgConnection"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Result from "effect/Result"
import * as SqlClient from "effect/sql/SqlClient"
import { once } from "node:events"
import * as fs from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import * as path from "node:path"
import { afterAll, beforeAll, inject } from "vitest"
import * as Database from "../src/Database.ts"
import { decode, type DatabaseConnection } from "../src/settings/DatabaseUrl.ts"
import { makeAuthority, makeServer } from "./support/Certificates.ts"
import { findPgBouncer, noPgBouncer, startPgBouncer } from "./support/PgBouncer.ts"
import { freePort, type Postgres, startPostgres } from "./support/Postgres.ts"
import { accountFor, makeScratch, own } from "./support/PostgresPrograms.ts"
import { until } from "./support/until.ts"

const connection = (text: string): DatabaseConnection =>
  Result.getOrThrowWith(decode(text, {}), (problems) => new Error(problems.join("\n")))

/** A log that keeps its messages. */
const makeLog = () => {
  const lines: Array<string> = []
  const logger = Logger.make<unknown, void>(({ message }) => {
    lines.push(Array.isArray(message) ? message.join(" ") : String(message))
  })
  return { lines, logger: Logger.layer([logger]) }
}

/** Whether a session over this connection is encrypted, as the server sees it. */
const encrypted = (config: PgConnection.Config) =>
  Effect.scoped(
    Effect.gen(function* () {
      const session = yield* PgConnection.make(config)
      const { rows } = yield* session.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
      return rows[0]?.["ssl"]
    })
  )

describe("a server with TLS", () => {
  let directory: string
  let server: Postgres

  beforeAll(async () => {
    const account = accountFor(undefined)
    directory = makeScratch(account)
    const write = (name: string, text: string) => {
      fs.writeFileSync(path.join(directory, name), text, { mode: 0o600 })
      own(account, path.join(directory, name))
    }
    const authority = makeAuthority("test authority")
    const { cert, key } = makeServer("localhost", authority)
    write("ca.pem", authority.cert)
    write("other-ca.pem", makeAuthority("other authority").cert)
    write("server.pem", cert)
    write("server.key", key)
    server = await startPostgres({
      durable: false,
      extraSettings: {
        ssl: "on",
        ssl_cert_file: path.join(directory, "server.pem"),
        ssl_key_file: path.join(directory, "server.key"),
        ssl_max_protocol_version: "TLSv1.2",
        unix_socket_directories: directory
      }
    })
  })
  afterAll(async () => {
    await server?.stop()
    fs.rmSync(directory, { recursive: true, force: true })
  })

  /** The server by this host, `{dir}` being the directory of the certificates. */
  const at = (host: string, query: string) => {
    const url = new URL(server.url)
    url.hostname = host
    return connection(`${url.href}?${query.replaceAll("{dir}", directory)}`)
  }

  it.live.each([
    ["127.0.0.1", "", true],
    ["127.0.0.1", "sslmode=prefer", true],
    ["localhost", "sslmode=allow", true],
    ["127.0.0.1", "sslmode=prefer&ssl_min_protocol_version=TLSv1.3", false],
    ["127.0.0.1", "sslmode=disable", false],
    ["nowhere", "sslmode=require&host={dir}", false],
    ["127.0.0.1", "sslmode=require", true],
    ["127.0.0.1", "sslmode=require&sslrootcert={dir}/ca.pem", true],
    ["127.0.0.1", "sslmode=verify-ca&sslrootcert={dir}/ca.pem", true],
    ["localhost", "sslmode=verify-full&sslrootcert={dir}/ca.pem", true],
    ["localhost", "sslmode=verify-full&sslrootcert={dir}/ca.pem&hostaddr=127.0.0.1", true]
  ] as const)("with %s and %j its encryption is: %s", ([host, query, expected]) =>
    Effect.map(encrypted(at(host, query)), (actual) => assert.strictEqual(actual, expected))
  )

  it.live.each([
    ["127.0.0.1", "sslmode=require&sslrootcert={dir}/other-ca.pem"],
    ["127.0.0.1", "sslmode=verify-ca&sslrootcert={dir}/other-ca.pem"],
    ["localhost", "sslmode=verify-ca"],
    ["localhost", "sslmode=verify-full"],
    ["localhost", "sslrootcert=system"],
    ["127.0.0.1", "sslmode=verify-full&sslrootcert={dir}/ca.pem"],
    ["127.0.0.1", "sslmode=require&ssl_min_protocol_version=TLSv1.3"]
  ] as const)("with %s and %j it is not trusted", ([host, query]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(encrypted(at(host, query)))

      assert.strictEqual(error.reason._tag, "ConnectionError")
    })
  )

  it.live("cancels a query that is interrupted, also over a connection that prefers TLS", () =>
    Effect.gen(function* () {
      const pool = Database.layer({ connection: at("127.0.0.1", ""), maxConnections: 2, minConnections: 0 })

      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const [took, slow] = yield* Effect.timed(Effect.timeoutOption(sql`SELECT pg_sleep(60)`, "300 millis"))
        assert.strictEqual(slow._tag, "None")
        assert.isBelow(Duration.toMillis(took), 3000)
        const sleeping =
          yield* sql`SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(60)%'
          AND pid <> pg_backend_pid()`
        assert.lengthOf(sleeping, 0)
      }).pipe(Effect.provide(pool))
    })
  )

  it.live("carries large results and hears notifications over a connection that prefers TLS", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const session = yield* (yield* PgConnection.make(at("127.0.0.1", ""))).pin
        const notifications = yield* session.listen("news")
        const { rows } = yield* session.query(
          "SELECT repeat('x', 1000) AS x, pg_notify('news', 'hello') FROM generate_series(1, 5000)"
        )
        assert.strictEqual(
          rows.reduce((sum, { x }) => sum + String(x).length, 0),
          5_000_000
        )
        assert.strictEqual((yield* Queue.take(notifications)).payload, "hello")
      })
    )
  )

  it.live("tells the session when it is ended by the server", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const [session, other] = [
          yield* PgConnection.make(at("127.0.0.1", "")),
          yield* PgConnection.make(at("127.0.0.1", ""))
        ]
        yield* other.query("SELECT pg_terminate_backend($1)", [session.processId])

        const error = yield* Effect.flip(session.query("SELECT 1"))

        assert.isTrue(error.isRetryable || error.reason._tag === "UnknownError")
      })
    )
  )
})

describe("a server that never answers", () => {
  it.live("is given up after the connection timeout, and its connection closed", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const closed = yield* Deferred.make<void>()
        const server = createServer((socket) => {
          socket.resume().on("error", () => {})
          socket.on("close", () => Deferred.doneUnsafe(closed, Effect.void))
        })
        yield* Effect.acquireRelease(
          Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
          () => Effect.sync(() => server.close())
        )
        const { port } = server.address() as AddressInfo

        const error = yield* Effect.flip(
          PgConnection.make({ ...connection(`postgres://u@127.0.0.1:${port}`), connectTimeout: "200 millis" })
        )

        assert.strictEqual(error.reason._tag, "ConnectionError")
        yield* Effect.timeout(Deferred.await(closed), "2 seconds")
      })
    )
  )
})

describe("the pool", () => {
  it.live("waits for a server that is away, and outlives one that goes away later", () =>
    Effect.gen(function* () {
      const port = yield* Effect.promise(freePort)
      const away = connection(`postgres://postgres:postgres@127.0.0.1:${port}/postgres`)

      for (const minConnections of [0, 1, 4]) {
        yield* Effect.gen(function* () {
          const { lines, logger } = makeLog()
          const pool = Database.layer({ connection: away, maxConnections: 4, minConnections })
          const building = yield* Effect.forkChild(Layer.build(pool.pipe(Layer.provide(logger))))
          yield* until(
            Effect.sync(() => lines.length),
            (count) => count > 0
          )
          assert.match(lines[0]!, /^the database is away, waiting for it: connect ECONNREFUSED/)
          const server = yield* Effect.acquireRelease(
            Effect.promise(() => startPostgres({ durable: false, port, password: "postgres" })),
            (server) => Effect.promise(server.stop)
          )

          const sql = Context.get(yield* Fiber.join(building), SqlClient.SqlClient)

          assert.deepEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
          assert.match(lines[1]!, /^the database is back after/)
          yield* Effect.promise(() => server.shutdown())
          const error = yield* Effect.flip(sql`SELECT 1`)
          assert.isTrue(error.isRetryable)
          yield* Effect.promise(server.start)
          assert.deepEqual(yield* Effect.retry(sql`SELECT 1 AS one`, { times: 5 }), [{ one: 1 }])
          assert.lengthOf(lines, 2)
        }).pipe(Effect.scoped)
      }
    })
  )

  it.live("gives up its waiting when it is interrupted", () =>
    Effect.gen(function* () {
      const port = yield* Effect.promise(freePort)
      const away = connection(`postgres://postgres:postgres@127.0.0.1:${port}/postgres`)
      const { lines, logger } = makeLog()
      const pool = Database.layer({ connection: away, maxConnections: 4, minConnections: 1 })
      const building = yield* Effect.forkChild(Layer.build(pool.pipe(Layer.provide(logger))))
      yield* until(
        Effect.sync(() => lines.length),
        (count) => count > 0
      )

      const [took] = yield* Effect.timed(Fiber.interrupt(building))

      assert.isBelow(Duration.toMillis(took), 1000)
    }).pipe(Effect.scoped)
  )

  it.live("opens no more connections than it may, named s3-signer", () =>
    Effect.gen(function* () {
      const pool = Database.layer({
        connection: connection(inject("databaseUrl")),
        maxConnections: 3,
        minConnections: 1
      })

      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const pids = yield* Effect.all(
          Array.from(
            { length: 12 },
            () => sql<{ readonly pid: number }>`SELECT pg_backend_pid() AS pid, pg_sleep(0.02)`
          ),
          { concurrency: "unbounded" }
        )
        assert.isAtMost(new Set(pids.flat().map(({ pid }) => pid)).size, 3)
        const [own] = yield* sql`SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()`
        assert.strictEqual(own?.["application_name"], "s3-signer")
      }).pipe(Effect.provide(pool))
    })
  )

  /** What is said when the pool is made, and what the sessions have prepared after eight queries at once. */
  const prepared = (url: string) =>
    Effect.gen(function* () {
      const { lines, logger } = makeLog()
      const pool = Database.layer({ connection: connection(url), maxConnections: 4, minConnections: 1 })
      const names = yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* Effect.forEach(Array.from({ length: 8 }), () => sql`SELECT pg_sleep(0.02)`, { concurrency: "unbounded" })
        return (yield* sql`SELECT name FROM pg_prepared_statements`.unprepared).map(({ name }) => name)
      }).pipe(Effect.provide(pool.pipe(Layer.provideMerge(logger))))
      return { lines, names }
    })

  it.live("prepares its statements where nobody stands before the database", () =>
    Effect.gen(function* () {
      const { lines, names } = yield* prepared(inject("databaseUrl"))

      assert.lengthOf(names, 1)
      assert.deepEqual(lines, [])
    })
  )

  const pgBouncer = findPgBouncer()
  if (pgBouncer === undefined) process.stderr.write(`skipped, the pool behind a pooler: ${noPgBouncer}\n`)

  describe.skipIf(pgBouncer === undefined)("behind a pooler", () => {
    it.live.each(["transaction", "statement", "session"] as const)(
      "that lends its sessions for one %s prepares nothing, and says so once",
      (mode) =>
        Effect.gen(function* () {
          const url = inject("databaseUrl")
          const pooler = yield* Effect.acquireRelease(
            Effect.promise(() => startPgBouncer(pgBouncer ?? "", { url, mode, poolSize: 4 })),
            ({ stop }) => Effect.promise(stop)
          )

          const { lines, names } = yield* prepared(pooler.through(url))

          assert.deepEqual(names, [])
          assert.deepEqual(lines, ["a connection pooler stands before the database: statements are not prepared"])
        }).pipe(Effect.scoped)
    )
  })
})
