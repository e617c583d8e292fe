/**
 * What type a download is said to be, and whether a browser may show it instead of saving it.
 *
 * The type on record came from whoever uploaded the file, and so did the file. What a browser shows, it shows in the
 * origin of the store, or of the site that the store is reached through: script in it can do there what its reader can.
 * So a file is shown only when its type is one that brings no script into that origin.
 */

export interface Forced {
  /** For `response-content-type`: printable ASCII of at most 255 characters, type and subtype in lower case. */
  readonly contentType: string
  readonly disposition: "attachment" | "inline"
}

/**
 * The type on record when it is one (RFC 9110, RFC 6838), else `application/octet-stream`. Parameters that could be
 * read in more than one way are left out, all of them, as in `video/webm;codecs=vp8,opus` of a browser's recorder.
 */
export const of = (fileType: string, wantsInline: boolean): Forced => {
  const given = fileType.trim()
  const type = start.exec(given)?.[1]?.toLowerCase()
  if (type === undefined) return { contentType: "application/octet-stream", disposition: "attachment" }
  const parameters = given.length <= longest && whole.test(given) ? given.slice(type.length) : ""
  return { contentType: type + parameters, disposition: wantsInline && shown.has(type) ? "inline" : "attachment" }
}

/** Two names of 127 characters, as RFC 6838 has them at most, or shorter ones with parameters. */
const longest = 255

/**
 * A parameter's value is narrower than RFC 9110's: it has no comma, no backslash and no apostrophe. Browsers read
 * `image/png, text/html` as two types of which the last one counts, and do not agree on what quotes a comma.
 */
const name = "[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
const value = `(?:[\\w!#$&^.+-]+|"[\\w !#$&()*+./:;<=>?@[\\]^{|}~-]*")`
const start = new RegExp(`^(${name}/${name})[ \\t]*(?:;|$)`)
const whole = new RegExp(`^${name}/${name}(?: *; *${name}=${value})*$`)

/**
 * The types that a browser may show: pictures of dots, sound, film, plain text, and PDF.
 *
 * None of them runs script in the origin it comes from: a PDF's runs in the browser's viewer, which has none of the
 * origin's rights. Browsers look into such a file for another type of its kind at most, and find no page in it. SVG,
 * HTML, XML with all that ends in `+xml` (it can bring XHTML or a style sheet along), `multipart/x-mixed-replace` and
 * scripts are not here, and neither is what browsers save anyway.
 */
const shown = new Set([
  "application/pdf",
  "text/plain",
  ...["apng", "avif", "bmp", "gif", "jpeg", "jpg", "png", "webp"].map((subtype) => `image/${subtype}`),
  ...["aac", "flac", "mp3", "mp4", "mpeg", "ogg", "opus", "wav", "webm", "x-m4a", "x-wav"].map(
    (subtype) => `audio/${subtype}`
  ),
  ...["mp4", "mpeg", "ogg", "quicktime", "webm", "x-m4v"].map((subtype) => `video/${subtype}`)
])
