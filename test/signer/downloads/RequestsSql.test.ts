/**
 * Asking for downloads and reading the answers, by SQL, as PostgREST does for a browser: who gets what, on both
 * generations of the files table.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { parseInsert } from "../../../src/river/Notification.ts"
import { column, onEmpty, run } from "../../catalog.ts"
import { as, type Caller, type Generation, insertFiles, makeDownloads } from "../../support/FilesTables.ts"
import { answers, ask, blank, fileId, read, refusal } from "./calls.ts"

const subs = {
  alice: "a11ce000-0000-4000-8000-000000000001",
  bob: "b0b00000-0000-4000-8000-000000000002",
  carol: "ca401000-0000-4000-8000-000000000003"
}
const alice: Caller = { role: "authenticated", sub: subs.alice }
const bob: Caller = { role: "authenticated", sub: subs.bob, roles: ["reader"] }
const carol: Caller = { role: "authenticated", sub: subs.carol }
const admin: Caller = { role: "authenticated", sub: "ad310000-0000-4000-8000-000000000004", roles: ["admin"] }
const anonymous: Caller = { role: "web_anon" }

/** Alice's upload, what Bob's role may read, what belongs to a record of Alice's, and what nobody may even ask about. */
const [own, permitted, ofRecord, closed] = [fileId(1), fileId(2), fileId(3), fileId(4)]
const insertTiers = Effect.andThen(
  run(
    "INSERT INTO metadata.role_permissions VALUES ('reader', 'reports', 'read')",
    `INSERT INTO public.issues VALUES (7, '${subs.alice}')`
  ),
  insertFiles([
    { id: own, entity_type: "tickets", entity_id: "1", created_by: subs.alice },
    { id: permitted, entity_type: "reports", entity_id: "1", created_by: subs.carol },
    { id: ofRecord, entity_type: "issues", entity_id: "7", created_by: subs.bob },
    { id: closed, entity_type: "closed", entity_id: "1", created_by: subs.carol }
  ])
)

/** A file that Bob may see, in either generation. */
const shared = fileId(9)
const insertShared = insertFiles([{ id: shared, entity_type: "reports", entity_id: "1", created_by: subs.bob }])

const onBoth = <E>(name: string, body: Parameters<typeof onEmpty<E>>[1]) =>
  (["0.10.0", "0.39.0"] as const).forEach((generation: Generation) =>
    onEmpty(`${name}, with the files of Civic OS ${generation}`, Effect.andThen(makeDownloads(generation), body))
  )

