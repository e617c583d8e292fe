import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import * as Migrate from "../../../src/Migrate.ts"
import { catalogOf, column, run } from "../../catalog.ts"
import { emptyDatabase } from "../../support/Database.ts"
import { getJob, jobIn, startClient, until, worker } from "../support.ts"
import { attempts } from "./River.ts"
import { beside } from "./support.ts"

let serial = 0
/** Each test has a schema of its own. */
const schemaName = () => `schema_${++serial}`

const main = (version: number) => ({ line: "main", version }) as const

/** Without what may differ: the schema's name and its comment, and how a check is put in words. */
const plain = (line: string, schema: string) => line.replaceAll(schema, "s").replace(/^(schema s|.* CHECK ).*$/, "$1")

beside(
  "the tables and",
  (it, { minor, start }) => {
    const known = minor < 40 ? 6 : 8

    it.effect("[1] are at the versions that its migrator wants, made by our migrations", () =>
      Effect.gen(function* () {
        const schema = schemaName()
        const river = yield* start(schema)

        for (const version of [6, 7, 8]) {
          yield* Migrate.up({ schema, to: main(version) })
          const missing = [7, 8].filter((newer) => newer > version && newer <= known)

          assert.deepEqual(
            yield* river.migrateValidate(),
            missing.length === 0 ? [] : [`Unapplied migrations: [${missing.join(" ")}]`]
          )
          assert.deepEqual(yield* river.migrateValidate(Math.min(version, known)), [])
        }
      })
    )

    it.effect("[1] are the same, made by its migrator, by ours, or by ours up to 6 and then by its own", () =>
      Effect.gen(function* () {
        const [theirs, ours, both] = [schemaName(), schemaName(), schemaName()]
        yield* run(`CREATE SCHEMA ${theirs}`)
        const applied = yield* (yield* start(theirs)).migrateUp()
        yield* Migrate.up({ schema: ours, to: main(known) })
        yield* Migrate.up({ schema: both, to: main(6) })
        yield* (yield* start(both)).migrateUp()

        const catalog = (schema: string) =>
          Effect.map(column(catalogOf(schema)), (lines) => lines.map((line) => plain(String(line), schema)))
        assert.deepEqual(
          applied,
          Array.from({ length: known }, (_, index) => index + 1)
        )
        assert.deepEqual(yield* catalog(ours), yield* catalog(theirs))
        assert.deepEqual(yield* catalog(both), yield* catalog(theirs))
      })
    )

    for (const makes of ["its own migrator", "our migrations up to 6"] as const) {
      it.effect(`[1] made by ${makes} are worked by both`, () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const river = yield* start()
          yield* run("DROP SCHEMA IF EXISTS metadata CASCADE")
          if (makes === "our migrations up to 6") yield* Migrate.up({ schema: "metadata", to: main(6) })
          else {
            yield* run("CREATE SCHEMA metadata")
            yield* river.migrateUp()
          }
          const before = yield* sql`SELECT * FROM metadata.river_migration ORDER BY version`
          const kind = worker(() => Effect.fail(new Error("not here")))

          const { id } = yield* river.insert({ kind: kind.kind, args: attempts(null) })
          const client = yield* startClient([kind])
          yield* until(getJob(id), ({ errors }) => errors?.length === 1)
          yield* client.stop
          yield* river.start({ clientId: "their_client", kinds: [kind.kind] })
          yield* jobIn("completed", id)

          assert.deepInclude(yield* getJob(id), { attempt: 2 })
          assert.deepEqual(yield* sql`SELECT * FROM metadata.river_migration ORDER BY version`, before)
        })
      )
    }
  },
  emptyDatabase
)
