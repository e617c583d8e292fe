/**
 * An access key: how long it may still sign, and how one is made of what a source hands out.
 */
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"

/** An access key. Whoever keeps something made from it compares the object: other keys are another object. */
export interface AccessKey {
  readonly accessKeyId: Redacted.Redacted
  readonly secretAccessKey: Redacted.Redacted
  /** Of temporary credentials. */
  readonly sessionToken?: Redacted.Redacted | undefined
  /** Milliseconds since 1970; undefined for ever. */
  readonly expiration?: number | undefined
}

/** How long before its credentials a URL ends at the latest: the store's clock may be ahead of this host's. */
export const skew = Duration.seconds(5)

/**
 * The longest lifetime, in whole seconds, of a URL that is signed at `at` (milliseconds since 1970): what is left of the
 * key, less the skew. `Infinity` for a key without an end, 0 or less for one that must not sign any more.
 */
export const lifetimeLeft = (accessKey: AccessKey, at: number): number => Math.floor(millisLeft(accessKey, at) / 1000)

/** The same in milliseconds. */
export const millisLeft = ({ expiration }: AccessKey, at: number): number =>
  expiration === undefined ? Infinity : expiration - at - Duration.toMillis(skew)

export const secretsOf = ({
  accessKeyId,
  secretAccessKey,
  sessionToken
}: AccessKey): ReadonlyArray<Redacted.Redacted> =>
  sessionToken === undefined ? [accessKeyId, secretAccessKey] : [accessKeyId, secretAccessKey, sessionToken]

/** Whether two objects are the same key. */
export const isSame = (one: AccessKey, other: AccessKey): boolean =>
  one.expiration === other.expiration &&
  secretsOf(one).map(Redacted.value).join("\n") === secretsOf(other).map(Redacted.value).join("\n")

/** What a source hands out, in the form of the AWS SDK. Nothing of it is believed: anything may stand anywhere. */
export interface Found {
  readonly accessKeyId: unknown
  readonly secretAccessKey: unknown
  readonly sessionToken?: unknown
  readonly expiration?: unknown
  /** The true end, where the SDK has put off the other one: it does so with expired keys of instance metadata. */
  readonly originalExpiration?: unknown
}

/** The key, or what is wrong with it: nothing that is wrong is in the text. */
export const fromFound = (found: Found): Result.Result<AccessKey, string> => {
  const { accessKeyId, expiration, originalExpiration, secretAccessKey, sessionToken } = found
  const end = originalExpiration ?? expiration ?? undefined
  const token = sessionToken ?? ""
  if (!isPrintable(accessKeyId)) return Result.fail(`the access key id is ${whatIs(accessKeyId)}`)
  if (!isSecret(secretAccessKey)) return Result.fail(`the secret access key is ${whatIs(secretAccessKey)}`)
  if (token !== "" && !isPrintable(token)) return Result.fail(`the session token is ${whatIs(token)}`)
  if (end !== undefined && !(end instanceof Date && Number.isFinite(end.getTime()))) {
    return Result.fail("the expiry is no time")
  }
  return Result.succeed({
    accessKeyId: Redacted.make(accessKeyId),
    secretAccessKey: Redacted.make(secretAccessKey),
    sessionToken: token === "" ? undefined : Redacted.make(token),
    expiration: end?.getTime()
  })
}

/** A key id or token, which travels in URLs: ASCII without spaces and line ends. */
const isPrintable = (value: unknown): value is string => typeof value === "string" && /^[!-~]+$/.test(value)

const isSecret = (value: unknown): value is string =>
  typeof value === "string" && value !== "" && value === value.trim() && !/\p{Cc}/u.test(value)

const whatIs = (value: unknown): string => {
  if (value === undefined || value === null || value === "") return "missing"
  return typeof value === "string" ? "text with a space, a line end or the like in it" : "no text"
}