describe("a caller's right to a file", () => {
  onEmpty(
    "is what the policies of the table say for the caller: administrator, uploader, permission, record",
    Effect.gen(function* () {
      yield* makeDownloads("0.39.0")
      yield* insertTiers
      const everything = [own, permitted, ofRecord, closed]

      for (const [caller, sees] of [
        [admin, everything],
        [alice, [own, ofRecord]],
        [bob, [permitted, ofRecord]],
        [{ ...carol, roles: ["reader"] }, [permitted, closed]],
        [carol, [permitted, closed]]
      ] as const) {
        const seen: ReadonlyArray<string> = sees
        const id = yield* as(caller)(ask(everything))

        assert.deepEqual(
          (yield* as(caller)(read(id))).map(({ file_id }) => file_id),
          [...seen]
        )
        for (const file of everything) {
          const asked = as(caller)(ask(file))
          if (seen.includes(file)) yield* asked
          else assert.deepEqual(yield* refusal(asked), { code: "PT404", message: `no such file: ${file}` })
        }
      }
    })
  )

  onBoth(
    "is none to a file that is not there, and that is told in the same words",
    Effect.gen(function* () {
      yield* insertShared
      const [first, second] = [fileId(77), fileId(78)]

      assert.deepEqual(yield* refusal(as(bob)(ask(first))), { code: "PT404", message: `no such file: ${first}` })
      assert.deepEqual(yield* refusal(as(bob)(ask([first, second]))), {
        code: "PT404",
        message: `no such file: ${first}, ${second}`
      })
      assert.strictEqual((yield* as(bob)(Effect.flatMap(ask([first, shared, second]), read))).length, 1)
    })
  )

  onBoth(
    "is none without a login: an anonymous caller is refused before any table is looked at",
    Effect.gen(function* () {
      yield* insertShared
      const id = yield* as(bob)(ask(shared))

      for (const call of [ask(shared), ask([shared]), ask(fileId(77)), Effect.asVoid(read(id))]) {
        const { code, message } = yield* refusal(as(anonymous)<unknown, SqlError, SqlClient>(call))
        assert.strictEqual(code, "42501")
        assert.include(message, "permission denied for function")
      }
    })
  )

  onBoth(
    "is none where the role may not read the table, and that is no secret",
    Effect.gen(function* () {
      yield* insertShared
      yield* run("REVOKE SELECT ON metadata.files FROM authenticated")

      for (const file of [shared, fileId(77)]) {
        assert.deepEqual(yield* refusal(as(bob)(ask(file))), {
          code: "42501",
          message: "permission denied for table files"
        })
      }
    })
  )

  onBoth(
    "is looked up in the table as it is now, also when that was altered or made anew",
    Effect.gen(function* () {
      yield* insertShared
      yield* as(bob)(ask(shared))
      yield* run(
        // Also with the very names that the function uses.
        `ALTER TABLE metadata.files ${["file", "asked", "seen", "one"].map((name) => `ADD ${name} uuid`).join(", ")}`,
        "ALTER TABLE metadata.files DROP COLUMN IF EXISTS s3_bucket"
      )

      assert.lengthOf(yield* as(bob)(Effect.flatMap(ask(shared), read)), 1)
      assert.strictEqual((yield* refusal(as(bob)(ask(fileId(77))))).code, "PT404")

      yield* run(
        "CREATE TABLE metadata.files_anew AS TABLE metadata.files",
        "DROP TABLE metadata.files",
        "ALTER TABLE metadata.files_anew RENAME TO files",
        "GRANT SELECT ON metadata.files TO authenticated"
      )

      assert.lengthOf(yield* as(carol)(Effect.flatMap(ask(shared), read)), 1)

      yield* run("DROP TABLE metadata.files")

      assert.strictEqual((yield* refusal(as(carol)(ask(shared)))).code, "42P01")
    })
  )

  onEmpty(
    "does not depend on the search path, unless the policies' own functions do: then it must be the browser's",
    Effect.gen(function* () {
      yield* makeDownloads("0.39.0")
      yield* insertTiers
      const blind: Caller = { ...carol, searchPath: "" }
      const looking = column(`SELECT 1 FROM metadata.files WHERE id = '${own}'`)

      // What SELECT says of the policy, asking says.
      assert.deepEqual(yield* refusal(as(blind)(ask(own))), yield* refusal(as(blind)(looking)))

      yield* run("DROP POLICY tiers ON metadata.files", "CREATE POLICY mine ON metadata.files USING (entity_id = '7')")

      assert.lengthOf(yield* as(blind)(Effect.flatMap(ask([own, ofRecord, closed]), read)), 1)
      assert.strictEqual((yield* refusal(as(blind)(ask(own)))).code, "PT404")
    })
  )
})

