/**
 * Whether the bucket is there, and in the region that URLs are signed for.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Finding } from "../Finding.ts"
import type { Bucket } from "./Bucket.ts"
import * as EndpointFindings from "./EndpointFindings.ts"
import * as Refusals from "./Refusals.ts"
import type { Site } from "./Site.ts"

/**
 * A refusal of HEAD has no body, so it may mean anything but a missing bucket or another region: what else is wrong shows
 * when an object is put there.
 */
export const check = (site: Site, bucket: Bucket): Effect.Effect<ReadonlyArray<Finding>> =>
  bucket.head.pipe(
    Effect.as<ReadonlyArray<Finding>>([]),
    Effect.catchTag("Refused", ({ region, status }) => {
      if (status === 404) return Effect.succeed([Refusals.bucketMissing(site)])
      const elsewhere = region !== undefined && region !== site.destination.region
      if (elsewhere) return Effect.succeed([Refusals.otherRegion(site, region)])
      if (status !== 301 && status !== 307) return Effect.succeed([])
      return Effect.map(Effect.option(bucket.location), (found) => [
        Refusals.otherRegion(
          site,
          Option.getOrUndefined(Option.filter(found, (region) => region !== site.destination.region))
        )
      ])
    }),
    Effect.catchTag("Unreachable", (problem) => Effect.succeed([EndpointFindings.unreached(site, "api", problem)]))
  )
