import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Chain, Credentials, refreshDelay } from "../../../src/signer/s3/Credentials.ts"

const hour = Duration.toMillis("1 hour")
const minutes = (count: number) => count * 60_000

/** A chain that answers as it is told, and counts how often it is asked. */
const fakeChain = (first: Chain) => {
  const fake = { asked: 0, answer: first, lines: new Array<string>() }
  const chain: Chain = () => {
    fake.asked += 1
    return fake.answer()
  }
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    fake.lines.push(`${logLevel} ${String(message)}`)
  })
  const layer = Credentials.layerChain({ chain }).pipe(Layer.provideMerge(Logger.layer([logger])))
  return { fake, layer }
}

const answers =
  (id: string, expiration?: number): Chain =>
  () =>
    Promise.resolve({
      accessKeyId: id,
      secretAccessKey: `canary-${id}`,
      sessionToken: "canary-token",
      ...(expiration === undefined ? {} : { expiration: new Date(expiration) })
    })
const fails: Chain = () =>
  Promise.reject(Object.assign(new Error("canary: command line of a process"), { name: "CredentialsProviderError" }))

/** Lets time pass in steps, with room for promises to settle in between. */
const pass = (duration: Duration.Input) =>
  Effect.gen(function* () {
    const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(duration)
    while ((yield* Clock.currentTimeMillis) < end) {
      yield* TestClock.adjust(Math.min(5000, end - (yield* Clock.currentTimeMillis)))
      yield* settled
    }
    yield* settled
  })
const settled = Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))

const currentId = Effect.flatMap(Credentials, ({ current }) =>
  Effect.result(Effect.map(current, ({ accessKeyId }) => accessKeyId))
).pipe(Effect.map(Result.getOrElse(({ _tag }): string => _tag)))
const available = Effect.flatMap(Credentials, (credentials) => credentials.available)

