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
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { ClientConfig } from "./ClientConfig.ts"
import { Database } from "./Database.ts"
import * as ErrorText from "./ErrorText.ts"
import * as Outcome from "./Outcome.ts"
import { sameStatement, type Settlement, writer } from "./Settlement.ts"
import { SoftStop } from "./SoftStop.ts"
import { recordSettled } from "./Spans.ts"
import { tables } from "./sql/river_job.ts"
import { describe, severity, type SqlFault } from "./SqlFault.ts"

/** Statements in flight: a second one hides the first one's commit. */
const lanes = 2

/** Members of one statement. */
const batchSize = 1000

/** A member whose row somebody else holds is tried again after this. */
const busyPause = Duration.millis(100)

/** With the connection up, a deadlock or a lost race is tried again for this long before the batch is halved. */
const contention = Schedule.exponential("10 millis").pipe(Schedule.jittered, Schedule.upTo({ duration: "2 seconds" }))

/** After the soft stop: what in-flight statements still have, and what one last round has. */
const grace = Duration.millis(500)
const lastRound = Duration.seconds(2)

export class Completer extends Context.Service<
  Completer,
  {
    /** Takes an outcome to be settled. It never waits and never fails. */
    readonly offer: (settlement: Settlement) => void
    /**
     * Waits until fewer than `limit` outcomes wait to be written and none has waited for over a second. Those whose row
     * somebody else holds count apart: a few forgotten locks must not stop everybody.
     */
    readonly room: (limit: number) => Effect.Effect<void>
    /** The jobs whose outcomes are not settled yet. */
    readonly held: () => ReadonlyArray<bigint>
  }
