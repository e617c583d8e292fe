/**
 * The row of `file_upload_requests` that a job is about, and what the job's end writes into it.
 */
import { quoteIdentifier, type RowEffect } from "../../river/index.ts"
import type { RequestTable } from "../requests/RequestTable.ts"
import { isUuid } from "./FileId.ts"
import { kind } from "./S3Presign.ts"

/** A schema's request table, quoted. */
export const table = (schema: string): string => `${quoteIdentifier(schema)}.file_upload_requests`

/** The id of the request that a job's args name, in SQL: null where they name none, whatever JSON they are. */
export const requestId = (args: string): string =>
  `case when ${args} ->> 'request_id' ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
    then (${args} ->> 'request_id')::uuid end`

export const requests: RequestTable = {
  asks: "upload",
  kind,
  table,
  requestId,
  openStatuses: ["pending", "processing", null]
}

/**
 * A completed request is never written again, whoever redelivers its job. A `failed` one is answered when its job is
 * retried. `processing` is never written: a request is updated once.
 */
export const effect = (schema: string): RowEffect => ({
  table: table(schema),
  id: "id",
  key: requestId("j.args"),
  keyOf: (args) => {
    const id = typeof args === "object" && args !== null && "request_id" in args ? args.request_id : undefined
    return typeof id === "string" && isUuid(id) ? id : undefined
  },
  keyType: "uuid",
  columns: { presigned_url: "text", s3_key: "text", file_id: "uuid" },
  missing: "the upload request of this job does not exist (any more)",
  onCompleted: {
    set: `status = 'completed', presigned_url = d.presigned_url, s3_key = d.s3_key, file_id = d.file_id,
      error_message = null`,
    where: "r.status is distinct from 'completed'"
  },
  onDead: {
    set: "status = 'failed', error_message = d.message",
    where: "r.status is distinct from 'completed'"
  }
})
