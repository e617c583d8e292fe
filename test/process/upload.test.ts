/**
 * What a browser and the person before it get from the running process.
 */
import { assert, describe, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as SqlClient from "effect/sql/SqlClient"
import { randomBytes } from "node:crypto"
import { emptyDatabase, TestDatabase } from "../support/Database.ts"
import { startS3 } from "../support/S3.ts"
import { runToEnd, startWorker, until } from "../support/WorkerProcess.ts"
import {
  type Answer,
  answered,
  getAnswer,
  getJobs,
  insertJob,
  isForPeople,
  jobEnded,
  jobOf,
  onDatabase,
  requestUpload,
  type upload
} from "./support.ts"

const s3 = Effect.acquireRelease(
  Effect.promise(() => startS3({ bucket: "civic-os-files" })),
  (server) => Effect.promise(server.stop)
)

const send = (url: string, init: RequestInit) => Effect.promise(() => fetch(url, init))

/** The request's own columns, byte for byte, and the transaction that wrote them last. */
const rowOf = Effect.fnUntraced(function* (id: string) {
  const sql = yield* SqlClient.SqlClient
  const [row] = yield* sql<{ readonly row: string; readonly xmin: string; readonly s3_key: string | null }>`
    SELECT r::text AS row, r.xmin::text AS xmin, s3_key FROM metadata.file_upload_requests r WHERE id = ${id}::uuid`
  return row!
})

const jobAgain = Effect.fnUntraced(function* (id: string) {
  const sql = yield* SqlClient.SqlClient
  yield* sql`UPDATE metadata.river_job SET state = 'available', scheduled_at = now(), finalized_at = NULL,
    max_attempts = greatest(max_attempts, attempt + 1) WHERE id = ${id}::bigint`
})

describe("an upload", () => {
  it.live("goes as a browser does it: RPC, poll each 500 ms, PUT with Content-Type, on a database that was bare", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url: database } = yield* TestDatabase
        const { endpoint } = yield* s3
        const migrated = yield* runToEnd(["migrate", "up"], { DATABASE_URL: database })
        assert.strictEqual(migrated.status, 0, migrated.errors.join("\n"))
        const worker = yield* startWorker(database, { S3_ENDPOINT: endpoint })
        yield* worker.working
        const bytes = Buffer.from("what the file holds\u0000\uffff")

        const id = yield* requestUpload()
        let answer: Answer = yield* getAnswer(id)
        for (let poll = 1; poll <= 20 && answer.status !== "completed"; poll++) {
          yield* Effect.sleep("500 millis")
          answer = yield* getAnswer(id)
        }
        assert.strictEqual(answer.status, "completed")
        const url = answer.url!
        const put = { method: "PUT", headers: { "Content-Type": "image/jpeg" }, body: bytes }
        const longer = yield* send(url.replace(/X-Amz-Expires=\d+/, "X-Amz-Expires=604800"), put)
        const elsewhere = yield* send(url.replace("/original.jpg", "/original.html"), put)
        const read = yield* send(url, { method: "GET" })
        const stored = yield* send(url, put)

        assert.deepEqual([longer.status, elsewhere.status, read.status, stored.status], [403, 403, 403, 200])
        // As the browser finds them: in the URL's path, without decoding.
        const [, bucket, ...key] = new URL(url).pathname.split("/")
        assert.strictEqual(bucket, "civic-os-files")
        assert.strictEqual(key.join("/"), `document/42/${answer.file_id}/original.jpg`)
        assert.strictEqual((yield* rowOf(id)).s3_key, key.join("/"))
        const sql = yield* SqlClient.SqlClient
        yield* sql`SELECT public.create_file_record(${answer.file_id}::uuid, 'document', '42', 'photo.jpg',
          'image/jpeg', ${bytes.length}::int8, ${bucket!}, ${key.join("/")})`
        const got = yield* send(`${endpoint}/${bucket}/${key.join("/")}`, {})
        assert.strictEqual(got.headers.get("content-type"), "image/jpeg")
        assert.deepEqual(Buffer.from(yield* Effect.promise(() => got.arrayBuffer())), bytes)
        assert.deepEqual(yield* worker.stop, { status: 0, signal: null })
      }),
      emptyDatabase
    )
  )

  it.live("has its URL within a second of the RPC, however seldom the worker polls", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const worker = yield* startWorker(url, { FETCH_POLL_INTERVAL: "60s" })
        yield* worker.working
        const sql = yield* SqlClient.SqlClient
        yield* until(
          sql<{ readonly query: string }>`SELECT query FROM pg_stat_activity
            WHERE datname = current_database() AND query ILIKE 'listen%'`,
          (listening) => listening.length > 0
        )

        for (let n = 0; n < 5; n++) {
          const answer = yield* Effect.flatMap(requestUpload(), (id) => answered(id, "1 second"))
          assert.strictEqual(answer.status, "completed")
        }
      })
    )
  )

  it.live("[37] is one job, completed at its first attempt within 2 s, also when only a row asks for it", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const worker = yield* startWorker(url)
        yield* worker.working
        const sql = yield* SqlClient.SqlClient
        yield* Effect.sleep("200 millis")

        const [row] = yield* sql<{ readonly id: string }>`
          INSERT INTO metadata.file_upload_requests (entity_type, entity_id, file_name, file_type)
          VALUES ('document', '42', 'photo.jpg', 'image/jpeg') RETURNING id`
        const job = yield* jobEnded((yield* jobOf(row!.id)).id, "2 seconds")

        assert.deepInclude(job, { kind: "s3_presign", state: "completed", attempt: 1, errors: null })
        assert.lengthOf(job.attempted_by!, 1)
        assert.lengthOf(yield* getJobs("true"), 1)
        assert.deepInclude(yield* getAnswer(row!.id), { status: "completed" })
      })
    )
  )

  it.live(
    "[140] that is asked for in a transaction lives and dies with it, and ends no transaction of its caller's",
    () =>
      onDatabase(
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const pg = yield* PgClient.PgClient
          const heard = yield* pg.listen("upload_url_request")
          const transaction = sql<{ readonly id: string }>`SELECT pg_current_xact_id()::text AS id`
          const everything = sql`SELECT id::text FROM metadata.file_upload_requests UNION ALL
          SELECT id::text FROM metadata.river_job`

          yield* sql
            .withTransaction(
              Effect.gen(function* () {
                const before = yield* transaction
                yield* requestUpload()
                assert.deepEqual(yield* transaction, before)
                assert.lengthOf(yield* everything, 2)
                return yield* Effect.fail("changed their mind" as const)
              })
            )
            .pipe(Effect.flip)
          assert.deepEqual(yield* everything, [])
          // Its notification would be too long, so the call fails, and takes what was done before with it.
          const tooLong = sql.withTransaction(
            Effect.andThen(requestUpload(), requestUpload({ file_name: "x".repeat(9000) }))
          )
          assert.isTrue(Exit.isFailure(yield* Effect.exit(tooLong)))
          assert.deepEqual(yield* everything, [])

          const id = yield* requestUpload()
          assert.strictEqual(JSON.parse((yield* Queue.take(heard)).payload).requestId, id)
          assert.lengthOf(yield* everything, 2)
        })
      )
  )

  it.live("is left as it is, byte for byte, when its job is delivered again", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        yield* startWorker(url)
        const id = yield* requestUpload()
        yield* answered(id)
        const before = yield* rowOf(id)
        const job = yield* jobOf(id)
        // Signing again in another second would give another URL.
        yield* Effect.sleep("1100 millis")

        yield* jobAgain(job.id)
        const again = yield* jobEnded(job.id)

        assert.deepInclude(again, { state: "completed", attempt: 2, errors: null })
        assert.deepEqual(yield* rowOf(id), before)
      })
    )
  )
})

