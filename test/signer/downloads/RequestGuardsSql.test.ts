/**
 * What a caller with a SQL prompt of their own may try: forged requests, other people's answers, names that mean something
 * else on their search path.
 */
import { assert, describe } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { SqlClient } from "effect/sql/SqlClient"
import * as Migrate from "../../../src/Migrate.ts"
import { column, onEmpty, run } from "../../catalog.ts"
import { as, type Caller, downloads, insertFiles, makeCivicOs, makeDownloads } from "../../support/FilesTables.ts"
import { answers, ask, blank, fileId, read, refusal } from "./calls.ts"

const alice: Caller = { role: "authenticated", sub: "a11ce000-0000-4000-8000-000000000001" }
const mallory: Caller = { role: "authenticated", sub: "ba400000-0000-4000-8000-000000000002" }

const [mine, hers] = [fileId(1), fileId(2)]
const request = "0190a000-0000-7000-9000-000000000001"

/** A file of Mallory's, and one of Alice's that Mallory may not see. */
const makeFiles = Effect.andThen(
  makeDownloads("0.39.0"),
  insertFiles([
    { id: mine, entity_type: "tickets", entity_id: "1", created_by: mallory.sub! },
    { id: hers, entity_type: "tickets", entity_id: "2", created_by: alice.sub! }
  ])
)

/** The same, and Alice's request for hers. */
const setUp = Effect.gen(function* () {
  yield* makeFiles
  const id = yield* as(alice)(ask(hers))
  yield* answers(id, [{ url: "https://s3/hers" }])
  return id
})

const stored = Effect.flatMap(
  SqlClient,
  (sql) => sql<Record<string, unknown>>`
    SELECT *, requested_by::json AS requested_by, now() - created_at < interval '1 minute' AS just_now
    FROM metadata.file_download_requests WHERE id = ${request}`
)

/** What the trigger makes of a request of Mallory's for `mine` and `hers`, whatever else it says. */
const asItShouldBe = (requestedBy: unknown) => ({
  file_ids: null,
  files: [
    {
      file_id: mine,
      entity_type: "tickets",
      bucket: "site-files",
      key: `tickets/1/${mine}/original.png`,
      name: "photo.png",
      type: "image/png"
    }
  ],
  inline: false,
  requested_by: requestedBy,
  status: "pending",
  answers: null,
  expires_at: null,
  error_message: null,
  just_now: true
})

