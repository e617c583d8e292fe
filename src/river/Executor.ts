/**
 * Works claimed jobs: a fiber each, ended by its own end, by its timeout, by a cancel from outside, or by a stop.
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FiberMap from "effect/FiberMap"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as CancelPoll from "./CancelPoll.ts"
import { ClientConfig } from "./ClientConfig.ts"
import { Completer } from "./Completer.ts"
import type { Job } from "./Job.ts"
import { Listening } from "./Listening.ts"
import * as Outcome from "./Outcome.ts"
import { SoftStop } from "./SoftStop.ts"
import { type Attempt, traced as inSpan } from "./Spans.ts"
import type { Result, Worker } from "./Worker.ts"

/** The count of a row's errors when one of them is an SQL NULL. As in River, such an attempt is no span. */
const undecodable = -1

/** River's wording, for a row that another program left in a shape that no attempt can start from. */
class UndecodableRow extends Schema.TaggedError<UndecodableRow>()("UndecodableRow", {}) {
  override get message() {
    return "job row couldn't be decoded: errors holds an SQL NULL"
  }
}

export class Executor extends Context.Service<
  Executor,
  {
    /** Slots without a running job. */
    readonly free: () => number
    /** Waits until so many slots are free; one waits at a time. */
    readonly awaitFree: (count: number) => Effect.Effect<void>
    /** Runs a claim, starts its jobs and returns them. A cancel that is told in the meantime counts for them, too. */
    readonly startClaimed: <J extends Job, E>(
      claim: Effect.Effect<ReadonlyArray<J>, E>
    ) => Effect.Effect<ReadonlyArray<J>, E>
    /** Somebody cancelled the job: its attempt here, if there is one, is asked to end. */
    readonly cancel: (id: bigint) => Effect.Effect<void>
    /** The jobs that this client runs or has yet to settle. */
    readonly held: () => ReadonlyArray<bigint>
  }
