/**
 * A bucket on a server, addressed in one style: what the trials sign for and send requests to.
 */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { once } from "node:events"
import * as http from "node:http"
import * as Address from "../../src/signer/s3/Address.ts"
import * as Endpoint from "../../src/signer/s3/Endpoint.ts"
import * as SigV4 from "../../src/signer/s3/SigV4.ts"
import type { AccessKey, Server } from "./Servers.ts"

export interface Store {
  readonly server: Server
  readonly style: Address.UrlStyle
  readonly bucket: string
}

/** A URL to sign: as the service does for an upload or a download, but for what is said otherwise. */
export interface Signed {
  readonly method?: "GET" | "PUT" | undefined
  readonly key: string
  readonly keys?: AccessKey | undefined
  readonly region?: string | undefined
  /** Signed; the client must send them. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly query?: Readonly<Record<string, string>> | undefined
  /** Seconds from now; negative is in the past. */
  readonly in?: number | undefined
  /** Seconds. */
  readonly expiresIn?: number | undefined
}

/** What both signers take. */
export const asked = (store: Store, signed: Signed): readonly [SigV4.Target, SigV4.Keys, SigV4.Request] => {
  const { domain, keys, port, region } = store.server
  const { accessKeyId, secretAccessKey, sessionToken } = signed.keys ?? keys
  const endpoint = Endpoint.parse(`http://${store.style === "virtual" ? domain : "127.0.0.1"}:${port}`)
  const { folder, host, protocol } = Address.of(Result.getOrThrow(endpoint), store.bucket, store.style)
  return [
    {
      protocol,
      host,
      region: signed.region ?? region,
      headers: signed.headers,
      query: { "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD" }
    },
    {
      accessKeyId: Redacted.make(accessKeyId),
      secretAccessKey: Redacted.make(secretAccessKey),
      sessionToken: sessionToken === undefined ? undefined : Redacted.make(sessionToken)
    },
    {
      method: signed.method ?? "PUT",
      path: folder + SigV4.encodePath(signed.key),
      at: Date.now() + (signed.in ?? 0) * 1000,
      expiresIn: signed.expiresIn ?? 900,
      query: signed.query
    }
  ]
}

export const sign = (store: Store, signed: Signed): string => {
  const [target, keys, request] = asked(store, signed)
  return SigV4.signer(target, keys)(request)
}

export interface Answer {
  readonly status: number
  /** Of S3's errors, in its body's XML. */
  readonly code: string | undefined
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
}

/** Sends it just so: no header is added but `Host` and `Content-Length`, and the path is not tidied up. */
export const send = async (
  store: Store,
  method: string,
  url: string,
  options: { readonly headers?: Readonly<Record<string, string>> | undefined; readonly body?: string | undefined } = {}
): Promise<Answer> => {
  const [, host, path] = /^http:\/\/([^/]+)(.*)$/.exec(url)!
  const request = http.request({
    host: "127.0.0.1",
    port: store.server.port,
    method,
    path: path!,
    agent: false,
    headers: { Host: host!, "Content-Length": String(Buffer.byteLength(options.body ?? "")), ...options.headers }
  })
  request.end(options.body)
  const [response] = (await once(request, "response")) as [http.IncomingMessage]
  const chunks: Array<Buffer> = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks).toString("utf8")
  return { status: response.statusCode!, code: /<Code>(\w+)</.exec(body)?.[1], headers: response.headers, body }
}

/** The object as its owner reads it; undefined when there is none. */
export const read = async (store: Store, key: string): Promise<Answer | undefined> => {
  const answer = await send(store, "GET", sign(store, { method: "GET", key }))
  if (answer.status === 404) return undefined
  if (answer.status !== 200) throw new Error(`reading ${key} on ${store.server.name}: ${answer.status} ${answer.code}`)
  return answer
}

/** Puts it there as its owner. */
export const write = async (store: Store, key: string, body: string): Promise<void> => {
  const { code, status } = await send(store, "PUT", sign(store, { key }), { body })
  if (status !== 200) throw new Error(`writing ${key} on ${store.server.name}: ${status} ${code}`)
}

/** The bucket `uploads` of a server; made unless it is there, as it is on s3rver. */
export const openStore = async (server: Server, style: Store["style"]): Promise<Store> => {
  const store: Store = { server, style: "path", bucket: "uploads" }
  if (server.name !== "s3rver") {
    const { code, status } = await send(store, "PUT", sign(store, { key: "" }))
    if (status !== 200 && status !== 409) throw new Error(`making a bucket on ${server.name}: ${status} ${code}`)
  }
  return { ...store, style }
}
