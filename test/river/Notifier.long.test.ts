import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import { TestDatabase } from "../support/Database.ts"
import { startProxy } from "../support/TcpProxy.ts"
import { done, insertJob, jobIn, riverDatabase, serverPort, sessions, startClient, until, worker } from "./support.ts"

layer(riverDatabase, { excludeTestServices: true })("Notifier", (it) => {
  it.effect("[49] notices a session that a firewall forgot, and hears again", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { url } = yield* TestDatabase
      const proxy = yield* Effect.acquireRelease(
        Effect.promise(() => startProxy({ targetPort: serverPort() })),
        (started) => Effect.promise(() => started.stop())
      )
      const kind = worker(() => done)
      const client = yield* startClient([kind], {
        fetchPollInterval: Duration.minutes(2),
        listen: { url: Redacted.make(proxy.through(url)), applicationName: "river-test-listener" }
      })
      yield* until(sessions("query ILIKE 'listen%'"), (listening) => listening.length > 0)

      yield* Effect.promise(() => proxy.mode("drop"))
      yield* until(
        Effect.sync(() => client.logged(/^not listening/).length),
        (count) => count === 1,
        "25 seconds"
      )
      yield* Effect.promise(() => proxy.mode("pass"))
      yield* until(
        Effect.sync(() => client.logged(/^listening again/).length),
        (count) => count === 1,
        "15 seconds"
      )
      yield* Effect.sleep("300 millis")
      const id = yield* insertJob(kind)
      yield* sql`SELECT pg_notify('metadata.river_insert', '{"queue": "test"}')`

      yield* jobIn("completed", id, "1 second")
      assert.lengthOf(client.logs, 2)
    })
  )
})
