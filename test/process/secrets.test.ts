/**
 * Canary secrets in every variable that holds one: they may go into URLs, and nowhere else.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { randomUUID } from "node:crypto"
import * as Migrate from "../../src/Migrate.ts"
import { TestDatabase } from "../support/Database.ts"
import { startOtlpReceiver } from "../support/OtlpReceiver.ts"
import { type Settings, startWorker, until } from "../support/WorkerProcess.ts"
import { answered, completed, countRequests, insertJob, insertRequests, onDatabase, requestUpload } from "./support.ts"

/** Awkward in URLs, in JSON, in SQL and in regular expressions. */
const password = "canary-db+p@ss/w%rd'\"$1\\ \u00fc"

const canaries = {
  S3_ACCESS_KEY_ID: "CANARYACCESSKEYIDS3",
  S3_SECRET_ACCESS_KEY: "canary/secret+of=S3\"'\\$1",
  S3_SESSION_TOKEN: "canary/token+of=S3//==",
  AWS_ACCESS_KEY_ID: "CANARYACCESSKEYIDAWS",
  AWS_SECRET_ACCESS_KEY: "canary/secret+of=AWS",
  AWS_SESSION_TOKEN: "canary/token+of=AWS//==",
  PGPASSWORD: "canary-of-libpq",
  OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20canary-of-the-collector"
}

/** The ways in which a secret can stand in a text. */
const forms = (secret: string) => [
  secret,
  encodeURIComponent(secret),
  JSON.stringify(secret).slice(1, -1),
  Buffer.from(secret).toString("base64")
]

/** Everything that people and collectors may read of a database: all but the answers' own columns. */
const readable = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly text: string }>`
    SELECT j::text AS text FROM metadata.river_job j
    UNION ALL SELECT concat_ws(' ', r.error_message, r.s3_key, r.status) FROM metadata.file_upload_requests r
    UNION ALL SELECT (to_jsonb(d) - 'answers')::text FROM metadata.file_download_requests d`
  return rows.map(({ text }) => text).join("\n")
})

const urls = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly url: string }>`
    SELECT presigned_url AS url FROM metadata.file_upload_requests WHERE presigned_url IS NOT NULL
    UNION ALL SELECT answer ->> 'url' FROM metadata.file_download_requests, jsonb_array_elements(answers) answer`
  return rows.map(({ url }) => url)
})

/** A role with the password, which may do everything in the test's database. */
const owner = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { url } = yield* TestDatabase
  const name = `secret_${process.pid}_${Math.random().toString(36).slice(2, 10)}`
  yield* Effect.acquireRelease(
    sql.unsafe(`CREATE ROLE ${name} SUPERUSER LOGIN PASSWORD '${password.replaceAll("'", "''")}'`).unprepared,
    () => Effect.orDie(sql.unsafe(`DROP ROLE ${name}`).unprepared)
  )
  const as = (password: string) => {
    const { host, pathname } = new URL(url)
    return `postgres://${name}:${encodeURIComponent(password)}@${host}${pathname}`
  }
  return { name, url: as(password), wrong: as(`${password}-wrong`) }
})

/** What goes wrong with answers in the database, in words that hold the answer. */
const refuseSome = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  yield* sql`ALTER TABLE metadata.file_upload_requests
    ADD CONSTRAINT no_answer CHECK (entity_type <> 'checked' OR presigned_url IS NULL)`
  yield* sql`CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'refused: %', NEW.presigned_url USING DETAIL = NEW.presigned_url, HINT = NEW.presigned_url; END $$`
  yield* sql`CREATE TRIGGER refuse BEFORE UPDATE ON metadata.file_upload_requests FOR EACH ROW
    WHEN (NEW.entity_type = 'raised' AND NEW.presigned_url IS NOT NULL) EXECUTE FUNCTION public.refuse()`
  yield* sql`CREATE FUNCTION public.refuse_download() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'refused answers: %', NEW.answers USING DETAIL = NEW.answers; END $$`
  yield* sql`CREATE TRIGGER refuse BEFORE UPDATE ON metadata.file_download_requests FOR EACH ROW
    WHEN (NEW.inline AND NEW.answers IS NOT NULL) EXECUTE FUNCTION public.refuse_download()`
})

