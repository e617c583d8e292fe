/**
 * Whether the clock here and the store's agree: URLs are dated by the one and judged by the other.
 */
import * as Duration from "effect/Duration"
import { type Finding, finding } from "../Finding.ts"
import type { Answer } from "./Http.ts"

/** How far the clock here is ahead of the store's, in milliseconds, to about a second; undefined when it does not say. */
export const offset = ({ answeredAt, headers, sentAt }: Answer): number | undefined => {
  const theirs = Date.parse(headers.get("date") ?? "")
  // What came out of a cache has the time at which it went in.
  if (Number.isNaN(theirs) || headers.has("age")) return undefined
  return (sentAt + answeredAt) / 2 - (theirs + 500)
}

const minutes = (count: number) => count * 60_000

/** Beyond this S3 refuses whatever is signed. */
export const isBeyondLimit = (offset: number | undefined): boolean =>
  offset !== undefined && Math.abs(offset) >= minutes(15)

export const check = (subject: string, offset: number | undefined): ReadonlyArray<Finding> => {
  if (offset === undefined || Math.abs(offset) < minutes(1)) return []
  const off = Duration.format(Duration.seconds(Math.round(Math.abs(offset) / 1000)))
  return [
    finding("CLOCK_SKEW", {
      severity: Math.abs(offset) >= minutes(5) ? "error" : "warning",
      subject,
      seen: `the clock here is ${off} ${offset > 0 ? "ahead of" : "behind"} the store's`,
      cure
    })
  ]
}

/** The store says so itself. */
export const refused = (subject: string): Finding =>
  finding("CLOCK_SKEW", { subject, seen: "the store finds the time of a signature too far from its own", cure })

const cure =
  "timedatectl set-ntp true (or chronyc makestep) on the host that is wrong; a container has its host's clock"
