/**
 * Addresses: an endpoint, a bucket and a style become what stands in a URL before the key.
 */
import * as AwsEndpoint from "./AwsEndpoint.ts"
import * as Endpoint from "./Endpoint.ts"

/** Whether a bucket is the first folder of the path, or stands before the host where it can. */
export type UrlStyle = "path" | "virtual"

export interface Address {
  readonly protocol: "http:" | "https:"
  /** The value of the `Host` header, as it is signed. */
  readonly host: string
  /** The path up to and with the slash before the key, percent-encoded. */
  readonly folder: string
}

/**
 * The address of a bucket: `https://s3.example.com/bucket/` or `https://bucket.s3.example.com/`.
 *
 * Virtual-host style becomes path style where a bucket cannot stand before a host, as with the AWS SDK: an endpoint that
 * is an IP address, a bucket with dots over https, a name that is none in DNS. Ask `refusal` first.
 */
export const of = (endpoint: Endpoint.Endpoint, bucket: string, style: UrlStyle): Address => {
  const { basePath, protocol } = endpoint
  const host = Endpoint.host(endpoint)
  return style === "virtual" && standsBefore(endpoint, bucket)
    ? { protocol, host: `${bucket}.${host}`, folder: `${basePath}/` }
    : { protocol, host, folder: Endpoint.bucketPath(endpoint, bucket) }
}

/**
 * Why no URL of this bucket would work there: one line with the cure, to follow the name of a setting or a row. Undefined
 * when it may.
 */
export const refusal = (endpoint: Endpoint.Endpoint, bucket: string, style: UrlStyle): string | undefined => {
  const named = `the bucket ${JSON.stringify(bucket.slice(0, 100))}`
  const contained = Endpoint.containedBucket(endpoint, bucket)

  if (bucket.startsWith("arn:")) {
    return `${named} is an ARN; it should be the name of a bucket, or the alias of an access point`
  }
  if (!/^[^/]{3,}$/.test(bucket)) return `${named} should have at least 3 characters and no slash`
  if (/--xa?-s3$/.test(bucket)) {
    return `${named} is a directory bucket (S3 Express), which needs sessions; it should be a general purpose bucket`
  }
  if (bucket.endsWith("--op-s3")) {
    return `${named} is on an Outpost, which has signatures of its own; it should be a bucket in a region`
  }
  if (contained !== undefined) {
    return `${named} is in the endpoint already, and would be in each URL twice; the endpoint should be ${contained}`
  }
  if (AwsEndpoint.isAccelerate(endpoint) && style === "path") {
    return "transfer acceleration takes no bucket in the path; the style should be virtual"
  }
  if (AwsEndpoint.isAccelerate(endpoint) && !standsBefore(endpoint, bucket)) {
    return `${named} should be a name in lower case without dots for transfer acceleration, or that should be off`
  }
  return undefined
}

/** Whether a bucket can stand before the endpoint's host. A certificate for `*.s3.example.com` is good for one label. */
const standsBefore = (endpoint: Endpoint.Endpoint, bucket: string): boolean => {
  const labels = bucket.split(".")
  return (
    !Endpoint.isIp(endpoint) &&
    (labels.length === 1 || endpoint.protocol === "http:") &&
    bucket.length <= 63 &&
    labels.every((label) => /^[a-z0-9][a-z0-9-]+[a-z0-9]$/.test(label)) &&
    !/(\d+\.){3}\d/.test(bucket)
  )
}
