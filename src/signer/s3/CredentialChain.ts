/**
 * Where access keys are looked for when the operator gives none: the providers of the AWS SDK, in the order of its
 * default chain.
 *
 * They are asked one by one, not through that chain: it forgets what a source has said when it goes on to the next, and
 * it goes on also from a source that is set up and fails, to keys that may be somebody else's.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as fs from "node:fs/promises"
import type * as AccessKey from "./AccessKey.ts"
import { faultOf } from "./CredentialFault.ts"
import { interruptible } from "./Interruptible.ts"

/** One look for access keys. It ends by itself, whatever does not answer. */
export type Chain = Effect.Effect<Found, LookFailed>

export interface Found extends AccessKey.Found {
  /** Where it was found, in words. */
  readonly source: string
  /** `file`: it may be replaced there at any time. `service`: lent, so it must say when it ends. */
  readonly kind?: "file" | "service" | undefined
}

/** There is no access key, or none that can be used; the reason is for people and holds no secret. */
export class LookFailed extends Schema.TaggedError<LookFailed>()("LookFailed", { reason: Schema.String }) {
  override get message() {
    return this.reason
  }
}

/** `region` is where AWS's token service is called, unless `AWS_REGION` or the profile names another. */
export const make = ({ region }: { readonly region: string }): Chain => {
  const sources = [profileFiles(region), webIdentity(region), container, instanceMetadata]
  return Effect.gen(function* () {
    const notes = ["no keys in the environment"]
    for (const source of sources) {
      const found = yield* Effect.catchTag(source, "NotSetUp", ({ note }) => {
        notes.push(note)
        return Effect.undefined
      })
      if (found !== undefined) return found
    }
    return yield* new LookFailed({ reason: `nothing found: ${notes.join(", ")}` })
  })
}

/** A source of which nobody speaks: the next one is asked. */
class NotSetUp extends Schema.TaggedError<NotSetUp>()("NotSetUp", { note: Schema.String }) {}

type Source = Effect.Effect<Found, LookFailed | NotSetUp>

/** Puts the source's name before what went wrong, and an end to its silence. */
const named =
  (name: () => string, patience: Duration.Duration) =>
  (ask: Effect.Effect<Found, unknown>): Source =>
    ask.pipe(
      Effect.timeoutOrElse({
        duration: patience,
        orElse: () => new LookFailed({ reason: `${name()}: no answer within ${Duration.format(patience)}` })
      }),
      Effect.mapError((error) =>
        error instanceof NotSetUp || error instanceof LookFailed
          ? error
          : new LookFailed({ reason: `${name()}${calledOf(error)}: ${faultOf(error)}` })
      )
    )

/** Whom the SDK had called when it failed. `AWS_ENDPOINT_URL`, for us the store's address, is the SDK's for all of AWS. */
const calledOf = (error: unknown): string => {
  if (!(error instanceof Error && "$metadata" in error)) return ""
  const address = ["AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"].find(isSet)
  return address === undefined ? ", calling AWS" : `, calling AWS at ${address}`
}

/** What runs beside this process, or as a link-local service, answers at once. */
const nearby = Duration.seconds(5)
/** A credential process may have to ask somebody far away. */
const farAway = Duration.seconds(30)

/** Static keys, a role to assume, a web identity, a process or single sign-on, as the profile says. */
const profileFiles = (region: string): Source =>
  Effect.gen(function* () {
    const { parseKnownFiles } = yield* loaded(import("@smithy/core/config"))
    const name = profileName()
    const profiles = yield* interruptible(() => parseKnownFiles({ ignoreCache: true }))
    const profile = profiles[name]
    if (profile === undefined || !Object.keys(profile).some((key) => saysWhere.test(key))) {
      return yield* new NotSetUp({ note: [`no credentials in profile "${name}"`, ...(yield* unreadable)].join(", ") })
    }
    if (asksForCode(profiles, name)) {
      return yield* new LookFailed({
        reason: `profile "${name}": the role asks for a second factor (mfa_serial), which nobody can give here`
      })
    }
    const { fromIni } = yield* loaded(import("@aws-sdk/credential-provider-ini"))
    const found = yield* interruptible(() => fromIni({ ...quiet, ...once, ...calling(region), ignoreCache: true })())
    return { ...found, ...describe(name, found) }
  }).pipe(named(() => `profile "${profileName()}"`, farAway))

const profileName = (): string => process.env["AWS_PROFILE"] || "default"

/** What a profile has when credentials are to come from it. */
const saysWhere =
  /^(aws_access_key_id|aws_secret_access_key|role_arn|credential_source|credential_process|web_identity_token_file|login_session|sso_\w+)$/

/** Files that the environment names and that we cannot read: the SDK takes them for empty. */
const unreadable: Effect.Effect<ReadonlyArray<string>> = Effect.suspend(() => {
  const named = ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"].flatMap((variable) => {
    const file = process.env[variable] || "~/"
    return file.startsWith("~/") ? [] : [{ variable, file }]
  })
  const notes = Effect.forEach(named, ({ file, variable }) =>
    Effect.tryPromise({ try: () => fs.access(file, fs.constants.R_OK), catch: faultOf }).pipe(
      Effect.as([]),
      Effect.catch((fault) => Effect.succeed([`${variable}: ${fault}`]))
    )
  )
  return Effect.map(notes, (notes) => notes.flat())
})

