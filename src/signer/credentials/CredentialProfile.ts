/**
 * Access keys by way of AWS's configuration and credentials files, as the profile says.
 */
import * as Effect from "effect/Effect"
import * as fs from "node:fs/promises"
import { faultOf } from "./CredentialFault.ts"
import * as CredentialProcess from "./CredentialProcess.ts"
import {
  calling,
  farAway,
  type Found,
  LookFailed,
  named,
  NotSetUp,
  once,
  quiet,
  type Source
} from "./CredentialSource.ts"
import { interruptible } from "./Interruptible.ts"

/** Static keys, a role to assume, a web identity, a process or single sign-on. */
export const make = (region: string): Source =>
  Effect.gen(function* () {
    const name = profileName()
    const profiles = yield* interruptible(readProfiles)
    const profile = profiles[name]
    if (profile === undefined || !Object.keys(profile).some((key) => saysWhere.test(key))) {
      return yield* new NotSetUp({ note: [`no credentials in profile "${name}"`, ...(yield* unreadable)].join(", ") })
    }
    if (asksForCode(profiles, name)) {
      return yield* new LookFailed({
        reason: `profile "${name}": the role asks for a second factor (mfa_serial), which nobody can give here`
      })
    }
    const found = yield* interruptible(() =>
      import("@aws-sdk/credential-provider-ini").then(({ fromIni }) =>
        fromIni({ ...quiet, ...once, ...calling(region), ignoreCache: true })()
      )
    )
    return { ...found, ...describe(name, found) }
  }).pipe(named(() => `profile "${profileName()}"`, farAway))

const profileName = (): string => process.env["AWS_PROFILE"] || "default"

type Profiles = Readonly<Record<string, Readonly<Record<string, string | undefined>>>>

/** Past the SDK's cache: a file may appear or change at any time. */
const readProfiles = (): Promise<Profiles> =>
  import("@smithy/core/config").then(({ externalDataInterceptor, parseKnownFiles }) => {
    externalDataInterceptor.interceptToken("exec", CredentialProcess.run)
    return parseKnownFiles({ ignoreCache: true })
  })

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
const asksForCode = (profiles: Profiles, first: string): boolean => {
  const visited = new Set<string>()
  let name: string | undefined = first
  while (name !== undefined && !visited.has(name)) {
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
