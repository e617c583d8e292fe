/**
 * What a failed statement means: that the database is away, that another transaction was in the way, or that something
 * lies in the data.
 */
import * as Schema from "effect/Schema"
import type { SqlError } from "effect/sql/SqlError"

/** A statement did not answer in time; its connection is dropped. */
export class StatementTimeout extends Schema.TaggedError<StatementTimeout>()("StatementTimeout", {
  seconds: Schema.Finite
}) {
  override get message() {
    return `the database did not answer within ${this.seconds} seconds`
  }
}

export type SqlFault = SqlError | StatementTimeout

/**
 * `outage`: wait, the same statement may succeed later. `contention`: try again at once. `data`: it will fail again.
 *
 * An outage is a lost, refused or silent connection, a server that starts, stops, is out of resources or is read-only
 * (classes 08, 53, 57P; 25006), or a log-in that does not work just now (28, 3D000). Contention is a deadlock, a
 * serialization failure (class 40), a lock timeout (55P03) or a statement timeout (57014).
 */
export const severity = (fault: SqlFault): "outage" | "contention" | "data" => {
  if (fault._tag === "StatementTimeout") return "outage"
  const code = codeOf(fault)
  if (code === undefined) return /^(Connection|Authentication)Error$/.test(fault.reason._tag) ? "outage" : "data"
  if (/^(08|28|53|57P)|^(25006|3D000)$/.test(code)) return "outage"
  return /^40|^(55P03|57014)$/.test(code) ? "contention" : "data"
}

/** The server's own words with its code, or the driver's when no server spoke. */
export const describe = (fault: SqlFault): string => {
  if (fault._tag === "StatementTimeout") return fault.message
  const cause = causeOf(fault)
  const text = cause instanceof Error && cause.message !== "" ? cause.message : fault.message
  const code = codeOf(fault)
  return code === undefined ? text : `${text} (SQLSTATE ${code})`
}

const causeOf = (fault: SqlError): unknown => fault.reason.cause

/** The SQLSTATE, which has a digit; Node's own codes (`ECONNREFUSED`, `EPIPE`) have none. */
const codeOf = (fault: SqlError): string | undefined => {
  const cause = causeOf(fault)
  if (typeof cause !== "object" || cause === null || !("code" in cause)) return undefined
  return typeof cause.code === "string" && /^(?=.*\d)[0-9A-Z]{5}$/.test(cause.code) ? cause.code : undefined
}
