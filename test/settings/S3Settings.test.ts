import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Settings from "../../src/settings/Settings.ts"
import * as Address from "../../src/signer/s3/Address.ts"
import * as Destination from "../../src/signer/s3/Destination.ts"

type Variables = Readonly<Record<string, string>>

const load = (env: Variables) =>
  Settings.load.pipe(Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env })))

const destinations = (env: Variables) => Effect.map(load(env), ({ s3 }) => s3.destinations)
const problems = (env: Variables) => Effect.map(Effect.flip(load(env)), (error) => [...error.problems])

/** The part of a URL before the key. */
const place = ({ bucket, endpoint, style }: Destination.Destination) => {
  const { folder, host, protocol } = Address.of(endpoint, bucket, style)
  return `${protocol}//${host}${folder}`
}
const standardPlace = (env: Variables) => Effect.map(destinations(env), ({ standard }) => place(standard))

describe("the place of objects", () => {
  it.effect.each([
    [{}, "https://s3.us-east-1.amazonaws.com/civic-os-files/"],
    [{ S3_URL_STYLE: "virtual" }, "https://civic-os-files.s3.us-east-1.amazonaws.com/"],
    [{ S3_REGION: "cn-north-1" }, "https://s3.cn-north-1.amazonaws.com.cn/civic-os-files/"],
    [
      { S3_REGION: "us-gov-west-1", S3_USE_FIPS_ENDPOINT: "true", S3_USE_DUALSTACK_ENDPOINT: "true" },
      "https://s3-fips.dualstack.us-gov-west-1.amazonaws.com/civic-os-files/"
    ],
    [
      { AWS_USE_DUALSTACK_ENDPOINT: "true", S3_REGION: "eu-west-1" },
      "https://s3.dualstack.eu-west-1.amazonaws.com/civic-os-files/"
    ],
    [
      { S3_USE_ACCELERATE_ENDPOINT: "true", S3_URL_STYLE: "virtual" },
      "https://civic-os-files.s3-accelerate.amazonaws.com/"
    ],
    [{ S3_BUCKET: "my.files", S3_URL_STYLE: "virtual" }, "https://s3.us-east-1.amazonaws.com/my.files/"],
    [{ S3_ENDPOINT: "http://[::1]:9000/base/" }, "http://[::1]:9000/base/civic-os-files/"],
    [
      { S3_ENDPOINT: "http://minio:9000", S3_PUBLIC_ENDPOINT: "https://files.example", S3_URL_STYLE: "virtual" },
      "https://civic-os-files.files.example/"
    ]
  ] as const)("with %j is %s", ([env, expected]) =>
    Effect.map(standardPlace(env), (found) => assert.strictEqual(found, expected))
  )

  it.effect.each([
    [
      { S3_ENDPOINT: "https://my-files.s3.eu-west-1.amazonaws.com" },
      "S3_ENDPOINT",
      "https://s3.eu-west-1.amazonaws.com"
    ],
    [{ AWS_ENDPOINT_URL: "http://localhost:9000/my-files" }, "AWS_ENDPOINT_URL", "http://localhost:9000"],
    [
      { S3_ENDPOINT: "http://minio:9000", S3_PUBLIC_ENDPOINT: "https://my-files.s3.cdn.example" },
      "S3_PUBLIC_ENDPOINT",
      "https://s3.cdn.example"
    ],
    [
      { S3_ROUTES: '{"a": {"endpoint": "https://host.example/my-files/"}}' },
      'S3_ROUTES, "a": endpoint',
      "https://host.example"
    ]
  ] as const)("is not doubled: %j is refused with the cure", ([env, name, cure]) =>
    Effect.map(problems({ S3_BUCKET: "my-files", ...env }), (lines) =>
      assert.deepEqual(lines, [
        `${name}: the bucket "my-files" is in the endpoint already, and would be in each URL twice; the endpoint should be ${cure}`
      ])
    )
  )

  it.effect.each([
    [{ S3_USE_ACCELERATE_ENDPOINT: "true" }, /^S3_USE_ACCELERATE_ENDPOINT: .*the style should be virtual$/],
    [
      { S3_USE_ACCELERATE_ENDPOINT: "true", S3_URL_STYLE: "virtual", S3_BUCKET: "my.files" },
      /without dots for transfer acceleration/
    ],
    [{ S3_USE_FIPS_ENDPOINT: "true", S3_ENDPOINT: "http://minio:9000" }, /should be unset where an endpoint is given/],
    [{ S3_BUCKET: "my-files--use1-az4--x-s3" }, /^S3_BUCKET: .*directory bucket/],
    [{ S3_USE_FIPS_ENDPOINT: "true", S3_REGION: "cn-north-1" }, /cn-north-1/],
    [{ S3_USE_DUALSTACK_ENDPOINT: "1" }, /^S3_USE_DUALSTACK_ENDPOINT holds "1"; it should be true or false$/],
    [{ S3_URL_STYLE: "vhost" }, /^S3_URL_STYLE holds "vhost"; it should be path or virtual$/],
    [{ S3_ACL: "public" }, /^S3_ACL holds "public"; it should be private, public-read, /],
    [{ S3_ACL_FORM: "both" }, /^S3_ACL_FORM holds "both"; it should be header, dual or query$/]
  ] as const)("with %j is refused", ([env, line]) =>
    Effect.map(problems(env), (lines) => {
      assert.lengthOf(lines, 1)
      assert.match(lines[0]!, line)
    })
  )
})

