/**
 * Origins of web pages, as browsers send them: `https://app.example`, with a port unless it is the protocol's own.
 */

/** Undefined for what has a path, a user or another protocol than http and https. */
export const parse = (text: string): string | undefined =>
  /^https?:\/\/[^\s/?#@\\]+\/?$/i.test(text) && URL.canParse(text) ? new URL(text).origin : undefined
