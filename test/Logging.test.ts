import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { ConnectionError, SqlError } from "effect/sql/SqlError"
import * as TestConsole from "effect/testing/TestConsole"
import * as Tracer from "effect/Tracer"
import { stripVTControlCharacters } from "node:util"
import * as Logging from "../src/Logging.ts"
import { makeRedaction } from "../src/Redaction.ts"
import type { LogSettings } from "../src/settings/Settings.ts"

/** The lines that a program logs. */
const lines = (
  program: Effect.Effect<unknown>,
  options: Partial<LogSettings["log"]> & { readonly secrets?: ReadonlyArray<string> } = {}
) =>
  Effect.gen(function* () {
    const { length } = yield* TestConsole.logLines
    yield* Effect.provide(
      program,
      Logging.layer(
        { log: { level: options.level ?? "Info", format: options.format ?? "json" } },
        makeRedaction((options.secrets ?? []).map((secret) => Redacted.make(secret)))
      )
    )
    return (yield* TestConsole.logLines).slice(length).map(String)
  }).pipe(Effect.provide(TestConsole.layer))

const entry = (...args: Parameters<typeof lines>) =>
  Effect.map(lines(...args), (all) => {
    assert.lengthOf(all, 1)
    return JSON.parse(all[0]!) as Record<string, unknown>
  })

const json = (program: Effect.Effect<unknown>) => entry(program)

