/** What the properties of signing are held against: hostile cases, and the AWS SDK. */
import { getSignedUrl } from "@aws-sdk/s3-request-presigner"
import { Hash } from "@smithy/hash-node"
import { assert } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Endpoint from "../../../src/signer/s3/Endpoint.ts"
import * as SdkPresigner from "../../../src/signer/s3/SdkPresigner.ts"
import * as SigV4 from "../../../src/signer/s3/SigV4.ts"
import { instant, wellFormedText } from "../arbitraries.ts"

const payload = { "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD" }

const printable = (from: number, to: number) =>
  Schema.String.check(Schema.isPattern(new RegExp(`^[!-~]{${from},${to}}$`)))

const keys = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.schema(Schema.String.check(Schema.isPattern(/^[A-Z0-9]{16,20}$/))),
    Arbitrary.schema(printable(1, 40)),
    Arbitrary.schema(Schema.UndefinedOr(printable(0, 200)))
  ]),
  ([accessKeyId, secretAccessKey, sessionToken]): InTheClear => ({ accessKeyId, secretAccessKey, sessionToken })
)

const endpoint = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.schema(Schema.Literals(["http", "https", "HTTP"])),
    Arbitrary.schema(
      Schema.Literals(["localhost", "S3.Example.com", "127.0.0.1", "[::1]", "[2001:DB8::1]", "bücher.example"])
    ),
    Arbitrary.schema(Schema.Literals(["", ":80", ":443", ":9000", ":65535"])),
    Arbitrary.schema(Schema.Literals(["", "/", "/base", "/a/b/", "/a%20b/ü", "/%E2%82%AC/x!'()*"]))
  ]),
  (parts) => Result.getOrThrow(Endpoint.parse(`${parts[0]}://${parts.slice(1).join("")}`))
)

const headerValue = Schema.String.check(Schema.isPattern(/^[ -~]{0,30}$/))
const headers = Arbitrary.schema(
  Schema.UndefinedOr(
    Schema.Struct({
      "content-type": Schema.optionalKey(headerValue),
      "x-amz-acl": Schema.optionalKey(Schema.Literals(["public-read", " two \t words ", ""])),
      "x-amz-meta-note": Schema.optionalKey(headerValue),
      "x-amz-server-side-encryption": Schema.optionalKey(Schema.Literal("AES256")),
      "cache-control": Schema.optionalKey(headerValue),
      "if-none-match": Schema.optionalKey(Schema.Literal("*"))
    })
  )
)

const query = Arbitrary.map(
  Arbitrary.schema(
    Schema.Struct({
      "x-id": Schema.optionalKey(Schema.Literals(["PutObject", "GetObject"])),
      "x-amz-acl": Schema.optionalKey(Schema.Literal("public-read")),
      Zeta: Schema.optionalKey(Schema.Literal(""))
    })
  ),
  (some) => ({ ...payload, ...some })
)

const ownQuery = Arbitrary.map(
  Arbitrary.all([Arbitrary.schema(Schema.Literals(["none", "empty", "download"])), wellFormedText]),
  ([which, text]): Readonly<Record<string, string>> | undefined =>
    which === "none"
      ? undefined
      : which === "empty"
        ? {}
        : {
            "response-content-disposition": `attachment; filename="a.png"; filename*=UTF-8''${encodeURIComponent(text)}`,
            "response-content-type": "image/png"
          }
)

const request = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.schema(Schema.Literals(["GET", "PUT"])),
    wellFormedText,
    instant,
    Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 604_800 }))),
    ownQuery
  ]),
  ([method, key, at, expiresIn, own]) => ({ method, key, at, expiresIn, query: own })
)

/** A signer, and what it signs one after the other. */
export const cases = {
  keys,
  endpoint,
  headers,
  query,
  region: Schema.Literals(["us-east-1", "eu-central-1", "cn-north-1", "minio-local"]),
  requests: Arbitrary.array(request, { minLength: 1, maxLength: 4 })
}

interface InTheClear {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken: string | undefined
}

export interface Case {
  readonly keys: InTheClear
  readonly headers: Readonly<Record<string, string>> | undefined
  readonly endpoint: Endpoint.Endpoint
  readonly region: string
  readonly query: Readonly<Record<string, string>>
}

export const keysOf = ({ keys: { accessKeyId, secretAccessKey, sessionToken } }: Pick<Case, "keys">): SigV4.Keys => ({
  accessKeyId: Redacted.make(accessKeyId),
  secretAccessKey: Redacted.make(secretAccessKey),
  sessionToken: sessionToken === undefined ? undefined : Redacted.make(sessionToken)
})

export const targetOf = ({ endpoint: at, headers: someHeaders, query: parameters, region }: Case): SigV4.Target => ({
  protocol: at.protocol,
  host: Endpoint.host(at),
  region,
  headers: someHeaders,
  query: parameters
})

export const pathOf = (at: Endpoint.Endpoint, key: string): string =>
  Endpoint.bucketPath(at, "my-bucket") + SigV4.encodePath(key)

/** `getSignedUrl` with a client and a command that hold no more than it needs: no serialisation, no endpoint rules. */
export const sdkGetSignedUrl = (some: Case, signed: SigV4.Request): Promise<string> => {
  type Middleware = (next: unknown, context: object) => (args: { request: unknown }) => Promise<unknown>
  let presign: Middleware | undefined
  const names = Object.keys(some.headers ?? {})
  const client = {
    config: {
      region: some.region,
      credentials: { ...some.keys, sessionToken: some.keys.sessionToken ?? "" },
      sha256: Hash.bind(null, "sha256")
    },
    middlewareStack: {
      clone: () => ({
        addRelativeTo: (middleware: Middleware) => {
          presign = middleware
        }
      })
    }
  }
  const command = {
    input: {},
    resolveMiddleware: () => () =>
      presign!(
        undefined,
        {}
      )({
        request: {
          method: signed.method,
          protocol: some.endpoint.protocol,
          hostname: some.endpoint.hostname,
          port: some.endpoint.port,
          path: signed.path,
          query: { ...some.query, ...signed.query },
          headers: { ...some.headers }
        }
      })
  }
  return getSignedUrl(client as never, command as never, {
    signingDate: new Date(signed.at),
    expiresIn: signed.expiresIn,
    signableHeaders: new Set(names),
    unhoistableHeaders: new Set(names)
  })
}

type Cases = Case & { readonly requests: ReadonlyArray<Omit<SigV4.Request, "path"> & { readonly key: string }> }

/** The native URLs are those of the SDK's presigner, given the same requests. */
export const equalsSdkPresigner = (some: Cases) =>
  Effect.gen(function* () {
    const native = SigV4.signer(targetOf(some), keysOf(some))
    const sdk = SdkPresigner.signer(targetOf(some), keysOf(some))

    for (const { key, ...rest } of some.requests) {
      const signed = { ...rest, path: pathOf(some.endpoint, key) }
      assert.strictEqual(native(signed), yield* Effect.promise(() => sdk(signed)))
    }
  })

/** The native URLs are those of the SDK's `getSignedUrl`. */
export const equalsGetSignedUrl = (some: Cases) =>
  Effect.gen(function* () {
    const native = SigV4.signer(targetOf(some), keysOf(some))

    for (const { key, ...rest } of some.requests) {
      const signed = { ...rest, path: pathOf(some.endpoint, key) }
      assert.strictEqual(native(signed), yield* Effect.promise(() => sdkGetSignedUrl(some, signed)))
    }
  })
