/**
 * Where objects live: an endpoint and a bucket become the part of a URL that stands before the key. Path style only.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { encodePath } from "./SigV4.ts"

/** An endpoint as it is written into URLs and signed. */
export interface Endpoint {
  readonly protocol: "http:" | "https:"
  /** In lower case and without port; an IPv6 address in its brackets. */
  readonly hostname: string
  /** Undefined when it is the protocol's own. */
  readonly port: number | undefined
  /** Percent-encoded; empty, or `/a/b` without a slash at the end. */
  readonly basePath: string
}

/** What is wrong with the text of an endpoint. The message does not repeat it: it may hold a password. */
export class InvalidEndpoint extends Schema.TaggedError<InvalidEndpoint>()("InvalidEndpoint", {
  message: Schema.String
}) {}

/** Reads `http(s)://host[:port][/base/path]`. */
export const parse = (text: string): Result.Result<Endpoint, InvalidEndpoint> => {
  if (!/^https?:\/\//i.test(text)) return invalid("must start with http:// or https://")
  if (/[\s\p{C}\\]/u.test(text)) return invalid("must not contain spaces, control characters or backslashes")
  if (/[?#]/.test(text)) return invalid("must not have a query or a fragment")
  if (!URL.canParse(text)) return invalid("is not a URL")
  const url = new URL(text)
  if (url.username !== "" || url.password !== "") return invalid("must not contain a user name or a password")
  const basePath = reencode(url.pathname.replace(/\/+$/, ""))
  if (Result.isFailure(basePath)) return invalid("has a path with a broken percent-encoding")
  return Result.succeed({
    protocol: url.protocol === "http:" ? "http:" : "https:",
    hostname: url.hostname,
    port: url.port === "" ? undefined : Number(url.port),
    basePath: basePath.success
  })
}

/** AWS's own endpoint for a region; of the form that every region of its partition has had from the start. */
export const ofRegion = (region: string): Endpoint => ({
  protocol: "https:",
  hostname: `s3.${region}.${dnsSuffixes.find(([prefix]) => region.startsWith(prefix))?.[1] ?? "amazonaws.com"}`,
  port: undefined,
  basePath: ""
})

/** AWS's partitions with a domain of their own, by the start of their regions' names. */
const dnsSuffixes: ReadonlyArray<readonly [prefix: string, suffix: string]> = [
  ["cn-", "amazonaws.com.cn"],
  ["us-iso-", "c2s.ic.gov"],
  ["us-isob-", "sc2s.sgov.gov"],
  ["eu-isoe-", "cloud.adc-e.uk"],
  ["us-isof-", "csp.hci.ic.gov"],
  ["eusc-", "amazonaws.eu"]
]

/** The value of the `Host` header that a browser sends there. */
export const host = (endpoint: Endpoint): string =>
  endpoint.port === undefined ? endpoint.hostname : `${endpoint.hostname}:${endpoint.port}`

/** The path of a bucket's objects, up to and with the slash before the key. */
export const bucketPath = (endpoint: Endpoint, bucket: string): string => `${endpoint.basePath}/${encodePath(bucket)}/`

const invalid = (message: string) => Result.fail(new InvalidEndpoint({ message }))

/** A path in the one encoding that is signed. */
const reencode = (path: string): Result.Result<string, unknown> =>
  Result.try(() =>
    path
      .split("/")
      .map((segment) => encodePath(decodeURIComponent(segment)))
      .join("/")
  )
