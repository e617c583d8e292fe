import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { readFileSync } from "node:fs"
import { inspect } from "node:util"
import * as Endpoint from "../../src/signer/s3/Endpoint.ts"
import { noPrefix } from "../../src/signer/uploads/ObjectKey.ts"
import * as Settings from "../../src/settings/Settings.ts"
import { type SettingName, settingTable } from "../../src/settings/SettingTable.ts"

type Variables = Partial<Record<SettingName | `AWS_${string}` | `PG${string}`, string>>

const from = <A, E>(settings: Effect.Effect<A, E>, variables: Variables) =>
  Effect.provideService(settings, ConfigProvider.ConfigProvider, ConfigProvider.fromEnvRecord(variables))

const load = (variables: Variables) => from(Settings.load, variables)

const problems = (variables: Variables) => Effect.map(Effect.flip(load(variables)), ({ problems }) => problems)

const reveal = (secret: Redacted.Redacted | undefined) => (secret === undefined ? undefined : Redacted.value(secret))

describe("Settings", () => {
  it.effect("has a default for everything", () =>
    Effect.gen(function* () {
      const settings = yield* load({ LOG_FORMAT: "json" })
      const { database, log, river, s3, secrets, warnings } = settings

      assert.deepEqual({ max: database.maxConnections, min: database.minConnections }, { max: 4, min: 1 })
      assert.strictEqual(database.connection.database, "civic_os")
      assert.isTrue(database.listen !== "off" && database.listen.database === "civic_os")
      const aws = { protocol: "https:", hostname: "s3.us-east-1.amazonaws.com", port: undefined, basePath: "" } as const
      assert.deepEqual(s3, {
        keys: undefined,
        presigner: "native",
        downloadUrlLifetime: Duration.hours(1),
        minUrlLifetime: Duration.minutes(2),
        destinations: {
          standard: {
            endpoint: aws,
            apiEndpoint: aws,
            style: "path",
            region: "us-east-1",
            bucket: "civic-os-files",
            prefix: noPrefix,
            uploadLifetime: Duration.minutes(15),
            terms: { headers: {}, query: {} }
          },
          routes: new Map()
        }
      })
      assert.deepEqual(river, {
        schema: "metadata",
        queue: "s3_signer",
        clientId: undefined,
        maxWorkers: 50,
        fetchPollInterval: Duration.seconds(1),
        fetchCooldown: Duration.millis(100),
        jobTimeout: Duration.seconds(5),
        softStopTimeout: Duration.seconds(10)
      })
      assert.isUndefined(settings.requestRetention)
      assert.deepEqual(log, { level: "Info", format: "json" })
      assert.deepEqual(warnings, [])
      assert.deepEqual(secrets.map(Redacted.value), ["postgres", "postgres"])
    })
  )

  it.effect("takes an empty variable for an unset one", () =>
    Effect.gen(function* () {
      const empty = Object.fromEntries(Object.keys(settingTable).map((name) => [name, ""]))

      const settings = yield* load({ ...empty, LOG_FORMAT: "json", AWS_REGION: "" })

      assert.deepEqual(settings.s3, (yield* load({ LOG_FORMAT: "json" })).s3)
    })
  )

  it.effect("reads every setting", () =>
    Effect.gen(function* () {
      const { database, log, requestRetention, river, s3 } = yield* load({
        DATABASE_URL: "postgres://u:database-password@db/civic",
        DB_MAX_CONNS: "1000",
        DB_MIN_CONNS: "0",
        DATABASE_LISTEN_URL: "postgres://u:listen-password@direct/civic",
        S3_ACCESS_KEY_ID: "AKIA",
        S3_SECRET_ACCESS_KEY: "sec/ret+key",
        S3_SESSION_TOKEN: "token==",
        S3_REGION: "eu-central-1",
        S3_ENDPOINT: "http://minio:9000/",
        S3_PUBLIC_ENDPOINT: "https://files.example:443",
        S3_BUCKET: "my.bucket-1",
        S3_PRESIGNER: "sdk",
        UPLOAD_URL_LIFETIME: "7d",
        MAX_WORKERS: "1000",
        FETCH_POLL_INTERVAL: "250 millis",
        FETCH_COOLDOWN: "1ms",
        JOB_TIMEOUT: "1m",
        SOFT_STOP_TIMEOUT: "0s",
        RIVER_SCHEMA: "river",
        RIVER_QUEUE: "uploads fast",
        RIVER_CLIENT_ID: "worker-1",
        REQUEST_RETENTION: "3650d",
        LOG_LEVEL: "trace",
        LOG_FORMAT: "pretty"
      })

      assert.strictEqual(database.connection.host, "db")
      assert.deepEqual([database.maxConnections, database.minConnections], [1000, 0])
      assert.isTrue(database.listen !== "off" && database.listen.host === "direct")
      assert.deepEqual([s3.keys?.accessKeyId, s3.keys?.secretAccessKey, s3.keys?.sessionToken].map(reveal), [
        "AKIA",
        "sec/ret+key",
        "token=="
      ])
      assert.strictEqual(s3.presigner, "sdk")
      const { apiEndpoint, bucket, endpoint, region, uploadLifetime } = s3.destinations.standard
      assert.deepEqual([apiEndpoint, endpoint].map(Endpoint.host), ["minio:9000", "files.example"])
      assert.deepEqual([region, bucket, uploadLifetime], ["eu-central-1", "my.bucket-1", Duration.days(7)])
      assert.deepEqual(river, {
        schema: "river",
        queue: "uploads fast",
        clientId: "worker-1",
        maxWorkers: 1000,
        fetchPollInterval: Duration.millis(250),
        fetchCooldown: Duration.millis(1),
        jobTimeout: Duration.minutes(1),
        softStopTimeout: Duration.zero
      })
      assert.deepEqual(requestRetention, Duration.days(3650))
      assert.deepEqual(log, { level: "Trace", format: "pretty" })
    })
  )

  it.effect("listens nowhere when DATABASE_LISTEN_URL is off", () =>
    Effect.map(load({ DATABASE_LISTEN_URL: "off" }), ({ database }) => assert.strictEqual(database.listen, "off"))
  )

  it.effect("writes S3_ENDPOINT into URLs when there is no S3_PUBLIC_ENDPOINT", () =>
    Effect.map(load({ S3_ENDPOINT: "https://s3.example/base/" }), ({ s3 }) =>
      assert.strictEqual(s3.destinations.standard.endpoint.basePath, "/base")
    )
  )

  it.effect("takes a missing password from PGPASSWORD", () =>
    Effect.map(load({ DATABASE_URL: "postgres://u@h/db", PGPASSWORD: "from-environment" }), ({ database }) =>
      assert.strictEqual(reveal(database.connection.password), "from-environment")
    )
  )

  it.effect.each([
    ["500ms", 500],
    ["10s", 10_000],
    ["15m", 900_000],
    ["1h", 3_600_000],
    ["7d", 604_800_000],
    ["250 millis", 250],
    ["1.5 seconds", 1_500],
    ["2 minutes", 120_000]
  ] as const)("reads the duration %s", ([text, millis]) =>
    Effect.map(load({ JOB_TIMEOUT: text }), ({ river }) =>
      assert.strictEqual(Duration.toMillis(river.jobTimeout), millis)
    )
  )
})

