import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { beginning, type RequestClose, requestClose } from "../../../src/signer/requests/RequestClose.ts"
import { getAnswer, insertJob, insertRequests, isForPeople, onDatabase, requestUpload } from "../../process/support.ts"
import { beginElsewhere } from "../../river/support.ts"
import { planCacheModes, planOf } from "../../support/plans.ts"
import { uploads } from "./support.ts"

const close = Effect.fnUntraced(function* (options: Partial<RequestClose> = {}) {
  const sql = yield* SqlClient.SqlClient
  const statement = requestClose(sql, uploads, { queue: "s3_signer", schema: "metadata" })
  const [closed] = yield* statement({ from: beginning, limit: 1000, mostAlive: 50_000, skip: 0, ...options })
  return closed!.count
})

const run = Effect.fnUntraced(function* (statement: string) {
  const sql = yield* SqlClient.SqlClient
  yield* sql.unsafe(statement)
})

/** A request that was made so long ago, with its job. */
const request = Effect.fnUntraced(function* (ago = "0 s", status: string | null = "pending") {
  const sql = yield* SqlClient.SqlClient
  const id = yield* requestUpload()
  yield* sql`UPDATE metadata.file_upload_requests
    SET created_at = now() - ${ago}::interval, status = ${status} WHERE id = ${id}::uuid`
  return id
})

const setJob = (id: string, set: string) =>
  run(`UPDATE metadata.river_job SET ${set} WHERE args ->> 'request_id' = '${id}'`)
const cancelJob = (id: string) => setJob(id, "state = 'cancelled', finalized_at = now()")
const deleteJob = (id: string) => run(`DELETE FROM metadata.river_job WHERE args ->> 'request_id' = '${id}'`)

const errorOf = (id: string) => Effect.map(getAnswer(id), ({ error, status }) => (status === "failed" ? error : status))

const argsOf = (id: string) => JSON.stringify({ request_id: id })

