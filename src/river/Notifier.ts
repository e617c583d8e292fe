/**
 * Hears `NOTIFY`: one listening session on a connection of its own. A hint to look sooner, never the only way to find
 * out; polling goes on beside it.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Notifications from "effect/Queue"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { ClientConfig } from "./ClientConfig.ts"
import { backoff, Database } from "./Database.ts"
import { Executor } from "./Executor.ts"
import { Listening } from "./Listening.ts"
import * as Notification from "./Notification.ts"
import { Producer } from "./Producer.ts"
import { Queue } from "./Queue.ts"
import { describe, StatementTimeout, type SqlFault } from "./SqlFault.ts"

/** A session is asked for a sign of life this often, and dropped when none comes. */
const pingInterval = Duration.seconds(5)
const pingTimeout = Duration.seconds(10)

/** How long a session's own notification may take to arrive; and, when it does not, when to try again. */
const echoTimeout = Duration.seconds(5)
const deafPause = Duration.minutes(1)

/** Between a session that worked and the next one. */
const restart = Duration.millis(250)

/** The session is there and hears nothing. */
class Deaf extends Schema.TaggedError<Deaf>()("Deaf", {}) {
  override get message() {
    return "no notification arrives: the listening session needs a direct connection, past poolers, to the same database"
  }
}

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const { listen, queue: name, schema, wakeChannels } = yield* ClientConfig
    const database = yield* Database
    const executor = yield* Executor
    const listening = yield* Listening
    const { wake } = yield* Producer
    const queue = yield* Queue
    if (listen === undefined) return

    const onInsert = (payload: string) => (Notification.parseInsert(payload) === name ? wake : Effect.void)
    const onControl = (payload: string) => {
      const control = Notification.parseControl(payload)
      if (control?.action === "cancel") return control.queue === name ? executor.cancel(control.job_id) : Effect.void
      if (control?.queue !== name && control?.queue !== "*") return Effect.void
      return queue.told(control.action === "pause")
    }

    /** Sends through the pool what the session must hear: through a pooler it may say that it listens, and hear nothing. */
    const hearsItself = Effect.fnUntraced(function* (echo: Listener) {
      const word = String(yield* Random.next)
      yield* database.run(Effect.asVoid(database.sql`select pg_notify(${echoChannel}, ${word})`))
      const heard = Effect.repeat(Notifications.take(echo), { until: ({ payload }) => payload === word })
      yield* Effect.timeoutOrElse(heard, { duration: echoTimeout, orElse: () => new Deaf() })
    })

    // The connection ends before the subscriptions: they would say goodbye on it, and wait for ever when it is silent.
    let lost = false
    const echoChannel = `${schema}.river_echo`
    const session: Effect.Effect<SqlFault, SqlFault | Deaf> = Effect.scopedWith((outer) =>
      Effect.gen(function* () {
        const connection = yield* Scope.provide((yield* PgConnection.make(listen)).pin, outer)
        const hear = (channel: string) => Scope.provide(connection.listen(channel), outer)
        const reactTo = (notifications: Listener, react: (payload: string) => Effect.Effect<void>) =>
          Effect.forever(Effect.flatMap(Notifications.take(notifications), ({ payload }) => react(payload)))
        // First of all: what a deaf session listens to stays behind with the pooler's own, for whoever gets that next.
        const echo = yield* hear(echoChannel)
        const unlisten = Effect.ignore(connection.query("unlisten *", [], false))
        yield* Effect.tapError(hearsItself(echo), () => unlisten)
        const subscriptions = [
          reactTo(yield* hear(Notification.insertChannel(schema)), onInsert),
          reactTo(yield* hear(Notification.controlChannel(schema)), onControl)
        ]
        for (const channel of wakeChannels) subscriptions.push(reactTo(yield* hear(channel), () => wake))
        if (lost) yield* Effect.logInfo("listening again")
        lost = false
        // For what was notified while nobody listened.
        yield* listening.changed(true)
        yield* wake
        const ping = Effect.sleep(pingInterval).pipe(
          Effect.andThen(connection.query("select 1", [])),
          Effect.timeoutOrElse({
            duration: Duration.sum(pingInterval, pingTimeout),
            orElse: () => new StatementTimeout({ seconds: Duration.toSeconds(pingTimeout) })
          }),
          Effect.forever
        )
        // A session that has worked and ends is followed by the next one at once, not after the waits for earlier ones.
        return yield* Effect.flip(Effect.raceAllFirst([ping, reactTo(echo, () => Effect.void), ...subscriptions]))
      }).pipe(Effect.scoped, Effect.ensuring(listening.changed(false)))
    )

    // Not awaited at a stop: on a silent network the driver needs seconds to give up a ping.
    const tellLost = (fault: SqlFault | Deaf) => {
      if (lost) return Effect.void
      lost = true
      const reason = fault._tag === "Deaf" ? fault.message : describe(fault)
      return Effect.logWarning(`not listening, jobs are found by polling until it works again: ${reason}`)
    }
    const sessions = yield* session.pipe(
      Effect.tapError(tellLost),
      Effect.catchTag("Deaf", () => Effect.as(Effect.sleep(deafPause), undefined)),
      Effect.retry(backoff),
      Effect.tap((ended) =>
        ended === undefined ? Effect.void : Effect.andThen(tellLost(ended), Effect.sleep(restart))
      ),
      Effect.forever,
      Effect.forkDetach
    )
    yield* Effect.addFinalizer(() => Effect.sync(() => sessions.interruptUnsafe()))
  })
)

type Listener = Notifications.Dequeue<PgConnection.Notification, SqlFault>
