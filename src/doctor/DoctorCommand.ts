/**
 * The command `doctor`. It loads the checks, and with them the AWS SDK, only when it runs.
 */
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { makeRedaction } from "../Redaction.ts"
import * as Settings from "../settings/Settings.ts"
import { hasErrors, redacted, summary, toJson, toText } from "./Finding.ts"
import * as Origin from "./Origin.ts"

/** The doctor has found errors: the process ends with status 1. Warnings alone end with 0. */
export class SystemUnwell extends Schema.TaggedError<SystemUnwell>()("SystemUnwell", { message: Schema.String }) {}

export const doctorCommand = Command.make(
  "doctor",
  {
    origin: Flag.String("origin").pipe(
      Flag.filterMap(
        (text) => Option.fromUndefinedOr(Origin.parse(text)),
        () => "scheme, host and port alone, such as https://app.example"
      ),
      Flag.atLeast(0),
      Flag.withDescription(
        "the site whose pages upload, such as https://app.example, to check CORS for; may be repeated"
      )
    ),
    json: Flag.Boolean("json").pipe(Flag.withDefault(false), Flag.withDescription("print the findings as JSON"))
  },
  Effect.fnUntraced(
    function* ({ json, origin }) {
      const settings = yield* Settings.load
      const redaction = makeRedaction(settings.secrets)
      const Doctor = yield* Effect.promise(() => import("./Doctor.ts"))
      const report = yield* Doctor.run({ settings, origins: origin, redaction })
      yield* Console.log((json ? toJson : toText)(redacted(report, redaction.redact)))
      if (hasErrors(report.findings)) return yield* new SystemUnwell({ message: summary(report.findings) })
    },
    Effect.provide(Logger.layer([]))
  )
).pipe(
  Command.withDescription(
    "Look for what is wrong with the store's settings: credentials, clock, endpoint, bucket, rights and CORS"
  )
)
