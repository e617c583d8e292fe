/**
 * Works the jobs of one queue: wait, claim, work, hand over to be settled; and, in the end, stop.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberMap from "effect/FiberMap"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { ClientConfig } from "./ClientConfig.ts"
import { Completer } from "./Completer.ts"
import { backoff, Database } from "./Database.ts"
import type { Job } from "./Job.ts"
import * as Outcome from "./Outcome.ts"
import { SoftStop } from "./SoftStop.ts"
import { type Attempt, traced as inSpan } from "./Spans.ts"
import { jobGetAvailable, tables } from "./sql/river_job.ts"
import { describe, severity, type SqlFault } from "./SqlFault.ts"
import type { Result, Worker } from "./Worker.ts"

/** River's wording, for a row that another program left in a shape that no attempt can start from. */
class UndecodableRow extends Schema.TaggedError<UndecodableRow>()("UndecodableRow", {}) {
  override get message() {
    return "job row couldn't be decoded: errors holds an SQL NULL"
  }
}

export class Producer extends Context.Service<
  Producer,
  {
    /** Looks for jobs now. Calls made while a claim runs collapse into one. */
    readonly wake: Effect.Effect<void>
    /** The jobs that this client runs or has yet to settle. */
    readonly held: () => ReadonlyArray<bigint>
  }
