/** What the scheduler and the rescuer ask first in a pass; what they then do for a kind is tested beside its statement. */
import { assert, describe, it, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as SqlClient from "effect/sql/SqlClient"
import { ConnectionError, SqlError, UnknownError } from "effect/sql/SqlError"
import * as ClientId from "../../../src/river/ClientId.ts"
import type { Changed } from "../../../src/river/maintenance/Chore.ts"
import { kindByKind, type OfKind } from "../../../src/river/maintenance/KindByKind.ts"
import { tables } from "../../../src/river/sql/river_job.ts"
import { type JobKindsStuck, jobKindsDue, jobKindsStuck } from "../../../src/river/sql/river_job_maintenance.ts"
import { planCacheModes, planOf } from "../../support/plans.ts"
import { beginElsewhere, insertJob, insertJobs, riverDatabase, worker } from "../support.ts"

const metadata = tables("metadata")

const newKinds = (count: number) => Array.from({ length: count }, () => worker(() => Effect.die("not worked")).kind)

const kindsDue = Effect.fnUntraced(function* (kinds: ReadonlyArray<string>) {
  const sql = yield* SqlClient.SqlClient
  return (yield* jobKindsDue(sql, metadata)({ ahead: Duration.seconds(5), kinds, queue: "test" })).map(
    ({ kind }) => kind
  )
})

const stuckOptions = (kinds: JobKindsStuck["kinds"], held: ReadonlyArray<bigint> = []): JobKindsStuck => ({
  clientPattern: ClientId.pattern("test"),
  held,
  kinds,
  queue: "test",
  stuckAfterElsewhere: Duration.hours(1)
})

const kindsStuck = Effect.fnUntraced(function* (kinds: JobKindsStuck["kinds"], held: ReadonlyArray<bigint> = []) {
  const sql = yield* SqlClient.SqlClient
  return (yield* jobKindsStuck(sql, metadata)(stuckOptions(kinds, held))).map(({ kind }) => kind)
})

layer(riverDatabase, { excludeTestServices: true, timeout: "60 seconds" })("the kinds with something to do", (it) => {
  it.effect("are for the scheduler those with a job that is due soon, in its queue, however many", () =>
    Effect.gen(function* () {
      const kinds = newKinds(6)
      const [one, many, held, later, elsewhere, over] = kinds
      yield* insertJob(one!, { state: "scheduled", scheduled_at: "now() + interval '4 s'" })
      yield* insertJobs(many!, 2000, { state: "retryable", scheduled_at: "now() - interval '1 day'" })
      const id = yield* insertJob(held!, { state: "retryable" })
      yield* insertJob(later!, { state: "scheduled", scheduled_at: "now() + interval '6 s'" })
      yield* insertJob(elsewhere!, { state: "scheduled", queue: "other" })
      yield* insertJob(over!, { state: "cancelled", finalized_at: "now()" })
      yield* insertJob("of_nobody", { state: "scheduled" })
      const other = yield* beginElsewhere([`SELECT FROM metadata.river_job WHERE id = ${id} FOR UPDATE`])

      assert.sameMembers(yield* kindsDue(kinds), [one!, many!, held!])
      assert.deepEqual(yield* kindsDue([later!]), [])
      assert.deepEqual(yield* kindsDue([]), [])
      yield* other.rollback
    })
  )

  it.effect("are for the rescuer those with a job that has been running for longer than its kind may", () =>
    Effect.gen(function* () {
      const kinds = newKinds(5)
      const [short, long, foreign, held, waiting] = kinds
      const running = {
        state: "running",
        attempt: 1,
        attempted_at: "now() - interval '11 s'",
        attempted_by: "array['host_test_2026_08_07T09_30_00_123456']"
      }
      yield* insertJobs(short!, 3, running)
      yield* insertJob(long!, running)
      yield* insertJob(foreign!, { ...running, attempted_by: "array['go_2026_08_07T09_30_00_123456']" })
      const ours = yield* insertJobs(held!, 2, running)
      yield* insertJob(waiting!, { ...running, state: "available" })
      yield* insertJob(waiting!, { ...running, queue: "other" })
      yield* insertJob("of_nobody", running)
      const after = (seconds: number) =>
        kinds.map((kind) => ({ kind, stuckAfter: Duration.seconds(kind === long ? seconds : 10) }))

      assert.deepEqual(yield* kindsStuck(after(12), ours), [short!])
      assert.sameMembers(yield* kindsStuck(after(10), ours.slice(1)), [short!, long!, held!])
      assert.deepEqual(yield* kindsStuck([]), [])
    })
  )

  it.effect("are found without a look at the whole table, under any plan", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kinds = newKinds(2)
      yield* sql`DROP INDEX metadata.river_job_args_index, metadata.river_job_metadata_index`
      yield* insertJobs(kinds[0]!, 50_000, { state: "completed", finalized_at: "now()" })
      yield* insertJobs(kinds[0]!, 1000, { state: "running", attempted_at: "now()" })
      yield* insertJobs(kinds[1]!, 1000)
      yield* sql`VACUUM ANALYZE metadata.river_job`

      for (const mode of planCacheModes) {
        for (const statement of [
          jobKindsDue(sql, metadata)({ ahead: Duration.seconds(5), kinds, queue: "test" }),
          jobKindsStuck(sql, metadata)(stuckOptions(kinds.map((kind) => ({ kind, stuckAfter: Duration.seconds(10) }))))
        ]) {
          const plan = (yield* planOf(statement, mode)).join("\n")
          assert.match(plan, /cost=/)
          assert.notMatch(plan, /Seq Scan on river_job/, mode)
        }
      }
    })
  )
})

