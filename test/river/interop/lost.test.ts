import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { done, getJob, insertJob, insertJobs, jobIn, worker, startListening } from "../support.ts"
import { deadOurs, leaders, left, rescuedOnce } from "./LostJobs.ts"
import { attempts } from "./River.ts"
import { besideRiver } from "./support.ts"

besideRiver("a lost job beside", (it, { start }) => {
  it.effect("[97] has no job of ours discarded by a leader that does not know the kind", () =>
    Effect.gen(function* () {
      const kind = worker(() => done, { timeout: Duration.seconds(1) })
      /** A leader that gives up what runs for over 12 seconds; it has looked once when this returns. */
      const lead = Effect.gen(function* () {
        const river = yield* start()
        const control = yield* insertJob("of_nobody", left("their_dead_client", 60))
        const options = { clientId: "their_leader", kinds: ["only_theirs"], queues: { elsewhere: 1 } }
        yield* river.start({ ...options, rescueAfterMs: 12_000, timeoutMs: 1000 })
        yield* jobIn("discarded", control)
        yield* river.stop
      })

      // What is at stake: without a client of ours it is thrown away.
      const alone = yield* insertJob(kind, left(deadOurs, 13))
      yield* lead
      assert.deepInclude(yield* getJob(alone), { state: "discarded", attempt: 1 })

      const lost = yield* insertJobs(kind, 20, left(deadOurs, 8))
      yield* startListening([kind])
      yield* lead
      yield* Effect.sleep("4 seconds")
      yield* lead

      yield* rescuedOnce(kind, lost)
    })
  )

  it.effect("[97] leaves a job of a killed client of theirs for River's hour, then runs it again", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done, { timeout: Duration.millis(100) })
      const river = yield* start()
      yield* river.start({ clientId: "their_client", kinds: [kind.kind] })
      const { id } = yield* river.insert({ kind: kind.kind, args: attempts({ do: "wait" }) })
      yield* jobIn("running", id)

      yield* river.kill
      yield* startListening([kind])
      yield* sql`UPDATE metadata.river_job SET attempted_at = now() - interval '59 minutes' WHERE id = ${id}`
      yield* Effect.sleep("2500 millis")
      assert.deepInclude(yield* getJob(id), { state: "running", errors: null })
      yield* sql`UPDATE metadata.river_job SET attempted_at = now() - interval '61 minutes' WHERE id = ${id}`

      yield* rescuedOnce(kind, [id])
      // Nobody took over the dead leader's post.
      assert.deepEqual(yield* leaders, ["their_client"])
      yield* sql`DELETE FROM metadata.river_leader`
    })
  )
})
