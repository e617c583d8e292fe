/**
 * Sites: the places that uploads go to, each once, with the words by which an operator knows them.
 */
import * as Redacted from "effect/Redacted"
import * as Address from "../../signer/s3/Address.ts"
import type { Destination, Destinations } from "../../signer/s3/Destination.ts"
import * as Endpoint from "../../signer/s3/Endpoint.ts"

export interface Site {
  readonly destination: Destination
  /** The bucket, and whose uploads go there. */
  readonly subject: string
  /** How a setting of the site is written: `S3_REGION=eu-west-1`, or as a part of `S3_ROUTES`. */
  readonly setting: (field: "bucket" | "endpoint" | "region", value: string) => string
  /** Whether browsers are sent to another address than the one that this program calls. */
  readonly isSplit: boolean
}

/** The standard destination, then those of the routes that differ from what came before in more than a lifetime. */
export const all = ({ routes, standard }: Destinations): ReadonlyArray<Site> => {
  const places = new Map([[placeOf(standard), { destination: standard, entityTypes: new Array<string>() }]])
  for (const [entityType, destination] of routes) {
    const place = places.get(placeOf(destination)) ?? { destination, entityTypes: [] }
    if (place.destination !== standard) place.entityTypes.push(entityType)
    places.set(placeOf(destination), place)
  }
  return [...places.values()].map(({ destination, entityTypes }) => {
    const { apiEndpoint, bucket, endpoint } = destination
    const [first] = entityTypes
    return {
      destination,
      subject: first === undefined ? bucket : `${bucket} (route of ${named(entityTypes)})`,
      setting: (field, value) =>
        first === undefined
          ? `S3_${field.toUpperCase()}=${value}`
          : `S3_ROUTES, in each of ${named(entityTypes)}: ${JSON.stringify({ [field]: value }).slice(1, -1)}`,
      isSplit: Endpoint.url(endpoint) !== Endpoint.url(apiEndpoint)
    }
  })
}

const named = (entityTypes: ReadonlyArray<string>) =>
  `${entityTypes.slice(0, 3).join(", ")}${entityTypes.length > 3 ? " …" : ""}`

const placeOf = ({ apiEndpoint, bucket, endpoint, prefix, region, style, terms }: Destination) =>
  JSON.stringify([Endpoint.url(endpoint), Endpoint.url(apiEndpoint), style, region, bucket, prefix, terms])

/** The bucket itself, asked for what anybody may ask: S3 answers in XML, with a refusal or without. */
export const locationUrl = ({ bucket, style }: Destination, endpoint: Endpoint.Endpoint): Redacted.Redacted => {
  const { folder, host, protocol } = Address.of(endpoint, bucket, style)
  return Redacted.make(`${protocol}//${host}${folder}?location`)
}

/** Whether the store is Amazon's own, which needs no endpoint to be named to its command line. */
export const isAws = ({ hostname }: Endpoint.Endpoint): boolean =>
  /\.(amazonaws\.(com|com\.cn|eu)|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)$/.test(hostname)

/** A command of AWS's `s3api` about the site's bucket. */
export const s3api = ({ destination }: Site, command: string, ...args: ReadonlyArray<string>): string => {
  const { apiEndpoint, bucket } = destination
  const endpoint = isAws(apiEndpoint) ? [] : ["--endpoint-url", Endpoint.url(apiEndpoint)]
  return ["aws", "s3api", command, "--bucket", bucket, ...args, ...endpoint].join(" ")
}
