import { assert } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { done, getJob, jobIn, startClient, worker } from "../support.ts"
import { attempts } from "./River.ts"
import { besideRiver } from "./support.ts"

besideRiver("a stop beside", (it, { minor, start }) => {
  it.effect("[93] has theirs work at once what a stopping client of ours gave back", () =>
    Effect.gen(function* () {
      const kind = worker(() => Effect.never)
      const river = yield* start()
      const { id } = yield* river.insert({ kind: kind.kind })
      const ours = yield* startClient([kind], { softStopTimeout: Duration.millis(50) })
      yield* jobIn("running", id)

      yield* ours.stop
      const given = yield* river.jobGet(id)
      yield* river.start({ clientId: "their_client", kinds: [kind.kind] })

      yield* jobIn("completed", id, "1 second")
      assert.deepInclude(given, { state: "available", attempt: 0 })
      const job = yield* river.jobGet(id)
      assert.deepInclude(job, { attempt: 1 })
      assert.isNotOk(job.errors?.length)
      assert.deepEqual(job.attempted_by, [ours.clientId, "their_client"])
      assert.deepEqual(
        river.eventsOf(id).map(({ attempt, event }) => [event, attempt]),
        [
          ["attempt", 1],
          ["end", 1]
        ]
      )
    })
  )

  it.effect("[92] [93] has ours work what theirs gave up when it was stopped hard", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const river = yield* start()
      const { id } = yield* river.insert({ kind: kind.kind, args: attempts({ do: "wait" }) })
      yield* river.start({ clientId: "their_client", kinds: [kind.kind] })
      yield* jobIn("running", id)

      yield* river.stopAndCancel
      const given = yield* getJob(id)
      const ours = yield* startClient([kind])

      // Before 0.44 it counts as a failed attempt, to be tried again after a second.
      const attempt = minor < 44 ? 2 : 1
      const job = yield* jobIn("completed", id, "3 seconds")
      assert.deepInclude(given, { state: "available", attempt: attempt - 1 })
      assert.deepInclude(job, { attempt, errors: given.errors })
      assert.deepEqual(job.attempted_by, ["their_client", ours.clientId])
      assert.lengthOf(job.errors ?? [], attempt - 1)
    })
  )
})
