/**
 * What may be wrong with CORS, and the rule that cures it.
 */
import { type Finding, finding, type Severity } from "../Finding.ts"
import * as CorsOrigins from "./CorsOrigins.ts"
import * as Probe from "./Probe.ts"
import * as Site from "./Site.ts"

/** What the findings are about; MinIO is special in having rules for the whole server only. */
export interface About {
  readonly site: Site.Site
  readonly origin: string
  /** All that are checked: a cure for one must not take leave from the others. */
  readonly origins: ReadonlyArray<string>
  readonly isMinIO: boolean
}

export const missing = (about: About): Finding =>
  make("S3_CORS_MISSING", about, "the bucket has no CORS rules: no page of any site may upload to it")

export const originRefused = (about: About): Finding =>
  make("S3_CORS_ORIGIN", about, `no rule lets a page of ${about.origin} upload`)

export const methodRefused = (about: About, method: "PUT" | "GET"): Finding =>
  method === "PUT"
    ? make("S3_CORS_METHOD", about, `pages of ${about.origin} may send, but no PUT`)
    : make("S3_CORS_METHOD", about, `scripts of ${about.origin} may not GET files`, "warning")

export const headersRefused = (about: About, names: ReadonlyArray<string>): Finding =>
  make("S3_CORS_HEADERS", about, `pages of ${about.origin} may PUT, but not with the headers ${names.join(", ")}`)

export const notInAnswer = ({ origin, site }: About): Finding =>
  finding("S3_CORS_RESPONSE", {
    subject: site.subject,
    seen: `OPTIONS is answered as it should be, the PUT itself without Access-Control-Allow-Origin for ${origin}`,
    cure: "what answers OPTIONS in the store's place, a proxy or a CDN, should add the header to every answer"
  })

export const etagHidden = (about: About): Finding =>
  make("S3_CORS_ETAG", about, `pages of ${about.origin} may not read the ETag of what they upload`)

export const unchecked = ({ site }: Pick<About, "site">): Finding =>
  finding("S3_CORS_UNCHECKED", {
    subject: site.subject,
    seen: "the bucket's CORS rules cannot be read, and no origin was named",
    cure: "s3-signer doctor --origin https://app.example, with the site's own origin"
  })

type CorsCode = "S3_CORS_ETAG" | "S3_CORS_HEADERS" | "S3_CORS_METHOD" | "S3_CORS_MISSING" | "S3_CORS_ORIGIN"

const make = (code: CorsCode, about: About, seen: string, severity?: Severity): Finding =>
  finding(code, {
    subject: about.site.subject,
    seen,
    cure: cure(about),
    ...(severity === undefined ? {} : { severity })
  })

const cure = ({ isMinIO, origins, site }: About): string => {
  const allowed = origins.map((origin) => (origin === CorsOrigins.madeUp ? "https://app.example" : origin))
  if (isMinIO) return `MINIO_API_CORS_ALLOW_ORIGIN=${allowed.join(",")} in MinIO's own environment`
  const rule = {
    AllowedOrigins: allowed,
    AllowedMethods: ["PUT", "GET"],
    AllowedHeaders: Probe.uploadHeaders(site.destination.terms),
    ExposeHeaders: ["ETag"],
    MaxAgeSeconds: 3600
  }
  const rules = `'${JSON.stringify({ CORSRules: [rule] })}'`
  return `${Site.s3api(site, "put-bucket-cors", "--cors-configuration", rules)} (it replaces the rules there are)`
}
