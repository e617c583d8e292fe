/**
 * The two seats of a history, with a client of ours on each: they come and go, are killed and frozen.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Redacted from "effect/Redacted"
import * as Semaphore from "effect/Semaphore"
import { TestDatabase } from "../../support/Database.ts"
import { startClient, type Statement } from "../support.ts"
import type { Attempts } from "./Attempts.ts"
import type { Hours } from "./Hours.ts"
import * as Line from "./Line.ts"
import type { Mishap, Plan, Seat } from "./Plan.ts"
import * as Recorder from "./Recorder.ts"

interface Seated {
  readonly client: Effect.Success<ReturnType<typeof startClient>>
  readonly line: Line.Line
}

export const make = Effect.fnUntraced(function* (options: {
  readonly queue: string
  readonly listens: Plan["listens"]
  readonly attempts: Attempts
  readonly hours: Hours
  readonly rewrite: Line.Rewrite
}) {
  const { attempts, hours, listens, queue, rewrite } = options
  const { url } = yield* TestDatabase
  const ids = new Map<string, string>()
  const logs: Array<string> = []
  const seats: [Seated | undefined, Seated | undefined] = [undefined, undefined]
  const doors = [yield* Semaphore.make(1), yield* Semaphore.make(1)] as const
  const twins = yield* FiberSet.make<unknown, unknown>()
  const leaving = yield* FiberSet.make<unknown, unknown>()

  const seatClient = Effect.fnUntraced(function* (seat: Seat) {
    if (seats[seat] !== undefined) return
    const name = `${"ab"[seat]}${ids.size}`
    const worstMoment = (atMost: number) => hours.worstMoment(ids.get(name) ?? "", atMost)
    const line = yield* Line.make({ rewrite, twins, worstMoment })
    const named = Recorder.urlOf(url, name)
    const client = yield* startClient([attempts.worker(name)], {
      queue,
      url: named,
      listen: listens[seat] ? { url: Redacted.make(named) } : undefined,
      maxWorkers: 8,
      maxConnections: 3,
      softStopTimeout: Duration.millis(300),
      around: line.around
    })
    ids.set(name, client.clientId)
    seats[seat] = { client, line }
  })
  /** Starts a client on a seat that is free. */
  const start = (seat: Seat) => doors[seat].withPermit(seatClient(seat))

  /** Takes the client off its seat and does the last things to it. */
  const vacate = (seat: Seat, last: (seated: Seated) => Effect.Effect<unknown>) =>
    Effect.suspend(() => {
      const seated = seats[seat]
      seats[seat] = undefined
      return seated === undefined ? Effect.void : last(seated)
    })
  const end = ({ client }: Seated) =>
    Effect.map(client.stop, () => logs.push(...client.logs.map(({ level, message }) => `${level} ${message}`)))

  const stop = (seat: Seat) => vacate(seat, end)
  const kill = (seat: Seat, when: "at once" | "in mid-statement") =>
    vacate(seat, (seated) => Effect.andThen(seated.line.cut(when), FiberSet.run(leaving, end(seated))))

  /** Holds the statements of a client back, while its jobs get old, for so many milliseconds at most. */
  const freeze = Effect.fnUntraced(function* (seat: Seat, atMost: number) {
    const seated = seats[seat]
    if (seated === undefined) return
    const { client, line } = seated
    yield* line.hold
    yield* Effect.sleep("50 millis")
    yield* hours.ageRunning({ client: client.clientId })
    yield* hours.worstMoment(client.clientId, atMost)
    yield* line.release
  })

  const strike = (seat: Seat, name: Statement, mishap: Mishap) =>
    Effect.suspend(() => seats[seat]?.line.strike(name, mishap) ?? Effect.void)

  /** Has both seats taken by clients in good health. */
  const heal = Effect.forEach([0, 1] as const, (seat) =>
    Effect.andThen(
      start(seat),
      Effect.suspend(() => seats[seat]?.line.heal ?? Effect.void)
    )
  )

  /** Stops everybody, and waits for what is still on its way. */
  const endAll = Effect.gen(function* () {
    yield* Effect.forEach([0, 1] as const, stop, { concurrency: 2, discard: true })
    yield* FiberSet.awaitEmpty(leaving)
    yield* Effect.timeoutOption(FiberSet.awaitEmpty(twins), "3 seconds")
  })

  return {
    start,
    stop,
    kill,
    freeze,
    strike,
    heal,
    endAll,
    /** The ids of all clients there were, by their names. */
    ids,
    /** What the clients that are gone have logged. */
    logs
  }
})

export type Clients = Effect.Success<ReturnType<typeof make>>
