/**
 * What is wrong with a source of credentials, out of the errors that the AWS SDK and Node report.
 *
 * Names, statuses and codes; never the text of an error, which may hold the command line of a credential process, a
 * token or an answer.
 */

/** A few words for a person, such as `HTTP 403`, `AccessDenied, HTTP 403` or `ECONNREFUSED`. */
export const faultOf = (error: unknown): string => {
  const errors = unfold(error)
  const said = sentences.find(([sentence]) => errors.some(({ message }) => sentence.test(message)))
  if (said !== undefined) return said[1]
  const parts = new Set(errors.flatMap(partsOf))
  if (parts.size > 0) return [...parts].join(", ")
  const name = errors[0]?.name ?? ""
  return nameless.has(name) ? name : "an error without a name"
}

/** Sentences of the SDK and of Node that say more than their errors' names, in words without what else they hold. */
const sentences: ReadonlyArray<readonly [sentence: RegExp, words: string]> = [
  [/^Command failed/, "the credential process failed"],
  [/credential_process returned invalid JSON/, "the credential process did not print JSON"],
  [/credential_process did not return Version 1/, "the credential process did not print Version 1"],
  [/credential_process returned invalid credentials/, "the credential process did not print both keys"],
  [/credential_process returned expired credentials/, "the credential process printed keys that have ended"],
  [/^Could not resolve credentials using profile/, "a profile does not say where its keys come from"],
  [/^Detected a cycle/, "source profiles name each other in a circle"],
  [/^Unsupported credential source/, "credential_source is not EcsContainer, Ec2InstanceMetadata or Environment"],
  [/^Unable to find environment variable credentials/, "no keys in the environment"],
  [/^The SSO session |^Token is expired| in SSO Token|re-authenticate using aws login/, "nobody is signed in any more"],
  [/^HTTP credential provider response not of the required format/, "the answer lacks fields"],
  [/^Invalid response (received )?from /, "the answer lacks fields"],
  [/^TimeoutError from instance metadata service/, "no answer"],
  [/^AWS EC2 Metadata v1 fallback has been blocked/, "no session of version 2, and version 1 is switched off"],
  [/^URL not accepted/, "the URI is neither https nor on this host"],
  [/^Cannot read propert(y|ies) of /, "an answer that makes no sense"],
  [/invalid \\r\\n sequence|Invalid character in header content/, "the authorization token holds a line end"]
]

interface Fault {
  readonly name: string
  readonly message: string
  readonly code?: unknown
  readonly Code?: unknown
  readonly syscall?: unknown
  readonly statusCode?: unknown
  readonly $metadata?: { readonly httpStatusCode?: unknown }
}

/** The error, what caused it and what it gathers: at most ten, the outermost first. */
const unfold = (error: unknown): ReadonlyArray<Fault> => {
  const found: Array<Error> = []
  const waiting = [error]
  while (waiting.length > 0 && found.length < 10) {
    const next = waiting.shift()
    if (!(next instanceof Error) || found.includes(next)) continue
    found.push(next)
    waiting.push(next.cause, ...(next instanceof AggregateError ? next.errors : []))
  }
  return found
}

const partsOf = (fault: Fault): ReadonlyArray<string> => {
  const { code, message, name, syscall } = fault
  // The SDK writes some errors into the message of another: "Error: connect ECONNREFUSED 127.0.0.1:80".
  const inside = /^(\w*Error)(?: \[(\w+)\])?(?::|$)/.exec(message)
  const errno = inside === null ? null : /\bE[A-Z]{4,20}\b/.exec(message)
  const codes = [code, inside?.[2], errno?.[0]].filter(isCode)
  const names = [name, inside?.[1], fault.Code].filter(isName)
  const status =
    fault.$metadata?.httpStatusCode ?? fault.statusCode ?? /^Server responded with status: (\d+)$/.exec(message)?.[1]
  return [
    ...names.filter((name) => !isOfJavaScript(name)),
    ...codes.map((code) => (syscall === "open" ? `token file: ${code}` : code)),
    ...(/^[345]\d\d$/.test(String(status)) ? [`HTTP ${String(status)}`] : []),
    // What JSON, XML or a time that cannot be read comes to.
    ...(codes.length === 0 && (names.some(isOfJavaScript) || status === 200) ? ["an answer that makes no sense"] : [])
  ]
}

/** `AccessDenied`, `ExpiredTokenException`: letters only, so that no key and no token passes for one. */
const isName = (name: unknown): name is string =>
  typeof name === "string" && /^[A-Z][A-Za-z]{2,59}$/.test(name) && !nameless.has(name)

/** Names that say nothing. */
const nameless = new Set(["Error", "AggregateError", "CredentialsProviderError", "ProviderError", "Unknown"])

const isOfJavaScript = (name: string): boolean => /^(Syntax|Type|Range)Error$/.test(name)

/** `ENOTFOUND`, `ERR_INVALID_URL`, `CERT_HAS_EXPIRED`. */
const isCode = (code: unknown): code is string =>
  typeof code === "string" && /^E[A-Z]{2,20}$|^[A-Z]+(_[A-Z\d]+)+$/.test(code)
