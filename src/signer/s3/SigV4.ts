/**
 * AWS Signature Version 4 in its query form: what is asked for, by whom, from when and for how long, all in a URL.
 *
 * Pure, and without a request to anyone. A URL costs one hash and one HMAC; everything that does not change with the
 * key is kept from URL to URL.
 */
import * as Redacted from "effect/Redacted"
import { createHmac, createSecretKey, hash, type KeyObject } from "node:crypto"

/** An access key, as whoever signs with it needs it. */
export interface Keys {
  readonly accessKeyId: Redacted.Redacted
  readonly secretAccessKey: Redacted.Redacted
  /** Of temporary credentials. */
  readonly sessionToken?: Redacted.Redacted | undefined
}

/** What all URLs of a signer have in common. */
export interface Target {
  /** `http:` or `https:`. */
  readonly protocol: string
  /** The `Host` header of the request to come: in lower case, with its port unless that is the protocol's own. */
  readonly host: string
  readonly region: string
  /** Headers that the client must send just so. Names in lower case, without `host`. Defaults to none. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Parameters that are signed besides the signature's own; names and values not yet encoded. Defaults to none. */
  readonly query?: Readonly<Record<string, string>> | undefined
}

/** One URL to sign. */
export interface Request {
  readonly method: "GET" | "PUT"
  /** Percent-encoded (`encodePath`), from the root. */
  readonly path: string
  /** Milliseconds since 1970; the URL's time is the whole second before. */
  readonly at: number
  /** Seconds, from 1 to 604,800 (7 days). */
  readonly expiresIn: number
  /** Parameters of this URL alone, besides the target's and of other names. Defaults to none. */
  readonly query?: Readonly<Record<string, string>> | undefined
}

/** Makes the URLs of one target and one access key. */
export const signer = (target: Target, keys: Keys): ((request: Request) => string) => {
  const headers = signedHeaders(target)
  let today: Day | undefined
  let now: Moment | undefined

  return ({ at, expiresIn, method, path, query }) => {
    const second = Math.floor(at / 1000)
    if (now === undefined || now.second !== second || now.expiresIn !== expiresIn) {
      const date = amzDate(second)
      if (today === undefined || today.date !== date.slice(0, 8)) today = dayOf(target, keys, date.slice(0, 8))
      now = { second, expiresIn, ...momentOf(target, keys, today, date, expiresIn, headers.names) }
    }
    const { after, before } = query === undefined ? now : around([...now.parameters, ...encoded(query)])
    const canonicalRequest = `${method}\n${path}\n${before}${after}\n${headers.lines}\n${headers.names}\nUNSIGNED-PAYLOAD`
    const signature = hmac(now.key, now.toSign + hash("sha256", canonicalRequest, "hex")).digest("hex")
    return `${target.protocol}//${target.host}${path}?${before}&X-Amz-Signature=${signature}${after}`
  }
}

/** The key of one day, region and service, as AWS derives it from the secret key. */
export const signingKey = (secretAccessKey: string, date: string, region: string, service: string): KeyObject => {
  let key = createSecretKey(`AWS4${secretAccessKey}`, "utf8")
  // A KeyObject, not a Buffer: with a Buffer `createHmac` is three times slower on Node 24.
  for (const part of [date, region, service, "aws4_request"]) key = createSecretKey(hmac(key, part).digest())
  return key
}

/** Percent-encodes a path, segment by segment, as AWS does: everything but RFC 3986's unreserved characters. */
export const encodePath = (path: string): string =>
  /^[\w.~/-]*$/.test(path) ? path : path.split("/").map(encode).join("/")

/** A query string in the order of its names, encoded likewise. */
export const encodeQuery = (parameters: Readonly<Record<string, string>>): string =>
  Object.keys(parameters)
    .toSorted()
    .map((name) => `${encode(name)}=${encode(parameters[name]!)}`)
    .join("&")

const encode = (text: string): string =>
  unreserved.test(text)
    ? text
    : encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)

/** Most names and values are their own encoding. */
const unreserved = /^[\w.~-]*$/

const hmac = (key: KeyObject, text: string) => createHmac("sha256", key).update(text)

interface Day {
  readonly date: string
  /** What the key is good for: day, region, service. */
  readonly scope: string
  readonly key: KeyObject
}

const dayOf = ({ region }: Target, keys: Keys, date: string): Day => ({
  date,
  scope: `${date}/${region}/s3/aws4_request`,
  key: signingKey(Redacted.value(keys.secretAccessKey), date, region, "s3")
})

/** What does not change within a second, as long as the lifetime is the same. */
interface Moment extends Query {
  readonly second: number
  readonly expiresIn: number
  readonly key: KeyObject
  readonly parameters: Encoded
  /** The string to sign, up to the hash of the canonical request. */
  readonly toSign: string
}

/** A query before the signature and after it, each in order of names, and encoded. */
interface Query {
  readonly before: string
  readonly after: string
}

type Parameters = Readonly<Record<string, string>>

const momentOf = (target: Target, keys: Keys, { key, scope }: Day, date: string, expiresIn: number, names: string) => {
  const token = keys.sessionToken === undefined ? "" : Redacted.value(keys.sessionToken)
  const parameters: Parameters = {
    ...target.query,
    "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
    "X-Amz-Credential": `${Redacted.value(keys.accessKeyId)}/${scope}`,
    "X-Amz-Date": date,
    "X-Amz-Expires": String(expiresIn),
    ...(token === "" ? {} : { "X-Amz-Security-Token": token }),
    "X-Amz-SignedHeaders": names
  }
  const sorted = encoded(parameters)
  return { key, parameters: sorted, ...around(sorted), toSign: `AWS4-HMAC-SHA256\n${date}\n${scope}\n` }
}

/** Parameters with their names, which they are sorted by, and as they stand in a query. */
type Encoded = ReadonlyArray<{ readonly name: string; readonly text: string }>

const encoded = (parameters: Parameters): Encoded =>
  Object.keys(parameters).map((name) => ({ name, text: `${encode(name)}=${encode(parameters[name]!)}` }))

const around = (parameters: Encoded): Query => {
  let [before, after] = ["", ""]
  for (const { name, text } of parameters.toSorted(byName)) {
    if (name < "X-Amz-Signature") before += before === "" ? text : `&${text}`
    else after += `&${text}`
  }
  return { before, after }
}

const byName = (a: { readonly name: string }, b: { readonly name: string }) => (a.name < b.name ? -1 : 1)

/** Canonical headers: sorted lines, and the list of their names. */
const signedHeaders = ({ headers, host }: Target) => {
  const all: Parameters = { ...headers, host }
  const names = Object.keys(all).toSorted()
  const lines = names.map((name) => `${name}:${all[name]!.replace(/[ \t\r\n]+/g, " ").replace(/^ | $/g, "")}\n`)
  return { lines: lines.join(""), names: names.join(";") }
}

/** `20130524T000000Z`. */
const amzDate = (second: number): string =>
  `${new Date(second * 1000).toISOString().slice(0, 19).replace(/[-:]/g, "")}Z`
