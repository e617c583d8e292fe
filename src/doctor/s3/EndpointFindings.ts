/**
 * What may be wrong with an endpoint.
 */
import * as Redacted from "effect/Redacted"
import * as Endpoint from "../../signer/s3/Endpoint.ts"
import { type Finding, finding } from "../Finding.ts"
import type { Answer, Refusal, Unreachable } from "./Http.ts"
import * as Refusals from "./Refusals.ts"
import * as Site from "./Site.ts"

export const mixedContent = (site: Site.Site, origin: string): Finding => {
  const { endpoint } = site.destination
  return finding("S3_MIXED_CONTENT", {
    subject: site.subject,
    seen: `pages of ${origin} would send to ${Endpoint.url(endpoint)}`,
    cure: `${site.endpointNames.url}=${withProtocol(endpoint, "https:")}, with a certificate there`
  })
}

export const notS3 = (site: Site.Site, which: Site.Which, answer: Answer): Finding => {
  const { body, headers, status } = answer
  const endpoint = Site.endpointOf(site, which)
  const name = site.endpointNames[which]
  const elsewhere = originOf(headers.get("location"))
  return finding("S3_ENDPOINT_NOT_S3", {
    subject: site.subject,
    seen: `${Endpoint.url(endpoint)} (${name}) gives ${isPage(answer) ? "a web page" : "what is no answer of S3"}, status ${status}`,
    cure:
      elsewhere !== undefined && elsewhere !== Endpoint.url({ ...endpoint, basePath: "" })
        ? `${name}=${elsewhere}${endpoint.basePath}`
        : endpoint.protocol === "http:" && /\bHTTPS\b/.test(body)
          ? `${name}=${withProtocol(endpoint, "https:")}`
          : `${name}=… the address and port of the store's S3 API, not those of its console or of a web site`
  })
}

export const isPage = ({ body, headers }: Answer): boolean =>
  /^\s*<(!doctype html|html)/i.test(body) || /html/.test(headers.get("content-type") ?? "")

/** It stands before the store, and cannot reach it. */
export const badGateway = (site: Site.Site, which: Site.Which, { status }: Answer): Finding =>
  finding("S3_UNAVAILABLE", {
    subject: site.subject,
    seen: `what stands before the store at ${Endpoint.url(Site.endpointOf(site, which))} answers ${status}`,
    cure: "start the store, or mend where the proxy looks for it"
  })

export const changedOnTheWay = (site: Site.Site, refusal: Refusal): Finding =>
  finding("S3_ENDPOINT_PROXY", {
    subject: site.subject,
    seen: `a PUT works at ${site.endpointNames.api}, and is refused through ${site.endpointNames.url} (${Refusals.shown(refusal)})`,
    cure: "the proxy should pass host and path on as they come; nginx: proxy_set_header Host $http_host; and proxy_pass without a path"
  })

/** Where a redirection leads. */
const originOf = (location: string | null): string | undefined => {
  const url = location !== null && URL.canParse(location) ? new URL(location) : undefined
  return url !== undefined && /^https?:$/.test(url.protocol) ? url.origin : undefined
}

/** A public endpoint need not be reachable from here, so that is a warning. */
export const unreached = (site: Site.Site, which: Site.Which, { code, fault }: Unreachable): Finding => {
  const endpoint = Site.endpointOf(site, which)
  const { hostname, origin } = new URL(Redacted.value(Site.locationUrl(site, which)))
  const isPublic = site.isSplit && which === "url"
  const name = site.endpointNames[which]
  const place = { endpoint, name, host: hostname, url: Endpoint.url(endpoint) }
  const { cure, seen, word } = fault === "certificate" ? certificate(place, code) : faults[fault](place)
  return finding(`S3_ENDPOINT_${word}`, {
    severity: isPublic ? "warning" : "error",
    subject: site.subject,
    seen: [
      `${origin} (${Site.isAws(endpoint) ? "by S3_REGION" : name}): ${seen}`,
      code === "" ? "" : ` (${code})`,
      isPublic ? "; browsers may have another road" : ""
    ].join(""),
    cure
  })
}

interface Place {
  readonly endpoint: Endpoint.Endpoint
  /** The setting that holds it. */
  readonly name: string
  /** With the bucket before it, in virtual-host style. */
  readonly host: string
  readonly url: string
}

interface Words {
  readonly word: "BROKEN" | "DNS" | "REFUSED" | "SILENT" | "TLS"
  readonly seen: string
  readonly cure: string
}

const faults: Readonly<Record<Exclude<Unreachable["fault"], "certificate">, (place: Place) => Words>> = {
  name: ({ endpoint, host, name }) => ({
    word: "DNS",
    seen: "the host name is not known here",
    cure: Site.isAws(endpoint)
      ? "S3_REGION=… as AWS writes it, such as eu-central-1; or DNS for this host"
      : host === endpoint.hostname
        ? `${name}=… with a name that this host knows: getent hosts ${host}`
        : "S3_URL_STYLE=path, or a wildcard name in DNS"
  }),
  refused: ({ name, url }) => ({
    word: "REFUSED",
    seen: "nobody takes the connection",
    cure: `start the store, or mend host and port in ${name}: curl -v ${url}`
  }),
  silent: ({ name, url }) => ({
    word: "SILENT",
    seen: "no answer within 10 seconds",
    cure: `open the way in firewalls and network policies, or mend ${name}: curl -v --max-time 10 ${url}`
  }),
  broken: ({ endpoint, name, url }) => ({
    word: "BROKEN",
    seen: "the connection breaks, or what comes back is no HTTP",
    cure:
      endpoint.protocol === "http:"
        ? `${name}=${withProtocol(endpoint, "https:")} if it speaks TLS there: curl -v ${url}`
        : `see what is there: curl -v ${url}`
  })
}

const certificate = ({ endpoint, host, name }: Place, code: string): Words => {
  if (/^(EPROTO|ERR_SSL_)/.test(code)) {
    const cure = `${name}=${withProtocol(endpoint, "http:")} if it is plain HTTP there`
    return { word: "TLS", seen: "it does not speak TLS as it should", cure }
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    const cure = `S3_URL_STYLE=path, or a certificate for *.${endpoint.hostname}`
    return {
      word: "TLS",
      seen: "its certificate is another host's",
      cure: host === endpoint.hostname ? `${name}=… with a name that is in the certificate` : cure
    }
  }
  if (/^CERT_(HAS_EXPIRED|NOT_YET_VALID)$/.test(code)) {
    const cure = "renew the store's certificate; or mend the clock here: date -u"
    return { word: "TLS", seen: "its certificate is not valid at this time", cure }
  }
  return {
    word: "TLS",
    seen: "its certificate is of an authority that is not trusted here",
    cure: "NODE_EXTRA_CA_CERTS=/path/to/authority.pem, set before the process starts"
  }
}

const withProtocol = (endpoint: Endpoint.Endpoint, protocol: "http:" | "https:") =>
  Endpoint.url({ ...endpoint, protocol })
