import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import { ClientConfig, Database } from "../../../src/river/index.ts"
import * as RequestRetention from "../../../src/signer/requests/RequestRetention.ts"
import { countRequests, insertRequests, onDatabase } from "../../process/support.ts"
import { beginElsewhere } from "../../river/support.ts"
import { afterPasses } from "../../support/afterPasses.ts"
import { planCacheModes, planOf } from "../../support/plans.ts"
import { uploads } from "./support.ts"

const options = { limit: 1000, retention: Duration.hours(1), skip: 0 }
const table = uploads.table("metadata")

const deleteBefore = Effect.fnUntraced(function* (some: Partial<RequestRetention.RequestDeleteBefore> = {}) {
  const sql = yield* SqlClient.SqlClient
  const [changed] = yield* RequestRetention.requestDeleteBefore(sql, table, { ...options, ...some })
  return changed!.count
})

/** Requests that were made so long ago, a second apart, without jobs. */
const insert = Effect.fnUntraced(function* (count: number, status: string | null, ago: string) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly id: string }>`
    INSERT INTO metadata.file_upload_requests (entity_type, entity_id, file_name, file_type, status, created_at)
    SELECT 'document', n::text, 'photo.jpg', 'image/jpeg', ${status}, now() - ${ago}::interval + n * interval '1 ms'
    FROM generate_series(1, ${count}) n RETURNING id`
  yield* sql`DELETE FROM metadata.river_job`
  return rows.map(({ id }) => id)
})

const start = (retention: Duration.Duration | undefined) =>
  Layer.build(
    RequestRetention.layer(retention, [uploads]).pipe(
      Layer.provide(Layer.succeed(ClientConfig, { schema: "metadata" } as never)),
      Layer.provide(Database.layer)
    )
  )

const counts = (expected: Readonly<Record<string, number>>) =>
  afterPasses("30 seconds", countRequests, (found) => JSON.stringify(found) === JSON.stringify(expected))

describe("the retention of requests", () => {
  it.live("deletes completed and failed requests that are older, and no others", () =>
    onDatabase(
      Effect.gen(function* () {
        yield* insert(3, "completed", "61 minutes")
        yield* insert(2, "failed", "61 minutes")
        for (const status of ["completed", "failed"]) yield* insert(1, status, "59 minutes")
        for (const status of ["pending", "processing", null]) yield* insert(1, status, "10 years")

        assert.strictEqual(yield* deleteBefore({ limit: 4 }), 4)
        assert.strictEqual(yield* deleteBefore({ limit: 4 }), 1)

        assert.deepEqual(yield* countRequests, { completed: 1, failed: 1, null: 1, pending: 1, processing: 1 })
        assert.strictEqual(yield* deleteBefore({ retention: Duration.days(3650) }), 0)
        assert.strictEqual(yield* deleteBefore({ retention: Duration.seconds(1) }), 2)
      })
    )
  )

  it.live("waits for nobody's lock, and two at once delete each request once", () =>
    onDatabase(
      Effect.gen(function* () {
        const [held] = yield* insert(2500, "completed", "2 hours")
        const other = yield* beginElsewhere([
          `SELECT FROM metadata.file_upload_requests WHERE id = '${held}' FOR NO KEY UPDATE`
        ])

        const both = yield* Effect.all([deleteBefore(), deleteBefore()], { concurrency: 2 })
        const rest = [yield* deleteBefore(), yield* deleteBefore()]

        assert.strictEqual(
          [...both, ...rest].reduce((sum, count) => sum + count),
          2499
        )
        yield* other.rollback
        assert.strictEqual(yield* deleteBefore(), 1)
      })
    )
  )

  it.effect("is looked after every 30 seconds, past a request that the database refuses to delete", () =>
    onDatabase(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const [first] = yield* insert(2500, "completed", "2 hours")
        yield* insert(10, "failed", "2 hours")
        yield* sql`CREATE TABLE public.of_request (request uuid REFERENCES metadata.file_upload_requests)`
        yield* sql`INSERT INTO public.of_request VALUES (${first!}::uuid)`

        yield* start(Duration.hours(1))
        yield* counts({ completed: 1 })
        yield* sql`TRUNCATE public.of_request`
        yield* insert(10, "failed", "2 hours")

        yield* counts({})
      })
    )
  )

  it.effect("is for ever unless it is set", () =>
    onDatabase(
      Effect.gen(function* () {
        yield* insert(10, "completed", "20 years")

        yield* start(undefined)
        yield* TestClock.adjust("1 day")

        assert.deepEqual(yield* countRequests, { completed: 10 })
      })
    )
  )

  it.live("reads no whole table, under any plan", () =>
    onDatabase(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* insertRequests(50_000)
        yield* sql`UPDATE metadata.file_upload_requests SET status = 'completed'`
        yield* sql`VACUUM ANALYZE metadata.file_upload_requests`

        for (const mode of planCacheModes) {
          const plan = (yield* planOf(RequestRetention.requestDeleteBefore(sql, table, options), mode)).join("\n")
          assert.notMatch(plan, /Seq Scan on/)
        }
      })
    )
  )
})
