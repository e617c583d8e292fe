/**
 * Keeps secrets out of what people read: the last step before a line leaves the process.
 */

/** Stands where a secret stood. */
export const hidden = "<redacted>"

/** Hides what looks like a secret wherever it stands: signatures in URLs, passwords in connection strings. */
export const redactPatterns = (text: string): string =>
  text
    .replace(/((?:signature|credential|security-token)(?:=|%3D))[^&\s"'\\<>,;]+/gi, `$1${hidden}`)
    .replace(/\b(postgres(?:ql)?:\/\/)\S*@/gi, `$1${hidden}@`)
    .replace(/\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s"'<>/?#]*@/gi, `$1${hidden}@`)
    .replace(/\b((?:ssl)?password\s*=\s*)(?:'(?:[^'\\]|\\+[^\\])*'|[^\s<&]+)/gi, `$1${hidden}`)

/**
 * A function that hides these secrets, also percent-encoded or as in JSON, and what looks like a secret.
 *
 * Secrets of fewer than 6 characters, and the `postgres` of the default `DATABASE_URL`, are left alone: ordinary lines
 * are full of them.
 */
export const makeRedact = (secrets: Iterable<string>): ((text: string) => string) => {
  const forms = new Set<string>()
  for (const secret of secrets) {
    if (secret.length < 6 || secret === "postgres") continue
    forms.add(secret).add(encodeURIComponent(secret.toWellFormed())).add(JSON.stringify(secret).slice(1, -1))
    forms.add(secret.replace(/[\s\p{Cc}]+/gu, " ").trim() || secret)
  }
  if (forms.size === 0) return redactPatterns
  // The longest first: a secret may begin with another one.
  const alternatives = [...forms].toSorted((a, b) => b.length - a.length).map(escape)
  const known = new RegExp(alternatives.join("|"), "g")
  return (text) => redactPatterns(text.replace(known, hidden))
}

const escape = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")
