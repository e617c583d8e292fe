import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { type AccessKey, Credentials, CredentialsUnavailable } from "../../../src/signer/s3/Credentials.ts"
import type { ObjectKey } from "../../../src/signer/uploads/ObjectKey.ts"
import { Presigner, type PresignerOptions } from "../../../src/signer/s3/Presigner.ts"
import { s3Credentials, startS3 } from "../../support/S3.ts"
import { instant } from "../arbitraries.ts"
import { signatures } from "./verifySigV4.ts"

const key = "posts/42/0192f0c1-2345-73f5-976b-d27d64fc6964/original.jpg" as ObjectKey
const now = Date.UTC(2026, 0, 2, 3, 4, 5, 678)

const options: PresignerOptions = {
  presigner: "native",
  region: "eu-central-1",
  bucket: "my-bucket",
  publicEndpoint: "http://127.0.0.1:9000/base",
  uploadLifetime: Duration.minutes(15)
}

const accessKey: AccessKey = {
  accessKeyId: "AKIDEXAMPLE",
  secretAccessKey: Redacted.make("canary-secret"),
  sessionToken: Redacted.make("canary+token/=")
}

const presign = (some: Partial<PresignerOptions>, at = now, credentials: AccessKey = accessKey) =>
  Presigner.use((presigner) => presigner.presignUpload(key, at)).pipe(
    Effect.provide(Presigner.layer({ ...options, ...some }).pipe(Layer.provide(Credentials.layerStatic(credentials))))
  )

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
      const server = { presigner, publicEndpoint: s3.endpoint, region: "us-east-1" }
      const known = {
        accessKeyId: s3Credentials.accessKeyId,
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

  it.effect("goes to AWS in the region when there is no endpoint", () =>
    Effect.gen(function* () {
      const url = yield* presign({ presigner, publicEndpoint: undefined })

      assert.isTrue(url.startsWith(`https://s3.eu-central-1.amazonaws.com/my-bucket/${key}?`))
    })
  )

  it.effect("gives no URL that outlives the credentials that signed it", () =>
    Effect.gen(function* () {
      const url = yield* presign({ presigner }, now, { ...accessKey, expiration: now + 200_999 })

      assert.strictEqual(new URL(url).searchParams.get("X-Amz-Expires"), "200")
    })
  )

  it.effect("signs with the new access key once there is one", () =>
    Effect.gen(function* () {
      let current = accessKey
      const changing = Layer.succeed(Credentials, {
        current: Effect.sync(() => current),
        available: Effect.succeed(true)
      })
      const presignUpload = yield* Presigner.use((service) => Effect.succeed(service.presignUpload)).pipe(
        Effect.provide(Presigner.layer({ ...options, presigner }).pipe(Layer.provide(changing)))
      )

      yield* presignUpload(key, now)
      current = { accessKeyId: "AKIDOTHER", secretAccessKey: Redacted.make("other") }
      const url = yield* presignUpload(key, now)

      const { expected, found } = signatures({ method: "PUT", url, secretAccessKey: "other" })
      assert.strictEqual(expected, found)
      assert.include(url, "AKIDOTHER")
      assert.notInclude(url, "X-Amz-Security-Token")
    })
  )

  it.effect("fails with the reason of the credentials when there are none", () =>
    Effect.gen(function* () {
      const none = Layer.succeed(Credentials, {
        current: Effect.fail(new CredentialsUnavailable()),
        available: Effect.succeed(false)
      })
      const error = yield* Presigner.use((service) => service.presignUpload(key, now)).pipe(
        Effect.provide(Presigner.layer({ ...options, presigner }).pipe(Layer.provide(none))),
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

  it.effect("dies at the start on an endpoint that is none", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(presign({ presigner, publicEndpoint: "s3.example.com" }))

      assert.include(String(exit), "must start with http")
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
    const { Credentials } = await import("./src/signer/s3/Credentials.ts")
    const { Presigner } = await import("./src/signer/s3/Presigner.ts")
    const options = { presigner: "${presigner}", region: "r", bucket: "b", publicEndpoint: undefined,
      uploadLifetime: Duration.minutes(1) }
    const credentials = Credentials.layer({ accessKeyId: "a", secretAccessKey: Redacted.make("s") })
    await Effect.runPromise(Presigner.use((presigner) => presigner.presignUpload("k", 0)).pipe(
      Effect.provide(Presigner.layer(options).pipe(Layer.provide(credentials)))))
    console.log(seen.length)`
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script])
  return Number(stdout)
}