describe("Credentials", () => {
  it.effect("has the operator's access key at once", () =>
    Effect.gen(function* () {
      const key = { accessKeyId: "AKID", secretAccessKey: Redacted.make("canary"), sessionToken: undefined }

      yield* Effect.gen(function* () {
        assert.isTrue(yield* available)
        assert.strictEqual(yield* Effect.flatMap(Credentials, ({ current }) => current), key)
      }).pipe(Effect.provide(Credentials.layer(key)))
    })
  )

  it.effect("does not hold up the start while the chain looks", () =>
    Effect.gen(function* () {
      const { layer } = fakeChain(() => new Promise(() => {}))

      yield* Effect.gen(function* () {
        assert.isFalse(yield* available)
        assert.strictEqual(yield* currentId, "CredentialsUnavailable")
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect("finds credentials that appear later, asking ever more seldom and logging each change once", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(fails)

      yield* Effect.gen(function* () {
        yield* pass("10 minutes")
        assert.isFalse(yield* available)
        assert.isAbove(fake.asked, 50)
        assert.isBelow(fake.asked, 90)

        fake.answer = answers("LATER")
        yield* pass("12 seconds")
        assert.isTrue(yield* available)
        assert.strictEqual(yield* currentId, "LATER")
        const { asked } = fake
        yield* pass("2 hours")
        assert.strictEqual(fake.asked, asked)
      }).pipe(Effect.provide(layer))

      assert.deepStrictEqual(fake.lines, [
        "Warn no usable AWS credentials, nothing can be signed: CredentialsProviderError",
        "Info AWS credentials found"
      ])
    })
  )

  it.effect("replaces temporary credentials ten minutes before their use ends, and keeps silent about it", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(answers("FIRST", hour))

      yield* Effect.gen(function* () {
        yield* pass("40 minutes")
        assert.strictEqual(yield* currentId, "FIRST")
        assert.strictEqual(fake.asked, 1)

        fake.answer = answers("SECOND", 2 * hour)
        yield* pass("8 minutes")
        assert.strictEqual(yield* currentId, "SECOND")
        assert.strictEqual(fake.asked, 2)
      }).pipe(Effect.provide(layer))

      assert.deepStrictEqual(fake.lines, ["Info AWS credentials found"])
    })
  )

  it.effect("uses credentials that cannot be refreshed until two minutes before their end, and no longer", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(answers("FIRST", hour))

      yield* Effect.gen(function* () {
        yield* settled
        fake.answer = fails
        yield* pass(minutes(58))
        assert.strictEqual(yield* currentId, "FIRST")
        yield* pass("1 millis")
        assert.strictEqual(yield* currentId, "CredentialsUnavailable")
        assert.isFalse(yield* available)

        yield* pass("10 minutes")
        fake.answer = answers("SECOND", 3 * hour)
        yield* pass("12 seconds")
        assert.strictEqual(yield* currentId, "SECOND")
      }).pipe(Effect.provide(layer))

      assert.deepStrictEqual(fake.lines, [
        "Info AWS credentials found",
        "Warn AWS credentials could not be refreshed, trying again: CredentialsProviderError",
        "Warn no usable AWS credentials, nothing can be signed: CredentialsProviderError",
        "Info AWS credentials found"
      ])
    })
  )

  it.effect("does not spin when the chain keeps giving the same old credentials", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(answers("OLD", hour))

      yield* Effect.gen(function* () {
        yield* pass("2 hours")
        assert.strictEqual(yield* currentId, "CredentialsUnavailable")
        assert.isBelow(fake.asked, 450 + 20)
      }).pipe(Effect.provide(layer))

      assert.deepStrictEqual(fake.lines, [
        "Info AWS credentials found",
        "Warn no usable AWS credentials, nothing can be signed: the credentials found have expired or are about to"
      ])
    })
  )

  it.effect("gives up on a chain that does not answer, and asks again", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(() => new Promise(() => {}))

      yield* Effect.gen(function* () {
        yield* pass("29 seconds")
        fake.answer = answers("NEXT")
        yield* pass("2 seconds")
        assert.strictEqual(yield* currentId, "NEXT")
      }).pipe(Effect.provide(layer))

      assert.match(fake.lines[0]!, /^Warn no usable AWS credentials, nothing can be signed: no answer within 30s$/)
    })
  )

  it.effect("survives a chain that throws or gives nothing", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(() => {
        throw new TypeError("canary")
      })

      yield* Effect.gen(function* () {
        yield* pass("5 seconds")
        fake.answer = () => Promise.resolve(undefined as never)
        yield* pass("10 seconds")
        fake.answer = answers("NEXT")
        yield* pass("12 seconds")
        assert.strictEqual(yield* currentId, "NEXT")
      }).pipe(Effect.provide(layer))

      assert.notInclude(fake.lines.join(), "canary")
    })
  )

  it.effect("shows no secret when it is printed", () =>
    Effect.gen(function* () {
      const { layer } = fakeChain(answers("AKID"))

      yield* Effect.gen(function* () {
        yield* settled
        const key = yield* Effect.flatMap(Credentials, ({ current }) => current)
        assert.strictEqual(Redacted.value(key.secretAccessKey), "canary-AKID")
        assert.strictEqual(Redacted.value(key.sessionToken!), "canary-token")
        assert.notInclude(`${JSON.stringify(key)}${String(key.secretAccessKey)}`, "canary")
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect.prop(
    "looks again before the end, at least a second later",
    [Schema.Int.check(Schema.isBetween({ minimum: -hour, maximum: 36 * hour }))],
    ([left]) =>
      Effect.sync(() => {
        const delay = Duration.toMillis(refreshDelay(left))
        assert.isAtLeast(delay, 1000)
        if (left > 2000) assert.isBelow(delay, left)
        assert.isAtLeast(delay, left - minutes(10))
      })
  )
})

const assign = (values: ReadonlyArray<readonly [string, string | undefined]>) => {
  for (const [name, value] of values) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
}

/** Sets variables of the environment for the length of a scope. */
const environment = (values: Readonly<Record<string, string | undefined>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = Object.keys(values).map((name) => [name, process.env[name]] as const)
      assign(Object.entries(values))
      return before
    }),
    (before) => Effect.sync(() => assign(before))
  )

describe("Credentials, with the AWS SDK's default chain", () => {
  const folder = Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "credentials-"))),
    (path) => Effect.promise(() => rm(path, { recursive: true }))
  )

  it.live("waits for a shared credentials file, and works on when it appears", () =>
    Effect.gen(function* () {
      const path = join(yield* folder, "credentials")
      yield* environment({
        AWS_SHARED_CREDENTIALS_FILE: path,
        AWS_CONFIG_FILE: `${path}.config`,
        AWS_EC2_METADATA_DISABLED: "true",
        AWS_ACCESS_KEY_ID: undefined,
        AWS_SECRET_ACCESS_KEY: undefined,
        AWS_PROFILE: undefined,
        AWS_WEB_IDENTITY_TOKEN_FILE: undefined,
        AWS_CONTAINER_CREDENTIALS_RELATIVE_URI: undefined,
        AWS_CONTAINER_CREDENTIALS_FULL_URI: undefined
      })
      const lines: Array<string> = []
      const missing = Promise.withResolvers<void>()
      const found = Promise.withResolvers<void>()
      const logger = Logger.make<unknown, void>(({ message }) => {
        lines.push(String(message))
        ;(lines.length === 1 ? missing : found).resolve()
      })

      yield* Effect.gen(function* () {
        yield* Effect.promise(() => missing.promise)
        assert.isFalse(yield* available)
        yield* Effect.promise(() =>
          writeFile(path, "[default]\naws_access_key_id = AKIDFILE\naws_secret_access_key = canary\n")
        )
        yield* Effect.promise(() => found.promise)
        assert.isTrue(yield* available)
        const { accessKeyId, secretAccessKey } = yield* Effect.flatMap(Credentials, ({ current }) => current)
        assert.strictEqual(accessKeyId, "AKIDFILE")
        assert.strictEqual(Redacted.value(secretAccessKey), "canary")
      }).pipe(Effect.provide(Credentials.layer(undefined).pipe(Layer.provideMerge(Logger.layer([logger])))))

      assert.deepStrictEqual(lines, [
        "no usable AWS credentials, nothing can be signed: CredentialsProviderError",
        "AWS credentials found"
      ])
    })
  )

  it.live("finds the access key of the environment, with its session token", () =>
    Effect.gen(function* () {
      yield* environment({
        AWS_ACCESS_KEY_ID: "AKIDENV",
        AWS_SECRET_ACCESS_KEY: "canary",
        AWS_SESSION_TOKEN: "token",
        AWS_PROFILE: undefined
      })
      const found = Promise.withResolvers<void>()
      const logger = Logger.make<unknown, void>(() => found.resolve())

      yield* Effect.gen(function* () {
        yield* Effect.promise(() => found.promise)
        const { accessKeyId, sessionToken } = yield* Effect.flatMap(Credentials, ({ current }) => current)
        assert.strictEqual(accessKeyId, "AKIDENV")
        assert.strictEqual(Redacted.value(sessionToken!), "token")
      }).pipe(Effect.provide(Credentials.layer(undefined).pipe(Layer.provideMerge(Logger.layer([logger])))))
    })
  )
})
