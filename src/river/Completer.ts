/**
 * Settles the outcomes of attempts, many in one statement.
 *
 * Group commit: whatever waits is written at once, and what arrives while a statement is in flight goes into the next
 * one. A batch that the database refuses is halved until what it refuses stands alone, so that one bad result harms
 * nobody else.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { SqlError, UnknownError } from "effect/sql/SqlError"
import { ClientConfig } from "./ClientConfig.ts"
import { contention, Database } from "./Database.ts"
import * as ErrorText from "./ErrorText.ts"
import type { Job } from "./Job.ts"
import * as Outcome from "./Outcome.ts"
import { type Settlement, writer } from "./Settlement.ts"
import { SoftStop } from "./SoftStop.ts"
import { recordSettled } from "./Spans.ts"
import { tables } from "./sql/river_job.ts"
import { describe, severity, type SqlFault } from "./SqlFault.ts"
import { Unsettled } from "./Unsettled.ts"

/** Statements in flight: a second one hides the first one's commit. */
const lanes = 2

/** A member whose row somebody else holds is tried again after this, in milliseconds, and later when there are many. */
const busyPause = 100

/** Milliseconds after which such a wait is worth a line in the log. */
const busyNoted = 5000

/** So many may wait for rows that somebody else holds before claiming stops. */
const busyLimit = 10_000

/** After the soft stop: what in-flight statements still have, and what each of two last rounds has. */
const grace = Duration.millis(500)
const lastRound = Duration.seconds(1)

export class Completer extends Context.Service<
  Completer,
  {
    /** Takes an outcome to be settled. It never waits and never fails. */
    readonly offer: (settlement: Settlement) => void
    /**
     * Waits until fewer than `limit` outcomes wait to be written and none has waited for over a second. One with a large
     * result counts for several. Those whose row somebody else holds count apart: a few forgotten locks must not stop
     * everybody.
     */
    readonly room: (limit: number) => Effect.Effect<void>
    /** The jobs whose outcomes are not settled yet. */
    readonly held: () => ReadonlyArray<bigint>
  }
