/**
 * The doctor as the command runs it, and what must hold of anything that it says.
 */
import { assert } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as Doctor from "../../src/doctor/Doctor.ts"
import { redacted, type Report, toJson, toText } from "../../src/doctor/Finding.ts"
import { makeRedaction } from "../../src/Redaction.ts"
import * as Settings from "../../src/settings/Settings.ts"
import type { Chain } from "../../src/signer/credentials/CredentialChain.ts"
import { type FakeS3, type Respond, site, startFakeS3 } from "./FakeS3.ts"

export type Environment = Readonly<Record<string, string>>

/** Keys that may stand nowhere in what the doctor says. */
export const canaries = {
  S3_ACCESS_KEY_ID: "AKIACANARYCANARY1234",
  S3_SECRET_ACCESS_KEY: "canary/secret+of=the-store"
}

export const fake = (respond?: Respond): Effect.Effect<FakeS3, never, Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => startFakeS3(respond === undefined ? {} : { respond })),
    ({ stop }) => Effect.promise(stop)
  )

/** Settings for a store on this machine. */
export const settingsFor = ({ endpoint }: { readonly endpoint: string }, more: Environment = {}): Environment => ({
  ...canaries,
  S3_ENDPOINT: endpoint,
  S3_BUCKET: "uploads",
  ...more
})

export interface Examined extends Report {
  readonly codes: ReadonlyArray<string>
}

/** Runs all checks, by default for the site that the fake store allows. */
export const examine = (
  environment: Environment,
  options: { readonly origins?: ReadonlyArray<string>; readonly chain?: Chain } = {}
): Effect.Effect<Examined> =>
  Effect.gen(function* () {
    const settings = yield* Effect.orDie(Settings.load)
    const redaction = makeRedaction(settings.secrets)
    const { chain, origins = [site] } = options
    const report = yield* Doctor.run({ settings, origins, redaction, chain })
    leaksNothing(report, environment)
    const shown = redacted(report, redaction.redact)
    assert.deepStrictEqual(shown, report, "the redaction had nothing to hide")
    return { ...report, codes: report.findings.map(({ code }) => code) }
  }).pipe(Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(environment))))

const leaksNothing = (report: Report, environment: Environment) => {
  const said = toText(report) + toJson(report)
  for (const [name, value] of Object.entries(environment)) {
    if (value !== "" && /_KEY(_ID)?$|TOKEN$/.test(name)) assert.notInclude(said, value, `${name} is told`)
  }
  assert.notMatch(said, /canary-|X-Amz-|Signature=|CANARYREQUESTID/)
}