const refused = new SqlError({ reason: new UnknownError({ cause: new Error("no"), message: "no" }) })
const away = new SqlError({ reason: new ConnectionError({ cause: new Error("gone"), message: "gone" }) })

describe("a pass kind by kind", () => {
  /** Kinds that do as each is told, call by call; what was called. */
  const scripted = (script: Readonly<Record<string, ReadonlyArray<Changed | SqlError>>>) => {
    const calls: Array<string> = []
    const answers = new Map(Object.entries(script).map(([kind, each]) => [kind, [...each]]))
    const call = (kind: string, name: string) =>
      Effect.suspend(() => {
        calls.push(`${kind}: ${name}`)
        const answer = answers.get(kind)!.shift()!
        return answer instanceof SqlError ? Effect.fail(answer) : Effect.succeed([answer])
      })
    const kinds = Object.keys(script).map((kind): OfKind => ({
      kind,
      batch: (limit) => call(kind, `batch of ${limit}`),
      alone: call(kind, "alone"),
      afterwards: (changed) => Effect.sync(() => void calls.push(`${kind}: ${changed} changed`))
    }))
    const look = Effect.sync(() => {
      calls.push("look")
      return kinds
    })
    const { alone = Effect.die("there is none"), batch } = kindByKind(look, kinds)
    return { calls, alone, batch }
  }

  const nothing = { count: 0, more: false }

  it.effect("does one kind after the other, each to its end", () =>
    Effect.gen(function* () {
      const { batch, calls } = scripted({ a: [{ count: 9, more: true }, { count: 10 }, { count: 2 }], b: [nothing] })

      const answers = yield* Effect.replicateEffect(
        Effect.map(batch(10, 0), ([changed]) => changed!),
        5
      )

      assert.deepEqual(calls, [
        "look",
        "a: batch of 10",
        "a: batch of 10",
        "a: batch of 10",
        "a: 21 changed",
        "b: batch of 10"
      ])
      assert.deepEqual(
        answers.map(({ count, more }) => [count, more]),
        [
          [0, true],
          [9, true],
          [10, true],
          [2, true],
          [0, false]
        ]
      )
    })
  )

  it.effect("has a refused batch again, smaller, and then what it refuses alone", () =>
    Effect.gen(function* () {
      const { alone, batch, calls } = scripted({ a: [refused, refused, { count: 1 }, { count: 3 }] })

      yield* batch(4, 0)
      assert.strictEqual(yield* Effect.flip(batch(4, 0)), refused)
      assert.strictEqual(yield* Effect.flip(batch(1, 0)), refused)
      assert.deepEqual(yield* alone, [{ count: 1, more: true }])
      assert.deepEqual(yield* batch(4, 0), [{ count: 3, more: false }])

      assert.deepEqual(calls.slice(3), ["a: alone", "a: batch of 4", "a: 4 changed"])
    })
  )

  for (const [name, fault] of [
    ["the database is away", away],
    ["what it does alone is refused", refused]
  ] as const) {
    it.effect(`leaves the rest to the next pass when ${name}, which then asks again`, () =>
      Effect.gen(function* () {
        const { alone, batch, calls } = scripted({ a: [fault, fault, nothing], b: [{ count: 1 }, nothing] })

        yield* batch(1, 0)
        yield* Effect.flip(batch(1, 0))
        if (fault === refused) yield* Effect.flip(alone)
        const before = calls.length
        assert.deepEqual(yield* batch(10, 0), [{ count: 1, more: true }])
        assert.deepEqual(yield* batch(10, 0), [{ count: 0, more: true }])

        assert.deepEqual(calls.slice(before), ["b: batch of 10", "b: 1 changed", "look"])
      })
    )
  }

  it.effect("is not stopped by a statement that never comes back", () =>
    Effect.gen(function* () {
      const calls: Array<string> = []
      const kinds = ["a", "b"].map((kind): OfKind => ({
        kind,
        batch: () => {
          calls.push(kind)
          return kind === "a" ? Effect.never : Effect.succeed([nothing])
        },
        alone: Effect.never,
        afterwards: () => Effect.void
      }))
      const { batch } = kindByKind(Effect.succeed(kinds), kinds)

      yield* batch(10, 0)
      const hanging = yield* Effect.forkChild(batch(10, 0), { startImmediately: true })
      yield* Fiber.interrupt(hanging)
      assert.deepEqual(yield* batch(10, 0), [{ count: 0, more: true }])

      assert.deepEqual(calls, ["a", "b"])
    })
  )
})
