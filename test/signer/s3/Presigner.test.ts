import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { execFile } from "node:child_process"
import { inspect, promisify } from "node:util"
import { type AccessKey, Credentials, CredentialsUnavailable } from "../../../src/signer/credentials/Credentials.ts"
import type { Destination } from "../../../src/signer/s3/Destination.ts"
import * as Endpoint from "../../../src/signer/s3/Endpoint.ts"
import { noPrefix, type ObjectKey } from "../../../src/signer/uploads/ObjectKey.ts"
import { type Download, Presigner } from "../../../src/signer/s3/Presigner.ts"
import { s3Credentials, startS3 } from "../../support/S3.ts"
import { instant } from "../arbitraries.ts"
import { signatures } from "./verifySigV4.ts"

const key = "posts/42/0192f0c1-2345-73f5-976b-d27d64fc6964/original.jpg" as ObjectKey
const now = Date.UTC(2026, 0, 2, 3, 4, 5, 678)

const endpoint = (text: string) => Result.getOrThrow(Endpoint.parse(text))

const destination: Destination = {
  endpoint: endpoint("http://127.0.0.1:9000/base"),
  apiEndpoint: endpoint("http://127.0.0.1:9000/base"),
  style: "path",
  region: "eu-central-1",
  bucket: "my-bucket",
  prefix: noPrefix,
  uploadLifetime: Duration.minutes(15),
  terms: { headers: {}, query: {} }
}

const accessKey: AccessKey = {
  accessKeyId: Redacted.make("AKIDEXAMPLE"),
  secretAccessKey: Redacted.make("canary-secret"),
  sessionToken: Redacted.make("canary+token/=")
}

interface Some extends Partial<Destination> {
  readonly presigner: "native" | "sdk"
}

const layerOf = (presigner: "native" | "sdk", downloadLifetime: Duration.Duration = Duration.hours(1)) =>
  Presigner.layer({ presigner, downloadLifetime })

const presignAll = ({ presigner, ...some }: Some, at = now, credentials: AccessKey = accessKey) =>
  Presigner.use((service) => service.presignUpload({ ...destination, ...some }, key, at)).pipe(
    Effect.provide(layerOf(presigner).pipe(Layer.provide(Credentials.layerStatic(credentials))))
  )

const presign = (...all: Parameters<typeof presignAll>) =>
  Effect.map(presignAll(...all), ({ url }) => Redacted.value(url))

const presignGet = (presigner: "native" | "sdk", download: Download, at = now, some: Partial<Destination> = {}) =>
  Presigner.use((service) => service.presignDownload({ ...destination, ...some }, download, at)).pipe(
    Effect.provide(layerOf(presigner).pipe(Layer.provide(Credentials.layerStatic(accessKey)))),
    Effect.map(({ url }) => Redacted.value(url))
  )

/** Credentials as a test has them. */
const layerFrom = (current: Effect.Effect<AccessKey, CredentialsUnavailable>) =>
  Layer.effect(
    Credentials,
    Effect.map(Credentials, (credentials) => Credentials.of({ ...credentials, current }))
  ).pipe(Layer.provide(Credentials.layerStatic(accessKey)))

const put = (url: string, method = "PUT") =>
  Effect.promise(() => fetch(url, method === "PUT" ? { method, body: "hello" } : { method }).then((r) => r.status))