describe("a row that a caller inserts", () => {
  onEmpty(
    "may say its id, its files and inline; all else is refused",
    Effect.gen(function* () {
      yield* setUp
      const columns = {
        files: "'[]'",
        requested_by: "'alice'",
        status: "'completed'",
        answers: "'[]'",
        expires_at: "now()",
        error_message: "'x'",
        created_at: "now()"
      }

      for (const [name, value] of Object.entries(columns)) {
        const insert = `INSERT INTO metadata.file_download_requests (file_ids, ${name}) VALUES ('{${mine}}', ${value})`
        assert.strictEqual((yield* refusal(as(mallory)(run(insert)))).code, "42501", name)
      }
      yield* as(mallory)(
        run(
          `INSERT INTO metadata.file_download_requests (id, file_ids, inline) VALUES ('${request}', '{${mine}, ${hers}}', NULL)`
        )
      )

      assert.deepInclude((yield* stored)[0], asItShouldBe({ role: "authenticated", sub: mallory.sub }))
      assert.lengthOf(yield* column(`SELECT 1 FROM metadata.river_job WHERE args ->> 'request_id' = '${request}'`), 1)
    })
  )

  onEmpty(
    "is made what it should be, also when its columns are open to the caller",
    Effect.gen(function* () {
      yield* setUp
      yield* run("GRANT INSERT ON metadata.file_download_requests TO authenticated")
      const forged = `'{${mine}, ${hers}}', '[{"file_id": "${hers}", "key": "k"}]', 'alice', 'completed',
        '[{"url": "u"}]', now() + interval '1 year', 'x', '2000-01-01'`

      yield* as(mallory)(
        run(`INSERT INTO metadata.file_download_requests (id, file_ids, files, requested_by, status, answers, expires_at,
          error_message, created_at) VALUES ('${request}', ${forged})`)
      )

      assert.deepInclude((yield* stored)[0], asItShouldBe({ role: "authenticated", sub: mallory.sub }))
    })
  )

  onEmpty(
    "is refused when its files are not the caller's to see, or are not named",
    Effect.gen(function* () {
      yield* setUp
      const insert = (values: string) =>
        refusal(as(mallory)(run(`INSERT INTO metadata.file_download_requests (file_ids) VALUES (${values})`)))

      assert.strictEqual((yield* insert(`'{${hers}}'`)).code, "PT404")
      assert.strictEqual((yield* insert("'{}'")).code, "22023")
      assert.strictEqual((yield* insert("DEFAULT")).code, "22023")
    })
  )

  onEmpty(
    "gets past nothing by way of other statements, triggers or settings",
    Effect.gen(function* () {
      const id = yield* setUp
      const table = "metadata.file_download_requests"
      const values = `(id, file_ids) VALUES ('${id}', '{${mine}}')`

      for (const [attempt, code] of [
        [`SELECT 1 FROM ${table}`, "42501"],
        [`SELECT id FROM ${table}`, "42501"],
        [`UPDATE ${table} SET requested_by = 'x'`, "42501"],
        [`DELETE FROM ${table}`, "42501"],
        [`TRUNCATE ${table}`, "42501"],
        [`COPY ${table} (files) TO STDOUT`, "42501"],
        [`INSERT INTO ${table} ${values} RETURNING files`, "42501"],
        [`INSERT INTO ${table} ${values} RETURNING id`, "42501"],
        [`INSERT INTO ${table} ${values} ON CONFLICT (id) DO NOTHING`, "42501"],
        [`INSERT INTO ${table} ${values} ON CONFLICT (id) DO UPDATE SET inline = true`, "42501"],
        [`MERGE INTO ${table} t USING (SELECT 1) s ON t.inline WHEN MATCHED THEN UPDATE SET inline = true`, "42501"],
        [
          `CREATE TRIGGER t BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`,
          "42501"
        ],
        [`ALTER TABLE ${table} DISABLE TRIGGER ALL`, "42501"],
        [`CREATE TEMP TABLE child () INHERITS (${table})`, "42501"],
        ["SET LOCAL session_replication_role = replica", "42501"],
        ["SELECT metadata.accept_file_download()", "42501"],
        ["SELECT metadata.clear_file_download_keys()", "42501"],
        ["SELECT metadata.insert_s3_presign_download_job()", "42501"],
        [`INSERT INTO ${table} ${values}`, "23505"]
      ] as const) {
        assert.strictEqual((yield* refusal(as(mallory)(run(attempt)))).code, code, attempt)
      }

      // A table of one's own with our triggers on it would make jobs of anything.
      for (const name of ["accept_file_download", "clear_file_download_keys", "insert_s3_presign_download_job"]) {
        const attached = run(
          "CREATE TEMP TABLE own_requests (id uuid)",
          `CREATE TRIGGER t AFTER INSERT ON own_requests FOR EACH ROW EXECUTE FUNCTION metadata.${name}()`
        )
        assert.strictEqual((yield* refusal(as(mallory)(attached))).code, "42501", name)
      }

      // What is asked without row-level security is refused, not answered in full.
      const unguarded = as(mallory)(Effect.andThen(run("SET LOCAL row_security = off"), ask([mine, hers])))
      assert.strictEqual((yield* refusal(unguarded)).code, "42501")
    })
  )

  onEmpty(
    "means the same whatever its names mean on the caller's search path",
    Effect.gen(function* () {
      // No request before the hostile ones: a session keeps what it once made of a function.
      yield* makeFiles
      yield* run(
        // So that the policy does not depend on the path, and only ours is tried.
        "DROP POLICY tiers ON metadata.files",
        "CREATE POLICY own ON metadata.files USING (created_by = metadata.current_user_id())",
        "ALTER FUNCTION metadata.current_user_id() SET search_path = pg_catalog",
        "CREATE SCHEMA hostile AUTHORIZATION authenticated"
      )
      const forged = `[{"file_id": "${hers}", "key": "stolen/${hers}/original.png"}]`
      const functions = `to_jsonb(record) array_agg(jsonb) array_cat(jsonb[],jsonb[]) cardinality(uuid[])
        num_nulls(uuid[]) jsonb_array_length(jsonb) left(text,int) array_to_string(uuid[],text) now() unnest(uuid[])
        unnest(jsonb[]) jsonb_agg(jsonb) split_part(text,text,int) gen_random_uuid() current_setting(text)
        current_setting(text,boolean) pg_notify(text,text) file_download_request_id() file_download_asker()
        file_download_snapshot(uuid[],jsonb[])`.split(/\s+/)
      const operators = [
        ["=", "uuid", "uuid"],
        ["=", "text", "text"],
        ["=", "int", "int"],
        [">", "int", "int"],
        ["->>", "json", "text"],
        ["->>", "jsonb", "text"],
        ["||", "text", "text"],
        ["||", "jsonb", "jsonb"],
        ["!~", "text", "text"],
        ["<>", "text", "text"]
      ]
      yield* as(mallory)(
        run(
          ...functions.map(
            (signature) =>
              `CREATE FUNCTION hostile.${signature.replace("left", '"left"')} RETURNS jsonb LANGUAGE plpgsql
               AS $$ BEGIN RETURN '${forged}'; END $$`
          ),
          ...operators.flatMap(([name, left, right], n) => [
            `CREATE FUNCTION hostile.operator_${n}(${left}, ${right}) RETURNS boolean LANGUAGE sql AS 'SELECT true'`,
            `CREATE OPERATOR hostile.${name} (LEFTARG = ${left}, RIGHTARG = ${right}, FUNCTION = hostile.operator_${n})`
          ]),
          ...["uuid", "jsonb", "text", "json", "boolean"].map((name) => `CREATE DOMAIN hostile."${name}" AS int`),
          "CREATE TABLE hostile.files (id int)",
          "CREATE TABLE hostile.file_download_requests (id int)"
        )
      )
      const caught = column("SELECT 'a'::pg_catalog.text OPERATOR(pg_catalog.||) (1 = 2)::pg_catalog.text")
      const hostile: Caller = { ...mallory, searchPath: "hostile, pg_catalog" }

      // The trap works: here 1 = 2.
      assert.deepEqual(yield* as(hostile)(caught), ["atrue"])

      const id = yield* as(hostile)(ask([mine, hers]))
      yield* as(hostile)(
        run(`INSERT INTO metadata.file_download_requests (id, file_ids) VALUES ('${request}', '{${mine}, ${hers}}')`)
      )

      const { requested_by, ...rest } = asItShouldBe({ role: "authenticated", sub: mallory.sub })
      assert.deepInclude((yield* stored)[0], { ...rest, requested_by })
      assert.deepEqual(
        (yield* as(hostile)(read(id))).map(({ file_id, status }) => ({ file_id, status })),
        [{ file_id: mine, status: "pending" }]
      )
      assert.deepEqual(yield* refusal(as(hostile)(ask(hers))), { code: "PT404", message: `no such file: ${hers}` })
      assert.strictEqual((yield* refusal(as(hostile)(ask([])))).code, "22023")
    })
  )
})