/** The SDK fails, too, but leaves behind a promise whose rejection ends the process when the source profile is wrong. */
const asksForCode = (
  profiles: Readonly<Record<string, Readonly<Record<string, string | undefined>>>>,
  first: string
): boolean => {
  const visited = new Set<string>()
  for (let name: string | undefined = first; name !== undefined && !visited.has(name);) {
    visited.add(name)
    if (profiles[name]?.["mfa_serial"] !== undefined) return true
    name = profiles[name]?.["source_profile"]
  }
  return false
}

/** The SDK marks its answers with the ways that it took. */
const describe = (profile: string, found: object): Pick<Found, "kind" | "source"> => {
  const marks = "$source" in found && typeof found.$source === "object" ? (found.$source ?? {}) : {}
  const way = ways.find(([mark]) => mark in marks)
  return way === undefined
    ? { source: `profile "${profile}"`, kind: "CREDENTIALS_PROFILE" in marks ? "file" : undefined }
    : { source: `profile "${profile}", ${way[1]}`, kind: way[2] }
}

const ways: ReadonlyArray<readonly [mark: string, words: string, kind: Found["kind"]]> = [
  ["CREDENTIALS_STS_ASSUME_ROLE", "assumed role", "service"],
  ["CREDENTIALS_STS_ASSUME_ROLE_WEB_ID", "web identity", "service"],
  ["CREDENTIALS_PROFILE_SSO", "single sign-on", "service"],
  ["CREDENTIALS_PROFILE_SSO_LEGACY", "single sign-on", "service"],
  ["CREDENTIALS_PROFILE_LOGIN", "login session", "service"],
  ["CREDENTIALS_PROCESS", "credential process", undefined]
]

const webIdentity = (region: string): Source =>
  Effect.gen(function* () {
    if (!isSet("AWS_WEB_IDENTITY_TOKEN_FILE")) return yield* new NotSetUp({ note: "no web identity" })
    if (!isSet("AWS_ROLE_ARN")) return yield* new NotSetUp({ note: "a web identity without AWS_ROLE_ARN" })
    const { fromTokenFile } = yield* loaded(import("@aws-sdk/credential-provider-web-identity"))
    const found = yield* interruptible(() => fromTokenFile({ ...quiet, ...calling(region) })())
    return { ...found, source: "web identity", kind: "service" as const }
  }).pipe(named(() => "web identity", farAway))

const container: Source = Effect.gen(function* () {
  if (!isSet("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") && !isSet("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
    return yield* new NotSetUp({ note: "no container endpoint" })
  }
  const { fromHttp } = yield* loaded(import("@aws-sdk/credential-provider-http"))
  const found = yield* interruptible(() => fromHttp({ ...quiet, ...once })())
  return { ...found, source: "container endpoint", kind: "service" as const }
}).pipe(named(() => "container endpoint", nearby))

/** Always asked in the end, unless it is switched off: only then is it known whether it is there. */
const instanceMetadata: Source = Effect.gen(function* () {
  if (isSet("AWS_EC2_METADATA_DISABLED") && process.env["AWS_EC2_METADATA_DISABLED"] !== "false") {
    return yield* new NotSetUp({ note: "instance metadata switched off" })
  }
  const { fromInstanceMetadata } = yield* loaded(import("@smithy/credential-provider-imds"))
  const found = yield* interruptible(() => fromInstanceMetadata({ ...quiet, timeout: 2000, maxRetries: 0 })())
  return { ...found, source: "instance metadata", kind: "service" as const }
}).pipe(
  named(() => "instance metadata", nearby),
  Effect.mapError((error) => (error instanceof LookFailed ? new NotSetUp({ note: error.reason }) : error))
)

const isSet = (variable: string): boolean => (process.env[variable] ?? "") !== ""

const loaded = <A>(module: Promise<A>): Effect.Effect<A, unknown> =>
  Effect.tryPromise({ try: () => module, catch: (error) => error })

/** The SDK warns on standard error unless it is given a logger; what it logs may hold secrets. */
const quiet = { logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} } }

/** A look that failed is tried again as a whole; and the SDK's timeout only writes to standard error. */
const once = { timeout: 0, maxRetries: 0 }

/** How the SDK calls AWS's token service and single sign-on: without these it waits for ever. */
const calling = (region: string) => ({
  parentClientConfig: {
    region: () => regionOr(region),
    requestHandler: {
      connectionTimeout: 3000,
      requestTimeout: 5000,
      throwOnRequestTimeout: true,
      socketTimeout: 5000,
      httpAgent: { keepAlive: false },
      httpsAgent: { keepAlive: false }
    }
  }
})

/** As the SDK finds it, with another last resort than `us-east-1`. */
const regionOr = (region: string): Promise<string> =>
  import("@smithy/core/config").then(({ loadConfig }) =>
    loadConfig(
      {
        environmentVariableSelector: (env) => env["AWS_REGION"] || undefined,
        configFileSelector: (profile) => profile["region"],
        default: region
      },
      { preferredFile: "credentials" }
    )()
  )
