/** Download requests beside upload requests; all that holds for both tables is tested with uploads, beside this. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as SqlClient from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import { ClientConfig, Database } from "../../../src/river/index.ts"
import * as Closer from "../../../src/signer/requests/Closer.ts"
import { beginning, requestClose } from "../../../src/signer/requests/RequestClose.ts"
import * as RequestRetention from "../../../src/signer/requests/RequestRetention.ts"
import type { RequestTable } from "../../../src/signer/requests/RequestTable.ts"
import { countRequests, insertJob, insertRequests, isForPeople, onDatabase } from "../../process/support.ts"
import { afterPasses } from "../../support/afterPasses.ts"
import { planCacheModes, planOf } from "../../support/plans.ts"
import { countDownloads, downloadOf, downloads, insertDownloads, makeDownloads, uploads } from "./support.ts"

const everything = { from: beginning, limit: 1000, mostAlive: 50_000, skip: 0 }

const close = Effect.fnUntraced(function* (table: RequestTable) {
  const sql = yield* SqlClient.SqlClient
  const [closed] = yield* requestClose(sql, table, { queue: "s3_signer", schema: "metadata" })(everything)
  return closed!.count
})

const run = Effect.fnUntraced(function* (statement: string) {
  const sql = yield* SqlClient.SqlClient
  yield* sql.unsafe(statement)
})

const endJob = (id: string, state: string) =>
  run(`UPDATE metadata.river_job SET state = '${state}', finalized_at = now(), attempt = 3
    WHERE args ->> 'request_id' = '${id}'`)
const deleteJob = (id: string) => run(`DELETE FROM metadata.river_job WHERE args ->> 'request_id' = '${id}'`)

/** What both chores do together, in a process that has both tables; the log's lines. */
const start = Effect.fnUntraced(function* (tables: ReadonlyArray<RequestTable>, retention?: Duration.Duration) {
  const logs: Array<string> = []
  const logger = Logger.make<unknown, void>(({ message }) => void logs.push(String(message)))
  yield* Layer.build(
    Layer.mergeAll(Closer.layer(tables), RequestRetention.layer(retention, tables)).pipe(
      Layer.provide(Layer.succeed(ClientConfig, { queue: "s3_signer", schema: "metadata" } as never)),
      Layer.provide(Database.layer),
      Layer.provide(Logger.layer([logger]))
    )
  )
  return logs
})

describe("a download request", () => {
  it.live("is failed when no job will answer it: at once, after 5 seconds, or as expired after 24 hours", () =>
    onDatabase(
      Effect.gen(function* () {
        yield* makeDownloads
        const [cancelled, discarded, young] = yield* insertDownloads(3)
        const [deleted] = yield* insertDownloads(1, "6 s")
        const [old, alive] = yield* insertDownloads(2, "25 hours")
        yield* endJob(cancelled!, "cancelled")
        yield* endJob(discarded!, "discarded")
        yield* Effect.forEach([young!, deleted!, old!], deleteJob)

        assert.strictEqual(yield* close(downloads), 4)

        const answers = yield* Effect.forEach([cancelled!, discarded!, deleted!, old!], downloadOf)
        assert.deepEqual(
          answers,
          [
            "the job of this request was cancelled: ask for a new download URL",
            "the job of this request was discarded after 3 attempts: ask for a new download URL",
            "the job of this request was deleted, or ended without an answer: ask for a new download URL",
            "expired: not answered within 24 hours, and no job is left that could: ask for a new download URL"
          ].map((error) => ({ status: "failed", error }))
        )
        assert.isTrue(answers.every(({ error }) => isForPeople(error)))
        assert.deepEqual(yield* countDownloads, { failed: 4, pending: 2 })
        assert.strictEqual((yield* downloadOf(alive!)).status, "pending")
        assert.strictEqual(yield* close(downloads), 0)
      })
    )
  )

  it.live("is left as it is once it is completed or failed, whatever becomes of its job", () =>
    onDatabase(
      Effect.gen(function* () {
        yield* makeDownloads
        const [completed] = yield* insertDownloads(1, "1 hour", "completed")
        const [failed] = yield* insertDownloads(1, "1 hour", "failed")
        yield* endJob(completed!, "cancelled")
        yield* deleteJob(failed!)

        assert.strictEqual(yield* close(downloads), 0)

        assert.deepEqual(yield* downloadOf(completed!), { status: "completed", error: null })
        assert.deepEqual(yield* downloadOf(failed!), { status: "failed", error: null })
      })
    )
  )

  it.live("is neither closed by the end of an upload's job nor kept open by the life of one, nor the other way", () =>
    onDatabase(
      Effect.gen(function* () {
        yield* makeDownloads
        yield* insertRequests(2)
        const sql = yield* SqlClient.SqlClient
        const rows = yield* sql<{ readonly id: string }>`SELECT id FROM metadata.file_upload_requests ORDER BY id`
        const [upload, orphan] = rows.map(({ id }) => id)
        const [open] = yield* insertDownloads(1, "1 hour")
        const [lost] = yield* insertDownloads(1, "1 hour")
        yield* sql`UPDATE metadata.file_upload_requests SET created_at = now() - interval '1 hour'`
        yield* Effect.forEach([orphan!, lost!], deleteJob)
        const job = (kind: string, id: string, columns = {}) =>
          insertJob(JSON.stringify({ request_id: id }), { kind: `'${kind}'`, ...columns })
        const ended = { state: "'cancelled'", finalized_at: "now()" }
        yield* job("s3_presign", open!, ended)
        yield* job("s3_presign", lost!)
        yield* job("s3_presign_download", upload!, ended)
        yield* job("s3_presign_download", orphan!)

        assert.strictEqual(yield* close(downloads), 1)
        assert.strictEqual(yield* close(uploads), 1)

        assert.strictEqual((yield* downloadOf(open!)).status, "pending")
        assert.match((yield* downloadOf(lost!)).error!, /deleted/)
        assert.deepEqual(
          yield* sql`SELECT id, status FROM metadata.file_upload_requests ORDER BY id`,
          [upload, orphan].map((id, place) => ({ id, status: place === 0 ? "pending" : "failed" }))
        )
      })
    )
  )
})

