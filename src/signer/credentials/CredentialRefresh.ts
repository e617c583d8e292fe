/**
 * Keeps an access key fresh in the background, however short it lives and however its source behaves.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as AccessKey from "./AccessKey.ts"
import { type Chain, type Found, LookFailed } from "./CredentialChain.ts"

export interface RefreshOptions {
  /** What a key must be good for, besides the skew, to be used. */
  readonly minimumLifetime: Duration.Duration
  /** Is told the secrets of each key that is found, before anybody can use it. */
  readonly onFound: (secrets: ReadonlyArray<Redacted.Redacted>) => void
}

/** What is held: a key that may be used, or one whose time is over, or none yet. */
export interface Kept {
  /** The key, if it may be used at `now`, milliseconds since 1970. */
  readonly usable: (now: number) => AccessKey.AccessKey | undefined
  /** The key that was found last, and where. */
  readonly found: () => Held | undefined
  /** Why the look after that failed; undefined when it did not. */
  readonly failure: () => string | undefined
}

interface Held extends Pick<Found, "kind" | "source"> {
  readonly key: AccessKey.AccessKey
}

/** One log line for each change between these. */
type State = "searching" | "fresh" | "refresh failing" | "missing"

/** Looks for as long as the scope lasts, and at once; does not wait for what it finds. */
export const keepFresh = Effect.fnUntraced(function* (chain: Chain, { minimumLifetime, onFound }: RefreshOptions) {
  const minimum = Duration.toMillis(minimumLifetime)
  let held: Held | undefined
  let failure: string | undefined
  let state: State = "searching"

  /** For how long, in milliseconds, what is held may still be used. */
  const left = (now: number) => (held === undefined ? 0 : AccessKey.millisLeft(held.key, now) - minimum)

  const enter = (next: State, log: Effect.Effect<void>, otherwise: Effect.Effect<void> = Effect.void) =>
    Effect.suspend(() => {
      if (state === next) return otherwise
      state = next
      return log
    })

  const look = Effect.gen(function* () {
    const { kind, source, ...found } = yield* chain
    const key = yield* Effect.fromResult(AccessKey.fromFound(found)).pipe(
      Effect.mapError((wrong) => new LookFailed({ reason: `${source}: ${wrong}` }))
    )
    const wrong = wrongTime(key, kind, minimumLifetime, yield* Clock.currentTimeMillis)
    if (wrong !== undefined) return yield* new LookFailed({ reason: `${source}: ${wrong}` })
    failure = undefined
    // The same key stays the same object: what was made from it holds on.
    if (held === undefined || !AccessKey.isSame(held.key, key)) {
      onFound(AccessKey.secretsOf(key))
      held = { key, kind, source }
      if (state === "fresh") yield* Effect.logDebug(`AWS credentials replaced: ${sourceAndEnd(held)}`)
    }
    yield* enter("fresh", Effect.logInfo(`AWS credentials found: ${sourceAndEnd(held)}`))
  })

  const noteFailure = Effect.fnUntraced(function* ({ reason }: LookFailed) {
    const still = failure === reason ? Effect.void : Effect.logDebug(`AWS credentials still not found: ${reason}`)
    failure = reason
    const now = yield* Clock.currentTimeMillis
    if (held === undefined || left(now) < 0) {
      yield* enter("missing", Effect.logWarning(`no usable AWS credentials, nothing can be signed: ${reason}`), still)
    } else {
      const until = lasting(now + left(now))
      yield* enter(
        "refresh failing",
        Effect.logWarning(`AWS credentials could not be refreshed, those held ${until}: ${reason}`),
        still
      )
    }
  })

  const again = Schedule.exponential("250 millis").pipe(
    Schedule.modifyDelay(({ duration }) =>
      Effect.map(Clock.currentTimeMillis, (now) => Duration.min(duration, longestPause(left(now))))
    ),
    Schedule.jittered
  )

  const found = look.pipe(
    Effect.catchDefect((defect) => new LookFailed({ reason: `a fault of this program (${nameOf(defect)})` })),
    Effect.tapError(noteFailure),
    Effect.retry(again)
  )

  const untilRefresh = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    if (held?.key.expiration !== undefined) return waitUntil(now + Duration.toMillis(refreshDelay(left(now))))
    return held?.kind === "file" ? Effect.sleep(rereading) : Effect.never
  })

  yield* Effect.forkScoped(Effect.forever(Effect.andThen(found, untilRefresh)), { startImmediately: true })

  const kept: Kept = {
    usable: (now) => (left(now) >= 0 ? held?.key : undefined),
    found: () => held,
    failure: () => failure
  }
  return kept
})

/** Keys in a file that names no end may be replaced there. */
const rereading = Duration.minutes(5)

/**
 * How long to wait before looking for new credentials, when those held are usable for another `left` milliseconds: until
 * ten minutes before that, or for half of it when less than twenty minutes are left; at least 250 ms.
 */
export const refreshDelay = (left: number): Duration.Duration =>
  Duration.millis(Math.max(left / 2, left - Duration.toMillis("10 minutes"), 250))

/** The longest pause between looks that fail: 10 seconds, a fifth of what is left when that is less, at least 1 second. */
export const longestPause = (left: number): Duration.Duration =>
  left <= 0 ? Duration.seconds(10) : Duration.millis(Math.min(10_000, Math.max(left / 5, 1000)))

/** In short naps: a host that was suspended wakes with its timers late and its credentials gone. */
const waitUntil = (time: number): Effect.Effect<void> =>
  Effect.flatMap(Clock.currentTimeMillis, (now) =>
    now >= time ? Effect.void : Effect.andThen(Effect.sleep(Math.min(time - now, 30_000)), waitUntil(time))
  )

const wrongTime = (
  key: AccessKey.AccessKey,
  kind: Found["kind"],
  minimumLifetime: Duration.Duration,
  now: number
): string | undefined => {
  if (key.expiration === undefined) return kind === "service" ? "the answer does not say when its keys end" : undefined
  if (key.expiration <= now) return `its keys ended at ${instant(key.expiration)}`
  return AccessKey.millisLeft(key, now) < Duration.toMillis(minimumLifetime)
    ? `its keys end at ${instant(key.expiration)}, sooner than MIN_URL_LIFETIME (${Duration.format(minimumLifetime)}) allows`
    : undefined
}

/** Where a key is from and until when it is good, for people. */
const sourceAndEnd = ({ key, source }: Held): string =>
  key.expiration === undefined ? source : `${source}, until ${instant(key.expiration)}`

const lasting = (time: number): string => (time === Infinity ? "are kept" : `can be used until ${instant(time)}`)

const instant = (millis: number) => new Date(millis).toISOString()

const nameOf = (defect: unknown) => (defect instanceof Error ? defect.name : typeof defect)
