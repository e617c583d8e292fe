/**
 * Whether something answers at an endpoint, and whether that is an S3 server.
 */
import * as Effect from "effect/Effect"
import type { Finding } from "../Finding.ts"
import * as EndpointFindings from "./EndpointFindings.ts"
import { type Answer, send } from "./Http.ts"
import * as Site from "./Site.ts"

export interface Reached {
  /** Undefined when there is nothing there to send more to. */
  readonly answer: Answer | undefined
  readonly findings: ReadonlyArray<Finding>
}

/** Asks for the bucket's location, without a signature. A refusal is as good as an answer. */
export const check = (site: Site.Site, which: Site.Which): Effect.Effect<Reached> =>
  send(Site.locationUrl(site, which), { method: "GET" }).pipe(
    Effect.map((answer) => {
      if (isS3(answer)) return { answer, findings: [] }
      const isGateway = answer.status >= 502 && answer.status <= 504
      const found = (isGateway ? EndpointFindings.badGateway : EndpointFindings.notS3)(site, which, answer)
      return { answer: undefined, findings: [found] }
    }),
    Effect.catchTag("Unreachable", (problem) =>
      Effect.succeed({ answer: undefined, findings: [EndpointFindings.unreached(site, which, problem)] })
    )
  )

/** S3 answers in XML, or marks its answers; a bucket's web site marks them too. */
const isS3 = (answer: Answer): boolean =>
  /^\s*(<\?xml[^>]*>\s*)?<(Error|LocationConstraint|ListBucketResult)\b/.test(answer.body) ||
  (!EndpointFindings.isPage(answer) && [...answer.headers.keys()].some((name) => name.startsWith("x-amz-")))

/** Browsers block what an https page sends to http, but for this machine itself, which they trust. */
export const mixedContent = (site: Site.Site, origins: ReadonlyArray<string>): ReadonlyArray<Finding> => {
  const { hostname, protocol } = site.destination.endpoint
  const origin = origins.find((origin) => origin.startsWith("https:"))
  const isLocal = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)
  return origin === undefined || protocol === "https:" || isLocal ? [] : [EndpointFindings.mixedContent(site, origin)]
}