>()("river/Completer") {
  static readonly layer = Layer.effect(
    Completer,
    Effect.gen(function* () {
      const { clientId, schema, workers } = yield* ClientConfig
      const database = yield* Database
      const softStop = yield* SoftStop
      const write = writer(database.sql, tables(schema), clientId, workers)

      // What waits for a statement, what one carries, and what pauses because somebody else holds its row.
      let waiting: Array<Settlement> = []
      const inFlight = new Set<Settlement>()
      const pausing = new Set<Settlement>()
      const offered = yield* Latch.make()
      const settled = yield* Latch.make()

      const offer = (settlement: Settlement) => {
        waiting.push(settlement)
        offered.openUnsafe()
      }

      /** The longest waiting outcomes that one statement can carry; from now on they are in flight. */
      const take = (): ReadonlyArray<Settlement> => {
        const first = waiting[0]
        if (first === undefined) return []
        const batch: Array<Settlement> = []
        const rest: Array<Settlement> = []
        for (const settlement of waiting) {
          if (batch.length < batchSize && sameStatement(first, settlement)) batch.push(settlement)
          else rest.push(settlement)
        }
        waiting = rest
        for (const settlement of batch) inFlight.add(settlement)
        return batch
      }

      const pause = (settlement: Settlement) =>
        Effect.suspend(() => {
          pausing.add(settlement)
          return Effect.forkIn(
            Effect.andThen(
              Effect.sleep(busyPause),
              Effect.sync(() => {
                if (pausing.delete(settlement)) offer(settlement)
              })
            ),
            scope
          )
        })

      /** One statement for the batch, and what it says of its members. */
      const attempt = Effect.fnUntraced(function* (batch: ReadonlyArray<Settlement>) {
        const verdicts = yield* database
          .runPatiently(write(batch))
          .pipe(Effect.retry({ schedule: contention, while: (fault) => severity(fault) === "contention" }))
        const odd = new Map(verdicts.map(({ id, verdict }) => [id, verdict]))
        for (const member of batch) {
          const verdict = odd.get(member.job.id)
          if (verdict === "busy") yield* pause(member)
          if (verdict === "lost")
            yield* Effect.logInfo("a late result was dropped: its claim is no longer current", lost(member))
          if (verdict === "missing")
            yield* Effect.logWarning(`job cancelled: ${member.worker.effect?.missing}`, lost(member))
          if (verdict !== "busy") yield* recordSettled(member, verdict)
        }
      })

      const settle = (batch: ReadonlyArray<Settlement>): Effect.Effect<void> =>
        Effect.catch(attempt(batch), (fault) => {
          const [only] = batch
          if (batch.length === 1 && only !== undefined) return refused(only, fault)
          const half = Math.ceil(batch.length / 2)
          return Effect.andThen(settle(batch.slice(0, half)), settle(batch.slice(half)))
        })

      /** The database refuses this one: a failed attempt, first with, then without, a word to its kind's own row. */
      const refused = (settlement: Settlement, fault: SqlFault): Effect.Effect<void> => {
        const message = ErrorText.clean(`the result could not be stored: ${describe(fault)}`)
        const annotated = Effect.annotateLogs(lost(settlement))
        if (settlement.outcome._tag === "Completed") {
          const outcome = Outcome.failed(settlement.job, { message, trace: "" })
          return Effect.andThen(annotated(Effect.logWarning(message)), settle([{ ...settlement, outcome }]))
        }
        return settlement.withoutEffect === true || settlement.worker.effect === undefined
          ? annotated(Effect.logError(`${message}; the job stays running until it is rescued`))
          : Effect.andThen(annotated(Effect.logWarning(message)), settle([{ ...settlement, withoutEffect: true }]))
      }

      const scope = yield* Effect.scope
      const lane = Effect.gen(function* () {
        const batch = take()
        if (batch.length === 0) {
          yield* offered.close
          return yield* offered.await
        }
        yield* settle(batch)
        for (const settlement of batch) inFlight.delete(settlement)
        settled.openUnsafe()
      })
      const fibers = yield* Effect.forEach(Array.from({ length: lanes }), () => Effect.forkScoped(Effect.forever(lane)))

      const unsettled = () => waiting.length + inFlight.size + pausing.size

      const room = (limit: number): Effect.Effect<void> =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          const overdue = (settlement: Settlement) => now - settlement.endedAt > 1000
          const stalled = waiting.some(overdue) || [...inFlight].some(overdue)
          if (waiting.length + inFlight.size < limit && pausing.size < batchSize && !stalled) return Effect.void
          settled.closeUnsafe()
          return Effect.andThen(Effect.timeoutOption(settled.await, "1 second"), room(limit))
        })

      const drained: Effect.Effect<void> = Effect.suspend(() => {
        if (unsettled() === 0) return Effect.void
        settled.closeUnsafe()
        return Effect.andThen(Effect.timeoutOption(settled.await, "100 millis"), drained)
      })

      // The stop: what can be written is written while the soft stop lasts. Then a statement that hangs is left, its
      // jobs are given back instead of ended, and one last round has two seconds for everything that remains.
      yield* Effect.addFinalizer(
        Effect.fnUntraced(function* () {
          yield* Effect.raceFirst(drained, Effect.andThen(softStop.over, Effect.sleep(grace)))
          for (const fiber of fibers) fiber.interruptUnsafe()
          yield* Effect.forEach(fibers, Fiber.await)
          const rest = [
            ...[...inFlight].map((settlement): Settlement => ({ ...settlement, outcome: { _tag: "Interrupted" } })),
            ...waiting,
            ...pausing
          ]
          inFlight.clear()
          pausing.clear()
          if (rest.length === 0) return
          waiting = rest
          yield* Effect.timeoutOption(
            Effect.whileLoop({ while: () => waiting.length > 0, body: () => settle(take()), step: () => {} }),
            lastRound
          )
          const left = waiting.length + inFlight.size
          if (left > 0)
            yield* Effect.logError(`${left} jobs could not be given back; they run again when they are rescued`)
        })
      )

      return Completer.of({
        offer,
        room,
        held: () => [...waiting, ...inFlight, ...pausing].map(({ job }) => job.id)
      })
    })
  )
}

const lost = ({ job }: Settlement) => ({ job: String(job.id), kind: job.kind, attempt: job.attempt })
