/**
 * The command `work`: the process that answers requests until it is told to stop.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { hostname } from "node:os"
import * as Pool from "./Database.ts"
import * as Logging from "./Logging.ts"
import { makeRedaction, type Redaction } from "./Redaction.ts"
import { Client, ClientConfig, Database } from "./river/index.ts"
import * as Settings from "./settings/Settings.ts"
import * as DownloadRequests from "./signer/downloads/DownloadRequests.ts"
import * as DownloadWorker from "./signer/downloads/DownloadWorker.ts"
import * as Closer from "./signer/requests/Closer.ts"
import { Credentials } from "./signer/credentials/Credentials.ts"
import { Presigner } from "./signer/s3/Presigner.ts"
import * as UploadWorker from "./signer/uploads/UploadWorker.ts"
import * as RequestRetention from "./signer/requests/RequestRetention.ts"
import { TableCheck } from "./TableCheck.ts"
import * as UploadRequests from "./signer/uploads/UploadRequests.ts"
import * as Telemetry from "./Telemetry.ts"

/** Everything that runs, put together. Read from the top down, the list is the shutdown. */
const layers = (settings: Settings.Settings, telemetry: Telemetry.Telemetry) => {
  const redaction = makeRedaction(settings.secrets)
  return started(settings, telemetry).pipe(
    Layer.provide(chores(settings)),
    Layer.provide(client(settings, telemetry, redaction)),
    Layer.provide(
      TableCheck.layer({ schema: settings.river.schema, requestRetention: settings.requestRetention !== undefined })
    ),
    Layer.provide(Presigner.layer({ ...settings.s3, downloadLifetime: settings.s3.downloadUrlLifetime })),
    Layer.provide(
      Credentials.layer(settings.s3.keys, {
        minimumLifetime: settings.s3.minUrlLifetime,
        region: settings.s3.destinations.standard.region,
        onFound: redaction.learn
      })
    ),
    Layer.provide(Database.layer),
    Layer.provide(Pool.layer(settings.database)),
    Layer.provide(Telemetry.layer(telemetry, redaction)),
    Layer.provide(Logging.layer(settings, redaction))
  )
}

/** What ends and clears away requests that no job answers. */
const chores = ({ requestRetention }: Settings.Settings) =>
  Layer.unwrap(
    Effect.map(TableCheck, ({ downloads }) => {
      const tables = [UploadRequests.requests, ...(downloads ? [DownloadRequests.requests] : [])]
      return Layer.merge(Closer.layer(tables), RequestRetention.layer(requestRetention, tables))
    })
  )

/** The engine's client with the workers of our kinds. */
const client = (
  { database, river, s3 }: Settings.Settings,
  { traced }: Telemetry.Telemetry,
  { redact }: Pick<Redaction, "redact">
) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { downloads } = yield* TableCheck
      const { destinations } = s3
      const options = { schema: river.schema, timeout: river.jobTimeout, destinations, traced }
      const workers = [yield* UploadWorker.make(options), ...(downloads ? [yield* DownloadWorker.make(options)] : [])]
      return Client.layer(
        {
          ...river,
          clientName: river.clientId,
          host: hostname(),
          marker: "s3signer",
          listen: database.listen === "off" ? undefined : database.listen,
          wakeChannels: ["upload_url_request"],
          traced,
          redact
        },
        workers
      )
    })
  )

/** Says how it runs, once it does; and, before anything else ends, that it stops. */
const started = ({ river, s3, warnings }: Settings.Settings, telemetry: Telemetry.Telemetry) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { clientId, workers } = yield* ClientConfig
      const { bucket } = s3.destinations.standard
      const kinds = workers.map(({ kind }) => kind).join(",")
      for (const warning of [...warnings, ...telemetry.warnings]) yield* Effect.logWarning(warning)
      yield* Effect.logInfo("working").pipe(
        Effect.annotateLogs({ client: clientId, queue: river.queue, kinds, slots: river.maxWorkers, bucket })
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