describe("S3_ACL", () => {
  const acl = { "x-amz-acl": "public-read" }

  it.effect.each([
    [{ S3_ACL: "public-read" }, { headers: acl, query: {} }],
    [
      { S3_ACL: "public-read", S3_ACL_FORM: "dual" },
      { headers: acl, query: acl }
    ],
    [
      { S3_ACL: "public-read", S3_ACL_FORM: "query" },
      { headers: {}, query: acl }
    ],
    [{ S3_ACL_FORM: "dual" }, { headers: {}, query: {} }]
  ] as const)("as %j signs %j", ([env, terms]) =>
    Effect.map(destinations(env), ({ standard }) => assert.deepEqual(standard.terms, terms))
  )
})

describe("S3_ROUTES", () => {
  const routes = {
    invoice: {
      bucket: "invoices",
      region: "eu-central-1",
      prefix: "2026/q4/",
      kms_key: "alias/invoices",
      storage_class: "STANDARD_IA",
      lifetime: "5m"
    },
    photo: { endpoint: "http://photos.example:9000" }
  }

  it.effect("give an entity type what they say, and the rest as everywhere", () =>
    Effect.gen(function* () {
      const all = yield* destinations({ S3_ROUTES: JSON.stringify(routes), S3_ACL: "private" })

      const invoice = Destination.ofUpload(all, "invoice")
      assert.strictEqual(place(invoice), "https://s3.eu-central-1.amazonaws.com/invoices/")
      assert.strictEqual<string>(invoice.prefix, "2026/q4/")
      assert.deepEqual(invoice.uploadLifetime, Duration.minutes(5))
      assert.deepEqual(invoice.terms, {
        headers: {
          "x-amz-acl": "private",
          "x-amz-server-side-encryption": "aws:kms",
          "x-amz-server-side-encryption-aws-kms-key-id": "alias/invoices"
        },
        query: { "x-amz-storage-class": "STANDARD_IA" }
      })
      const photo = Destination.ofUpload(all, "photo")
      assert.strictEqual(place(photo), "http://photos.example:9000/civic-os-files/")
      assert.deepEqual(photo.apiEndpoint, photo.endpoint)
      assert.strictEqual(Destination.ofUpload(all, "Invoice"), all.standard)
      assert.strictEqual(Destination.ofUpload(all, "toString"), all.standard)
    })
  )

  it.effect("are read from a file, too", () =>
    Effect.gen(function* () {
      const directory = fs.mkdtempSync(path.join(os.tmpdir(), "s3-signer-routes-"))
      const file = path.join(directory, "routes.json")
      fs.writeFileSync(file, `\uFEFF${JSON.stringify(routes)}\n`)
      const all = yield* destinations({ S3_ROUTES: `@${file}` })
      fs.rmSync(directory, { recursive: true })

      assert.deepEqual([...all.routes.keys()], ["invoice", "photo"])
      assert.match((yield* problems({ S3_ROUTES: `@${file}` }))[0]!, /the file should be readable \(ENOENT\)$/)
    })
  )

  it.effect.each([
    ["[", /^S3_ROUTES holds no JSON; it should be a JSON object of entity types/],
    ["[]", /^S3_ROUTES holds other JSON; /],
    ['{"a b": {}}', /^S3_ROUTES, "a b": this cannot be an entity type; /],
    ['{"a": "b"}', /^S3_ROUTES, "a": it should be an object of bucket, region, /],
    ['{"a": {"buckets": "b"}}', /^S3_ROUTES, "a": it knows no "buckets", only bucket, /],
    ['{"a": {"__proto__": "b"}}', /^S3_ROUTES, "a": it knows no "__proto__", only /],
    ['{"a": {"bucket": "B"}}', /^S3_ROUTES, "a": bucket holds "B"; it should be a bucket name/],
    ['{"a": {"lifetime": 900}}', /^S3_ROUTES, "a": lifetime holds 900; it should be a duration in whole seconds/],
    ['{"a": {"prefix": "/x"}}', /^S3_ROUTES, "a": prefix holds "\/x"; it should be folders such as a\/b/],
    ['{"a": {"prefix": "x/../y"}}', /prefix holds/],
    [
      '{"a": {"storage_class": "standard"}}',
      /storage_class holds "standard"; it should be a storage class as S3 writes/
    ],
    ['{"a": {"kms_key": "a b"}}', /kms_key holds/]
  ] as const)("as %s are refused", ([text, line]) =>
    Effect.map(problems({ S3_ROUTES: text }), (lines) => {
      assert.lengthOf(lines, 1)
      assert.match(lines[0]!, line)
    })
  )

  it.effect("are checked whole: all that is wrong with any of them is told at once", () =>
    Effect.map(problems({ S3_ROUTES: '{"a": {"bucket": "B", "region": "X"}, "b": {"prefix": ""}}' }), (lines) =>
      assert.lengthOf(lines, 3)
    )
  )

  it.effect("lead a recorded file to the destination that has its bucket", () =>
    Effect.gen(function* () {
      const all = yield* destinations({ S3_ROUTES: JSON.stringify(routes), S3_ENDPOINT: "http://minio:9000" })
      const of = Destination.ofFile(all)
      const at = (entity_type: string, bucket: string | null) => place(Result.getOrThrow(of({ entity_type, bucket })))

      assert.strictEqual(at("post", "civic-os-files"), "http://minio:9000/civic-os-files/")
      assert.strictEqual(at("post", null), "http://minio:9000/civic-os-files/")
      assert.strictEqual(at("photo", "civic-os-files"), "http://photos.example:9000/civic-os-files/")
      assert.strictEqual(Result.getOrThrow(of({ entity_type: "post", bucket: "invoices" })), all.routes.get("invoice"))
      assert.strictEqual(at("invoice", "of-old"), "http://minio:9000/of-old/")
      const [a, b] = ["a", "b"].map((entity_type) => Result.getOrThrow(of({ entity_type, bucket: "other" })))
      assert.strictEqual(a, b)
      for (const bucket of ["..", "a/b", "", "x--x-s3"])
        assert.isTrue(Result.isFailure(of({ entity_type: "a", bucket })), bucket)
    })
  )
})
