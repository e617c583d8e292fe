import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as SigV4 from "../../../src/signer/s3/SigV4.ts"
import { cases, equalsGetSignedUrl, equalsSdkPresigner, keysOf, pathOf, targetOf } from "./signing.ts"
import { signatures } from "./verifySigV4.ts"

describe("SigV4", () => {
  it("signs the presigned GET of AWS's documentation", () => {
    const url = SigV4.signer(
      { protocol: "https:", host: "examplebucket.s3.amazonaws.com", region: "us-east-1" },
      {
        accessKeyId: Redacted.make("AKIAIOSFODNN7EXAMPLE"),
        secretAccessKey: Redacted.make("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
      }
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
    "gives URLs that a server verifies, with one signer through days, lifetimes and queries",
    cases,
    (some) =>
      Effect.sync(() => {
        const target = targetOf(some)
        const sign = SigV4.signer(target, keysOf(some))

        // Each with its own parameters, then at the same moment without.
        const requests = some.requests.flatMap((request) => [request, { ...request, query: undefined }])
        for (const { key, ...rest } of requests) {
          const url = sign({ ...rest, path: pathOf(some.endpoint, key) })

          const { expected, found } = signatures({
            method: rest.method,
            url,
            ...(some.headers === undefined ? {} : { headers: some.headers }),
            secretAccessKey: some.keys.secretAccessKey
          })
          assert.strictEqual(expected, found)
          assert.strictEqual(new URL(url).searchParams.get("X-Amz-Expires"), String(rest.expiresIn))
          assert.strictEqual(new URL(url).host, target.host)
        }
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect.prop("gives the URLs of the AWS SDK's presigner, character for character", cases, equalsSdkPresigner, {
    arbitrary: { runs: 300 }
  })

  it.effect.prop("gives the URLs of the AWS SDK's getSignedUrl, character for character", cases, equalsGetSignedUrl, {
    arbitrary: { runs: 300 }
  })

  it("signs headers whose line breaks a client would have folded", () => {
    const url = (value: string) =>
      SigV4.signer(
        { protocol: "https:", host: "h", region: "r", headers: { "x-amz-meta-note": value } },
        { accessKeyId: Redacted.make("a"), secretAccessKey: Redacted.make("s") }
      )({ method: "PUT", path: "/b/k", at: 0, expiresIn: 1 })

    assert.strictEqual(url("a\r\n b"), url(" a b "))
  })

  it("encodes all of a path but its slashes and RFC 3986's unreserved characters", () => {
    assert.strictEqual(SigV4.encodePath("a b/ü(1)+*'!/x~y.png"), "a%20b/%C3%BC%281%29%2B%2A%27%21/x~y.png")
    assert.strictEqual(SigV4.encodePath("q?x=1&y#z%41/日本"), "q%3Fx%3D1%26y%23z%2541/%E6%97%A5%E6%9C%AC")
  })
})

const documentedKey = (date: string) =>
  SigV4.signingKey("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", date, "us-east-1", "iam").export().toString("hex")
