/**
 * Signing inside an attempt: what is tried again while the user waits, and what puts the job off.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { JobSnooze } from "../../river/index.ts"
import type { CredentialsUnavailable } from "../credentials/Credentials.ts"
import type { Destinations } from "../s3/Destination.ts"
import type { PresignError } from "../s3/Presigner.ts"

/** What the workers of both kinds are told. */
export interface SigningOptions {
  /** The schema of the request tables. */
  readonly schema: string
  readonly destinations: Destinations
  /** How long an attempt may take. */
  readonly timeout: Duration.Duration
  /** Whether attempts are traced: then signing is a span of its own. */
  readonly traced: boolean
}

/** At once, then after 50, 100, 200 and 400 ms. */
const tries = { schedule: Schedule.exponential("50 millis"), times: 4 }

/** Credentials that ended between the claim and the signing cost no attempt. */
const withoutCredentials = new JobSnooze({ duration: Duration.seconds(1) })

const isPresignError = (error: { readonly _tag: string }) => error._tag === "PresignError"

/** Tries again what could not be signed, and snoozes without credentials. It runs for every job: no schedule is made before something fails. */
export const signInAttempt = <A>(
  sign: Effect.Effect<A, PresignError | CredentialsUnavailable>
): Effect.Effect<A, PresignError | JobSnooze> =>
  sign.pipe(
    Effect.catchTag("PresignError", () => Effect.retry(sign, { ...tries, while: isPresignError })),
    Effect.catchTag("CredentialsUnavailable", () => Effect.fail(withoutCredentials))
  )
