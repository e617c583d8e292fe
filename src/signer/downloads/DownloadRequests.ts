/**
 * The row of `file_download_requests` that a job is about: the files that were asked for, and what the job's end writes.
 */
import type * as Effect from "effect/Effect"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { quoteIdentifier, type RowEffect } from "../../river/index.ts"
import { byRequestId, type RequestTable } from "../requests/RequestTable.ts"
import { kind } from "./S3PresignDownload.ts"

/** A schema's request table, quoted. */
export const table = (schema: string): string => `${quoteIdentifier(schema)}.file_download_requests`

/** A download request as it was made. */
export interface DownloadRequest {
  readonly id: string
  /** A JSON array, in the order in which the files were asked for. */
  readonly files: unknown
  /** Whether the browser shall show the files, where it may. */
  readonly inline: boolean
}

/** The requests of these ids that there are. */
export const downloadRequestGetMany = (
  sql: SqlClient,
  { ids, schema }: { readonly ids: ReadonlyArray<string>; readonly schema: string }
): Effect.Effect<ReadonlyArray<DownloadRequest>, SqlError> =>
  sql<DownloadRequest>`
    select id::text, files, inline from ${sql.literal(table(schema))} where id = any(${ids}::uuid[])`

export const requests: RequestTable = { asks: "download", kind, table, openStatuses: ["pending"] }

/** As with uploads: a completed request is never written again, a failed one is answered when its job is retried. */
export const effect = (schema: string): RowEffect => ({
  ...byRequestId,
  table: table(schema),
  columns: { answers: "jsonb", expires_at: "timestamptz" },
  missing: "the download request of this job does not exist (any more)",
  onCompleted: {
    set: "status = 'completed', answers = d.answers, expires_at = d.expires_at, error_message = null",
    where: "r.status is distinct from 'completed'"
  }
})
