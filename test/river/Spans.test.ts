import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as SqlClient from "effect/sql/SqlClient"
import * as Tracer from "effect/Tracer"
import { JobCancel, JobSnooze } from "../../src/river/index.ts"
import {
  countStates,
  insertItem,
  insertJob,
  itemWorker,
  jobIn,
  riverDatabase,
  startClient,
  until,
  worker
} from "./support.ts"

/** Spans as they are made, in order. */
const recording = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  const named = (name: string) => spans.filter((span) => span.name === name)
  return { spans, named, around: Effect.provideService(Tracer.Tracer, tracer) }
}

layer(riverDatabase, { excludeTestServices: true })("Spans", (it) => {
  it.effect("[123] are one root a job, as otelriver makes it, linked to the span that enqueued the job", () =>
    Effect.gen(function* () {
      const { around, named, spans } = recording()
      const kind = itemWorker()
      const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
      const { job: id } = yield* insertItem(kind, { metadata: { traceparent }, priority: 2 })

      const client = yield* around(startClient([kind], { traced: true }))
      yield* jobIn("completed", id)
      yield* client.stop

      const [span] = named(`river.work/${kind.kind}`)
      assert.lengthOf(named(`river.work/${kind.kind}`), 1)
      assert.isTrue(Option.isNone(span!.parent))
      assert.strictEqual(span!.kind, "consumer")
      assert.deepInclude(Object.fromEntries(span!.attributes), {
        id: Number(id),
        attempt: 1,
        kind: kind.kind,
        priority: 2,
        queue: "test",
        status: "ok"
      })
      assert.lengthOf(span!.links, 1)
      assert.deepInclude(span!.links[0]!.span, {
        traceId: "0af7651916cd43dd8448eb211c80319c",
        spanId: "b7ad6b7169203331",
        sampled: true
      })
      const [settle] = named("river.settle")
      assert.strictEqual(Option.getOrThrow(settle!.parent).spanId, span!.spanId)
      assert.strictEqual(settle!.attributes.get("verdict"), "settled")
      assert.lengthOf(spans, 2)
    })
  )

  it.effect("[123] say how an attempt ended, in otelriver's words", () =>
    Effect.gen(function* () {
      const { around, named } = recording()
      const snoozed = worker(() => new JobSnooze({ duration: Duration.minutes(1) }))
      const cancelled = worker(() => new JobCancel({ message: "not wanted" }))
      const failed = worker(() => Effect.fail(new Error("no")))
      const died = worker(() => Effect.die(new Error("broken")))
      const kinds = [snoozed, cancelled, failed, died]
      for (const kind of kinds) yield* insertJob(kind, { max_attempts: 1 })

      yield* around(startClient(kinds, { traced: true }))
      for (const kind of kinds) {
        yield* until(countStates(kind), ({ available, running }) => available === undefined && running === undefined)
      }

      const ends = kinds.map(({ kind }) => Object.fromEntries(named(`river.work/${kind}`)[0]!.attributes))
      assert.deepInclude(ends[0], { status: "ok", snooze: true, "snooze.duration": "60s" })
      assert.deepInclude(ends[1], { status: "error", cancel: true })
      assert.deepInclude(ends[2], { status: "error" })
      assert.deepInclude(ends[3], { status: "panic" })
    })
  )

  it.effect("[141] are not made for a row that cannot be decoded: no worker sees that job", () =>
    Effect.gen(function* () {
      const { around, spans } = recording()
      const kind = worker(() => Effect.succeed({}))
      const id = yield* insertJob(kind, { errors: "array[null::jsonb]", max_attempts: 1 })

      const client = yield* around(startClient([kind], { traced: true }))
      yield* jobIn("discarded", id)
      yield* client.stop

      assert.deepEqual(spans, [])
    })
  )

  it.effect(
    "[141] call an attempt an error that a cancel from outside or a stop interrupted, not one that cancels",
    () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const { around, named } = recording()
        const cancelled = worker(() => Effect.never, { timeout: Duration.minutes(1) })
        const stopped = worker(() => Effect.never, { timeout: Duration.minutes(1) })
        const ids = [yield* insertJob(cancelled), yield* insertJob(stopped)]
        const client = yield* around(
          startClient([cancelled, stopped], { traced: true, softStopTimeout: Duration.millis(50) })
        )
        for (const id of ids) yield* jobIn("running", id)

        yield* sql`UPDATE metadata.river_job SET metadata = '{"cancel_attempted_at": "2026-08-07T09:30:00Z"}'
        WHERE id = ${ids[0]}`
        yield* jobIn("cancelled", ids[0]!, "5 seconds")
        yield* client.stop
        yield* jobIn("available", ids[1]!)

        for (const { kind } of [cancelled, stopped]) {
          const [span] = named(`river.work/${kind}`)
          assert.strictEqual(span!.attributes.get("status"), "error")
          assert.isFalse(span!.attributes.has("cancel"))
        }
      })
  )

  it.effect("have no link where the metadata holds no usable traceparent", () =>
    Effect.gen(function* () {
      const { around, named } = recording()
      const kind = worker(() => Effect.succeed({}))
      const odd = [
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "01-0af7651916cd43dd8448eb211c80319c",
        7,
        null,
        { a: 1 }
      ]
      for (const traceparent of odd) yield* insertJob(kind, { metadata: { traceparent } })

      yield* around(startClient([kind], { traced: true }))
      yield* until(countStates(kind), ({ completed }) => completed === odd.length)

      assert.isTrue(named(`river.work/${kind.kind}`).every(({ links }) => links.length === 0))
    })
  )

  it.effect("are not made at all when nothing is traced", () =>
    Effect.gen(function* () {
      const { around, spans } = recording()
      const kind = worker(() => Effect.succeed({}))
      const id = yield* insertJob(kind)

      const client = yield* around(startClient([kind]))
      yield* jobIn("completed", id)
      yield* client.stop

      assert.deepEqual(spans, [])
    })
  )
})