describe.each(["native", "sdk"] as const)("Presigner, %s", (presigner) => {
  it.effect("gives a path-style URL that accepts a PUT of the object for the upload's lifetime", () =>
    Effect.gen(function* () {
      const url = yield* presign({ presigner })

      const { expected, found } = signatures({ method: "PUT", url, secretAccessKey: "canary-secret" })
      assert.strictEqual(expected, found)
      assert.strictEqual(
        url.replace(found, "…"),
        `http://127.0.0.1:9000/base/my-bucket/${key}?X-Amz-Algorithm=AWS4-HMAC-SHA256` +
          "&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD" +
          "&X-Amz-Credential=AKIDEXAMPLE%2F20260102%2Feu-central-1%2Fs3%2Faws4_request" +
          "&X-Amz-Date=20260102T030405Z&X-Amz-Expires=900&X-Amz-Security-Token=canary%2Btoken%2F%3D" +
          "&X-Amz-Signature=…&X-Amz-SignedHeaders=host"
      )
    })
  )

  it.live("is believed by an S3 server that verifies signatures: this object, this method, until it expires", () =>
    Effect.gen(function* () {
      const s3 = yield* Effect.acquireRelease(
        Effect.promise(() => startS3({ bucket: "my-bucket" })),
        ({ stop }) => Effect.promise(stop)
      )
      const at = yield* Clock.currentTimeMillis
      const server = { presigner, endpoint: endpoint(s3.endpoint), region: "us-east-1" }
      const known = {
        accessKeyId: Redacted.make(s3Credentials.accessKeyId),
        secretAccessKey: Redacted.make(s3Credentials.secretAccessKey)
      }
      const url = yield* presign(server, at, known)
      assert.strictEqual(yield* put(url), 200)
      assert.strictEqual(yield* put(url.replace("/original.jpg", "/original.png")), 403)
      assert.strictEqual(yield* put(url.replace("X-Amz-Expires=900", "X-Amz-Expires=9000")), 403)
      assert.strictEqual(yield* put(url, "GET"), 403)
      assert.strictEqual(yield* put(yield* presign(server, at - 901_000, known)), 403)
      assert.strictEqual(yield* put(yield* presign(server, at, { ...known, secretAccessKey: Redacted.make("x") })), 403)
    })
  )

  it.effect("asks for no checksum: the SDK's default is that of an empty body", () =>
    Effect.gen(function* () {
      assert.notInclude((yield* presign({ presigner })).toLowerCase(), "checksum")
    })
  )

  it.effect("signs what the destination asks of an upload, and nothing of it for a download", () =>
    Effect.gen(function* () {
      const terms = { headers: { "x-amz-acl": "public-read" }, query: { "x-amz-storage-class": "STANDARD_IA" } }
      const url = yield* presign({ presigner, terms })
      const get = yield* presignGet(presigner, { key, contentDisposition: "inline", contentType: "image/png" }, now, {
        terms
      })

      const { expected, found } = signatures({
        method: "PUT",
        url,
        headers: terms.headers,
        secretAccessKey: "canary-secret"
      })
      assert.strictEqual(expected, found)
      assert.strictEqual(new URL(url).searchParams.get("X-Amz-SignedHeaders"), "host;x-amz-acl")
      assert.strictEqual(new URL(url).searchParams.get("x-amz-storage-class"), "STANDARD_IA")
      assert.strictEqual(new URL(get).searchParams.get("X-Amz-SignedHeaders"), "host")
      assert.isFalse(new URL(get).searchParams.has("x-amz-storage-class"))
    })
  )

  it.effect("gives a URL that makes the store say what the download is, whatever key, bucket and style", () =>
    Effect.gen(function* () {
      const url = yield* presignGet(
        presigner,
        { key: "a b/ü+%41?.png", contentDisposition: `attachment; filename*=UTF-8''%C3%BC`, contentType: "image/png" },
        now,
        { style: "virtual", endpoint: endpoint("https://s3.example.com"), bucket: "other" }
      )

      const { expected, found } = signatures({ method: "GET", url, secretAccessKey: "canary-secret" })
      assert.strictEqual(expected, found)
      const { host, pathname, searchParams } = new URL(url)
      assert.strictEqual(`${host}${pathname}`, "other.s3.example.com/a%20b/%C3%BC%2B%2541%3F.png")
      assert.strictEqual(searchParams.get("response-content-disposition"), `attachment; filename*=UTF-8''%C3%BC`)
      assert.strictEqual(searchParams.get("response-content-type"), "image/png")
      assert.strictEqual(searchParams.get("X-Amz-Expires"), "3600")
    })
  )

  it.effect("gives no URL that outlives the credentials that signed it, with five seconds for clocks that differ", () =>
    Effect.gen(function* () {
      const { expiresAt, url } = yield* presignAll({ presigner }, now, { ...accessKey, expiration: now + 205_999 })

      assert.strictEqual(new URL(Redacted.value(url)).searchParams.get("X-Amz-Expires"), "200")
      assert.strictEqual(expiresAt, Math.floor(now / 1000) * 1000 + 200_000)
    })
  )

  it.effect("signs with the new access key once there is one", () =>
    Effect.gen(function* () {
      let current = accessKey
      const changing = layerFrom(Effect.sync(() => current))
      const presignUpload = yield* Presigner.use((service) => Effect.succeed(service.presignUpload)).pipe(
        Effect.provide(layerOf(presigner).pipe(Layer.provide(changing)))
      )

      yield* presignUpload(destination, key, now)
      current = { accessKeyId: Redacted.make("AKIDOTHER"), secretAccessKey: Redacted.make("other") }
      const url = Redacted.value((yield* presignUpload(destination, key, now)).url)

      const { expected, found } = signatures({ method: "PUT", url, secretAccessKey: "other" })
      assert.strictEqual(expected, found)
      assert.include(url, "AKIDOTHER")
      assert.notInclude(url, "X-Amz-Security-Token")
    })
  )

  it.effect("fails with the reason of the credentials when there are none", () =>
    Effect.gen(function* () {
      const none = layerFrom(Effect.fail(new CredentialsUnavailable()))
      const error = yield* Presigner.use((service) => service.presignUpload(destination, key, now)).pipe(
        Effect.provide(layerOf(presigner).pipe(Layer.provide(none))),
        Effect.flip
      )

      assert.strictEqual(error._tag, "CredentialsUnavailable")
    })
  )

  it.effect("says in an error what failed, and no secret", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(presign({ presigner }, Number.NaN))

      assert.strictEqual(error._tag, "PresignError")
      assert.strictEqual(error.message, "could not sign the URL: RangeError")
      for (const secret of ["canary", "AKID", "X-Amz"]) {
        assert.notInclude(`${error.stack}${JSON.stringify(error)}`, secret)
      }
    })
  )

  it.effect("gives URLs that cannot be printed or serialised by accident", () =>
    Effect.gen(function* () {
      const presigned = yield* presignAll({ presigner })

      for (const text of [String(presigned.url), JSON.stringify(presigned), inspect(presigned), `${presigned.url}`]) {
        assert.notInclude(text, "X-Amz")
        assert.include(text, "<redacted>")
      }
    })
  )
})