describe("a JSON line", () => {
  it.effect("has time, level, message, annotations and fields", () =>
    Effect.gen(function* () {
      const line = yield* json(
        Effect.logWarning("slow", "query", { rows: 5n, took: Duration.seconds(3) }).pipe(
          Effect.annotateLogs({ queue: "s3_signer", nested: { a: [1, null] } })
        )
      )

      assert.deepEqual(line, {
        timestamp: "1970-01-01T00:00:00.000Z",
        level: "warn",
        message: "slow query",
        queue: "s3_signer",
        nested: { a: [1, null] },
        rows: "5",
        took: "3s"
      })
    })
  )

  it.effect("keeps its own fields from annotations of the same name", () =>
    Effect.map(json(Effect.logInfo("hello").pipe(Effect.annotateLogs({ message: "other", level: 3 }))), (line) =>
      assert.deepInclude(line, { message: "hello", level: "info", _message: "other", _level: 3 })
    )
  )

  it.effect("says in one line what failed and why", () =>
    Effect.gen(function* () {
      const cause = Object.assign(new Error("duplicate key\nvalue"), { code: "23505" })
      const reason = new ConnectionError({ cause, message: "PgConnection: Query failed", operation: "query" })

      const line = yield* json(Effect.logError("no", Cause.fail(new SqlError({ reason }))))

      assert.strictEqual(line["cause"], "SqlError: PgConnection: Query failed <- Error: duplicate key value (23505)")
    })
  )

  it.effect("says where a defect happened, and nothing of the stack beyond", () =>
    Effect.gen(function* () {
      const line = yield* json(Effect.logError("died", Cause.die(new TypeError("x is not a function"))))

      assert.match(String(line["cause"]), /^TypeError: x is not a function at .*Logging\.test\.ts:\d+:\d+/)
      assert.isAtMost(String(line["cause"]).split(" at ").length, 4)
      assert.notInclude(String(line["cause"]), "\n")
    })
  )

  it.effect("survives what JSON cannot hold", () =>
    Effect.gen(function* () {
      const circle: Record<string, unknown> = { name: "round" }
      circle["self"] = circle
      const deep = new Error("a", { cause: new Error("b") })
      ;(deep.cause as Error).cause = deep

      const line = yield* json(Effect.logInfo("odd", deep, { circle, nothing: undefined, symbol: Symbol("s") }))

      assert.strictEqual(line["message"], "odd Error: a <- Error: b")
      assert.deepEqual(line["circle"], { name: "round" })
      assert.strictEqual(line["symbol"], "Symbol(s)")
    })
  )

  it.effect("carries the ids of a trace that is exported, and of no other", () =>
    Effect.gen(function* () {
      const exported = Tracer.externalSpan({ traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331" })

      const inside = yield* json(Effect.logInfo("a").pipe(Effect.withParentSpan(exported)))
      const outside = yield* json(Effect.logInfo("a").pipe(Effect.withSpan("native")))

      assert.deepInclude(inside, { trace_id: exported.traceId, span_id: exported.spanId })
      assert.notProperty(outside, "trace_id")
    })
  )
})

describe("a pretty line", () => {
  it.effect("is one line, with what a terminal would act on taken out", () =>
    Effect.gen(function* () {
      const all = yield* lines(
        Effect.logError("two\nlines \u001b[2Jcleared", new Error("bad\r\nnews")).pipe(
          Effect.annotateLogs("queue", "q")
        ),
        { format: "pretty" }
      )

      assert.lengthOf(all, 1)
      assert.match(
        stripVTControlCharacters(all[0]!),
        /^\d\d:\d\d:\d\d ERROR two lines \[2Jcleared Error: bad news queue=q$/
      )
    })
  )
})

describe("the level", () => {
  it.effect("hides what is below it", () =>
    Effect.gen(function* () {
      const program = Effect.all([
        Effect.logDebug("d"),
        Effect.logInfo("i"),
        Effect.logWarning("w"),
        Effect.logError("e")
      ])

      assert.lengthOf(yield* lines(program, { level: "Warn" }), 2)
      assert.lengthOf(yield* lines(program, { level: "Trace" }), 4)
    })
  )
})

/** The ways in which a text gets into a log line. */
const everywhere = (text: string) =>
  Effect.logError(
    text,
    { field: text, list: [text], deep: { text } },
    new Error(text, { cause: new Error(text) })
  ).pipe(
    Effect.annotateLogs({ note: text, url: new URL("http://h/") }),
    Effect.andThen(Effect.logError("failed", Cause.fail(new Error(text)))),
    Effect.andThen(Effect.logError("died", Cause.die(text)))
  )

describe("a secret", () => {
  const url =
    "https://s3.example/b/k?X-Amz-Credential=AKIACANARY%2F20260101%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260101T000000Z" +
    "&X-Amz-Security-Token=CANARYtoken%3D%3D&X-Amz-Signature=CANARY0123456789abcdef&X-Amz-SignedHeaders=host"

  it.effect.each([
    url,
    encodeURIComponent(url),
    "postgres://user:CANARY@host/db",
    "postgresql://user:CANARY/with#odd?chars@host/db failed",
    "http://user:CANARY@minio:9000",
    "host=h user=u password=CANARY dbname=d",
    "host=h password = 'CAN\\'CANARY' dbname=d",
    "Authorization: AWS4-HMAC-SHA256 Credential=AKIACANARY/20260101/r/s3/aws4_request, Signature=CANARY"
  ])("that looks like one is hidden: %s", (text) =>
    Effect.gen(function* () {
      for (const format of ["json", "pretty"] as const) {
        const all = yield* lines(everywhere(text), { format })

        assert.notInclude(all.join("\n"), "CANARY")
        assert.include(all.join("\n"), "<redacted>")
      }
    })
  )

  it.effect("leaves the rest of a URL to read", () =>
    Effect.map(json(Effect.logInfo(url)), ({ message }) =>
      assert.match(
        String(message),
        /^https:\/\/s3\.example\/b\/k\?.*X-Amz-Date=20260101T000000Z.*X-Amz-SignedHeaders=host$/
      )
    )
  )

  it.effect.prop(
    "of the settings is hidden however it got there, and the line stays JSON",
    { before: Schema.String, middle: Schema.String, after: Schema.String },
    ({ after, before, middle }) =>
      Effect.gen(function* () {
        const secret = `s3cr${middle}et!`

        for (const format of ["json", "pretty"] as const) {
          const text = `${before}${secret}${after}`
          const encoded = Effect.logInfo(JSON.stringify({ text }), encodeURIComponent(text.toWellFormed()))
          const all = yield* lines(Effect.andThen(everywhere(text), encoded), {
            format,
            secrets: ["other-secret", secret]
          })

          const shown = format === "json" ? all.map((line) => inside(JSON.parse(line))).join("\n") : all.join("\n")
          for (const form of [secret, JSON.stringify(secret).slice(1, -1), encodeURIComponent(secret.toWellFormed())]) {
            assert.notInclude(shown, form)
          }
        }
      }),
    { arbitrary: { runs: 200 } }
  )

  it.effect("that is an ordinary word does not spoil the log", () =>
    Effect.map(
      entry(Effect.logInfo('connected to postgres as "postgres", a pity'), { secrets: ["postgres", "a"] }),
      ({ message }) => assert.strictEqual(message, 'connected to postgres as "postgres", a pity')
    )
  )

  it.effect("that begins with another one is hidden whole", () =>
    Effect.map(entry(Effect.logInfo("x secret-longer y"), { secrets: ["secret", "secret-longer"] }), ({ message }) =>
      assert.strictEqual(message, "x <redacted> y")
    )
  )
})

/** Every string inside a value. */
const inside = (value: unknown): string =>
  typeof value === "object" && value !== null ? Object.entries(value).flat().map(inside).join("\n") : String(value)
