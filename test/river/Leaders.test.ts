import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { getItem, insertItem, itemWorker, jobIn, riverDatabase, startClient } from "./support.ts"

layer(riverDatabase, { excludeTestServices: true })("beside a client that leads", (it) => {
  it.effect("[116] the chores of a client's own kind are done all the same, and the leader's term is left alone", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`INSERT INTO metadata.river_leader (leader_id, elected_at, expires_at)
        VALUES ('go_2026_08_07T09_30_00_123456', now(), now() + interval '1 hour')`
      const leader = sql`SELECT leader_id, elected_at::text, expires_at::text FROM metadata.river_leader`
      const before = yield* leader
      const kind = itemWorker()
      const lost = yield* insertItem(kind, {
        state: "running",
        attempt: 1,
        attempted_at: "now() - interval '1 minute'",
        attempted_by: "array['host_test_2026_08_07T09_30_00_123456']"
      })
      const due = yield* insertItem(kind, { state: "retryable", attempt: 2 })

      yield* startClient([kind])

      for (const { item, job } of [lost, due]) {
        yield* jobIn("completed", job, "7 seconds")
        assert.deepInclude(yield* getItem(item), { status: "answered", writes: 1 })
      }
      assert.deepEqual(yield* leader, before)
    })
  )
})
