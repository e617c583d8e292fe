/**
 * Reads a PostgreSQL connection string as libpq reads it, into what the driver takes.
 *
 * The driver's own parser verifies certificates where libpq does not, knows no certificate files and no `host=… user=…`
 * form, and lets pass in silence what it cannot do. No message repeats a piece of the string: it may be the password.
 */
import type * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { userInfo } from "node:os"
import * as DatabaseTls from "./DatabaseTls.ts"
import { alternatives, wholeNumber } from "./SettingTypes.ts"

/** Where the database is and how to reach it: the driver's settings for one connection. */
export interface DatabaseConnection extends PgConnection.Config {
  /** A host name, an address, or the directory of a unix socket. */
  readonly host: string
  readonly port: number
  readonly database: string
  readonly username: string
  readonly password: Redacted.Redacted | undefined
  readonly applicationName: string
}

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>

/** What a connection string says, by libpq's names. */
export type Parameters = ReadonlyMap<string, string>

/**
 * The connection that a string of either form asks for: `postgres://user:password@host:port/database?sslmode=require` or
 * `host=… dbname=…`. Fails with what is wrong, a line each.
 *
 * What the string leaves out comes from libpq's environment variables (`PGUSER`, `PGPASSWORD`, `PGSSLMODE` …), then from
 * defaults: host `localhost`, port 5432, the operating system's user, a database of the user's name, `sslmode=prefer`,
 * application name `s3-signer`, 5 seconds to connect. Parameters that ask for what cannot be done are refused; those of
 * other programs (`pool_max_conns` …) are ignored.
 */
export const decode = (
  text: string,
  environment: Environment
): Result.Result<DatabaseConnection, ReadonlyArray<string>> => {
  const parsed = /^postgres(ql)?:\/\//.test(text) ? parseUrl(text) : parseKeywords(text)
  if (Result.isFailure(parsed)) return Result.fail([parsed.failure])
  const fromEnvironment = Object.entries(variables).map(([name, variable]) => [name, environment[variable]] as const)
  const parameters = new Map<string, string>()
  for (const [name, value] of [...fromEnvironment, ...parsed.success]) if (value) parameters.set(name, value)

  const host = parameters.get("hostaddr") ?? parameters.get("host") ?? "localhost"
  const port = portType.decode(parameters.get("port") ?? "5432")
  const timeout = timeoutType.decode(parameters.get("connect_timeout") ?? "0")
  const username = parameters.get("user") ?? operatingSystemUser()
  const tls = DatabaseTls.decode(parameters)
  const problems = [
    ...[...parameters.values()].filter((value) => value.includes("\0")).map(() => "it should hold no %00"),
    ...[...parameters].flatMap(([name, value]) => refusal(name, value) ?? []),
    ...(host.includes(",") ? [severalHosts] : []),
    ...(port === undefined ? [`its port should be ${portType.expected}`] : []),
    ...(timeout === undefined ? [`connect_timeout should be ${timeoutType.expected}, in seconds`] : []),
    ...(username === undefined ? ["it should name a user"] : []),
    ...(Result.isFailure(tls) ? [tls.failure] : [])
  ]
  if (
    port === undefined ||
    timeout === undefined ||
    username === undefined ||
    Result.isFailure(tls) ||
    problems.length
  ) {
    return Result.fail(problems)
  }

  const password = parameters.get("password")
  return Result.succeed({
    host,
    port,
    database: parameters.get("dbname") ?? username,
    username,
    password: password === undefined ? undefined : Redacted.make(password),
    applicationName: parameters.get("application_name") ?? parameters.get("fallback_application_name") ?? "s3-signer",
    startupOptions: parameters.get("options"),
    // For libpq 0 is "wait for ever"; here it is "no wish": a server that never answers must not hold up a worker.
    connectTimeout: Duration.seconds(timeout === 0 ? 5 : timeout),
    ...DatabaseTls.transport({ host, port, tls: tls.success })
  })
}

const portType = wholeNumber(1, 65_535)
const timeoutType = wholeNumber(0, 2_147_483)

/** Containers may run as a user without a name. */
const operatingSystemUser = (): string | undefined => Result.getOrUndefined(Result.try(() => userInfo().username))

/** The environment variables that stand in for what a string leaves out. */
const variables: Readonly<Record<string, string>> = {
  host: "PGHOST",
  hostaddr: "PGHOSTADDR",
  port: "PGPORT",
  dbname: "PGDATABASE",
  user: "PGUSER",
  password: "PGPASSWORD",
  application_name: "PGAPPNAME",
  options: "PGOPTIONS",
  connect_timeout: "PGCONNECT_TIMEOUT",
  sslmode: "PGSSLMODE",
  sslrootcert: "PGSSLROOTCERT",
  sslcert: "PGSSLCERT",
  sslkey: "PGSSLKEY"
}