describe("Presigner", () => {
  it.effect.prop(
    "gives the same URL natively and through the SDK",
    { at: instant, seconds: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 604_800 })) },
    ({ at, seconds }) =>
      Effect.gen(function* () {
        const uploadLifetime = Duration.seconds(seconds)

        const native = yield* presign({ presigner: "native", uploadLifetime }, at)
        const sdk = yield* presign({ presigner: "sdk", uploadLifetime }, at)
        assert.strictEqual(native, sdk)
      })
  )

  it("loads the AWS SDK only when it is asked to sign, or to find credentials", async () => {
    assert.strictEqual(await loaded("native"), 0)
    assert.isAbove(await loaded("sdk"), 0)
  })
})

/** How many modules of the SDK a process asks for that signs one URL. */
const loaded = async (presigner: string) => {
  const script = `
    import { registerHooks } from "node:module"
    const seen = []
    registerHooks({ resolve: (name, context, next) => {
      if (/^@(aws-sdk|smithy)\\//.test(name)) seen.push(name)
      return next(name, context)
    } })
    const Effect = await import("effect/Effect"), Layer = await import("effect/Layer")
    const Redacted = await import("effect/Redacted"), Duration = await import("effect/Duration")
    const { Credentials } = await import("./src/signer/credentials/Credentials.ts")
    const { Presigner } = await import("./src/signer/s3/Presigner.ts")
    const Result = await import("effect/Result"), Endpoint = await import("./src/signer/s3/Endpoint.ts")
    const endpoint = Result.getOrThrow(Endpoint.parse("http://s3.example"))
    const destination = { endpoint, apiEndpoint: endpoint, style: "path", region: "r", bucket: "b", prefix: "",
      uploadLifetime: Duration.minutes(1), terms: { headers: {}, query: {} } }
    const credentials = Credentials.layerStatic({ accessKeyId: Redacted.make("a"), secretAccessKey: Redacted.make("s") })
    const layer = Presigner.layer({ presigner: "${presigner}", downloadLifetime: Duration.minutes(1) })
    await Effect.runPromise(Presigner.use((presigner) => presigner.presignUpload(destination, "k", 0)).pipe(
      Effect.provide(layer.pipe(Layer.provide(credentials)))))
    console.log(seen.length)`
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script])
  return Number(stdout)
}
