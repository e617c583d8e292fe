/**
 * What a server does with a presigned request: it computes the signature from the request as it arrived, after the
 * published algorithm and with none of this project's code, and compares.
 */
import { createHash, createHmac, type BinaryLike } from "node:crypto"

export interface Arrived {
  readonly method: string
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly secretAccessKey: string
  /** S3 does not sign the body of a presigned request; other services do. */
  readonly payloadHash?: string
}

/** The signature that the URL should carry, and the one it does. */
export const signatures = (arrived: Arrived): { readonly expected: string; readonly found: string } => {
  const [, authority, path, query] = /^https?:\/\/([^/?#]+)(\/[^?#]*)\?([^#]*)$/.exec(arrived.url)!
  const parameters = query!.split("&").map((parameter): readonly [string, string] => {
    const equals = parameter.indexOf("=")
    return [decodeURIComponent(parameter.slice(0, equals)), decodeURIComponent(parameter.slice(equals + 1))]
  })
  const parameter = (name: string) => {
    const values = parameters.filter(([other]) => other === name)
    if (values.length !== 1) throw new Error(`${values.length} parameters ${name}`)
    return values[0]![1]
  }
  const [, date, region, service, terminator] = parameter("X-Amz-Credential").split("/")
  const headers = new Map([["host", authority!]])
  for (const [name, value] of Object.entries(arrived.headers ?? {})) headers.set(name.toLowerCase(), value)
  const names = parameter("X-Amz-SignedHeaders").split(";")

  const canonicalRequest = [
    arrived.method,
    path!
      .split("/")
      .map((segment) => percentEncode(decodeURIComponent(segment)))
      .join("/"),
    parameters
      .filter(([name]) => name !== "X-Amz-Signature")
      .map(([name, value]) => [percentEncode(name), percentEncode(value)] as const)
      .toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      .map(([name, value]) => `${name}=${value}`)
      .join("&"),
    ...names.map((name) => `${name}:${canonicalValue(headers.get(name)!)}`),
    "",
    names.join(";"),
    arrived.payloadHash ?? "UNSIGNED-PAYLOAD"
  ].join("\n")
  const stringToSign = [
    parameter("X-Amz-Algorithm"),
    parameter("X-Amz-Date"),
    [date, region, service, terminator].join("/"),
    createHash("sha256").update(canonicalRequest).digest("hex")
  ].join("\n")
  const key = [date!, region!, service!, terminator!].reduce<BinaryLike>(hmac, `AWS4${arrived.secretAccessKey}`)
  return { expected: hmac(key, stringToSign).toString("hex"), found: parameter("X-Amz-Signature") }
}

const hmac = (key: BinaryLike, text: string): Buffer => createHmac("sha256", key).update(text).digest()

const canonicalValue = (value: string): string =>
  value
    .split(/[ \t\r\n]/)
    .filter((word) => word !== "")
    .join(" ")

const percentEncode = (text: string): string =>
  Array.from(Buffer.from(text), (byte) => {
    const character = String.fromCharCode(byte)
    return /[A-Za-z0-9\-._~]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`
  }).join("")
