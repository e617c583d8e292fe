/**
 * Whether something answers at an endpoint, whether that is an S3 server, and whether browsers may go there.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Endpoint from "../../signer/s3/Endpoint.ts"
import { type Finding, finding } from "../Finding.ts"
import { type Answer, send, type Unreachable } from "./Http.ts"
import * as Site from "./Site.ts"

/** `api`: the one that this program calls. `url`: the one that is written into URLs. Often they are the same. */
export type Which = "api" | "url"

export interface Reached {
  /** Undefined when there is nothing there to send more to. */
  readonly answer: Answer | undefined
  readonly findings: ReadonlyArray<Finding>
}

export const check = (site: Site.Site, which: Which): Effect.Effect<Reached> =>
  send(Site.locationUrl(site.destination, endpointOf(site, which)), { method: "GET" }).pipe(
    Effect.map((answer) =>
      isS3(answer)
        ? { answer, findings: [] }
        : { answer: undefined, findings: [notS3(site, which, answer)] }
    ),
    Effect.catchTag("Unreachable", (problem) =>
      Effect.succeed({ answer: undefined, findings: [unreached(site, which, problem)] })
    )
  )

/** Pages of https origins may not send to http, but for this machine itself, which browsers trust. */
export const mixedContent = (site: Site.Site, origins: ReadonlyArray<string>): ReadonlyArray<Finding> => {
  const { endpoint } = site.destination
  const origin = origins.find((origin) => origin.startsWith("https:"))
  const isLocal = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(endpoint.hostname)
  return origin === undefined || endpoint.protocol === "https:" || isLocal
    ? []
    : [
        finding("S3_MIXED_CONTENT", {
          subject: site.subject,
          seen: `pages of ${origin} would send to ${Endpoint.url(endpoint)}`,
          cure: `${nameOf(site, "url")}=${Endpoint.url({ ...endpoint, protocol: "https:" })}, with a certificate there`
        })
      ]
}

export const endpointOf = ({ destination }: Site.Site, which: Which): Endpoint.Endpoint =>
  which === "api" ? destination.apiEndpoint : destination.endpoint

/** The setting that holds it. */
const nameOf = ({ isSplit }: Site.Site, which: Which) =>
  isSplit && which === "url" ? "S3_PUBLIC_ENDPOINT" : "S3_ENDPOINT"

/** S3 answers in XML, or marks its answers. */
const isS3 = ({ body, headers }: Answer): boolean =>
  /^\s*(<\?xml[^>]*>\s*)?<(Error|LocationConstraint|ListBucketResult)\b/.test(body) ||
  [...headers.keys()].some((name) => name.startsWith("x-amz-"))

const notS3 = (site: Site.Site, which: Which, { body, headers, status }: Answer): Finding => {
  const endpoint = endpointOf(site, which)
  const elsewhere = originOf(headers.get("location"))
  const plain = endpoint.protocol === "http:" && /\bHTTPS\b/i.test(body)
  const cure =
    elsewhere !== undefined && elsewhere !== Endpoint.url({ ...endpoint, basePath: "" })
      ? `${nameOf(site, which)}=${elsewhere}${endpoint.basePath}`
      : plain
        ? `${nameOf(site, which)}=${Endpoint.url({ ...endpoint, protocol: "https:" })}`
        : `${nameOf(site, which)}=… the address and port of the S3 API, not those of its console or web site`
  const what = /^\s*<(!doctype html|html)/i.test(body) || /html/.test(headers.get("content-type") ?? "") ? "a web page" : "an answer that is not S3's"
  return finding("S3_ENDPOINT_NOT_S3", {
    subject: site.subject,
    seen: `${Endpoint.url(endpoint)} (${nameOf(site, which)}) gives ${what}, with status ${status}`,
    cure
  })
}

const originOf = (location: string | null): string | undefined => {
  const url = location !== null && URL.canParse(location) ? new URL(location) : undefined
  return url !== undefined && /^https?:$/.test(url.protocol) ? url.origin : undefined
}

/** From here a public endpoint need not be reachable: only browsers go there. */
export const unreached = (site: Site.Site, which: Which, { code, fault }: Unreachable): Finding => {
  const endpoint = endpointOf(site, which)
  const name = nameOf(site, which)
  const { origin } = new URL(Redacted.value(Site.locationUrl(site.destination, endpoint)))
  const split = site.isSplit && which === "url"
  const { cure, seen, word } = words[fault](endpoint, new URL(origin).hostname, code)
  return finding(`S3_ENDPOINT_${word}`, {
    severity: split ? "warning" : "error",
    subject: site.subject,
    seen: `${origin} (${name}): ${seen}${code === "" ? "" : ` (${code})`}${split ? "; browsers may have another road" : ""}`,
    cure: cure.replace("{name}", name)
  })
}

interface Words {
  readonly word: "BROKEN" | "DNS" | "REFUSED" | "SILENT" | "TLS"
  readonly seen: string
  /** `{name}` stands for the setting. */
  readonly cure: string
}

const words: Readonly<
  Record<Unreachable["fault"], (endpoint: Endpoint.Endpoint, host: string, code: string) => Words>
> = {
  name: (endpoint, host) => ({
    word: "DNS",
    seen: "the host name is not known here",
    cure:
      host !== endpoint.hostname
        ? "S3_URL_STYLE=path, or a wildcard name in DNS"
        : Site.isAws(endpoint)
          ? "S3_REGION=… as AWS writes it, such as eu-central-1"
          : `{name}=… with a name that this host knows: getent hosts ${host}`
  }),
  refused: (endpoint) => ({
    word: "REFUSED",
    seen: "nobody takes the connection",
    cure: `start the store, or {name}=… with its port: curl -v ${Endpoint.url(endpoint)}`
  }),
  silent: (endpoint) => ({
    word: "SILENT",
    seen: "no answer within 10 seconds",
    cure: `open the way in firewalls and network policies, or mend {name}: curl -v --max-time 10 ${Endpoint.url(endpoint)}`
  }),
  broken: (endpoint) => ({
    word: "BROKEN",
    seen: "the connection breaks, or what comes back is no HTTP",
    cure:
      endpoint.protocol === "http:"
        ? `{name}=${Endpoint.url({ ...endpoint, protocol: "https:" })}, if it speaks TLS there: curl -v ${Endpoint.url(endpoint)}`
        : `see what is there: curl -v ${Endpoint.url(endpoint)}`
  }),
  certificate: (endpoint, host, code) => ({
    word: "TLS",
    ...(/^(EPROTO|ERR_SSL_)/.test(code)
      ? { seen: "it does not speak TLS as it should", cure: `{name}=${Endpoint.url({ ...endpoint, protocol: "http:" })}, if it is plain HTTP there` }
      : code === "ERR_TLS_CERT_ALTNAME_INVALID"
        ? {
            seen: "its certificate is another host's",
            cure:
              host === endpoint.hostname
                ? "{name}=… with a name that is in the certificate"
                : `S3_URL_STYLE=path, or a certificate for *.${endpoint.hostname}`
          }
        : code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID"
          ? { seen: "its certificate is not valid at this time", cure: "renew the certificate of the store; check the clock here: date -u" }
          : {
              seen: "its certificate is of an authority that is not trusted here",
              cure: "NODE_EXTRA_CA_CERTS=/path/to/authority.pem, set before the process starts"
            })
  })
}
