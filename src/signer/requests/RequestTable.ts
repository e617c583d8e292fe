/**
 * A table of requests, each of which the job of one kind answers: what the closer and the retention know of it. Its rows
 * have an `id` of type uuid, a `status`, an `error_message` and `created_at`; they end `completed` or `failed`.
 */
import type { RowEffect } from "../../river/index.ts"
import { isUuid } from "./RequestId.ts"

export interface RequestTable {
  /** What is asked for, as people are told: an `upload` URL, `upload` requests. */
  readonly asks: "upload" | "download"
  /** The kind of the jobs that answer. */
  readonly kind: string
  /** The schema's table, qualified and quoted. */
  readonly table: (schema: string) => string
  /** Every status of a request that is not answered yet; null is one where the column may be null. */
  readonly openStatuses: ReadonlyArray<string | null>
}

/** The id of the request that a job's args name, in SQL: null where they name none, whatever JSON they are. */
export const requestId = (args: string): string =>
  `case when ${args} ->> 'request_id' ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
    then (${args} ->> 'request_id')::uuid end`

/** How a job finds its request, and what its end writes there without an answer: the part of both kinds' effects. */
export const byRequestId: Pick<RowEffect, "id" | "key" | "keyOf" | "keyType" | "onDead"> = {
  id: "id",
  key: requestId("j.args"),
  keyOf: (args) => {
    const id = typeof args === "object" && args !== null && "request_id" in args ? args.request_id : undefined
    return typeof id === "string" && isUuid(id) ? id : undefined
  },
  keyType: "uuid",
  onDead: {
    set: "status = 'failed', error_message = d.message",
    where: "r.status is distinct from 'completed'"
  }
}

/** Whether a request `r` is open, as one condition. */
export const isOpen = ({ openStatuses }: RequestTable): string => {
  const named = openStatuses.filter((status) => status !== null).map(quoted)
  return `(r.status in (${named.join(", ")})${openStatuses.includes(null) ? " or r.status is null" : ""})`
}

/** The same as a condition for each status, which an index on the status can look up. */
export const isOpenByStatus = ({ openStatuses }: RequestTable): ReadonlyArray<string> =>
  openStatuses.map((status) => (status === null ? "r.status is null" : `r.status = ${quoted(status)}`))

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`
