import { assert, describe, it, layer } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { spawn } from "node:child_process"
import { once } from "node:events"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { emptyDatabase, signerDatabase, TestDatabase } from "./support/Database.ts"
import { startPostgres } from "./support/Postgres.ts"
import { startS3 } from "./support/S3.ts"
import { startProxy } from "./support/TcpProxy.ts"

const query = (url: string, text: string): Promise<ReadonlyArray<unknown>> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* sql.unsafe(text).unprepared
  }).pipe(Effect.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 })), Effect.runPromise)

const temporary = (name: string) => fs.mkdtempSync(path.join(os.tmpdir(), `s3-signer-test-${name}-`))

layer(signerDatabase, { excludeTestServices: true })("signerDatabase", (it) => {
  it.effect("has the migrations' tables, no rows and an empty search path", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { name } = yield* TestDatabase

      assert.deepEqual(yield* sql`SELECT current_database() AS name, current_schemas(false) AS path`, [
        { name, path: [] }
      ])
      assert.deepEqual(yield* sql`SELECT count(*) FROM metadata.river_job`, [{ count: 0n }])
      assert.deepEqual(yield* sql`SELECT count(*) FROM metadata.file_upload_requests`, [{ count: 0n }])
    })
  )
})

layer(emptyDatabase, { excludeTestServices: true })("emptyDatabase", (it) => {
  it.effect("has no table and an empty search path", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient

      assert.deepEqual(yield* sql`SELECT current_schemas(false) AS path`, [{ path: [] }])
      assert.deepEqual(yield* sql`SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace`, [])
    })
  )
})

describe("startPostgres", () => {
  it("keeps what is committed through a restart, a crash, and a later start on the same directory", async () => {
    const home = temporary("postgres")
    fs.chmodSync(home, 0o755)
    const first = await startPostgres({ durable: false, dataDir: path.join(home, "data") })
    await query(first.url, "CREATE TABLE t AS SELECT 1 AS n")

    await first.restart()
    await query(first.url, "INSERT INTO t VALUES (2)")
    await first.kill()
    assert.isUndefined(first.pid)
    await first.start()
    await query(first.url, "INSERT INTO t VALUES (3)")
    await first.stop()
    const second = await startPostgres({ durable: false, dataDir: path.join(home, "data") })

    assert.deepEqual(await query(second.url, "SELECT n FROM t ORDER BY n"), [{ n: 1 }, { n: 2 }, { n: 3 }])
    await second.stop()
    fs.rmSync(home, { recursive: true })
  })

  it("refuses a directory that another server is running in, and a directory that holds something else", async () => {
    const home = temporary("postgres")
    fs.chmodSync(home, 0o755)
    const server = await startPostgres({ durable: false, dataDir: path.join(home, "data") })

    const again = await startPostgres({ durable: false, dataDir: path.join(home, "data") }).catch(String)
    const other = await startPostgres({ durable: false, dataDir: home }).catch(String)

    assert.match(String(again), /is already running in .*, started by process \d+/)
    assert.match(String(other), /is not empty and no PostgreSQL data directory/)
    assert.deepEqual(await query(server.url, "SELECT 1 AS n"), [{ n: 1 }])
    await server.stop()
    fs.rmSync(home, { recursive: true })
  })

  it("leaves no server and no directory behind when its owner is killed", async () => {
    const script = `
      import { startPostgres } from ${JSON.stringify(path.join(import.meta.dirname, "support/Postgres.ts"))}
      const server = await startPostgres({ durable: false })
      process.send({ pid: server.pid, dataDir: server.dataDir })
      setInterval(() => {}, 1000)`
    const owner = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "inherit", "inherit", "ipc"]
    })
    const [server] = (await once(owner, "message")) as [{ readonly pid: number; readonly dataDir: string }]
    assert.isTrue(isAlive(server.pid))

    owner.kill("SIGKILL")
    for (let i = 0; i < 100 && (isAlive(server.pid) || fs.existsSync(server.dataDir)); i++) await sleep(100)

    assert.isFalse(isAlive(server.pid))
    assert.isFalse(fs.existsSync(server.dataDir))
  })
})

describe("startProxy", () => {
  it("passes bytes, swallows them, delays them, refuses connections and resets them, as it is told", async () => {
    const s3 = await startS3({ bucket: "bucket" })
    const proxy = await startProxy({ targetPort: s3.port })
    const get = (ms: number) =>
      fetch(proxy.through(s3.endpoint), { signal: AbortSignal.timeout(ms), headers: { connection: "close" } }).then(
        ({ status }) => status,
        (error: Error & { readonly cause?: { readonly code?: string } }) => error.cause?.code ?? error.name
      )

    assert.equal(await get(5_000), 200)
    await proxy.mode("drop")
    assert.equal(await get(200), "TimeoutError")
    await proxy.mode({ delay: 100 })
    const before = performance.now()
    assert.equal(await get(5_000), 200)
    assert.isAtLeast(performance.now() - before, 190)
    while (proxy.connections() > 0) await sleep(5)
    await proxy.mode("drop")
    const hanging = get(5_000)
    while (proxy.connections() === 0) await sleep(5)
    proxy.killConnections()
    assert.equal(await hanging, "ECONNRESET")
    await proxy.mode("refuse")
    assert.equal(await get(5_000), "ECONNREFUSED")
    await proxy.mode("pass")
    assert.equal(await get(5_000), 200)

    await proxy.stop()
    await s3.stop()
  })
})

const isAlive = (pid: number) => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
