/**
 * Reads download requests for the attempts that answer them: one statement for all jobs of a claim.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Results from "effect/Result"
import * as Schema from "effect/Schema"
import { Database, describe, type Job, JobSnooze, severity } from "../../river/index.ts"
import type { UnusableRequest } from "../requests/UnusableRequest.ts"
import { type DownloadRequest, downloadRequestGetMany } from "./DownloadRequests.ts"
import * as S3PresignDownload from "./S3PresignDownload.ts"

export interface RequestLookup {
  /** Reads the requests of these jobs. */
  readonly read: (jobs: ReadonlyArray<Job>) => Effect.Effect<void>
  /**
   * The request of a job that was read; undefined when there is none. It fails with a snooze when the database was away
   * or silent, which uses up no attempt, else with what is wrong.
   */
  readonly requestOf: (
    job: Job
  ) => Effect.Effect<DownloadRequest | undefined, UnusableRequest | JobSnooze | RequestUnread>
}

/** The database refuses to give the request; the message says why. */
export class RequestUnread extends Schema.TaggedError<RequestUnread>()("RequestUnread", { message: Schema.String }) {}

type Read = Results.Result<DownloadRequest | undefined, UnusableRequest | JobSnooze | RequestUnread>

const away = new JobSnooze({ duration: Duration.seconds(1) })

/** A silent database is waited for no longer than this; the jobs wait with it. */
const patience = Duration.seconds(2)

export const make = Effect.fnUntraced(function* (schema: string) {
  const { run, sql } = yield* Database
  const requests = new WeakMap<Job, Read>()

  const read = (jobs: ReadonlyArray<Job>) => {
    const ids = new Map(jobs.map((job) => [job, S3PresignDownload.parse(job.args)]))
    const wanted = [...ids.values()].flatMap((id) => (Results.isSuccess(id) ? [id.success] : []))
    return Effect.map(Effect.result(run(downloadRequestGetMany(sql, { ids: wanted, schema }), patience)), (rows) => {
      const found = Results.mapBoth(rows, {
        onFailure: (fault) =>
          severity(fault) === "data"
            ? new RequestUnread({ message: `could not read the request: ${describe(fault)}` })
            : away,
        onSuccess: (rows) => new Map(rows.map((row) => [row.id, row]))
      })
      for (const [job, id] of ids) {
        requests.set(
          job,
          Results.flatMap(id, (id) => Results.map(found, (byId) => byId.get(id)))
        )
      }
    })
  }

  const lookup: RequestLookup = {
    read,
    requestOf: (job) => Effect.fromResult(requests.get(job) ?? Results.fail(away))
  }
  return lookup
})
