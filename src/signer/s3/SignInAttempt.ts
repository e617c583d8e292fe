/**
 * Signing inside an attempt: what is tried again while the user waits, and what puts the job off.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { JobSnooze } from "../../river/index.ts"
import type { CredentialsUnavailable } from "./Credentials.ts"
import type { PresignError } from "./Presigner.ts"

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
