/**
 * Claims the jobs of one queue: wait for room, claim and start, wait for something to do; and, in the end, stop.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import { ClientConfig } from "./ClientConfig.ts"
import { Completer } from "./Completer.ts"
import { backoff, Database } from "./Database.ts"
import { Executor } from "./Executor.ts"
import * as Frontier from "./Frontier.ts"
import type { Claimed } from "./Job.ts"
import { Queue } from "./Queue.ts"
import { SoftStop } from "./SoftStop.ts"
import { jobGetAvailable, tables } from "./sql/river_job.ts"
import { describe, severity, type SqlFault } from "./SqlFault.ts"

/** However rarely it is to poll: a notification may be lost. */
const longestPoll = Duration.minutes(1)

/** While jobs are claimed one helping after the other, a claim looks at everything that waits at least so often. */
const wholeLook = Duration.seconds(1)

/** A look at everything that takes longer, in milliseconds, is done no oftener than that either. */
const tooLong = (claimed: number) => 10 + claimed / 10

export class Producer extends Context.Service<
  Producer,
  {
    /** Looks for jobs now. Calls made while a claim runs collapse into one. */
    readonly wake: Effect.Effect<void>
  }
>()("river/Producer") {
  static readonly layer = Layer.effect(
    Producer,
    Effect.gen(function* () {
      const {
        clientId,
        fetchCooldown,
        fetchPollInterval,
        maxWorkers,
        queue: name,
        schema,
        traced,
        workers
      } = yield* ClientConfig
      const completer = yield* Completer
      const database = yield* Database
      const executor = yield* Executor
      const queue = yield* Queue
      const softStop = yield* SoftStop
      const getAvailable = jobGetAvailable(database.sql, tables(schema), { detailed: traced })
      const wake = yield* Latch.make(true)

      // 1. Wait for room: for a whole helping of slots, since claims of a few jobs each cost far more a job, yet a free
      //    slot is not kept from waiting jobs for longer than the cooldown. And not while outcomes pile up unsettled, and
      //    not while the queue is paused.
      const helping = Math.ceil(maxWorkers / 2)
      const awaitSlots = Effect.andThen(
        Effect.timeoutOption(executor.awaitFree(helping), fetchCooldown),
        executor.awaitFree(1)
      )
      const awaitRoom = Effect.all([awaitSlots, completer.room(2 * maxWorkers), queue.resumed], { discard: true })

      // 2. Claim. The claim and the start of its jobs are one uninterruptible step, so that stopping strands no claimed
      //    job; only the end of the soft stop cuts off a statement that hangs. A claim after a full one goes on where that
      //    one ended. Where many jobs of other kinds are in the way, so does each until the next look at everything.
      const wholeEvery = Duration.toMillis(Duration.min(wholeLook, fetchPollInterval))
      let from = Frontier.beginning
      let whole = { at: -Infinity, tookLong: false }
      const claim = Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          const ready = yield* restore(Effect.filter(workers, (worker) => worker.ready))
          const limit = executor.free()
          if (ready.length === 0 || limit === 0) return { claimed: 0, full: false, lookAgainIn: Infinity }
          const began = yield* Clock.currentTimeMillis
          // The host's clock may have been set back.
          if (Math.abs(began - whole.at) >= wholeEvery) from = Frontier.beginning
          const isWhole = from === Frontier.beginning
          const statement = getAvailable({ clientId, from, kinds: ready.map(({ kind }) => kind), limit, queue: name })
          const jobs = yield* executor.startClaimed(
            Effect.raceFirst(database.run(statement), Effect.as(softStop.over, [] as ReadonlyArray<Claimed>))
          )
          const ended = yield* Clock.currentTimeMillis
          if (isWhole) whole = { at: began, tookLong: ended - began > tooLong(jobs.length) }
          const full = jobs.length === limit
          from = full || whole.tookLong ? Frontier.after(from, limit, jobs) : Frontier.beginning
          const untilWhole = whole.tookLong ? Math.max(0, wholeEvery - (ended - whole.at)) : 0
          return { claimed: jobs.length, full, lookAgainIn: isWhole ? Infinity : untilWhole }
        })
      )

      // 3. Wait for something to do: a notification or the poll. A notification that brought no job, as another client
      //    was faster, is followed by a pause, so that chatter costs at most a claim each cooldown. A claim that came
      //    back full is followed by the next at once, and one that did not look at everything by one that does. A pause
      //    of the queue ends the wait, so that its end is followed by a claim.
      const pollInterval = Effect.gen(function* () {
        const random = yield* Random.nextBetween(0, 1)
        const poll = Duration.toMillis(Duration.min(fetchPollInterval, longestPoll))
        return poll + random * Math.max(poll / 10, 10)
      })
      const awaitWork = (atMost: number) =>
        Effect.flatMap(pollInterval, (interval) =>
          Effect.timeoutOption(Effect.raceFirst(wake.await, queue.paused), Duration.millis(Math.min(interval, atMost)))
        )

      const round = Effect.gen(function* () {
        yield* awaitRoom
        const woken = wake.isOpen()
        wake.closeUnsafe()
        const { claimed, full, lookAgainIn } = yield* claim
        if (full || lookAgainIn === 0) return
        if (woken && claimed === 0) yield* Effect.sleep(fetchCooldown)
        yield* awaitWork(lookAgainIn)
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
      // 4. Stop: no new claims at once; a claim in flight may finish and its jobs are worked.
      yield* Effect.addFinalizer(() => Effect.andThen(softStop.begin, Fiber.interrupt(loop)))

      return Producer.of({ wake: Effect.asVoid(wake.open) })
    })
  )
}
