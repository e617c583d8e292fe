/**
 * What every check ends within, and what becomes of one that does not end well: a finding, like any other.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { finding, type Report } from "./Finding.ts"

/** All checks together; cleaning up may take 20 seconds more at the most. */
export const wholeRun = Duration.seconds(38)

/** A check that takes until `deadline` (milliseconds since 1970) is ended, and cleans up. One that breaks says so. */
export const guarded =
  (subject: string, deadline: number) =>
  <E, R>(check: Effect.Effect<Report, E, R>): Effect.Effect<Report, E, R> =>
    Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Effect.timeoutOrElse(check, {
        duration: Duration.millis(Math.max(deadline - now, 0)),
        orElse: () => Effect.succeed(unfinished(subject))
      })
    ).pipe(unbroken(subject))

/** A check that breaks says so, and nothing else breaks with it. */
export const unbroken =
  (subject: string) =>
  <E, R>(check: Effect.Effect<Report, E, R>): Effect.Effect<Report, E, R> =>
    Effect.catchDefect(check, (defect) => Effect.succeed(failed(subject, defect)))

const unfinished = (subject: string): Report => ({
  checked: [],
  findings: [
    finding("CHECK_UNFINISHED", {
      subject,
      seen: `it was not through after ${Duration.format(wholeRun)}, and was ended`,
      cure: "look at the other findings first, and at the road to what is checked"
    })
  ]
})

/** The name of what broke it and not its message, which may hold anything. */
const failed = (subject: string, defect: unknown): Report => ({
  checked: [],
  findings: [
    finding("CHECK_FAILED", {
      subject,
      seen: `the check broke off with ${defect instanceof Error ? defect.name : typeof defect}`,
      cure: "report this as a fault of s3-signer"
    })
  ]
})