>()("river/Executor") {
  static readonly layer = Layer.effect(
    Executor,
    Effect.gen(function* () {
      const config = yield* ClientConfig
      const { maxWorkers, queue, traced } = config
      const completer = yield* Completer
      const listening = yield* Listening
      const softStop = yield* SoftStop
      const workers = new Map(config.workers.map((worker) => [worker.kind, worker]))
      const preparing = config.workers.flatMap(({ kind, prepare }) => (prepare === undefined ? [] : { kind, prepare }))

      // The jobs' own scope is closed last and not awaited: a worker that cannot be interrupted holds up no stop.
      const jobs = yield* Scope.make()
      yield* Effect.addFinalizer(() => Effect.forkDetach(Scope.close(jobs, Exit.void)))
      const running = yield* Scope.provide(FiberMap.make<bigint, void, never>(), jobs)
      // The current attempt of each: after a rescue elsewhere a job may be claimed anew while its old attempt still ends.
      const attempts = new Map<bigint, Job>()
      let free = maxWorkers
      let wanted = maxWorkers
      const slots = yield* Latch.make(true)

      // Why this client interrupted an attempt; the first reason counts.
      const reasons = new WeakMap<Job, Outcome.InterruptReason>()
      const because = (job: Job, reason: Outcome.InterruptReason) => {
        if (!reasons.has(job)) reasons.set(job, reason)
      }
      const interrupt = (job: Job, fiber: Fiber.Fiber<void>, reason: Outcome.InterruptReason) => {
        because(job, reason)
        fiber.interruptUnsafe()
      }

      // 1. Work, then hand over the outcome, also when the attempt fails, dies or is interrupted. The slot is free when
      //    the work has ended; how much may wait to be settled the completer bounds. No generators here: it runs for every
      //    job.
      const workOne = (job: Job, worker: Worker) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.clockWith((clock) => {
            const startedAt = clock.currentTimeMillisUnsafe()
            const end = ({ exit, span }: Attempt) => {
              free += 1
              if (attempts.get(job.id) === job) attempts.delete(job.id)
              if (free >= wanted) slots.openUnsafe()
              const outcome = Outcome.decide(job, exit, reasons.get(job))
              completer.offer({ job, worker, outcome, startedAt, endedAt: clock.currentTimeMillisUnsafe(), span })
              return logEnd(job, outcome)
            }
            const attempted = restore(reasons.has(job) ? Effect.interrupt : attempt(job, worker))
            return traced && job.error_count !== undecodable
              ? Effect.flatMap(inSpan(job, queue, attempted), end)
              : Effect.flatMap(Effect.exit(attempted), (exit) => end({ exit, span: undefined }))
          })
        )

      const start = (job: Job) => {
        const worker = workers.get(job.kind)
        if (worker === undefined) return Effect.void
        free -= 1
        attempts.set(job.id, job)
        return Effect.flatMap(
          FiberMap.run(running, job.id, workOne(job, worker), { startImmediately: true }),
          // Most attempts have ended by now, and need no timer.
          (fiber) => (fiber.pollUnsafe() === undefined ? endAfter(job, worker.timeout, fiber) : Effect.void)
        )
      }

      /** Interrupts the attempt when its time is over. */
      const endAfter = (job: Job, timeout: Duration.Duration, fiber: Fiber.Fiber<void>) =>
        Effect.sleep(timeout).pipe(
          Effect.andThen(Effect.sync(() => interrupt(job, fiber, { timeout }))),
          Effect.forkIn(jobs),
          Effect.map((timer) => fiber.addObserver(() => timer.interruptUnsafe()))
        )

      // 2. Cancel: by notification, also while the claim is on its way; and, since a notification may be lost, by looking,
      //    also while the queue is paused and while a stop lets jobs finish.
      let cancelledMeanwhile: Set<bigint> | undefined
      const cancel = (id: bigint) =>
        Effect.suspend(() => {
          const job = attempts.get(id)
          if (job === undefined) {
            cancelledMeanwhile?.add(id)
            return Effect.void
          }
          return abort(job)
        })
      const abort = (job: Job) =>
        Effect.sync(() => {
          const fiber = FiberMap.getUnsafe(running, job.id)
          if (Option.isSome(fiber) && attempts.get(job.id) === job) interrupt(job, fiber.value, "cancel")
        })
      const lookForCancels = yield* CancelPoll.make({ running: attempts, abort })
      yield* Effect.forkIn(listening.lookAgain(lookForCancels), jobs)

      const startClaimed = <J extends Job, E>(claim: Effect.Effect<ReadonlyArray<J>, E>) =>
        Effect.suspend(() => {
          const cancelled = (cancelledMeanwhile = new Set<bigint>())
          const startUnlessCancelled = (job: Job) => {
            if (cancelled.has(job.id)) because(job, "cancel")
            return start(job)
          }
          const startAll = (some: ReadonlyArray<Job>) => Effect.forEach(some, startUnlessCancelled, { discard: true })
          return Effect.tap(claim, (claimed) => {
            if (preparing.length === 0) return startAll(claimed)
            const atOnce = claimed.filter(({ kind }) => workers.get(kind)?.prepare === undefined)
            const prepared = Effect.forEach(preparing, ({ kind, prepare }) => {
              const ofKind = claimed.filter((job) => job.kind === kind)
              if (ofKind.length === 0) return Effect.void
              return Effect.andThen(Effect.exit(Effect.raceFirst(prepare(ofKind), softStop.over)), startAll(ofKind))
            })
            return Effect.andThen(startAll(atOnce), prepared)
          }).pipe(Effect.ensuring(Effect.sync(() => (cancelledMeanwhile = undefined))))
        })

      // 3. Stop: running jobs have the soft-stop time; what is left is interrupted and so given back.
      yield* Effect.addFinalizer(
        Effect.fnUntraced(function* () {
          yield* Effect.raceFirst(FiberMap.awaitEmpty(running), softStop.over)
          if (attempts.size === 0) return
          yield* Effect.logWarning(`the soft stop is over: ${attempts.size} running jobs are given back`)
          for (const job of attempts.values()) because(job, "stop")
          yield* Effect.timeoutOption(FiberMap.clear(running), "1 second")
        })
      )

      return Executor.of({
        free: () => free,
        awaitFree: (count) =>
          Effect.suspend(() => {
            if (free >= count) return Effect.void
            wanted = count
            slots.closeUnsafe()
            return slots.await
          }),
        startClaimed,
        cancel,
        held: () => [...attempts.keys(), ...completer.held()]
      })
    })
  )
}

const attempt = (job: Job, worker: Worker): Effect.Effect<Result, unknown> =>
  Effect.suspend(() => (job.error_count === undecodable ? new UndecodableRow() : worker.work(job)))

const logEnd = (job: Job, outcome: Outcome.Outcome): Effect.Effect<void> => {
  switch (outcome._tag) {
    case "Retry":
    case "Discarded":
    case "Cancelled":
      return Effect.annotateLogs(Effect.logWarning(`attempt failed: ${outcome.failure.message}`), ofJob(job, outcome))
    case "CancelledRemotely":
      return Effect.annotateLogs(Effect.logInfo("attempt ended: somebody cancelled the job"), ofJob(job, outcome))
    default:
      return Effect.void
  }
}

const ofJob = (job: Job, outcome: Outcome.Outcome) => ({
  job: String(job.id),
  kind: job.kind,
  attempt: job.attempt,
  outcome: outcome._tag === "CancelledRemotely" ? "cancelled" : outcome._tag.toLowerCase()
})
