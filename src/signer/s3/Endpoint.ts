/**
 * Endpoints: where a store answers, as it is written into URLs. `Address.ts` puts a bucket into it.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { isIPv4 } from "node:net"
import { encodePath } from "./SigV4.ts"

/** An endpoint as it is written into URLs and signed. */
export interface Endpoint {
  readonly protocol: "http:" | "https:"
  /** In lower case and without port, in ASCII; an IPv6 address in its brackets. */
  readonly hostname: string
  /** Undefined when it is the protocol's own. */
  readonly port: number | undefined
  /** Percent-encoded; empty, or `/a/b` without a slash at the end. */
  readonly basePath: string
}

/** Why there is no such endpoint. The message does not repeat the text of one: it may hold a password. */
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
  if (/^\.|\.\./.test(url.hostname)) return invalid("must not have a host with an empty part between its dots")
  if (url.port === "0") return invalid("must not have port 0")
  const basePath = reencode(url.pathname.replace(/\/+$/, ""))
  if (Result.isFailure(basePath)) return invalid("has a path with a broken percent-encoding")
  return Result.succeed({
    protocol: url.protocol === "http:" ? "http:" : "https:",
    hostname: url.hostname,
    port: url.port === "" ? undefined : Number(url.port),
    basePath: basePath.success
  })
}

/** The text of an endpoint: without a default port, and without a slash at the end. */
export const url = (endpoint: Endpoint): string => `${endpoint.protocol}//${host(endpoint)}${endpoint.basePath}`

/** The value of the `Host` header that a browser sends there. */
export const host = (endpoint: Endpoint): string =>
  endpoint.port === undefined ? endpoint.hostname : `${endpoint.hostname}:${endpoint.port}`

/** In path style, the path of a bucket's objects, up to and with the slash before the key. */
export const bucketPath = (endpoint: Endpoint, bucket: string): string =>
  `${endpoint.basePath}/${encodeSegment(bucket)}/`

/** Whether the host is an address, which nothing can stand before. */
export const isIp = ({ hostname }: Endpoint): boolean => hostname.startsWith("[") || isIPv4(hostname)

/**
 * The endpoint as it should be written when it has the bucket in it already, before its host or at the end of its path:
 * `https://nyc3.digitaloceanspaces.com` for `https://my-bucket.nyc3.digitaloceanspaces.com`. Else undefined.
 */
export const containedBucket = (endpoint: Endpoint, bucket: string): string | undefined => {
  const hostname = without(endpoint.hostname, `${bucket}.`)
  const folder = `/${encodeSegment(bucket)}`
  const store = {
    ...endpoint,
    hostname: isIp(endpoint) || !isStoreHost(hostname, bucket) ? endpoint.hostname : hostname,
    basePath: endpoint.basePath.endsWith(folder) ? endpoint.basePath.slice(0, -folder.length) : endpoint.basePath
  }
  return url(store) === url(endpoint) ? undefined : url(store)
}

const without = (text: string, start: string): string => (text.startsWith(start) ? text.slice(start.length) : text)

/**
 * Whether a store is likely to have this host. Where not, what stands before it names a machine, a site or a service, and
 * a bucket only by chance: `minio.local`, `files.example.com`, `minio.storage.svc.cluster.local`. A bucket with a hyphen,
 * such as `civic-os-files`, is nobody's name by chance.
 */
const isStoreHost = (hostname: string, bucket: string): boolean => {
  const labels = hostname.replace(/\.$/, "").split(".")
  if (labels.length === 1) return labels[0] === "localhost"
  const service = labels.indexOf("svc")
  if (service > 0) return service > 1
  return bucket.includes("-") || /^s3(-|$)/.test(labels[0]!) || labels.length > (secondLevel.test(hostname) ? 3 : 2)
}

/** Ends of domain names under which others are registered: `co.uk`, `com.au`. */
const secondLevel = /\.(ac|co|com|edu|gob|gouv|gov|gv|net|ne|or|org)\.[a-z]{2}\.?$/

const invalid = (message: string) => Result.fail(new InvalidEndpoint({ message }))

/** A path in the one encoding that is signed. */
const reencode = (path: string): Result.Result<string, unknown> =>
  Result.try(() =>
    path
      .split("/")
      .map((segment) => encodeSegment(decodeURIComponent(segment)))
      .join("/")
  )

const encodeSegment = (text: string): string => encodePath(text).replaceAll("/", "%2F")
