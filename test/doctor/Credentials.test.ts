/**
 * What the doctor says of credentials that somebody lends, and of those that count beside others.
 */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as CredentialsCheck from "../../src/doctor/s3/CredentialsCheck.ts"
import * as Settings from "../../src/settings/Settings.ts"
import { type Chain, type Found, LookFailed } from "../../src/signer/credentials/CredentialChain.ts"
import { examine, fake, settingsFor, type Environment } from "./support.ts"

const minutes = 60_000

const lent = (more: Partial<Found> = {}): Chain =>
  Effect.succeed({
    accessKeyId: "ASIACANARYCANARY1234",
    secretAccessKey: "canary/secret+lent",
    sessionToken: "canary/token+lent==",
    source: "container endpoint",
    kind: "service",
    ...more
  })

const until = (left: number) => ({ expiration: new Date(Date.now() + left) })

const found = (chain: Chain, more: Environment = {}) =>
  Effect.gen(function* () {
    const store = yield* fake()
    const settings = { ...settingsFor(store), S3_ACCESS_KEY_ID: "", S3_SECRET_ACCESS_KEY: "", ...more }
    const { checked, findings } = yield* examine(settings, { chain })
    return {
      checked: checked[0],
      findings: findings.map(({ code, severity }) => `${code} ${severity}`),
      seen: findings[0]?.seen ?? "",
      signed: store.requests.filter(({ query }) => query.has("X-Amz-Security-Token")).length
    }
  })

describe("doctor on credentials that are lent", () => {
  it.live("shows of them where they come from and the ends of their id, and signs with them", () =>
    Effect.gen(function* () {
      const { checked, findings, signed } = yield* found(lent(until(300 * minutes)))

      assert.deepStrictEqual(findings, [])
      assert.strictEqual(checked, "credentials ASIA…1234 (container endpoint)")
      assert.isAbove(signed, 0)
    })
  )

  it.live("says that there are none, and why", () =>
    Effect.gen(function* () {
      const { findings, seen, signed } = yield* found(
        Effect.fail(new LookFailed({ reason: "nothing found: no profile" }))
      )

      assert.deepStrictEqual(findings, ["CREDENTIALS_MISSING error"])
      assert.strictEqual(seen, "nothing found: no profile")
      assert.strictEqual(signed, 0)
    })
  )

  it.live("refuses what the worker refuses: half a key, and a loan without an end", () =>
    Effect.gen(function* () {
      const half = yield* found(lent({ ...until(300 * minutes), secretAccessKey: undefined }))
      const endless = yield* found(lent())
      const broken = yield* found(Effect.die(new Error("canary-of-a-defect")))

      for (const { findings } of [half, endless, broken]) {
        assert.deepStrictEqual(findings, ["CREDENTIALS_MISSING error"])
      }
      assert.strictEqual(half.seen, "container endpoint: the secret access key is missing")
      assert.strictEqual(endless.seen, "container endpoint: the answer does not say when its keys end")
    })
  )

  it.live("tells by how long they live what suffers: everything, uploads, or downloads", () =>
    Effect.gen(function* () {
      const lives = [-minutes, minutes, 10 * minutes, 30 * minutes]
      const [ended, brief, short, medium] = yield* Effect.forEach(lives, (left) => found(lent(until(left))))

      assert.deepStrictEqual(ended?.findings, ["CREDENTIALS_SHORT_LIVED error"])
      assert.match(ended?.seen ?? "", /^those of container endpoint have ended, /)
      assert.deepStrictEqual(brief?.findings, ["CREDENTIALS_SHORT_LIVED error"])
      assert.match(brief?.seen ?? "", /less than MIN_URL_LIFETIME \(2m\): nothing is signed/)
      assert.deepStrictEqual(short?.findings, ["CREDENTIALS_SHORT_LIVED warning"])
      assert.match(short?.seen ?? "", /less than UPLOAD_URL_LIFETIME \(15m\)/)
      assert.deepStrictEqual(medium?.findings, ["CREDENTIALS_SHORT_LIVED info"])
      assert.match(
        medium?.seen ?? "",
        /^those of container endpoint are good for 29m 5\ds more, less than DOWNLOAD_URL/
      )
      assert.isAbove(medium?.signed ?? 0, 0)
    })
  )
})

describe("doctor on keys in the environment", () => {
  const ours = { S3_ACCESS_KEY_ID: "AKIACANARYCANARY1234", S3_SECRET_ACCESS_KEY: "canary/secret" }
  const theirs = { AWS_ACCESS_KEY_ID: "AKIACANARYCANARY1234", AWS_SECRET_ACCESS_KEY: "canary/secret" }
  const codes = (environment: Environment) => Effect.map(found(lent(), environment), ({ findings }) => findings)

  it.live("does not mind the same keys under both names, nor AWS's names alone", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* codes({ ...ours, ...theirs }), [])
      assert.deepStrictEqual(yield* codes(theirs), [])
    })
  )

  it.live("minds two secret keys for one id", () =>
    Effect.gen(function* () {
      const { findings, seen } = yield* found(lent(), { ...ours, ...theirs, AWS_SECRET_ACCESS_KEY: "canary/other" })

      assert.deepStrictEqual(findings, ["CREDENTIALS_AMBIGUOUS warning"])
      assert.strictEqual(
        seen,
        "S3_SECRET_ACCESS_KEY counts, AWS_SECRET_ACCESS_KEY does not: two secret keys for AKIA…1234"
      )
    })
  )

  it.live("does not mind a role or a profile where the store is not AWS", () =>
    Effect.gen(function* () {
      const role = { AWS_WEB_IDENTITY_TOKEN_FILE: "/var/run/secrets/token", AWS_PROFILE: "work" }

      assert.deepStrictEqual(yield* codes({ ...ours, ...role }), [])
    })
  )

  it.live("minds one where it is: keys that were left behind win over the role", () =>
    Effect.gen(function* () {
      const { s3 } = yield* Settings.load

      const { access, findings } = yield* CredentialsCheck.check(s3)

      assert.deepStrictEqual(
        findings.map(({ code, seen }) => [code, seen]),
        [
          [
            "CREDENTIALS_AMBIGUOUS",
            "S3_ACCESS_KEY_ID (AKIA…1234) counts, the credentials that AWS_WEB_IDENTITY_TOKEN_FILE leads to do not"
          ]
        ]
      )
      assert.strictEqual(access?.source, "S3_ACCESS_KEY_ID")
    }).pipe(
      Effect.provide(
        ConfigProvider.layer(ConfigProvider.fromEnvRecord({ ...ours, AWS_WEB_IDENTITY_TOKEN_FILE: "/run/token" }))
      )
    )
  )
})
