import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as SqlClient from "effect/sql/SqlClient"
import { TestClock } from "effect/testing"
import { type Chore, ClientConfig, Database } from "../../../src/river/index.ts"
import * as Closer from "../../../src/signer/requests/Closer.ts"
import { countRequests, getAnswer, insertRequests, onDatabase, requestUpload } from "../../process/support.ts"
import { beginElsewhere } from "../../river/support.ts"
import { afterPasses } from "../../support/afterPasses.ts"
import { until } from "../../support/until.ts"
import { uploads } from "./support.ts"

/** A closer, whose passes are done one by one; a pass answers with the batches that it took. */
const makeCloser = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const batch = Closer.batches(sql, uploads, { queue: "s3_signer", schema: "metadata" })
  const next = Effect.suspend(() => batch(1000, 0))
  const counts: Effect.Effect<ReadonlyArray<number>, unknown> = Effect.flatMap(next, ([changed]) => {
    const { count, more = count >= 1000 }: Chore.Changed = changed!
    return more ? Effect.map(counts, (rest) => [count, ...rest]) : Effect.succeed([count])
  })
  return { pass: Effect.map(counts, (batches) => ({ batches, closed: batches.reduce((sum, count) => sum + count) })) }
})

const run = Effect.fnUntraced(function* (statement: string) {
  const sql = yield* SqlClient.SqlClient
  yield* sql.unsafe(statement)
})

/** A request of less than 5 seconds: only the end of its job tells that it should be closed. */
const watched = Effect.suspend(() => requestUpload())

const cancel = (id: string, at = "now()") => `UPDATE metadata.river_job
  SET state = 'cancelled', finalized_at = ${at} WHERE args ->> 'request_id' = '${id}' AND queue = 's3_signer'`

const statusOf = (id: string) => Effect.map(getAnswer(id), ({ status }) => status)

