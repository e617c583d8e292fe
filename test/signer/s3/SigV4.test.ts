import { getSignedUrl } from "@aws-sdk/s3-request-presigner"
import { assert, describe, it } from "@effect/vitest"
import { Hash } from "@smithy/hash-node"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Endpoint from "../../../src/signer/s3/Endpoint.ts"
import * as SdkPresigner from "../../../src/signer/s3/SdkPresigner.ts"
import * as SigV4 from "../../../src/signer/s3/SigV4.ts"
import { instant, wellFormedText } from "../arbitraries.ts"
import { signatures } from "./verifySigV4.ts"

const payload = { "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD" }

const printable = (from: number, to: number) =>
  Schema.String.check(Schema.isPattern(new RegExp(`^[!-~]{${from},${to}}$`)))

const keys = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.schema(Schema.String.check(Schema.isPattern(/^[A-Z0-9]{16,20}$/))),
    Arbitrary.schema(printable(1, 40)),
    Arbitrary.schema(Schema.UndefinedOr(printable(0, 200)))
  ]),
  ([accessKeyId, secretAccessKey, sessionToken]): SigV4.Keys => ({ accessKeyId, secretAccessKey, sessionToken })
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
      "response-content-disposition": Schema.optionalKey(Schema.Literal('attachment; filename="a b!.png"')),
      Zeta: Schema.optionalKey(Schema.Literal(""))
    })
  ),
  (some) => ({ ...payload, ...some })
)

const request = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.schema(Schema.Literals(["GET", "PUT"])),
    wellFormedText,
    instant,
    Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 604_800 }))),
    headers
  ]),
  ([method, key, at, expiresIn, someHeaders]) => ({ method, key, at, expiresIn, headers: someHeaders })
)

const cases = {
  keys,
  endpoint,
  query,
  region: Schema.Literals(["us-east-1", "eu-central-1", "cn-north-1", "minio-local"]),
  requests: Arbitrary.array(request, { minLength: 1, maxLength: 4 })
}

