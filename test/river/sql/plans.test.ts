/**
 * The plans of the hot statements on tables of some size, as PostgreSQL makes them for a statement that is prepared by
 * name: for any parameters (generic) and for the ones at hand (custom).
 */
import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import type { Job } from "../../../src/river/Job.ts"
import { jobGetAvailable, tables } from "../../../src/river/sql/river_job.ts"
import { jobDeleteBefore, jobRescue, jobSchedule } from "../../../src/river/sql/river_job_maintenance.ts"
import { jobSetStateChanged, jobSetStateCompleted } from "../../../src/river/sql/river_job_settle.ts"
import { planCacheModes, planOf } from "../../support/plans.ts"
import { insertJobs, itemEffect, itemWorker, riverDatabase } from "../support.ts"

const metadata = tables("metadata")
const kind = itemWorker()

/** 100,000 finished jobs, 1,000 running and 1,000 waiting ones, and an item for each. */
const fill = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  // No plan here can use them, and filling them takes most of the time.
  yield* sql`DROP INDEX metadata.river_job_args_index, metadata.river_job_metadata_index`
  yield* sql`INSERT INTO app.item (id) SELECT n::text FROM generate_series(1, 102000) n`
  yield* sql`INSERT INTO metadata.river_job (kind, queue, max_attempts, args, state, finalized_at, attempt)
    SELECT ${kind.kind}, 'test', 25, jsonb_build_object('item', n::text), 'completed', now(), 1
    FROM generate_series(1, 100000) n`
  yield* sql`INSERT INTO metadata.river_job (kind, queue, max_attempts, args, state, attempt, attempted_at, attempted_by)
    SELECT ${kind.kind}, 'test', 25, jsonb_build_object('item', (100000 + n)::text), 'running', 1, now(), '{one}'
    FROM generate_series(1, 1000) n`
  yield* insertJobs(kind, 1000)
  yield* sql`VACUUM ANALYZE metadata.river_job`
  yield* sql`VACUUM ANALYZE app.item`
})

layer(riverDatabase, { excludeTestServices: true, timeout: "60 seconds" })("on tables of 100,000 rows", (it) => {
  it.effect("no statement of a job's way reads a whole table, under any plan", () =>
    Effect.gen(function* () {
      yield* fill
      const sql = yield* SqlClient.SqlClient
      const running = yield* sql<Job>`SELECT id, kind, attempt, max_attempts, attempted_at::text AS attempted_at
        FROM metadata.river_job WHERE state = 'running' ORDER BY id LIMIT 300`
      const completed = running.map((job) => ({
        job,
        age: 5,
        metadata: undefined,
        result: { answer: "a", number: "1" }
      }))
      const changed = running.map((job) => ({
        job,
        age: 5,
        metadata: undefined,
        startedAt: 0,
        change: { state: "discarded", error: { error: "no answer", trace: "" }, message: "no answer" } as const
      }))

      const statements: Record<string, Effect.Effect<unknown, SqlError>> = {
        claim: jobGetAvailable(sql, metadata, { detailed: true })({
          clientId: "one",
          kinds: [kind.kind],
          limit: 50,
          queue: "test"
        }),
        completions: jobSetStateCompleted(sql, metadata, itemEffect)("one", completed),
        "one completion": jobSetStateCompleted(sql, metadata, itemEffect)("one", completed.slice(0, 1)),
        "completions without rows": jobSetStateCompleted(sql, metadata, undefined)("one", completed),
        "other outcomes": jobSetStateChanged(sql, metadata, itemEffect)("one", changed),
        rescue: jobRescue(
          sql,
          metadata,
          kind
        )({
          clientPattern: "x",
          stuckAfter: Duration.seconds(10),
          stuckAfterElsewhere: Duration.hours(1),
          held: [1n, 2n],
          beyond: -1n,
          limit: 1000,
          queue: "test"
        }),
        clean: jobDeleteBefore(
          sql,
          metadata
        )({
          kinds: [kind.kind],
          limit: 1000,
          queue: "test",
          retention: { cancelled: Duration.hours(24), completed: Duration.hours(24), discarded: Duration.days(7) },
          skip: 0
        }),
        schedule: jobSchedule(
          sql,
          metadata,
          kind
        )({ ahead: Duration.seconds(5), channel: "none", limit: 1000, queue: "test" })
      }
      for (const [name, statement] of Object.entries(statements)) {
        for (const mode of planCacheModes) {
          const plan = yield* planOf(statement, mode)
          const text = `${name} under ${mode}:\n${plan.join("\n")}`
          assert.match(plan[0]!, /cost=/)
          assert.isFalse(
            plan.some((line) => /Seq Scan on (river_job|item)/.test(line)),
            text
          )
          // Probes by key, not a walk along the index of the running jobs or a bitmap of all.
          if (/completion|outcome/.test(name)) {
            assert.isFalse(
              plan.some((line) => /prioritized_fetching|Bitmap/.test(line)),
              text
            )
          }
        }
      }
    })
  )
})
