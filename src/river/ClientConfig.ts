/**
 * What a client is told: where its jobs are, how many it runs, and how long it waits for what.
 */
import type * as PgConnection from "@effect/sql-pg/PgConnection"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ClientId from "./ClientId.ts"
import type { Worker } from "./Worker.ts"

export interface ClientOptions {
  /** The schema of River's tables. */
  readonly schema: string
  readonly queue: string
  /** The operator's name for this client; the host's name when there is none. */
  readonly clientName: string | undefined
  readonly host: string
  /** Marks the ids of this product's clients, so that they can rescue one another's jobs in seconds. */
  readonly marker: string
  /** Slots: jobs running at once. */
  readonly maxWorkers: number
  /** The longest that a waiting job goes unseen when no notification tells of it. */
  readonly fetchPollInterval: Duration.Duration
  /**
   * After a notification that brought no job, how long further ones are left alone; and how long a claim waits for half
   * of the slots.
   */
  readonly fetchCooldown: Duration.Duration
  /** After a stop was asked for, how long running jobs may go on. */
  readonly softStopTimeout: Duration.Duration
  /** The listening session's own connection; none means that the client only polls. */
  readonly listen: PgConnection.Config | undefined
  /** Channels besides River's on which a notification, whatever it says, means that jobs may be waiting. */
  readonly wakeChannels: ReadonlyArray<string>
  /** Whether each attempt is a span; off costs nothing. */
  readonly traced: boolean
  /** Hides secrets in the texts of errors, before they are written into rows. Defaults to leaving them as they are. */
  readonly redact?: ((text: string) => string) | undefined
}

export class ClientConfig extends Context.Service<
  ClientConfig,
  ClientOptions & { readonly clientId: string; readonly workers: ReadonlyArray<Worker> }
>()("river/ClientConfig") {
  static readonly layer = (options: ClientOptions, workers: ReadonlyArray<Worker>) =>
    Layer.effect(
      ClientConfig,
      Effect.map(
        ClientId.make({ name: options.clientName, host: options.host, marker: options.marker }),
        (clientId) => ({ ...options, clientId, workers })
      )
    )
}
