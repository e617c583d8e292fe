/**
 * A history: a plan that comes true, and then peace, in which everything has to end.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { ClientConfig, Database } from "../../../src/river/index.ts"
import * as Closer from "../../../src/signer/requests/Closer.ts"
import * as UploadRequests from "../../../src/signer/uploads/UploadRequests.ts"
import { TestDatabase } from "../../support/Database.ts"
import { beginElsewhere } from "../support.ts"
import { Attempts } from "./Attempts.ts"
import * as Clients from "./Clients.ts"
import * as Hands from "./Hands.ts"
import * as Hours from "./Hours.ts"
import type { Rewrite } from "./Line.ts"
import type { Plan, Step } from "./Plan.ts"
import * as Recorder from "./Recorder.ts"

/** What was seen of a history. */
export interface History {
  readonly plan: Plan
  readonly events: ReadonlyArray<Recorder.Event>
  /** What had not ended in time. */
  readonly unfinished: ReadonlyArray<string>
  /** The clients' ids by their names. */
  readonly ids: ReadonlyMap<string, string>
  readonly logs: ReadonlyArray<string>
}

let serial = 0

/** Lets a plan come true in a queue of its own. */
export const run = (plan: Plan, rewrite: Rewrite = identity) =>
  Effect.gen(function* () {
    const queue = `history_${++serial}`
    const attempts = new Attempts()
    const hands = yield* Hands.make(queue)
    const hours = yield* Hours.make(queue, plan)
    const clients = yield* Clients.make({ queue, listens: plan.listens, attempts, hours, rewrite })
    yield* closer(queue)
    yield* Effect.forEach([0, 1] as const, clients.start, { discard: true })

    const act = (step: Step) => perform(step, hands, hours, clients)
    const steps = yield* Effect.forEach(plan.steps, ({ at, step }) =>
      Effect.forkChild(Effect.delay(act(step), Duration.millis(at)))
    )
    yield* Effect.forEach(steps, Fiber.join, { discard: true })

    attempts.heal()
    yield* clients.heal
    yield* Effect.all([hands.pause(false), hands.unpark])
    const unfinished = yield* hours.untilAllEnded
    yield* clients.endAll
    const events = yield* Recorder.read(queue)
    const history: History = { plan, events, unfinished, ids: clients.ids, logs: clients.logs }
    return history
  }).pipe(Effect.scoped, Effect.provide(ownConnections, { local: true }))

const perform = (
  step: Step,
  hands: Hands.Hands,
  hours: Hours.Hours,
  clients: Clients.Clients
): Effect.Effect<unknown, unknown, TestDatabase | Scope.Scope> => {
  switch (step.does) {
    case "insert":
      return Effect.forEach(step.requests, hands.insert)
    case "stop":
      return Effect.andThen(
        clients.stop(step.seat),
        Effect.delay(clients.start(step.seat), Duration.millis(step.absent))
      )
    case "kill":
    case "kill in mid-statement":
      return Effect.andThen(
        clients.kill(step.seat, step.does === "kill" ? "at once" : "in mid-statement"),
        Effect.delay(clients.start(step.seat), Duration.millis(step.absent))
      )
    case "freeze":
      return clients.freeze(step.seat, step.length)
    case "mishap":
      return clients.strike(step.seat, step.to, step.mishap)
    case "pause":
      return Effect.andThen(hands.pause(true), Effect.delay(hands.pause(false), Duration.millis(step.length)))
    case "age running jobs":
      return hours.ageRunning({ share: step.share })
    case "age waiting jobs":
      return hours.ageWaiting(step.share)
    case "lock job":
    case "lock request":
      return Effect.gen(function* () {
        const statements = yield* hands.locking(step.pick, step.does === "lock job" ? "job" : "request")
        if (statements.length === 0) return
        const { rollback } = yield* beginElsewhere(statements)
        yield* Effect.sleep(Duration.millis(step.length))
        yield* rollback
      })
    case "cancel":
      return hands.cancel(step.pick, step.silent)
    case "finish":
      return hands.finish(step.pick, step.as)
    default:
      return hands[step.does](step.pick)
  }
}

const ownConnections = Layer.unwrap(
  Effect.map(TestDatabase, ({ url }) => PgClient.layer({ url: Redacted.make(url), maxConnections: 3 }))
)

/** The product's closer, which ends the requests of jobs that others have ended or deleted. */
const closer = Effect.fnUntraced(function* (queue: string) {
  const { url } = yield* TestDatabase
  const config = ClientConfig.layer(
    {
      schema: "metadata",
      queue,
      clientName: undefined,
      host: "closer.host",
      marker: "test",
      maxWorkers: 1,
      fetchPollInterval: Duration.seconds(1),
      fetchCooldown: Duration.seconds(1),
      softStopTimeout: Duration.seconds(1),
      listen: undefined,
      wakeChannels: [],
      traced: false
    },
    []
  )
  const pool = PgClient.layer({ url: Redacted.make(Recorder.urlOf(url, "closer")), maxConnections: 1 })
  yield* Layer.build(
    Closer.layer([UploadRequests.requests]).pipe(
      Layer.provide([config, Database.layer]),
      Layer.provide(pool),
      Layer.provide(Logger.layer([]))
    )
  )
})