/** The names of the environment variables that `decode` looks at. */
export const environmentNames: ReadonlyArray<string> = Object.values(variables)

const severalHosts = "it should name one host: for several, put a DNS name or a proxy before them"
const eitherForm =
  "it should be a URL, postgres://host:port/database with user:password before the host, or host=… user=… dbname=…"
const unencoded = "in its parts, / ? # @ should be percent-encoded (%2F %3F %23 %40)"
const badEncoding = "its percent-encoding should be right: a % itself is written %25"

type Entries = ReadonlyArray<readonly [name: string, value: string]>

const parseUrl = (text: string): Result.Result<Entries, string> => {
  const url = /^[a-z]+:\/\/(?:([^/?#]*)@)?([^/?#@]*)(?:\/([^/?#@]*))?(?:\?([^#]*))?$/.exec(text)
  if (/\p{Cc}/u.test(text)) return Result.fail("it should hold no line end and no other control character")
  if (url === null) return Result.fail(unencoded)
  const [, credentials = "", address = "", dbname = "", query = ""] = url
  if (address.includes(",")) return Result.fail(severalHosts)
  const place = /^(?:\[(.*)\]|([^:[\]]*))(?::([^\]]*))?$/.exec(address)
  if (place === null) return Result.fail("its host should be a name, an IPv4 address or an IPv6 address in brackets")
  const [, ipv6, host = "", port = ""] = place
  const [, user = "", password = ""] = /^([^:]*):?(.*)$/s.exec(credentials) ?? []
  const entries = [
    ...Object.entries({ host: ipv6 ?? host, port, user, password, dbname }),
    ...query.split("&").map(pair)
  ]
  return Result.try({
    try: () => entries.map(([name, value]) => [decodeURIComponent(name), decodeURIComponent(value)] as const),
    catch: () => badEncoding
  })
}

/** As in libpq, `ssl=true` is another word for `sslmode=require`, and a + is a plus. */
const pair = (text: string): readonly [name: string, value: string] => {
  if (text === "ssl=true") return ["sslmode", "require"]
  const [, name = "", value = ""] = /^([^=]*)=?(.*)$/s.exec(text) ?? []
  return [name, value]
}

const parseKeywords = (text: string): Result.Result<Entries, string> => {
  const entries: Array<readonly [string, string]> = []
  const keyword = /\s*([a-zA-Z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'(?=\s|$)|((?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*)|$)\s*/sy
  while (keyword.lastIndex < text.length) {
    const found = keyword.exec(text)
    if (found === null) return Result.fail(eitherForm)
    entries.push([found[1] ?? "", (found[2] ?? found[3] ?? "").replace(/\\(.)/gs, "$1")])
  }
  return entries.length === 0 ? Result.fail(eitherForm) : Result.succeed(entries)
}

/** Parameters that ask for something that cannot be done here, with the values that ask for nothing. */
const harmless = new Map<string, ReadonlyArray<string>>([
  ["channel_binding", ["disable", "prefer"]],
  ["client_encoding", ["auto", "UTF8", "utf8", "UTF-8", "utf-8"]],
  ["gssencmode", ["disable", "prefer"]],
  ["max_protocol_version", ["3.0", "latest"]],
  ["min_protocol_version", ["3.0"]],
  ["passfile", []],
  ["replication", ["false", "off", "no", "0"]],
  ["require_auth", []],
  ["requirepeer", []],
  ["scram_client_key", []],
  ["scram_server_key", []],
  ["service", []],
  ["servicefile", []],
  ["sslcertmode", ["disable", "allow"]],
  ["sslcrl", []],
  ["sslcrldir", []],
  ["sslnegotiation", ["postgres"]],
  // A worker writes: on a server that is read-only it waits, whatever was asked for.
  ["target_session_attrs", ["any", "read-write", "primary", "prefer-standby"]]
])

const refusal = (name: string, value: string): string | undefined => {
  // Anything else that begins so is a slip of the pen, and would leave the connection weaker than was meant.
  if (name.startsWith("ssl") && !harmless.has(name) && !DatabaseTls.parameterNames.includes(name)) {
    return "it has a parameter that begins with ssl and is none of libpq's"
  }
  const values = harmless.get(name)
  if (values === undefined || values.includes(value)) return undefined
  return values.length === 0 ? `${name} cannot be honoured` : `${name} should be ${alternatives(values)}`
}
