/**
 * Reads download requests for the attempts that answer them: one statement for all that begin together.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import { Database, describe, JobSnooze, severity } from "../../river/index.ts"
import { type DownloadRequest, downloadRequestGetMany } from "./DownloadRequests.ts"

class GetRequest extends Request.Class<{ readonly id: string }, DownloadRequest | undefined, JobSnooze | Error> {}

/** Requests in a statement: each may bring a thousand files. */
const batchSize = 500

/** While the database is away an attempt is not used up. */
const away = new JobSnooze({ duration: Duration.seconds(1) })

/**
 * A function from a request's id, in lower case, to the request; undefined when there is none. It fails with a snooze
 * when the database is away or silent for `within`, else with what the database says.
 */
export const make = Effect.fnUntraced(function* (options: {
  readonly schema: string
  readonly within: Duration.Duration
}) {
  const { run, sql } = yield* Database

  const resolver = RequestResolver.make<GetRequest>((entries) =>
    run(
      downloadRequestGetMany(sql, { ids: entries.map(({ request }) => request.id), schema: options.schema }),
      options.within
    ).pipe(
      Effect.map((rows) => {
        const byId = new Map(rows.map((row) => [row.id, row]))
        for (const entry of entries) entry.completeUnsafe(Exit.succeed(byId.get(entry.request.id)))
      }),
      Effect.mapError((fault) =>
        severity(fault) === "data" ? new Error(`could not read the request: ${describe(fault)}`) : away
      )
    )
  ).pipe(RequestResolver.batchN(batchSize))

  return (id: string): Effect.Effect<DownloadRequest | undefined, JobSnooze | Error> =>
    Effect.request(new GetRequest({ id }), resolver)
})
