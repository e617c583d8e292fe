/**
 * Whether a signed PUT, GET and DELETE of an object work, on the terms that uploads have.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Presigner } from "../../signer/s3/Presigner.ts"
import type { Finding } from "../Finding.ts"
import type { Bucket } from "./Bucket.ts"
import type { Access } from "./Access.ts"
import * as EndpointFindings from "./EndpointFindings.ts"
import type { Answer, Refusal, Unreachable } from "./Http.ts"
import * as ObjectFindings from "./ObjectFindings.ts"
import * as Probe from "./Probe.ts"
import * as Refusals from "./Refusals.ts"
import * as Removal from "./Removal.ts"
import * as Site from "./Site.ts"
import * as Terms from "./Terms.ts"

export interface Options {
  readonly site: Site.Site
  readonly bucket: Bucket
  readonly access: Access
  /** The endpoint that the URLs are for. */
  readonly which: Site.Which
  /** Of the page that uploads. */
  readonly origin: string | undefined
}

export interface Tried {
  readonly findings: ReadonlyArray<Finding>
  /** The answers that were as they should be: they carry CORS headers. */
  readonly put?: Answer
  readonly get?: Answer
}

/** Leaves no object behind, also when it is interrupted; says so when it has to. */
export const check = (options: Options): Effect.Effect<Tried, never, Presigner> =>
  Effect.uninterruptibleMask((restore) => {
    const { bucket, site } = options
    const probe: Removal.Probed = { key: Probe.makeKey(site.destination), is: "not there", version: undefined }
    return Effect.flatMap(Effect.exit(restore(trial(options, probe))), (exit) =>
      Effect.flatMap(Removal.remove(site, bucket, probe), (left) =>
        Exit.isSuccess(exit)
          ? Effect.succeed({ ...exit.value, findings: [...exit.value.findings, ...left] })
          : Effect.failCause(exit.cause)
      )
    )
  })

/** Fails with what makes the rest of the trial pointless. */
type Step<A> = Effect.Effect<A, Finding, Presigner>

const trial = (options: Options, probe: Removal.Probed): Effect.Effect<Tried, never, Presigner> =>
  Effect.gen(function* () {
    const { blamed, put } = yield* putProbe(options, probe)
    return yield* getProbe(options, probe).pipe(
      Effect.map(({ findings, get }) => ({ findings: [...blamed, ...findings], put, get })),
      Effect.catch((found) => Effect.succeed({ findings: [...blamed, found], put }))
    )
  }).pipe(Effect.catch((found) => Effect.succeed({ findings: [found] })))

const putProbe = (
  options: Options,
  probe: Removal.Probed
): Step<{ readonly put: Answer; readonly blamed: ReadonlyArray<Finding> }> =>
  Effect.gen(function* () {
    const { site } = options
    const { terms } = site.destination
    const putOn = (terms: Terms.Part["without"]) =>
      Effect.gen(function* () {
        probe.is = "perhaps there"
        const put = yield* sent(
          options,
          Probe.put({ ...atEndpoint(options), terms }, probe.key, options.origin).pipe(
            Effect.tapErrorTag("Unreachable", ({ fault }) =>
              Effect.sync(() => {
                if (beforeSending.has(fault)) probe.is = "not there"
              })
            )
          )
        )
        probe.is = isDone(put) ? "there" : "not there"
        probe.version = /^[\w.~-]{1,1024}$/.exec(put.headers.get("x-amz-version-id") ?? "")?.[0]
        return put
      })

    const first = yield* putOn(terms)
    if (isDone(first)) return { put: first, blamed: [] }
    const known = explain(options, first)
    // A signature is also refused for a header that the store takes in another form.
    if (known !== undefined && first.code !== "SignatureDoesNotMatch") return yield* Effect.fail(known)
    for (const { blame, without } of Terms.parts(terms)) {
      const put = yield* putOn(without)
      if (isDone(put)) return { put, blamed: [blame(site, first)] }
    }
    return yield* Effect.fail(known ?? ObjectFindings.putRefused(site, first))
  })

/** Faults that keep even the request from arriving. */
const beforeSending: ReadonlySet<Unreachable["fault"]> = new Set(["name", "refused", "certificate"])

const getProbe = (
  options: Options,
  probe: Removal.Probed
): Step<{ readonly get: Answer; readonly findings: ReadonlyArray<Finding> }> =>
  Effect.gen(function* () {
    const get = yield* sent(options, Probe.get(atEndpoint(options), probe.key, options.origin))
    if (!isDone(get)) return yield* Effect.fail(explain(options, get) ?? ObjectFindings.getRefused(options.site, get))
    if (get.body !== Probe.content) return yield* Effect.fail(ObjectFindings.getDiffers(options.site))
    return { get, findings: ObjectFindings.overridden(options.site, get) }
  })

const atEndpoint = ({ site, which }: Options) => ({
  ...site.destination,
  endpoint: Site.endpointOf(site, which)
})

const sent = ({ site, which }: Options, sending: Probe.Sending): Step<Answer> =>
  Effect.catchTags(sending, {
    Unreachable: (problem) => Effect.fail(EndpointFindings.unreached(site, which, problem)),
    // The key is held all the time, and anything can be signed with it.
    PresignError: Effect.die,
    CredentialsUnavailable: Effect.die
  })

const isDone = ({ status }: Answer): boolean => status >= 200 && status < 300

/** What the store takes directly, it refuses through a public endpoint only for what stands in between. */
const explain = ({ access, site, which }: Options, refusal: Refusal): Finding | undefined =>
  site.isSplit && which === "url" && refusal.code === "SignatureDoesNotMatch"
    ? EndpointFindings.changedOnTheWay(site, refusal)
    : Refusals.explain(site, access, refusal)
