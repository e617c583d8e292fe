import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { done, getJob, insertJob, jobIn, startClient, until, worker, startListening } from "../support.ts"
import { besideRiver } from "./support.ts"

besideRiver("a job beside", (it, { minor, start }) => {
  it.effect("[40] is inserted by theirs and started by ours within a second, though it polls once a minute", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const river = yield* start()
      yield* startListening([kind])

      const { id } = yield* river.insert({ kind: kind.kind })
      yield* jobIn("completed", id, "1 second")
      yield* Effect.sleep("150 millis") // theirs notifies once in 100 ms
      const next = yield* river.insert({ kind: kind.kind })
      yield* jobIn("completed", next.id, "1 second")
    })
  )

  it.effect("[22] [50] [65] of theirs has on ours only the columns changed that an attempt changes", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const river = yield* start()
      const inserted = yield* river.insert({
        kind: kind.kind,
        args: { text: "<&\u2028", list: [1, null], big: 12345678901234 },
        maxAttempts: 7,
        metadata: { of: { somebody: [1, 2] }, "river:something": null },
        priority: 4,
        tags: ["blue", "a-green_one"]
      })

      const client = yield* startClient([kind])
      yield* jobIn("completed", inserted.id)

      const { duplicate, ...before } = inserted
      const after = yield* river.jobGet(inserted.id)
      const { attempted_at, finalized_at } = after
      assert.isFalse(duplicate)
      assert.isNotNull(attempted_at)
      assert.isNotNull(finalized_at)
      assert.deepEqual(after, {
        ...before,
        state: "completed",
        attempt: 1,
        attempted_at,
        attempted_by: [client.clientId],
        finalized_at
      })
    })
  )

  if (minor >= 48) {
    it.effect("[72] [131] of a kind that only the other one knows waits for it, in the same queue", () =>
      Effect.gen(function* () {
        const kind = worker(() => done)
        const river = yield* start()
        const theirs = yield* river.insert({ kind: "only_theirs" })
        const ours = yield* insertJob(kind)

        yield* river.start({ clientId: "their_client", kinds: ["only_theirs"], onlyKnownKinds: true })
        yield* jobIn("completed", theirs.id)
        assert.deepInclude(yield* getJob(ours), { state: "available", attempt: 0 })
        const client = yield* startClient([kind])
        yield* jobIn("completed", ours)
        const next = yield* river.insert({ kind: "only_theirs" })
        yield* jobIn("completed", next.id)

        assert.deepEqual((yield* getJob(next.id)).attempted_by, ["their_client"])
        assert.deepEqual((yield* getJob(ours)).attempted_by, [client.clientId])
      })
    )
  }

  it.effect("[109] is unique for theirs while it waits on ours, and when it is completed", () =>
    Effect.gen(function* () {
      let failing = true
      const kind = worker(() => (failing ? Effect.fail(new Error("not yet")) : done))
      const river = yield* start()
      const job = { kind: kind.kind, args: { of: "this" }, unique: true }
      const { id } = yield* river.insert(job)

      yield* startClient([kind])
      yield* until(getJob(id), ({ errors }) => errors?.length === 1)
      const waiting = yield* river.insert(job)
      failing = false
      yield* jobIn("completed", id)
      const completed = yield* river.insert(job)

      for (const again of [waiting, completed]) assert.deepInclude(again, { id, duplicate: true })
      assert.isFalse((yield* river.insert({ ...job, args: { of: "that" } })).duplicate)
    })
  )
})
