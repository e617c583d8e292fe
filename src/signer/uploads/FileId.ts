/**
 * The id of a request's file: derived from the request, not drawn. Whoever answers a request, however often, gives its
 * file the same id, and so the same key.
 */
import type * as Brand from "effect/Brand"
import { hash } from "node:crypto"
import type { RequestId } from "../requests/RequestId.ts"

/** A version-7 UUID in lower case. */
export type FileId = string & Brand.Brand<"FileId">

const version7 = /^.{14}7.{4}[89ab]/

/** Parts what is hashed here from any other use of a request's id. Another text is another id for every open request. */
const domain = "s3-signer file_id 1:"

const latest = 2 ** 48 - 1

/**
 * The id of the request's file. Its time is the request id's, when that is of version 7, else `createdAt`, the job's
 * `created_at` in milliseconds since 1970. Its 74 random bits come from a hash of the request id, so that a file id,
 * which anyone may see, does not tell the request's.
 */
export const make = (requestId: RequestId, createdAt: number): FileId => {
  const time = version7.test(requestId) ? requestId.slice(0, 13) : timeOf(createdAt)
  const bits = hash("sha256", domain + requestId, "hex")
  const variant = "89ab"[Number.parseInt(bits.charAt(3), 16) & 3]!
  return `${time}-7${bits.slice(0, 3)}-${variant}${bits.slice(4, 7)}-${bits.slice(7, 19)}` as FileId
}

/** The first 48 bits of a version-7 UUID: milliseconds since 1970, with the dash. */
const timeOf = (millis: number): string => {
  const clamped = Math.min(Math.max(Math.floor(millis), 0), latest)
  const hex = (Number.isNaN(clamped) ? 0 : clamped).toString(16).padStart(12, "0")
  return `${hex.slice(0, 8)}-${hex.slice(8)}`
}
