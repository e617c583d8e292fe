/**
 * The command `work`: the process that answers upload requests until it is told to stop.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { hostname } from "node:os"
import * as Pool from "./Database.ts"
import * as Logging from "./Logging.ts"
import { Client, ClientConfig, Database } from "./river/index.ts"
import * as Settings from "./settings/Settings.ts"
import * as Closer from "./signer/requests/Closer.ts"
import { Credentials } from "./signer/s3/Credentials.ts"
import { Presigner } from "./signer/s3/Presigner.ts"
import * as PresignWorker from "./signer/uploads/PresignWorker.ts"
import * as RequestRetention from "./signer/requests/RequestRetention.ts"
import * as TableCheck from "./TableCheck.ts"
import * as Telemetry from "./Telemetry.ts"

/** Everything that runs, put together. Read from the top down, the list is the shutdown. */
const layers = (settings: Settings.Settings, telemetry: Telemetry.Telemetry) =>
  started(settings, telemetry).pipe(
    Layer.provide([Closer.layer, RequestRetention.layer(settings.requestRetention)]),
    Layer.provide(client(settings, telemetry)),
    Layer.provide(
      TableCheck.layer({ schema: settings.river.schema, requestRetention: settings.requestRetention !== undefined })
    ),
    Layer.provide(Presigner.layer({ ...settings.s3, uploadLifetime: settings.s3.uploadUrlLifetime })),
    Layer.provide(credentials(settings.s3)),
    Layer.provide(Database.layer),
    Layer.provide(Pool.layer(settings.database)),
    Layer.provide(Telemetry.layer(telemetry)),
    Layer.provide(Logging.layer(settings))
  )

/** The engine's client with the worker of our kind. */
const client = ({ database, river }: Settings.Settings, { traced }: Telemetry.Telemetry) =>
  Layer.unwrap(
    Effect.map(PresignWorker.make({ schema: river.schema, timeout: river.jobTimeout, traced }), (worker) =>
      Client.layer(
        {
          ...river,
          clientName: river.clientId,
          host: hostname(),
          marker: "s3signer",
          listen: database.listen === "off" ? undefined : database.listen,
          wakeChannels: ["upload_url_request"],
          traced
        },
        [worker]
      )
    )
  )

const credentials = ({ credentials }: Settings.S3Settings) =>
  Credentials.layer(credentials && { ...credentials, accessKeyId: Redacted.value(credentials.accessKeyId) })

/** Says how it runs, once it does; and, before anything else ends, that it stops. */
const started = ({ river, s3, warnings }: Settings.Settings, telemetry: Telemetry.Telemetry) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { clientId } = yield* ClientConfig
      for (const warning of [...warnings, ...telemetry.warnings]) yield* Effect.logWarning(warning)
      yield* Effect.logInfo("working").pipe(
        Effect.annotateLogs({ client: clientId, queue: river.queue, slots: river.maxWorkers, bucket: s3.bucket })
      )
      yield* Effect.addFinalizer(() => Effect.logInfo("stopping: running jobs may finish, no more are claimed"))
    })
  )

/** What the whole stop has beyond the soft-stop time; whatever hangs then is left behind. */
const stopGrace = Duration.millis(4500)

/** Works until it is interrupted, then stops in order. */
export const work = Effect.gen(function* () {
  const settings = yield* Settings.load
  const scope = yield* Scope.make()
  const run = Layer.buildWithScope(layers(settings, Telemetry.fromEnvironment(process.env)), scope)

  const stop = Effect.gen(function* () {
    const closing = yield* Effect.forkDetach(Scope.close(scope, Exit.void), { startImmediately: true })
    yield* Effect.timeoutOption(Fiber.await(closing), Duration.sum(settings.river.softStopTimeout, stopGrace))
  })
  return yield* Effect.ensuring(Effect.andThen(run, Effect.never), stop)
})
