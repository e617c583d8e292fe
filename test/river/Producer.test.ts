import { assert, layer } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Random from "effect/Random"
import * as SqlClient from "effect/sql/SqlClient"
import { JobCancel, JobSnooze } from "../../src/river/index.ts"
import type { Job } from "../../src/river/Job.ts"
import {
  countStates,
  done,
  ended,
  getItem,
  getJob,
  getJobs,
  insertItem,
  insertJob,
  insertJobs,
  itemWorker,
  jobIn,
  riverDatabase,
  startClient,
  until,
  worker
} from "./support.ts"

const minute = Duration.minutes(1)

/** The host's clock, wrong by so much. */
const skewed = (by: Duration.Duration): Clock.Clock => {
  const live = Clock.Clock.defaultValue()
  const millis = () => live.currentTimeMillisUnsafe() + Duration.toMillis(by)
  const nanos = () => live.currentTimeNanosUnsafe() + Duration.toNanosUnsafe(by)
  return Object.assign(Object.create(live), {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos)
  }) as Clock.Clock
}

layer(riverDatabase, { excludeTestServices: true })("Producer, claiming,", (it) => {
  it.effect("[23] works jobs by priority, then by when they are due, then by id", () =>
    Effect.gen(function* () {
      const worked: Array<bigint> = []
      const kind = worker((job) =>
        Effect.as(
          Effect.sync(() => worked.push(job.id)),
          {}
        )
      )
      const ids: Array<bigint> = []
      for (let i = 0; i < 30; i++) {
        const scheduled_at = `now()::date - ${(i * 7) % 5} * interval '1 min'`
        ids.push(yield* insertJob(kind, { priority: 1 + ((i * 3) % 4), scheduled_at }))
      }
      const expected = (yield* getJobs(ids))
        .toSorted(
          (a, b) =>
            a.priority - b.priority || Date.parse(a.scheduled_at) - Date.parse(b.scheduled_at) || Number(a.id - b.id)
        )
        .map(({ id }) => id)

      yield* startClient([kind], { maxWorkers: 1 })
      yield* ended(kind)

      assert.deepEqual(worked, expected)
    })
  )

  for (const hours of [-1, 1]) {
    it.effect(`[22] [24] judges and writes times by the database's clock when the host's is ${hours} h off`, () =>
      Effect.gen(function* () {
        const kind = worker(() => done)
        const failing = worker(() => Effect.fail(new Error("no")))
        const later = yield* insertJob(kind, { scheduled_at: "now() + interval '30 min'" })
        const due = yield* insertJob(kind)
        const failed = yield* insertJob(failing)
        const now = Date.now()

        const client = startClient([kind, failing], { fetchPollInterval: minute })
        yield* Effect.provideService(client, Clock.Clock, skewed(Duration.hours(hours)))

        const ran = yield* jobIn("completed", due)
        const retried = yield* until(getJob(failed), ({ errors }) => errors !== null)
        for (const at of [ran.attempted_at, ran.finalized_at, retried.scheduled_at]) {
          assert.closeTo(Date.parse(at!), now, 10_000)
        }
        assert.deepInclude(yield* getJob(later), { state: "available", attempt: 0 })
      })
    )
  }

  it.effect("[28] never runs more jobs at once than it has slots", () =>
    Effect.gen(function* () {
      let running = 0
      let most = 0
      const kind = worker(() =>
        Effect.gen(function* () {
          most = Math.max(most, ++running)
          yield* Effect.sleep(Duration.millis(yield* Random.nextIntBetween(0, 10)))
          running--
          return {}
        })
      )
      yield* insertJobs(kind, 200)

      yield* startClient([kind], { maxWorkers: 7 })
      yield* ended(kind)

      assert.strictEqual(most, 7)
    })
  )

  it.effect("[29] drains a backlog without waiting for a poll, in claims of whole helpings of slots", () =>
    Effect.gen(function* () {
      const kind = worker(() =>
        Effect.flatMap(Random.nextIntBetween(5, 15), (millis) => Effect.delay(done, Duration.millis(millis)))
      )
      yield* insertJobs(kind, 1000)
      const begun = Date.now()

      const client = yield* startClient([kind], {
        maxWorkers: 50,
        fetchPollInterval: minute,
        fetchCooldown: Duration.millis(100)
      })
      assert.deepEqual(yield* ended(kind), { completed: 1000 })

      assert.isBelow(Date.now() - begun, 3000)
      const claims = client.events.filter((event) => event === "claim").length
      assert.isAtLeast(claims, 1000 / 50)
      assert.isAtMost(claims, (1000 / 25) * 1.1)
    })
  )

  it.effect("keeps a free slot from waiting jobs no longer than the cooldown, though it is only one", () =>
    Effect.gen(function* () {
      const gate = yield* Latch.make()
      const slow = worker(() => gate.whenOpen(done))
      const quick = worker(() => done)
      yield* insertJobs(slow, 9)
      yield* startClient([slow, quick], { maxWorkers: 10, fetchCooldown: Duration.millis(50) })
      yield* until(countStates(slow), ({ running }) => running === 9)

      yield* insertJobs(quick, 5)

      yield* ended(quick, "2 seconds")
      yield* gate.open
    })
  )

  it.effect("[30] finds a job that nobody told of within the poll interval", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const client = yield* startClient([kind], { fetchPollInterval: Duration.millis(500) })
      yield* until(
        Effect.sync(() => client.events.length),
        (count) => count > 0
      )

      yield* jobIn("completed", yield* insertJob(kind), "750 millis")
    })
  )

  it.effect("[31] polls at its interval and up to a tenth later, not in step with others", () =>
    Effect.gen(function* () {
      const polls: Array<number> = []
      yield* startClient([worker(() => done)], {
        fetchPollInterval: Duration.millis(60),
        around: (name, statement) => {
          if (name === "claim") polls.push(performance.now())
          return statement
        }
      })
      yield* until(
        Effect.sync(() => polls.length),
        (count) => count >= 21
      )

      const gaps = polls.slice(1).map((at, i) => at - polls[i]!)
      assert.isAtLeast(Math.min(...gaps), 59)
      assert.isAtMost(gaps.toSorted((a, b) => a - b)[10]!, 60 + 10 + 10)
      assert.isAbove(Math.max(...gaps) - Math.min(...gaps), 3)
    })
  )

  it.effect("[25] leaves alone what is of another kind, queue or state, whatever it does with its own", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const foreign = [
        yield* insertJob("of_nobody"),
        yield* insertJob(kind, { queue: "other" }),
        yield* insertJob(kind, { queue: "other", state: "scheduled" }),
        yield* insertJob("of_nobody", { state: "retryable" }),
        yield* insertJob(kind, { state: "pending" })
      ]
      const before = yield* getJobs(foreign)

      yield* startClient([kind])
      const own = yield* insertJobs(kind, 20)
      yield* until(getJobs(own), (jobs) => jobs.every(({ state }) => state === "completed"))

      assert.deepEqual(yield* getJobs(foreign), before)
    })
  )

  it.effect("claims nothing while its worker is not ready, and then does", () =>
    Effect.gen(function* () {
      let ready = false
      const kind = worker(() => done, { ready: Effect.sync(() => ready) })
      const other = worker(() => done)
      const id = yield* insertJob(kind)

      yield* startClient([kind, other])
      yield* jobIn("completed", yield* insertJob(other))
      assert.deepInclude(yield* getJob(id), { state: "available", attempt: 0 })
      ready = true

      assert.deepInclude(yield* jobIn("completed", id, "1 second"), { attempt: 1 })
    })
  )

  it.effect("goes on when asking whether a worker is ready fails, and says so", () =>
    Effect.gen(function* () {
      let asked = 0
      const kind = worker(() => done, {
        ready: Effect.suspend(() => (++asked <= 2 ? Effect.die(new Error("no answer")) : Effect.succeed(true)))
      })

      const client = yield* startClient([kind])
      yield* jobIn("completed", yield* insertJob(kind))

      assert.isAtLeast(client.logged(/could not claim jobs.*no answer/s).length, 1)
    })
  )

  it.effect("goes on when the database refuses a claim, and says so", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done)
      yield* sql`CREATE FUNCTION app.refuse_claim() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no claims today'; END $$`
      yield* sql.unsafe(`CREATE TRIGGER refuse_claim BEFORE UPDATE ON metadata.river_job FOR EACH ROW
        WHEN (NEW.kind = '${kind.kind}' AND NEW.state = 'running') EXECUTE FUNCTION app.refuse_claim()`)
      const id = yield* insertJob(kind)

      const client = yield* startClient([kind])
      yield* until(
        Effect.sync(() => client.logged(/could not claim jobs: no claims today/).length),
        (count) => count > 1
      )
      yield* sql`DROP TRIGGER refuse_claim ON metadata.river_job`

      assert.deepInclude(yield* jobIn("completed", id), { attempt: 1, errors: null })
    })
  )

  it.effect("[7] works, fails and snoozes jobs with ids beyond 2⁵³, and logs their exact ids", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const outcomes = [done, Effect.fail(new Error("no")), new JobSnooze({ duration: minute })]
      const seen: Array<bigint> = []
      const kind = worker((job) => {
        seen.push(job.id)
        return outcomes[Number((job.args as { readonly n: number }).n)]!
      })
      yield* sql`ALTER SEQUENCE metadata.river_job_id_seq RESTART WITH 9007199254740993`
      const ids = yield* Effect.forEach(outcomes, (_, n) => insertJob(kind, { args: { n }, max_attempts: 1 }))
      yield* sql`ALTER SEQUENCE metadata.river_job_id_seq RESTART WITH 1000000`

      const client = yield* startClient([kind])
      const jobs = yield* until(getJobs(ids), (rows) => rows.every(({ state }) => !/running|available/.test(state)))

      assert.deepEqual(
        jobs.map(({ state }) => state),
        ["completed", "discarded", "scheduled"]
      )
      assert.sameMembers(seen, ids)
      assert.deepInclude(client.logs.find(({ message }) => message === "attempt failed: failed: no")?.annotations, {
        job: "9007199254740994"
      })
    })
  )
})

