import { redactPatterns } from "../../src/Redaction.ts"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { userInfo } from "node:os"
import { decode, type DatabaseConnection } from "../../src/settings/DatabaseUrl.ts"

const connection = (text: string, environment: Record<string, string> = {}): DatabaseConnection =>
  Result.getOrThrowWith(decode(text, environment), (problems) => new Error(problems.join("\n")))

const problems = (text: string, environment: Record<string, string> = {}): ReadonlyArray<string> => {
  const decoded = decode(text, environment)
  return Result.isFailure(decoded) ? decoded.failure : assert.fail("it was accepted")
}

const passwordOf = ({ password }: DatabaseConnection) => (password === undefined ? undefined : Redacted.value(password))

/** Any text that a connection string can carry, made of any text at all. */
const carried = (text: string) => `${text.replace(/[\p{Cc}\p{Cs}]/gu, "")}x`
const quoted = (text: string) => `'${text.replace(/['\\]/g, "\\$&")}'`
const Texts = { user: Schema.String, password: Schema.String, database: Schema.String }
const properties = { arbitrary: { runs: 200 } }

describe("DatabaseUrl", () => {
  it("reads the default of the contract", () => {
    const { database, host, port, username, ...rest } = connection(
      "postgres://postgres:postgres@localhost:5432/civic_os"
    )

    assert.deepEqual(
      { database, host, port, username },
      {
        database: "civic_os",
        host: "localhost",
        port: 5432,
        username: "postgres"
      }
    )
    assert.strictEqual(passwordOf({ database, host, port, username, ...rest }), "postgres")
    assert.strictEqual(rest.applicationName, "s3-signer")
  })

  it.effect.prop(
    "gives back what was percent-encoded into a URL",
    Texts,
    (texts) =>
      Effect.sync(() => {
        const [user, password, database] = [carried(texts.user), carried(texts.password), carried(texts.database)]

        const read = connection(
          `postgresql://${encodeURIComponent(user)}:${encodeURIComponent(password)}@db.example:6543/${encodeURIComponent(database)}`
        )

        assert.deepEqual([read.username, passwordOf(read), read.database], [user, password, database])
      }),
    properties
  )

  it.effect.prop(
    "gives back what was quoted in key = value pairs",
    Texts,
    (texts) =>
      Effect.sync(() => {
        const [user, password, database] = [carried(texts.user), carried(texts.password), carried(texts.database)]

        const read = connection(`host=h user=${quoted(user)} password = ${quoted(password)} dbname=${quoted(database)}`)

        assert.deepEqual([read.username, passwordOf(read), read.database], [user, password, database])
      }),
    properties
  )

  it.effect.prop(
    "never repeats a piece of a string that it refuses",
    { before: Schema.String, after: Schema.String },
    ({ after, before }) =>
      Effect.sync(() => {
        const text = `${before}canary${after}`

        for (const string of [text, `postgres://${text}`, `postgres://u:${text}@h,h/db`, `host=h,h port=${text}`]) {
          const decoded = decode(string, {})
          if (Result.isFailure(decoded)) assert.notInclude(decoded.failure.join("\n"), "canary")
        }
      }),
    properties
  )

  it.for([
    ["postgres:///db?host=/var/run/postgresql&port=5433", "/var/run/postgresql", 5433],
    ["postgres://%2Fvar%2Frun%2Fpostgresql/db", "/var/run/postgresql", 5432],
    ["host=/tmp dbname=db", "/tmp", 5432],
    ["postgres://[2001:db8::1]:5433/db", "2001:db8::1", 5433],
    ["postgres://[::1]/db", "::1", 5432],
    ["host=::1 dbname=db", "::1", 5432],
    ["host=db.example hostaddr=192.0.2.1 dbname=db", "192.0.2.1", 5432],
    ["postgres://db.example/db?port=6432", "db.example", 6432],
    ["dbname=db", "localhost", 5432]
  ] as const)("finds the server in %s", ([text, host, port]) => {
    const read = connection(text)

    assert.deepEqual([read.host, read.port, read.database], [host, port, "db"])
  })

  it("honours application name, options and connection timeout", () => {
    const read = connection(
      "postgres://u@h/db?application_name=one%20two&options=-c%20statement_timeout%3D5s&connect_timeout=7"
    )

    assert.strictEqual(read.applicationName, "one two")
    assert.strictEqual(read.startupOptions, "-c statement_timeout=5s")
    assert.strictEqual(String(read.connectTimeout), "7000 millis")
    assert.strictEqual(connection("user=u fallback_application_name=other").applicationName, "other")
    assert.strictEqual(String(connection("user=u connect_timeout=0").connectTimeout), "5000 millis")
  })

  it("takes what the string leaves out from libpq's variables, then from the operating system", () => {
    const environment = {
      PGUSER: "u",
      PGPASSWORD: "p@ss",
      PGHOST: "h",
      PGPORT: "1",
      PGDATABASE: "d",
      PGSSLMODE: "disable"
    }

    const read = connection("postgres://", environment)

    assert.deepEqual([read.username, passwordOf(read), read.host, read.port, read.database], ["u", "p@ss", "h", 1, "d"])
    assert.isUndefined(read.stream)
    assert.strictEqual(passwordOf(connection("postgres://a:own@b/c", environment)), "own")
    assert.strictEqual(connection("postgres://h").username, userInfo().username)
    assert.strictEqual(connection("postgres://someone@h").database, "someone")
  })

  it("takes the password to end at the last @, as the Go service did", () => {
    assert.strictEqual(passwordOf(connection("postgres://u:p@ss@h/db")), "p@ss")
  })

  it("ignores parameters of other programs", () => {
    connection(
      "postgres://u@h/db?pool_max_conns=9&statement_cache_capacity=0&target_session_attrs=read-write&gssencmode=prefer&tcp_user_timeout=3"
    )
  })

  it.for([
    ["nonsense", "postgres://host:port/database"],
    ["mysql://u:p@h/db?x=1", "postgres://host:port/database"],
    ["postgres://u:p@a:1,b:2/db", "one host"],
    ["host=a,b user=u", "one host"],
    ["postgres://u:p@h:port/db", "port"],
    ["postgres://u:p@h:0/db", "port"],
    ["postgres://u:p@h:65536/db", "port"],
    ["postgres://u:p/w@h/db", "percent-encoded"],
    ["postgres://u:p#w@h/db", "percent-encoded"],
    ["postgres://u:p%w@h/db", "percent-encoding"],
    ["postgres://u:p@h/db\n", "line end"],
    ["postgres://u:p@h/d%00b", "%00"],
    ["postgres://u@h/db?sslmode=no-verify", "disable, allow, prefer, require, verify-ca or verify-full"],
    ["postgres://u@h/db?sslmod=verify-full", "begins with ssl"],
    ["postgres://u@h/db?channel_binding=require", "channel_binding"],
    ["postgres://u@h/db?gssencmode=require", "gssencmode"],
    ["postgres://u@h/db?sslnegotiation=direct", "sslnegotiation"],
    ["postgres://u@h/db?sslcrl=/crl.pem", "sslcrl"],
    ["postgres://u@h/db?require_auth=scram-sha-256", "require_auth"],
    ["postgres://u@h/db?target_session_attrs=standby", "target_session_attrs"],
    ["service=mine", "service"],
    ["user=u connect_timeout=-1", "connect_timeout"],
    ["user=u password='open", "postgres://host:port/database"],
    ["user=u sslmode=verify-ca sslrootcert=/nowhere/ca.pem", "sslrootcert should be readable (ENOENT)"],
    ["user=u sslmode=verify-ca sslrootcert=/etc/passwd", "in PEM"],
    ["user=u sslrootcert=system sslmode=require", "verify-full"],
    ["user=u sslcert=/etc/passwd", "together"]
  ] as const)("refuses %j", ([text, reason]) => {
    assert.include(problems(text).join("\n"), reason)
    // What hides secrets on the way to standard error leaves the advice whole.
    assert.strictEqual(redactPatterns(problems(text).join("\n")), problems(text).join("\n"))
  })

  it("names everything that is wrong at once", () => {
    assert.lengthOf(problems("host=a,b user=u port=x sslmode=maybe gssencmode=require connect_timeout=soon"), 5)
  })

  it("encrypts no unix socket", () => {
    const { ssl, stream } = connection("host=/tmp user=u sslmode=require")

    assert.deepEqual({ ssl, stream }, { ssl: false, stream: undefined })
  })
})
