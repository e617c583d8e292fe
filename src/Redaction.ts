/**
 * Keeps secrets out of what people read: the last step before a line leaves the process.
 */

import * as Redacted from "effect/Redacted"

/** Stands where a secret stood. */
export const hidden = "<redacted>"

/** Hides what looks like a secret wherever it stands: signatures in URLs, passwords in connection strings, keys and tokens. */
export const redactPatterns = (text: string): string =>
  text
    .replace(/((?:signature|credential|security-token)(?:=|%3D))[^&\s"'\\<>,;]+/gi, `$1${hidden}`)
    .replace(
      /((?:secret_?access_?key|session_?token|\btoken|password)["'\\]*(?::|>|\s*=)\s*["'\\]*)[^\s"'\\<>&,;]{6,}/gi,
      `$1${hidden}`
    )
    .replace(/\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*/g, hidden)
    .replace(/\b(postgres(?:ql)?:\/\/)\S*@/gi, `$1${hidden}@`)
    .replace(/\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s"'<>/?#]*@/gi, `$1${hidden}@`)
    .replace(/\b((?:ssl)?password\s*=\s*)(?:'(?:[^'\\]|\\+[^\\])*'|[^\s<&]+)/gi, `$1${hidden}`)

/** What is known to be secret in a process, and the one function that hides it. */
export interface Redaction {
  /** Hides what is known, also percent-encoded or as in JSON, and what looks like a secret. */
  readonly redact: (text: string) => string
  /** These are secret too from now on: keys that were found while the process runs. The last few are remembered. */
  readonly learn: (secrets: ReadonlyArray<Redacted.Redacted>) => void
}

/** Keys, ids and tokens of the last credentials: what was signed with older ones has ended, or soon will. */
const mostLearned = 60

/**
 * Secrets of fewer than 6 characters, and the `postgres` of the default `DATABASE_URL`, are left alone: ordinary lines
 * are full of them.
 */
export const makeRedaction = (secrets: ReadonlyArray<Redacted.Redacted>): Redaction => {
  let learned: ReadonlyArray<Redacted.Redacted> = []
  let known = matcher(secrets)
  return {
    redact: (text) => redactPatterns(known === undefined ? text : text.replace(known, hidden)),
    learn: (more) => {
      learned = [...learned, ...more].slice(-mostLearned)
      known = matcher([...secrets, ...learned])
    }
  }
}

const matcher = (secrets: ReadonlyArray<Redacted.Redacted>): RegExp | undefined => {
  const forms = new Set<string>()
  for (const secret of secrets.map(Redacted.value)) {
    if (secret.length < 6 || secret === "postgres") continue
    forms.add(secret).add(encodeURIComponent(secret.toWellFormed())).add(JSON.stringify(secret).slice(1, -1))
    forms.add(secret.replace(/[\s\p{Cc}]+/gu, " ").trim() || secret)
  }
  // The longest first: a secret may begin with another one.
  const alternatives = [...forms].toSorted((a, b) => b.length - a.length).map(escape)
  return alternatives.length === 0 ? undefined : new RegExp(alternatives.join("|"), "g")
}

const escape = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")