/** Requests that cannot be answered, and what their person must read about. */
const unusable: ReadonlyArray<readonly [some: Partial<typeof upload>, about: RegExp]> = [
  [{ entity_id: "" }, /^entity_id is empty/],
  [{ entity_type: "" }, /^entity_type is empty/],
  [{ entity_id: ".." }, /^entity_id ".."/],
  [{ entity_type: ".." }, /^entity_type ".."/],
  [{ entity_id: "." }, /^entity_id "."/],
  [{ entity_id: "a b" }, /^entity_id "a b" contains " "/],
  [{ entity_id: "a/b" }, /^entity_id "a\/b" contains "\/"/],
  [{ entity_id: "../../etc/passwd" }, /^entity_id/],
  [{ entity_id: "a\\b" }, /^entity_id/],
  [{ entity_id: "%2e%2e" }, /^entity_id "%2e%2e" contains "%"/],
  [{ entity_id: "100%" }, /^entity_id/],
  [{ entity_id: "a?b" }, /^entity_id/],
  [{ entity_id: "a#b" }, /^entity_id/],
  [{ entity_id: "a+b" }, /^entity_id/],
  [{ entity_id: "Grüße" }, /^entity_id "Grüße" contains "ü"/],
  [{ entity_id: "日本語" }, /^entity_id/],
  [{ entity_id: "e\u0301" }, /^entity_id/],
  [{ entity_id: "👩‍👩‍👧" }, /^entity_id/],
  [{ entity_id: "line\nbreak" }, /^entity_id "line<U\+000A>break"/],
  [{ entity_id: "\u202Egpj.exe" }, /^entity_id "<U\+202E>gpj.exe"/],
  [{ entity_id: "\u0001\u001b[31m" }, /^entity_id/],
  [{ entity_id: "'; DROP TABLE metadata.river_job; --" }, /^entity_id/],
  [{ entity_id: '{"json": true}' }, /^entity_id/],
  [{ entity_id: "x".repeat(256) }, /^entity_id "x+…" is 256 characters long/],
  [{ entity_type: "tables; --" }, /^entity_type/]
]

