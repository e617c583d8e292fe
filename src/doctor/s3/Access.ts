/**
 * The access key that the checks sign with, as far as a person needs to know it.
 */
import * as Redacted from "effect/Redacted"
import type { AccessKey } from "../../signer/credentials/AccessKey.ts"

export interface Access {
  readonly key: AccessKey
  /** The key's id, shortened: `AKIA…WXYZ`. */
  readonly id: string
  /** Where it comes from: the name of its variable, or of what lent it. */
  readonly source: string
}

/** What findings about credentials are about. */
export const subject = "credentials"

/** The first and the last four characters; of a short id the first two, since the rest could be guessed. */
export const shorten = (id: Redacted.Redacted): string => {
  const text = Redacted.value(id)
  return text.length < 16 ? `${text.slice(0, 2)}…` : `${text.slice(0, 4)}…${text.slice(-4)}`
}
