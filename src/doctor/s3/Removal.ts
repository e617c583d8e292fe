/**
 * Takes a probe object away again, or says that it stays.
 */
import * as Effect from "effect/Effect"
import type { ObjectKey } from "../../signer/uploads/ObjectKey.ts"
import { type Finding, finding } from "../Finding.ts"
import type { Bucket } from "./Bucket.ts"
import * as Refusals from "./Refusals.ts"
import * as Site from "./Site.ts"

/** What is known of the object while it is tried out. */
export interface Probed {
  readonly key: ObjectKey
  is: "not there" | "perhaps there" | "there"
  /** Where versions are kept. */
  version: string | undefined
}

/** Where versions are kept, it removes the version; if it may not, it hides the object at least. */
export const remove = (site: Site.Site, bucket: Bucket, probed: Probed): Effect.Effect<ReadonlyArray<Finding>> => {
  const { is, key, version } = probed
  if (is === "not there") return Effect.succeed([])
  return bucket.remove(key, version).pipe(
    Effect.map(({ onlyMarked }) => (onlyMarked ? [left(site, probed, "is kept as a version")] : [])),
    Effect.catchTag("Refused", (refusal) => {
      const refused = left(site, probed, `cannot be removed: ${Refusals.shown(refusal)}`)
      if (refusal.status === 404) return Effect.succeed([])
      if (version === undefined) return Effect.succeed([refused])
      return Effect.match(bucket.remove(key, undefined), {
        onSuccess: () => [left(site, probed, `is kept as a version, not to be removed: ${Refusals.shown(refusal)}`)],
        onFailure: () => [refused]
      })
    }),
    Effect.catchTag("Unreachable", () =>
      Effect.succeed([left(site, probed, is === "there" ? "stays: no answer" : "may be there: no answer")])
    )
  )
}

const left = (site: Site.Site, { key, version }: Probed, what: string): Finding => {
  const ofVersion = version === undefined ? [] : ["--version-id", version]
  return finding("S3_PROBE_LEFT", {
    subject: site.subject,
    seen: `${key} ${what}`,
    cure: `${Site.s3api(site, "delete-object", "--key", key, ...ofVersion)}, by somebody who may; or a lifecycle rule`
  })
}
