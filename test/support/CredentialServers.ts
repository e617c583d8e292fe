/**
 * What hands out temporary credentials on AWS, on loopback: the token service (STS), an instance's metadata (IMDSv2) and
 * a container's endpoint. Each request gets other keys; every server can be made to lie, to refuse and to say nothing.
 */
import { once } from "node:events"
import * as fs from "node:fs"
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"

/** Keys that were handed out. */
export interface Issued {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string
  /** When, and until when they are good, in milliseconds since 1970. */
  readonly at: number
  readonly expiration: number
}

export interface Heard {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** What a server does instead of handing out keys. */
export type Fault =
  /** Takes the request and never answers. */
  | "silent"
  /** Sends half of an answer, and then nothing. */
  | "slow body"
  /** Sends half of an answer and drops the connection. */
  | "cut body"
  /** Another status or another body. */
  | { readonly status?: number; readonly body?: string }
  /** Other fields of the answer, in its own names; undefined leaves one out. */
  | { readonly fields: Readonly<Record<string, unknown>> }

export interface CredentialServer {
  readonly url: string
  readonly issued: ReadonlyArray<Issued>
  readonly heard: ReadonlyArray<Heard>
  /** How long keys live from now on; 60 seconds at first. */
  readonly live: (millis: number) => void
  readonly fail: (fault: Fault | undefined) => void
  /** Connections that are open now. */
  readonly connections: () => number
  readonly stop: () => Promise<void>
}

/** What a server would say: keys in their own form, or a refusal. */
type Answer = (
  heard: Heard,
  issue: (kind: string) => Issued
) =>
  | { readonly status: number; readonly body: string }
  | { readonly keys: Fields; readonly write: (keys: Fields) => string }
type Fields = Readonly<Record<string, unknown>>

const start = async (answer: Answer): Promise<CredentialServer> => {
  const issued: Array<Issued> = []
  const heard: Array<Heard> = []
  let lifetime = 60_000
  let fault: Fault | undefined
  let open = 0

  const issue = (kind: string): Issued => {
    const number = issued.length + 1
    const at = Date.now()
    const keys: Issued = {
      accessKeyId: `ASIA${kind}${number}`,
      secretAccessKey: `canary/secret+${kind}${number}`,
      sessionToken: `canary/token+${kind}${number}==`,
      at,
      expiration: at + lifetime
    }
    issued.push(keys)
    return keys
  }

  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const one: Heard = {
        method: request.method ?? "",
        path: request.url ?? "",
        headers: request.headers,
        body: Buffer.concat(chunks).toString()
      }
      heard.push(one)
      if (fault === "silent") return
      if (typeof fault === "object" && "fields" in fault) return respond(response, answer(one, issue), fault.fields)
      if (typeof fault === "object") {
        return void response.writeHead(fault.status ?? 200).end(fault.body ?? '{"Code":"Refused","Message":"canary"}')
      }
      if (fault === undefined) return respond(response, answer(one, issue), {})
      response.writeHead(200, { "Content-Length": "1000" }).write('{"AccessKeyId":"ASIAHALF"')
      if (fault === "cut body") setTimeout(() => request.socket.resetAndDestroy(), 20)
    })
  })
  server.on("connection", (socket) => {
    open += 1
    socket.on("close", () => (open -= 1)).on("error", () => {})
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    issued,
    heard,
    live: (millis) => (lifetime = millis),
    fail: (next) => (fault = next),
    connections: () => open,
    stop: async () => {
      const closed = once(server, "close")
      server.close()
      server.closeAllConnections()
      await closed
    }
  }
}

const respond = (response: ServerResponse, answer: ReturnType<Answer>, fields: Fields) => {
  if ("body" in answer) response.writeHead(answer.status).end(answer.body)
  else response.writeHead(200).end(answer.write({ ...answer.keys, ...fields }))
}

const refused = { status: 403, body: '{"Code":"AccessDenied","Message":"canary"}' }

/** In the form that instance metadata and container endpoints have. */
const asJson = ({ accessKeyId, expiration, secretAccessKey, sessionToken }: Issued) => ({
  keys: {
    Code: "Success",
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    Token: sessionToken,
    Expiration: new Date(expiration).toISOString()
  },
  write: (keys: Fields) => JSON.stringify(keys)
})

/** A container's endpoint at any path, for who sends what the token file holds at the moment. */
export const startContainerEndpoint = (tokenFile?: string): Promise<CredentialServer> =>
  start(({ headers }, issue) =>
    tokenFile !== undefined && headers.authorization !== fs.readFileSync(tokenFile, "utf8")
      ? refused
      : asJson(issue("CONTAINER"))
  )

/** An instance's metadata, version 2 only, of an instance with a role. */
export const startInstanceMetadata = (): Promise<CredentialServer> => {
  const sessions = new Set<string>()
  return start(({ headers, method, path }, issue) => {
    if (path === "/latest/api/token") {
      if (method !== "PUT" || headers["x-aws-ec2-metadata-token-ttl-seconds"] === undefined) return refused
      const session = `canary-session-${sessions.size + 1}`
      sessions.add(session)
      return { status: 200, body: session }
    }
    if (!sessions.has(String(headers["x-aws-ec2-metadata-token"]))) return { status: 401, body: "" }
    if (path === "/latest/meta-data/iam/security-credentials/") return { status: 200, body: "the-role\n" }
    return path.endsWith("/the-role") ? asJson(issue("INSTANCE")) : { status: 404, body: "" }
  })
}

/** The token service: assumes every role for everybody who signs, or has the web identity that the file holds now. */
export const startSts = (identityFile?: string): Promise<CredentialServer> =>
  start(({ body, headers }, issue) => {
    const query = new URLSearchParams(body)
    const action = query.get("Action") ?? ""
    if (action === "AssumeRoleWithWebIdentity") {
      if (identityFile === undefined || query.get("WebIdentityToken") !== fs.readFileSync(identityFile, "ascii")) {
        return stsError(400, "InvalidIdentityToken")
      }
      return asXml(action, issue("WEB"))
    }
    if (action !== "AssumeRole") return stsError(400, "InvalidAction")
    return headers.authorization?.startsWith("AWS4-HMAC-SHA256 ") === true
      ? asXml(action, issue("ROLE"))
      : stsError(403, "AccessDenied")
  })

export const stsError = (status: number, code: string) => ({
  status,
  body: `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>${code}</Code>
    <Message>canary in a message</Message></Error><RequestId>1</RequestId></ErrorResponse>`
})

const asXml = (action: string, { accessKeyId, expiration, secretAccessKey, sessionToken }: Issued) => ({
  keys: {
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    SessionToken: sessionToken,
    Expiration: new Date(expiration).toISOString()
  },
  write: (keys: Fields) => `
    <${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><${action}Result>
      <AssumedRoleUser><AssumedRoleId>AROA:session</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn>
      </AssumedRoleUser><Credentials>${Object.entries(keys)
        .filter(([, value]) => value !== undefined)
        .map(([name, value]) => `<${name}>${String(value)}</${name}>`)
        .join("")}</Credentials>
    </${action}Result><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></${action}Response>`
})

/** The region that a request to the token service was signed for. */
export const signedRegion = ({ headers }: Heard): string | undefined =>
  /Credential=[^/]+\/\d+\/([^/]+)\/sts\//.exec(headers.authorization ?? "")?.[1]
