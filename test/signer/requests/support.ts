/**
 * What the tests of the requests' ends share: the two tables, and download requests as rows.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import * as Migrate from "../../../src/Migrate.ts"
import * as DownloadRequests from "../../../src/signer/downloads/DownloadRequests.ts"
import * as UploadRequests from "../../../src/signer/uploads/UploadRequests.ts"

export const uploads = UploadRequests.requests
export const downloads = DownloadRequests.requests

/** Makes the table of download requests. It takes any row: how a request comes about does not matter here. */
export const makeDownloads = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* Migrate.up({ schema: "metadata", to: { line: "s3_signer", version: 1 } })
  yield* sql`ALTER TABLE metadata.file_download_requests DISABLE TRIGGER accept_file_download_trigger`
  yield* sql`ALTER TABLE metadata.file_download_requests DISABLE TRIGGER clear_file_download_keys_trigger`
})

/** Inserts download requests that were made so long ago, each with its job; their ids. */
export const insertDownloads = Effect.fnUntraced(function* (count: number, ago = "0 s", status = "pending") {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly id: string }>`
    INSERT INTO metadata.file_download_requests (files, requested_by, status, created_at)
    SELECT '[]', 'somebody', ${status}, now() - ${ago}::interval FROM generate_series(1, ${count}) RETURNING id`
  return rows.map(({ id }) => id)
})

/** What became of a download request. */
export const downloadOf = Effect.fnUntraced(function* (id: string) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ readonly status: string; readonly error: string | null }>`
    SELECT status, error_message AS error FROM metadata.file_download_requests WHERE id = ${id}::uuid`
  return row!
})

/** How many download requests are in each status. */
export const countDownloads = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly status: string; readonly count: number }>`
    SELECT status, count(*)::int AS count FROM metadata.file_download_requests GROUP BY 1 ORDER BY 1`
  return Object.fromEntries(rows.map(({ count, status }) => [status, count]))
})
