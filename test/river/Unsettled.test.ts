import { assert, describe, it, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { Job } from "../../src/river/Job.ts"
import type { Settlement } from "../../src/river/Settlement.ts"
import { Unsettled } from "../../src/river/Unsettled.ts"
import type { Worker } from "../../src/river/Worker.ts"
import { countStates, ended, insertItems, itemWorker, riverDatabase, startClient, until, worker } from "./support.ts"

const [kind, other] = [worker(() => Effect.die("not worked here")), worker(() => Effect.die("not worked here"))]

let serial = 0n

/** An outcome with a result of so many characters, most of them redacted. */
const completed = (length: number, of: Worker = kind): Settlement => ({
  job: { id: ++serial } as Job,
  worker: of,
  outcome: {
    _tag: "Completed",
    result: length < 3 ? { a: "x".repeat(length) } : { a: "xyz", b: Redacted.make("x".repeat(length - 3)) }
  },
  startedAt: 0,
  endedAt: 0
})

const interrupted = (): Settlement => ({ ...completed(0), outcome: { _tag: "Interrupted" } })

const unsettledWith = (...settlements: ReadonlyArray<Settlement>) => {
  const unsettled = new Unsettled()
  for (const each of settlements) unsettled.add(each)
  return unsettled
}

const many = (count: number, length: number) => Array.from({ length: count }, () => completed(length))

describe("what one statement carries", () => {
  it("is the longest waiting outcomes of one sort, a thousand at most; the others keep their order", () => {
    const [few, some, foreign] = [many(600, 10), many(600, 10), completed(10, other)]
    const failed = interrupted()
    const unsettled = unsettledWith(...few, foreign, failed, ...some)

    assert.deepEqual(unsettled.take(), [...few, ...some.slice(0, 400)])
    assert.deepEqual(unsettled.take(), [foreign])
    assert.deepEqual(unsettled.take(), [failed])
    assert.deepEqual(unsettled.take(), some.slice(400))
    assert.deepEqual(unsettled.take(), [])
  })

  it("is 4 MB of results at most, and nobody overtakes one that no longer fits", () => {
    const large = many(7, 800_000)
    const small = completed(10)
    const unsettled = unsettledWith(...large, small)

    assert.deepEqual(unsettled.take(), large.slice(0, 5))
    assert.deepEqual(unsettled.take(), [...large.slice(5), small])
  })

  it("is a result of more than that alone", () => {
    const [before, huge, after] = [completed(10), completed(9_000_000), completed(10)]
    const unsettled = unsettledWith(before, huge, after)

    assert.deepEqual(unsettled.take(), [before])
    assert.deepEqual(unsettled.take(), [huge])
    assert.deepEqual(unsettled.take(), [after])
  })
})

describe("what is unsettled", () => {
  it("weighs 1 each, and 1 more for each 16 kB of a result, until it has landed", () => {
    const unsettled = unsettledWith(completed(0), completed(16_383), completed(16_384), completed(800_000))
    assert.deepInclude(unsettled, { active: 1 + 1 + 2 + 49, pausing: 0, size: 4, waiting: 4 })

    const batch = unsettled.take()
    assert.deepInclude(unsettled, { active: 53, size: 4, waiting: 0 })
    unsettled.landed(batch)

    assert.deepInclude(unsettled, { active: 0, pausing: 0, size: 0, waiting: 0 })
  })

  it("weighs 1 with a result that breaks its types, which its statement has to refuse", () => {
    const odd = [undefined, null, 5, "text", { a: 5 }, { a: Symbol() }, { a: Redacted.make(5) }, { a: ["b"] }].map(
      (result): Settlement => ({ ...completed(0), outcome: { _tag: "Completed", result: result as never } })
    )

    const unsettled = unsettledWith(...odd)

    assert.deepInclude(unsettled, { active: odd.length, size: odd.length })
    assert.deepEqual(unsettled.take(), odd)
  })

  it("weighs apart while somebody holds its row, and again among the others once it is resumed", () => {
    const large = completed(800_000)
    const unsettled = unsettledWith(completed(0), large)
    const batch = unsettled.take()

    unsettled.pause(large)
    unsettled.landed(batch)
    assert.deepInclude(unsettled, { active: 0, pausing: 49, size: 1 })
    assert.isTrue(unsettled.resume(large))
    assert.isFalse(unsettled.resume(large))

    assert.deepInclude(unsettled, { active: 49, pausing: 0, size: 1, waiting: 1 })
  })

  it("stays in flight with its second statement when the first one lands after it", () => {
    const busy = completed(800_000)
    const unsettled = unsettledWith(completed(0), busy)
    const first = unsettled.take()
    unsettled.pause(busy)
    unsettled.resume(busy)
    const second = unsettled.take()

    unsettled.landed(first)

    assert.deepEqual(second, [busy])
    assert.deepInclude(unsettled, { active: 49, size: 1 })
    assert.deepEqual(unsettled.jobs(), [busy.job.id])
  })

  it("is each there once after a restart, and weighs what it has become", () => {
    const [flies, pauses, waits] = [completed(800_000), completed(800_000), completed(800_000)]
    const unsettled = unsettledWith(flies, pauses)
    unsettled.take()
    unsettled.pause(pauses)
    unsettled.add(waits)
    const givenBack = (settlement: Settlement): Settlement => ({ ...settlement, outcome: { _tag: "Interrupted" } })

    unsettled.restart({ inFlight: givenBack, others: (settlement) => settlement })

    assert.deepInclude(unsettled, { active: 1 + 1 + 49, pausing: 0, size: 3, waiting: 3 })
    assert.deepEqual(unsettled.take(), [flies, pauses].map(givenBack))
    assert.deepEqual(unsettled.take(), [waits])
  })

  const lengths = [0, 10, 16_384, 800_000, 3_999_999, 5_000_000]
  const Steps = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 23 }))).check(
    Schema.isMinLength(10)
  )

  it.effect.prop("is counted right whatever happens to it", [Steps], ([steps]) =>
    Effect.sync(() => {
      const unsettled = new Unsettled()
      const batches: Array<ReadonlyArray<Settlement>> = []
      const active = new Map<Settlement, number>()
      const pausing = new Map<Settlement, number>()
      for (const step of steps) {
        const length = lengths[step % 6]!
        if (step < 12) {
          const added = completed(length)
          active.set(added, 1 + Math.floor(length / 16_384))
          unsettled.add(added)
        } else if (step < 16) {
          const batch = unsettled.take()
          if (batch.length > 0) batches.push(batch)
        } else if (step < 21) {
          const batch = batches.shift() ?? []
          // Every other one is busy in some, none in others.
          const busy = batch.filter((_, i) => step % 2 === 0 && i % 2 === 0)
          for (const each of busy) unsettled.pause(each)
          unsettled.landed(batch)
          for (const each of busy) pausing.set(each, active.get(each)!)
          for (const each of batch) active.delete(each)
        } else {
          for (const [each, weight] of [...pausing].slice(0, step - 20)) {
            unsettled.resume(each)
            pausing.delete(each)
            active.set(each, weight)
          }
        }
        const sum = (weights: typeof active) => [...weights.values()].reduce((sum, weight) => sum + weight, 0)
        assert.deepInclude(unsettled, {
          active: sum(active),
          pausing: sum(pausing),
          size: active.size + pausing.size
        })
        assert.sameMembers(
          [...unsettled.jobs()],
          [...active.keys(), ...pausing.keys()].map(({ job }) => job.id)
        )
      }
    })
  )
})

layer(riverDatabase, { excludeTestServices: true })("large results", (it) => {
  it.effect("are settled five in a statement, and no more jobs are claimed while they wait", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const open = yield* Latch.make()
      const answer = Redacted.make("x".repeat(790_000))
      const large = itemWorker(() => Effect.succeed({ answer, number: "1" }))
      yield* insertItems(large, 30)

      yield* startClient([large], {
        maxWorkers: 10,
        around: (name, statement) => (name === "settle" ? Effect.andThen(open.await, statement) : statement)
      })
      yield* until(countStates(large), ({ running }) => (running ?? 0) >= 10)
      // Until they are a second old, nothing but what they weigh keeps the client from claiming; a dozen polls go by.
      yield* Effect.sleep("600 millis")
      assert.deepEqual(yield* countStates(large), { available: 20, running: 10 })
      yield* open.open

      assert.deepEqual(yield* ended(large), { completed: 30 })
      const statements = yield* sql<{ readonly jobs: number }>`
        SELECT count(*)::int AS jobs FROM metadata.river_job WHERE kind = ${large.kind} GROUP BY xmin::text`
      assert.strictEqual(Math.max(...statements.map(({ jobs }) => jobs)), 5)
    })
  )
})
