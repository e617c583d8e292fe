/**
 * What S3's refusals mean that do not depend on what was asked: keys, clock, bucket and region.
 */
import { type Finding, finding } from "../Finding.ts"
import * as ClockCheck from "./ClockCheck.ts"
import type { Access } from "./Access.ts"
import type { Refusal } from "./Http.ts"
import * as Site from "./Site.ts"

/** The finding that a refusal is; undefined when it depends on what was asked. */
export const explain = (site: Site.Site, access: Access, refusal: Refusal): Finding | undefined => {
  const { code = "", mistimed, region, status } = refusal
  const { destination, subject } = site
  if (mistimed || code === "RequestTimeTooSkewed") return ClockCheck.refused(subject)
  if (code === "NoSuchBucket") return bucketMissing(site)
  const elsewhere = region !== undefined && region !== destination.region
  if ((elsewhere && status >= 300) || isRedirect(refusal)) return otherRegion(site, region)
  if (status === 429 || code === "SlowDown" || (status >= 500 && status !== 501)) {
    return finding("S3_UNAVAILABLE", {
      subject,
      seen: `it answers ${shown(refusal)}`,
      cure: "look at the store's own health, and ask again later"
    })
  }
  const wrong = keyCodes.find(([codes]) => codes.test(status === 401 && code === "" ? "Unauthorized" : code))
  return wrong === undefined
    ? undefined
    : finding(wrong[1], {
        subject,
        seen: `the store refuses ${access.id} (${access.source}): ${shown(refusal)}`,
        cure: cures[wrong[1]](access)
      })
}

/** `403 AccessDenied`. */
export const shown = ({ code, status }: Refusal): string => (code === undefined ? `${status}` : `${status} ${code}`)

export const bucketMissing = (site: Site.Site): Finding => {
  const { bucket, region } = site.destination
  const place = region === "us-east-1" ? [] : ["--create-bucket-configuration", `LocationConstraint=${region}`]
  return finding("S3_BUCKET_MISSING", {
    subject: site.subject,
    seen: `there is no bucket ${bucket} at the store`,
    cure: `${site.setting("bucket", "…")}, or ${Site.s3api(site, "create-bucket", "--region", region, ...place)}`
  })
}

export const otherRegion = (site: Site.Site, region: string | undefined): Finding => {
  const { apiEndpoint, bucket, region: ours } = site.destination
  const inEndpoint = apiEndpoint.hostname.split(".").includes(ours)
  const also = inEndpoint ? ", and the same in S3_ENDPOINT where that is set" : ""
  return finding("S3_BUCKET_REGION", {
    subject: site.subject,
    seen: `${bucket} is not in ${ours} but ${region === undefined ? "elsewhere" : `in ${region}`}`,
    cure:
      region === undefined
        ? `${site.setting("region", "…")}: ${Site.s3api(site, "get-bucket-location")} tells it`
        : `${site.setting("region", region)}${also}`
  })
}

/** Both ways of saying that another region's endpoint is to be asked. */
const isRedirect = ({ code = "", status }: Refusal): boolean =>
  status === 301 ||
  status === 307 ||
  /^(PermanentRedirect|TemporaryRedirect|IllegalLocationConstraintException)$/.test(code)

type KeyCode =
  | "CREDENTIALS_KEY_UNKNOWN"
  | "CREDENTIALS_SECRET_WRONG"
  | "CREDENTIALS_TOKEN_EXPIRED"
  | "CREDENTIALS_TOKEN_INVALID"

const keyCodes: ReadonlyArray<readonly [codes: RegExp, code: KeyCode]> = [
  [/^(InvalidAccessKeyId|Unauthorized)$/, "CREDENTIALS_KEY_UNKNOWN"],
  [/^SignatureDoesNotMatch$/, "CREDENTIALS_SECRET_WRONG"],
  [/^(ExpiredToken|TokenRefreshRequired)$/, "CREDENTIALS_TOKEN_EXPIRED"],
  [/^(InvalidToken|InvalidTokenId|InvalidSecurity)$/, "CREDENTIALS_TOKEN_INVALID"]
]

const cures: Readonly<Record<KeyCode, (access: Access) => string>> = {
  CREDENTIALS_KEY_UNKNOWN: ({ source }) =>
    `${source} should be a key of this store and account: look for it there, or make another`,
  CREDENTIALS_SECRET_WRONG: ({ source }) =>
    `set the secret key that belongs to ${source}; look for spaces and line ends in it`,
  CREDENTIALS_TOKEN_EXPIRED: ({ source }) =>
    `new keys with a new token for ${source}; credentials that last come from a role or a long-term key`,
  CREDENTIALS_TOKEN_INVALID: ({ source }) => `set key, secret and token of ${source} together, as they were handed out`
}
