/**
 * What a process costs that has nothing to do.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { startWorker } from "../support/WorkerProcess.ts"
import { answered, ownServer, requestUpload } from "./support.ts"

/** Long enough for every chore that comes more often than each half minute. */
const seconds = 32

interface Statement {
  readonly calls: number
  readonly text: string
}

/** What was executed since `forget`, the most frequent first; of us there are only these two. */
const statements = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<Statement>`
    SELECT calls::int AS calls, regexp_replace(query, '\\s+', ' ', 'g') AS text FROM public.pg_stat_statements
    WHERE query NOT LIKE '%pg_stat_statements%' ORDER BY calls DESC`
})

const forget = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT FROM public.pg_stat_statements_reset()`)

describe("an idle process", () => {
  it.live(
    "that listens spends at most three statements a second, chores included",
    () =>
      Effect.gen(function* () {
        const { server, sql: run } = yield* ownServer({ shared_preload_libraries: "pg_stat_statements" })
        yield* run(Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE EXTENSION pg_stat_statements SCHEMA public`))
        const worker = yield* startWorker(server.url)
        yield* worker.working
        // It has worked once, and what a start does once is over.
        yield* run(Effect.flatMap(requestUpload(), (id) => answered(id)))
        yield* Effect.sleep("6 seconds")

        yield* run(forget)
        yield* Effect.sleep(`${seconds} seconds`)
        const executed = yield* run(statements)

        assert.deepEqual(worker.logged(/^not listening/), [])
        const count = executed.reduce((sum, { calls }) => sum + calls, 0)
        const list = executed.map(({ calls, text }) => `${calls} × ${text.slice(0, 300)}`).join("\n")
        assert.isAtMost(count / seconds, 3, `${count} statements in ${seconds} seconds:\n${list}`)
        // It looks for jobs each second: were there less, the statistics would not see it.
        assert.isAtLeast(count, seconds * 0.8, list)
      }).pipe(Effect.scoped),
    90_000
  )
})
