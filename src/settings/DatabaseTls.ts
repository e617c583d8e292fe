/**
 * What libpq's `sslmode` and certificate parameters mean, said to the driver.
 */
import * as Result from "effect/Result"
import { X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"
import { type ConnectionOptions, createSecureContext, getCACertificates, type SecureVersion } from "node:tls"
import type { DatabaseConnection, Parameters } from "./DatabaseUrl.ts"
import { connectPreferringTls } from "./PreferTls.ts"
import { alternatives } from "./SettingTypes.ts"

/** Whether to encrypt, and how; with `prefer`, only if the server offers it. */
export interface Tls {
  readonly use: "never" | "prefer" | "always"
  readonly options: ConnectionOptions
}

/**
 * `allow` and `prefer` (the default) use TLS if the server offers it and look at no certificate; `require` insists on it;
 * `verify-ca` verifies the certificate, `verify-full` also that it is the host's. Fails with what is wrong, in one line.
 *
 * As in libpq, `require` with an `sslrootcert` is `verify-ca`, and `sslrootcert=system` goes with `verify-full` only.
 * Otherwise than in libpq, without an `sslrootcert` the authorities that Node trusts verify; `allow` is `prefer`; and
 * `prefer` falls back to plain text when TLS cannot be had, not when the server turns away an encrypted session.
 */
export const decode = (parameters: Parameters): Result.Result<Tls, string> => {
  const root = parameters.get("sslrootcert")
  const asked = parameters.get("sslmode") ?? (root === "system" ? "verify-full" : "prefer")
  if (!modes.includes(asked)) return Result.fail(`sslmode should be ${alternatives(modes)}`)
  if (root === "system" && asked !== "verify-full") {
    return Result.fail("sslrootcert=system should go with sslmode=verify-full")
  }
  if (asked === "disable") return Result.succeed({ use: "never", options: {} })

  const mode = asked === "require" && root !== undefined ? "verify-ca" : asked
  const verifies = mode === "verify-ca" || mode === "verify-full"
  const name = parameters.has("hostaddr") ? parameters.get("host") : undefined
  return Result.map(certificates(parameters, verifies ? root : undefined), (context) => ({
    use: mode === "allow" || mode === "prefer" ? "prefer" : "always",
    options: {
      ...context,
      rejectUnauthorized: verifies,
      ...(mode === "verify-ca" ? { checkServerIdentity: () => undefined } : {}),
      ...(name === undefined ? {} : { servername: name })
    }
  }))
}

/** The driver's settings for the way to the server. A unix socket is never encrypted. */
export const transport = (to: {
  readonly host: string
  readonly port: number
  readonly tls: Tls
}): Pick<DatabaseConnection, "ssl" | "stream"> => {
  if (to.host.startsWith("/") || to.tls.use === "never") return { ssl: false }
  if (to.tls.use === "always") return { ssl: to.tls.options }
  return { ssl: false, stream: () => connectPreferringTls({ host: to.host, port: to.port, tls: to.tls.options }) }
}

const modes = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]

/** The parameters that count here, and those that change nothing. */
export const parameterNames: ReadonlyArray<string> = [
  "sslmode",
  "sslrootcert",
  "sslcert",
  "sslkey",
  "sslpassword",
  "ssl_min_protocol_version",
  "ssl_max_protocol_version",
  "sslcompression",
  "sslsni",
  "sslkeylogfile"
]

const versions: ReadonlyArray<string> = ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]

/** Reads the certificate files and tries them out, so that a wrong one is found before any connection is opened. */
const certificates = (parameters: Parameters, root: string | undefined): Result.Result<ConnectionOptions, string> =>
  Result.gen(function* () {
    const ca =
      root === "system"
        ? [...getCACertificates("default"), ...getCACertificates("system")]
        : yield* read("sslrootcert", root)
    const cert = yield* read("sslcert", parameters.get("sslcert"))
    const key = yield* read("sslkey", parameters.get("sslkey"))
    if ((cert === undefined) !== (key === undefined)) return yield* Result.fail("sslcert and sslkey should go together")
    const [lowest, highest] = [parameters.get("ssl_min_protocol_version"), parameters.get("ssl_max_protocol_version")]
    for (const version of [lowest, highest]) {
      if (version !== undefined && !versions.includes(version)) {
        return yield* Result.fail(
          `ssl_min_protocol_version and ssl_max_protocol_version should be ${alternatives(versions)}`
        )
      }
    }
    // Made once: making one for each connection would parse the authorities each time.
    const context = {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined || key === undefined ? {} : { cert, key, passphrase: parameters.get("sslpassword") }),
      ...(lowest === undefined ? {} : { minVersion: lowest as SecureVersion }),
      ...(highest === undefined ? {} : { maxVersion: highest as SecureVersion })
    }
    if (Object.keys(context).length === 0) return {}
    const secureContext = yield* Result.try({
      // A file without a certificate would pass in silence, and then nothing would be trusted.
      try: () => (Buffer.isBuffer(ca) && new X509Certificate(ca), createSecureContext(context)),
      catch: () => "the files of sslrootcert, sslcert and sslkey should be certificates and the key, in PEM"
    })
    return { secureContext }
  })

const read = (name: string, file: string | undefined): Result.Result<Buffer | undefined, string> =>
  file === undefined
    ? Result.succeed(undefined)
    : Result.try({
        try: () => readFileSync(file),
        catch: (error) =>
          `the file of ${name} should be readable (${(error as NodeJS.ErrnoException).code ?? "it is not"})`
      })
