/**
 * Whether a browser may upload from a page of the site: the question that it asks first, and what it reads in answers.
 */
import * as Effect from "effect/Effect"
import type { Destination } from "../../signer/s3/Destination.ts"
import type { Presigner } from "../../signer/s3/Presigner.ts"
import type { Finding } from "../Finding.ts"
import * as CorsFindings from "./CorsFindings.ts"
import * as CorsOrigins from "./CorsOrigins.ts"
import type { Answer } from "./Http.ts"
import * as Probe from "./Probe.ts"
import type { Site } from "./Site.ts"

export interface Options {
  readonly site: Site
  /** With the endpoint to ask: the one that browsers are sent to, when it can be reached from here. */
  readonly destination: Destination
  /** The site's, or what the bucket's rules name; none when neither is known. */
  readonly origins: ReadonlyArray<string>
  /** What the bucket's rules are, asked for when a refusal is to be told from their absence. */
  readonly rules: Effect.Effect<CorsOrigins.Rules>
  /** The answers to the upload and the download that were made for the first origin. */
  readonly put?: Answer
  readonly get?: Answer
}

export const check = (options: Options): Effect.Effect<ReadonlyArray<Finding>, never, Presigner> =>
  options.origins.length === 0 ? everybody({ ...options, origins: [CorsOrigins.madeUp] }) : named(options)

/** A store may allow every origin without rules for the bucket; else what it allows is not known. */
const everybody = (options: Options): Effect.Effect<ReadonlyArray<Finding>, never, Presigner> =>
  Effect.gen(function* () {
    const origin = CorsOrigins.madeUp
    const answer = yield* ask(options, { origin, method: "PUT", headers: [] })
    if (allows(answer, origin)) return yield* named(options)
    const about = aboutOf(options, origin, answer)
    return [isWithout(yield* options.rules, answer) ? CorsFindings.missing(about) : CorsFindings.unchecked(about)]
  })

const named = (options: Options): Effect.Effect<ReadonlyArray<Finding>, never, Presigner> =>
  Effect.gen(function* () {
    const findings: Array<Finding> = []
    for (const [index, origin] of options.origins.entries()) {
      const refused = yield* preflight(options, origin)
      findings.push(...refused)
      if (refused.length === 0 && index === 0) findings.push(...answers(options, origin))
    }
    return findings
  })

/** What a refusal is about shows when less is asked for: stores refuse without a reason. */
const preflight = (options: Options, origin: string): Effect.Effect<ReadonlyArray<Finding>, never, Presigner> =>
  Effect.gen(function* () {
    const { destination, rules, site } = options
    const headers = Probe.uploadHeaders(destination.terms)
    const full = yield* ask(options, { origin, method: "PUT", headers })
    if (full === undefined) return [CorsFindings.unchecked({ site })]
    const about = aboutOf(options, origin, full)
    const bare = allows(full, origin) ? full : yield* ask(options, { origin, method: "PUT", headers: [] })
    if (allows(bare, origin)) {
      if (!lists(bare, "access-control-allow-methods", "put")) return [CorsFindings.methodRefused(about, "PUT")]
      const refused = headers.filter((name) => !lists(full, "access-control-allow-headers", name))
      return refused.length === 0 ? [] : [CorsFindings.headersRefused(about, refused)]
    }
    const reading = yield* ask(options, { origin, method: "GET", headers: [] })
    if (allows(reading, origin)) return [CorsFindings.methodRefused(about, "PUT")]
    return [isWithout(yield* rules, full) ? CorsFindings.missing(about) : CorsFindings.originRefused(about)]
  })

/** What must stand in the answers to the upload and the download themselves. */
const answers = (options: Options, origin: string): ReadonlyArray<Finding> => {
  const { get, put } = options
  const about = aboutOf(options, origin, put)
  const findings: Array<Finding> = []
  if (put !== undefined && !allows(put, origin)) findings.push(CorsFindings.notInAnswer(about))
  else if (put !== undefined && !lists(put, "access-control-expose-headers", "etag")) {
    findings.push(CorsFindings.etagHidden(about))
  }
  if (get !== undefined && !allows(get, origin)) findings.push(CorsFindings.methodRefused(about, "GET"))
  return findings
}

const aboutOf = ({ origins, site }: Options, origin: string, answer: Answer | undefined): CorsFindings.About => ({
  site,
  origin,
  origins,
  isMinIO: isMinIO(answer)
})

type Asked = Parameters<typeof Probe.preflight>[1]

/** Undefined when no answer comes. */
const ask = ({ destination }: Options, asked: Asked): Effect.Effect<Answer | undefined, never, Presigner> =>
  Effect.catch(Probe.preflight(destination, asked), () => Effect.undefined)

const allows = (answer: Answer | undefined, origin: string): boolean => {
  if (answer === undefined || answer.status < 200 || answer.status > 299) return false
  const allowed = answer.headers.get("access-control-allow-origin")
  return allowed === "*" || allowed === origin
}

/** Whether a header that holds a list names this, or everything. */
const lists = (answer: Answer | undefined, header: string, name: string): boolean =>
  (answer?.headers.get(header) ?? "").split(",").some((listed) => ["*", name].includes(listed.trim().toLowerCase()))

/** Whether the bucket has no rules at all. MinIO has them for the whole server, and says of every bucket that it has none. */
const isWithout = (rules: CorsOrigins.Rules, answer: Answer | undefined): boolean =>
  /CORS is not enabled for this bucket/.test(answer?.body ?? "") || (rules._tag === "None" && !isMinIO(answer))

const isMinIO = (answer: Answer | undefined): boolean => /^minio/i.test(answer?.headers.get("server") ?? "")
