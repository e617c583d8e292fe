/**
 * What becomes of upload requests whose jobs others end: seen from outside the running process.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { TestDatabase } from "../support/Database.ts"
import { startWorker } from "../support/WorkerProcess.ts"
import {
  answered,
  completed,
  getAnswer,
  insertRequests,
  isForPeople,
  jobOf,
  onDatabase,
  requestUpload
} from "./support.ts"

const notYet = "now() + interval '1 hour'"

describe("a request whose job somebody else ended", () => {
  it.live("is failed within seconds, with a message for people; one is answered when its job is tried again", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const sql = yield* SqlClient.SqlClient
        const [cancelled, discarded, deleted] = [yield* requestUpload(), yield* requestUpload(), yield* requestUpload()]
        yield* sql.unsafe(`UPDATE metadata.river_job SET state = 'scheduled', scheduled_at = ${notYet}`)
        const { id } = yield* jobOf(cancelled)
        const worker = yield* startWorker(url)
        yield* worker.working
        yield* answered(yield* requestUpload())

        yield* sql`UPDATE metadata.river_job SET state = 'cancelled', finalized_at = now() WHERE id = ${id}::bigint`
        yield* sql`UPDATE metadata.river_job SET state = 'discarded', finalized_at = now()
          WHERE args ->> 'request_id' = ${discarded}`
        yield* sql`DELETE FROM metadata.river_job WHERE args ->> 'request_id' = ${deleted}`

        for (const request of [cancelled, discarded, deleted]) {
          const { error, status, url } = yield* answered(request, "12 seconds")
          assert.deepEqual({ status, url }, { status: "failed", url: null })
          assert.isTrue(isForPeople(error))
        }
        assert.isAbove(worker.logged(/^closed \d upload requests/).length, 0)
        assert.notInclude(worker.output(), cancelled)
        yield* sql`UPDATE metadata.river_job SET state = 'available', scheduled_at = now(), finalized_at = NULL
          WHERE id = ${id}::bigint`
        yield* completed(2)
        assert.deepInclude(yield* getAnswer(cancelled), { status: "completed", error: null })
        yield* worker.stop
      })
    )
  )
})

describe("an answered request", () => {
  it.live("is deleted after REQUEST_RETENTION, and kept without it", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const sql = yield* SqlClient.SqlClient
        yield* insertRequests(5)
        const keeps = yield* startWorker(url)
        yield* completed(5)
        yield* sql`UPDATE metadata.file_upload_requests SET created_at = now() - interval '10 years'`
        yield* keeps.stop
        assert.lengthOf(yield* sql`SELECT FROM metadata.file_upload_requests`, 5)

        const worker = yield* startWorker(url, { REQUEST_RETENTION: "3650d" })
        yield* worker.working
        yield* sql`UPDATE metadata.file_upload_requests SET created_at = now() WHERE entity_id = '1'`

        yield* Effect.repeat(
          Effect.andThen(Effect.sleep("100 millis"), sql`SELECT FROM metadata.file_upload_requests`),
          { until: (rows) => rows.length === 1 }
        ).pipe(Effect.timeout("40 seconds"))
        yield* worker.stop
      })
    )
  )
})
