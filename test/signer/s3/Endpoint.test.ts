import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Endpoint from "../../../src/signer/s3/Endpoint.ts"

const parsed = (text: string) => Result.getOrThrow(Endpoint.parse(text))
const written = (text: string) => {
  const endpoint = parsed(text)
  return `${endpoint.protocol}//${Endpoint.host(endpoint)}${Endpoint.bucketPath(endpoint, "bucket")}`
}

describe("Endpoint", () => {
  it("is written into URLs as a browser sends it", () => {
    const endpoints = {
      "https://s3.example.com": "https://s3.example.com/bucket/",
      "HTTPS://S3.Example.COM/": "https://s3.example.com/bucket/",
      "http://localhost:9000": "http://localhost:9000/bucket/",
      "https://s3.example.com:443": "https://s3.example.com/bucket/",
      "http://s3.example.com:80": "http://s3.example.com/bucket/",
      "http://s3.example.com:443": "http://s3.example.com:443/bucket/",
      "http://[::1]:9000": "http://[::1]:9000/bucket/",
      "http://[2001:DB8:0::1]": "http://[2001:db8::1]/bucket/",
      "https://bücher.example": "https://xn--bcher-kva.example/bucket/",
      "https://proxy.example/s3/eu///": "https://proxy.example/s3/eu/bucket/",
      "https://proxy.example/a/../b": "https://proxy.example/b/bucket/",
      "https://proxy.example/a%20b/ü/x!'()*": "https://proxy.example/a%20b/%C3%BC/x%21%27%28%29%2A/bucket/"
    }

    for (const [text, expected] of Object.entries(endpoints)) {
      assert.strictEqual(written(text), expected)
      assert.strictEqual(new URL(`${written(text)}key`).href, `${written(text)}key`)
    }
  })

  it("refuses what is not the start of an object's URL, without repeating a password", () => {
    const endpoints = {
      "": "must start with http:// or https://",
      "s3.example.com": "must start with http:// or https://",
      "ftp://s3.example.com": "must start with http:// or https://",
      "http:s3.example.com": "must start with http:// or https://",
      "https://": "is not a URL",
      "https://s3.example.com:99999": "is not a URL",
      "https://s3.example.com ": "must not contain spaces, control characters or backslashes",
      "https://s3.exa\nmple.com": "must not contain spaces, control characters or backslashes",
      "https://s3.example.com\\a": "must not contain spaces, control characters or backslashes",
      "https://s3.example.com/?": "must not have a query or a fragment",
      "https://s3.example.com/#a": "must not have a query or a fragment",
      "https://user:canary@s3.example.com": "must not contain a user name or a password",
      "https://canary@s3.example.com": "must not contain a user name or a password",
      "https://s3.example.com/%zz": "has a path with a broken percent-encoding"
    }

    for (const [text, message] of Object.entries(endpoints)) {
      const refusal = Result.getOrThrow(Result.flip(Endpoint.parse(text)))
      assert.strictEqual(refusal.message, message, text)
      assert.notInclude(String(refusal), "canary")
    }
  })

  it("is the region's own at AWS, in the domain of the region's partition", () => {
    const regions = {
      "us-east-1": "s3.us-east-1.amazonaws.com",
      "eu-central-1": "s3.eu-central-1.amazonaws.com",
      "us-gov-west-1": "s3.us-gov-west-1.amazonaws.com",
      "cn-northwest-1": "s3.cn-northwest-1.amazonaws.com.cn",
      "us-iso-east-1": "s3.us-iso-east-1.c2s.ic.gov",
      "us-isob-east-1": "s3.us-isob-east-1.sc2s.sgov.gov",
      "eusc-de-east-1": "s3.eusc-de-east-1.amazonaws.eu"
    }

    for (const [region, host] of Object.entries(regions)) {
      assert.deepStrictEqual(Endpoint.ofRegion(region), {
        protocol: "https:",
        hostname: host,
        port: undefined,
        basePath: ""
      })
    }
  })
})