describe("a bad value", () => {
  it.effect.each([
    ["MAX_WORKERS", "1e3", 'MAX_WORKERS holds "1e3"; it should be a whole number from 1 to 1000'],
    ["S3_PRESIGNER", "aws", 'S3_PRESIGNER holds "aws"; it should be native or sdk'],
    ["LOG_LEVEL", "verbose", 'LOG_LEVEL holds "verbose"; it should be trace, debug, info, warn or error'],
    ["S3_REGION", "eu\ncentral", 'S3_REGION holds "eu\\ncentral"; it should be lower-case letters, digits and hyphens'],
    [
      "S3_ENDPOINT",
      "http://root:hunter22@minio",
      'S3_ENDPOINT holds "http://<redacted>@minio"; it should be a URL that begins with http:// or https:// and has no user, query or fragment'
    ],
    [
      "JOB_TIMEOUT",
      "5",
      'JOB_TIMEOUT holds "5"; it should be a duration from 1ms to 24d, such as 500ms, 10s, 15m, 1h or 7d'
    ],
    [
      "S3_SESSION_TOKEN",
      "two words",
      "S3_SESSION_TOKEN holds a value that is not shown; it should be printable ASCII characters without a space or a line end"
    ],
    [
      "DATABASE_URL",
      "postgres://u:p@h/db?sslmode=on",
      "DATABASE_URL holds a value that is not shown; sslmode should be disable, allow, prefer, require, verify-ca or verify-full"
    ]
  ] as const)("of %s is a line with its name, its value unless secret, and what it should be", ([name, value, line]) =>
    Effect.gen(function* () {
      const keys = { S3_ACCESS_KEY_ID: "id", S3_SECRET_ACCESS_KEY: "secret" }

      assert.deepEqual(yield* problems({ ...keys, [name]: value }), [line])
    })
  )

  const bad: ReadonlyArray<readonly [SettingName, ReadonlyArray<string>]> = [
    ["DB_MAX_CONNS", ["0", "1001", "-1", "+5", "5.0", "1e2", "0x10", " 5 ", "five", "٣", "9".repeat(400)]],
    ["DB_MIN_CONNS", ["-1", "1001", "1.5"]],
    ["MAX_WORKERS", ["0", "1001", "1_000"]],
    [
      "UPLOAD_URL_LIFETIME",
      ["0s", "999ms", "1500ms", "8d", "604801s", "Infinity", "15", "15 m", "-5s", "1m30s", "PT5M"]
    ],
    ["FETCH_POLL_INTERVAL", ["0s", "0ms", "1 micro", "25d", "2147483648ms", `${"9".repeat(400)}s`, "Infinity"]],
    ["FETCH_COOLDOWN", ["0ms", "5 nanos"]],
    ["JOB_TIMEOUT", ["0s", "25d", "5S"]],
    ["SOFT_STOP_TIMEOUT", ["-1s", "25d", "-1 seconds"]],
    ["REQUEST_RETENTION", ["0s", "999ms", "3651d", "-1h", "30", "keep", "Infinity"]],
    ["RIVER_SCHEMA", ["1a", "a-b", "a b", "a.b", 'a"b', "x".repeat(47), "ä"]],
    ["RIVER_QUEUE", ["x".repeat(128), "a\tb"]],
    ["RIVER_CLIENT_ID", ["x".repeat(101), "a\nb"]],
    [
      "S3_BUCKET",
      ["ab", "x".repeat(64), "Bucket", "a_b", "a..b", "192.168.5.4", "-ab", "ab-", ".ab", "ab.", "a/b", "a b"]
    ],
    ["S3_REGION", ["EU", "eu_central_1", "eu-central-1/", "é"]],
    [
      "S3_ENDPOINT",
      [
        "minio:9000",
        "ftp://h",
        "http://",
        "http:///x",
        "//h",
        "http://h?x",
        "http://h/?",
        "http://h#x",
        "http://u@h",
        "http://u:p@h",
        "http://a b",
        "http://h:99999",
        "http://h/%zz",
        "http:h"
      ]
    ],
    ["S3_PUBLIC_ENDPOINT", ["s3.example"]],
    ["S3_PRESIGNER", ["Native", "awssdk"]],
    ["LOG_LEVEL", ["INFO", "warning"]],
    ["LOG_FORMAT", ["text"]],
    ["DATABASE_URL", ["nonsense", "mysql://h/db"]],
    ["DATABASE_LISTEN_URL", ["OFF", "on"]]
  ]

  it.effect.each(bad)("of %s is refused: %j", ([name, values]) =>
    Effect.gen(function* () {
      for (const value of values) {
        const lines = yield* Effect.orElseSucceed(problems({ [name]: value }), () => [`${value} was accepted`])
        assert.lengthOf(lines, 1)
        assert.match(lines[0]!, new RegExp(`^${name} holds (a value that is not shown|".*"); `))
        assert.notMatch(lines[0]!, /\n/)
        assert.isBelow(lines[0]!.length, 500)
      }
    })
  )

  it.effect("[5] is a start without slots or with too many, times under 1 ms, and a cooldown over the poll", () =>
    Effect.gen(function* () {
      const refused: ReadonlyArray<Partial<Record<SettingName, string>>> = [
        { MAX_WORKERS: "0" },
        { MAX_WORKERS: "1001" },
        { FETCH_COOLDOWN: "0ms" },
        { FETCH_POLL_INTERVAL: "0ms" },
        { FETCH_POLL_INTERVAL: "99ms", FETCH_COOLDOWN: "100ms" }
      ]
      for (const variables of refused) assert.isAbove((yield* problems(variables)).length, 0)

      yield* load({ MAX_WORKERS: "1", FETCH_COOLDOWN: "1ms", FETCH_POLL_INTERVAL: "1ms" })
      yield* load({ MAX_WORKERS: "1000", FETCH_COOLDOWN: "100ms", FETCH_POLL_INTERVAL: "100ms" })
    })
  )

  it.effect("[4] is a schema of more than 46 characters, or of any but letters, digits and underscores", () =>
    Effect.gen(function* () {
      for (const schema of ["x".repeat(47), "1a", "a-b", "a.b", 'a"b', "ä"]) {
        assert.lengthOf(yield* problems({ RIVER_SCHEMA: schema }), 1)
      }

      for (const schema of ["x".repeat(46), "_", "MixedCase_1"]) {
        assert.strictEqual((yield* load({ RIVER_SCHEMA: schema })).river.schema, schema)
      }
    })
  )

  it.effect("[8] is a client's name of more than 100 characters", () =>
    Effect.gen(function* () {
      assert.lengthOf(yield* problems({ RIVER_CLIENT_ID: "x".repeat(101) }), 1)

      assert.strictEqual((yield* load({ RIVER_CLIENT_ID: "x".repeat(100) })).river.clientId, "x".repeat(100))
    })
  )

  it.effect("is reported together with all others, and with what contradicts itself", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        load({
          DATABASE_URL: "nonsense",
          DB_MAX_CONNS: "2",
          DB_MIN_CONNS: "3",
          S3_ACCESS_KEY_ID: "id",
          S3_BUCKET: "B",
          MAX_WORKERS: "many",
          FETCH_POLL_INTERVAL: "50ms",
          LOG_LEVEL: "loud"
        })
      )

      assert.strictEqual(error._tag, "InvalidSettings")
      assert.sameMembers(
        error.problems.map((line) => line.split(" ")[0]),
        ["DATABASE_URL", "DB_MIN_CONNS", "S3_ACCESS_KEY_ID", "S3_BUCKET", "MAX_WORKERS", "FETCH_COOLDOWN", "LOG_LEVEL"]
      )
      assert.strictEqual(error.message, error.problems.join("\n"))
    })
  )

  it.effect.each([
    [{ DB_MIN_CONNS: "5" }, "DB_MIN_CONNS is 5; it should be at most DB_MAX_CONNS, which is 4"],
    [{ FETCH_COOLDOWN: "2s" }, "FETCH_COOLDOWN is 2s; it should be at most FETCH_POLL_INTERVAL, which is 1s"],
    [
      { S3_ACCESS_KEY_ID: "x" },
      "S3_ACCESS_KEY_ID is set without its secret key: set S3_SECRET_ACCESS_KEY too, or neither"
    ],
    [
      { AWS_SECRET_ACCESS_KEY: "x" },
      "AWS_SECRET_ACCESS_KEY is set without its access key: set S3_ACCESS_KEY_ID too, or neither"
    ],
    [
      { S3_SESSION_TOKEN: "x" },
      "S3_SESSION_TOKEN is set without its keys: set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY too"
    ]
  ] as const)("is a contradiction, too: %j", ([variables, line]) =>
    Effect.map(problems(variables), (lines) => assert.deepEqual(lines, [line]))
  )

  it.effect.prop(
    "is named in one line whatever it is, and whole numbers are read exactly",
    { text: Schema.String, number: Schema.Int },
    ({ number, text }) =>
      Effect.gen(function* () {
        for (const value of [text, String(number), String(Math.abs(number % 1200))]) {
          if (value === "") continue
          const legal = /^[0-9]+$/.test(value) && Number(value) >= 1 && Number(value) <= 1000
          const read = yield* Effect.result(load({ MAX_WORKERS: value }))
          if (legal) {
            assert.isTrue(read._tag === "Success" && read.success.river.maxWorkers === Number(value))
          } else {
            assert.isTrue(read._tag === "Failure" && read.failure.problems.length === 1)
            assert.isTrue(read._tag === "Failure" && /^MAX_WORKERS holds [^\n]*$/.test(read.failure.message))
          }
        }
      })
  )

  it.effect.prop(
    "and a good one alike show no secret, in lines and in what is printed of the settings",
    { text: Schema.String },
    ({ text }) =>
      Effect.gen(function* () {
        const canary = `canary${text.replaceAll("\0", "")}`
        const result = yield* Effect.exit(
          load({
            DATABASE_URL: `postgres://u:${canary}@h/db`,
            DATABASE_LISTEN_URL: `host=h user=u password='${canary}'`,
            S3_ACCESS_KEY_ID: canary,
            S3_SECRET_ACCESS_KEY: canary,
            S3_SESSION_TOKEN: canary
          })
        )

        assert.notInclude(inspect(result, { depth: null, showHidden: true }), "canary")
        assert.notInclude(JSON.stringify(result), "canary")
        assert.notInclude(String(result), "canary")
      })
  )
})

