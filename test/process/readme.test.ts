/**
 * The SQL that the README shows, as it stands there.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { randomUUID } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Migrate from "../../src/Migrate.ts"
import { TestDatabase } from "../support/Database.ts"
import { startWorker, until } from "../support/WorkerProcess.ts"
import { answered, jobEnded, jobOf, onDatabase, requestUpload } from "./support.ts"

const readme = fs.readFileSync(path.join(import.meta.dirname, "../../README.md"), "utf8")

/** The statements of the README's SQL, without comments. */
const statements = [...readme.matchAll(/^```sql\n(.*?)^```$/gms)]
  .flatMap(([, block = ""]) => block.replaceAll(/--.*$/gm, "").split(";"))
  .map((statement) => statement.trim())
  .filter((statement) => statement !== "")

const statement = (about: RegExp) => {
  const found = statements.filter((text) => about.test(text))
  assert.lengthOf(found, 1, `one statement about ${about}`)
  return found[0]!
}

const run = Effect.fnUntraced(function* (text: string) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql.unsafe<Readonly<Record<string, unknown>>>(text)
})

describe("the README's SQL", () => {
  it.live("asks for a URL, shows what waits and what fails, and retries a discarded job", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const [asked] = yield* run(statement(/request_upload_url/))
        const id = String(Object.values(asked!)[0])
        const [waiting] = yield* run(statement(/oldest/))
        assert.strictEqual(waiting!["count"], 1n)
        yield* startWorker(url)
        yield* answered(id)

        const [answer] = yield* run(statement(/get_upload_url/).replace("<the id>", id))
        assert.deepInclude(answer!, { status: "completed", error: null })
        assert.match(String(answer!["url"]), /^https:.*\/document\/42\/.*\/original\.jpg\?/)
        const [{ p95 }] = (yield* run(statement(/p95/))) as [{ readonly p95: { readonly microseconds: bigint } }]
        assert.isAbove(Number(p95.microseconds), 0)
        assert.deepEqual(yield* run(statement(/last_error/)), [])

        const refused = yield* requestUpload({ entity_id: "a/b" })
        const { error } = yield* answered(refused)
        const job = yield* jobOf(refused)
        assert.deepEqual(yield* run(statement(/last_error/)), [
          { id: BigInt(job.id), attempt: 1, max_attempts: 25, last_error: error }
        ])
        yield* run(
          `UPDATE metadata.river_job SET args = args || '{"entity_id": "a-b"}', max_attempts = 1 WHERE id = ${job.id}`
        )
        yield* run(statement(/greatest/).replace(/\bid = 42\b/, `id = ${job.id}`))
        assert.deepInclude(yield* jobEnded(job.id), { state: "completed", attempt: 2, max_attempts: 2 })
        assert.deepInclude(yield* answered(refused), { status: "completed", error: null })
        assert.lengthOf(statements, 13)
      })
    )
  )

  it.live("asks for downloads: of one file, to be shown or to be saved, and of several", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const ids = [randomUUID(), randomUUID()]
        yield* Migrate.up({ schema: "metadata", to: { line: "s3_signer", version: 1 } })
        for (const id of ids) {
          yield* run(
            `SELECT public.create_file_record('${id}', 'document', '42', 'a.png', 'image/png', 4, 'b-1', 'k/${id}')`
          )
        }
        yield* startWorker(url)
        const asked = [
          statement(/request_download_url\('[^']*'{2}s id>'\)/).replace("<a file''s id>", ids[0]!),
          statement(/p_inline/).replace("<a file''s id>", ids[0]!),
          statement(/request_download_urls/)
            .replace("<one>", ids[0]!)
            .replace("<another>", ids[1]!)
        ]
        const counts = []
        for (const text of asked) {
          const [request] = yield* run(text)
          const read = statement(/get_download_url/).replace("<the request''s id>", String(Object.values(request!)[0]))
          const rows = yield* until(run(read), ([row]) => row!["status"] === "completed")
          counts.push(rows.length)
        }
        assert.deepEqual(counts, [1, 1, 2])
      })
    )
  )

  it.live("pauses the queue, cancels a job that waits, and resumes", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const worker = yield* startWorker(url)
        yield* Effect.flatMap(requestUpload(), (id) => answered(id))

        yield* run(statement(/paused_at = now/))
        yield* worker.line(/^queue paused/, "5 seconds")
        const [unwanted, wanted] = [yield* requestUpload(), yield* requestUpload()]
        const job = yield* jobOf(unwanted)
        yield* run(statement(/state = 'cancelled'/).replace(/\bid = 42\b/, `id = ${job.id}`))
        assert.deepInclude(yield* answered(unwanted), { status: "failed" })
        yield* run(statement(/paused_at = NULL/))

        assert.deepInclude(yield* answered(wanted), { status: "completed" })
      })
    )
  )
})