describe("an answer", () => {
  onEmpty(
    "is shown to nobody else, whatever they call themselves",
    Effect.gen(function* () {
      const id = yield* setUp
      const subject = alice.sub!
      const claims = (value: string) => run(`SET LOCAL request.jwt.claims = '${value}'`)

      for (const claimed of [
        claims(""),
        claims("{}"),
        claims("[]"),
        claims(`"${subject}"`),
        claims(`{"sub": ["${subject}"]}`),
        claims(`{"sub": "${subject} "}`),
        claims(`{"SUB": "${subject}"}`),
        claims(`{"sub": "\\"}, {\\"sub\\": \\"${subject}"}`),
        // The older form does not outdo the present one.
        run(`SET LOCAL request.jwt.claim.sub = '${subject}'`),
        run("SET LOCAL ROLE web_anon")
      ]) {
        const exit = yield* Effect.exit(as(mallory)(Effect.andThen(claimed, read(id))))
        assert.isTrue(exit._tag === "Failure" || exit.value.length === 0)
      }
      assert.deepEqual(yield* as(alice)(read(id)), [
        { ...blank, status: "completed", url: "https://s3/hers", file_id: hers, expires_at: new Date("2030-01-01") }
      ])
    })
  )

  onEmpty(
    "is shown to who asked through a function that has its owner's rights, and asks with those",
    Effect.gen(function* () {
      yield* setUp
      yield* run(
        `CREATE FUNCTION public.ask_for_me(uuid) RETURNS uuid LANGUAGE sql SECURITY DEFINER
         AS 'SELECT public.request_download_url($1)'`
      )

      const [id] = yield* as(mallory)(column(`SELECT public.ask_for_me('${hers}')`))

      assert.lengthOf(yield* as(mallory)(read(String(id))), 1)
      assert.lengthOf(yield* as(alice)(read(String(id))), 0)
    })
  )

  onEmpty(
    "is not for roles that default privileges would let read any new table, or call any new function",
    Effect.gen(function* () {
      yield* makeCivicOs("0.39.0")
      yield* run(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA metadata GRANT ALL ON TABLES TO web_anon, authenticated, PUBLIC",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA metadata GRANT ALL ON FUNCTIONS TO web_anon, authenticated",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON FUNCTIONS TO web_anon"
      )

      yield* Migrate.up({ schema: "metadata", to: downloads })

      const held = yield* column(`
        SELECT grantee || ' ' || privilege_type FROM information_schema.table_privileges
        WHERE table_name = 'file_download_requests' AND grantee <> 'postgres'
        UNION ALL
        SELECT DISTINCT grantee || ' ' || privilege_type || ' ' || column_name FROM information_schema.column_privileges
        WHERE table_name = 'file_download_requests' AND grantee <> 'postgres'
        UNION ALL
        SELECT grantee || ' ' || routine_name FROM information_schema.routine_privileges
        WHERE (routine_name LIKE '%download\\_url%' OR routine_name IN ('accept_file_download', 'clear_file_download_keys',
          'insert_s3_presign_download_job')) AND grantee <> 'postgres'
        ORDER BY 1`)
      assert.deepEqual(held, [
        "authenticated INSERT file_ids",
        "authenticated INSERT id",
        "authenticated INSERT inline",
        "authenticated get_download_url",
        "authenticated request_download_url",
        "authenticated request_download_urls"
      ])
    })
  )
})
