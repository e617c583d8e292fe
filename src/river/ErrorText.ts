/**
 * Error texts as people read them: in a job's `errors`, and in what a kind tells its user.
 */

const longest = 500

/**
 * One line of 5 to 500 characters that PostgreSQL can store: no control characters (`\u0000` is refused by `text` and
 * `jsonb`), no half surrogate pairs.
 */
export const clean = (text: string): string => {
  // Cut first: a text of megabytes is not worth walking.
  const line = text
    .slice(0, 4 * longest)
    .toWellFormed()
    // eslint-disable-next-line no-control-regex -- control characters are the point
    .replace(/[\s\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ")
    .trim()
  const whole = [...line].length < 5 ? `failed: ${line === "" ? "no reason given" : line}` : line
  return whole.length <= longest ? whole : `${whole.slice(0, longest - 1).toWellFormed()}…`
}

/** A stack trace without what PostgreSQL cannot store; at most 100 lines. */
export const cleanTrace = (stack: string): string =>
  stack.slice(0, 20_000).replaceAll("\u0000", "\uFFFD").toWellFormed().split("\n").slice(0, 100).join("\n")

/** The message of whatever was thrown, also of what does not want to be read. */
export const messageOf = (error: unknown): string => {
  try {
    const message = typeof error === "object" && error !== null && "message" in error ? error.message : undefined
    return String(message === undefined || message === "" ? error : message)
  } catch {
    return "an error that cannot be read"
  }
}
