import { assert, describe, it, vi } from "@effect/vitest"
import { S3Client } from "@aws-sdk/client-s3"
import * as Result from "effect/Result"
import * as Address from "../../../src/signer/s3/Address.ts"
import * as Endpoint from "../../../src/signer/s3/Endpoint.ts"
import { cases, equalsSdk, ourAddress, sdkAddresses } from "./sdkAddress.ts"

const parsed = (text: string) => Result.getOrThrow(Endpoint.parse(text))
const written = (endpoint: string, bucket: string, style: Address.UrlStyle) => {
  const { folder, host, protocol } = Address.of(parsed(endpoint), bucket, style)
  return `${protocol}//${host}${folder}`
}

describe("Address", () => {
  it("has the bucket as first folder after the base path in path style", () => {
    assert.deepStrictEqual(Address.of(parsed("https://s3.example.com"), "bucket", "path"), {
      protocol: "https:",
      host: "s3.example.com",
      folder: "/bucket/"
    })
    assert.strictEqual(
      written("http://proxy.example:9000/s3/eu/", "my.bucket", "path"),
      "http://proxy.example:9000/s3/eu/my.bucket/"
    )
    assert.strictEqual(written("https://s3.example.com", "a/b", "path"), "https://s3.example.com/a%2Fb/")
  })

  it("has the bucket before the host in virtual-host style, and keeps port and base path", () => {
    assert.deepStrictEqual(Address.of(parsed("https://s3.example.com"), "bucket", "virtual"), {
      protocol: "https:",
      host: "bucket.s3.example.com",
      folder: "/"
    })
    const addresses = {
      "http://LocalHost:9000": "http://bucket.localhost:9000/",
      "https://s3.example.com:443/": "https://bucket.s3.example.com/",
      "https://s3.example.com:8443/s3/eu/": "https://bucket.s3.example.com:8443/s3/eu/",
      "https://bücher.example": "https://bucket.xn--bcher-kva.example/",
      "https://s3.example.com.": "https://bucket.s3.example.com./"
    }

    for (const [endpoint, address] of Object.entries(addresses)) {
      assert.strictEqual(written(endpoint, "bucket", "virtual"), address)
    }
  })

  it("falls back to path style where a bucket cannot stand before the host", () => {
    const https = "https://s3.example.com"
    const buckets = ["my.bucket", "My-Bucket", "my_bucket", "-bucket", "bucket-", "x".repeat(64), "1.2.3.4"]

    for (const bucket of buckets) {
      assert.strictEqual(written(https, bucket, "virtual"), `https://s3.example.com/${bucket}/`)
    }
    for (const endpoint of ["http://127.0.0.1:9000", "http://[::1]:9000", "https://10.0.0.1"]) {
      assert.strictEqual(written(endpoint, "bucket", "virtual"), `${endpoint}/bucket/`)
    }
    assert.strictEqual(written("http://127.1:9000", "bucket", "virtual"), "http://127.0.0.1:9000/bucket/")
    assert.strictEqual(
      written("http://s3.example.com", "my-own.bucket", "virtual"),
      "http://my-own.bucket.s3.example.com/"
    )
    for (const bucket of ["my.bucket", "100.100.100.100", "a100.100.100.100b"]) {
      assert.strictEqual(written("http://s3.example.com", bucket, "virtual"), `http://s3.example.com/${bucket}/`)
    }
  })

  it("is refused, with the cure, for what is no bucket of its own kind", () => {
    const at = (bucket: string) => Address.refusal(parsed("https://s3.example.com"), bucket, "path")
    const arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine"
    const outpost = "test-accessp-o0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3"

    assert.isUndefined(at("my-bucket"))
    assert.isUndefined(at("my-access-point-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias"))
    assert.strictEqual(
      at(arn),
      `the bucket "${arn}" is an ARN; it should be the name of a bucket, or the alias of an access point`
    )
    for (const bucket of ["mine--usw2-az1--x-s3", "mine--usw2-az1--xa-s3"]) {
      assert.strictEqual(
        at(bucket),
        `the bucket "${bucket}" is a directory bucket (S3 Express), which needs sessions; it should be a general purpose bucket`
      )
    }
    assert.strictEqual(
      at(outpost),
      `the bucket "${outpost}" is on an Outpost, which has signatures of its own; it should be a bucket in a region`
    )
    for (const bucket of ["", ".", "..", "ab", "a/b", "../other"]) {
      assert.strictEqual(at(bucket), `the bucket "${bucket}" should have at least 3 characters and no slash`)
    }
  })

  it("is refused where the bucket is in the endpoint already", () => {
    assert.strictEqual(
      Address.refusal(parsed("https://my-bucket.nyc3.digitaloceanspaces.com"), "my-bucket", "path"),
      'the bucket "my-bucket" is in the endpoint already, and would be in each URL twice; ' +
        "the endpoint should be https://nyc3.digitaloceanspaces.com"
    )
  })

  it("is refused where transfer acceleration would not take it", () => {
    const accelerate = parsed("https://s3-accelerate.amazonaws.com")

    assert.isUndefined(Address.refusal(accelerate, "my-bucket", "virtual"))
    assert.strictEqual(
      Address.refusal(accelerate, "my-bucket", "path"),
      "transfer acceleration takes no bucket in the path; the style should be virtual"
    )
    assert.strictEqual(
      Address.refusal(accelerate, "my.bucket", "virtual"),
      'the bucket "my.bucket" should be a name in lower case without dots for transfer acceleration, or that should be off'
    )
  })

  it.effect.prop("is the AWS SDK's address, and refused where the SDK refuses", cases, equalsSdk, {
    arbitrary: { runs: 500 }
  })

  it("is refused where the SDK would not sign as S3 either", () => {
    const { endpointProvider } = new S3Client({ region: "us-west-2" }).config
    const service = (Bucket: string): unknown =>
      endpointProvider({ Bucket, Region: "us-west-2" } as never).properties?.["authSchemes"]

    assert.include(JSON.stringify(service("my-bucket")), '"signingName":"s3"')
    for (const bucket of [
      "mine--usw2-az1--x-s3",
      "mine--usw2-az1--xa-s3",
      "test-accessp-o0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3"
    ]) {
      assert.match(JSON.stringify(service(bucket)), /"signingName":"s3(express|-outposts)"/)
      assert.isString(Address.refusal(parsed("https://s3.us-west-2.amazonaws.com"), bucket, "virtual"))
    }
  })

  it("gives a bucket with dots at an IP address in path style, where the SDK fails", async () => {
    const silent = vi.spyOn(console, "error").mockImplementation(() => {})
    for (const endpoint of ["http://127.0.0.1:9000", "http://[::1]:9000"]) {
      const store = { region: "us-east-1", endpoint }
      assert.isUndefined(await sdkAddresses(store, "virtual")("my-own.bucket"))
      assert.strictEqual(ourAddress(store, "virtual", "my-own.bucket"), `${endpoint}/my-own.bucket/`)
    }
    silent.mockRestore()
  })

  it("has one slash after an endpoint with any number at its end, where the SDK doubles them", async () => {
    const endpoint = "https://proxy.example/s3"
    const store = { region: "us-east-1", endpoint: `${endpoint}/` }

    assert.strictEqual(await sdkAddresses(store, "virtual")("my-bucket"), "https://my-bucket.proxy.example/s3//")
    for (const slashes of ["", "/", "///"]) {
      const given = { ...store, endpoint: endpoint + slashes }
      assert.strictEqual(ourAddress(given, "virtual", "my-bucket"), "https://my-bucket.proxy.example/s3/")
      assert.strictEqual(ourAddress(given, "path", "my-bucket"), "https://proxy.example/s3/my-bucket/")
    }
  })
})