describe("request_download_urls", () => {
  onBoth(
    "keeps what the table says of each file, once each, in the order asked",
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const keyed = `reports/1/${fileId(3)}/original.png`
      yield* insertFiles([
        { id: fileId(1), entity_type: "reports", entity_id: "1", created_by: subs.bob, name: "Grüße 😀.png" },
        { id: fileId(2), entity_type: "reports", entity_id: "2", created_by: subs.bob, bucket: "other-files" },
        { id: fileId(3), entity_type: "reports", entity_id: "3", created_by: subs.bob, key: `tenant/${keyed}` }
      ])
      const hasBuckets =
        (yield* column(
          "SELECT 1 FROM pg_attribute WHERE attrelid = 'metadata.files'::regclass AND attname = 's3_bucket'"
        )).length > 0

      const id = yield* as(bob)(ask([fileId(3), fileId(1), fileId(3), fileId(2), fileId(1)], true))

      const entry = (n: number, entity: string, more: object) => ({
        file_id: fileId(n),
        entity_type: "reports",
        bucket: hasBuckets ? "site-files" : null,
        key: `reports/${entity}/${fileId(n)}/original.png`,
        name: "photo.png",
        type: "image/png",
        ...more
      })
      assert.deepEqual(
        yield* sql`SELECT id, file_ids, files, inline, requested_by::json AS requested_by, status, answers, expires_at,
          error_message, now() - created_at < interval '1 minute' AS just_now FROM metadata.file_download_requests`,
        [
          {
            id,
            file_ids: null,
            files: [
              entry(3, "1", { key: `tenant/${keyed}` }),
              entry(1, "1", { name: "Grüße 😀.png" }),
              entry(2, "2", hasBuckets ? { bucket: "other-files" } : {})
            ],
            inline: true,
            requested_by: { role: "authenticated", sub: subs.bob },
            status: "pending",
            answers: null,
            expires_at: null,
            error_message: null,
            just_now: true
          }
        ]
      )
    })
  )

  onBoth(
    "makes one job that names the request and no file, and tells the worker at commit",
    Effect.gen(function* () {
      const sql = yield* SqlClient
      const pg = yield* PgClient.PgClient
      yield* insertShared
      const heard = yield* pg.listen("metadata.river_insert")

      const id = yield* as(bob)(ask(shared))

      assert.strictEqual(parseInsert((yield* Queue.take(heard)).payload), "s3_signer")
      assert.deepEqual(
        yield* sql`SELECT kind, queue, priority, max_attempts, state::text AS state, args FROM metadata.river_job`,
        [
          {
            kind: "s3_presign_download",
            queue: "s3_signer",
            priority: 1,
            max_attempts: 25,
            state: "available",
            args: { request_id: id }
          }
        ]
      )
      assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    }).pipe(Effect.scoped)
  )

  onBoth(
    "says what is wrong with a call that names no file, too many, or nothing for one",
    Effect.gen(function* () {
      yield* insertShared
      const ids = `(SELECT array_agg('${shared}'::uuid) FROM generate_series(1, 1001))`

      for (const [call, message] of [
        ["public.request_download_url(NULL)", "a file that is asked for has no id"],
        ["public.request_download_urls(NULL)", "no file is asked for"],
        ["public.request_download_urls('{}')", "no file is asked for"],
        [`public.request_download_urls(ARRAY['${shared}', NULL]::uuid[])`, "a file that is asked for has no id"],
        [`public.request_download_urls(ARRAY[['${shared}'], [NULL]]::uuid[])`, "a file that is asked for has no id"],
        [`public.request_download_urls(${ids})`, "1001 files are asked for, 1000 are the most"]
      ] as const) {
        assert.deepEqual(yield* refusal(as(bob)(column(`SELECT ${call}`))), { code: "22023", message }, call)
      }
      assert.deepEqual(yield* column("SELECT 1 FROM metadata.file_download_requests"), [])
      assert.deepEqual(yield* column("SELECT 1 FROM metadata.river_job"), [])
    })
  )

  onBoth(
    "takes a thousand files in one call, and answers for each of them",
    Effect.gen(function* () {
      const ids = Array.from({ length: 1000 }, (_, n) => fileId(n + 1)).toReversed()
      yield* insertFiles(ids.map((id) => ({ id, entity_type: "reports", entity_id: "1", created_by: subs.bob })))

      const id = yield* as(bob)(ask(ids))
      yield* answers(
        id,
        ids.map((file) => ({ url: `https://s3/${file}?${"s".repeat(400)}` }))
      )
      const began = performance.now()
      const rows = yield* as(bob)(read(id))

      // Expanding the answers once for each file would take seconds.
      assert.isBelow(performance.now() - began, 1000)
      assert.deepEqual(
        rows.map(({ file_id }) => file_id),
        ids
      )
      for (const { file_id, url } of rows) assert.include(url, String(file_id))
      assert.lengthOf(yield* column("SELECT 1 FROM metadata.river_job"), 1)
    })
  )

  onEmpty(
    "keeps no key whose last folder with a recorded file's id is of another file; others are as on record",
    Effect.gen(function* () {
      const sql = yield* SqlClient
      yield* makeDownloads("0.39.0")
      const [victim, nobody] = [fileId(98), fileId(99)]
      const others = [
        `reports/1/${victim}/original.png`,
        `tenant/reports/1/${victim}/original.png`,
        `${victim}/original.png`,
        `reports/1/${victim.toUpperCase()}/original.png`,
        `reports/1/${victim}/nested/original.png`,
        `x\n/${victim}//original.png`,
        // The caller's own id beside it.
        `${fileId(7)}/${victim}/original.png`,
        `${victim}/${fileId(8)}/${victim}/original.png`
      ]
      const ours = [
        `a b/..c/${fileId(9)}/.bashrc`,
        `reports/${nobody}/${fileId(10)}/original.png`,
        // A file of a file.
        `attachment/${victim}/${fileId(11)}/original.pdf`,
        `reports/1/${fileId(12)}/${victim}.png`,
        `tenants/${nobody}/report.pdf`,
        "taken-over/1.png",
        `taken-over/x${victim}/1.png`,
        "../up",
        ""
      ]
      const keys = [...others, ...ours]
      const ids = keys.map((_, n) => fileId(n + 1))
      yield* insertFiles([
        ...keys.map((key, n) => ({ id: ids[n]!, entity_type: "x", entity_id: "1", created_by: subs.alice, key })),
        { id: victim, entity_type: "reports", entity_id: "1", created_by: subs.bob, key: others[0]! }
      ])

      yield* as(alice)(ask(ids))

      const [row] = yield* sql<{ readonly files: ReadonlyArray<{ readonly key: string | null }> }>`
        SELECT files FROM metadata.file_download_requests`
      assert.deepEqual(
        row?.files.map(({ key }) => key),
        [...others.map(() => null), ...ours]
      )
    })
  )
})

