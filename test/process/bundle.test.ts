/**
 * The process as `npm run build` makes it, away from the clone and its `node_modules`.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { build } from "../../tools/build.ts"
import { emptyDatabase, TestDatabase } from "../support/Database.ts"
import { startOtlpReceiver } from "../support/OtlpReceiver.ts"
import { startS3 } from "../support/S3.ts"
import { runToEnd, startWorker } from "../support/WorkerProcess.ts"
import { answered, onDatabase, requestUpload } from "./support.ts"

/** `dist/` in a place of its own. */
const dist = Effect.gen(function* () {
  const directory = yield* Effect.acquireRelease(
    Effect.sync(() => fs.mkdtempSync(path.join(os.tmpdir(), "s3-signer-process-test-"))),
    (directory) => Effect.sync(() => fs.rmSync(directory, { recursive: true }))
  )
  yield* Effect.promise(() => build({ entry: path.join(import.meta.dirname, "../../src/main.ts"), outDir: directory }))
  return { directory, program: path.join(directory, "main.js") }
})

describe("the bundle", () => {
  it.live("migrates, answers, signs with either presigner and with found credentials, traces, and stops in order", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const { directory, program } = yield* dist
        const s3 = yield* Effect.acquireRelease(
          Effect.promise(() => startS3({ bucket: "civic-os-files" })),
          (server) => Effect.promise(server.stop)
        )
        const collector = yield* Effect.acquireRelease(
          Effect.promise(() => startOtlpReceiver()),
          (receiver) => Effect.promise(receiver.stop)
        )
        const credentials = path.join(directory, "credentials")
        fs.writeFileSync(credentials, "[default]\naws_access_key_id = S3RVER\naws_secret_access_key = S3RVER\n")
        const migrated = yield* runToEnd(["migrate", "up"], { DATABASE_URL: url }, program)
        assert.strictEqual(migrated.status, 0, migrated.errors.join("\n"))

        for (const presigner of ["native", "sdk"]) {
          const worker = yield* startWorker(
            url,
            {
              S3_ENDPOINT: s3.endpoint,
              S3_PRESIGNER: presigner,
              S3_ACCESS_KEY_ID: undefined,
              S3_SECRET_ACCESS_KEY: undefined,
              AWS_SHARED_CREDENTIALS_FILE: credentials,
              OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint
            },
            program
          )
          const answer = yield* Effect.flatMap(requestUpload(), answered)
          const put = yield* Effect.promise(() => fetch(answer.url!, { method: "PUT", body: presigner }))
          assert.strictEqual(put.status, 200)
          assert.deepEqual(yield* worker.stop, { status: 0, signal: null })
          assert.deepEqual(worker.errors, [])
        }

        assert.lengthOf(
          collector.spans.filter(({ name }) => name === "river.work/s3_presign"),
          2
        )
        const wrong = yield* runToEnd(["work"], { DATABASE_URL: url, MAX_WORKERS: "0" }, program)
        assert.strictEqual(wrong.status, 2)
      }),
      emptyDatabase
    )
  )
})
