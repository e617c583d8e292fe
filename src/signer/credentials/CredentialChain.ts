/**
 * Where access keys are looked for when the operator gives none: the providers of the AWS SDK, in the order of its
 * default chain.
 *
 * They are asked one by one, not through that chain: it forgets what a source has said when it goes on to the next, and
 * it goes on also from a source that is set up and fails, to keys that may be somebody else's.
 */
import * as Effect from "effect/Effect"
import * as CredentialProfile from "./CredentialProfile.ts"
import {
  calling,
  farAway,
  type Found,
  isSet,
  LookFailed,
  named,
  nearby,
  NotSetUp,
  once,
  quiet,
  type Source
} from "./CredentialSource.ts"
import { interruptible } from "./Interruptible.ts"

export { type Found, LookFailed } from "./CredentialSource.ts"

/** One look for access keys. It ends by itself, whatever does not answer. */
export type Chain = Effect.Effect<Found, LookFailed>

/** `region` is where AWS's token service is called, unless `AWS_REGION` or the profile names another. */
export const make = ({ region }: { readonly region: string }): Chain => {
  const sources = [CredentialProfile.make(region), webIdentity(region), container, instanceMetadata]
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

const webIdentity = (region: string): Source =>
  Effect.gen(function* () {
    if (!isSet("AWS_WEB_IDENTITY_TOKEN_FILE")) return yield* new NotSetUp({ note: "no web identity" })
    if (!isSet("AWS_ROLE_ARN")) return yield* new NotSetUp({ note: "a web identity without AWS_ROLE_ARN" })
    const found = yield* interruptible(() =>
      import("@aws-sdk/credential-provider-web-identity").then(({ fromTokenFile }) =>
        fromTokenFile({ ...quiet, ...calling(region) })()
      )
    )
    return { ...found, source: "web identity", kind: "service" as const }
  }).pipe(named(() => "web identity", farAway))

/** Of a task or a pod. */
const container: Source = Effect.gen(function* () {
  if (!isSet("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") && !isSet("AWS_CONTAINER_CREDENTIALS_FULL_URI")) {
    return yield* new NotSetUp({ note: "no container endpoint" })
  }
  const found = yield* interruptible(() =>
    import("@aws-sdk/credential-provider-http").then(({ fromHttp }) => fromHttp({ ...quiet, ...once })())
  )
  return { ...found, source: "container endpoint", kind: "service" as const }
}).pipe(named(() => "container endpoint", nearby))

/** Always asked in the end, unless it is switched off: only then is it known whether it is there. */
const instanceMetadata: Source = Effect.gen(function* () {
  if (isSet("AWS_EC2_METADATA_DISABLED") && process.env["AWS_EC2_METADATA_DISABLED"] !== "false") {
    return yield* new NotSetUp({ note: "instance metadata switched off" })
  }
  const found = yield* interruptible(() =>
    import("@smithy/credential-provider-imds").then(({ fromInstanceMetadata }) =>
      fromInstanceMetadata({ ...quiet, timeout: 2000, maxRetries: 0 })()
    )
  )
  return { ...found, source: "instance metadata", kind: "service" as const }
}).pipe(
  named(() => "instance metadata", nearby),
  Effect.mapError((error) => (error instanceof LookFailed ? new NotSetUp({ note: error.reason }) : error))
)
