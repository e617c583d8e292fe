/**
 * What may be wrong with writing and reading objects.
 */
import { type Finding, finding } from "../Finding.ts"
import type { Answer, Refusal } from "./Http.ts"
import * as Probe from "./Probe.ts"
import * as Refusals from "./Refusals.ts"
import type * as Site from "./Site.ts"

export const putRefused = (site: Site.Site, refusal: Refusal): Finding =>
  refusal.status === 403
    ? finding("S3_PUT_DENIED", {
        subject: site.subject,
        seen: `a signed PUT is refused: ${Refusals.shown(refusal)}`,
        cure: `this policy for the credentials, and no bucket policy that denies it: ${policy(site)}`
      })
    : finding("S3_PUT_FAILED", {
        subject: site.subject,
        seen: `a signed PUT ends with ${Refusals.shown(refusal)}`,
        cure: "look that answer up in the store's own documents and log"
      })

export const getRefused = (site: Site.Site, refusal: Refusal): Finding =>
  refusal.status === 403
    ? finding("S3_GET_DENIED", {
        subject: site.subject,
        seen: `a signed GET of what was just put there is refused: ${Refusals.shown(refusal)}`,
        cure: `this policy for the credentials, and kms:Decrypt where the bucket encrypts with a key of its own: ${policy(site)}`
      })
    : finding("S3_GET_FAILED", {
        subject: site.subject,
        seen: `a signed GET of what was just put there ends with ${Refusals.shown(refusal)}`,
        cure: "look that answer up in the store's own documents and log"
      })

export const getDiffers = (site: Site.Site): Finding =>
  finding("S3_GET_FAILED", {
    subject: site.subject,
    seen: "a signed GET gives something else than what was put there",
    cure: "look for a cache or a proxy between here and the store that answers in its place"
  })

/** What a role needs to serve uploads and downloads, and nothing more. */
const policy = ({ destination }: Site.Site): string => {
  const { bucket, prefix, terms } = destination
  const acl = "x-amz-acl" in terms.headers || "x-amz-acl" in terms.query ? ["s3:PutObjectAcl"] : []
  const Resource = `arn:aws:s3:::${bucket}/${prefix}*`
  return JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: ["s3:PutObject", "s3:GetObject", ...acl], Resource }]
  })
}

export const overridden = (site: Site.Site, { headers }: Answer): ReadonlyArray<Finding> => {
  const { contentDisposition, contentType } = Probe.override
  const ignored = [
    ...(headers.get("content-type") === contentType ? [] : ["response-content-type"]),
    ...(headers.get("content-disposition") === contentDisposition ? [] : ["response-content-disposition"])
  ]
  return ignored.length === 0
    ? []
    : [
        finding("S3_GET_OVERRIDES", {
          subject: site.subject,
          seen: `a download URL's ${ignored.join(" and ")} changed nothing`,
          cure: "a store, or a proxy before it, that keeps to these parameters"
        })
      ]
}
