/**
 * The checks of the store, for each place that uploads go to, in the order in which one makes sense after the other.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Redaction } from "../../Redaction.ts"
import type { S3Settings } from "../../settings/S3Settings.ts"
import * as AccessKey from "../../signer/credentials/AccessKey.ts"
import type { Chain } from "../../signer/credentials/CredentialChain.ts"
import { Credentials } from "../../signer/credentials/Credentials.ts"
import { Presigner } from "../../signer/s3/Presigner.ts"
import * as Bounds from "../Bounds.ts"
import { combine, type Finding, hasErrors, type Report } from "../Finding.ts"
import type { Access } from "./Access.ts"
import * as Bucket from "./Bucket.ts"
import * as BucketCheck from "./BucketCheck.ts"
import * as ClockCheck from "./ClockCheck.ts"
import * as CorsCheck from "./CorsCheck.ts"
import * as CorsOrigins from "./CorsOrigins.ts"
import * as CredentialsCheck from "./CredentialsCheck.ts"
import * as EndpointCheck from "./EndpointCheck.ts"
import * as ObjectCheck from "./ObjectCheck.ts"
import * as Site from "./Site.ts"

export interface Options {
  readonly s3: S3Settings
  /** Of the pages that upload; without any, those that the buckets' rules name. */
  readonly origins: ReadonlyArray<string>
  /** When to be through, in milliseconds since 1970. */
  readonly deadline: number
  /** Learns the keys that are found. */
  readonly redaction: Pick<Redaction, "learn">
  /** Where credentials are looked for when the settings have none; as the worker does, unless a test says otherwise. */
  readonly chain?: Chain | undefined
}

export const run = (options: Options): Effect.Effect<Report> =>
  Effect.gen(function* () {
    const { chain, deadline, redaction, s3 } = options
    const credentials = yield* CredentialsCheck.check(s3, chain)
    const { access } = credentials
    if (access !== undefined) redaction.learn(AccessKey.secretsOf(access.key))
    const sites = yield* Effect.forEach(
      Site.all(s3.destinations),
      (site) => Bounds.guarded(site.subject, deadline)(checkSite(options, site, access)),
      { concurrency: 4 }
    )
    return combine([credentials, ...sites])
  })

const checkSite = (options: Options, site: Site.Site, access: Access | undefined) =>
  Effect.gen(function* () {
    const { origins, s3 } = options
    const reached = yield* reach(site, origins)
    if (access === undefined || !reached.isUsable) return reportOf(site, [reached])
    const used = yield* Effect.provide(
      use(site, access, reached.which, origins),
      Presigner.layer({ presigner: s3.presigner, downloadLifetime: s3.downloadUrlLifetime }).pipe(
        // Whether the key lives long enough is a finding by now, and keeps nothing else from being found.
        Layer.provide(Credentials.layerStatic(access.key, { minimumLifetime: Duration.zero }))
      )
    )
    return reportOf(site, [reached, used])
  })

/** Some of a site's checks: what they looked at, in a word each, and what they found. */
interface Part {
  readonly words: ReadonlyArray<string>
  readonly findings: ReadonlyArray<Finding>
}

const reportOf = ({ subject }: Site.Site, parts: ReadonlyArray<Part>): Report => ({
  checked: [`${subject}: ${parts.flatMap(({ words }) => words).join(", ")}`],
  findings: parts.flatMap(({ findings }) => findings)
})

interface Reached extends Part {
  /** Whether something can come of what is signed. */
  readonly isUsable: boolean
  /** The endpoint to do as browsers do at: that of the URLs, unless only browsers can reach it. */
  readonly which: Site.Which
}

/** What needs no credentials: the endpoints and the clock. */
const reach = (site: Site.Site, origins: ReadonlyArray<string>): Effect.Effect<Reached> =>
  Effect.gen(function* () {
    const mixed = EndpointCheck.mixedContent(site, origins)
    const api = yield* EndpointCheck.check(site, "api")
    const url = site.isSplit ? yield* EndpointCheck.check(site, "url") : undefined
    const offset = api.answer && ClockCheck.offset(api.answer)
    return {
      words: ["endpoint", ...(url === undefined ? [] : ["public endpoint"]), "clock"],
      findings: [...mixed, ...api.findings, ...(url?.findings ?? []), ...ClockCheck.check(site.subject, offset)],
      isUsable: api.answer !== undefined && !ClockCheck.isBeyondLimit(offset),
      which: (url ?? api).answer === undefined ? "api" : "url"
    }
  })

/** What needs them: the bucket, an object in it, and CORS for a URL of one. */
const use = (
  site: Site.Site,
  access: Access,
  which: Site.Which,
  named: ReadonlyArray<string>
): Effect.Effect<Part, never, Presigner> =>
  Effect.gen(function* () {
    const bucket = yield* Bucket.open(site.destination, access.key)
    const found = yield* BucketCheck.check(site, bucket)
    if (hasErrors(found)) return { words: ["bucket"], findings: found }

    const rules = yield* Effect.cached(CorsOrigins.readRules(bucket))
    const origins = named.length > 0 ? named : CorsOrigins.ofRules(yield* rules)
    const findings = named.length > 0 ? [...found] : [...found, ...EndpointCheck.mixedContent(site, origins)]
    let answers: Pick<ObjectCheck.Tried, "get" | "put"> = {}
    for (const road of roads(site, which)) {
      const origin = origins[0] ?? CorsOrigins.madeUp
      const { findings: found, ...tried } = yield* ObjectCheck.check({ site, bucket, access, which: road, origin })
      findings.push(...found)
      if (road === which) answers = tried
      if (tried.put === undefined) break
    }
    const words = ["bucket", "PUT, GET and DELETE"]
    if (findings.some(({ code }) => fundamental.test(code))) return { words, findings }

    const destination = { ...site.destination, endpoint: Site.endpointOf(site, which) }
    const cors = yield* CorsCheck.check({ ...answers, site, destination, origins, rules })
    return { words: [...words, ...corsWords(origins, cors)], findings: [...findings, ...cors] }
  }).pipe(Effect.scoped)

/** What the store takes directly is tried again on the browsers' road. */
const roads = ({ isSplit }: Site.Site, which: Site.Which): ReadonlyArray<Site.Which> =>
  isSplit && which === "url" ? ["api", "url"] : [which]

/** With one of these, whatever else is tried fails for the same reason. */
const fundamental = /^(CREDENTIALS_|CLOCK_SKEW$|S3_BUCKET_|S3_UNAVAILABLE$|S3_ENDPOINT_(?!PROXY))/

const corsWords = (origins: ReadonlyArray<string>, findings: ReadonlyArray<Finding>): ReadonlyArray<string> => {
  if (findings.some(({ code }) => code === "S3_CORS_UNCHECKED")) return []
  const names = origins.map((origin) => (origin === CorsOrigins.madeUp ? "every origin" : origin))
  return [`CORS for ${names.join(" and ") || "every origin"}`]
}
