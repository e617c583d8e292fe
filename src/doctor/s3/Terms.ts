/**
 * The terms of an upload one by one, to find the one for which a store refuses it.
 */
import type { UploadTerms } from "../../signer/s3/UploadTerms.ts"
import { type Finding, finding } from "../Finding.ts"
import type { Refusal } from "./Http.ts"
import * as Refusals from "./Refusals.ts"
import * as Site from "./Site.ts"

export interface Part {
  /** The terms that are left without it. */
  readonly without: UploadTerms
  /** What it means that an upload is refused with it and taken without. */
  readonly blame: (site: Site.Site, refusal: Refusal) => Finding
}

/** The parts that the terms have, of those that a store may refuse. */
export const parts = (terms: UploadTerms): ReadonlyArray<Part> =>
  all.flatMap(({ blame, names }) => {
    const without = { headers: leaveOut(terms.headers, names), query: leaveOut(terms.query, names) }
    const value = Object.entries({ ...terms.query, ...terms.headers }).findLast(([name]) => names.test(name))?.[1]
    return value === undefined ? [] : [{ without, blame: (site, refusal) => blame(site, refusal, value) }]
  })

const leaveOut = (all: Readonly<Record<string, string>>, names: RegExp) =>
  Object.fromEntries(Object.entries(all).filter(([name]) => !names.test(name)))

const all: ReadonlyArray<{
  readonly names: RegExp
  readonly blame: (site: Site.Site, refusal: Refusal, value: string) => Finding
}> = [
  {
    names: /^x-amz-acl$/,
    blame: (site, refusal, acl) =>
      finding("S3_ACL_REFUSED", {
        subject: site.subject,
        seen: `a PUT with S3_ACL=${acl} is refused (${Refusals.shown(refusal)}), without it is taken`,
        cure: aclCure(site, refusal.code, acl)
      })
  },
  {
    names: /^x-amz-server-side-encryption/,
    blame: (site, refusal) =>
      finding("S3_KMS_REFUSED", {
        subject: site.subject,
        seen: `a PUT with the route's kms_key is refused (${Refusals.shown(refusal)}), without it is taken`,
        cure: "an enabled key of the bucket's region, with kms:GenerateDataKey and kms:Decrypt allowed to the credentials"
      })
  },
  {
    names: /^x-amz-storage-class$/,
    blame: (site, refusal, storageClass) =>
      finding("S3_STORAGE_CLASS_REFUSED", {
        subject: site.subject,
        seen: `a PUT with storage_class ${storageClass} is refused (${Refusals.shown(refusal)}), without it is taken`,
        cure: "a storage_class that the store has, or none, in S3_ROUTES"
      })
  }
]

const aclCure = (site: Site.Site, code: string | undefined, acl: string): string => {
  if (code === "AccessControlListNotSupported") {
    const rules = "'Rules=[{ObjectOwnership=BucketOwnerPreferred}]'"
    const enable = Site.s3api(site, "put-bucket-ownership-controls", "--ownership-controls", rules)
    return `unset S3_ACL, and let a bucket policy make files public if they are to be; or allow ACLs: ${enable}`
  }
  if (code === "AccessDenied") {
    const lift = Site.s3api(site, "delete-public-access-block")
    return `allow s3:PutObjectAcl to the credentials${acl.startsWith("public-") ? `, and public ACLs to the bucket: ${lift}` : ""}; or unset S3_ACL`
  }
  if (code === "SignatureDoesNotMatch") return "S3_ACL_FORM=header, or query where that is what is set; or unset S3_ACL"
  return "unset S3_ACL: the store has no such ACL"
}
