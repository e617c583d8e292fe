import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import * as Migrate from "../src/Migrate.ts"
import { load, type Version } from "../src/MigrationFiles.ts"
import { catalogOf, column, everyObject, fingerprint, onEmpty, run } from "./catalog.ts"

const schema = "metadata"
const main = (version: number): Version => ({ line: "main", version })
const civicOs = (version: number): Version => ({ line: "civic_os", version })
const downloads: Version = { line: "s3_signer", version: 1 }
const nothing = main(0)
const names = (steps: ReadonlyArray<Version>) => steps.map(({ line, version }) => `${line}:${version}`)
/** What goes up without being named. */
const everyVersion = [1, 2, 3, 4, 5, 6, 7, 8].map((n) => `main:${n}`).concat([1, 2, 3, 4].map((n) => `civic_os:${n}`))

describe("migrate up", () => {
  onEmpty(
    "applies every version once, and records it where River's own tools look",
    Effect.gen(function* () {
      const first = yield* Migrate.up({ schema })
      const second = yield* Migrate.up({ schema })

      assert.deepEqual(names(first.steps), everyVersion)
      assert.deepEqual(second.steps, [])
      assert.deepEqual(
        yield* column("SELECT line || ':' || version FROM metadata.river_migration ORDER BY line DESC, version"),
        everyVersion
      )
    })
  )

  onEmpty(
    "makes River's tables as River's version 8 has them",
    Effect.gen(function* () {
      yield* Migrate.up({ schema, to: main(8) })

      assert.deepEqual(yield* column(catalogOf(schema)), riverCatalog)
    })
  )

  onEmpty(
    "makes a mask of states in which the leftmost bit is `scheduled` and the last is `available`",
    Effect.gen(function* () {
      yield* Migrate.up({ schema, to: main(6) })

      const masks = yield* column(`
        SELECT state || ' ' || string_agg(bit::text, ',') FROM generate_series(0, 7) AS bit,
          unnest(enum_range(NULL::metadata.river_job_state)) AS state
        WHERE metadata.river_job_state_in_bitmask((1 << bit)::bit(8), state) GROUP BY state ORDER BY state`)

      assert.deepEqual(masks, [
        "available 0",
        "cancelled 1",
        "completed 2",
        "discarded 3",
        "pending 4",
        "retryable 5",
        "running 6",
        "scheduled 7"
      ])
    })
  )

  onEmpty(
    "carries the record of versions and loose rows over to their present shape",
    Effect.gen(function* () {
      yield* Migrate.up({ schema, to: main(2) })
      yield* run("INSERT INTO metadata.river_job (kind, max_attempts, args, tags) VALUES ('old', 25, NULL, NULL)")
      const before = yield* column("SELECT created_at::text FROM metadata.river_migration ORDER BY version")

      yield* Migrate.up({ schema })

      const after = yield* column(
        "SELECT created_at::text FROM metadata.river_migration WHERE line = 'main' ORDER BY version LIMIT 2"
      )
      assert.deepEqual(after, before)
      assert.deepEqual(yield* column("SELECT args || to_jsonb(tags) FROM metadata.river_job"), [[{}]])
    })
  )

  onEmpty(
    "lets replicas race: each version is applied by one of them",
    Effect.gen(function* () {
      const racers = yield* Effect.all(
        [1, 2, 3, 4].map(() => Migrate.up({ schema })),
        { concurrency: "unbounded" }
      )

      assert.sameMembers(
        racers.flatMap(({ steps }) => names(steps)),
        everyVersion
      )
    })
  )

  onEmpty(
    "keeps the versions before one that fails, and nothing of that one",
    Effect.gen(function* () {
      yield* Migrate.up({ schema, to: main(3) })
      yield* run("CREATE TABLE metadata.river_queue (mine int)")

      const error = yield* Effect.flip(Migrate.up({ schema }))

      assert.strictEqual(error.reason, "database")
      assert.strictEqual(error.message, 'main 4 up failed: relation "river_queue" already exists')
      assert.deepEqual((yield* Migrate.status({ schema })).lines[0]?.applied, [1, 2, 3])
      assert.include(yield* column(catalogOf(schema)), "column river_job.args jsonb")
    })
  )

  onEmpty(
    "takes a schema whose name has capitals, and nobody else's",
    Effect.gen(function* () {
      yield* Migrate.up({ schema: "Mixed_Case" })
      yield* run("SELECT public.request_upload_url('issues', '1', 'a.png', 'image/png')")

      assert.deepEqual(yield* column(`SELECT kind FROM "Mixed_Case".river_job`), ["s3_presign"])
      assert.deepEqual(yield* column("SELECT 1 FROM pg_namespace WHERE nspname = 'mixed_case'"), [])

      yield* Migrate.down({ schema: "Mixed_Case", to: nothing, dropRows: true })

      assert.deepEqual(yield* column("SELECT 1 FROM pg_namespace WHERE nspname = 'Mixed_Case'"), [])
    })
  )

  onEmpty(
    "refuses a second schema whose functions would take the place of the first one's, before it changes anything",
    Effect.gen(function* () {
      yield* Migrate.up({ schema })

      const error = yield* Effect.flip(Migrate.up({ schema: "second" }))

      assert.strictEqual(error.reason, "taken")
      assert.include(error.message, "public.request_upload_url(text,text,text,text)")
      assert.deepEqual(yield* column("SELECT 1 FROM pg_namespace WHERE nspname = 'second'"), [])
    })
  )

  onEmpty(
    "says who may not do what when the role lacks a right",
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const name = yield* column("SELECT current_database()")
      const role = `nobody_${String(name[0])}`
      yield* run(`CREATE ROLE ${role}`)

      const error = yield* sql
        .withTransaction(Effect.andThen(run(`SET LOCAL ROLE ${role}`), Migrate.up({ schema })))
        .pipe(Effect.flip, Effect.ensuring(Effect.orDie(run(`DROP ROLE ${role}`))))

      assert.include(error, { _tag: "MigrateError", reason: "permission" })
      assert.strictEqual(error.message, `main 1 up failed: permission denied for database ${String(name[0])}`)
    })
  )

  onEmpty(
    "refuses a schema's name that River would refuse",
    Effect.forEach(["", "1st", "a-b", 'a"b', "é", "a".repeat(47)], (bad) =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Migrate.up({ schema: bad }))

        assert.strictEqual(error.reason, "usage")
        assert.include(error.message, JSON.stringify(bad))
      })
    ).pipe(Effect.andThen(Migrate.up({ schema: "a".repeat(46), to: main(1) })), Effect.asVoid)
  )

  onEmpty(
    "refuses a version that does not exist, and a database that is ahead of it",
    Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(Migrate.up({ schema, to: main(9) }))).reason, "usage")
      yield* Migrate.up({ schema })
      yield* run("INSERT INTO metadata.river_migration (line, version) VALUES ('main', 9)")

      for (const refused of [Migrate.up({ schema }), Migrate.down({ schema })]) {
        const error = yield* Effect.flip(refused)
        assert.strictEqual(error.reason, "newer")
        assert.include(error.message, "main:9")
      }
      assert.include(yield* Migrate.status({ schema }), { accepted: false })
    })
  )
})