describe("the keys", () => {
  const aws = { AWS_ACCESS_KEY_ID: "aws-id", AWS_SECRET_ACCESS_KEY: "aws-secret", AWS_SESSION_TOKEN: "aws-token" }
  const own = { S3_ACCESS_KEY_ID: "own-id", S3_SECRET_ACCESS_KEY: "own-secret" }

  it.effect.each([
    [aws, ["aws-id", "aws-secret", "aws-token"]],
    [{ ...aws, ...own }, ["own-id", "own-secret", undefined]],
    [{ ...aws, ...own, S3_SESSION_TOKEN: "own-token" }, ["own-id", "own-secret", "own-token"]],
    [{ ...aws, S3_SESSION_TOKEN: "own-token" }, ["aws-id", "aws-secret", "own-token"]],
    [{ ...aws, S3_ACCESS_KEY_ID: "own-id" }, ["own-id", "aws-secret", undefined]],
    [{ AWS_SESSION_TOKEN: "aws-token" }, undefined]
  ] as const)("of %j are %j: the first name that is set, and a token with its own pair", ([variables, expected]) =>
    Effect.map(load(variables), ({ s3: { keys } }) =>
      assert.deepEqual(
        keys && [keys.accessKeyId, keys.secretAccessKey, keys.sessionToken].map(reveal),
        expected && [...expected]
      )
    )
  )
})