const hostileNames: ReadonlyArray<readonly [name: string, extension: string]> = [
  ["IMG.JPG", ".JPG"],
  ["archive.tar.gz", ".gz"],
  [".bashrc", ".bashrc"],
  ["no extension", ".bin"],
  ["", ".bin"],
  [".", "."],
  ["..", "."],
  ["trailing.", "."],
  ["../../../etc/passwd", ".bin"],
  ["a.jpg/../../b", ".bin"],
  ["photo.jpg?x=1&y=2", ".jpgx1y2"],
  ["photo.jp%67", ".jp67"],
  ["photo.%2e%2e%2f", ".2e2e2f"],
  ['photo.jpg "', ".jpg"],
  ["photo.jpg\r\nX-Evil: 1", ".jpgX-Evil1"],
  ["Grüße.tüxt", ".txt"],
  ["写真.写真", ".bin"],
  ["e\u0301.e\u0301", ".e"],
  ["👩‍👩‍👧.👩", ".bin"],
  ["\u202Egpj.exe", ".exe"],
  ["x'; DROP TABLE metadata.river_job; --.sql", ".sql"],
  ["<script>alert(1)</script>.<b>", ".b"],
  [`${"n".repeat(3000)}.jpg`, ".jpg"],
  [`n.${"x".repeat(3000)}`, ".bin"]
]

