/**
 * What a collector of traces gets from the process, and what it costs when there is none.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { TestDatabase } from "../support/Database.ts"
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from "../support/OtlpReceiver.ts"
import { freePort } from "../support/Postgres.ts"
import { startWorker, until } from "../support/WorkerProcess.ts"
import { answered, completed, insertRequests, jobEnded, jobOf, onDatabase, requestUpload } from "./support.ts"

const receiver = (options?: { readonly silent: boolean }) =>
  Effect.acquireRelease(
    Effect.promise(() => startOtlpReceiver(options)),
    (receiver) => Effect.promise(receiver.stop)
  )

const exportTo = (endpoint: string) => ({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_BSP_SCHEDULE_DELAY: "100" })

/** The span of a job's attempt and its children, once all of them are here. */
const spansOf = (collector: OtlpReceiver, job: string, attempt = 1) =>
  until(
    Effect.sync(() => {
      const work = collector.spans.find(
        ({ attributes, name }) =>
          name === "river.work/s3_presign" && String(attributes["id"]) === job && attributes["attempt"] === attempt
      )
      const children = collector.spans.filter(({ parentSpanId }) => parentSpanId === work?.spanId)
      return { work: work!, children, settle: children.find(({ name }) => name === "river.settle")! }
    }),
    ({ settle, work }) => work !== undefined && settle !== undefined
  )

