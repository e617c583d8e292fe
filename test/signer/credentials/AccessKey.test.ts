import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as AccessKey from "../../../src/signer/credentials/AccessKey.ts"

const good: AccessKey.Found = { accessKeyId: "ASIAGOOD", secretAccessKey: "canary/secret+=" }
const made = (found: Partial<Record<keyof AccessKey.Found, unknown>>) =>
  Result.getOrThrow(AccessKey.fromFound({ ...good, ...found }))
const wrong = (found: Partial<Record<keyof AccessKey.Found, unknown>>) =>
  Result.getOrThrow(Result.flip(AccessKey.fromFound({ ...good, ...found })))

describe("AccessKey", () => {
  it("takes what a source hands out, and prints none of it", () => {
    const key = made({ sessionToken: "canary/token+==", expiration: new Date(1000) })

    assert.deepEqual(AccessKey.secretsOf(key).map(Redacted.value), ["ASIAGOOD", "canary/secret+=", "canary/token+=="])
    assert.strictEqual(key.expiration, 1000)
    assert.notMatch(`${JSON.stringify(key)}${Object.values(key).map(String).join()}`, /canary|ASIAGOOD/)
  })

  it("takes an empty token for none, and no expiry for no end", () => {
    for (const nothing of [undefined, null, ""]) assert.isUndefined(made({ sessionToken: nothing }).sessionToken)
    for (const nothing of [undefined, null]) assert.isUndefined(made({ expiration: nothing }).expiration)
    assert.lengthOf(AccessKey.secretsOf(made({})), 2)
  })

  it("refuses keys that are missing, no text or broken by a space or a line end, without saying what they hold", () => {
    for (const field of ["accessKeyId", "secretAccessKey", "sessionToken"] as const) {
      for (const bad of [
        42,
        {},
        ["canary"],
        true,
        Symbol("canary"),
        "canary\n",
        "\rcanary",
        " canary",
        "can\u0000ary"
      ]) {
        assert.match(wrong({ [field]: bad }), /^the (access key id|secret access key|session token) is (no )?text/)
        assert.notInclude(wrong({ [field]: bad }), "canary")
      }
    }
    for (const field of ["accessKeyId", "secretAccessKey"] as const) {
      for (const nothing of [undefined, null, ""]) assert.match(wrong({ [field]: nothing }), / is missing$/)
    }
    assert.match(wrong({ accessKeyId: "AKID WITH SPACE" }), /^the access key id is text with a space/)
    assert.match(wrong({ accessKeyId: "schlüssel" }), /^the access key id is text with a space, a line end or the like/)
  })

  it("refuses an expiry that is no time: it must not count as for ever", () => {
    for (const bad of [new Date("tomorrow"), new Date(NaN), "2999-01-01T00:00:00Z", 4e12, {}, false]) {
      assert.strictEqual(wrong({ expiration: bad }), "the expiry is no time")
      assert.strictEqual(wrong({ expiration: new Date(), originalExpiration: bad }), "the expiry is no time")
    }
  })

  it("believes the original expiry, where the SDK has put off the end of keys that have ended", () => {
    assert.strictEqual(made({ expiration: new Date(9000), originalExpiration: new Date(1000) }).expiration, 1000)
  })

  it("is the same when all of it is the same", () => {
    const whole = { sessionToken: "token", expiration: new Date(1000) }

    assert.isTrue(AccessKey.isSame(made(whole), made(whole)))
    assert.isTrue(AccessKey.isSame(made({}), made({ sessionToken: "" })))
    for (const other of [
      { accessKeyId: "ASIAOTHER" },
      { secretAccessKey: "other" },
      { sessionToken: "other" },
      { sessionToken: undefined },
      { expiration: new Date(1001) },
      { expiration: undefined }
    ]) {
      assert.isFalse(AccessKey.isSame(made(whole), made({ ...whole, ...other })))
    }
  })

  it("leaves what is left of it but for the skew, in whole seconds", () => {
    const key = made({ expiration: new Date(100_000) })

    assert.strictEqual(AccessKey.lifetimeLeft(key, 0), 95)
    assert.strictEqual(AccessKey.lifetimeLeft(key, 1), 94)
    assert.strictEqual(AccessKey.lifetimeLeft(key, 1000), 94)
    assert.strictEqual(AccessKey.lifetimeLeft(key, 95_000), 0)
    assert.strictEqual(AccessKey.lifetimeLeft(key, 95_001), -1)
    assert.strictEqual(AccessKey.lifetimeLeft(made({}), 0), Infinity)
  })

  const Instant = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4_102_444_800_000 }))
  it.effect.prop(
    "never lets a URL outlive it, however the instant falls into its second",
    [Instant, Instant],
    ([at, end]) =>
      Effect.sync(() => {
        const left = AccessKey.lifetimeLeft(made({ expiration: new Date(end) }), at)
        const urlEnds = (Math.floor(at / 1000) + left) * 1000
        assert.isAtMost(urlEnds, end - 5000)
        assert.isAbove(urlEnds, end - 5000 - 2000)
      })
  )
})
