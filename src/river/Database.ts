/**
 * The engine's way to PostgreSQL: every statement has a deadline, and one place knows whether the database is away.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import { describe, severity, StatementTimeout, type SqlFault } from "./SqlFault.ts"

/** How long a statement may take before its connection counts as lost. */
const deadline = Duration.seconds(10)

/** Waits between tries while the database is away: 100 ms to 5 s, ± 20 %. */
export const backoff = Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("5 seconds")]).pipe(
  Schedule.jittered
)

/** With the connection up, a deadlock or a lost race is tried again for this long. */
export const contention = Schedule.exponential("10 millis").pipe(
  Schedule.jittered,
  Schedule.upTo({ duration: "2 seconds" })
)

/** Runs statements: against their deadline, and with one record of outages. */
export interface Runner {
  /**
   * Runs a statement against its deadline, and keeps the record of outages: one log line when the database goes away
   * and one when it is back.
   *
   * Interrupting it, or missing the deadline, leaves at once: on a silent network the driver needs many seconds to
   * give up a connection, and nobody waits for that here.
   */
  readonly run: <A>(statement: Effect.Effect<A, SqlError>, within?: Duration.Duration) => Effect.Effect<A, SqlFault>
  /** Runs a statement until the database is there to answer it. */
  readonly runPatiently: <A>(statement: Effect.Effect<A, SqlError>) => Effect.Effect<A, SqlFault>
}

export class Database extends Context.Service<Database, Runner & { readonly sql: SqlClient }>()("river/Database") {
  static readonly layer = Layer.effect(
    Database,
    Effect.gen(function* () {
      const sql = yield* SqlClient
      return Database.of({ sql, ...makeRunner() })
    })
  )
}

/** A runner with a record of its own. */
export const makeRunner = (): Runner => {
  let outage: { readonly since: number; told: boolean } | undefined
  let backAt = -Infinity

  // Connections that come and go, as when there are too few for everybody, are told of once, not each time.
  const wentAway = Effect.fnUntraced(function* (fault: SqlFault) {
    const now = yield* Clock.currentTimeMillis
    outage ??= { since: now, told: false }
    if (outage.told || (now - outage.since < 1000 && now - backAt < 5000)) return
    outage.told = true
    yield* Effect.logWarning(`the database is away, waiting for it: ${describe(fault)}`)
  })
  const cameBack = Effect.suspend(() => {
    if (outage === undefined) return Effect.void
    const { since, told } = outage
    outage = undefined
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      backAt = now
      return told ? Effect.logInfo(`the database is back after ${((now - since) / 1000).toFixed(1)} s`) : Effect.void
    })
  })

  const run = <A>(statement: Effect.Effect<A, SqlError>, within = deadline): Effect.Effect<A, SqlFault> =>
    bounded(Effect.withTracerEnabled(statement, false), within).pipe(
      Effect.tap(() => cameBack),
      Effect.tapError((fault) => (severity(fault) === "outage" ? wentAway(fault) : cameBack))
    )

  const runPatiently = <A>(statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlFault> =>
    Effect.retry(run(statement), { schedule: backoff, while: (fault) => severity(fault) === "outage" })

  return { run, runPatiently }
}

/** The effect in a fiber of its own that is abandoned, not awaited, when time is up or the caller is interrupted. */
const bounded = <A>(statement: Effect.Effect<A, SqlError>, within: Duration.Duration): Effect.Effect<A, SqlFault> =>
  Effect.suspend(() => {
    const timeout = Effect.suspend(() => new StatementTimeout({ seconds: Duration.toSeconds(within) }))
    return Effect.flatMap(Effect.forkDetach(statement, { startImmediately: true }), (fiber) =>
      Effect.timeoutOrElse(Fiber.join(fiber), { duration: within, orElse: () => timeout }).pipe(
        // A fiber that has ended ignores this.
        Effect.onExit(() => Effect.sync(() => fiber.interruptUnsafe()))
      )
    )
  })