/** Reports, from inside the process, the first module of the kinds that should be loaded on demand only. */
const reportModules = `--import=data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from "node:module"
  import { writeSync } from "node:fs"
  let told = false
  registerHooks({ resolve: (specifier, context, next) => {
    const resolved = next(specifier, context)
    if (!told && /opentelemetry|aws-sdk|OpenTelemetry|effect\\/cli/.test(resolved.url)) {
      told = true
      writeSync(2, "loaded " + resolved.url + "\\n")
    }
    return resolved
  } })`)}`

const start = (span: ReceivedSpan) => BigInt(span.startTimeUnixNano)
const end = (span: ReceivedSpan) => BigInt(span.endTimeUnixNano)

describe.concurrent("traces", () => {
  it.live("[123] have a span for each attempt, linked to who enqueued it, with signing and settling as children", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const sql = yield* SqlClient.SqlClient
        const collector = yield* receiver()
        const id = yield* requestUpload()
        yield* sql`UPDATE metadata.river_job SET tags = '{site,night}', metadata = metadata ||
          '{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "a=b"}'`
        const worker = yield* startWorker(url, exportTo(collector.endpoint))
        yield* answered(id)
        const job = yield* jobOf(id)

        const { children, settle, work } = yield* spansOf(collector, job.id)
        assert.strictEqual(work.kind, 5)
        assert.isTrue(work.parentSpanId === undefined || work.parentSpanId === "")
        const [row] = yield* sql<{ readonly created_at: Date; readonly scheduled_at: Date }>`
          SELECT created_at, scheduled_at FROM metadata.river_job WHERE id = ${job.id}::bigint`
        assert.deepInclude(work.attributes, {
          id: Number(job.id),
          attempt: 1,
          kind: "s3_presign",
          priority: 1,
          queue: "s3_signer",
          status: "ok",
          tag: ["site", "night"]
        })
        for (const name of ["created_at", "scheduled_at"] as const) {
          const text = String(work.attributes[name])
          assert.match(text, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/)
          assert.approximately(Date.parse(text), row![name].getTime(), 1)
        }
        assert.strictEqual(work.status.code, 1)
        assert.deepEqual(
          work.links.map(({ spanId, traceId }) => [traceId, spanId]),
          [["0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"]]
        )
        assert.notStrictEqual(work.traceId, "0af7651916cd43dd8448eb211c80319c")
        assert.deepEqual(children.map(({ name }) => name).toSorted(), ["river.settle", "s3.presign"])
        const sign = children.find(({ name }) => name === "s3.presign")!
        for (const child of [sign, settle]) assert.strictEqual(child.traceId, work.traceId)
        assert.isTrue(start(work) <= start(sign) && start(sign) <= end(sign) && end(sign) <= end(work))
        // The end of the attempt is known to the millisecond.
        assert.isTrue(start(settle) > start(work) - 1_000_000n)
        assert.isTrue(end(settle) >= start(settle) && end(settle) >= end(work))
        assert.strictEqual(collector.resources[0]!["service.name"], "s3-signer")
        assert.deepEqual(yield* worker.stop, { status: 0, signal: null })
      })
    )
  )

  it.live("show a request that cannot be answered as an error, and link to nothing where nothing valid is named", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const sql = yield* SqlClient.SqlClient
        const collector = yield* receiver()
        const ids = [yield* requestUpload({ entity_id: ".." }), yield* requestUpload(), yield* requestUpload()]
        yield* sql`UPDATE metadata.river_job SET metadata = metadata ||
          CASE WHEN id % 2 = 0 THEN '{"traceparent": "00-00000000000000000000000000000000-b7ad6b7169203331-01"}'
          ELSE '{"traceparent": {"not": "text"}}' END::jsonb`
        yield* startWorker(url, { ...exportTo(collector.endpoint), OTEL_SERVICE_NAME: "uploads" })
        for (const id of ids) yield* answered(id)

        for (const [n, id] of ids.entries()) {
          const { children, work } = yield* spansOf(collector, (yield* jobOf(id)).id)
          assert.deepEqual(work.links, [])
          assert.strictEqual(work.attributes["status"], n === 0 ? "error" : "ok")
          assert.strictEqual(work.status.code, n === 0 ? 2 : 1)
          assert.strictEqual(children.length, n === 0 ? 1 : 2)
        }
        assert.strictEqual(collector.resources[0]!["service.name"], "uploads")
      })
    )
  )

  it.live("cost nothing when nobody asks for them: neither they nor the AWS SDK nor the command line are loaded", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const collector = yield* receiver()
        const quiet = yield* startWorker(url, { NODE_OPTIONS: reportModules })
        const off = yield* startWorker(url, {
          ...exportTo(collector.endpoint),
          NODE_OPTIONS: reportModules,
          OTEL_SDK_DISABLED: "true"
        })
        yield* quiet.working
        yield* off.working
        yield* Effect.flatMap(requestUpload(), answered)
        for (const worker of [quiet, off]) {
          assert.deepEqual(yield* worker.stop, { status: 0, signal: null })
          assert.deepEqual(worker.errors, [])
        }
        assert.strictEqual(collector.raw(), "")

        // That the reports work.
        const traced = yield* startWorker(url, { ...exportTo(collector.endpoint), NODE_OPTIONS: reportModules })
        yield* traced.working
        assert.match(traced.errors.join("\n"), /loaded .*opentelemetry/i)
      })
    )
  )

  for (const collector of ["there", "answering"]) {
    it.live(`hold up neither the work nor the stop when no collector is ${collector}`, () =>
      onDatabase(
        Effect.gen(function* () {
          const { url } = yield* TestDatabase
          const silent = yield* receiver({ silent: true })
          const nobody = `http://127.0.0.1:${yield* Effect.promise(freePort)}`
          const worker = yield* startWorker(url, exportTo(collector === "there" ? nobody : silent.endpoint))
          yield* worker.working
          yield* insertRequests(1000)
          yield* completed(1000)

          const [took, how] = yield* Effect.timed(worker.stop)

          assert.deepEqual(how, { status: 0, signal: null })
          assert.isBelow(Duration.toSeconds(took), 3)
          assert.deepEqual(worker.errors, [])
          assert.deepEqual(
            worker.log.filter(({ level }) => level !== "info"),
            []
          )
          if (collector === "answering") assert.isAbove(silent.spans.length, 0)
        })
      )
    )
  }

  it.live("are lost by no stop: what has ended is sent before the process ends", () =>
    onDatabase(
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const collector = yield* receiver()
        const worker = yield* startWorker(url, { ...exportTo(collector.endpoint), OTEL_BSP_SCHEDULE_DELAY: "60000" })
        const id = yield* requestUpload()
        yield* jobEnded((yield* jobOf(id)).id)

        assert.deepEqual(yield* worker.stop, { status: 0, signal: null })

        assert.deepEqual(collector.spans.map(({ name }) => name).toSorted(), [
          "river.settle",
          "river.work/s3_presign",
          "s3.presign"
        ])
      })
    )
  )
})