>()("river/Producer") {
  static readonly layer = Layer.effect(
    Producer,
    Effect.gen(function* () {
      const config = yield* ClientConfig
      const { clientId, maxWorkers, queue, traced } = config
      const completer = yield* Completer
      const database = yield* Database
      const softStop = yield* SoftStop
      const getAvailable = jobGetAvailable(database.sql, tables(config.schema), { detailed: traced })
      const workers = new Map(config.workers.map((worker) => [worker.kind, worker]))

      // The jobs' own scope is closed last and not awaited: a worker that cannot be interrupted holds up no stop.
      const jobs = yield* Scope.make()
      yield* Effect.addFinalizer(() => Effect.forkDetach(Scope.close(jobs, Exit.void)))
      const running = yield* Scope.provide(FiberMap.make<bigint, void, never>(), jobs)
      let free = maxWorkers
      // Why this client interrupted an attempt: for all that are left at the end of the soft stop, or for one.
      let stopping: "stop" | undefined
      const timedOut = new WeakMap<Job, Duration.Duration>()
      const wake = yield* Latch.make(true)
      const slots = yield* Latch.make(true)

      // 1. Wait for room: for a whole helping of slots, since claims of a few jobs each cost far more a job, yet a free
      //    slot is not kept from waiting jobs for longer than the cooldown. And not while outcomes pile up unsettled.
      const helping = Math.ceil(maxWorkers / 2)
      let wanted = helping
      const awaitFree = (count: number) =>
        Effect.suspend(() => {
          if (free >= count) return Effect.void
          wanted = count
          slots.closeUnsafe()
          return slots.await
        })
      const awaitSlots = Effect.andThen(Effect.timeoutOption(awaitFree(helping), config.fetchCooldown), awaitFree(1))
      const awaitRoom = Effect.andThen(awaitSlots, completer.room(2 * maxWorkers))

      // 2. Claim. The claim and the start of its jobs are one uninterruptible step, so that stopping strands no claimed
      //    job; only the end of the soft stop cuts off a statement that hangs. Answers how many were claimed.
      const claim = Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const ready = yield* restore(Effect.filter(config.workers, (worker) => worker.ready))
          const limit = free
          if (ready.length === 0 || limit === 0) return { claimed: 0, limit }
          const claimed = yield* Effect.raceFirst(
            database.run(getAvailable({ clientId, kinds: ready.map(({ kind }) => kind), limit, queue })),
            Effect.as(softStop.over, [] as ReadonlyArray<Job>)
          )
          for (const job of claimed) yield* start(job)
          return { claimed: claimed.length, limit }
        })
      )

      const start = (job: Job) =>
        Effect.suspend(() => {
          const worker = workers.get(job.kind)
          if (worker === undefined) return Effect.void
          free -= 1
          return Effect.flatMap(
            FiberMap.run(running, job.id, work(job, worker), { startImmediately: true }),
            // Most attempts have ended by now, and need no timer.
            (fiber) => (fiber.pollUnsafe() === undefined ? endAfter(job, worker.timeout, fiber) : Effect.void)
          )
        })

      /** Interrupts the attempt when its time is over. */
      const endAfter = (job: Job, timeout: Duration.Duration, fiber: Fiber.Fiber<void>) =>
        Effect.sleep(timeout).pipe(
          Effect.andThen(
            Effect.sync(() => {
              timedOut.set(job, timeout)
              fiber.interruptUnsafe()
            })
          ),
          Effect.forkIn(jobs),
          Effect.map((timer) => fiber.addObserver(() => timer.interruptUnsafe()))
        )

      // 3. Work, then hand over the outcome, also when the attempt fails, dies or is interrupted. The slot is free when
      //    the work has ended; how much may wait to be settled is another bound. No generators here: it runs for every
      //    job.
      const work = (job: Job, worker: Worker) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.clockWith((clock) => {
            const startedAt = clock.currentTimeMillisUnsafe()
            const end = ({ exit, span }: Attempt) => {
              free += 1
              if (free >= wanted) slots.openUnsafe()
              const timeout = timedOut.get(job)
              const outcome = Outcome.decide(job, exit, timeout === undefined ? stopping : { timeout })
              completer.offer({ job, worker, outcome, startedAt, endedAt: clock.currentTimeMillisUnsafe(), span })
              return outcome._tag === "Retry" || outcome._tag === "Discarded" || outcome._tag === "Cancelled"
                ? logFailure(job, outcome)
                : Effect.void
            }
            const attempted = restore(attempt(job, worker))
            return traced
              ? Effect.flatMap(inSpan(job, queue, attempted), end)
              : Effect.flatMap(Effect.exit(attempted), (exit) => end({ exit, span: undefined }))
          })
        )

      // 4. Wait for something to do: a notification or the poll. A notification that brought no job, as another client
      //    was faster, is followed by a pause, so that chatter costs at most a claim each cooldown. A claim that came
      //    back full is followed by the next at once.
      const pollInterval = Effect.map(Random.nextBetween(0, 1), (random) => {
        const poll = Duration.toMillis(config.fetchPollInterval)
        return Duration.millis(poll + random * Math.max(poll / 10, 10))
      })
      const awaitWork = Effect.flatMap(pollInterval, (interval) => Effect.timeoutOption(wake.await, interval))

      const round = Effect.gen(function* () {
        yield* awaitRoom
        const woken = wake.isOpen()
        wake.closeUnsafe()
        const { claimed, limit } = yield* claim
        if (claimed > 0 && claimed === limit) return
        if (woken && claimed === 0) yield* Effect.sleep(config.fetchCooldown)
        yield* awaitWork
      })

      // A claim that fails is tried again after a growing pause; an outage is logged where it is noticed, once.
      const loop = yield* Effect.forkScoped(
        round.pipe(
          Effect.tapError((fault: SqlFault) =>
            severity(fault) === "data" ? Effect.logError(`could not claim jobs: ${describe(fault)}`) : Effect.void
          ),
          Effect.tapDefect((defect) => Effect.logError("could not claim jobs", Cause.die(defect))),
          Effect.catchDefect((defect) => Effect.fail(defect)),
          Effect.retry(backoff),
          Effect.forever
        )
      )

      // 5. Stop: no new claims at once; a claim in flight may finish and its jobs are worked; running jobs have the
      //    soft-stop time; what is left is interrupted and so given back. What settles it all stops after this.
      yield* Effect.addFinalizer(
        Effect.fnUntraced(function* () {
          yield* softStop.begin
          yield* Fiber.interrupt(loop)
          yield* Effect.raceFirst(FiberMap.awaitEmpty(running), softStop.over)
          const left = yield* FiberMap.size(running)
          if (left === 0) return
          stopping = "stop"
          yield* Effect.logWarning(`the soft stop is over: ${left} running jobs are given back`)
          yield* Effect.timeoutOption(FiberMap.clear(running), "1 second")
        })
      )

      return Producer.of({
        wake: Effect.asVoid(wake.open),
        held: () => [...Array.from(running, ([id]) => id), ...completer.held()]
      })
    })
  )
}

const attempt = (job: Job, worker: Worker): Effect.Effect<Result, unknown> =>
  Effect.suspend(() => (job.error_count === -1 ? new UndecodableRow() : worker.work(job)))

const logFailure = (job: Job, outcome: Extract<Outcome.Outcome, { readonly failure: Outcome.Failure }>) =>
  Effect.logWarning(`attempt failed: ${outcome.failure.message}`).pipe(
    Effect.annotateLogs({
      job: String(job.id),
      kind: job.kind,
      attempt: job.attempt,
      outcome: outcome._tag.toLowerCase()
    })
  )
