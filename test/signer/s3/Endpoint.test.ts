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
      "https://proxy.example/a%2Fb": "https://proxy.example/a%2Fb/bucket/",
      "http://127.1:9000": "http://127.0.0.1:9000/bucket/",
      "https://s3.example.com.": "https://s3.example.com./bucket/",
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
      "https://s3.example.com:0": "must not have port 0",
      "https://.s3.example.com": "must not have a host with an empty part between its dots",
      "https://s3..example.com": "must not have a host with an empty part between its dots",
      "http://[fe80::1%25eth0]:9000": "is not a URL",
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

  it("is text again, without a default port and a slash at the end", () => {
    const endpoints = {
      "HTTPS://S3.Example.COM:443/": "https://s3.example.com",
      "http://[::1]:9000/s3/": "http://[::1]:9000/s3"
    }

    for (const [text, expected] of Object.entries(endpoints)) {
      assert.strictEqual(Endpoint.url(parsed(text)), expected)
      assert.deepStrictEqual(parsed(expected), parsed(text))
    }
  })

  it("gives the endpoint as it should be when a bucket is in it already", () => {
    const endpoints: ReadonlyArray<readonly [endpoint: string, bucket: string, cure: string]> = [
      ["https://civic-os-files.example.com", "civic-os-files", "https://example.com"],
      ["https://my-bucket.s3.amazonaws.com", "my-bucket", "https://s3.amazonaws.com"],
      ["https://my-bucket.s3.eu-west-1.amazonaws.com/", "my-bucket", "https://s3.eu-west-1.amazonaws.com"],
      ["https://MY-Bucket.nyc3.digitaloceanspaces.com", "my-bucket", "https://nyc3.digitaloceanspaces.com"],
      ["https://my-bucket.storage.googleapis.com", "my-bucket", "https://storage.googleapis.com"],
      ["https://my-bucket.abc123.r2.cloudflarestorage.com", "my-bucket", "https://abc123.r2.cloudflarestorage.com"],
      ["https://my-bucket.fsn1.your-objectstorage.com", "my-bucket", "https://fsn1.your-objectstorage.com"],
      ["https://my-bucket.s3.example.co.uk", "my-bucket", "https://s3.example.co.uk"],
      ["https://my-bucket.minio.example.com:9443", "my-bucket", "https://minio.example.com:9443"],
      ["http://my-bucket.s3.local:9000", "my-bucket", "http://s3.local:9000"],
      ["http://my-bucket.localhost:9000", "my-bucket", "http://localhost:9000"],
      ["http://my-bucket.minio.ns.svc.cluster.local", "my-bucket", "http://minio.ns.svc.cluster.local"],
      ["http://my.own.bucket.s3.amazonaws.com", "my.own.bucket", "http://s3.amazonaws.com"],
      ["https://my-bucket.s3.amazonaws.com.", "my-bucket", "https://s3.amazonaws.com."],
      ["https://s3.example.com/my-bucket", "my-bucket", "https://s3.example.com"],
      ["http://127.0.0.1:9000/s3/my.own.bucket/", "my.own.bucket", "http://127.0.0.1:9000/s3"],
      ["http://minio:9000/minio", "minio", "http://minio:9000"],
      ["https://my-bucket.s3.amazonaws.com/my-bucket", "my-bucket", "https://s3.amazonaws.com"]
    ]

    for (const [text, bucket, cure] of endpoints) {
      assert.strictEqual(Endpoint.containedBucket(parsed(text), bucket), cure, text)
      assert.isUndefined(Endpoint.containedBucket(parsed(cure), bucket), cure)
    }
  })

  it("leaves a host alone that has a bucket's name by chance", () => {
    const endpoints: ReadonlyArray<readonly [endpoint: string, bucket: string]> = [
      ["http://minio:9000", "minio"],
      ["http://minio.local:9000", "minio"],
      ["https://files.example.com", "files"],
      ["https://files.example.co.uk", "files"],
      ["https://files.example.com", "files.example.com"],
      ["https://storage.googleapis.com", "storage"],
      ["https://nyc3.digitaloceanspaces.com", "nyc3"],
      ["http://minio.minio.svc.cluster.local:9000", "minio"],
      ["http://minio.minio.svc:9000", "minio"],
      ["http://127.0.0.1:9000", "127"],
      ["http://[::1]:9000", "bucket"],
      ["https://my-bucket-2.s3.amazonaws.com", "my-bucket"],
      ["https://s3.amazonaws.com", "amazonaws"],
      ["https://proxy.example/my-bucket/s3", "my-bucket"],
      ["https://proxy.example/not-my-bucket", "my-bucket"]
    ]

    for (const [text, bucket] of endpoints) {
      assert.isUndefined(Endpoint.containedBucket(parsed(text), bucket), text)
    }
  })
})
