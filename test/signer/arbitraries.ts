/** Inputs for the properties of the signer: ordinary ones and hostile ones, so mixed that both turn up in every run. */
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"

/** Texts made of these pieces: what file names and ids are made of, and what they should not be made of. */
const pieces = [
  ".",
  "..",
  "/",
  "a",
  "JPG",
  "tar",
  "posts",
  "01a2",
  "-",
  "_",
  "~",
  " ",
  "+",
  "%",
  "%2e",
  "%2F",
  "?x=1",
  "#",
  "&",
  "\\",
  "!'()*",
  '"',
  "<b>",
  "é",
  "e\u0301",
  "日本",
  "😀",
  "\u0000",
  "\t",
  "\n",
  "\u202e",
  "\ud83d",
  "\udc00",
  "x".repeat(250)
]

const ofPieces = Arbitrary.map(
  Arbitrary.array(Arbitrary.schema(Schema.Literals(pieces)), { maxLength: 8 }),
  (some): string => some.join("")
)
const ordinary = Arbitrary.schema(Schema.String.check(Schema.isPattern(/^[A-Za-z0-9._-]{0,40}$/)))
const anything = Arbitrary.schema(Schema.String)

/** Any text; a third of them ordinary names. */
export const text: Arbitrary.Arbitrary<string> = Arbitrary.map(
  Arbitrary.all([Arbitrary.schema(Schema.Literals([0, 1, 2])), ordinary, ofPieces, anything]),
  ([which, ...texts]) => texts[which]!
)

/** Text without half surrogate pairs, as PostgreSQL has it. */
export const wellFormedText: Arbitrary.Arbitrary<string> = Arbitrary.map(text, (some) => some.toWellFormed())

const hex = (digits: number) => Schema.String.check(Schema.isPattern(new RegExp(`^[0-9a-fA-F]{${digits}}$`)))

/** A UUID of any version, in any case. */
export const uuid: Arbitrary.Arbitrary<string> = Arbitrary.map(
  Arbitrary.all([hex(8), hex(4), hex(4), hex(4), hex(12)].map((part) => Arbitrary.schema(part))),
  (parts) => parts.join("-")
)

/** A UUID of version 7, in any case. */
export const uuidV7: Arbitrary.Arbitrary<string> = Arbitrary.map(
  Arbitrary.all([uuid, Arbitrary.schema(Schema.Literals(["8", "9", "a", "b", "A", "B"]))]),
  ([id, variant]) => `${id.slice(0, 14)}7${id.slice(15, 19)}${variant}${id.slice(20)}`
)

/** Milliseconds between 1970 and 2096, where every shortest form of a date has four digits of year. */
export const instant: Arbitrary.Arbitrary<number> = Arbitrary.schema(
  Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4_000_000_000_000 }))
)
