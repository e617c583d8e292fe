import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { Worker } from "../../../src/river/index.ts"
import { ended, startClient, until, worker } from "../support.ts"
import { besideRiver } from "./support.ts"

/** How many jobs each client completed; jobs that took more than one attempt count as nobody's. */
const shares = Effect.fnUntraced(function* ({ kind }: Worker) {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly client: string; readonly count: number }>`
    SELECT CASE WHEN state = 'completed' AND attempt = 1 AND cardinality(attempted_by) = 1 AND errors IS NULL
      THEN attempted_by[1] ELSE 'nobody' END AS client, count(*)::int AS count
    FROM metadata.river_job WHERE kind = ${kind} GROUP BY 1`
  return Object.fromEntries(rows.map(({ client, count }) => [client, count]))
})

const sum = (counts: Readonly<Record<string, number>>) => Object.values(counts).reduce((a, b) => a + b, 0)

besideRiver("one queue with", (it, { start }) => {
  it.effect("[26] has its 10,000 jobs worked once each, a share by theirs and a share by ours", () =>
    Effect.gen(function* () {
      let runs = 0
      const kind = worker(() =>
        Effect.andThen(
          Effect.sync(() => (runs += 1)),
          Effect.as(Effect.sleep("20 millis"), {})
        )
      )
      const river = yield* start()
      const silent = { silent: true, attempts: [{ do: "sleep", ms: 20 }] }
      yield* river.insertMany(10_000, { kind: kind.kind, args: silent })

      yield* river.start({ clientId: "their_client", kinds: [kind.kind], queues: { test: 100 }, cooldownMs: 20 })
      const ours = yield* startClient([kind], { maxWorkers: 50 })
      yield* ended(kind, "40 seconds")

      const counts = yield* shares(kind)
      assert.hasAllKeys(counts, ["their_client", ours.clientId])
      assert.strictEqual(sum(counts), 10_000)
      assert.strictEqual(counts[ours.clientId], runs)
      assert.isAtLeast(Math.min(...Object.values(counts)), 1000)
    })
  )

  it.effect("[124] has every job done once at attempt 1 while clients of both are replaced under load", () =>
    Effect.gen(function* () {
      const kind = worker(() => Effect.as(Effect.sleep("30 millis"), {}))
      const inserter = yield* start()
      let inserted = 0
      const silent = { silent: true, attempts: [{ do: "sleep", ms: 30 }] }
      const load = Effect.gen(function* () {
        inserted += (yield* inserter.insertMany(40, { kind: kind.kind, args: silent })).length
        yield* Effect.sleep("100 millis")
      })
      yield* Effect.forkScoped(Effect.repeat(load, { times: 50 }))
      // A little slower together than the load, so that jobs wait for every client.
      const startOurs = startClient([kind], { maxWorkers: 5 })
      const startTheirs = Effect.fnUntraced(function* (clientId: string, pollOnly = false) {
        const river = yield* start()
        yield* river.start({ clientId, kinds: [kind.kind], queues: { test: 20 }, pollOnly })
        return river
      })
      const step = Effect.sleep("700 millis")

      const theirFirst = yield* startTheirs("their_first")
      const ourFirst = yield* startOurs
      yield* step
      const ourSecond = yield* startOurs
      yield* ourFirst.stop
      yield* step
      const theirSecond = yield* startTheirs("their_second", true)
      yield* theirFirst.stop
      yield* step
      yield* startTheirs("their_third")
      yield* theirSecond.stop
      yield* step
      const ourThird = yield* startOurs
      yield* ourSecond.stop
      yield* until(
        Effect.sync(() => inserted),
        (count) => count === 51 * 40
      )
      yield* ended(kind)

      const counts = yield* shares(kind)
      const ours = [ourFirst, ourSecond, ourThird].map(({ clientId }) => clientId)
      assert.hasAllKeys(counts, [...ours, "their_first", "their_second", "their_third"])
      assert.strictEqual(sum(counts), inserted)
    })
  )
})
