/**
 * A request that no attempt can answer, because of what it asks for: its job ends at once, and its user reads why.
 */
import * as Schema from "effect/Schema"

/** What is wrong with which field of a request. The message is one line of 5 to 500 characters, without secrets. */
export class UnusableRequest extends Schema.TaggedError<UnusableRequest>()("UnusableRequest", {
  /** The field of the job's args, as it is spelled there. */
  field: Schema.String,
  message: Schema.String
}) {}

const shownCharacters = 40

/**
 * A user's value in quotes, as a message can show it: the first 40 characters, what cannot be seen by its number
 * (`"a<U+0000>b"`).
 */
export const shown = (value: string): string => {
  const start = Array.from(value.slice(0, 2 * shownCharacters + 1))
  const text = start
    .slice(0, shownCharacters)
    .join("")
    .replace(/[\p{C}\p{Z}]/gu, (character) => (character === " " ? character : codePoint(character)))
  return `"${text}${start.length > shownCharacters ? "…" : ""}"`
}

const codePoint = (character: string): string =>
  `<U+${character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}>`