>()("river/Completer") {
  static readonly layer = Layer.effect(
    Completer,
    Effect.gen(function* () {
      const config = yield* ClientConfig
      const database = yield* Database
      const softStop = yield* SoftStop
      const { warmUp, write } = writer(database.sql, tables(config.schema), config)

      const unsettled = new Unsettled()
      const noted = new WeakSet<Job>()
      const offered = yield* Latch.make()
      const settled = yield* Latch.make()

      const offer = (settlement: Settlement) => {
        unsettled.add(settlement)
        offered.openUnsafe()
      }

      const pause = Effect.fnUntraced(function* (settlement: Settlement) {
        const waited = (yield* Clock.currentTimeMillis) - settlement.endedAt
        if (waited > busyNoted && !noted.has(settlement.job)) {
          noted.add(settlement.job)
          yield* Effect.logWarning("a result waits for a row that another transaction holds", ofJob(settlement))
        }
        unsettled.pause(settlement)
        // Not in the scope: its end would cut the pause short, and a stop would wait for this one until it is over.
        yield* Effect.forkDetach(
          Effect.andThen(
            Effect.sleep(Duration.millis(busyPause + unsettled.pausing / 5)),
            Effect.sync(() => {
              if (unsettled.resume(settlement)) offered.openUnsafe()
            })
          )
        )
      })

      /** One statement for the batch, and what it says of its members. */
      const writeBatch = Effect.fnUntraced(function* (batch: ReadonlyArray<Settlement>) {
        // What breaks already while it is put together lies in the data, too.
        const statement = Effect.catchDefect(write(batch), (cause) =>
          Effect.fail(new SqlError({ reason: new UnknownError({ cause, message: ErrorText.messageOf(cause) }) }))
        )
        const verdicts = yield* database
          .runPatiently(statement)
          .pipe(Effect.retry({ schedule: contention, while: (fault) => severity(fault) === "contention" }))
        const odd = new Map(verdicts.map(({ attempted_at, id, verdict }) => [`${id} ${attempted_at}`, verdict]))
        for (const member of batch) {
          const verdict = odd.size === 0 ? undefined : odd.get(`${member.job.id} ${member.job.attempted_at}`)
          if (verdict === "busy") yield* pause(member)
          if (verdict === "lost")
            yield* Effect.logInfo("a late result was dropped: its claim is no longer current", ofJob(member))
          if (verdict === "missing")
            yield* Effect.logWarning(`job cancelled: ${member.worker.effect?.missing}`, ofJob(member))
          if (verdict === "unwritten")
            yield* Effect.logWarning(
              `job completed, but a trigger or a policy kept ${member.worker.effect?.table} unwritten`,
              ofJob(member)
            )
          if (verdict !== "busy") yield* recordSettled(member, verdict)
        }
      })

      const settle = (batch: ReadonlyArray<Settlement>): Effect.Effect<void> =>
        Effect.catch(writeBatch(batch), (fault) => {
          const [only] = batch
          if (batch.length === 1 && only !== undefined) return refused(only, fault)
          const half = Math.ceil(batch.length / 2)
          return Effect.andThen(settle(batch.slice(0, half)), settle(batch.slice(half)))
        })

      /** The database refuses this one: a failed attempt, told with less each time until it can be stored. */
      const refused = (settlement: Settlement, fault: SqlFault): Effect.Effect<void> => {
        const { job, outcome, withoutEffect, withoutMetadata } = settlement
        const message = ErrorText.clean(`the result could not be stored: ${unquoted(outcome, describe(fault))}`)
        const annotated = Effect.annotateLogs(ofJob(settlement))
        const again = (less: Partial<Settlement>) =>
          Effect.andThen(annotated(Effect.logWarning(message)), settle([{ ...settlement, ...less }]))
        if (outcome._tag === "Completed" || outcome._tag === "Snoozed") {
          return again({ outcome: Outcome.failed(job, { message, trace: "" }), withoutMetadata: true })
        }
        if (withoutMetadata !== true) return again({ withoutMetadata: true })
        if (withoutEffect !== true) return again({ withoutEffect: true })
        return annotated(Effect.logError(`${message}; the job stays running until it is rescued`))
      }

      const lane = Effect.gen(function* () {
        const batch = unsettled.take()
        if (batch.length === 0) {
          offered.closeUnsafe()
          return yield* offered.await
        }
        yield* settle(batch)
        unsettled.landed(batch)
        settled.openUnsafe()
      })
      const fibers = yield* Effect.forEach(Array.from({ length: lanes }), () => Effect.forkScoped(Effect.forever(lane)))

      yield* Effect.forkScoped(Effect.ignore(database.run(warmUp)))

      const room = (limit: number): Effect.Effect<void> =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const bounded = unsettled.active < limit && unsettled.pausing < busyLimit
          if (bounded && !unsettled.anyBefore(now - 1000)) return Effect.void
          settled.closeUnsafe()
          return Effect.andThen(Effect.timeoutOption(settled.await, "1 second"), room(limit))
        })

      const drained: Effect.Effect<void> = Effect.suspend(() => {
        if (unsettled.size === 0) return Effect.void
        settled.closeUnsafe()
        return Effect.andThen(Effect.timeoutOption(settled.await, "100 millis"), drained)
      })

      /** Until it is over, settles what there is and nothing else; who is busy is tried again. */
      const settleLast = Effect.gen(function* () {
        if (unsettled.waiting === 0) {
          yield* Effect.sleep(Duration.millis(busyPause))
          unsettled.resumeAll()
        }
        const batch = unsettled.take()
        yield* settle(batch)
        unsettled.landed(batch)
      }).pipe(
        (batch) => Effect.whileLoop({ while: () => unsettled.size > 0, body: () => batch, step: () => {} }),
        Effect.timeoutOption(lastRound)
      )

      // The stop: what can be written is written while the soft stop lasts. Then a statement that hangs is left, and its
      // jobs are given back instead of ended. What a last round cannot write either is given back in another one. A job
      // that is given back needs no word to its kind's row, so whatever holds that row up does not matter.
      yield* Effect.addFinalizer(
        Effect.fnUntraced(function* () {
          yield* Effect.raceFirst(drained, Effect.andThen(softStop.over, Effect.sleep(grace)))
          for (const fiber of fibers) fiber.interruptUnsafe()
          yield* Effect.forEach(fibers, Fiber.await)
          if (unsettled.size === 0) return
          unsettled.restart({ inFlight: givenBack, others: identity })
          yield* settleLast
          unsettled.restart({ inFlight: givenBack, others: givenBack })
          yield* settleLast
          if (unsettled.size === 0) return
          yield* Effect.logError(`${unsettled.size} jobs could not be given back; they run again when they are rescued`)
        })
      )

      return Completer.of({
        offer,
        room,
        held: () => unsettled.jobs()
      })
    })
  )
}

const ofJob = ({ job }: Settlement) => ({ job: String(job.id), kind: job.kind, attempt: job.attempt })

/** What the database says, without the result that it may quote: a result may hold a secret, if it is a result at all. */
const unquoted = (outcome: Outcome.Outcome, said: string): string =>
  Object.entries<unknown>(outcome._tag === "Completed" ? { ...outcome.result } : {}).reduce((text, [column, value]) => {
    const secret: unknown = Redacted.isRedacted(value) ? Redacted.value(value) : value
    return typeof secret === "string" && secret.length > 3 ? text.replaceAll(secret, `<${column}>`) : text
  }, said)

const givenBack = (settlement: Settlement): Settlement => ({
  ...settlement,
  outcome: { _tag: "Interrupted" },
  withoutEffect: true
})