describe("SigV4", () => {
  it("signs the presigned GET of AWS's documentation", () => {
    const url = SigV4.signer(
      { protocol: "https:", host: "examplebucket.s3.amazonaws.com", region: "us-east-1" },
      { accessKeyId: "AKIAIOSFODNN7EXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" }
    )({ method: "GET", path: "/test.txt", at: Date.UTC(2013, 4, 24), expiresIn: 86_400 })

    assert.strictEqual(
      url,
      "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256" +
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400" +
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404&X-Amz-SignedHeaders=host"
    )
  })

  it("derives the signing keys of AWS's documentation", () => {
    assert.strictEqual(documentedKey("20120215"), "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d")
    assert.strictEqual(documentedKey("20150830"), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9")
  })

  it("is checked by a verifier that agrees with AWS's own test suite", () => {
    const suite = {
      secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
      payloadHash: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      method: "GET"
    }
    const scope =
      "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date=20150830T123600Z"
    const unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

    // get-vanilla-query-unreserved
    const first = signatures({
      ...suite,
      url: `https://example.amazonaws.com/?${unreserved}=${unreserved}&${scope}&X-Amz-SignedHeaders=host&X-Amz-Expires=3600&X-Amz-Signature=8e76a88a7433637b12778d5592799b29ad21ecd6cf6325051c21d86f0acda2bf`
    })
    assert.strictEqual(first.expected, first.found)

    // get-header-value-trim
    const second = signatures({
      ...suite,
      headers: { "My-Header1": " value1", "My-Header2": ' "a   b   c"' },
      url: `https://example.amazonaws.com/?${scope}&X-Amz-SignedHeaders=host%3Bmy-header1%3Bmy-header2&X-Amz-Expires=3600&X-Amz-Signature=e7bb0fd515e125e1aec2ecc4c0c17484fb06f6846b927c35e46005dd3df3acd4`
    })
    assert.strictEqual(second.expected, second.found)
  })

  it.effect.prop(
    "gives URLs that a server verifies, with one signer through days, lifetimes and headers",
    cases,
    (some) =>
      Effect.sync(() => {
        const target = targetOf(some)
        const sign = SigV4.signer(target, some.keys)

        // Each with its headers, then at the same moment without.
        const requests = some.requests.flatMap((request) => [request, { ...request, headers: undefined }])
        for (const { key, ...rest } of requests) {
          const url = sign({ ...rest, path: pathOf(some.endpoint, key) })

          const { expected, found } = signatures({
            method: rest.method,
            url,
            ...(rest.headers === undefined ? {} : { headers: rest.headers }),
            secretAccessKey: some.keys.secretAccessKey
          })
          assert.strictEqual(expected, found)
          assert.strictEqual(new URL(url).searchParams.get("X-Amz-Expires"), String(rest.expiresIn))
          assert.strictEqual(new URL(url).host, target.host)
        }
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop(
    "gives the URLs of the AWS SDK's presigner, character for character",
    cases,
    (some) =>
      Effect.gen(function* () {
        const target = targetOf(some)
        const native = SigV4.signer(target, some.keys)
        const sdk = SdkPresigner.signer(target, some.keys)

        for (const { key, ...rest } of some.requests) {
          const signed = { ...rest, path: pathOf(some.endpoint, key) }
          assert.strictEqual(native(signed), yield* Effect.promise(() => sdk(signed)))
        }
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop("gives the URLs of the AWS SDK's getSignedUrl, character for character", cases, (some) =>
    Effect.gen(function* () {
      const native = SigV4.signer(targetOf(some), some.keys)

      for (const { key, ...rest } of some.requests) {
        const path = pathOf(some.endpoint, key)
        const url = yield* Effect.promise(() => sdkGetSignedUrl(some, { ...rest, path }))
        assert.strictEqual(native({ ...rest, path }), url)
      }
    })
  )

  it("signs headers whose line breaks a client would have folded", () => {
    const sign = SigV4.signer(
      { protocol: "https:", host: "h", region: "r" },
      { accessKeyId: "a", secretAccessKey: "s" }
    )
    const url = (value: string) =>
      sign({ method: "PUT", path: "/b/k", at: 0, expiresIn: 1, headers: { "x-amz-meta-note": value } })

    assert.strictEqual(url("a\r\n b"), url(" a b "))
  })

  it("encodes all of a path but its slashes and RFC 3986's unreserved characters", () => {
    assert.strictEqual(SigV4.encodePath("a b/ü(1)+*'!/x~y.png"), "a%20b/%C3%BC%281%29%2B%2A%27%21/x~y.png")
    assert.strictEqual(SigV4.encodePath("q?x=1&y#z%41/日本"), "q%3Fx%3D1%26y%23z%2541/%E6%97%A5%E6%9C%AC")
  })
})

const documentedKey = (date: string) =>
  SigV4.signingKey("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", date, "us-east-1", "iam").export().toString("hex")

interface Case {
  readonly keys: SigV4.Keys
  readonly endpoint: Endpoint.Endpoint
  readonly region: string
  readonly query: Readonly<Record<string, string>>
}

const targetOf = ({ endpoint: at, query: parameters, region }: Case): SigV4.Target => ({
  protocol: at.protocol,
  host: Endpoint.host(at),
  region,
  query: parameters
})

const pathOf = (at: Endpoint.Endpoint, key: string): string =>
  Endpoint.bucketPath(at, "my-bucket") + SigV4.encodePath(key)

/** `getSignedUrl` with a client and a command that hold no more than it needs: no serialisation, no endpoint rules. */
const sdkGetSignedUrl = (some: Case, signed: SigV4.Request): Promise<string> => {
  type Middleware = (next: unknown, context: object) => (args: { request: unknown }) => Promise<unknown>
  let presign: Middleware | undefined
  const names = Object.keys(signed.headers ?? {})
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
          query: { ...some.query },
          headers: { ...signed.headers }
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