describe("a deprecated name", () => {
  it.effect("is read, with a warning for each use", () =>
    Effect.gen(function* () {
      const { s3, warnings } = yield* load({
        AWS_REGION: "eu-west-1",
        AWS_ENDPOINT_URL: "http://old:1",
        AWS_ACCESS_KEY_ID: "id",
        AWS_SECRET_ACCESS_KEY: "secret"
      })

      const { apiEndpoint, region } = s3.destinations.standard
      assert.deepEqual([region, Endpoint.host(apiEndpoint)], ["eu-west-1", "old:1"])
      assert.sameMembers(
        [...warnings],
        [
          "AWS_REGION is deprecated: set S3_REGION in its place",
          "AWS_ENDPOINT_URL is deprecated: set S3_ENDPOINT in its place",
          "AWS_ACCESS_KEY_ID is deprecated: set S3_ACCESS_KEY_ID in its place",
          "AWS_SECRET_ACCESS_KEY is deprecated: set S3_SECRET_ACCESS_KEY in its place"
        ]
      )
    })
  )

  it.effect("counts for nothing, and warns of nothing, beside the new one", () =>
    Effect.gen(function* () {
      const { s3, warnings } = yield* load({ AWS_REGION: "EU-bad", S3_REGION: "eu-west-1" })

      assert.strictEqual(s3.destinations.standard.region, "eu-west-1")
      assert.deepEqual(warnings, [])
    })
  )

  it.effect("is the one that is named when its value is bad", () =>
    Effect.map(problems({ AWS_REGION: "EU" }), ([line]) => assert.match(line!, /^AWS_REGION holds "EU"; /))
  )
})

