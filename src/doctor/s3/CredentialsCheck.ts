/**
 * Whether there are credentials, where from, until when, and whether they are the ones that were meant.
 */
import * as Clock from "effect/Clock"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import type { S3Settings } from "../../settings/S3Settings.ts"
import * as AccessKey from "../../signer/s3/AccessKey.ts"
import * as CredentialChain from "../../signer/s3/CredentialChain.ts"
import { type Finding, finding, hasErrors, type Report } from "../Finding.ts"
import * as Site from "./Site.ts"

/** The key that signs, as far as a person needs to know it. */
export interface Access {
  readonly key: AccessKey.AccessKey
  /** The key's id, shortened: `AKIA…WXYZ`. */
  readonly id: string
  /** Where it comes from: the name of its variable, or of what lent it. */
  readonly source: string
}

export interface Credentials extends Report {
  /** Undefined when there is none, or none that is worth a try. */
  readonly access: Access | undefined
}

/** Looks once, as the worker does at its start. */
export const check = (s3: S3Settings, chain?: CredentialChain.Chain): Effect.Effect<Credentials> =>
  Effect.gen(function* () {
    const environment = yield* surroundings
    const region = s3.destinations.standard.region
    const found = yield* Effect.result(
      s3.keys === undefined
        ? look(chain ?? CredentialChain.make({ region }))
        : Effect.succeed(given(s3.keys, environment))
    )
    if (Result.isFailure(found)) return { checked: ["credentials"], findings: [missing(found.failure)], access: undefined }

    const access = found.success
    const now = yield* Clock.currentTimeMillis
    const findings = [
      ...(s3.keys === undefined ? shortLived(access, s3, now) : ambiguous(access, environment, s3)),
      ...tokenMissing(access)
    ]
    return {
      checked: [`credentials ${access.id} (${access.source})`],
      findings,
      access: hasErrors(findings) ? undefined : access
    }
  })

/** The first and the last four characters; of a short id less, since the rest could be guessed. */
export const shorten = (id: Redacted.Redacted): string => {
  const text = Redacted.value(id)
  return text.length < 16 ? `${text.slice(0, 2)}…` : `${text.slice(0, 4)}…${text.slice(-4)}`
}

const subject = "credentials"

/** Variables from which other credentials could come than those that count. */
const names = [
  "S3_ACCESS_KEY_ID",
  "AWS_ACCESS_KEY_ID",
  "S3_SECRET_ACCESS_KEY",
  "AWS_SECRET_ACCESS_KEY",
  "AWS_PROFILE",
  "AWS_ROLE_ARN",
  "AWS_WEB_IDENTITY_TOKEN_FILE",
  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI"
] as const

type Surroundings = Partial<Readonly<Record<(typeof names)[number], Redacted.Redacted>>>

const surroundings: Effect.Effect<Surroundings> = Effect.gen(function* () {
  const provider = yield* ConfigProvider.ConfigProvider
  const set: Partial<Record<(typeof names)[number], Redacted.Redacted>> = {}
  for (const name of names) {
    const node = yield* Effect.orDie(provider.load([name]))
    if (node?.value) set[name] = Redacted.make(node.value)
  }
  return set
})

const given = (key: AccessKey.AccessKey, environment: Surroundings): Access => ({
  key,
  id: shorten(key.accessKeyId),
  source: environment.S3_ACCESS_KEY_ID === undefined ? "AWS_ACCESS_KEY_ID" : "S3_ACCESS_KEY_ID"
})

const look = (chain: CredentialChain.Chain): Effect.Effect<Access, string> =>
  chain.pipe(
    Effect.mapError(({ reason }) => reason),
    Effect.flatMap((found) =>
      Effect.fromResult(
        Result.mapBoth(AccessKey.fromFound(found), {
          onFailure: (problem) => `${found.source}: ${problem}`,
          onSuccess: (key) => ({ key, id: shorten(key.accessKeyId), source: found.source })
        })
      )
    )
  )

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

/** What else is in the environment. Roles matter only where AWS itself is the store: other stores know none. */
const ambiguous = (access: Access, environment: Surroundings, s3: S3Settings): ReadonlyArray<Finding> => {
  const { S3_ACCESS_KEY_ID: ours, AWS_ACCESS_KEY_ID: theirs } = environment
  const roles = [
    environment.AWS_WEB_IDENTITY_TOKEN_FILE === undefined ? undefined : "AWS_ROLE_ARN",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_PROFILE"
  ] as const
  const role = roles.find((name) => name !== undefined && environment[name] !== undefined)
  const differ = (a: Redacted.Redacted | undefined, b: Redacted.Redacted | undefined) =>
    a !== undefined && b !== undefined && Redacted.value(a) !== Redacted.value(b)
  const seen =
    ours !== undefined && environment.S3_SECRET_ACCESS_KEY === undefined
      ? `S3_ACCESS_KEY_ID (${access.id}) goes with the secret key of AWS_SECRET_ACCESS_KEY`
      : ours === undefined && environment.S3_SECRET_ACCESS_KEY !== undefined
        ? `AWS_ACCESS_KEY_ID (${access.id}) goes with the secret key of S3_SECRET_ACCESS_KEY`
        : ours !== undefined && theirs !== undefined && differ(ours, theirs)
          ? `S3_ACCESS_KEY_ID (${access.id}) counts, AWS_ACCESS_KEY_ID (${shorten(theirs)}) does not`
          : differ(environment.S3_SECRET_ACCESS_KEY, environment.AWS_SECRET_ACCESS_KEY) && differ(ours, theirs) === false && theirs !== undefined
            ? `S3_SECRET_ACCESS_KEY counts and differs from AWS_SECRET_ACCESS_KEY, for the same key ${access.id}`
            : role !== undefined && Site.isAws(s3.destinations.standard.apiEndpoint)
              ? `${access.source} (${access.id}) counts, the credentials of ${role} do not`
              : undefined
  return seen === undefined
    ? []
    : [finding("CREDENTIALS_AMBIGUOUS", { subject, seen, cure: "unset those that are not meant" })]
}
