import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type { Job } from "../../src/river/Job.ts"
import * as Outcome from "../../src/river/Outcome.ts"
import { longest } from "../../src/river/RetryPolicy.ts"
import { JobCancel, JobDiscard, JobSnooze, type Result } from "../../src/river/Worker.ts"

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))
const oneOf = <A>(values: ReadonlyArray<A>) => Arbitrary.map(int(0, values.length - 1), (i) => values[i]!)

const jobOf = (overrides: Partial<Job>): Job => ({
  id: 1n,
  kind: "kind",
  attempt: 1,
  max_attempts: 25,
  attempted_at: "2026-08-07 09:30:00.123456+00",
  created_at: new Date(0),
  args: {},
  error_count: null,
  metadata: null,
  ...overrides
})

/** Jobs as a claim returns them: of ordinary rows, and of rows that somebody changed by hand. */
const anyJob = Arbitrary.map(
  Arbitrary.all([
    oneOf([1, 1, 2, 3, 24, 25, 26, 32_767]),
    oneOf([1, 2, 3, 25, 26, 32_767]),
    oneOf([null, -1, 0, 1, 24, 309, 310, 100_000]),
    oneOf<unknown>([undefined, null, 0, 4, 2.9, -2.5, "4", "+7", "four", "", true, false, [3], { n: 3 }])
  ]),
  ([attempt, max_attempts, error_count, snoozes]) =>
    jobOf({ attempt, max_attempts, error_count, metadata: snoozes === undefined ? null : { snoozes } })
)

const snooze = (millis: number) => Cause.fail(new JobSnooze({ duration: Duration.millis(millis) }))
const both = (a: Cause.Cause<unknown>, b: Cause.Cause<unknown>) => Cause.fromReasons([...a.reasons, ...b.reasons])

const causes: ReadonlyArray<Cause.Cause<unknown>> = [
  Cause.empty,
  Cause.fail(new Error("no answer")),
  Cause.fail(undefined),
  Cause.fail("text"),
  Cause.fail(Object.create(null)),
  Cause.die(new TypeError("not a function")),
  Cause.die("text"),
  Cause.die(undefined),
  Cause.interrupt(),
  Cause.fail(new JobCancel({ message: "not wanted" })),
  Cause.fail(new JobDiscard({ message: "can never work" })),
  Cause.die(new JobCancel({ message: "thrown" })),
  snooze(0),
  snooze(5000),
  snooze(5001),
  snooze(86_400_000),
  snooze(-1),
  both(Cause.interrupt(), Cause.fail(new Error("while it was interrupted"))),
  both(Cause.interrupt(), Cause.die(new Error("broke while it was interrupted"))),
  both(Cause.interrupt(), Cause.interrupt())
]

const anyExit: Arbitrary.Arbitrary<Exit.Exit<Result, unknown>> = Arbitrary.map(oneOf([undefined, ...causes]), (cause) =>
  cause === undefined ? Exit.succeed({ url: "u" }) : Exit.failCause(cause)
)
const anyReason = oneOf<Outcome.InterruptReason | undefined>([undefined, "stop"])
const anyDelay = oneOf([
  Duration.zero,
  Duration.seconds(1),
  Duration.seconds(5),
  Duration.millis(5001),
  Duration.hours(9),
  longest
])

const runs = { arbitrary: { runs: 1000 } }