describe("migrate down", () => {
  onEmpty(
    "takes each version away so that nothing of it is left, and up brings it back as it was",
    Effect.gen(function* () {
      // The one trace: an enum keeps its values.
      const withoutPending = (catalog: ReadonlyArray<unknown>) =>
        catalog.map((line) => String(line).replace(",pending", ""))

      for (const version of yield* load) {
        const before = yield* column(everyObject)
        yield* Migrate.up({ schema, to: version })
        const applied = yield* column(everyObject)
        const { steps } = yield* Migrate.down({ schema })

        assert.deepEqual(names(steps), names([version]))
        assert.deepEqual(withoutPending(yield* column(everyObject)), withoutPending(before), names([version])[0])

        yield* Migrate.up({ schema, to: version })

        assert.deepEqual(yield* column(everyObject), applied, names([version])[0])
      }
    })
  )

  onEmpty(
    "to zero leaves nothing behind",
    Effect.gen(function* () {
      const before = yield* column(everyObject)
      yield* Migrate.up({ schema, to: downloads })

      const { steps } = yield* Migrate.down({ schema, to: nothing })

      assert.deepEqual(names(steps), [...everyVersion, "s3_signer:1"].toReversed())
      assert.deepEqual(yield* column(everyObject), before)
    })
  )

  onEmpty(
    "leaves a schema that somebody else made, or put something into",
    Effect.gen(function* () {
      yield* run("CREATE SCHEMA theirs")
      yield* Migrate.up({ schema: "theirs" })
      yield* Migrate.down({ schema: "theirs", to: nothing })
      yield* Migrate.up({ schema })
      yield* run("CREATE TABLE metadata.theirs ()")
      yield* Migrate.down({ schema, to: nothing })

      assert.deepEqual(
        yield* column("SELECT nspname::text FROM pg_namespace WHERE nspname IN ('theirs', 'metadata') ORDER BY 1"),
        ["metadata", "theirs"]
      )
      assert.deepEqual(yield* column("SELECT relname::text FROM pg_class WHERE relname = 'theirs'"), ["theirs"])
    })
  )

  onEmpty(
    "refuses to drop tables that hold rows, before its first step, unless told to",
    Effect.gen(function* () {
      yield* Migrate.up({ schema })
      yield* run("SELECT public.request_upload_url('issues', '1', 'a.png', 'image/png')")
      const held = ["file_upload_requests", "river_job"]

      const error = yield* Effect.flip(Migrate.down({ schema, to: nothing }))

      assert.strictEqual(error.reason, "rows")
      assert.include(error.message, held.join(", "))
      assert.deepEqual((yield* Migrate.status({ schema })).lines[1]?.applied, [1, 2, 3, 4])
      assert.deepEqual((yield* Migrate.down({ schema, to: nothing, dryRun: true })).tablesWithRows, held)

      const { tablesWithRows } = yield* Migrate.down({ schema, to: nothing, dropRows: true })

      assert.deepEqual(tablesWithRows, held)
      assert.deepEqual(yield* column("SELECT 1 FROM pg_namespace WHERE nspname = 'metadata'"), [])
    })
  )

  onEmpty(
    "counts rows that are being inserted while it looks",
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* Migrate.up({ schema, to: main(2) })
      const waiting = `SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'metadata.river_job'::regclass`

      const inserted = yield* Deferred.make<void>()
      const inserting = Effect.gen(function* () {
        yield* run("INSERT INTO metadata.river_job (kind, max_attempts) VALUES ('late', 25)")
        yield* Deferred.succeed(inserted, undefined)
        while ((yield* column(waiting)).length === 0) yield* Effect.sleep("5 millis")
      })
      const taking = Effect.andThen(Deferred.await(inserted), Effect.flip(Migrate.down({ schema })))
      const [error] = yield* Effect.all([taking, sql.withTransaction(inserting)], { concurrency: 2 })

      assert.strictEqual(error.reason, "rows")
      assert.deepEqual(yield* column("SELECT kind FROM metadata.river_job"), ["late"])
    })
  )

  onEmpty(
    "will not squeeze a line of somebody else's into a record that has no lines",
    Effect.gen(function* () {
      yield* Migrate.up({ schema, to: main(5) })
      yield* run("INSERT INTO metadata.river_migration (line, version) VALUES ('theirs', 1)")

      const error = yield* Effect.flip(Migrate.down({ schema }))

      assert.include(error.message, "another line than main")
      assert.deepEqual((yield* Migrate.status({ schema })).lines[0]?.applied, [1, 2, 3, 4, 5])
    })
  )
})

