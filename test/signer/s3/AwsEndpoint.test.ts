import { assert, describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import * as AwsEndpoint from "../../../src/signer/s3/AwsEndpoint.ts"
import * as Endpoint from "../../../src/signer/s3/Endpoint.ts"
import { ourAddress, sdkAddresses } from "./sdkAddress.ts"

const plain = { dualStack: false, fips: false, accelerate: false }

const resolved = (options: AwsEndpoint.AwsOptions) => Endpoint.url(Result.getOrThrow(AwsEndpoint.resolve(options)))
const refused = (options: AwsEndpoint.AwsOptions) => {
  const refusal = Result.getOrThrow(Result.flip(AwsEndpoint.resolve(options)))
  return refusal.message
}

/** Every region that the SDK knows, with the names that it has for all of a partition. */
const sdkRegions = (): ReadonlyArray<string> => {
  const core = dirname(createRequire(import.meta.url).resolve("@aws-sdk/core/package.json"))
  const table = readFileSync(join(core, "dist-es/submodules/client/util-endpoints/lib/aws/partitions.js"), "utf8")
  const { partitions } = JSON.parse(table.replace(/^[^{]*|;\s*$/g, "")) as {
    readonly partitions: ReadonlyArray<{ readonly regions: Readonly<Record<string, unknown>> }>
  }
  return partitions.flatMap(({ regions }) => Object.keys(regions))
}

const all = sdkRegions()
const regions = all.filter((region) => !region.endsWith("-global"))
const tomorrows = ["us-north-9", "cn-south-2", "us-gov-north-1", "eusc-de-west-1", "us-isof-west-3", "zz-top-1", "auto"]
const buckets = ["my-bucket", "my.dotted.bucket", "Old_Bucket", "my-access-point-abc-s3alias", "x".repeat(63)]
const both = [false, true]

const combinations = both.flatMap((dualStack) =>
  both.flatMap((fips) => both.map((accelerate) => ({ dualStack, fips, accelerate })))
)

describe("AwsEndpoint", () => {
  it("is a region's own, in the domain of the region's partition", () => {
    const endpoints = {
      "us-east-1": "https://s3.us-east-1.amazonaws.com",
      "eu-central-1": "https://s3.eu-central-1.amazonaws.com",
      "us-gov-west-1": "https://s3.us-gov-west-1.amazonaws.com",
      "cn-northwest-1": "https://s3.cn-northwest-1.amazonaws.com.cn",
      "us-iso-east-1": "https://s3.us-iso-east-1.c2s.ic.gov",
      "us-isob-east-1": "https://s3.us-isob-east-1.sc2s.sgov.gov",
      "eusc-de-east-1": "https://s3.eusc-de-east-1.amazonaws.eu"
    }

    for (const [region, endpoint] of Object.entries(endpoints)) {
      assert.strictEqual(resolved({ ...plain, region }), endpoint)
    }
  })

  it("is dual stack, FIPS or accelerated when asked to be", () => {
    const region = "us-gov-west-1"
    assert.strictEqual(resolved({ ...plain, region, fips: true }), "https://s3-fips.us-gov-west-1.amazonaws.com")
    assert.strictEqual(
      resolved({ ...plain, region, fips: true, dualStack: true }),
      "https://s3-fips.dualstack.us-gov-west-1.amazonaws.com"
    )
    assert.strictEqual(
      resolved({ ...plain, region: "cn-north-1", dualStack: true }),
      "https://s3.dualstack.cn-north-1.amazonaws.com.cn"
    )
    assert.strictEqual(
      resolved({ ...plain, region: "eu-west-1", accelerate: true }),
      "https://s3-accelerate.amazonaws.com"
    )
    assert.strictEqual(
      resolved({ ...plain, region: "eu-west-1", accelerate: true, dualStack: true }),
      "https://s3-accelerate.dualstack.amazonaws.com"
    )
  })

  it("says what AWS does not have, and what to do", () => {
    assert.strictEqual(
      refused({ ...plain, region: "cn-north-1", fips: true }),
      "AWS has no FIPS endpoints in China (cn-north-1); they should be off"
    )
    assert.strictEqual(
      refused({ ...plain, region: "cn-north-1", accelerate: true }),
      "AWS has no transfer acceleration in China (cn-north-1); it should be off"
    )
    assert.strictEqual(
      refused({ ...plain, region: "eu-west-1", fips: true, accelerate: true }),
      "AWS has no FIPS endpoints for transfer acceleration; one of the two should be off"
    )
  })

  it("takes only regions that a signature can carry", () => {
    const names = {
      "aws-global":
        '"aws-global" is no region but all of AWS; it should be the bucket\'s own region, such as us-east-1',
      "fips-us-gov-west-1": '"fips-us-gov-west-1" is no region; it should be us-gov-west-1, with FIPS endpoints on',
      "us-east-1-fips": '"us-east-1-fips" is no region; it should be us-east-1, with FIPS endpoints on',
      "US-East-1": '"US-East-1" is no region; it should be letters, digits and hyphens in lower case, such as us-east-1'
    }

    for (const [region, message] of Object.entries(names)) assert.strictEqual(refused({ ...plain, region }), message)
    for (const region of ["", "-a", "a-", "a.b", "a/b", "a".repeat(64)]) {
      assert.match(refused({ ...plain, region }), /is no region; it should be letters, digits and hyphens/)
    }
    for (const region of all.filter((name) => name.endsWith("-global"))) {
      assert.match(refused({ ...plain, region }), /is no region but all of AWS/)
    }
  })

  it("knows the hosts of transfer acceleration, and no one else's", () => {
    const isAccelerate = (text: string) => AwsEndpoint.isAccelerate(Result.getOrThrow(Endpoint.parse(text)))

    assert.isTrue(isAccelerate("https://s3-accelerate.amazonaws.com"))
    assert.isTrue(isAccelerate("https://s3-accelerate.dualstack.amazonaws.com"))
    assert.isFalse(isAccelerate("https://s3-accelerate.example.com"))
    assert.isFalse(isAccelerate("https://s3.us-east-1.amazonaws.com"))
  })

  it("is the AWS SDK's in every region, way in, style and sort of bucket, and refused where the SDK refuses", async () => {
    assert.isAbove(regions.length, 40)
    let compared = 0

    for (const region of [...regions, ...tomorrows]) {
      for (const combination of combinations) {
        const store = { region, ...combination }
        for (const style of ["path", "virtual"] as const) {
          const sdkAddress = sdkAddresses(store, style)
          for (const bucket of buckets) {
            const sdk = await sdkAddress(bucket)
            const ours = ourAddress(store, style, bucket)
            const where = JSON.stringify({ ...store, style, bucket })
            if (region.startsWith("us-gov-") && combination.accelerate) assert.isUndefined(ours, where)
            else assert.strictEqual(ours, sdk, where)
            compared += 1
          }
        }
      }
    }

    assert.strictEqual(compared, (regions.length + tomorrows.length) * 8 * 2 * buckets.length)
  })

  it("refuses transfer acceleration in GovCloud, where AWS documents none and the SDK names the commercial host", async () => {
    const store = { ...plain, region: "us-gov-west-1", accelerate: true }

    assert.strictEqual(refused(store), "AWS has no transfer acceleration in GovCloud (us-gov-west-1); it should be off")
    assert.strictEqual(
      await sdkAddresses(store, "virtual")("my-bucket"),
      "https://my-bucket.s3-accelerate.amazonaws.com/"
    )
  })
})
