/**
 * The command as an operator runs it: what it prints where, and how it ends.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { makeAuthority, makeServer } from "../support/Certificates.ts"
import { runToEnd } from "../support/WorkerProcess.ts"
import { type FakeS3, refuse, site, startFakeS3 } from "./FakeS3.ts"
import { fake, settingsFor } from "./support.ts"

const doctor = (args: ReadonlyArray<string>, store: Pick<FakeS3, "endpoint">, more = {}) =>
  runToEnd(["doctor", ...args], settingsFor(store, more)).pipe(
    Effect.map((ended) => [ended, ended.stdout + ended.errors.join("\n")] as const),
    Effect.tap(([, said]) => Effect.sync(() => assert.notMatch(said, /CANARY|canary|X-Amz-|Signature/)))
  )

const noRules = fake((asked) =>
  asked.method === "OPTIONS"
    ? refuse(403, "AccessForbidden")
    : asked.query.has("cors")
      ? refuse(404, "NoSuchCORSConfiguration")
      : undefined
)

describe.concurrent("s3-signer doctor", () => {
  it.live("ends with 0 and one line when all is well", () =>
    Effect.gen(function* () {
      const store = yield* fake()

      const [{ errors, status, stdout }] = yield* doctor(["--origin", site], store)

      assert.deepStrictEqual(errors, [])
      assert.match(stdout, /^all is well: checked credentials AKIA…1234 \(S3_ACCESS_KEY_ID\); uploads: [^\n]+\n$/)
      assert.strictEqual(status, 0)
    })
  )

  it.live("ends with 1 when there is an error, and prints nothing but JSON when it is asked to", () =>
    Effect.gen(function* () {
      const store = yield* noRules

      const [{ errors, status, stdout }] = yield* doctor(
        ["--json", "--origin", site, "--origin", "https://b.example/"],
        store
      )

      const { checked, findings, status: worst } = JSON.parse(stdout)
      assert.deepStrictEqual(
        findings.map(({ code, subject }: Readonly<Record<string, string>>) => [code, subject]),
        [["S3_CORS_MISSING", "uploads"]]
      )
      assert.include(findings[0].cure, '"AllowedOrigins":["https://app.example","https://b.example"]')
      assert.match(checked[1], /CORS for https:\/\/app\.example and https:\/\/b\.example$/)
      assert.strictEqual(worst, "error")
      assert.deepStrictEqual(errors, ["s3-signer: 1 error"])
      assert.strictEqual(status, 1)
    })
  )

  it.live("ends with 0 when there is nothing worse than a warning", () =>
    Effect.gen(function* () {
      const store = yield* fake((asked) => (asked.method === "DELETE" ? refuse(403, "AccessDenied") : undefined))

      const [{ errors, status, stdout }] = yield* doctor([], store)

      assert.match(stdout, /^S3_PROBE_LEFT {2}warning {2}uploads: /)
      assert.deepStrictEqual(errors, [])
      assert.strictEqual(status, 0)
    })
  )

  it.live("ends with 2 for settings and arguments that are wrong, before it looks at anything", () =>
    Effect.gen(function* () {
      const store = yield* fake()

      const [settings] = yield* doctor([], store, { S3_REGION: "Europe" })
      const [origin] = yield* doctor(["--origin", "app.example"], store)

      assert.strictEqual(settings.status, 2)
      assert.match(settings.errors.join("\n"), /^s3-signer: S3_REGION holds "Europe"; it should be /)
      assert.strictEqual(origin.status, 2)
      assert.match(
        origin.errors.join("\n") + origin.stdout,
        /scheme, host and port alone, such as https:\/\/app\.example/
      )
      assert.deepStrictEqual(store.requests, [])
    })
  )

  it.live("is cured of a private authority as it says: by NODE_EXTRA_CA_CERTS", () =>
    Effect.gen(function* () {
      const authority = makeAuthority("An authority of our own")
      const right = yield* overTls(makeServer("localhost", authority))
      const other = yield* overTls(makeServer("s3.example.org", authority))
      const file = yield* fileOf(authority.cert)

      const [before] = yield* doctor(["--origin", site], right)
      const [after] = yield* doctor(["--origin", site], right, { NODE_EXTRA_CA_CERTS: file })
      const [wrongName] = yield* doctor(["--origin", site], other, { NODE_EXTRA_CA_CERTS: file })

      assert.match(before.stdout, /^S3_ENDPOINT_TLS {2}error [^\n]+\n[^\n]+\n {4}cure: NODE_EXTRA_CA_CERTS=/)
      assert.match(after.stdout, /^all is well/)
      assert.match(wrongName.stdout, /^S3_ENDPOINT_TLS [^\n]+its certificate is another host's \(ERR_TLS_CERT_ALTNAME/)
    })
  )
})

const overTls = (tls: { readonly cert: string; readonly key: string }) =>
  Effect.acquireRelease(
    Effect.promise(() => startFakeS3({ tls })),
    ({ stop }) => Effect.promise(stop)
  )

const fileOf = (text: string) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "s3-signer-doctor-test-"))),
      (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true }))
    ),
    (directory) => {
      const file = path.join(directory, "authority.pem")
      fs.writeFileSync(file, text)
      return file
    }
  )
