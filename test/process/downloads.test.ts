/**
 * Downloads as a browser and the person before it get them from the running process.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { randomUUID } from "node:crypto"
import { TestDatabase } from "../support/Database.ts"
import { startS3 } from "../support/S3.ts"
import { runToEnd, startWorker, until } from "../support/WorkerProcess.ts"
import { answered, getJobs, isForPeople, jobEnded, jobOf, onDatabase, requestUpload } from "./support.ts"

const s3 = Effect.acquireRelease(
  Effect.promise(() => startS3({ bucket: "civic-os-files" })),
  (server) => Effect.promise(server.stop)
)

/** A database with downloads, a store, and a worker on them. */
const start = Effect.fnUntraced(function* (settings: Readonly<Record<string, string>> = {}) {
  const { url } = yield* TestDatabase
  const migrated = yield* runToEnd(["migrate", "up", "--to", "s3_signer:1"], { DATABASE_URL: url })
  assert.strictEqual(migrated.status, 0, migrated.errors.join("\n"))
  const { endpoint } = yield* s3
  const worker = yield* startWorker(url, { S3_ENDPOINT: endpoint, ...settings })
  yield* worker.working
  return { endpoint, worker }
})

interface File {
  readonly id: string
  readonly name: string
  readonly type: string
  readonly bucket: string
  readonly key: string
}

/** The record of a file, as an application writes it. */
const record = Effect.fnUntraced(function* (some: Partial<File> = {}) {
  const sql = yield* SqlClient.SqlClient
  const id = some.id ?? randomUUID()
  const file: File = {
    id,
    name: "photo.jpg",
    type: "image/jpeg",
    bucket: "civic-os-files",
    key: `document/42/${id}/original.jpg`,
    ...some
  }
  yield* sql`SELECT public.create_file_record(${id}::uuid, 'document', '42', ${file.name}, ${file.type}, 4::bigint,
    ${file.bucket}, ${file.key})`
  return file
})

/** Uploads a file through a signed URL and records it. */
const upload = Effect.fnUntraced(function* (name: string, type: string, body: string) {
  const { file_id, url } = yield* answered(yield* requestUpload({ file_name: name, file_type: type }))
  const stored = yield* Effect.promise(() =>
    fetch(url!, { method: "PUT", headers: { "Content-Type": "text/x" }, body })
  )
  assert.strictEqual(stored.status, 200)
  const [, bucket = "", ...key] = new URL(url!).pathname.split("/")
  return yield* record({ id: file_id!, name, type, bucket, key: key.join("/") })
})

const request = Effect.fnUntraced(function* (files: ReadonlyArray<Pick<File, "id">>, inline = false) {
  const sql = yield* SqlClient.SqlClient
  const ids = files.map(({ id }) => id)
  const [row] = yield* ids.length === 1
    ? sql<{ readonly id: string }>`SELECT public.request_download_url(${ids[0]!}::uuid, ${inline}) AS id`
    : sql<{ readonly id: string }>`SELECT public.request_download_urls(${ids}::uuid[], ${inline}) AS id`
  return row!.id
})

interface Answer {
  readonly status: string
  readonly url: string | null
  readonly file_id: string
  readonly error: string | null
  readonly expires_at: Date | null
}

const getAnswers = Effect.fnUntraced(function* (id: string) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<Answer>`SELECT * FROM public.get_download_url(${id}::uuid)`
})

const answers = (id: string) => until(getAnswers(id), (rows) => rows.every(({ status }) => status !== "pending"))

const get = (url: string) =>
  Effect.promise(async () => {
    const response = await fetch(url)
    return { status: response.status, headers: response.headers, body: await response.text() }
  })

