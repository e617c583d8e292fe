/**
 * Whether there are credentials, where from, until when, and whether they are the ones that were meant.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { S3Settings } from "../../settings/S3Settings.ts"
import * as AccessKey from "../../signer/credentials/AccessKey.ts"
import * as CredentialChain from "../../signer/credentials/CredentialChain.ts"
import { type Finding, finding, hasErrors, type Report } from "../Finding.ts"
import { type Access, shorten, subject } from "./Access.ts"
import * as OtherCredentials from "./OtherCredentials.ts"

export interface Credentials extends Report {
  /** Undefined when there is none, or none that is worth a try. */
  readonly access: Access | undefined
}

/** Looks once, as the worker does at its start. */
export const check = (s3: S3Settings, chain?: CredentialChain.Chain): Effect.Effect<Credentials> =>
  Effect.gen(function* () {
    const region = s3.destinations.standard.region
    const environment = yield* OtherCredentials.environment
    const found = yield* Effect.result(
      s3.keys === undefined
        ? look(chain ?? CredentialChain.make({ region }))
        : Effect.succeed(given(s3.keys, environment))
    )
    if (Result.isFailure(found))
      return { checked: ["credentials"], findings: [missing(found.failure)], access: undefined }

    const access = found.success
    const now = yield* Clock.currentTimeMillis
    const findings = [
      ...(s3.keys === undefined ? shortLived(access, s3, now) : OtherCredentials.check(access, environment, s3)),
      ...tokenMissing(access)
    ]
    return {
      checked: [`credentials ${access.id} (${access.source})`],
      findings,
      access: hasErrors(findings) ? undefined : access
    }
  })

const given = (key: AccessKey.AccessKey, environment: OtherCredentials.Environment): Access => ({
  key,
  id: shorten(key.accessKeyId),
  source: environment.S3_ACCESS_KEY_ID === undefined ? "AWS_ACCESS_KEY_ID" : "S3_ACCESS_KEY_ID"
})

const look = (chain: CredentialChain.Chain): Effect.Effect<Access, string> =>
  chain.pipe(
    Effect.catchDefect(() => new CredentialChain.LookFailed({ reason: "a fault of this program" })),
    Effect.mapError(({ reason }) => reason),
    Effect.flatMap((found) => Effect.fromResult(accessOf(found)))
  )

/** A key, or why the worker would not use it. */
const accessOf = ({ kind, source, ...found }: CredentialChain.Found): Result.Result<Access, string> =>
  Result.mapError(
    Result.filterOrFail(
      AccessKey.fromFound(found),
      ({ expiration }) => kind !== "service" || expiration !== undefined,
      () => "the answer does not say when its keys end"
    ),
    (problem) => `${source}: ${problem}`
  ).pipe(Result.map((key) => ({ key, id: shorten(key.accessKeyId), source })))

const missing = (reason: string) =>
  finding("CREDENTIALS_MISSING", {
    subject,
    seen: reason,
    cure: "S3_ACCESS_KEY_ID=… S3_SECRET_ACCESS_KEY=…, or give the process a role (IRSA, EKS pod identity, ECS task role)"
  })

const shortLived = ({ key, source }: Access, s3: S3Settings, now: number): ReadonlyArray<Finding> => {
  const seconds = AccessKey.lifetimeLeft(key, now)
  const lifetimes = [
    ["error", "MIN_URL_LIFETIME", s3.minUrlLifetime, "nothing is signed with them"],
    ["warning", "UPLOAD_URL_LIFETIME", s3.destinations.standard.uploadLifetime, "upload URLs end early"],
    ["info", "DOWNLOAD_URL_LIFETIME", s3.downloadUrlLifetime, "download URLs signed now end early"]
  ] as const
  const short = lifetimes.find(([, , lifetime]) => seconds < Duration.toSeconds(lifetime))
  if (short === undefined) return []
  const [severity, name, lifetime, consequence] = short
  const left = seconds <= 0 ? "have ended" : `are good for ${Duration.format(Duration.seconds(seconds))} more`
  return [
    finding("CREDENTIALS_SHORT_LIVED", {
      severity,
      subject,
      seen: `those of ${source} ${left}, less than ${name} (${Duration.format(lifetime)}): ${consequence}`,
      cure: `longer sessions at the source (--duration-seconds, the role's MaxSessionDuration), or a shorter ${name}`
    })
  ]
}

/** AWS gives temporary keys ids that begin so; it does not know one without its token. */
const tokenMissing = ({ id, key, source }: Access): ReadonlyArray<Finding> =>
  key.sessionToken === undefined && Redacted.value(key.accessKeyId).startsWith("ASIA")
    ? [
        finding("CREDENTIALS_TOKEN_MISSING", {
          subject,
          seen: `${source} holds ${id}, a temporary key, and there is no session token with it`,
          cure: source.startsWith("AWS_") ? "AWS_SESSION_TOKEN=…" : "S3_SESSION_TOKEN=…"
        })
      ]
    : []
