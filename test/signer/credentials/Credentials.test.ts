import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { type Chain, type Found, LookFailed } from "../../../src/signer/credentials/CredentialChain.ts"
import { longestPause, refreshDelay } from "../../../src/signer/credentials/CredentialRefresh.ts"
import { type ChainOptions, Credentials, lifetimeLeft } from "../../../src/signer/credentials/Credentials.ts"
import { skew } from "../../../src/signer/credentials/AccessKey.ts"

const seconds = (count: number) => count * 1000
const minutes = (count: number) => count * 60_000
const hours = (count: number) => count * 3_600_000
const iso = (millis: number) => new Date(millis).toISOString()

/** A chain that answers as it is told, and counts how often it is asked. */
const fakeChain = (first: Chain, options: ChainOptions = {}) => {
  const fake = { asked: 0, askedAt: new Array<number>(), answer: first, lines: new Array<string>() }
  const chain: Chain = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    fake.asked += 1
    fake.askedAt.push(now)
    return fake.answer
  })
  const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
    fake.lines.push(`${logLevel} ${String(message)}`)
  })
  const layer = Credentials.layerChain({ chain, ...options }).pipe(Layer.provideMerge(Logger.layer([logger])))
  return { fake, layer }
}

const keys = (id: string, expiration?: number | Date, more: Partial<Found> = {}): Found => ({
  accessKeyId: id,
  secretAccessKey: `canary-${id}`,
  sessionToken: "canary-token",
  source: "the fake",
  ...(expiration === undefined ? {} : { expiration: new Date(expiration) }),
  ...more
})
const answers = (...args: Parameters<typeof keys>): Chain => Effect.succeed(keys(...args))
const fails: Chain = Effect.fail(new LookFailed({ reason: "the fake: HTTP 403" }))

/** Hands out other keys with every look, each good for this long. */
const lends = (lifetime: number) => {
  const ends = new Map<string, number>()
  const chain: Chain = Effect.map(Clock.currentTimeMillis, (now) => {
    const id = `ASIA${ends.size + 1}`
    ends.set(id, now + lifetime)
    return keys(id, now + lifetime, { kind: "service" })
  })
  return { chain, ends }
}

/** Lets time pass in steps. */
const pass = (duration: Duration.Input, step: Duration.Input = "1 second") =>
  Effect.gen(function* () {
    const end = (yield* Clock.currentTimeMillis) + Duration.toMillis(Duration.fromInputUnsafe(duration))
    for (let now = yield* Clock.currentTimeMillis; now < end; now = yield* Clock.currentTimeMillis) {
      yield* TestClock.adjust(Math.min(Duration.toMillis(Duration.fromInputUnsafe(step)), end - now))
    }
  })

const current = Effect.flatMap(Credentials, ({ current }) => current)
const currentId = Effect.result(Effect.map(current, ({ accessKeyId }) => Redacted.value(accessKeyId))).pipe(
  Effect.map(Result.getOrElse(({ _tag }): string => _tag))
)
const available = Effect.flatMap(Credentials, (credentials) => credentials.available)
const status = Effect.flatMap(Credentials, (credentials) => credentials.status)

