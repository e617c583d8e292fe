/** What addresses are held against: the AWS SDK, asked for a whole URL. */
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3"
import { getSignedUrl } from "@aws-sdk/s3-request-presigner"
import { assert } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Address from "../../../src/signer/s3/Address.ts"
import * as AwsEndpoint from "../../../src/signer/s3/AwsEndpoint.ts"
import * as Endpoint from "../../../src/signer/s3/Endpoint.ts"

/** Where a store is: one of AWS's own, or at an endpoint. */
export type Store = AwsEndpoint.AwsOptions | { readonly region: string; readonly endpoint: string }

const key = "folder/key.png"

/** The SDK's URL for a bucket, up to the key; or undefined, where it refuses to make one. */
export const sdkAddresses = (store: Store, style: Address.UrlStyle) => {
  const client = new S3Client({
    region: store.region,
    credentials: { accessKeyId: "a", secretAccessKey: "s" },
    forcePathStyle: style === "path",
    ...("endpoint" in store
      ? { endpoint: store.endpoint }
      : {
          // Of the environment, where there may be one.
          ignoreConfiguredEndpointUrls: true,
          useDualstackEndpoint: store.dualStack,
          useFipsEndpoint: store.fips,
          useAccelerateEndpoint: store.accelerate
        })
  })
  return (bucket: string): Promise<string | undefined> =>
    getSignedUrl(client, new PutObjectCommand({ Bucket: bucket, Key: key })).then(
      (url) => {
        const { origin, pathname, searchParams } = new URL(url)
        assert.match(searchParams.get("X-Amz-Credential")!, new RegExp(`/${store.region}/s3/aws4_request$`))
        assert.isTrue(pathname.endsWith(key))
        return origin + pathname.slice(0, -key.length)
      },
      () => undefined
    )
}

/** The same of ours; it must be as a browser writes it. */
export const ourAddress = (store: Store, style: Address.UrlStyle, bucket: string): string | undefined => {
  const resolved = "endpoint" in store ? Endpoint.parse(store.endpoint) : AwsEndpoint.resolve(store)
  if (Result.isFailure(resolved)) return undefined
  const endpoint = resolved.success
  if (Address.refusal(endpoint, bucket, style) !== undefined) return undefined
  const { folder, host, protocol } = Address.of(endpoint, bucket, style)
  const url = `${protocol}//${host}${folder}`
  assert.strictEqual(new URL(url + key).href, url + key)
  return url
}

/** Where ours is not the SDK's, on purpose; each has a test of its own. */
const differs = (store: Store, style: Address.UrlStyle, bucket: string): boolean =>
  "endpoint" in store
    ? style === "virtual" && bucket.includes(".") && /^http:\/\/(127\.|\[)/i.test(store.endpoint)
    : store.accelerate && store.region.startsWith("us-gov-")

const literals = <const A extends string>(...some: ReadonlyArray<A>) => Arbitrary.schema(Schema.Literals(some))

const label = (from: number, to: number) =>
  Schema.String.check(Schema.isPattern(new RegExp(`^[a-z0-9-]{${from},${to}}$`)))

/** Regions of today and of tomorrow. */
const region = Arbitrary.map(
  Arbitrary.all([
    literals("us", "eu", "cn", "us-gov", "us-iso", "us-isob", "us-isof", "eu-isoe", "eusc-de", "xx", "auto"),
    literals("-east", "-west", "-central", "-new", ""),
    literals("-1", "-12", "", "-x")
  ]),
  (parts) => parts.join("")
)

const awsStore = Arbitrary.map(
  Arbitrary.all([region, Arbitrary.schema(Schema.Tuple([Schema.Boolean, Schema.Boolean, Schema.Boolean]))]),
  ([name, [dualStack, fips, accelerate]]): Store => ({ region: name, dualStack, fips, accelerate })
)

const ownStore = Arbitrary.map(
  Arbitrary.all([
    region,
    literals("http", "https", "HTTP", "https"),
    literals(
      "localhost",
      "minio",
      "S3.Example.com",
      "s3.example.com.",
      "bücher.example",
      "s3.eu-west-1.amazonaws.com",
      "127.0.0.1",
      "127.1",
      "256.0.0.1.example",
      "[::1]",
      "[2001:DB8::1]"
    ),
    literals("", ":80", ":443", ":9000"),
    literals("", "/", "/base", "/a/b/", "/a%20b/c", "/a//b")
  ]),
  ([name, protocol, ...rest]): Store => ({ region: name, endpoint: `${protocol}://${rest.join("")}` })
)

/** Names that are buckets', and some that are not, joined with what makes or breaks a label. */
const bucket = Arbitrary.map(
  Arbitrary.all([
    Arbitrary.schema(label(1, 8)),
    literals("", "", ".", "-", "..", ".-", "_", "1.2.3.4", ".100.200.300.400"),
    Arbitrary.schema(label(2, 8)),
    literals("", "", "", "-s3alias", "A", ".abc", "x".repeat(50))
  ]),
  (parts) => parts.join("").slice(0, 70)
)

/** A store and the buckets that are asked for there. */
export const cases = {
  store: Arbitrary.map(Arbitrary.all([Arbitrary.schema(Schema.Boolean), awsStore, ownStore]), ([aws, ofAws, own]) =>
    aws ? ofAws : own
  ),
  style: Schema.Literals(["path", "virtual"]),
  bucket
}

interface Case {
  readonly store: Store
  readonly style: Address.UrlStyle
  readonly bucket: string
}

/** Our address is the SDK's, and where one refuses the other does. */
export const equalsSdk = ({ bucket: name, store, style }: Case) =>
  Effect.gen(function* () {
    if (name.length < 3 || differs(store, style, name)) return

    // With a slash at the end of the endpoint, the SDK's addresses have one too many.
    const given = "endpoint" in store ? { ...store, endpoint: store.endpoint.replace(/\/$/, "") } : store
    const sdk = yield* Effect.promise(() => sdkAddresses(given, style)(name))

    assert.strictEqual(ourAddress(store, style, name), sdk)
  })