describe.concurrent("a request that cannot be answered", () => {
  it.live("is failed at its first attempt with a line that a person can act on, and holds up nobody", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const sql = yield* SqlClient.SqlClient
        const worker = yield* startWorker(url)
        const ids: Array<string> = []
        for (const [some] of unusable) ids.push(yield* requestUpload(some))
        // Too long for the RPC's notification, not for a row.
        const [long] = yield* sql<{ readonly id: string }>`
          INSERT INTO metadata.file_upload_requests (entity_type, entity_id, file_name, file_type)
          VALUES ('document', ${"0123456789".repeat(1000)}, 'a.jpg', '') RETURNING id`

        for (const [n, id] of [...ids, long!.id].entries()) {
          const answer = yield* answered(id)
          const what = JSON.stringify(unusable[n] ?? "10 kB")
          assert.strictEqual(answer.status, "failed", what)
          assert.match(answer.error!, unusable[n]?.[1] ?? /^entity_id "0123.*…" is 10000 characters long/)
          assert.isTrue(isForPeople(answer.error), answer.error!)
          assert.isNull(answer.url)
          const job = yield* jobOf(id)
          assert.deepInclude(job, { state: "discarded", attempt: 1 })
          assert.deepEqual(
            job.errors?.map(({ error }) => error),
            [answer.error]
          )
        }
        assert.strictEqual((yield* answered(yield* requestUpload())).status, "completed")
        assert.strictEqual(worker.logged(/^attempt failed: entity_/).length, ids.length + 1)
        assert.deepEqual(worker.errors, [])
      })
    )
  )

  it.live("is answered after all when its job is mended and retried as the README says", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const sql = yield* SqlClient.SqlClient
        yield* startWorker(url)
        const id = yield* requestUpload({ entity_id: "4 2" })
        yield* answered(id)
        const { id: job } = yield* jobOf(id)

        yield* sql`UPDATE metadata.river_job SET args = args || '{"entity_id": "42"}' WHERE id = ${job}::bigint`
        yield* jobAgain(job)
        const again = yield* jobEnded(job)

        assert.strictEqual(again.state, "completed")
        assert.deepInclude(yield* getAnswer(id), { status: "completed", error: null })
      })
    )
  )

  it.live("is none because of its file's name: each of them has a safe key", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const { endpoint } = yield* s3
        yield* startWorker(url, { S3_ENDPOINT: endpoint })
        const ids: Array<string> = []
        for (const [file_name] of hostileNames) ids.push(yield* requestUpload({ file_name }))

        for (const [n, id] of ids.entries()) {
          const [name, extension] = hostileNames[n]!
          const answer = yield* answered(id)
          assert.strictEqual(answer.status, "completed", name)
          const { s3_key } = yield* rowOf(id)
          assert.strictEqual(s3_key, `document/42/${answer.file_id}/original${extension}`, name)
          assert.strictEqual(new URL(answer.url!).pathname, `/civic-os-files/${s3_key}`)
          const put = yield* send(answer.url!, { method: "PUT", body: name })
          assert.strictEqual(put.status, 200, name)
        }
      })
    )
  )

  it.live("[73] is told apart from a job that names no request at all, whatever its args are", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const worker = yield* startWorker(url)
        const none = "00000000-0000-7000-8000-000000000000"
        const args = { request_id: none, entity_type: "a", entity_id: "1", file_name: "n.txt", file_type: "" }
        const cases: ReadonlyArray<readonly [args: unknown, state: string, error: RegExp]> = [
          [5, "discarded", /^the job's args are of the JSON type number, not/],
          ["text", "discarded", /^the job's args are of the JSON type string, not/],
          [[args], "discarded", /^the job's args are of the JSON type array, not/],
          [null, "discarded", /^the job's args are null/],
          [true, "discarded", /^the job's args are of the JSON type boolean, not/],
          [{}, "discarded", /^request_id is missing in the job's args$/],
          [{ ...args, request_id: 5 }, "discarded", /^request_id is of the JSON type number/],
          [{ ...args, request_id: "42" }, "discarded", /^request_id "42" is not the UUID of a request$/],
          [{ ...args, request_id: `${none}\n` }, "discarded", /^request_id "0.*…?" is not the UUID/],
          [{ ...args, entity_type: undefined }, "discarded", /^entity_type is missing/],
          [{ ...args, entity_id: 42 }, "discarded", /^entity_id is of the JSON type number/],
          [{ ...args, entity_id: ["a"] }, "discarded", /^entity_id is of the JSON type array/],
          [{ ...args, file_name: null }, "discarded", /^file_name is of the JSON type null/],
          [{ ...args, padding: randomBytes(75_000).toString("base64") }, "discarded", /larger than 32 kB/],
          [args, "cancelled", /^JobCancelError: the upload request of this job does not exist/]
        ]

        const ids: Array<string> = []
        for (const [args] of cases) ids.push(yield* insertJob(JSON.stringify(args)))
        for (const [n, [, state, error]] of cases.entries()) {
          const job = yield* jobEnded(ids[n]!)
          assert.deepInclude(job, { state, attempt: 1 })
          assert.strictEqual(job.errors?.length, 1)
          assert.match(job.errors![0]!.error, error)
          assert.isTrue(isForPeople(job.errors![0]!.error), job.errors![0]!.error)
        }
        assert.strictEqual((yield* answered(yield* requestUpload())).status, "completed")
        assert.strictEqual(worker.log.filter(({ job }) => job !== undefined).length, cases.length)
      })
    )
  )
})

describe("jobs of others", () => {
  it.live("[72] are not touched while the worker's own due and lost jobs beside them run again", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const long = { attempt: "1", attempted_at: "now() - interval '50 minutes'" }
        const states: ReadonlyArray<Readonly<Record<string, string>>> = [
          {},
          { state: "'retryable'", scheduled_at: "now() - interval '1 minute'" },
          { state: "'scheduled'", scheduled_at: "now() - interval '1 minute'" },
          { state: "'pending'" },
          { state: "'running'", attempted_by: "'{h_s3signer_2020_01_01T00_00_00_000000}'", ...long },
          { state: "'running'", attempted_by: "'{go_client}'", ...long, attempted_at: "now() - interval '2 days'" },
          { state: "'completed'", finalized_at: "now() - interval '1 year'" },
          { state: "'discarded'", finalized_at: "now() - interval '1 year'" }
        ]
        const others: Array<string> = []
        for (const columns of states) {
          others.push(yield* insertJob("{}", { ...columns, kind: "'thumbnail'" }))
          others.push(yield* insertJob("{}", { ...columns, queue: "'default'" }))
        }
        // A Go client's job of our kind and queue: it may run for River's hour.
        others.push(yield* insertJob("{}", { state: "'running'", attempted_by: "'{go_client}'", ...long }))
        const sql = yield* SqlClient.SqlClient
        const snapshot = sql<{ readonly row: string; readonly xmin: string }>`
          SELECT j::text AS row, xmin::text AS xmin FROM metadata.river_job j
          WHERE id = ANY (${others}::bigint[]) ORDER BY id`
        const before = yield* snapshot
        const due = yield* insertJob("{}", { ...states[1] })
        const lost = yield* insertJob("{}", { ...states[4] })

        yield* startWorker(url)

        assert.deepInclude(yield* jobEnded(due), { state: "discarded", attempt: 1 })
        const rescued = yield* jobEnded(lost)
        assert.deepInclude(rescued, { state: "discarded", attempt: 2 })
        assert.match(rescued.errors![0]!.error, /^Stuck job rescued/)
        assert.strictEqual((yield* answered(yield* requestUpload())).status, "completed")
        assert.deepEqual(yield* snapshot, before)
        assert.strictEqual((yield* getJobs("true")).length, others.length + 3)
      })
    )
  )
})