describe("Credentials", () => {
  it.effect("has the operator's access key at once, and for ever", () =>
    Effect.gen(function* () {
      const key = { accessKeyId: Redacted.make("AKID"), secretAccessKey: Redacted.make("canary") }

      yield* Effect.gen(function* () {
        assert.isTrue(yield* available)
        assert.strictEqual(yield* current, key)
        yield* pass("100 days", "1 day")
        assert.strictEqual(yield* current, key)
        assert.deepEqual(yield* status, {
          problem: undefined,
          refreshProblem: undefined,
          source: "settings",
          expiration: undefined
        })
      }).pipe(Effect.provide(Credentials.layer(key)))
    })
  )

  it.effect("does not sign with the operator's access key when its end comes", () =>
    Effect.gen(function* () {
      const key = {
        accessKeyId: Redacted.make("AKID"),
        secretAccessKey: Redacted.make("canary"),
        expiration: minutes(10)
      }

      yield* Effect.gen(function* () {
        yield* pass(minutes(8) - seconds(5))
        assert.isTrue(yield* available)
        yield* pass("1 millis")
        assert.isFalse(yield* available)
        assert.strictEqual((yield* status).problem, `settings: its keys are used up, they end at ${iso(minutes(10))}`)
      }).pipe(Effect.provide(Credentials.layer(key)))
    })
  )

  it.effect("does not hold up the start while the chain looks, and says that it does", () =>
    Effect.gen(function* () {
      const { layer } = fakeChain(Effect.never)

      yield* Effect.gen(function* () {
        assert.isFalse(yield* available)
        assert.strictEqual(yield* currentId, "CredentialsUnavailable")
        assert.strictEqual((yield* status).problem, "the first look for them goes on")
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect("finds credentials that appear later, asking ever more seldom and logging each change once", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(fails)

      yield* Effect.gen(function* () {
        yield* pass("10 minutes")
        assert.isFalse(yield* available)
        assert.strictEqual((yield* status).problem, "the fake: HTTP 403")
        assert.isAbove(fake.asked, 50)
        assert.isBelow(fake.asked, 90)

        fake.answer = answers("LATER")
        yield* pass("12 seconds")
        assert.strictEqual(yield* currentId, "LATER")
        assert.deepEqual(yield* status, {
          problem: undefined,
          refreshProblem: undefined,
          source: "the fake",
          expiration: undefined
        })
        const { asked } = fake
        yield* pass("2 hours")
        assert.strictEqual(fake.asked, asked)
      }).pipe(Effect.provide(layer))

      assert.deepStrictEqual(fake.lines, [
        "Warn no usable AWS credentials, nothing can be signed: the fake: HTTP 403",
        "Info AWS credentials found: the fake"
      ])
    })
  )

  it.effect("still looks every ten seconds after a week in vain", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(fails)

      yield* Effect.gen(function* () {
        yield* pass("7 days", "10 seconds")
        const { asked } = fake
        yield* pass("1 minute")
        assert.isAbove(fake.asked, asked + 3)
        assert.isBelow(fake.asked, asked + 9)
        assert.lengthOf(fake.lines, 1)
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect("replaces temporary credentials ten minutes before their use ends, and keeps silent about it", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(answers("FIRST", hours(1)))

      yield* Effect.gen(function* () {
        yield* pass("40 minutes")
        assert.strictEqual(yield* currentId, "FIRST")
        assert.strictEqual(fake.asked, 1)

        fake.answer = answers("SECOND", hours(2))
        yield* pass("8 minutes")
        assert.strictEqual(yield* currentId, "SECOND")
        assert.strictEqual(fake.asked, 2)
        assert.strictEqual((yield* status).expiration, hours(2))
      }).pipe(Effect.provide(layer))

      assert.deepStrictEqual(fake.lines, [`Info AWS credentials found: the fake, until ${iso(hours(1))}`])
    })
  )

  it.effect("tells of each replacement in the debug log", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(answers("FIRST", hours(1)))

      yield* Effect.gen(function* () {
        fake.answer = answers("SECOND", hours(2))
        yield* pass("50 minutes")
      }).pipe(Effect.provide(layer), Effect.provideService(References.MinimumLogLevel, "Debug"))

      assert.deepStrictEqual(fake.lines, [
        `Info AWS credentials found: the fake, until ${iso(hours(1))}`,
        `Debug AWS credentials replaced: the fake, until ${iso(hours(2))}`
      ])
    })
  )

  it.effect("tells another reason in the debug log, and always in the status", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(fails)

      yield* Effect.gen(function* () {
        yield* pass("30 seconds")
        fake.answer = Effect.fail(new LookFailed({ reason: "the fake: HTTP 404" }))
        yield* pass("30 seconds")
        assert.strictEqual((yield* status).problem, "the fake: HTTP 404")
      }).pipe(Effect.provide(layer), Effect.provideService(References.MinimumLogLevel, "Debug"))

      assert.deepStrictEqual(fake.lines, [
        "Warn no usable AWS credentials, nothing can be signed: the fake: HTTP 403",
        "Debug AWS credentials still not found: the fake: HTTP 404"
      ])
    })
  )

  it.effect(
    "uses credentials that cannot be refreshed until two minutes and the skew before their end, no longer",
    () =>
      Effect.gen(function* () {
        const { fake, layer } = fakeChain(answers("FIRST", hours(1)))
        const last = hours(1) - minutes(2) - Duration.toMillis(skew)

        yield* Effect.gen(function* () {
          fake.answer = fails
          yield* pass(last)
          assert.strictEqual(yield* currentId, "FIRST")
          assert.deepInclude(yield* status, { problem: undefined, refreshProblem: "the fake: HTTP 403" })
          yield* pass("1 millis")
          assert.strictEqual(yield* currentId, "CredentialsUnavailable")
          assert.isFalse(yield* available)
          assert.deepInclude(yield* status, { problem: "the fake: HTTP 403", refreshProblem: undefined })

          yield* pass("10 minutes")
          fake.answer = answers("SECOND", hours(3))
          yield* pass("12 seconds")
          assert.strictEqual(yield* currentId, "SECOND")
          assert.deepInclude(yield* status, { problem: undefined, refreshProblem: undefined })
        }).pipe(Effect.provide(layer))

        assert.deepStrictEqual(fake.lines, [
          `Info AWS credentials found: the fake, until ${iso(hours(1))}`,
          `Warn AWS credentials could not be refreshed, those held can be used until ${iso(last)}: the fake: HTTP 403`,
          "Warn no usable AWS credentials, nothing can be signed: the fake: HTTP 403",
          `Info AWS credentials found: the fake, until ${iso(hours(3))}`
        ])
      })
  )

  it.effect("says that its keys are used up, when their source has not yet said a word", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(answers("FIRST", minutes(10)))

      yield* Effect.gen(function* () {
        fake.answer = Effect.never
        yield* pass("9 minutes")
        assert.isFalse(yield* available)
        assert.strictEqual((yield* status).problem, `the fake: its keys are used up, they end at ${iso(minutes(10))}`)
      }).pipe(Effect.provide(layer))
    })
  )

  it.effect("waits out a source that keeps giving the same keys to their end, as an instance's metadata does", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(answers("OLD", hours(1)))

      yield* Effect.gen(function* () {
        const key = yield* current
        yield* pass(hours(1) - minutes(4))
        assert.strictEqual(yield* current, key)
        assert.isBelow(fake.asked, 8)
        fake.answer = answers("NEW", hours(7))
        yield* pass("80 seconds")
        assert.strictEqual(yield* currentId, "NEW")
      }).pipe(Effect.provide(layer))

      assert.deepStrictEqual(fake.lines, [`Info AWS credentials found: the fake, until ${iso(hours(1))}`])
    })
  )

  it.effect("does not spin when the source gives nothing but old keys", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(answers("OLD", hours(1)))

      yield* Effect.gen(function* () {
        yield* pass("2 hours")
        assert.strictEqual(yield* currentId, "CredentialsUnavailable")
        assert.isBelow(fake.asked, 450 + 30)
        assert.strictEqual((yield* status).problem, `the fake: its keys ended at ${iso(hours(1))}`)
      }).pipe(Effect.provide(layer))

      assert.deepStrictEqual(fake.lines, [
        `Info AWS credentials found: the fake, until ${iso(hours(1))}`,
        "Warn no usable AWS credentials, nothing can be signed: " +
          `the fake: its keys end at ${iso(hours(1))}, sooner than MIN_URL_LIFETIME (2m) allows`
      ])
    })
  )

  it.effect("gives the same object for the same key, another for another, and names its secrets once", () =>
    Effect.gen(function* () {
      const told: Array<ReadonlyArray<string>> = []
      const { fake, layer } = fakeChain(answers("FIRST", minutes(20)), {
        onFound: (secrets) => void told.push(secrets.map(Redacted.value))
      })

      yield* Effect.gen(function* () {
        const first = yield* current
        yield* pass("12 minutes")
        assert.isAbove(fake.asked, 1)
        assert.strictEqual(yield* current, first)
        fake.answer = answers("FIRST", minutes(60))
        yield* pass("4 minutes")
        assert.notStrictEqual(yield* current, first)
        fake.answer = answers("SECOND", minutes(120), { sessionToken: undefined })
        yield* pass("40 minutes")
        assert.strictEqual(yield* currentId, "SECOND")
      }).pipe(Effect.provide(layer))

      assert.deepEqual(told, [
        ["FIRST", "canary-FIRST", "canary-token"],
        ["FIRST", "canary-FIRST", "canary-token"],
        ["SECOND", "canary-SECOND"]
      ])
    })
  )

  it.effect("reads keys in a file anew every five minutes, and keeps those it has while there are none", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(answers("FIRST", undefined, { kind: "file" }))

      yield* Effect.gen(function* () {
        yield* pass("30 minutes")
        assert.strictEqual(fake.asked, 7)
        fake.answer = fails
        yield* pass("30 minutes")
        assert.strictEqual(yield* currentId, "FIRST")
        fake.answer = answers("SECOND", undefined, { kind: "file" })
        yield* pass("5 minutes")
        assert.strictEqual(yield* currentId, "SECOND")
      }).pipe(Effect.provide(layer))

      assert.deepStrictEqual(fake.lines, [
        "Info AWS credentials found: the fake",
        "Warn AWS credentials could not be refreshed, those held are kept: the fake: HTTP 403",
        "Info AWS credentials found: the fake"
      ])
    })
  )

  it.effect("looks again soon after a host that was suspended wakes, though its timers are late", () =>
    Effect.gen(function* () {
      const { fake, layer } = fakeChain(answers("FIRST", hours(6)))
      // The wall clock is ahead of the timers by what was slept through.
      let slept = 0
      const clock = yield* Clock.Clock
      const ahead: Clock.Clock = Object.create(clock, {
        currentTimeMillisUnsafe: { value: () => clock.currentTimeMillisUnsafe() + slept },
        currentTimeMillis: { value: Effect.sync(() => clock.currentTimeMillisUnsafe() + slept) }
      })

      yield* Effect.gen(function* () {
        yield* pass("1 minute")
        slept = hours(8)
        fake.answer = answers("SECOND", hours(20))
        assert.isFalse(yield* available)
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(yield* currentId, "SECOND")
      }).pipe(Effect.provide(layer), Effect.provideService(Clock.Clock, ahead))
    })
  )

  describe("with a source that lies", () => {
    const lie = (found: Found, problem: string) =>
      Effect.gen(function* () {
        const { fake, layer } = fakeChain(Effect.succeed(found))

        yield* Effect.gen(function* () {
          yield* pass("1 minute")
          assert.isFalse(yield* available)
          assert.strictEqual((yield* status).problem, `the fake: ${problem}`)
          assert.isBelow(fake.asked, 20)
          fake.answer = answers("TRUE", hours(1))
          yield* pass("12 seconds")
          assert.strictEqual(yield* currentId, "TRUE")
        }).pipe(Effect.provide(layer))

        assert.deepStrictEqual(fake.lines, [
          `Warn no usable AWS credentials, nothing can be signed: the fake: ${problem}`,
          `Info AWS credentials found: the fake, until ${iso(hours(1))}`
        ])
      })

    it.effect("does not take an expiry that is no time for one that never comes", () =>
      lie(keys("A", Number.NaN), "the expiry is no time")
    )
    it.effect("does not take an expiry that is missing for one that never comes, where keys are lent", () =>
      lie(keys("A", undefined, { kind: "service" }), "the answer does not say when its keys end")
    )
    it.effect("does not use keys that have ended, also when the SDK puts off their end", () =>
      Effect.andThen(
        lie(keys("A", -1), `its keys ended at ${iso(-1)}`),
        lie(keys("A", hours(5), { originalExpiration: new Date(-5) }), `its keys ended at ${iso(-5)}`)
      )
    )
    it.effect("does not use keys that end too soon", () =>
      lie(keys("A", minutes(2)), `its keys end at ${iso(minutes(2))}, sooner than MIN_URL_LIFETIME (2m) allows`)
    )
    it.effect("does not use half of a key, or one with a line end", () =>
      Effect.gen(function* () {
        yield* lie(keys("", hours(1)), "the access key id is missing")
        yield* lie(keys("A", hours(1), { secretAccessKey: undefined }), "the secret access key is missing")
        yield* lie(keys("A", hours(1), { secretAccessKey: 42 }), "the secret access key is no text")
        const broken = "text with a space, a line end or the like in it"
        yield* lie(keys("A\n", hours(1)), `the access key id is ${broken}`)
        yield* lie(keys("A", hours(1), { sessionToken: "canary\n" }), `the session token is ${broken}`)
      })
    )

    it.effect("uses keys that end in the year 9999, and those of a time that no calendar has", () =>
      Effect.gen(function* () {
        for (const end of [253_402_300_799_000, 8.64e15]) {
          const { fake, layer } = fakeChain(answers("FAR", end))

          yield* Effect.gen(function* () {
            yield* pass("60 days", "1 hour")
            assert.strictEqual(yield* currentId, "FAR")
            assert.strictEqual(fake.asked, 1)
          }).pipe(Effect.provide(layer))
        }
      })
    )

    it.effect("survives a chain that is broken itself, and shows nothing of the defect's text", () =>
      Effect.gen(function* () {
        const { fake, layer } = fakeChain(Effect.die(new TypeError("canary")))

        yield* Effect.gen(function* () {
          yield* pass("5 seconds")
          fake.answer = Effect.succeed(undefined as never)
          yield* pass("10 seconds")
          fake.answer = answers("NEXT")
          yield* pass("12 seconds")
          assert.strictEqual(yield* currentId, "NEXT")
        }).pipe(Effect.provide(layer))

        assert.strictEqual(
          fake.lines[0],
          "Warn no usable AWS credentials, nothing can be signed: a fault of this program (TypeError)"
        )
        assert.notInclude(fake.lines.join(), "canary")
      })
    )
  })

  describe("with credentials that live for 60 seconds", () => {
    const minimumLifetime = Duration.seconds(10)
    const asked = 900

    /** Signs once a second, as the presigner does; answers how many URLs there were. */
    const signFor = Effect.fnUntraced(function* (duration: Duration.Input, ends: ReadonlyMap<string, number>) {
      const used = new Set<string>()
      const until = (yield* Clock.currentTimeMillis) + Duration.toMillis(Duration.fromInputUnsafe(duration))
      for (let at = yield* Clock.currentTimeMillis; at < until; at = yield* Clock.currentTimeMillis) {
        assert.isTrue(yield* available)
        const key = yield* current
        const id = Redacted.value(key.accessKeyId)
        const lifetime = Math.min(asked, lifetimeLeft(key, at))
        assert.isAtMost(Math.floor(at / 1000) * 1000 + lifetime * 1000, ends.get(id)!)
        assert.isAtLeast(lifetime, 10)
        used.add(id)
        yield* TestClock.adjust("973 millis")
      }
      return used
    })

    it.effect("works for ten minutes without a gap, asking well before the need and no more than that", () =>
      Effect.gen(function* () {
        const { chain, ends } = lends(seconds(60))
        const { fake, layer } = fakeChain(chain, { minimumLifetime })

        const used = yield* signFor("10 minutes", ends).pipe(Effect.provide(layer))

        // Usable for 45 of 60 seconds, and replaced after half of that.
        assert.isAtLeast(used.size, 26)
        assert.isAtMost(fake.asked, 28)
        assert.lengthOf(fake.lines, 1)
      })
    )

    it.effect("bridges failures of the source that last less than what is left, without hammering it", () =>
      Effect.gen(function* () {
        const { chain, ends } = lends(seconds(60))
        const { fake, layer } = fakeChain(chain, { minimumLifetime })

        yield* Effect.gen(function* () {
          for (let round = 0; round < 5; round++) {
            yield* signFor("30 seconds", ends)
            const before = fake.asked
            fake.answer = fails
            yield* signFor("20 seconds", ends)
            assert.isBelow(fake.asked - before, 20)
            fake.answer = chain
            yield* signFor("10 seconds", ends)
          }
        }).pipe(Effect.provide(layer))

        assert.isAbove(fake.lines.filter((line) => /could not be refreshed/.test(line)).length, 2)
        assert.isFalse(fake.lines.some((line) => /nothing can be signed/.test(line)))
      })
    )
  })

  it.effect.prop(
    "looks again before the end, after at least a quarter of a second, and at most ten minutes early",
    [Schema.Int.check(Schema.isBetween({ minimum: -hours(1), maximum: hours(36) }))],
    ([left]) =>
      Effect.sync(() => {
        const delay = Duration.toMillis(refreshDelay(left))
        assert.isAtLeast(delay, 250)
        if (left > 500) assert.isAtMost(delay, left)
        assert.isAtLeast(delay, left - minutes(10))
        if (left > 500 && left < minutes(20)) assert.strictEqual(delay, left / 2)
      })
  )

  it.effect.prop(
    "pauses between failures for 1 to 10 seconds at most, so that at least four fit into what is left",
    [Schema.Int.check(Schema.isBetween({ minimum: -minutes(1), maximum: minutes(2) }))],
    ([left]) =>
      Effect.sync(() => {
        const pause = Duration.toMillis(longestPause(left))
        assert.isAtLeast(pause, 1000)
        assert.isAtMost(pause, 10_000)
        if (left > seconds(5)) assert.isAtMost(pause, left / 4)
      })
  )
})
