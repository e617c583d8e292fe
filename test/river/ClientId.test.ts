import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import * as ClientId from "../../src/river/ClientId.ts"

const marker = "s3signer"
const make = (options: { readonly name?: string; readonly host?: string; readonly marker?: string }) =>
  ClientId.make({ name: undefined, host: "web-1.example.org", marker, ...options })

/** PostgreSQL's regular expressions agree with JavaScript's on what the pattern uses. */
const matches = (pattern: string, id: string) => new RegExp(pattern, "u").test(id)

const hostLike = Arbitrary.schema(Schema.String.check(Schema.isPattern(/^[A-Za-z0-9._-]{0,300}$/)))

describe("ClientId", () => {
  it.effect.prop("[8] has River's form for any host", [hostLike], ([host]) =>
    Effect.gen(function* () {
      const id = yield* make({ host })

      assert.match(id, /^[^.]{1,60}_\d{4}_\d\d_\d\dT\d\d_\d\d_\d\d_\d{6}$/)
      assert.isAtMost(id.length, 100)
      assert.isTrue(matches(ClientId.pattern(marker), id))
    })
  )

  it.effect("says which host and product, and when it started", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.parse("2026-08-07T09:30:00.123Z"))

      assert.match(yield* make({}), /^web-1_example_org_s3signer_2026_08_07T09_30_00_123\d{3}$/)
      assert.match(yield* make({ host: "" }), /^unknown_host_s3signer_2026/)
    })
  )

  it.effect("[8] differs between two starts, also of a client that the operator named", () =>
    Effect.gen(function* () {
      const first = yield* make({ name: "blue" })
      yield* TestClock.adjust("1 millis")
      const second = yield* make({ name: "blue" })

      assert.match(first, /^blue_s3signer_/)
      assert.notStrictEqual(first, second)
      assert.isTrue(matches(ClientId.pattern(marker), first))
    })
  )

  it.effect("is not taken for ours when it is a Go client's, another product's, or only looks alike", () =>
    Effect.gen(function* () {
      const others = [
        "web-1_2026_08_07T09_30_00_123456",
        yield* make({ marker: "thumbnailer" }),
        "s3signer",
        "web_s3signer_2026_08_07T09_30_00_123456_and_more",
        "webs3signer_2026_08_07T09_30_00_12345"
      ]

      for (const id of others) assert.isFalse(matches(ClientId.pattern(marker), id), id)
    })
  )
})