describe("Outcome.decide", () => {
  it.prop(
    "completes what succeeded, whatever the row says and also when it was interrupted too late",
    [anyJob, anyReason],
    ([job, reason]) => {
      const result = { url: "u" }
      assert.deepEqual(Outcome.decide(job, Exit.succeed(result), reason), { _tag: "Completed", result })
    }
  )

  it.prop(
    "[70] tries a failure again unless it was the last attempt: then it is discarded",
    [anyJob, anyExit, anyReason],
    ([job, exit, reason]) => {
      const outcome = Outcome.decide(job, exit, reason)

      if (outcome._tag === "Retry") assert.isBelow(job.attempt, job.max_attempts)
      const wanted = Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof JobDiscard
      if (outcome._tag === "Discarded" && !wanted) assert.isAtLeast(job.attempt, job.max_attempts)
    },
    runs
  )

  it.prop(
    "has for every failure a message of one line that is not too short",
    [anyJob, anyExit, anyReason],
    ([job, exit, reason]) => {
      const outcome = Outcome.decide(job, exit, reason)

      if ("failure" in outcome) assert.match(outcome.failure.message, /^[^\n]{5,500}$/u)
    },
    runs
  )

  it.prop(
    "[92] gives a job back only when this client stopped it and it did not end otherwise",
    [anyJob, anyExit, anyReason],
    ([job, exit, reason]) => {
      const outcome = Outcome.decide(job, exit, reason)

      const onlyInterrupted = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
      assert.strictEqual(outcome._tag === "Interrupted", onlyInterrupted && reason === "stop")
    },
    runs
  )

  it("[92] counts an attempt that answered its interruption with a failure of its own", () => {
    const cause = both(Cause.interrupt(), Cause.fail(new Error("could not clean up")))

    const outcome = Outcome.decide(jobOf({}), Exit.failCause(cause), "stop")

    assert.deepEqual(outcome, { _tag: "Retry", failure: { message: "could not clean up", trace: "" } })
  })

  it("counts an interruption that nobody asked for as a failure of the worker", () => {
    assert.deepInclude(Outcome.decide(jobOf({}), Exit.interrupt(), undefined), { _tag: "Retry" })
    assert.deepInclude(Outcome.decide(jobOf({ attempt: 25 }), Exit.interrupt(), undefined), { _tag: "Discarded" })
  })

  it("[87] cancels and discards when the worker says so, whatever attempts remain", () => {
    const cancel = Exit.fail(new JobCancel({ message: "not wanted" }))
    const discard = Exit.fail(new JobDiscard({ message: "can never work" }))

    assert.strictEqual(Outcome.decide(jobOf({}), cancel, undefined)._tag, "Cancelled")
    assert.strictEqual(Outcome.decide(jobOf({ attempt: 25 }), cancel, "stop")._tag, "Cancelled")
    assert.strictEqual(Outcome.decide(jobOf({}), discard, undefined)._tag, "Discarded")
  })

  it("[139] takes a snooze of negative length for an ordinary failure", () => {
    const outcome = Outcome.decide(jobOf({}), Exit.failCause(snooze(-1)), undefined)

    assert.deepInclude(outcome, { _tag: "Retry" })
    assert.deepInclude(Outcome.decide(jobOf({ attempt: 25 }), Exit.failCause(snooze(-1)), undefined), {
      _tag: "Discarded"
    })
  })

  it("[64] [74] keeps the stack of a defect, and none of a failure", () => {
    const failed = Outcome.decide(jobOf({}), Exit.fail(new Error("no answer")), undefined)
    const died = Outcome.decide(jobOf({}), Exit.die(new TypeError("not a function")), undefined)

    assert.deepInclude(failed, { failure: { message: "no answer", trace: "" } })
    assert.strictEqual(died._tag, "Retry")
    if (died._tag === "Retry") assert.match(died.failure.trace, /TypeError: not a function\n\s+at .*Outcome\.test\.ts/)
    for (const defect of ["text", undefined, Object.create(null)]) {
      const odd = Outcome.decide(jobOf({}), Exit.die(defect), undefined)
      assert.isTrue(odd._tag === "Retry" && odd.failure.trace !== "")
    }
  })
})

