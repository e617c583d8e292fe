/**
 * The doctor on systems that are well, that are silent, and that have two roads to the store.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { createServer, type AddressInfo } from "node:net"
import { missing, startServer, type ServerName } from "../s3/Servers.ts"
import { openStore } from "../s3/Store.ts"
import { makeAuthority, makeServer } from "../support/Certificates.ts"
import { s3Credentials, startS3 } from "../support/S3.ts"
import { type Asked, refuse, site, startFakeS3, type Told } from "./FakeS3.ts"
import { type Environment, examine, fake, settingsFor } from "./support.ts"

describe("doctor on a store that is well", () => {
  it.live("finds nothing, says what it looked at, and leaves nothing behind", () =>
    Effect.gen(function* () {
      const store = yield* fake()

      const { checked, codes } = yield* examine(settingsFor(store, { S3_ACL: "public-read" }))

      assert.deepStrictEqual(codes, [])
      assert.deepStrictEqual(checked, [
        "credentials AKIA…1234 (S3_ACCESS_KEY_ID)",
        `uploads: endpoint, clock, bucket, PUT, GET and DELETE, CORS for ${site}`
      ])
      const [put, ...others] = store.requests.filter(({ method }) => method === "PUT")
      assert.match(put?.key ?? "", /^\.s3-signer-doctor\/[0-9a-f-]{36}$/)
      assert.include(put?.headers, { "x-amz-acl": "public-read", origin: site })
      assert.deepStrictEqual(others, [])
      assert.strictEqual(store.objects.size, 0)
    })
  )

  it.live("goes by the origins of the bucket's CORS rules when none is named", () =>
    Effect.gen(function* () {
      const store = yield* fake()

      const { checked, codes } = yield* examine(settingsFor(store), { origins: [] })

      assert.deepStrictEqual(codes, [])
      assert.include(checked[1], `CORS for ${site}`)
    })
  )

  it.live("looks at each place of a route once, under its prefix and on its terms", () =>
    Effect.gen(function* () {
      const store = yield* fake()
      const routes = {
        letter: { lifetime: "5m" },
        invoice: { prefix: "2026/q4", storage_class: "STANDARD_IA" },
        receipt: { prefix: "2026/q4", storage_class: "STANDARD_IA" }
      }

      const { checked, codes } = yield* examine(settingsFor(store, { S3_ROUTES: JSON.stringify(routes) }))

      assert.deepStrictEqual(codes, [])
      assert.deepStrictEqual(
        checked.map((text) => text.split(":")[0]),
        ["credentials AKIA…1234 (S3_ACCESS_KEY_ID)", "uploads", "uploads (route of invoice, receipt)"]
      )
      const puts = store.requests.filter(({ method }) => method === "PUT")
      assert.deepStrictEqual(
        puts
          .map(({ key, query }) => [key.split("/").slice(0, -1).join("/"), query.get("x-amz-storage-class")])
          .toSorted(),
        [
          [".s3-signer-doctor", null],
          ["2026/q4/.s3-signer-doctor", "STANDARD_IA"]
        ]
      )
    })
  )

  it.live("says the same of two routes once", () =>
    Effect.gen(function* () {
      const store = yield* fake((asked) => (asked.signed ? refuse(403, "SignatureDoesNotMatch") : undefined))

      const { findings } = yield* examine(
        settingsFor(store, { S3_ROUTES: JSON.stringify({ invoice: { prefix: "a" }, letter: { prefix: "b" } }) })
      )

      assert.deepStrictEqual(
        findings.map(({ code, subject }) => [code, subject]),
        [["CREDENTIALS_SECRET_WRONG", "uploads, uploads (route of invoice), uploads (route of letter)"]]
      )
    })
  )

  it.live(
    "finds nothing on s3rver whose CORS allows the site, and tells other sites from no rules, keys and buckets",
    () =>
      Effect.gen(function* () {
        const store = yield* s3rver([site])
        const settings = s3rverSettings(store.endpoint)

        assert.deepStrictEqual((yield* examine(settings)).codes, [])
        assert.deepStrictEqual((yield* examine(settings, { origins: ["https://other.example"] })).codes, [
          "S3_CORS_ORIGIN"
        ])
        assert.deepStrictEqual((yield* examine({ ...settings, S3_SECRET_ACCESS_KEY: "wrong-key" })).codes, [
          "CREDENTIALS_SECRET_WRONG"
        ])
        assert.deepStrictEqual((yield* examine({ ...settings, S3_BUCKET: "nowhere" })).codes, ["S3_BUCKET_MISSING"])
        assert.deepStrictEqual((yield* examine(s3rverSettings((yield* s3rver([])).endpoint))).codes, [
          "S3_CORS_MISSING"
        ])
      })
  )
})

const s3rver = (corsOrigins: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.promise(() => startS3({ bucket: "uploads", corsOrigins })),
    ({ stop }) => Effect.promise(stop)
  )

const s3rverSettings = (endpoint: string): Environment => ({
  S3_ENDPOINT: endpoint,
  S3_BUCKET: "uploads",
  S3_ACCESS_KEY_ID: s3Credentials.accessKeyId,
  S3_SECRET_ACCESS_KEY: s3Credentials.secretAccessKey
})

describe("doctor on servers that verify signatures", () => {
  const programs: ReadonlyArray<ServerName> = ["versitygw", "MinIO"]
  for (const name of programs) {
    it.live.skipIf(missing(name) !== undefined)(`tells wrong keys, tokens and buckets from each other: ${name}`, () =>
      Effect.gen(function* () {
        const { keys, port } = yield* program(name)
        const settings = {
          S3_ENDPOINT: `http://127.0.0.1:${port}`,
          S3_BUCKET: "uploads",
          S3_ACCESS_KEY_ID: keys.accessKeyId,
          S3_SECRET_ACCESS_KEY: keys.secretAccessKey
        }
        const found = (more: Environment) => Effect.map(examine({ ...settings, ...more }), ({ codes }) => codes)

        // versitygw has no rules yet; MinIO allows everybody unless it is told otherwise.
        assert.deepStrictEqual(yield* found({}), name === "MinIO" ? [] : ["S3_CORS_MISSING"])
        assert.deepStrictEqual(yield* found({ S3_SECRET_ACCESS_KEY: "wrong" }), ["CREDENTIALS_SECRET_WRONG"])
        assert.deepStrictEqual(yield* found({ S3_ACCESS_KEY_ID: "AKIANOBODYKNOWSIT" }), ["CREDENTIALS_KEY_UNKNOWN"])
        assert.deepStrictEqual(yield* found({ S3_SESSION_TOKEN: "made-up" }), ["CREDENTIALS_TOKEN_INVALID"])
        assert.deepStrictEqual(yield* found({ S3_BUCKET: "nowhere" }), ["S3_BUCKET_MISSING"])
        if (name === "versitygw") {
          assert.deepStrictEqual(yield* found({ S3_REGION: "eu-central-1" }), ["S3_BUCKET_REGION"])
        }
      })
    )
  }
})

const program = (name: ServerName) =>
  Effect.acquireRelease(
    Effect.promise(() => startServer(name)),
    ({ stop }) => Effect.promise(stop)
  ).pipe(Effect.tap((server) => Effect.promise(() => openStore(server, "path"))))

describe("doctor at an endpoint with a fault", () => {
  const at = (endpoint: string) => settingsFor({ endpoint })

  it.live("finds a host name that nobody knows", () =>
    Effect.gen(function* () {
      const { codes, findings } = yield* examine(at("http://no-such-host.invalid:9000"), { origins: [] })

      assert.deepStrictEqual(codes, ["S3_ENDPOINT_DNS"])
      assert.strictEqual(
        findings[0]?.cure,
        "S3_ENDPOINT=… with a name that this host knows: getent hosts no-such-host.invalid"
      )
    })
  )

  it.live("finds a bucket's host name that nobody knows", () =>
    Effect.gen(function* () {
      const { codes, findings } = yield* examine(
        { ...at("http://no-such-host.invalid"), S3_URL_STYLE: "virtual" },
        { origins: [] }
      )

      assert.deepStrictEqual(codes, ["S3_ENDPOINT_DNS"])
      assert.match(findings[0]?.seen ?? "", /^http:\/\/uploads\.no-such-host\.invalid /)
      assert.match(findings[0]?.cure ?? "", /^S3_URL_STYLE=path/)
    })
  )

  it.live("finds a port that nobody listens at", () =>
    Effect.gen(function* () {
      const { codes, findings } = yield* examine(at(`http://127.0.0.1:${yield* freePort}`))

      assert.deepStrictEqual(codes, ["S3_ENDPOINT_REFUSED"])
      assert.match(findings[0]?.seen ?? "", /\(ECONNREFUSED\)$/)
      assert.match(findings[0]?.cure ?? "", /^start the store, or mend host and port in S3_ENDPOINT: curl -v http/)
    })
  )

  it.live("finds a certificate of an authority that is not trusted", () =>
    Effect.gen(function* () {
      const store = yield* overTls(makeServer("localhost", makeAuthority("An authority of our own")))

      const { codes, findings } = yield* examine(at(store.endpoint))

      assert.deepStrictEqual(codes, ["S3_ENDPOINT_TLS"])
      assert.match(findings[0]?.cure ?? "", /^NODE_EXTRA_CA_CERTS=/)
    })
  )

  it.live("finds https where plain HTTP is spoken", () =>
    Effect.gen(function* () {
      const store = yield* fake()

      const { codes, findings } = yield* examine(at(`https://127.0.0.1:${store.port}`))

      assert.deepStrictEqual(codes, ["S3_ENDPOINT_TLS"])
      assert.match(findings[0]?.cure ?? "", /^S3_ENDPOINT=http:\/\/127\.0\.0\.1:\d+ if it is plain HTTP there$/)
    })
  )

  it.live("finds what speaks another protocol, and what hangs up", () =>
    Effect.gen(function* () {
      for (const greeting of ["220 mail.example.org ESMTP\r\n", undefined]) {
        const port = yield* talker(greeting)

        assert.deepStrictEqual((yield* examine(at(`http://127.0.0.1:${port}`))).codes, ["S3_ENDPOINT_BROKEN"])
      }
    })
  )

  it.effect("waits ten seconds for a server that is silent, and no longer", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.now())
      const store = yield* fake(() => "silence")

      const examined = yield* Effect.forkChild(examine(settingsFor(store)))
      yield* requested(store, 1)
      yield* TestClock.adjust("10 seconds")
      const { codes, findings } = yield* Fiber.join(examined)

      assert.deepStrictEqual(codes, ["S3_ENDPOINT_SILENT"])
      assert.match(findings[0]?.cure ?? "", /curl -v --max-time 10 http:/)
      assert.strictEqual(store.requests.length, 1)
    })
  )

  it.effect("says that an object may be there when PUT and DELETE are not answered", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.now())
      const store = yield* fake(({ method }) => (method === "PUT" || method === "DELETE" ? "silence" : undefined))

      const examined = yield* Effect.forkChild(examine(settingsFor(store)))
      yield* requested(store, "PUT")
      yield* TestClock.adjust("10 seconds")
      yield* requested(store, "DELETE")
      yield* TestClock.adjust("10 seconds")

      assert.deepStrictEqual((yield* Fiber.join(examined)).codes, ["S3_ENDPOINT_SILENT", "S3_PROBE_LEFT"])
    })
  )

  it.effect("ends a run that drags on, and removes its object all the same", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.now())
      const answers: Array<() => void> = []
      const store = yield* fake((_, itself) => new Promise<Told>((resolve) => answers.push(() => resolve(itself()))))

      const examined = yield* Effect.forkChild(examine(settingsFor(store)))
      // Location, bucket, PUT and GET, 9.5 seconds each: the time is over while the object is read.
      for (const count of [1, 2, 3, 4]) {
        yield* requested(store, count)
        if (count === 4) assert.strictEqual(store.objects.size, 1)
        yield* TestClock.adjust("9500 millis")
        answers.at(-1)?.()
      }
      yield* requested(store, "DELETE")
      answers.at(-1)?.()

      assert.deepStrictEqual((yield* Fiber.join(examined)).codes, ["CHECK_UNFINISHED"])
      assert.strictEqual(store.objects.size, 0)
    })
  )

  it.live("removes its object also when it is interrupted", () =>
    Effect.gen(function* () {
      const store = yield* fake((asked) => (isGet(asked) ? "silence" : undefined))

      const examined = yield* Effect.forkChild(examine(settingsFor(store)))
      while (!store.requests.some(isGet)) yield* Effect.sleep("5 millis")
      assert.strictEqual(store.objects.size, 1)
      yield* Fiber.interrupt(examined)

      assert.strictEqual(store.objects.size, 0)
    })
  )
})

const isGet = ({ key, method }: Asked) => key !== "" && method === "GET"

/** Waits in real time until so many requests, or one of this method, have come; then for what is done about it here. */
const requested = (store: { readonly requests: ReadonlyArray<Asked> }, what: number | string) =>
  Effect.promise(async () => {
    const isThere = () =>
      typeof what === "number" ? store.requests.length >= what : store.requests.some(({ method }) => method === what)
    while (!isThere()) await new Promise((resolve) => setTimeout(resolve, 5))
  })

