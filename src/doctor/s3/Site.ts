/**
 * Sites: the places that uploads go to, each once, with the words by which an operator knows them.
 */
import * as Redacted from "effect/Redacted"
import * as Address from "../../signer/s3/Address.ts"
import type { Destination, Destinations } from "../../signer/s3/Destination.ts"
import * as Endpoint from "../../signer/s3/Endpoint.ts"

/** `api`: the endpoint that this program calls. `url`: the one that is written into URLs. Often they are the same. */
export type Which = "api" | "url"

export interface Site {
  readonly destination: Destination
  /** The bucket, and whose uploads go there. */
  readonly subject: string
  /** How a setting of the site is written: `S3_REGION=eu-west-1`, or as a part of `S3_ROUTES`. */
  readonly setting: (field: "bucket" | "endpoint" | "region", value: string) => string
  /** Whether browsers are sent to another address than the one that this program calls. */
  readonly isSplit: boolean
  /** The settings that the addresses come from. */
  readonly endpointNames: { readonly api: string; readonly url: string }
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
    const isSplit = Endpoint.url(endpoint) !== Endpoint.url(apiEndpoint)
    const isOwn = Endpoint.url(apiEndpoint) !== Endpoint.url(standard.apiEndpoint)
    return {
      destination,
      subject: first === undefined ? bucket : `${bucket} (route of ${named(entityTypes)})`,
      setting: (field, value) =>
        first === undefined
          ? `S3_${field.toUpperCase()}=${value}`
          : `S3_ROUTES, in each of ${named(entityTypes)}: ${JSON.stringify({ [field]: value }).slice(1, -1)}`,
      isSplit,
      endpointNames: {
        api: isOwn ? "S3_ROUTES' endpoint" : "S3_ENDPOINT",
        url: isOwn ? "S3_ROUTES' endpoint" : isSplit ? "S3_PUBLIC_ENDPOINT" : "S3_ENDPOINT"
      }
    }
  })
}

const named = (entityTypes: ReadonlyArray<string>) =>
  `${entityTypes.slice(0, 3).join(", ")}${entityTypes.length > 3 ? " …" : ""}`

const placeOf = ({ apiEndpoint, bucket, endpoint, prefix, region, style, terms }: Destination) =>
  JSON.stringify([Endpoint.url(endpoint), Endpoint.url(apiEndpoint), style, region, bucket, prefix, terms])

export const endpointOf = ({ destination }: Site, which: Which): Endpoint.Endpoint =>
  which === "api" ? destination.apiEndpoint : destination.endpoint

/** A question that S3 answers to anybody: in XML, with a refusal or without. */
export const locationUrl = (site: Site, which: Which): Redacted.Redacted => {
  const { bucket, style } = site.destination
  const { folder, host, protocol } = Address.of(endpointOf(site, which), bucket, style)
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