describe("Outcome.change", () => {
  const anyChange = Arbitrary.map(
    Arbitrary.all([anyJob, anyExit, anyReason, anyDelay]),
    ([job, exit, reason, delay]) => {
      const outcome = Outcome.decide(job, exit, reason)
      return {
        job,
        outcome,
        delay,
        change: outcome._tag === "Completed" ? undefined : Outcome.change(job, outcome, delay)
      }
    }
  )

  it.prop(
    "leads from running only to where River's diagram has an arrow, and writes there what River writes",
    [anyChange],
    ([{ change, delay, job, outcome }]) => {
      if (change === undefined) return
      const fields = Object.keys(change).toSorted()
      switch (change.state) {
        case "cancelled":
        case "discarded":
          assert.deepEqual(fields, ["error", "message", "state"])
          assert.strictEqual(outcome._tag.toLowerCase(), change.state)
          break
        case "retryable":
          assert.deepEqual(fields, ["delay", "error", "state"])
          assert.strictEqual(change.delay, delay)
          break
        case "scheduled":
          assert.deepEqual(fields, ["attempt", "delay", "metadata", "state"])
          assert.strictEqual(outcome._tag, "Snoozed")
          break
        case "available":
          assert.include(["Retry", "Snoozed", "Interrupted"], outcome._tag)
          assert.strictEqual("error" in change, outcome._tag === "Retry")
          assert.strictEqual("attempt" in change, outcome._tag !== "Retry")
          break
        default:
          assert.fail(`no arrow leads from running to ${change.state}`)
      }
      if (change.attempt !== undefined) assert.strictEqual(change.attempt, job.attempt - 1)
    },
    runs
  )

  it.prop(
    "[66] [67] makes a job that is due within 5 seconds available, and one that is due later wait for the scheduler",
    [anyChange],
    ([{ change }]) => {
      if (change?.delay === undefined) return
      const soon = Duration.toMillis(change.delay) <= 5000
      assert.strictEqual(change.state === "available", soon)
    },
    runs
  )

  it.prop(
    "never leaves more attempts counted than the row allows, unless it came so",
    [anyChange],
    ([{ change, job }]) => {
      const attempt = change?.attempt ?? job.attempt
      assert.isAtLeast(attempt, 0)
      assert.isAtMost(attempt, Math.max(job.attempt, job.max_attempts))
    },
    runs
  )

  it.prop("[89] counts snoozes on from any value that it finds", [anyChange], ([{ change, outcome }]) => {
    if (outcome._tag !== "Snoozed") return
    assert.isTrue(Number.isSafeInteger(change?.metadata?.["snoozes"]))
  })

  it("[89] reads earlier snoozes as leniently as River", () => {
    const cases: ReadonlyArray<readonly [unknown, number]> = [
      [undefined, 1],
      [null, 1],
      [3, 4],
      [2.9, 3],
      [-2.5, -1],
      ["4", 5],
      ["four", 1],
      [true, 2],
      [false, 1],
      [[3], 1],
      [{}, 1]
    ]

    for (const [value, expected] of cases) {
      const job = jobOf({ metadata: { snoozes: value } })
      const change = Outcome.change(job, { _tag: "Snoozed", duration: Duration.seconds(9) }, Duration.zero)
      assert.deepEqual(change.metadata, { snoozes: expected }, JSON.stringify(value))
    }
  })

  it("[87] names a cancellation as River does", () => {
    const failure = { message: "not wanted", trace: "" }

    assert.deepEqual(Outcome.change(jobOf({}), { _tag: "Cancelled", failure }, Duration.zero), {
      state: "cancelled",
      error: { error: "JobCancelError: not wanted", trace: "" },
      message: "not wanted"
    })
  })
})

describe("Outcome.failures", () => {
  it("[68] counts stored errors, not attempts, and this attempt's own", () => {
    assert.strictEqual(Outcome.failures(jobOf({ attempt: 10, error_count: null })), 1)
    assert.strictEqual(Outcome.failures(jobOf({ attempt: 1, error_count: 9 })), 10)
    assert.strictEqual(Outcome.failures(jobOf({ error_count: -1 })), 1)
  })
})
