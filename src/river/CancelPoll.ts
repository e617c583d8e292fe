/**
 * Looks whether somebody asked to cancel what this client runs: a notification that tells it may be lost.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import { ClientConfig } from "./ClientConfig.ts"
import { Database } from "./Database.ts"
import type { Job } from "./Job.ts"
import { tables } from "./sql/river_job.ts"
import { jobGetCancelRequested } from "./sql/river_job_cancel.ts"
import { describe, severity } from "./SqlFault.ts"

/** Ids in one query. */
const batchSize = 1000

/**
 * Makes one look at the jobs that run when it begins; while none runs it asks nothing.
 *
 * It aborts just the attempts that ran when it began: a job may have ended and been claimed again meanwhile. A request
 * that was on the row already when it was claimed is an old one, left there by a retry, and aborts nothing.
 */
export const make = Effect.fnUntraced(function* (options: {
  readonly running: ReadonlyMap<bigint, Job>
  readonly abort: (job: Job) => Effect.Effect<void>
}) {
  const { schema } = yield* ClientConfig
  const { run, sql } = yield* Database
  const getCancelRequested = jobGetCancelRequested(sql, tables(schema))

  const lookFor = Effect.fnUntraced(function* (jobs: ReadonlyMap<bigint, Job>, ids: ReadonlyArray<bigint>) {
    for (const { cancel_attempted_at, id } of yield* run(getCancelRequested(ids))) {
      const job = jobs.get(id)
      if (job !== undefined && !equal(cancel_attempted_at, job.metadata?.cancel_attempted_at)) yield* options.abort(job)
    }
  })

  return Effect.suspend(() => {
    const jobs = new Map(options.running)
    return Effect.forEach(Arr.chunksOf(jobs.keys(), batchSize), (ids) => lookFor(jobs, ids), { discard: true })
  }).pipe(
    Effect.catch((fault) =>
      severity(fault) === "outage"
        ? Effect.void
        : Effect.logError(`could not look for cancelled jobs: ${describe(fault)}`)
    )
  )
})

/** Whether two values out of `jsonb` are the same; a claim shows none as null. */
const equal = (a: unknown, b: unknown) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null)
