import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Bounds from "../../src/doctor/Bounds.ts"
import type { Report } from "../../src/doctor/Finding.ts"

const fine: Report = { checked: ["it"], findings: [] }

describe("a check", () => {
  it.effect("that ends well in time is left as it is", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Bounds.guarded("it", 1000)(Effect.succeed(fine)), fine)
    })
  )

  it.effect("that takes too long is ended at the deadline and says so, after it has cleaned up", () =>
    Effect.gen(function* () {
      const cleanedAt: Array<number> = []
      const check = Effect.onInterrupt(Effect.never, () =>
        Effect.map(Clock.currentTimeMillis, (now) => cleanedAt.push(now))
      )
      yield* TestClock.setTime(400)

      const ending = yield* Effect.forkChild(Bounds.guarded("it", 1000)(check), { startImmediately: true })
      yield* TestClock.adjust(600)
      const { findings } = yield* Fiber.join(ending)

      assert.deepStrictEqual(
        findings.map(({ code, subject }) => [code, subject]),
        [["CHECK_UNFINISHED", "it"]]
      )
      assert.deepStrictEqual(cleanedAt, [1000])
    })
  )

  it.effect("that breaks says what broke it, and not in whose words", () =>
    Effect.gen(function* () {
      const { findings } = yield* Bounds.unbroken("it")(Effect.die(new TypeError("canary")))

      assert.deepStrictEqual(
        findings.map(({ code, seen }) => [code, seen]),
        [["CHECK_FAILED", "the check broke off with TypeError"]]
      )
    })
  )
})
