/**
 * Looks a system over and says what is wrong with it: groups of checks, each of which returns findings and never fails.
 *
 * A new group is a module with a `run` that takes what it needs of the options, and a line in `groups`.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Redaction } from "../Redaction.ts"
import type { Settings } from "../settings/Settings.ts"
import type { Chain } from "../signer/credentials/CredentialChain.ts"
import * as Bounds from "./Bounds.ts"
import { combine, type Report } from "./Finding.ts"
import * as S3Checks from "./s3/S3Checks.ts"

export interface Options {
  readonly settings: Pick<Settings, "s3">
  /** Of the pages that upload, as `https://app.example`; without any, what the buckets' CORS rules name. */
  readonly origins: ReadonlyArray<string>
  /** Learns the secrets that are found on the way. */
  readonly redaction: Pick<Redaction, "learn">
  /** Where credentials are looked for when the settings have none. Defaults to the worker's own chain. */
  readonly chain?: Chain | undefined
}

interface Group {
  readonly name: string
  /** Bounds each of its checks by the deadline, in milliseconds since 1970. */
  readonly run: (options: Options, deadline: number) => Effect.Effect<Report>
}

const groups: ReadonlyArray<Group> = [
  { name: "S3", run: ({ settings, ...options }, deadline) => S3Checks.run({ ...options, s3: settings.s3, deadline }) }
]

/** Runs all checks. It changes nothing but for probe objects, which it removes, and ends within a minute. */
export const run = (options: Options): Effect.Effect<Report> =>
  Effect.gen(function* () {
    const deadline = (yield* Clock.currentTimeMillis) + Duration.toMillis(Bounds.wholeRun)
    const reports = yield* Effect.forEach(groups, ({ name, run }) => Bounds.unbroken(name)(run(options, deadline)), {
      concurrency: "unbounded"
    })
    return combine(reports)
  })
