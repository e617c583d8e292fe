/**
 * The access key that signs: given once by the operator, or found by the AWS SDK's providers and kept fresh.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { type AccessKey, millisLeft } from "./AccessKey.ts"
import * as CredentialChain from "./CredentialChain.ts"
import { type Kept, keepFresh } from "./CredentialRefresh.ts"

export { type AccessKey, lifetimeLeft } from "./AccessKey.ts"

/** There is no access key at the moment; later there may be. */
export class CredentialsUnavailable extends Schema.TaggedError<CredentialsUnavailable>()("CredentialsUnavailable", {}) {
  override get message() {
    return "no usable AWS credentials at the moment"
  }
}

/** How it stands with the credentials, for people; no secret is in it, and no key id. */
export interface CredentialsStatus {
  /** Why nothing can be signed now; undefined while something can. */
  readonly problem: string | undefined
  /** Why fresh credentials could not be had, though those held are still good. */
  readonly refreshProblem: string | undefined
  /** Where those held were found, such as `container endpoint` or `profile "default", assumed role`. */
  readonly source: string | undefined
  /** When those held end, in milliseconds since 1970; undefined for never. */
  readonly expiration: number | undefined
}

export interface CredentialsOptions {
  /**
   * What must be left of temporary credentials, besides the skew, for them to be used: no URL outlives the credentials
   * that signed it, and one that ends at once is of no use. Defaults to 2 minutes.
   */
  readonly minimumLifetime?: Duration.Duration | undefined
}

export interface ChainOptions extends CredentialsOptions {
  /** Where to look; the SDK's providers, unless a test says otherwise. */
  readonly chain?: CredentialChain.Chain | undefined
  /** Where AWS's token service is called, unless `AWS_REGION` or a profile names another. Defaults to `us-east-1`. */
  readonly region?: string | undefined
  /** Is told the secrets of each key that is found, key id included, before anybody can use it. */
  readonly onFound?: ((secrets: ReadonlyArray<Redacted.Redacted>) => void) | undefined
}

export class Credentials extends Context.Service<
  Credentials,
  {
    /** The access key to sign with now; it is good for the minimum lifetime at least. */
    readonly current: Effect.Effect<AccessKey, CredentialsUnavailable>
    /** Whether there is one. Without it no job should be claimed: an attempt would be spent for nothing. */
    readonly available: Effect.Effect<boolean>
    readonly status: Effect.Effect<CredentialsStatus>
  }
>()("signer/Credentials") {
  /** The operator's access key: there at once, and, unless it has an end, for ever. */
  static readonly layerStatic = (key: AccessKey, { minimumLifetime = defaultMinimum }: CredentialsOptions = {}) =>
    Layer.succeed(
      Credentials,
      service({
        usable: (now) => (millisLeft(key, now) >= Duration.toMillis(minimumLifetime) ? key : undefined),
        found: () => ({ key, source: "settings" }),
        failure: () => undefined
      })
    )

  /** What the chain finds, looked for in the background: the layer does not wait for it. */
  static readonly layerChain = ({
    chain,
    minimumLifetime = defaultMinimum,
    onFound = () => {},
    region = "us-east-1"
  }: ChainOptions = {}) =>
    Layer.effect(
      Credentials,
      Effect.map(keepFresh(chain ?? CredentialChain.make({ region }), { minimumLifetime, onFound }), service)
    )

  /** The given access key, else what the chain finds. */
  static readonly layer = (key: AccessKey | undefined, options: ChainOptions = {}) =>
    key === undefined ? Credentials.layerChain(options) : Credentials.layerStatic(key, options)
}

const defaultMinimum = Duration.minutes(2)

const service = ({ failure, found, usable }: Kept): Credentials["Service"] => ({
  current: Effect.flatMap(Clock.currentTimeMillis, (now) => {
    const key = usable(now)
    return key === undefined ? Effect.fail(new CredentialsUnavailable()) : Effect.succeed(key)
  }),
  available: Effect.map(Clock.currentTimeMillis, (now) => usable(now) !== undefined),
  status: Effect.map(Clock.currentTimeMillis, (now) => {
    const held = found()
    const good = usable(now) !== undefined
    return {
      problem: good ? undefined : (failure() ?? (held === undefined ? "the first look for them goes on" : ended(held))),
      refreshProblem: good ? failure() : undefined,
      source: held?.source,
      expiration: held?.key.expiration
    }
  })
})

const ended = ({ key, source }: NonNullable<ReturnType<Kept["found"]>>): string =>
  `${source}: its keys are used up${key.expiration === undefined ? "" : `, they end at ${new Date(key.expiration).toISOString()}`}`
