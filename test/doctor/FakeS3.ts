/**
 * A server that answers what S3 answers, right or wrong as a test wants it. It verifies nothing.
 *
 * By itself it is a store with one bucket, `uploads`, whose CORS rules allow one site. What S3 writes into its errors for
 * developers (key ids, signatures, strings to sign) is there too, so that it may leak.
 */
import { once } from "node:events"
import * as http from "node:http"
import * as https from "node:https"
import type { AddressInfo } from "node:net"
import type { Certificate } from "../support/Certificates.ts"

/** A request, as far as tests look at it. */
export interface Asked {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: http.IncomingHttpHeaders
  readonly body: string
  /** Of an object: the key; empty for the bucket itself. */
  readonly key: string
  /** Signed in the query or in a header. */
  readonly signed: boolean
}

export interface Told {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

/** Undefined for what the store does by itself, `silence` for nothing ever. */
export type Respond = (asked: Asked, itself: () => Told) => Told | "silence" | undefined | Promise<Told>

export interface FakeS3 {
  readonly endpoint: string
  readonly port: number
  readonly requests: ReadonlyArray<Asked>
  /** What is there now, by key. */
  readonly objects: ReadonlyMap<string, string>
  readonly stop: () => Promise<void>
}

export const site = "https://app.example"

/** S3's way to say no. */
export const refuse = (status: number, code: string, more = ""): Told => ({
  status,
  headers: { "content-type": "application/xml", "x-amz-request-id": "CANARYREQUESTID" },
  body: `<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>${code}</Code><Message>canary-message</Message>${more}<AWSAccessKeyId>AKIACANARYCANARY1234</AWSAccessKeyId>
<StringToSign>AWS4-HMAC-SHA256 canary-string-to-sign</StringToSign><SignatureProvided>canary-signature</SignatureProvided>
<RequestId>CANARYREQUESTID</RequestId></Error>`
})

export const startFakeS3 = async (
  options: { readonly respond?: Respond; readonly tls?: Certificate } = {}
): Promise<FakeS3> => {
  const objects = new Map<string, string>()
  const requests: Array<Asked> = []
  const listener: http.RequestListener = (request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const asked = read(request, Buffer.concat(chunks).toString())
      requests.push(asked)
      const itself = () => healthy(asked, objects)
      void Promise.resolve(options.respond?.(asked, itself) ?? itself()).then((told) => {
        if (told === "silence") return
        // The answer to HEAD has no body, whatever it is about.
        const body = asked.method === "HEAD" ? undefined : told.body
        response.writeHead(told.status, told.headers).end(body)
      })
    })
  }
  const server = options.tls === undefined ? http.createServer(listener) : https.createServer(options.tls, listener)
  await once(server.listen(0, "127.0.0.1"), "listening")
  const { port } = server.address() as AddressInfo
  return {
    endpoint: options.tls === undefined ? `http://127.0.0.1:${port}` : `https://localhost:${port}`,
    port,
    requests,
    objects,
    stop: async () => {
      const closed = once(server, "close")
      server.close()
      server.closeAllConnections()
      await closed
    }
  }
}

const read = (request: http.IncomingMessage, body: string): Asked => {
  const { pathname, searchParams } = new URL(request.url ?? "/", "http://fake")
  return {
    method: request.method ?? "",
    path: pathname,
    query: searchParams,
    headers: request.headers,
    body,
    key: decodeURIComponent(pathname.split("/").slice(2).join("/")),
    signed: searchParams.has("X-Amz-Signature") || request.headers.authorization !== undefined
  }
}

const healthy = ({ body, headers, key, method, path, query, signed }: Asked, objects: Map<string, string>): Told => {
  const cors = headers.origin === site ? { "access-control-allow-origin": site } : {}
  const exposed = headers.origin === site ? { ...cors, "access-control-expose-headers": "ETag" } : {}
  if (method === "OPTIONS") {
    return headers.origin === site
      ? {
          status: 200,
          headers: {
            ...exposed,
            "access-control-allow-methods": "PUT, GET",
            "access-control-allow-headers": headers["access-control-request-headers"] ?? ""
          }
        }
      : refuse(403, "AccessForbidden")
  }
  if (!signed) return refuse(403, "AccessDenied")
  if (!path.startsWith("/uploads/")) return refuse(404, "NoSuchBucket")
  if (key === "") return query.has("cors") ? { status: 200, body: corsRules([site]) } : { status: 200 }
  if (method === "PUT") {
    objects.set(key, body)
    return { status: 200, headers: { ...exposed, etag: '"etag"' } }
  }
  if (method === "DELETE") return (objects.delete(key), { status: 204 })
  const held = objects.get(key)
  if (held === undefined) return refuse(404, "NoSuchKey")
  return {
    status: 200,
    headers: {
      ...exposed,
      "content-type": query.get("response-content-type") ?? "text/plain",
      "content-disposition": query.get("response-content-disposition") ?? "inline"
    },
    body: held
  }
}

export const corsRules = (origins: ReadonlyArray<string>, methods: ReadonlyArray<string> = ["PUT", "GET"]): string => `
  <CORSConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><CORSRule>
    ${origins.map((origin) => `<AllowedOrigin>${origin}</AllowedOrigin>`).join("")}
    ${methods.map((method) => `<AllowedMethod>${method}</AllowedMethod>`).join("")}
    <AllowedHeader>*</AllowedHeader><ExposeHeader>ETag</ExposeHeader>
  </CORSRule></CORSConfiguration>`
