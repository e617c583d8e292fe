/**
 * What every source of access keys has: a name, an end to its silence, and an AWS SDK that is quiet and impatient.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as AccessKey from "./AccessKey.ts"
import { faultOf } from "./CredentialFault.ts"

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

/** A source of which nobody speaks: the next one is asked. */
export class NotSetUp extends Schema.TaggedError<NotSetUp>()("NotSetUp", { note: Schema.String }) {}

/** Whoever is set up and fails is not passed over. */
export type Source = Effect.Effect<Found, LookFailed | NotSetUp>

/** Puts the source's name before what went wrong, and an end to its silence. */
export const named =
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
export const nearby = Duration.seconds(5)
/** A credential process may have to ask somebody far away. */
export const farAway = Duration.seconds(30)

export const isSet = (variable: string): boolean => (process.env[variable] ?? "") !== ""

/** The SDK warns on standard error unless it is given a logger; what it logs may hold secrets. */
export const quiet = { logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} } }

/** A look that failed is tried again as a whole; and the SDK's timeout only writes to standard error. */
export const once = { timeout: 0, maxRetries: 0 }

/** How the SDK calls AWS's token service and single sign-on: without these it waits for ever. */
export const calling = (region: string) => ({
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