describe("migrate --dry-run", () => {
  onEmpty(
    "changes nothing, up or down",
    Effect.gen(function* () {
      const empty = yield* fingerprint
      const planned = yield* Migrate.up({ schema, dryRun: true })

      assert.deepEqual(names(planned.steps), everyVersion)
      assert.deepEqual(yield* fingerprint, empty)

      yield* Migrate.up({ schema })
      const full = yield* fingerprint
      const back = yield* Migrate.down({ schema, to: nothing, dryRun: true })

      assert.deepEqual(names(back.steps), everyVersion.toReversed())
      assert.deepEqual(yield* fingerprint, full)
    })
  )

  onEmpty(
    "shows the very statements that make the tables",
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { steps } = yield* Migrate.up({ schema, dryRun: true })
      const script = Migrate.toScript(steps)

      // As psql would: a transaction a version, one statement after the other.
      for (const step of steps) {
        yield* sql.withTransaction(run(...step.statements))
        for (const statement of step.statements) assert.include(script, statement)
      }

      assert.isTrue(steps.every(({ statements }) => statements.every((statement) => statement.endsWith(";"))))
      assert.notMatch(script, /:["']schema/)
      assert.include(yield* Migrate.status({ schema }), { accepted: true, summary: "Schema metadata is up to date." })
    })
  )
})