layer(riverDatabase, { excludeTestServices: true })("Producer, working,", (it) => {
  it.effect("[34] hands the worker its job with args of any JSON", () =>
    Effect.gen(function* () {
      const seen = new Map<bigint, Job>()
      const kind = worker((job) =>
        Effect.as(
          Effect.sync(() => seen.set(job.id, job)),
          {}
        )
      )
      const values = [null, 0, "text", [1], { a: "\u2028<&" }]
      const ids = yield* Effect.forEach(values, (args) => insertJob(kind, { args }))

      yield* startClient([kind])
      yield* ended(kind)

      assert.deepEqual(
        ids.map((id) => seen.get(id)?.args),
        values
      )
      assert.deepInclude(seen.get(ids[0]!), { kind: kind.kind, attempt: 1, max_attempts: 25 })
    })
  )

  it.effect("[35] fails the attempt of a row whose errors cannot be decoded, and works the ones beside it", () =>
    Effect.gen(function* () {
      const kind = worker(() => done)
      const odd = yield* insertJob(kind, { errors: `array['{"error": "e"}'::jsonb, null]` })
      const ids = yield* insertJobs(kind, 5)

      yield* startClient([kind], { maxWorkers: 10 })

      yield* until(getJobs(ids), (jobs) => jobs.every(({ state }) => state === "completed"))
      const job = yield* until(getJob(odd), ({ errors }) => errors?.length === 3)
      assert.deepEqual(job.errors?.slice(0, 2) as unknown, [{ error: "e" }, null])
      assert.match(job.errors![2]!.error, /^job row couldn't be decoded: /)
      assert.deepInclude(job, { attempt: 1 })
    })
  )

  for (const traced of [false, true]) {
    it.effect(`works rows that look as no River client leaves them, ${traced ? "" : "not "}traced`, () =>
      Effect.gen(function* () {
        const kind = worker(() => done)
        const ids = [
          yield* insertJob(kind, { created_at: "'infinity'" }),
          yield* insertJob(kind, { created_at: "'294000-01-01'" }),
          yield* insertJob(kind, { scheduled_at: "'-infinity'" }),
          yield* insertJob(kind, { metadata: [1] }),
          yield* insertJob(kind, { metadata: { traceparent: 7, snoozes: {} } }),
          yield* insertJob(kind, { attempt: 32_767 }),
          yield* insertJob(kind, { attempted_by: "null" })
        ]

        yield* startClient([kind], { traced, maxWorkers: 2 })

        yield* until(getJobs(ids), (jobs) => jobs.every(({ state }) => state === "completed"), "3 seconds")
      })
    )
  }

  it.effect("[64] [66] records a failure and makes the job due again in about a second", () =>
    Effect.gen(function* () {
      const kind = worker(() => Effect.fail(new Error("the store\n  said no")))
      const id = yield* insertJob(kind)

      const client = yield* startClient([kind])
      const job = yield* until(getJob(id), ({ errors }) => errors !== null)

      assert.deepInclude(job, { state: "available", attempt: 1, finalized_at: null })
      assert.hasAllKeys(job.errors![0]!, ["at", "attempt", "error", "trace"])
      assert.deepInclude(job.errors![0], { attempt: 1, error: "the store said no", trace: "" })
      assert.closeTo(Date.parse(job.errors![0]!.at), Date.parse(job.attempted_at!), 50)
      assert.closeTo(Date.parse(job.scheduled_at) - Date.parse(job.attempted_at!), 1000, 200)
      assert.deepInclude(client.logs[0], {
        message: "attempt failed: the store said no",
        annotations: { job: String(id), kind: kind.kind, attempt: 1, outcome: "retry" }
      })
    })
  )

  it.effect("[74] records a fault with where it happened, and goes on", () =>
    Effect.gen(function* () {
      const nothing = undefined as unknown as { readonly size: number }
      const throwing = worker(() => Effect.succeed({ size: String(nothing.size) }))
      const dying = worker(() => Effect.die(new RangeError("out of range")))
      const fine = worker(() => done)
      const [thrown, died] = [yield* insertJob(throwing), yield* insertJob(dying)]

      yield* startClient([throwing, dying, fine], { maxWorkers: 2 })
      const [first, second] = yield* until(getJobs([thrown, died]), (jobs) =>
        jobs.every(({ errors }) => errors !== null)
      )
      yield* jobIn("completed", yield* insertJob(fine))

      assert.match(first!.errors![0]!.trace, /^TypeError: .*\n\s+at .*Producer\.test\.ts/)
      assert.match(second!.errors![0]!.trace, /^RangeError: out of range\n\s+at /)
    })
  )

  it.effect("takes a worker that interrupts itself for one that failed", () =>
    Effect.gen(function* () {
      const kind = worker(() => Effect.interrupt)
      const id = yield* insertJob(kind, { max_attempts: 1 })

      yield* startClient([kind])

      const job = yield* jobIn("discarded", id)
      assert.match(job.errors![0]!.error, /interrupted by the worker itself/)
    })
  )

  it.effect("fails also what is thrown and does not want to be read", () =>
    Effect.gen(function* () {
      const kind = worker(() => Effect.fail(Object.create(null)))
      const id = yield* insertJob(kind, { max_attempts: 1 })

      yield* startClient([kind])

      assert.lengthOf((yield* jobIn("discarded", id)).errors ?? [], 1)
    })
  )

  it.effect("[75] [76] interrupts an attempt that outlasts its worker's timeout: it has failed", () =>
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const kind = worker(() => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined)), {
        timeout: Duration.millis(100)
      })
      const id = yield* insertJob(kind)

      yield* startClient([kind])
      yield* Deferred.await(interrupted)

      const job = yield* until(getJob(id), ({ errors }) => errors !== null)
      assert.deepInclude(job, { state: "available", attempt: 1 })
      assert.deepInclude(job.errors?.[0], { error: "the attempt did not end within 0.1 seconds", trace: "" })
    })
  )

  it.effect("[87] [88] cancels and puts off as the worker says", () =>
    Effect.gen(function* () {
      const cancelling = worker(() => new JobCancel({ message: "no longer wanted" }))
      const snoozing = worker(() => new JobSnooze({ duration: Duration.seconds(10) }))
      const [cancelled, snoozed] = [yield* insertJob(cancelling), yield* insertJob(snoozing)]

      yield* startClient([cancelling, snoozing])

      const first = yield* jobIn("cancelled", cancelled)
      assert.deepInclude(first.errors?.[0], { error: "JobCancelError: no longer wanted", attempt: 1 })
      const second = yield* jobIn("scheduled", snoozed)
      assert.deepInclude(second, { attempt: 0, errors: null, metadata: { snoozes: 1 } })
      assert.closeTo(Date.parse(second.scheduled_at) - Date.parse(second.attempted_at!), 10_000, 500)
    })
  )

  it.effect("[89] puts a job off a hundred times without using up its only attempt", () =>
    Effect.gen(function* () {
      let count = 0
      const kind = worker(() => (count++ < 100 ? new JobSnooze({ duration: Duration.zero }) : done))
      const id = yield* insertJob(kind, { max_attempts: 1, metadata: { snoozes: 3 } })

      const client = yield* startClient([kind], {
        fetchPollInterval: Duration.millis(1),
        fetchCooldown: Duration.millis(1)
      })

      const job = yield* jobIn("completed", id)
      assert.deepInclude(job, { attempt: 1, errors: null, metadata: { snoozes: 103 } })
      assert.lengthOf(job.attempted_by ?? [], 100)
      assert.isTrue(job.attempted_by?.every((by) => by === client.clientId))
    })
  )

  it.effect("[139] takes a snooze of negative length for a failure", () =>
    Effect.gen(function* () {
      const kind = worker(() => new JobSnooze({ duration: Duration.seconds(-1) }))
      const id = yield* insertJob(kind, { max_attempts: 1 })

      yield* startClient([kind])

      const job = yield* jobIn("discarded", id)
      assert.match(job.errors![0]!.error, /snooze of negative length/)
    })
  )

  it.effect("[62] settles only the current of two claims of a job, also when it made both itself", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const claims: Array<Deferred.Deferred<string>> = []
      const kind = itemWorker(() =>
        Effect.gen(function* () {
          const claim = yield* Deferred.make<string>()
          claims.push(claim)
          return { answer: yield* Effect.uninterruptible(Deferred.await(claim)), number: "1" }
        })
      )
      const { item, job: id } = yield* insertItem(kind)
      const client = yield* startClient([kind], { maxWorkers: 2 })
      const claimed = (count: number) =>
        until(
          Effect.sync(() => claims.length),
          (length) => length === count
        )
      yield* claimed(1)

      yield* sql`UPDATE metadata.river_job SET state = 'available', attempt = 0 WHERE id = ${id}`
      yield* claimed(2)
      yield* Deferred.succeed(claims[0]!, "the first claim's")
      yield* until(
        Effect.sync(() => client.logged(/a late result was dropped/).length),
        (count) => count === 1
      )
      assert.deepInclude(yield* getJob(id), { state: "running", attempt: 1 })
      yield* Deferred.succeed(claims[1]!, "the second claim's")

      yield* jobIn("completed", id)
      assert.deepInclude(yield* getItem(item), { answer: "the second claim's", writes: 1 })
    })
  )
})
