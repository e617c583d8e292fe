/**
 * What a setting's text may be: one decoder a sort of value, each with the words that say what it accepts.
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import { isIPv4 } from "node:net"
import * as Endpoint from "../signer/s3/Endpoint.ts"

/** How the text of one setting becomes a value. */
export interface SettingType<A> {
  /** Completes the sentence "it should be …". */
  readonly expected: string
  /** The value, or `undefined` when the text is none. */
  readonly decode: (text: string) => A | undefined
  /** A secret is never shown, also not when it is wrong. */
  readonly secret?: true
}

/** A whole number in plain digits: no sign, exponent, fraction, space or other base. */
export const wholeNumber = (minimum: number, maximum: number): SettingType<number> => ({
  expected: `a whole number from ${minimum} to ${maximum}`,
  decode: (text) => {
    const number = /^\d+$/.test(text) ? Number(text) : NaN
    return number >= minimum && number <= maximum ? number : undefined
  }
})

/** One of these words, spelled so. */
export const oneOf = <const A extends string>(...words: ReadonlyArray<A>): SettingType<A> => ({
  expected: alternatives(words),
  decode: (text) => words.find((word) => word === text)
})

const millisOf = (text: string): number => {
  const short = /^(\d+)(ms|s|m|h|d)$/.exec(text)
  return short === null ? millisOfEffect(text) : Number(short[1]) * millisIn[short[2] as keyof typeof millisIn]
}

const millisIn = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** NaN for what Effect does not read. */
const millisOfEffect = (text: string): number => {
  const duration = Duration.fromInput(text as Duration.Input)
  return duration._tag === "None" ? NaN : Duration.toMillis(duration.value)
}

/**
 * A length of time: `500ms`, `10s`, `15m`, `1h`, `7d`, or as Effect writes it, `250 millis`.
 *
 * Bounds are durations in the same forms. Where the value goes into a timer, `maximum` must stay below 2^31 milliseconds
 * (24.8 days): Node fires a longer timer at once.
 */
export const duration = (bounds: {
  readonly minimum: string
  readonly maximum: string
  readonly whole?: "seconds"
}): SettingType<Duration.Duration> => {
  const [minimum, maximum] = [millisOf(bounds.minimum), millisOf(bounds.maximum)]
  const [what, such] =
    bounds.whole === undefined ? ["a duration", "500ms, 10s"] : ["a duration in whole seconds", "10s"]
  return {
    expected: `${what} from ${bounds.minimum} to ${bounds.maximum}, such as ${such}, 15m, 1h or 7d`,
    decode: (text) => {
      const millis = millisOf(text)
      const whole = bounds.whole === undefined || millis % 1000 === 0
      return millis >= minimum && millis <= maximum && whole ? Duration.millis(millis) : undefined
    }
  }
}

/** How long a URL works: S3 itself takes no longer lifetime, and none in fractions of a second. */
export const urlLifetime = duration({ minimum: "1s", maximum: "7d", whole: "seconds" })

export const flag: SettingType<boolean> = {
  expected: "true or false",
  decode: (text) => (text === "true" ? true : text === "false" ? false : undefined)
}

/** Any text of so many characters, without control characters. */
export const text = (minimum: number, maximum: number): SettingType<string> => ({
  expected: `${minimum} to ${maximum} characters, none of them a control character`,
  decode: (text) => (within([...text].length, minimum, maximum) && !/\p{Cc}/u.test(text) ? text : undefined)
})

/** A key id or token, which travels in URLs: printable ASCII without spaces. A stray line end is found at once. */
export const key: SettingType<string> = {
  expected: "printable ASCII characters without a space or a line end",
  decode: (text) => (/^[!-~]+$/.test(text) ? text : undefined),
  secret: true
}

/** A secret that stays in the process: anything but control characters, and no spaces around it. */
export const secret: SettingType<string> = {
  expected: "text without a line end, and without spaces before or after it",
  decode: (text) => (text === text.trim() && !/\p{Cc}/u.test(text) ? text : undefined),
  secret: true
}

/**
 * A PostgreSQL schema in which River's tables lie.
 *
 * At most 46 characters: River's longest channel name, the schema's before it, must fit into the 63 of an identifier.
 */
export const schemaName: SettingType<string> = {
  expected: "1 to 46 letters, digits and underscores, not beginning with a digit",
  decode: (text) => (/^[a-zA-Z_][a-zA-Z0-9_]{0,45}$/.test(text) ? text : undefined)
}

/** The name of a bucket, by S3's rules. */
export const bucketName: SettingType<string> = {
  expected:
    "a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens, beginning and ending with a letter or digit, without .. and no IP address",
  decode: (text) =>
    /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(text) && !text.includes("..") && !isIPv4(text) ? text : undefined
}

export const region: SettingType<string> = {
  expected: "lower-case letters, digits and hyphens",
  decode: (text) => (/^[a-z0-9-]+$/.test(text) ? text : undefined)
}

/** An S3 endpoint, without the bucket. */
export const endpoint: SettingType<Endpoint.Endpoint> = {
  expected: "a URL that begins with http:// or https:// and has no user, query or fragment",
  decode: (text) => {
    const looksRight = /^https?:\/\/[^\s?#@\\/][^\s?#@\\]*$/i.test(text)
    return looksRight ? Result.getOrUndefined(Endpoint.parse(text)) : undefined
  }
}

/** "a", "a or b", "a, b or c". */
export const alternatives = (words: ReadonlyArray<string>): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`

const within = (value: number, minimum: number, maximum: number): boolean => value >= minimum && value <= maximum