describe("migrate status", () => {
  onEmpty(
    "names what is applied and what is missing, also when that is everything",
    Effect.gen(function* () {
      const bare = yield* Migrate.status({ schema })
      yield* Migrate.up({ schema, to: main(4) })
      const early = yield* Migrate.status({ schema })
      yield* Migrate.up({ schema, to: main(8) })
      const river = yield* Migrate.status({ schema })

      assert.deepEqual(bare.lines[0]?.applied, [])
      assert.deepEqual(bare.lines[1]?.pending[0], { version: 1, name: "upload_requests" })
      assert.strictEqual(bare.summary, "Schema metadata lacks 12 of 12 versions.")
      assert.deepEqual(early.lines[0]?.applied, [1, 2, 3, 4])
      assert.strictEqual(early.summary, "Schema metadata lacks 8 of 12 versions.")
      assert.deepEqual(river.lines[0]?.pending, [])
      // River alone does not do: there is no request table.
      assert.deepEqual(
        [bare, early, river].map(({ accepted }) => accepted),
        [false, false, false]
      )
    })
  )
})

describe("a version on the command line", () => {
  it("is a line and a number, or a number of River's line", () => {
    assert.deepEqual(Migrate.parseVersion("main:6"), Option.some(main(6)))
    assert.deepEqual(Migrate.parseVersion("civic_os:2"), Option.some(civicOs(2)))
    assert.deepEqual(Migrate.parseVersion("s3_signer:1"), Option.some(downloads))
    assert.deepEqual(Migrate.parseVersion("0"), Option.some(nothing))
    for (const bad of ["", "main", "main:", ":1", "main:-1", "main:1.5", "other:1", "1e3", "main:6 "]) {
      assert.deepEqual(Migrate.parseVersion(bad), Option.none(), bad)
    }
  })
})