describe("the settings of other commands", () => {
  it.effect("are read without those of work", () =>
    Effect.gen(function* () {
      const variables: Variables = { S3_BUCKET: "B", MAX_WORKERS: "0", RIVER_SCHEMA: "r" }

      const migrate = yield* from(Settings.loadMigrate, variables)

      assert.strictEqual(migrate.river.schema, "r")
      assert.strictEqual(migrate.database.connection.database, "civic_os")
      assert.lengthOf(migrate.secrets, 1)
      const error = yield* Effect.flip(from(Settings.loadMigrate, { RIVER_SCHEMA: "1", DATABASE_URL: "nonsense" }))
      assert.lengthOf(error.problems, 2)
    })
  )
})

/** Name, default and meaning of each row of the table in "What can I set". */
const rows = (): ReadonlyArray<ReadonlyArray<string>> => {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8")
  const section = /^#+ .*What can I set.*\n([^]*?)(?=^## |$(?![^]))/m.exec(readme)?.[1] ?? ""
  return section
    .split("\n")
    .filter((line) => /^\|\s*`/.test(line))
    .map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.replaceAll("`", "").trim())
    )
}

describe("the README", () => {
  it("lists every setting of the table, and no other but OpenTelemetry's", () => {
    const names = rows().map(([name = ""]) => name.split(/[ ,(]/)[0])

    assert.sameMembers(
      names.filter((name) => !name?.startsWith("OTEL_")),
      Object.keys(settingTable)
    )
  })

  it.each(Object.entries(settingTable))("has the default of %s", (name, setting) => {
    const row = rows().find(([first = ""]) => first.split(/[ ,(]/)[0] === name)

    assert.strictEqual(row?.[1], (setting.default ?? setting.otherwise)?.replaceAll("`", ""))
    if (setting.deprecated !== undefined) assert.include(row?.join(" "), setting.deprecated)
  })
})
