/**
 * One request to a store, which ends by itself: within 10 seconds, without following anything, and with the first of
 * what comes back.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

/** How long a store may take to answer. */
export const patience = Duration.seconds(10)

/** What a store says about a request that it refuses; nothing here is its own prose. */
export interface Refusal {
  readonly status: number
  /** S3's word for it, such as `AccessDenied`. */
  readonly code: string | undefined
  /** The region that it would rather have. */
  readonly region: string | undefined
  /** How its clock and the signature's time get along, where it complains of that. */
  readonly mistimed: boolean
}

export interface Answer extends Refusal {
  readonly headers: Headers
  /** At most 64 Ki characters. */
  readonly body: string
  /** When it was sent and when its answer began, in milliseconds since 1970. */
  readonly sentAt: number
  readonly answeredAt: number
}

/** No answer came. */
export class Unreachable extends Schema.TaggedError<Unreachable>()("Unreachable", {
  fault: Schema.Literals(["name", "refused", "certificate", "silent", "broken"]),
  /** Node's word for it, such as `ECONNREFUSED`; empty when there is none. */
  code: Schema.String
}) {}

export interface Sent {
  readonly method: "GET" | "PUT" | "OPTIONS"
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export const send = (
  url: Redacted.Redacted,
  { body, headers = {}, method }: Sent
): Effect.Effect<Answer, Unreachable> =>
  Effect.gen(function* () {
    const sentAt = yield* Clock.currentTimeMillis
    const response = yield* promised((signal) =>
      fetch(Redacted.value(url), { method, headers, body: body ?? null, redirect: "manual", signal })
    )
    const answeredAt = yield* Clock.currentTimeMillis
    const text = yield* promised(() => beginning(response))
    const refusal = refusalOf(response.status, text, response.headers.get(regionHeader))
    return { ...refusal, headers: response.headers, body: text, sentAt, answeredAt }
  }).pipe(bounded)

const promised = <A>(run: (signal: AbortSignal) => PromiseLike<A>): Effect.Effect<A, Unreachable> =>
  Effect.tryPromise({ try: run, catch: unreachable })

/** Ends a call to a store that does not answer. */
export const bounded = <A, E>(call: Effect.Effect<A, E>): Effect.Effect<A, E | Unreachable> =>
  Effect.timeoutOrElse(call, {
    duration: patience,
    orElse: () => Effect.fail(new Unreachable({ fault: "silent", code: "" }))
  })

export const regionHeader = "x-amz-bucket-region"

/** Reads S3's errors. What is taken out of them has a form in which no secret fits. */
export const refusalOf = (status: number, body: string, region: string | null | undefined): Refusal => ({
  status,
  code: /<Code>\s*([A-Za-z0-9.]{1,64})\s*<\/Code>/.exec(body)?.[1],
  region: regions.map((pattern) => pattern.exec(`<Header>${region ?? ""}</Header>${body}`)?.[1]).find(Boolean),
  mistimed: /<Message>\s*Request (is not yet valid|has expired)/.test(body)
})

/** Where S3 names the region of a bucket: in a header, in an element of its own, or only in a sentence. */
const regions = [
  /<Header>([a-z0-9-]{1,40})<\/Header>/,
  /<Region>([a-z0-9-]{1,40})<\/Region>/,
  /is wrong; expecting (?:'|"|&\S{1,5};)([a-z0-9-]{1,40})/
]

const longest = 65_536

/** The beginning of a body; the rest is left where it is. */
const beginning = (response: Response): Promise<string> => {
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  const read = (text: string): Promise<string> =>
    reader === undefined
      ? Promise.resolve(text)
      : reader.read().then(({ done, value }) => {
          if (done) return text
          const longer = text + decoder.decode(value, { stream: true })
          return longer.length < longest ? read(longer) : reader.cancel().then(() => longer.slice(0, longest))
        })
  return read("")
}

/** What kept a request from its answer, out of an error of `fetch` or of the SDK and what caused that. */
export const unreachable = (error: unknown): Unreachable => {
  const codes = unfold(error).flatMap(({ code }) => (typeof code === "string" && /^[A-Z0-9_]+$/.test(code) ? code : []))
  for (const code of codes) {
    const fault = faults.find(([pattern]) => pattern.test(code))?.[1]
    if (fault !== undefined) return new Unreachable({ fault, code })
  }
  return new Unreachable({ fault: "broken", code: codes[0] ?? "" })
}

const faults: ReadonlyArray<readonly [code: RegExp, fault: Unreachable["fault"]]> = [
  [/^(ENOTFOUND|EAI_\w+)$/, "name"],
  [/^(ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|EADDRNOTAVAIL)$/, "refused"],
  [/CERT|SELF_SIGNED|UNABLE_TO_|^EPROTO$|^ERR_SSL_|^ERR_TLS_/, "certificate"],
  [/^(ETIMEDOUT|UND_ERR_\w*TIMEOUT)$/, "silent"]
]

interface Fault {
  readonly code?: unknown
  readonly cause?: unknown
  readonly errors?: ReadonlyArray<unknown>
}

/** The error, what caused it and what it gathers, at most ten. */
const unfold = (error: unknown): ReadonlyArray<Fault> => {
  const found: Array<Fault> = []
  const waiting = [error]
  while (waiting.length > 0 && found.length < 10) {
    const next = waiting.shift()
    if (typeof next !== "object" || next === null) continue
    const fault: Fault = next
    found.push(fault)
    waiting.push(fault.cause, ...(Array.isArray(fault.errors) ? fault.errors : []))
  }
  return found
}