describe("get_download_url", () => {
  onBoth(
    "shows who asked, in another transaction, what became of each file; and nobody else anything",
    Effect.gen(function* () {
      yield* insertShared
      const id = yield* as(bob)(ask(shared))
      assert.deepEqual(yield* as(bob)(read(id)), [{ ...blank, status: "pending", file_id: shared }])
      assert.deepEqual(yield* as({ ...bob, roles: [], searchPath: "" })(read(id)), [
        { ...blank, status: "pending", file_id: shared }
      ])
      for (const other of [alice, admin, { role: "authenticated" } as const, { ...bob, sub: "" }]) {
        assert.deepEqual(yield* as(other)(read(id)), [])
      }
      assert.deepEqual(yield* as(bob)(read(fileId(77))), [])
      // The owner of the function is somebody else, too.
      assert.deepEqual(yield* read(id), [])

      // As PostgREST before version 9 says who it is.
      const claimed = run("SET LOCAL request.jwt.claims = ''", `SET LOCAL request.jwt.claim.sub = '${subs.bob}'`)
      assert.lengthOf(yield* as(alice)(Effect.andThen(claimed, read(id))), 1)
    })
  )

  onBoth(
    "tells the same subject in another role, and a role that is named like a subject, apart",
    Effect.gen(function* () {
      const [database] = yield* column("SELECT current_database()")
      const role = `other_${String(database)}`
      yield* run(`CREATE ROLE ${role}`, `GRANT authenticated TO ${role}`, `GRANT ${role} TO authenticator`)

      yield* Effect.gen(function* () {
        yield* insertShared
        const asRole = as({ ...bob, role: "authenticated" })
        const change = run(`SET LOCAL ROLE ${role}`)
        const mine = yield* asRole(Effect.andThen(change, ask(shared)))

        assert.lengthOf(yield* asRole(Effect.andThen(change, read(mine))), 1)
        assert.deepEqual(yield* as(bob)(read(mine)), [])
      }).pipe(Effect.ensuring(Effect.orDie(run(`DROP OWNED BY ${role}`, `DROP ROLE ${role}`))))
    })
  )

  onBoth(
    "answers for each file on its own, and for all of them when the request failed",
    Effect.gen(function* () {
      const [first, second, third] = [fileId(1), fileId(2), fileId(3)]
      yield* insertFiles(
        [first, second, third].map((id) => ({ id, entity_type: "reports", entity_id: "1", created_by: subs.bob }))
      )
      const mixed = yield* as(bob)(ask([first, second, third]))
      const failed = yield* as(bob)(ask([first, second]))

      yield* answers(mixed, [{ url: "https://s3/1" }, { error: "it is too big" }])
      yield* answers(failed, [{ url: "https://s3/1" }, { url: "https://s3/2" }])
      yield* run(
        `UPDATE metadata.file_download_requests SET status = 'failed', error_message = 'it is late' WHERE id = '${failed}'`
      )

      const expires_at = new Date("2030-01-01T00:00:00Z")
      assert.deepEqual(yield* as(bob)(read(mixed)), [
        { ...blank, status: "completed", url: "https://s3/1", file_id: first, expires_at },
        { ...blank, status: "failed", file_id: second, error: "it is too big" },
        { ...blank, status: "failed", file_id: third, error: "there is no URL for this file" }
      ])
      assert.deepEqual(yield* as(bob)(read(failed)), [
        { ...blank, status: "failed", file_id: first, error: "it is late" },
        { ...blank, status: "failed", file_id: second, error: "it is late" }
      ])
    })
  )
})

describe("the worker's role", () => {
  onEmpty(
    "needs SELECT and UPDATE on the requests, and nothing on the files",
    Effect.gen(function* () {
      const sql = yield* SqlClient
      yield* makeDownloads("0.39.0")
      yield* insertShared
      const [database] = yield* column("SELECT current_database()")
      const role = `signer_${String(database)}`
      const asWorker = <A, E, R>(body: Effect.Effect<A, E, R>) =>
        sql.withTransaction(Effect.andThen(run(`SET LOCAL ROLE ${role}`), body))
      yield* run(
        `CREATE ROLE ${role}`,
        `GRANT USAGE ON SCHEMA metadata TO ${role}`,
        `GRANT SELECT, UPDATE ON metadata.file_download_requests TO ${role}`
      )

      yield* Effect.gen(function* () {
        const id = yield* as(bob)(ask(shared))

        assert.lengthOf(yield* asWorker(column("SELECT files FROM metadata.file_download_requests")), 1)
        yield* asWorker(answers(id, [{ url: "https://s3/9" }]))

        assert.deepInclude((yield* as(bob)(read(id)))[0], { status: "completed", url: "https://s3/9" })
        assert.strictEqual((yield* refusal(asWorker(column("SELECT 1 FROM metadata.files")))).code, "42501")
      }).pipe(Effect.ensuring(Effect.orDie(run(`DROP OWNED BY ${role}`, `DROP ROLE ${role}`))))
    })
  )
})