describe("a download", () => {
  it.live("gives what was uploaded, under its name and as its type, for an hour", () =>
    onDatabase(
      Effect.gen(function* () {
        yield* start()
        const file = yield* upload("Überblick (1).txt", "text/plain", "what it holds")

        const [answer] = yield* answers(yield* request([file]))
        const { body, headers, status } = yield* get(answer!.url!)
        assert.deepEqual([status, body, headers.get("content-type")], [200, "what it holds", "text/plain"])
        assert.match(
          headers.get("content-disposition")!,
          /^attachment; filename=".*"; filename\*=UTF-8''%C3%9Cberblick/
        )
        assert.strictEqual(answer!.file_id, file.id)
        const { searchParams } = new URL(answer!.url!)
        assert.strictEqual(searchParams.get("X-Amz-Expires"), "3600")
        assert.closeTo(answer!.expires_at!.getTime(), Date.now() + 3_600_000, 10_000)
        const tampered = yield* get(answer!.url!.replace("attachment", "inline"))
        assert.strictEqual(tampered.status, 403)
      })
    )
  )

  it.live("is shown where it is asked for and may be, and never when it could run script", () =>
    onDatabase(
      Effect.gen(function* () {
        yield* start({ DOWNLOAD_URL_LIFETIME: "10m" })
        const files = [
          yield* record({ name: "a.png", type: "image/png" }),
          yield* record({ name: "b.svg", type: "Image/SVG+xml; charset=utf-8" }),
          yield* record({ name: "c.html", type: "text/html" }),
          yield* record({ name: "d", type: "no type" })
        ]

        const rows = yield* answers(yield* request(files, true))
        const forced = rows.map(({ url }) => {
          const { searchParams } = new URL(url!)
          return [
            searchParams.get("response-content-disposition")!.split(";")[0],
            searchParams.get("response-content-type")
          ]
        })
        assert.deepEqual(forced, [
          ["inline", "image/png"],
          ["attachment", "image/svg+xml; charset=utf-8"],
          ["attachment", "text/html"],
          ["attachment", "application/octet-stream"]
        ])
        assert.strictEqual(new URL(rows[0]!.url!).searchParams.get("X-Amz-Expires"), "600")
      })
    )
  )

  it.live("leads to the file's own bucket; one file without a usable key costs the others nothing", () =>
    onDatabase(
      Effect.gen(function* () {
        const { endpoint } = yield* start()
        const other = yield* record({ bucket: "another.bucket" })
        const files = [
          yield* record(),
          yield* record({ key: "a/../b.png" }),
          other,
          yield* record({ bucket: "not a bucket/at all" }),
          yield* record({ key: other.key })
        ]

        const rows = yield* answers(yield* request(files))
        assert.deepEqual(
          rows.map(({ file_id }) => file_id),
          files.map(({ id }) => id)
        )
        assert.deepEqual(
          rows.map(({ status }) => status),
          ["completed", "failed", "completed", "failed", "failed"]
        )
        assert.isTrue(rows[2]!.url!.startsWith(`${endpoint}/another.bucket/${other.key}?`))
        assert.match(rows[1]!.error!, /has a part "\." or "\.\."/)
        assert.match(rows[3]!.error!, /bucket/)
        assert.match(rows[4]!.error!, /belongs to another file/)
        for (const row of rows) assert.isTrue(row.url === null ? isForPeople(row.error) : row.error === null)
      })
    )
  )

  it.live("of a file that no URL can lead to fails at once, and says why", () =>
    onDatabase(
      Effect.gen(function* () {
        yield* start()
        const id = yield* request([yield* record({ key: "../up" })])

        const [answer] = yield* answers(id)
        assert.strictEqual(answer!.status, "failed")
        assert.match(answer!.error!, /"\.\."/)
        assert.strictEqual((yield* jobOf(id)).state, "discarded")
      })
    )
  )

  it.live("of a thousand files is one job, and each has its URL", () =>
    onDatabase(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* start()
        yield* sql`INSERT INTO metadata.files (id, entity_type, entity_id, file_name, file_type, file_size, s3_original_key)
          SELECT id, 'document', '42', 'image ' || n || '.png', 'image/png', 4, 'document/42/' || id || '/original.png'
          FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, 1000) n) f`
        const files = yield* sql<{ readonly id: string }>`SELECT id FROM metadata.files`

        const id = yield* request(files)
        const rows = yield* answers(id)
        assert.lengthOf(rows, 1000)
        assert.strictEqual(new Set(rows.map(({ url }) => url)).size, 1000)
        for (const { file_id, url } of rows) assert.include(url!, `/document/42/${file_id}/original.png?`)
        assert.lengthOf(yield* getJobs("j.kind = 's3_presign_download'"), 1)
      })
    )
  )

  it.live("is answered once: a job that is run again changes nothing, a failed request is answered", () =>
    onDatabase(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* start()
        const id = yield* request([yield* record()])
        const first = yield* answers(id)
        const job = yield* jobOf(id)
        const again = sql`UPDATE metadata.river_job SET state = 'available', finalized_at = NULL WHERE id = ${job.id}::bigint`

        yield* Effect.sleep("1100 millis")
        yield* again
        yield* jobEnded(job.id)
        assert.deepEqual(yield* getAnswers(id), first)

        yield* sql`UPDATE metadata.file_download_requests SET status = 'failed', answers = NULL, error_message = 'it failed'`
        yield* again
        yield* jobEnded(job.id)
        const [answer] = yield* until(getAnswers(id), ([row]) => row!.status === "completed")
        assert.isNull(answer!.error)
        assert.isNotNull(answer!.url)
      })
    )
  )

  it.live("whose request is gone, or whose args name none, ends its job with a reason", () =>
    onDatabase(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* start()
        const insert = (args: string) =>
          Effect.map(
            sql<{ readonly id: string }>`INSERT INTO metadata.river_job (kind, queue, max_attempts, args)
              VALUES ('s3_presign_download', 's3_signer', 25, ${args}::jsonb) RETURNING id::text`,
            ([row]) => row!.id
          )

        const gone = yield* jobEnded(yield* insert(JSON.stringify({ request_id: randomUUID() })))
        const none = yield* jobEnded(yield* insert('{"file_id": 1}'))
        assert.strictEqual(gone.state, "cancelled")
        assert.match(gone.errors![0]!.error, /the download request of this job does not exist/)
        assert.strictEqual(none.state, "discarded")
        assert.match(none.errors![0]!.error, /no request_id/)
      })
    )
  )

  it.live("fails, and says so, when somebody deletes its job", () =>
    onDatabase(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* start()
        yield* sql`UPDATE metadata.river_queue SET paused_at = now() WHERE name = 's3_signer'`
        yield* Effect.sleep("3500 millis")
        const id = yield* request([yield* record()])
        yield* sql`DELETE FROM metadata.river_job WHERE kind = 's3_presign_download'`

        const [answer] = yield* until(getAnswers(id), ([row]) => row!.status === "failed", "30 seconds")
        assert.match(answer!.error!, /was deleted.*: ask for a new download URL$/)
      })
    )
  )

  it.live("is not claimed where the opt-in migration is not applied, and nothing is missed", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const sql = yield* SqlClient.SqlClient
        const worker = yield* startWorker(url)
        yield* worker.working
        yield* sql`INSERT INTO metadata.river_job (kind, queue, max_attempts, args)
          VALUES ('s3_presign_download', 's3_signer', 25, '{}')`
        yield* answered(yield* requestUpload())

        const [job] = yield* getJobs("j.kind = 's3_presign_download'")
        assert.deepEqual([job!.state, job!.attempt], ["available", 0])
        assert.strictEqual(worker.log.find(({ message }) => message === "working")?.["kinds"], "s3_presign")
      })
    )
  )
})
