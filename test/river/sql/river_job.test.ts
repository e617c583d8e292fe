import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { JobGetAvailable } from "../../../src/river/sql/river_job.ts"
import { jobGetAvailable, tables } from "../../../src/river/sql/river_job.ts"
import type { Worker } from "../../../src/river/Worker.ts"
import { beginElsewhere, done, getJob, getJobs, insertJob, insertJobs, type JobRow, worker } from "../support.ts"
import { riverDatabase } from "../support.ts"

const metadata = tables("metadata")

/** A claim of one kind's jobs, as a client does it. */
const claim = Effect.fnUntraced(function* (
  kind: Worker,
  { detailed = false, ...options }: Partial<JobGetAvailable> & { readonly detailed?: boolean } = {}
) {
  const sql = yield* SqlClient.SqlClient
  const get = jobGetAvailable(sql, metadata, { detailed })
  return yield* get({ clientId: "one", kinds: [kind.kind], limit: 100, queue: "test", ...options })
})

const without = (row: JobRow, ...columns: ReadonlyArray<keyof JobRow>) =>
  Object.fromEntries(Object.entries(row).filter(([name]) => !columns.includes(name as keyof JobRow)))

layer(riverDatabase, { excludeTestServices: true })("jobGetAvailable", (it) => {
  it.effect("[22] sets state, attempt, attempted_at and attempted_by, and nothing else", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const id = yield* insertJob(kind, {
        attempt: 3,
        args: { a: [1, null] },
        metadata: { trace: "kept" },
        priority: 2,
        errors: `array['{"error": "old"}'::jsonb]`,
        attempted_by: "array['zero', 'one']",
        attempted_at: "now() - interval '1 day'",
        scheduled_at: "now() - interval '1 hour'",
        unique_key: "'\\x0102'",
        unique_states: "'11110101'"
      })
      const sql = yield* SqlClient.SqlClient
      const before = yield* getJob(id)

      const [job] = yield* claim(kind)

      const after = yield* getJob(id)
      const changed = ["state", "attempt", "attempted_at", "attempted_by"] as const
      assert.deepEqual(without(after, ...changed), without(before, ...changed))
      assert.deepInclude(after, { state: "running", attempt: 4, attempted_by: ["zero", "one", "one"] })
      assert.deepEqual(
        yield* sql`SELECT attempted_at = ${job!.attempted_at}::timestamptz AS same, now() - attempted_at < interval '5 s' AS now
          FROM metadata.river_job WHERE id = ${id}`,
        [{ same: true, now: true }]
      )
    })
  )

  it.effect("[23] takes jobs by priority, then by when they are due, then by id", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const ids: Array<bigint> = []
      for (let i = 0; i < 30; i++) {
        const minutes = (i * 7) % 5
        ids.push(
          yield* insertJob(kind, {
            priority: 1 + ((i * 3) % 4),
            scheduled_at: `now()::date - ${minutes} * interval '1 min'`
          })
        )
      }
      const rows = yield* getJobs(ids)
      const expected = rows
        .toSorted(
          (a, b) =>
            a.priority - b.priority || Date.parse(a.scheduled_at) - Date.parse(b.scheduled_at) || Number(a.id - b.id)
        )
        .map(({ id }) => id)

      const claimed: Array<bigint> = []
      while (claimed.length < 30) {
        const jobs = yield* claim(kind, { limit: 1 })
        claimed.push(...jobs.map(({ id }) => id))
      }

      assert.deepEqual(claimed, expected)
    })
  )

  it.effect("[24] never takes a job that is due later by the database's clock, though it is available", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      yield* insertJob(kind, { scheduled_at: "now() + interval '1 s'" })
      yield* insertJob(kind, { scheduled_at: "'infinity'" })
      const due = yield* insertJob(kind, { scheduled_at: "now()" })

      const jobs = yield* claim(kind)

      assert.deepEqual(
        jobs.map(({ id }) => id),
        [due]
      )
    })
  )

  it.effect("[25] takes no job of another state, queue or kind", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      for (const state of ["pending", "retryable", "running", "scheduled"]) yield* insertJob(kind, { state })
      for (const state of ["cancelled", "completed", "discarded"]) {
        yield* insertJob(kind, { state, finalized_at: "now()" })
      }
      for (const queue of ["other", "Test", "test ", "tes"]) yield* insertJob(kind, { queue })
      yield* insertJob(`${kind.kind}x`)
      yield* insertJob(kind.kind.toUpperCase())

      assert.deepEqual(yield* claim(kind), [])
    })
  )

  it.effect("[27] goes past jobs that somebody else holds, without waiting", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const ids = yield* insertJobs(kind, 15)
      const other = yield* beginElsewhere([
        `SELECT FROM metadata.river_job WHERE id = ANY ('{${ids.slice(0, 10).join()}}') FOR UPDATE`
      ])

      const jobs = yield* claim(kind, { limit: 5 })

      assert.sameMembers(
        jobs.map(({ id }) => id),
        ids.slice(10)
      )
      yield* other.rollback
    })
  )

  it.effect("[33] keeps the last hundred entries of attempted_by, the newest last", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const by = (count: number) => `(SELECT array_agg('c' || n) FROM generate_series(1, ${count}) n)`
      const ids = yield* Effect.forEach([98, 99, 100, 150], (count) => insertJob(kind, { attempted_by: by(count) }))

      yield* claim(kind, { clientId: "newest" })

      const lists = (yield* getJobs(ids)).map(({ attempted_by }) => attempted_by ?? [])
      assert.deepEqual(
        lists.map((list) => [list.length, list[0], list.at(-2), list.at(-1)]),
        [
          [99, "c1", "c98", "newest"],
          [100, "c1", "c99", "newest"],
          [100, "c2", "c100", "newest"],
          [100, "c52", "c150", "newest"]
        ]
      )
    })
  )

  it.effect("[34] takes rows with null attempted_by and errors, and args of any JSON", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const values = [null, true, 0, 1.5, "text", [], [1, [2]], {}, { a: { b: "\u2028<&" } }]
      for (const args of values) yield* insertJob(kind, { args })

      const jobs = yield* claim(kind)

      assert.deepEqual(
        jobs.toSorted((a, b) => Number(a.id - b.id)).map(({ args }) => args),
        values
      )
      assert.isTrue(jobs.every(({ error_count, metadata }) => error_count === null && metadata === null))
    })
  )

  it.effect("hands over null for args that are over 64 kB as stored, and leaves them as they are", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done)
      const id = yield* insertJob(kind)
      // Digests do not compress.
      yield* sql`UPDATE metadata.river_job SET args = jsonb_build_object('blob',
        (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 3000) n)) WHERE id = ${id}`
      const before = yield* getJob(id)

      const [job] = yield* claim(kind)

      assert.strictEqual(job!.id, id)
      assert.isNull(job!.args)
      assert.deepEqual((yield* getJob(id)).args, before.args)
    })
  )

  it.effect("[35] says of errors that hold an SQL NULL that they cannot be decoded, and counts all others", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const errors = [
        "null",
        "'{}'",
        `array['{"error": "e"}'::jsonb, '{}'::jsonb]`,
        "array[null::jsonb]",
        `array['{"error": "e"}'::jsonb, null]`,
        `array['null'::jsonb, '3'::jsonb, '[]'::jsonb]`
      ]
      for (const each of errors) yield* insertJob(kind, { errors: each })

      const jobs = yield* claim(kind)

      assert.deepEqual(
        jobs.toSorted((a, b) => Number(a.id - b.id)).map(({ error_count }) => error_count),
        [null, 0, 2, -1, -1, 3]
      )
    })
  )

  it.effect("takes the ordinary job beside rows whose arrays cannot be appended to", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      yield* insertJob(kind, { errors: `array[array['{}'::jsonb]]` })
      yield* insertJob(kind, { attempted_by: "array[array['one'], array['two']]" })
      const ordinary = yield* insertJob(kind)

      const jobs = yield* claim(kind)

      assert.include(
        jobs.map(({ id }) => id),
        ordinary
      )
    })
  )

  it.effect("takes rows that look as no River client leaves them", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const ids = [
        yield* insertJob(kind, { attempt: 32_767 }),
        yield* insertJob(kind, { attempt: -5 }),
        yield* insertJob(kind, { metadata: [1, 2] }),
        yield* insertJob(kind, { metadata: "text" }),
        yield* insertJob(kind, { created_at: "'infinity'" }),
        yield* insertJob(kind, { created_at: "'-infinity'" }),
        yield* insertJob(kind, { scheduled_at: "'-infinity'" }),
        yield* insertJob(kind, { created_at: "'294000-01-01'" }),
        yield* insertJob(kind, { finalized_at: "null", attempted_by: "'{}'" })
      ]

      const jobs = yield* claim(kind, { detailed: true })

      assert.sameMembers(
        jobs.map(({ id }) => id),
        ids
      )
      assert.strictEqual((yield* getJob(ids[0]!)).attempt, 32_767)
      assert.strictEqual((yield* getJob(ids[1]!)).attempt, -4)
      assert.deepEqual((yield* getJob(ids[2]!)).metadata as unknown, [1, 2])
    })
  )

  it.effect("reads from the metadata what an attempt needs, and nothing where there is none", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      yield* insertJob(kind, { metadata: { traceparent: "00-1", snoozes: 2, other: "x", cancel_attempted_at: null } })
      yield* insertJob(kind, { metadata: {} })

      const jobs = yield* claim(kind)

      assert.deepEqual(
        jobs.toSorted((a, b) => Number(a.id - b.id)).map(({ metadata }) => metadata),
        [{ cancel_attempted_at: null, snoozes: 2, traceparent: "00-1", tracestate: null }, null]
      )
    })
  )

  it.effect("[7] keeps ids beyond 2⁵³ exact", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done)
      yield* sql`ALTER SEQUENCE metadata.river_job_id_seq RESTART WITH 9007199254740993`
      const ids = yield* insertJobs(kind, 3)
      yield* sql`ALTER SEQUENCE metadata.river_job_id_seq RESTART WITH 1000000`

      const jobs = yield* claim(kind)

      assert.deepEqual(ids, [9007199254740993n, 9007199254740994n, 9007199254740995n])
      assert.sameMembers(
        jobs.map(({ id }) => id),
        ids
      )
    })
  )
})
