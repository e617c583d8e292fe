/**
 * Destinations: in which bucket of which store a file lies, and what its URLs say about it.
 *
 * Most sites have one. Routes give entity types of their own another; a download goes to the file's own bucket.
 */
import type * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type { Prefix } from "../uploads/ObjectKey.ts"
import type { UploadTerms } from "./UploadTerms.ts"
import * as Address from "./Address.ts"
import type { Endpoint } from "./Endpoint.ts"

export interface Destination {
  /** Written into URLs. */
  readonly endpoint: Endpoint
  /** Where this program itself calls the store. */
  readonly apiEndpoint: Endpoint
  readonly style: Address.UrlStyle
  readonly region: string
  readonly bucket: string
  /** Stands before the keys of uploads. */
  readonly prefix: Prefix
  /** How long a client has to begin its upload: whole seconds, from 1 second to 7 days. */
  readonly uploadLifetime: Duration.Duration
  /** What an upload URL signs besides; see `UploadTerms.ts`. */
  readonly terms: UploadTerms
}

export interface Destinations {
  /** Of every entity type without a route. */
  readonly standard: Destination
  /** By entity type. */
  readonly routes: ReadonlyMap<string, Destination>
}

/** Where an upload for an entity goes. */
export const ofUpload = ({ routes, standard }: Destinations, entityType: string): Destination =>
  routes.get(entityType) ?? standard

/** The buckets that were no destination's, as destinations. They are named by rows, so their number is bounded. */
const mostOthers = 1000

/**
 * Makes the function that says where a recorded file lies: with its entity's route when the bucket is that route's, else
 * with the destination that has the bucket, else in that bucket beside the standard one. A file without a bucket of its
 * own lies where its entity's uploads go.
 */
export const ofFile = (destinations: Destinations) => {
  const { routes, standard } = destinations
  const byBucket = new Map([...routes.values(), standard].map((known) => [known.bucket, known]))
  const others = new Map<string, Destination>()

  return (file: {
    readonly entity_type: string
    readonly bucket: string | null
  }): Result.Result<Destination, string> => {
    const { bucket, entity_type } = file
    const own = ofUpload(destinations, entity_type)
    if (bucket === null || own.bucket === bucket) return Result.succeed(own)
    const known = byBucket.get(bucket) ?? others.get(bucket)
    if (known !== undefined) return Result.succeed(known)
    const refusal = Address.refusal(standard.endpoint, bucket, standard.style)
    if (refusal !== undefined) return Result.fail(refusal)
    if (others.size >= mostOthers) others.clear()
    const other = { ...standard, bucket }
    others.set(bucket, other)
    return Result.succeed(other)
  }
}
