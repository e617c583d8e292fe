import { assert, describe, it, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Statement } from "effect/sql/Statement"
import { after, beginning, type Frontier } from "../../src/river/Frontier.ts"
import type { Claimed } from "../../src/river/Job.ts"
import { jobGetAvailable, tables } from "../../src/river/sql/river_job.ts"
import { done, ended, getJobs, insertJob, insertJobs, jobIn, riverDatabase, startClient, worker } from "./support.ts"

const job = (last: Claimed["last"]): Claimed => ({
  id: BigInt(last?.id ?? 1),
  kind: "kind",
  attempt: 1,
  max_attempts: 25,
  attempted_at: "",
  created_at: new Date(0),
  args: {},
  error_count: null,
  metadata: null,
  last
})

describe("where a claim goes on", () => {
  const last = { priority: 2, scheduled_at: "2026-11-01 00:00:00.123456+00", id: "9007199254740993" }
  const recent = { since: "recent", id: 0n }

  it("is after the last job of a full one, at what is new for more urgent jobs, and where it was for the others", () => {
    const from: Frontier = [
      beginning[0],
      beginning[1],
      { since: "2026-10-01", id: 3n },
      { since: "2026-10-02", id: 4n }
    ]
    assert.deepEqual(after(from, 2, [job(last), job(null)]), [
      recent,
      { since: last.scheduled_at, id: 9_007_199_254_740_993n },
      from[2],
      from[3]
    ])
  })

  it("is at what is new when the last one found less than it wanted", () => {
    assert.deepEqual(after(beginning, 3, [job(last), job(null)]), [recent, recent, recent, recent])
    assert.deepEqual(after(beginning, 3, []), [recent, recent, recent, recent])
  })
})

/** Rows that the claim passed over, because they are of another kind. */
const passedOver = Effect.fnUntraced(function* (statement: Effect.Effect<unknown, SqlError>) {
  const sql = yield* SqlClient.SqlClient
  const [text, params] = (statement as Statement<object>).compile(false)
  const lines = yield* sql.unsafe<{ readonly "QUERY PLAN": string }>(`EXPLAIN (ANALYZE, TIMING OFF) ${text}`, params)
    .unprepared
  return lines
    .flatMap((line) => /Rows Removed by Filter: (\d+)/.exec(line["QUERY PLAN"])?.[1] ?? [])
    .reduce((sum, count) => sum + Number(count), 0)
})

layer(riverDatabase, { excludeTestServices: true })("behind jobs of other kinds,", (it) => {
  it.effect("[131] claims go past them once, and not again when they go on where the last one ended", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done)
      // One statement: they all share one scheduled_at with each other.
      yield* insertJobs("of_nobody", 5000, { scheduled_at: "'2026-01-01'" })
      const ours = yield* insertJobs(kind, 30, { scheduled_at: "'2026-01-01'" })
      const low = yield* insertJobs(kind, 10, { scheduled_at: "'2026-01-01'", priority: 4 })
      yield* sql`VACUUM ANALYZE metadata.river_job`
      const get = jobGetAvailable(sql, tables("metadata"), { detailed: false })
      const claim = (from: Frontier, limit = 10) =>
        get({ clientId: "one", kinds: [kind.kind], limit, queue: "test", from })
      const ids = (jobs: ReadonlyArray<Claimed>) => jobs.map(({ id }) => id).toSorted((a, b) => Number(a - b))

      const first = yield* claim(beginning)
      assert.deepEqual(ids(first), ours.slice(0, 10))
      assert.strictEqual(yield* passedOver(claim(beginning)), 5000) // claims the next ten, too
      const from = after(beginning, 10, first)
      assert.strictEqual(yield* passedOver(claim(from)), 0)
      assert.deepEqual(ids(yield* claim(from)), low)

      // What is new is seen, at every priority; and what comes to lie before it is, by the next whole look.
      const urgent = yield* insertJob(kind, { priority: 3 })
      const old = yield* insertJob(kind, { scheduled_at: "'2025-01-01'" })
      const late = yield* insertJob(kind, { scheduled_at: "now() - interval '9 seconds'" })
      const drained = after(from, 10, [])
      assert.deepEqual(ids(yield* claim(drained)), [urgent, late])
      assert.deepEqual(ids(yield* claim(beginning)), [old])
      assert.deepEqual(
        (yield* getJobs([...ours, ...low])).map(({ attempt }) => attempt),
        Array.from({ length: 40 }, () => 1)
      )
    })
  )

  it.effect("claims go on in the right place whatever the style and the zone in which the session writes times", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done)
      const get = jobGetAvailable(sql, tables("metadata"), { detailed: false })
      yield* insertJobs(kind, 20, { scheduled_at: "'2026-07-01 12:00:00.123456Z'" })
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* sql`SET LOCAL datestyle = 'SQL, DMY'`
          yield* sql`SET LOCAL timezone = 'Europe/Dublin'`
          const claim = (from: Frontier) => get({ clientId: "one", kinds: [kind.kind], limit: 10, queue: "test", from })
          const first = yield* claim(beginning)
          assert.lengthOf(yield* claim(after(beginning, 10, first)), 10)
        })
      )
    })
  )

  it.effect("[131] jobs are all worked, whatever lies where and comes when", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      for (let i = 0; i < 6; i++) {
        yield* insertJobs("of_nobody", 500, {
          scheduled_at: `now() - ${i} * interval '1 minute'`,
          priority: 1 + (i % 4)
        })
        yield* insertJobs(kind, 50, { scheduled_at: `now() - ${6 - i} * interval '1 minute'`, priority: 1 + (i % 3) })
      }
      yield* startClient([kind], { maxWorkers: 7, fetchPollInterval: Duration.seconds(30) })
      // While it works: jobs that come to lie before where it is.
      const behind = [yield* insertJob(kind, { scheduled_at: "'2025-01-01'" }), yield* insertJob(kind, { priority: 4 })]

      yield* jobIn("completed", behind[0]!, "5 seconds")
      assert.deepEqual(yield* ended(kind, "5 seconds"), { completed: 302 })
    })
  )
})
