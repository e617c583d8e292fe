/**
 * On behalf of which origins CORS is checked: those that the operator names, else those that the bucket's rules name.
 */
import * as Effect from "effect/Effect"
import * as Origin from "../Origin.ts"
import type { Bucket } from "./Bucket.ts"

/** What the bucket's own rules say: their origins, that there are none, or nothing that we may know. */
export type Rules =
  | { readonly _tag: "Rules"; readonly origins: ReadonlyArray<string> }
  | { readonly _tag: "None" }
  | { readonly _tag: "Unknown" }

/** Of the rules that allow PUT, else of all: a rule for readers alone may be meant for another site. */
export const readRules = (bucket: Bucket): Effect.Effect<Rules> =>
  bucket.corsRules.pipe(
    Effect.map((rules): Rules => {
      const forPut = rules.filter(({ AllowedMethods = [] }) => AllowedMethods.includes("PUT"))
      const origins = (forPut.length > 0 ? forPut : rules).flatMap(({ AllowedOrigins = [] }) => AllowedOrigins)
      return rules.length === 0 ? { _tag: "None" } : { _tag: "Rules", origins: [...new Set(origins)] }
    }),
    Effect.catchTag("Refused", ({ code }) =>
      Effect.succeed<Rules>(code === "NoSuchCORSConfiguration" ? { _tag: "None" } : { _tag: "Unknown" })
    ),
    Effect.catchTag("Unreachable", () => Effect.succeed<Rules>({ _tag: "Unknown" }))
  )

/** Nobody's: only a store that allows every origin allows this one. */
export const madeUp = "https://s3-signer-doctor.invalid"

const most = 3

/** Origins that the rules should allow. What is no origin is left out. */
export const ofRules = (rules: Rules): ReadonlyArray<string> =>
  rules._tag === "Rules"
    ? rules.origins
        .map((origin) => (origin === "*" ? madeUp : origin.replace("*", "s3-signer-doctor")))
        .flatMap((origin) => Origin.parse(origin) ?? [])
        .slice(0, most)
    : []
