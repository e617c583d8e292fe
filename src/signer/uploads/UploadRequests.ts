/**
 * The row of `file_upload_requests` that a job is about, and what the job's end writes into it.
 */
import { quoteIdentifier, type RowEffect } from "../../river/index.ts"
import { byRequestId, type RequestTable } from "../requests/RequestTable.ts"
import { kind } from "./S3Presign.ts"

/** A schema's request table, quoted. */
export const table = (schema: string): string => `${quoteIdentifier(schema)}.file_upload_requests`

export const requests: RequestTable = {
  asks: "upload",
  kind,
  table,
  openStatuses: ["pending", "processing", null]
}

/**
 * A completed request is never written again, whoever redelivers its job. A `failed` one is answered when its job is
 * retried. `processing` is never written: a request is updated once.
 */
export const effect = (schema: string): RowEffect => ({
  ...byRequestId,
  table: table(schema),
  columns: { presigned_url: "text", s3_key: "text", file_id: "uuid" },
  missing: "the upload request of this job does not exist (any more)",
  onCompleted: {
    set: `status = 'completed', presigned_url = d.presigned_url, s3_key = d.s3_key, file_id = d.file_id,
      error_message = null`,
    where: "r.status is distinct from 'completed'"
  }
})