/** Records a file and asks for it, to be shown or to be saved. */
const requestDownload = Effect.fnUntraced(function* (inline: boolean) {
  const sql = yield* SqlClient.SqlClient
  const id = randomUUID()
  yield* sql`SELECT public.create_file_record(${id}::uuid, 'a', '1', 'a.png', 'image/png', 1::bigint, 'civic-os-files',
    ${`a/1/${id}/original.png`})`
  yield* sql`SELECT public.request_download_url(${id}::uuid, ${inline})`
})

const leavesNoTrace = Effect.fnUntraced(function* (settings: Settings) {
  const sql = yield* SqlClient.SqlClient
  const collector = yield* Effect.acquireRelease(
    Effect.promise(() => startOtlpReceiver()),
    (receiver) => Effect.promise(receiver.stop)
  )
  const role = yield* owner
  yield* Migrate.up({ schema: "metadata", to: { line: "s3_signer", version: 1 } })
  yield* refuseSome
  const all: Settings = {
    ...canaries,
    LOG_LEVEL: "trace",
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
    OTEL_BSP_SCHEDULE_DELAY: "100",
    ...settings
  }
  const locked = yield* startWorker(role.wrong, all)
  const deaf = yield* startWorker(role.url, { ...all, DATABASE_LISTEN_URL: role.wrong })
  const worker = yield* startWorker(`${role.url}?application_name=worker`, { ...all, LOG_FORMAT: "pretty" })

  yield* insertRequests(1000)
  for (const entity_type of ["checked", "raised", ".."]) yield* requestUpload({ entity_type })
  yield* insertJob('{"request_id": "none", "secret": "of the request"}')
  for (const inline of [false, true]) yield* requestDownload(inline)
  for (let round = 0; round < 3; round++) {
    yield* Effect.sleep("200 millis")
    yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'worker'`
  }
  yield* completed(1000)
  yield* answered(yield* requestUpload())
  yield* until(countRequests, ({ failed }) => failed === 1)
  yield* until(readable, (text) =>
    ["violates check constraint", "refused: ", "refused answers: "].every((said) => text.includes(said))
  )
  yield* locked.line(/password authentication failed/)
  yield* deaf.line(/^not listening/)
  yield* until(
    Effect.sync(() => collector.spans.length),
    (count) => count > 1000
  )
  const workers = [locked, deaf, worker]
  for (const each of workers) assert.deepEqual(yield* each.stop, { status: 0, signal: null })

  const answers = yield* urls
  assert.isAtLeast(answers.length, 1002)
  const places = [
    ...workers.map((each) => ["output", each.output()] as const),
    ["columns", yield* readable] as const,
    ["spans", collector.raw()] as const
  ]
  const signatures = answers.map((url) => new URL(url).searchParams.get("X-Amz-Signature")!)
  for (const [place, text] of places) {
    assert.isAbove(text.length, 100, place)
    for (const secret of [password, ...Object.values(canaries)].flatMap(forms)) {
      assert.isFalse(text.includes(secret), `${place} shows ${secret}`)
    }
    assert.notMatch(text, /canary/i, place)
    for (const signature of signatures) assert.isFalse(text.includes(signature), `${place} shows a signature`)
    assert.notMatch(text, /X-Amz-Signature(=|%3D)[0-9a-f]{8}/i, place)
  }
  return answers
})

describe("secrets", () => {
  it.live(
    "of the settings, and signatures, are in no output, error or span, at the most talkative and in trouble",
    () =>
      onDatabase(
        Effect.gen(function* () {
          const answers = yield* leavesNoTrace({})
          for (const url of answers) {
            assert.include(url, `=${encodeURIComponent(canaries.S3_SESSION_TOKEN)}`)
            assert.include(url, `=${canaries.S3_ACCESS_KEY_ID}`)
          }
        })
      )
  )

  it.live("in the older names, and with the SDK's presigner, neither", () =>
    onDatabase(
      Effect.gen(function* () {
        const answers = yield* leavesNoTrace({
          S3_ACCESS_KEY_ID: undefined,
          S3_SECRET_ACCESS_KEY: undefined,
          S3_SESSION_TOKEN: undefined,
          S3_PRESIGNER: "sdk"
        })
        for (const url of answers) {
          assert.include(url, `=${encodeURIComponent(canaries.AWS_SESSION_TOKEN)}`)
          assert.include(url, `=${canaries.AWS_ACCESS_KEY_ID}`)
        }
      })
    )
  )
})