const freePort = Effect.promise(async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
})

/** Says one line to everybody who says something, then hangs up. */
const talker = (line: string | undefined) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const server = createServer((socket) => {
          socket.on("error", () => {}).once("data", () => (line === undefined ? socket.destroy() : socket.end(line)))
        })
        await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
        return server
      }),
      (server) => Effect.sync(() => server.close())
    ),
    (server) => (server.address() as AddressInfo).port
  )

const overTls = (tls: { readonly cert: string; readonly key: string }) =>
  Effect.acquireRelease(
    Effect.promise(() => startFakeS3({ tls })),
    ({ stop }) => Effect.promise(stop)
  )

describe("doctor with an endpoint for browsers and one for itself", () => {
  it.live("tries both, and removes what it put through each", () =>
    Effect.gen(function* () {
      const [direct, proxy] = [yield* fake(), yield* fake()]

      const { checked, codes, findings } = yield* examine(settingsFor(direct, { S3_PUBLIC_ENDPOINT: proxy.endpoint }))

      assert.deepStrictEqual(codes, [], JSON.stringify(findings))
      assert.include(checked[1], "public endpoint")
      assert.strictEqual(proxy.requests.filter(({ method }) => method === "PUT").length, 1)
      assert.strictEqual(direct.requests.filter(({ method }) => method === "DELETE").length, 2)
      assert.deepStrictEqual(
        proxy.requests.filter(({ method }) => method === "OPTIONS").length,
        1,
        "browsers ask the public one"
      )
    })
  )

  it.live("warns when it cannot reach the one for browsers, and asks the other one", () =>
    Effect.gen(function* () {
      const direct = yield* fake()

      const { findings } = yield* examine(
        settingsFor(direct, { S3_PUBLIC_ENDPOINT: `http://127.0.0.1:${yield* freePort}` })
      )

      assert.deepStrictEqual(
        findings.map(({ code, severity }) => [code, severity]),
        [["S3_ENDPOINT_REFUSED", "warning"]]
      )
      assert.match(findings[0]?.seen ?? "", /\(S3_PUBLIC_ENDPOINT\).*browsers may have another road$/)
    })
  )

  it.live("finds a proxy that changes what is signed", () =>
    Effect.gen(function* () {
      const direct = yield* fake()
      const proxy = yield* fake((asked) => (asked.method === "PUT" ? refuse(403, "SignatureDoesNotMatch") : undefined))

      const { codes, findings } = yield* examine(settingsFor(direct, { S3_PUBLIC_ENDPOINT: proxy.endpoint }))

      assert.deepStrictEqual(codes, ["S3_ENDPOINT_PROXY"])
      assert.match(findings[0]?.cure ?? "", /proxy_set_header Host \$http_host/)
    })
  )

  it.live("finds http in the URLs of an https site, but not for this machine itself", () =>
    Effect.gen(function* () {
      const store = yield* fake()
      const settings = settingsFor({ endpoint: `http://0.0.0.0:${store.port}` })

      const { codes, findings } = yield* examine(settings)

      assert.deepStrictEqual(codes, ["S3_MIXED_CONTENT"])
      assert.match(findings[0]?.cure ?? "", /^S3_ENDPOINT=https:\/\/0\.0\.0\.0:\d+, with a certificate there$/)
      assert.deepStrictEqual((yield* examine(settings, { origins: [] })).codes, ["S3_MIXED_CONTENT"])
    })
  )
})