describe("the chores of both tables", () => {
  it.effect("close requests of each, say of which, and leave alone a table that they are not given", () =>
    onDatabase(
      Effect.gen(function* () {
        yield* makeDownloads
        yield* insertRequests(3)
        yield* insertDownloads(2)
        yield* run("UPDATE metadata.river_job SET state = 'cancelled', finalized_at = now()")

        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* start([uploads])
            yield* afterPasses("5 seconds", countRequests, ({ failed }) => failed === 3)
          })
        )
        assert.deepEqual(yield* countDownloads, { pending: 2 })
        yield* insertRequests(4)
        yield* run("UPDATE metadata.river_job SET state = 'cancelled', finalized_at = now() WHERE state = 'available'")

        const logs = yield* start([uploads, downloads])
        yield* afterPasses("5 seconds", countRequests, ({ failed }) => failed === 7)
        yield* afterPasses("5 seconds", countDownloads, ({ failed }) => failed === 2)

        yield* afterPasses(
          "5 seconds",
          Effect.sync(() => logs),
          ({ length }) => length >= 2
        )
        assert.sameMembers(logs, [
          "closed 4 upload requests as failed: no job will answer them",
          "closed 2 download requests as failed: no job will answer them"
        ])
      })
    )
  )

  it.effect("go on with one table while the database refuses the other, and name that one", () =>
    onDatabase(
      Effect.gen(function* () {
        yield* makeDownloads
        yield* insertRequests(2)
        yield* insertDownloads(2)
        yield* run("UPDATE metadata.river_job SET state = 'cancelled', finalized_at = now()")
        yield* run("ALTER TABLE metadata.file_download_requests RENAME COLUMN error_message TO message")

        const logs = yield* start([downloads, uploads])
        yield* afterPasses("5 seconds", countRequests, ({ failed }) => failed === 2)
        yield* afterPasses(
          "5 seconds",
          Effect.sync(() => logs),
          ({ length }) => length >= 2
        )

        assert.sameMembers(
          logs.map((line) => line.replace(/refuses some: .*/, "refuses some")),
          [
            "closed 2 upload requests as failed: no job will answer them",
            "could not close download requests: the database refuses some"
          ]
        )
      })
    )
  )

  it.effect("delete requests of each that ended long ago, and none without a retention", () =>
    onDatabase(
      Effect.gen(function* () {
        yield* makeDownloads
        yield* insertRequests(2)
        yield* run("UPDATE metadata.file_upload_requests SET status = 'completed', created_at = now() - interval '2 h'")
        for (const [ago, status] of [
          ["2 hours", "completed"],
          ["2 hours", "failed"],
          ["2 hours", "pending"],
          ["59 minutes", "completed"]
        ] as const) {
          yield* insertDownloads(1, ago, status)
        }

        yield* Effect.scoped(Effect.andThen(start([uploads, downloads]), TestClock.adjust("10 minutes")))
        assert.deepEqual(yield* countDownloads, { completed: 2, failed: 1, pending: 1 })

        yield* start([uploads, downloads], Duration.hours(1))
        yield* afterPasses("30 seconds", countRequests, ({ completed }) => completed === undefined)
        yield* afterPasses(
          "30 seconds",
          countDownloads,
          ({ completed, failed }) => completed === 1 && failed === undefined
        )

        assert.deepEqual(yield* countDownloads, { completed: 1, pending: 1 })
      })
    )
  )

  it.live("read no whole table of download requests, under any plan", () =>
    onDatabase(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* makeDownloads
        yield* run("DROP INDEX metadata.river_job_args_index, metadata.river_job_metadata_index")
        yield* insertDownloads(20_000, "1 hour", "completed")
        yield* run("UPDATE metadata.river_job SET state = 'completed', finalized_at = now()")
        yield* sql`VACUUM ANALYZE metadata.file_download_requests`
        yield* sql`VACUUM ANALYZE metadata.river_job`
        const closing = requestClose(sql, downloads, { queue: "s3_signer", schema: "metadata" })
        const deleting = RequestRetention.requestDeleteBefore(sql, downloads.table("metadata"), {
          limit: 1000,
          retention: Duration.hours(1),
          skip: 0
        })

        for (const mode of planCacheModes) {
          for (const from of [beginning, { finalized_at: "2026-08-07T09:30:00Z", id: "5" }]) {
            const plan = (yield* planOf(closing({ ...everything, from }), mode)).join("\n")
            assert.notMatch(plan, /Seq Scan on (river_job|file_download_requests)/)
            assert.notMatch(plan, /Anti Join|SubPlan/)
            assert.match(plan, /Tid Scan on file_download_requests/)
          }
          assert.notMatch((yield* planOf(deleting, mode)).join("\n"), /Seq Scan on/)
        }
      })
    )
  )
})
