/**
 * What a download does in a browser and what its file is called there: the value of `Content-Disposition` (RFC 6266).
 *
 * Pure, a few microseconds a name. The answer is printable ASCII and at most 1,062 characters, whatever the name holds.
 */

export interface Download {
  /** As it was uploaded; any text. */
  readonly name: string
  readonly disposition: "attachment" | "inline"
}

/**
 * `attachment; filename="Bericht.pdf"`. A name that is more than plain ASCII stands there twice: made plain, for
 * clients that know nothing else, and whole, in the form of RFC 8187, which browsers prefer:
 * `attachment; filename="Uber_.pdf"; filename*=UTF-8''%C3%9Cber%3F.pdf`.
 */
export const of = ({ disposition, name }: Download): string => {
  const whole = usable(name.trim().replace(unusable, "_"))
  const plain = usable(whole.normalize("NFKD").replace(marks, "").replace(notPlain, "_"))
  const value = `${disposition}; filename="${plain}"`
  return plain === whole ? value : `${value}; filename*=UTF-8''${encode(whole)}`
}

/**
 * What a file cannot be called, or should not be: folders, control characters, line ends, half surrogate pairs, and
 * those that turn the direction of the text after them, which make `photo<U+202E>gnp.exe` look like a picture.
 */
const unusable = /[/\\\p{Cc}\p{Cs}\u2028-\u202e\u2066-\u2069]/gu

/**
 * All but what every client reads between quotes as it stands. Some decode `%41` and `=?UTF-8?Q?…?=` there, end the
 * value at a `;`, or see a quote in `'`; and Windows has no names with `*`, `:`, `<`, `>`, `?` and `|`.
 */
const notPlain = /[^\w !#$&()+.@[\]^{}~-]+/g
const marks = /\p{M}+/gu

/** Something to see, and not only the dots that mean folders. */
const visible = /[^\p{Cc}\p{Cf}\p{Z}.]/u

/** White space at the ends is nothing that somebody means, and behind an extension it hides that. */
const usable = (name: string): string => (visible.test(name) ? shortened(name.trim()) : "download")

/** The longest name that common file systems take, in bytes of UTF-8. */
const longest = 255
/** What is longer is a part of the name that has a dot in it. */
const longestExtension = 32

/** Ends a name that is too long after the last character that has room, and puts its extension behind that. */
const shortened = (name: string): string => {
  if (Buffer.byteLength(name) <= longest) return name
  const found = name.slice(Math.max(0, name.lastIndexOf(".")))
  const extension = Buffer.byteLength(found) <= longestExtension ? found : ""
  const room = new Uint8Array(longest - Buffer.byteLength(extension))
  return name.slice(0, new TextEncoder().encodeInto(name, room).read).trimEnd() + extension
}

/** RFC 8187's: `encodeURIComponent` leaves four characters as they are that the form has other uses for. */
const encode = (text: string): string =>
  encodeURIComponent(text).replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
