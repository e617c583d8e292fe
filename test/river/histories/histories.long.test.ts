import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { round, seeds } from "./Rounds.ts"

/** Rounds of histories for so many minutes, or until one goes wrong. */
const forMinutes = (minutes: number, kind: "swift" | "patient") =>
  Effect.gen(function* () {
    const end = (yield* Clock.currentTimeMillis) + minutes * 60_000
    while ((yield* Clock.currentTimeMillis) < end) {
      const wrong = yield* round(seeds(8, kind))
      if (wrong.length > 0) assert.fail(wrong.map(({ report }) => report).join("\n\n"))
    }
  })

describe("two clients of ours keep their promises", () => {
  it.live("for five minutes of histories in which hours pass in no time", () => forMinutes(5, "swift"))
  it.live("for three minutes of histories in which lost claims are waited for", () => forMinutes(3, "patient"))
})
