/**
 * Hears `NOTIFY`: one listening session on a connection of its own. A hint to look sooner, never the only way to find
 * out; polling goes on beside it.
 */
import * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { ClientConfig } from "./ClientConfig.ts"
import { backoff } from "./Database.ts"
import { Producer } from "./Producer.ts"
import { describe, StatementTimeout, type SqlFault } from "./SqlFault.ts"

/** A session is asked for a sign of life this often, and dropped when none comes. */
const pingInterval = Duration.seconds(5)
const pingTimeout = Duration.seconds(10)

const InsertPayload = Schema.fromJsonString(Schema.Struct({ queue: Schema.String }))
const decodeInsert = Schema.decodeUnknownOption(InsertPayload)

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const { listen, queue, schema, wakeChannels } = yield* ClientConfig
    const { wake } = yield* Producer
    if (listen === undefined) return
    const insertChannel = `${schema}.river_insert`
    let lost = false

    /** An insert notification names its queue; one for another queue, or that is no JSON, is somebody else's. */
    const onInsert = (payload: string) =>
      Option.match(decodeInsert(payload), {
        onNone: () => Effect.void,
        onSome: (insert) => (insert.queue === queue ? wake : Effect.void)
      })

    // The connection ends before the subscriptions: they would say goodbye on it, and wait for ever when it is silent.
    const session: Effect.Effect<never, SqlFault> = Effect.scopedWith((outer) =>
      Effect.gen(function* () {
        const connection = yield* Scope.provide((yield* PgConnection.make(listen)).pin, outer)
        const subscribe = (channel: string, react: (payload: string) => Effect.Effect<void>) =>
          Effect.map(Scope.provide(connection.listen(channel), outer), (notifications) =>
            Effect.forever(Effect.flatMap(Queue.take(notifications), ({ payload }) => react(payload)))
          )
        const subscriptions = [yield* subscribe(insertChannel, onInsert)]
        for (const channel of wakeChannels) subscriptions.push(yield* subscribe(channel, () => wake))
        if (lost) yield* Effect.logInfo("listening again")
        lost = false
        yield* wake // for what was notified while nobody listened
        const ping = Effect.sleep(pingInterval).pipe(
          Effect.andThen(connection.query("select 1", [])),
          Effect.timeoutOrElse({
            duration: Duration.sum(pingInterval, pingTimeout),
            orElse: () => new StatementTimeout({ seconds: Duration.toSeconds(pingTimeout) })
          }),
          Effect.forever
        )
        return yield* Effect.raceAllFirst([ping, ...subscriptions])
      }).pipe(Effect.scoped)
    )

    // Not awaited at a stop: on a silent network the driver needs seconds to give up a ping.
    const listening = yield* session.pipe(
      Effect.tapError((fault) => {
        if (lost) return Effect.void
        lost = true
        return Effect.logWarning(`not listening, jobs are found by polling until it works again: ${describe(fault)}`)
      }),
      Effect.retry(backoff),
      Effect.forkDetach
    )
    yield* Effect.addFinalizer(() => Effect.sync(() => listening.interruptUnsafe()))
  })
)