describe("requestClose", () => {
  it.live("fails at once the request of a job that somebody cancelled or discarded, and says which", () =>
    onDatabase(
      Effect.gen(function* () {
        const [cancelled, once, often] = [yield* request(), yield* request(), yield* request()]
        yield* cancelJob(cancelled)
        yield* setJob(once, "state = 'discarded', finalized_at = now(), attempt = 1")
        yield* setJob(often, "state = 'discarded', finalized_at = now() - interval '1 day', attempt = 25")
        const open = yield* request()

        assert.strictEqual(yield* close(), 3)

        const errors = [yield* errorOf(cancelled), yield* errorOf(once), yield* errorOf(often)]
        assert.deepEqual(errors, [
          "the job of this request was cancelled: ask for a new upload URL",
          "the job of this request was discarded after 1 attempt: ask for a new upload URL",
          "the job of this request was discarded after 25 attempts: ask for a new upload URL"
        ])
        assert.isTrue(errors.every(isForPeople))
        assert.strictEqual(yield* errorOf(open), "pending")
        assert.strictEqual(yield* close(), 0)
      })
    )
  )

  it.live("fails a request whose job is gone, or completed without an answer, when it is 5 seconds old", () =>
    onDatabase(
      Effect.gen(function* () {
        const [deleted, finished] = [yield* request("6 s"), yield* request("23 hours")]
        const young = yield* request("3 s")
        yield* Effect.forEach([deleted, young], deleteJob)
        yield* setJob(finished, "state = 'completed', finalized_at = now()")

        assert.strictEqual(yield* close(), 2)

        const message = "the job of this request was deleted, or ended without an answer: ask for a new upload URL"
        assert.deepEqual([yield* errorOf(deleted), yield* errorOf(finished)], [message, message])
        assert.isTrue(isForPeople(message))
        assert.strictEqual(yield* errorOf(young), "pending")
      })
    )
  )

  it.live("says of a request that nothing answered within 24 hours that it has expired", () =>
    onDatabase(
      Effect.gen(function* () {
        const [old, alive] = [yield* request("24 hours 1 second"), yield* request("30 days")]
        yield* deleteJob(old)

        assert.strictEqual(yield* close(), 1)

        const error = yield* errorOf(old)
        assert.match(error!, /^expired: /)
        assert.isTrue(isForPeople(error))
        assert.strictEqual(yield* errorOf(alive), "pending")
      })
    )
  )

  it.live("counts any job of the kind that may yet run, in whatever state and queue, however it spells the id", () =>
    onDatabase(
      Effect.gen(function* () {
        const states = ["available", "pending", "retryable", "running", "scheduled"]
        const ids = yield* Effect.forEach(states, () => request("1 hour"))
        yield* Effect.forEach(states, (state, i) => setJob(ids[i]!, `state = '${state}'`))
        const elsewhere = yield* request("1 hour")
        yield* setJob(elsewhere, "queue = 'other'")
        const upper = yield* request("1 hour")
        yield* deleteJob(upper)
        yield* insertJob(argsOf(upper.toUpperCase()))
        const ofAnotherKind = yield* request("1 hour")
        yield* setJob(ofAnotherKind, "kind = 'thumbnail'")

        assert.strictEqual(yield* close(), 1)

        for (const id of [...ids, elsewhere, upper]) assert.strictEqual(yield* errorOf(id), "pending")
        assert.match((yield* errorOf(ofAnotherKind))!, /deleted/)
      })
    )
  )

  it.live("does not take the end of a job of another kind or queue for the end of a request", () =>
    onDatabase(
      Effect.gen(function* () {
        const id = yield* request("1 hour")
        const ended = { state: "'cancelled'", finalized_at: "now()" }
        yield* insertJob(argsOf(id), { ...ended, kind: "'thumbnail'" })
        yield* insertJob(argsOf(id), { ...ended, queue: "'other'" })

        assert.strictEqual(yield* close(), 0)

        assert.strictEqual(yield* errorOf(id), "pending")
      })
    )
  )

  it.live("writes no request that is completed or failed, and every one that is not", () =>
    onDatabase(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const rows = sql`SELECT r::text AS row, xmin::text FROM metadata.file_upload_requests r
          WHERE status IN ('completed', 'failed') ORDER BY id`
        const open = [yield* request("1 hour", "processing"), yield* request("1 hour", null), yield* request("1 hour")]
        const final = [yield* request("1 hour", "completed"), yield* request("1 hour", "failed")]
        const alsoOpen = [yield* request("0 s", "processing"), yield* request("0 s", null)]
        yield* sql`UPDATE metadata.file_upload_requests SET error_message = 'as it was' WHERE status = 'failed'`
        yield* Effect.forEach([...open, final[0]!], deleteJob)
        yield* Effect.forEach([...alsoOpen, ...final], cancelJob)
        const before = yield* rows

        assert.strictEqual(yield* close(), 5)

        for (const id of [...open, ...alsoOpen]) assert.strictEqual((yield* getAnswer(id)).status, "failed")
        const after = yield* rows
        assert.deepEqual(
          after.filter(({ row }) => !String(row).includes("ask for a new")),
          before
        )
      })
    )
  )

  it.live("is not stopped by jobs whose args say nothing of use", () =>
    onDatabase(
      Effect.gen(function* () {
        const args = [
          "null",
          "5",
          '"text"',
          "true",
          "[]",
          '["request_id"]',
          "{}",
          '{"request_id": 5}',
          '{"request_id": null}',
          '{"request_id": {"a": [1]}}',
          '{"request_id": "no uuid"}',
          '{"request_id": "0192f0c1-2345-73f5-976b-d27d64fc696"}',
          '{"request_id": "{0192f0c1-2345-73f5-976b-d27d64fc6964}"}',
          '{"request_id": "0192f0c1-2345-73f5-976b-d27d64fc6964\\n"}',
          '{"request_id": "0192f0c1-2345-73f5-976b-d27d64fc6964"}',
          '{"request_id": ["0192f0c1-2345-73f5-976b-d27d64fc6964"]}'
        ]
        for (const each of args) {
          yield* insertJob(each)
          yield* insertJob(each, { state: "'cancelled'", finalized_at: "now()" })
          yield* insertJob(each, { state: "'discarded'", finalized_at: "'infinity'" })
        }
        const [cancelled, orphan] = [yield* request(), yield* request("1 hour")]
        yield* cancelJob(cancelled)
        yield* deleteJob(orphan)

        assert.strictEqual(yield* close(), 2)

        assert.match((yield* errorOf(cancelled))!, /cancelled/)
        assert.match((yield* errorOf(orphan))!, /deleted/)
      })
    )
  )

  it.live("waits for nobody's lock: what is held is closed when it is free, and not at all when it was answered", () =>
    onDatabase(
      Effect.gen(function* () {
        const [held, answered, free] = [yield* request("3 hours"), yield* request("2 hours"), yield* request("1 hour")]
        yield* Effect.forEach([held, answered, free], deleteJob)
        const other = yield* beginElsewhere([
          `SELECT FROM metadata.file_upload_requests WHERE id = '${held}' FOR UPDATE`,
          `UPDATE metadata.file_upload_requests SET status = 'completed' WHERE id = '${answered}'`
        ])

        assert.strictEqual(yield* close(), 1)
        assert.match((yield* errorOf(free))!, /deleted/)
        yield* other.commit

        assert.strictEqual(yield* close(), 1)
        assert.match((yield* errorOf(held))!, /deleted/)
        assert.strictEqual(yield* errorOf(answered), "completed")
      })
    )
  )

  it.live("takes a bounded batch and leaves out as many as it is told, however many requests have live jobs", () =>
    onDatabase(
      Effect.gen(function* () {
        yield* insertRequests(3000, { entity_type: "alive" })
        yield* insertRequests(25, { entity_type: "orphan" })
        yield* run("UPDATE metadata.file_upload_requests SET created_at = now() - interval '1 hour'")
        yield* run("DELETE FROM metadata.river_job WHERE args ->> 'entity_type' = 'orphan'")

        assert.strictEqual(yield* close({ limit: 10, skip: 20 }), 5)
        assert.strictEqual(yield* close({ limit: 10 }), 10)
        assert.strictEqual(yield* close({ limit: 10 }), 10)
        assert.strictEqual(yield* close({ limit: 10 }), 0)

        const sql = yield* SqlClient.SqlClient
        assert.deepEqual(
          yield* sql`SELECT entity_type, status, count(*)::int FROM metadata.file_upload_requests GROUP BY 1, 2 ORDER BY 1`,
          [
            { entity_type: "alive", status: "pending", count: 3000 },
            { entity_type: "orphan", status: "failed", count: 25 }
          ]
        )
      })
    )
  )

  it.live("leaves a request open whose job was cancelled while another one of its jobs lives, in whatever queue", () =>
    onDatabase(
      Effect.gen(function* () {
        const [here, there] = [yield* request(), yield* request("1 hour")]
        const cancelAll = run("UPDATE metadata.river_job SET state = 'cancelled', finalized_at = now()")
        yield* cancelAll
        yield* insertJob(argsOf(here).toUpperCase().replace("REQUEST_ID", "request_id"))
        yield* insertJob(argsOf(there), { queue: "'other'", state: "'scheduled'" })

        assert.strictEqual(yield* close(), 0)
        assert.deepEqual([yield* errorOf(here), yield* errorOf(there)], ["pending", "pending"])
        yield* cancelAll

        assert.strictEqual(yield* close(), 2)
      })
    )
  )

  it.live(
    "looks for lost requests with 50,000 live jobs, with one more only at the jobs that ended; no GIN index needed",
    () =>
      onDatabase(
        Effect.gen(function* () {
          yield* run("DROP INDEX metadata.river_job_args_index, metadata.river_job_metadata_index")
          yield* insertRequests(50_000)
          yield* run("UPDATE metadata.file_upload_requests SET created_at = now() - interval '1 hour'")
          const [lost, cancelled, last] = [yield* request("1 hour"), yield* request("1 hour"), yield* request("1 hour")]
          yield* deleteJob(lost)
          yield* run(`UPDATE metadata.river_job SET state = 'cancelled', finalized_at = now()
          WHERE args ->> 'request_id' = '${cancelled}' AND queue = 's3_signer'`)

          assert.strictEqual(yield* close(), 1)
          assert.match((yield* errorOf(cancelled))!, /cancelled/)
          assert.strictEqual(yield* errorOf(lost), "pending")
          yield* deleteJob(last)

          assert.strictEqual(yield* close(), 2)
          assert.match((yield* errorOf(lost))!, /deleted/)
        })
      )
  )

  it.live("reads no whole table, under any plan, though the planner knows nothing of the open requests", () =>
    onDatabase(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* run("DROP INDEX metadata.river_job_args_index, metadata.river_job_metadata_index")
        yield* insertRequests(50_000)
        yield* run("UPDATE metadata.file_upload_requests SET status = 'completed'")
        yield* run("UPDATE metadata.river_job SET state = 'completed', finalized_at = now()")
        yield* sql`VACUUM ANALYZE metadata.file_upload_requests`
        yield* sql`VACUUM ANALYZE metadata.river_job`
        const statement = requestClose(sql, uploads, { queue: "s3_signer", schema: "metadata" })

        for (const from of [beginning, { finalized_at: "2026-08-07T09:30:00Z", id: "5" }]) {
          for (const mode of planCacheModes) {
            const plan = (yield* planOf(statement({ from, limit: 1000, mostAlive: 50_000, skip: 0 }), mode)).join("\n")
            assert.notMatch(plan, /Seq Scan on (river_job|file_upload_requests)/)
            assert.notMatch(plan, /Anti Join|SubPlan/)
            assert.match(plan, /Tid Scan on file_upload_requests/)
          }
        }
      })
    )
  )
})
