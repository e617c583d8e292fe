import { assert, describe, it, layer } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as ErrorText from "../../src/river/ErrorText.ts"
import { riverDatabase } from "./support.ts"

/** Pieces of which hostile texts are made: controls, line ends of all sorts, half pairs, astral signs, blanks. */
const pieces = [
  "could not sign",
  "a",
  "",
  " ",
  "\n",
  "\r\n",
  "\t",
  "\u0000",
  "\u0007",
  "\u001b[31m",
  "\u007f",
  "\u0085",
  "\u009f",
  "\u00a0",
  "\u2028",
  "\u2029",
  "\ufeff",
  "\ud83d",
  "\ude00",
  "😀",
  "é",
  "日本語",
  '"\\',
  "\\u0000",
  "x".repeat(499),
  "y".repeat(2000)
]

const hostile = Arbitrary.map(
  Arbitrary.array(Arbitrary.schema(Schema.Literals(pieces)), { maxLength: 8 }),
  (some): string => some.join("")
)
const text: Arbitrary.Arbitrary<string> = Arbitrary.map(
  Arbitrary.all([Arbitrary.schema(Schema.Boolean), hostile, Arbitrary.schema(Schema.String)]),
  ([which, one, other]) => (which ? one : other)
)

const isOneLine = (line: string) => {
  // eslint-disable-next-line no-control-regex -- control characters are the point
  assert.notMatch(line, /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/)
  assert.isTrue(line.isWellFormed())
  const characters = [...line].length
  assert.isAtLeast(characters, 5)
  assert.isAtMost(characters, 500)
}

describe("ErrorText.clean", () => {
  it.prop(
    "makes one line of 5 to 500 characters of any text",
    [text],
    ([some]) => {
      isOneLine(ErrorText.clean(some))
    },
    { arbitrary: { runs: 500 } }
  )

  it.prop("leaves what is already clean as it is", [text], ([some]) => {
    const line = ErrorText.clean(some)
    assert.strictEqual(ErrorText.clean(line), line)
  })

  it("keeps the words and says so when there are none", () => {
    assert.strictEqual(ErrorText.clean("  no\n\tentity\u0000id  "), "no entity id")
    assert.strictEqual(ErrorText.clean("EIO"), "failed: EIO")
    assert.strictEqual(ErrorText.clean("\n"), "failed: no reason given")
    assert.strictEqual(ErrorText.clean("z".repeat(600)), `${"z".repeat(499)}…`)
  })
})

layer(riverDatabase, { excludeTestServices: true })("ErrorText in PostgreSQL", (it) => {
  it.effect.prop(
    "can be stored, as a message and as a trace, whatever it was made of",
    [text],
    ([some]) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const line = ErrorText.clean(some)
        const trace = ErrorText.cleanTrace(some)

        const [row] = yield* sql<{ readonly line: string; readonly entry: unknown }>`
          SELECT ${line}::text AS line, ${JSON.stringify({ error: line, trace })}::jsonb AS entry`

        assert.deepStrictEqual(row, { line, entry: { error: line, trace } })
      }),
    { arbitrary: { runs: 200 } }
  )
})

describe("ErrorText.messageOf", () => {
  it("finds a text in whatever was thrown", () => {
    assert.strictEqual(ErrorText.messageOf(new TypeError("no such thing")), "no such thing")
    assert.strictEqual(ErrorText.messageOf(new TypeError("")), "TypeError")
    assert.strictEqual(ErrorText.messageOf({ message: "as plain object" }), "as plain object")
    assert.strictEqual(ErrorText.messageOf("a text"), "a text")
    assert.strictEqual(ErrorText.messageOf(undefined), "undefined")
  })

  const odd: Record<string, () => unknown> = {
    "an error whose message is no text": () => Object.assign(new Error("x"), { message: undefined }),
    "an error whose message is a number": () => Object.assign(new Error("x"), { message: 42 }),
    "an object without a prototype": () => Object.create(null),
    "an object that refuses to be a text": () => ({
      toString: () => {
        throw new Error("no")
      }
    }),
    "an object whose message refuses to be read": () => ({
      get message() {
        throw new Error("no")
      }
    }),
    "an object whose message refuses to be a text": () => ({ message: Object.create(null) }),
    "a symbol": () => Symbol("s")
  }
  for (const [name, make] of Object.entries(odd)) {
    it(`finds a text also in ${name}`, () => {
      const message: unknown = ErrorText.messageOf(make())

      assert.isString(message)
      isOneLine(ErrorText.clean(String(message)))
    })
  }
})