/** River's line `main` at version 8, as `catalogOf` puts it. */
const riverCatalog = [
  "column river_job.args jsonb not null",
  "column river_job.attempt smallint not null default 0",
  "column river_job.attempted_at timestamp with time zone",
  "column river_job.attempted_by text[]",
  "column river_job.created_at timestamp with time zone not null default now()",
  "column river_job.errors jsonb[]",
  "column river_job.finalized_at timestamp with time zone",
  "column river_job.id bigint not null default nextval('metadata.river_job_id_seq'::regclass)",
  "column river_job.kind text not null",
  "column river_job.max_attempts smallint not null default 25",
  "column river_job.metadata jsonb not null default '{}'::jsonb",
  "column river_job.priority smallint not null default 1",
  "column river_job.queue text not null default 'default'::text",
  "column river_job.scheduled_at timestamp with time zone not null default now()",
  "column river_job.state metadata.river_job_state not null default 'available'::metadata.river_job_state",
  "column river_job.tags character varying(255)[] not null default '{}'::character varying[]",
  "column river_job.unique_key bytea",
  "column river_job.unique_states bit(8)",
  "column river_leader.elected_at timestamp with time zone not null",
  "column river_leader.expires_at timestamp with time zone not null",
  "column river_leader.leader_id text not null",
  "column river_leader.name text not null default 'default'::text",
  "column river_migration.created_at timestamp with time zone not null default now()",
  "column river_migration.line text not null",
  "column river_migration.version bigint not null",
  "column river_notification.created_at timestamp with time zone not null default now()",
  "column river_notification.id bigint not null default nextval('metadata.river_notification_id_seq'::regclass)",
  "column river_notification.payload text not null",
  "column river_notification.topic text not null",
  "column river_queue.created_at timestamp with time zone not null default now()",
  "column river_queue.metadata jsonb not null default '{}'::jsonb",
  "column river_queue.name text not null",
  "column river_queue.paused_at timestamp with time zone",
  "column river_queue.updated_at timestamp with time zone not null default CURRENT_TIMESTAMP",
  "constraint river_job.finalized_or_finalized_at_null CHECK (((finalized_at IS NOT NULL) = (state = ANY (ARRAY['cancelled'::metadata.river_job_state, 'completed'::metadata.river_job_state, 'discarded'::metadata.river_job_state]))))",
  "constraint river_job.kind_length CHECK (((char_length(kind) >= 1) AND (char_length(kind) <= 127)))",
  "constraint river_job.max_attempts_is_positive CHECK ((max_attempts > 0))",
  "constraint river_job.priority_in_range CHECK (((priority >= 1) AND (priority <= 4)))",
  "constraint river_job.queue_length CHECK (((char_length(queue) >= 1) AND (char_length(queue) <= 127)))",
  "constraint river_job.river_job_pkey PRIMARY KEY (id)",
  "constraint river_leader.leader_id_length CHECK (((char_length(leader_id) >= 1) AND (char_length(leader_id) <= 127)))",
  "constraint river_leader.name_length CHECK ((name = 'default'::text))",
  "constraint river_leader.river_leader_pkey PRIMARY KEY (name)",
  "constraint river_migration.line_length CHECK (((char_length(line) >= 1) AND (char_length(line) <= 127)))",
  "constraint river_migration.river_migration_pkey1 PRIMARY KEY (line, version)",
  "constraint river_migration.version_gte_1 CHECK ((version >= 1))",
  "constraint river_notification.river_notification_pkey PRIMARY KEY (id)",
  "constraint river_notification.topic_length CHECK (((char_length(topic) >= 1) AND (char_length(topic) <= 127)))",
  "constraint river_queue.river_queue_pkey PRIMARY KEY (name)",
  "enum river_job_state available,cancelled,completed,discarded,pending,retryable,running,scheduled",
  "function river_job_state_in_bitmask(bitmask bit, state metadata.river_job_state) boolean sql immutable",
  "index river_job_args_index CREATE INDEX river_job_args_index ON river_job USING gin (args)",
  "index river_job_kind CREATE INDEX river_job_kind ON river_job USING btree (kind)",
  "index river_job_metadata_index CREATE INDEX river_job_metadata_index ON river_job USING gin (metadata)",
  "index river_job_pkey CREATE UNIQUE INDEX river_job_pkey ON river_job USING btree (id)",
  "index river_job_prioritized_fetching_index CREATE INDEX river_job_prioritized_fetching_index ON river_job USING btree (state, queue, priority, scheduled_at, id)",
  "index river_job_state_and_finalized_at_index CREATE INDEX river_job_state_and_finalized_at_index ON river_job USING btree (state, finalized_at) WHERE (finalized_at IS NOT NULL)",
  "index river_job_unique_idx CREATE UNIQUE INDEX river_job_unique_idx ON river_job USING btree (unique_key) WHERE ((unique_key IS NOT NULL) AND (unique_states IS NOT NULL) AND river_job_state_in_bitmask(unique_states, state))",
  "index river_leader_pkey CREATE UNIQUE INDEX river_leader_pkey ON river_leader USING btree (name)",
  "index river_migration_pkey1 CREATE UNIQUE INDEX river_migration_pkey1 ON river_migration USING btree (line, version)",
  "index river_notification_created_at_idx CREATE INDEX river_notification_created_at_idx ON river_notification USING btree (created_at)",
  "index river_notification_pkey CREATE UNIQUE INDEX river_notification_pkey ON river_notification USING btree (id)",
  "index river_notification_topic_id_idx CREATE INDEX river_notification_topic_id_idx ON river_notification USING btree (topic, id)",
  "index river_queue_pkey CREATE UNIQUE INDEX river_queue_pkey ON river_queue USING btree (name)",
  "schema metadata made by s3-signer migrate",
  "table river_job",
  "table river_migration",
  "table river_notification",
  "table river_queue",
  "unlogged table river_leader"
]