describe("the closer", () => {
  it.live("sees the end of a job that commits after later ones were looked at", () =>
    onDatabase(
      Effect.gen(function* () {
        const closer = yield* makeCloser
        const [early, late, last] = [yield* watched, yield* watched, yield* watched]
        const other = yield* beginElsewhere([cancel(early)])
        yield* run(cancel(late))

        assert.strictEqual((yield* closer.pass).closed, 1)
        assert.strictEqual(yield* statusOf(late), "failed")
        assert.strictEqual((yield* closer.pass).closed, 0)
        yield* other.commit
        yield* run(cancel(last))

        assert.strictEqual((yield* closer.pass).closed, 2)
        assert.strictEqual(yield* statusOf(early), "failed")
      })
    )
  )

  it.live("looks at all jobs that ended when it starts, then at those since a minute before", () =>
    onDatabase(
      Effect.gen(function* () {
        const closer = yield* makeCloser
        const [old, before, since] = [yield* watched, yield* watched, yield* watched]
        yield* run(cancel(old, "now() - interval '20 years'"))

        assert.strictEqual((yield* closer.pass).closed, 1)
        assert.strictEqual(yield* statusOf(old), "failed")
        yield* run(cancel(before, "now() - interval '65 seconds'"))
        yield* run(cancel(since, "now() - interval '30 seconds'"))

        assert.strictEqual((yield* closer.pass).closed, 1)
        assert.strictEqual(yield* statusOf(before), "pending")
        assert.strictEqual(yield* statusOf(since), "failed")
      })
    )
  )

  it.live(
    "goes on for as long as there is more: jobs that ended at one moment, at several, and requests without any",
    () =>
      onDatabase(
        Effect.gen(function* () {
          const closer = yield* makeCloser
          yield* insertRequests(4500, { entity_type: "at_once" })
          yield* insertRequests(2500, { entity_type: "one_by_one" })
          yield* insertRequests(2500, { entity_type: "deleted" })
          yield* insertRequests(10, { entity_type: "alive" })
          yield* run("UPDATE metadata.file_upload_requests SET created_at = now() - interval '1 hour'")
          yield* run(`UPDATE metadata.river_job SET state = 'discarded', finalized_at = now()
          WHERE args ->> 'entity_type' = 'at_once'`)
          yield* run(`UPDATE metadata.river_job
          SET state = 'cancelled', finalized_at = now() - (args ->> 'entity_id')::int * interval '1 second'
          WHERE args ->> 'entity_type' = 'one_by_one'`)
          yield* run("DELETE FROM metadata.river_job WHERE args ->> 'entity_type' = 'deleted'")
          // Jobs of others among them, which take up pages.
          yield* run(`INSERT INTO metadata.river_job (kind, queue, max_attempts, args, state, finalized_at)
          SELECT 'thumbnail', 's3_signer', 1, '{}', 'cancelled', now() - n * interval '1 second'
          FROM generate_series(1, 5000) n`)

          const { batches, closed } = yield* closer.pass

          assert.strictEqual(closed, 9500)
          assert.isTrue(batches.every((count) => count <= 1000))
          assert.deepEqual(yield* countRequests, { failed: 9500, pending: 10 })
          const sql = yield* SqlClient.SqlClient
          assert.deepEqual(
            yield* sql`SELECT entity_type, count(DISTINCT error_message)::int AS messages,
              bool_and(error_message LIKE CASE entity_type WHEN 'at_once' THEN '%discarded%'
                WHEN 'deleted' THEN '%deleted%' ELSE '%cancelled%' END) AS right
            FROM metadata.file_upload_requests WHERE status = 'failed' GROUP BY 1 ORDER BY 1`,
            ["at_once", "deleted", "one_by_one"].map((entity_type) => ({ entity_type, messages: 1, right: true }))
          )
          assert.deepEqual((yield* closer.pass).closed, 0)
        })
      )
  )

  it.live("closes each request once when two do it at the same time", () =>
    onDatabase(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* insertRequests(6000)
        yield* run("UPDATE metadata.file_upload_requests SET created_at = now() - interval '1 hour'")
        yield* run("DELETE FROM metadata.river_job WHERE id % 2 = 0")
        yield* run("UPDATE metadata.river_job SET state = 'cancelled', finalized_at = now()")
        yield* sql`CREATE TABLE public.write (id uuid)`
        yield* sql`CREATE FUNCTION public.count_write() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN INSERT INTO public.write VALUES (NEW.id); RETURN NEW; END $$`
        yield* sql`CREATE TRIGGER count_write AFTER UPDATE ON metadata.file_upload_requests
          FOR EACH ROW EXECUTE FUNCTION public.count_write()`
        const closers = [yield* makeCloser, yield* makeCloser]

        const both = yield* Effect.forEach(closers, ({ pass }) => pass, { concurrency: 2 })
        const rest = yield* closers[0]!.pass

        assert.strictEqual(both[0]!.closed + both[1]!.closed + rest.closed, 6000)
        const [writes] = yield* sql`SELECT count(*)::int, count(DISTINCT id)::int AS requests FROM public.write`
        assert.deepEqual(writes, { count: 6000, requests: 6000 })
      })
    )
  )

  it.effect("runs every 5 seconds, says how many it closed, and steps over one that the database refuses", () =>
    onDatabase(
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const logs: Array<string> = []
        const logger = Logger.make<unknown, void>(({ message }) => void logs.push(String(message)))
        yield* insertRequests(1200)
        yield* run("UPDATE metadata.file_upload_requests SET created_at = now() - interval '1 hour'")
        yield* run("DELETE FROM metadata.river_job WHERE id % 2 = 0")
        yield* run("UPDATE metadata.river_job SET state = 'cancelled', finalized_at = now()")
        yield* sql`CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN RAISE EXCEPTION 'this row is not to be written'; END $$`
        yield* sql`CREATE TRIGGER refuse BEFORE UPDATE ON metadata.file_upload_requests FOR EACH ROW
          WHEN (OLD.entity_id IN ('1', '600', '601', '1200')) EXECUTE FUNCTION public.refuse()`

        yield* Layer.build(
          Closer.layer([uploads]).pipe(
            Layer.provide(Layer.succeed(ClientConfig, { queue: "s3_signer", schema: "metadata" } as never)),
            Layer.provide(Database.layer),
            Layer.provide(Logger.layer([logger]))
          )
        )
        const after = (failed: number) =>
          afterPasses("5 seconds", countRequests, (counts) => counts["failed"] === failed)
        assert.deepEqual(yield* after(1196), { failed: 1196, pending: 4 })
        const lines = () =>
          TestClock.withLive(
            until(
              Effect.sync(() => logs),
              ({ length }) => length >= 2
            )
          )
        assert.deepEqual(yield* lines(), [
          "closed 1196 upload requests as failed: no job will answer them",
          "could not close upload requests: the database refuses some: this row is not to be written (SQLSTATE P0001)"
        ])

        // The refused ones are met again, without another word, and hold up nobody.
        const id = yield* requestUpload()
        yield* run(cancel(id))
        yield* after(1197)
        yield* sql`DROP TRIGGER refuse ON metadata.file_upload_requests`

        yield* after(1201)
        assert.lengthOf(
          logs.filter((line) => line.startsWith("could not")),
          1
        )
      })
    )
  )
})
