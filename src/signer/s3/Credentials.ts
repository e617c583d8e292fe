/**
 * The access key that signs: given once by the operator, or found by the AWS SDK's default chain and kept fresh.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

/** An access key. Whoever keeps something made from it compares the object: what is found anew is another. */
export interface AccessKey {
  readonly accessKeyId: string
  readonly secretAccessKey: Redacted.Redacted
  /** Of temporary credentials. */
  readonly sessionToken?: Redacted.Redacted | undefined
  /** Milliseconds since 1970; undefined for ever. */
  readonly expiration?: number | undefined
}

/** There is no access key at the moment; later there may be. */
export class CredentialsUnavailable extends Schema.TaggedError<CredentialsUnavailable>()("CredentialsUnavailable", {}) {
  override get message() {
    return "no usable AWS credentials at the moment"
  }
}

/** Where access keys come from, in the SDK's form: its default chain, or a test's. */
export type Chain = () => Promise<{
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly expiration?: Date
}>

export class Credentials extends Context.Service<
  Credentials,
  {
    /** The access key to sign with now; it is good for the minimum lifetime at least. */
    readonly current: Effect.Effect<AccessKey, CredentialsUnavailable>
    /** Whether there is one. Without it no job should be claimed: an attempt would be spent for nothing. */
    readonly available: Effect.Effect<boolean>
  }
>()("signer/Credentials") {
  /** The operator's access key: there at once, for ever, and free. */
  static readonly layerStatic = (key: AccessKey) =>
    Layer.succeed(Credentials, { current: Effect.succeed(key), available: Effect.succeed(true) })

  /**
   * What the chain finds, looked for in the background: the layer does not wait for it.
   *
   * `minimumLifetime` is what must be left of temporary credentials for them to be used: no URL outlives the
   * credentials that signed it, and one that ends at once is of no use. Defaults to 2 minutes.
   */
  static readonly layerChain = (
    options: { readonly chain?: Chain | undefined; readonly minimumLifetime?: Duration.Duration | undefined } = {}
  ) =>
    Layer.effect(Credentials, Effect.map(watch(options.chain ?? defaultChain, options.minimumLifetime), Credentials.of))

  /** The given access key, else the default chain. */
  static readonly layer = (key: AccessKey | undefined) =>
    key === undefined ? Credentials.layerChain() : Credentials.layerStatic(key)
}

/**
 * Environment, SSO, shared files, a process, web identity, container and instance metadata, in the SDK's order. Made
 * afresh each time, and without its file cache, so that it sees a file that appears later.
 */
const defaultChain: Chain = () =>
  import("@aws-sdk/credential-provider-node").then(({ defaultProvider }) => defaultProvider({ ignoreCache: true })())

/** One look through the chain. The message keeps to the error's name: what a chain reports may hold a secret. */
class ChainFailed extends Schema.TaggedError<ChainFailed>()("ChainFailed", { reason: Schema.String }) {}

const chainTimeout = Duration.seconds(30)
const retries = Schedule.min([Schedule.exponential("250 millis"), Schedule.spaced("10 seconds")]).pipe(
  Schedule.jittered
)

/** Keeps the chain's newest access key, and writes one log line for each change between these states. */
type State = "searching" | "fresh" | "refresh failing" | "missing"

const watch = Effect.fnUntraced(function* (chain: Chain, minimumLifetime = Duration.minutes(2)) {
  const minimum = Duration.toMillis(minimumLifetime)
  let key: AccessKey | undefined
  let state: State = "searching"

  const isUsable = (found: AccessKey, now: number) =>
    found.expiration === undefined || found.expiration - now >= minimum

  const enter = (next: State, log: Effect.Effect<void>) =>
    Effect.suspend(() => {
      if (state === next) return Effect.void
      state = next
      return log
    })

  const look = Effect.gen(function* () {
    const found = yield* fetch(chain)
    if (!isUsable(found, yield* Clock.currentTimeMillis)) {
      return yield* new ChainFailed({ reason: "the credentials found have expired or are about to" })
    }
    key = found
    yield* enter("fresh", Effect.logInfo("AWS credentials found"))
  }).pipe(
    Effect.tapError(
      Effect.fnUntraced(function* ({ reason }: ChainFailed) {
        const now = yield* Clock.currentTimeMillis
        yield* key !== undefined && isUsable(key, now)
          ? enter(
              "refresh failing",
              Effect.logWarning(`AWS credentials could not be refreshed, trying again: ${reason}`)
            )
          : enter("missing", Effect.logWarning(`no usable AWS credentials, nothing can be signed: ${reason}`))
      })
    ),
    Effect.retry(retries)
  )

  const untilRefresh = Effect.flatMap(Clock.currentTimeMillis, (now) =>
    key?.expiration === undefined ? Effect.never : Effect.sleep(refreshDelay(key.expiration - minimum - now))
  )
  yield* Effect.forkScoped(Effect.forever(Effect.andThen(look, untilRefresh)), { startImmediately: true })

  const current = Effect.suspend((): Effect.Effect<AccessKey, CredentialsUnavailable> => {
    const held = key
    if (held === undefined) return Effect.fail(new CredentialsUnavailable())
    if (held.expiration === undefined) return Effect.succeed(held)
    return Effect.flatMap(Clock.currentTimeMillis, (now) =>
      isUsable(held, now) ? Effect.succeed(held) : Effect.fail(new CredentialsUnavailable())
    )
  })
  const available = Effect.map(Clock.currentTimeMillis, (now) => key !== undefined && isUsable(key, now))
  return { current, available }
})

/**
 * How long to wait before looking for new credentials, when those held are usable for another `left` milliseconds: until
 * ten minutes before that, or for half of it when less than twenty minutes are left.
 */
export const refreshDelay = (left: number): Duration.Duration =>
  Duration.millis(Math.max(left / 2, left - Duration.toMillis("10 minutes"), 1000))

const fetch = (chain: Chain) =>
  Effect.tryPromise({
    try: () => chain().then(accessKey),
    catch: (cause) => new ChainFailed({ reason: cause instanceof Error ? cause.name : typeof cause })
  }).pipe(
    Effect.timeoutOrElse({
      duration: chainTimeout,
      orElse: () => Effect.fail(new ChainFailed({ reason: `no answer within ${Duration.format(chainTimeout)}` }))
    })
  )

const accessKey = (found: Awaited<ReturnType<Chain>>): AccessKey => ({
  accessKeyId: found.accessKeyId,
  secretAccessKey: Redacted.make(found.secretAccessKey),
  sessionToken: found.sessionToken === undefined ? undefined : Redacted.make(found.sessionToken),
  expiration: found.expiration?.getTime()
})
