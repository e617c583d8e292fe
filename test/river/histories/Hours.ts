/**
 * Time in a history: rows are made older than they are, instead of waiting for hours; and moments are waited for.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"

/** How long everything may take to end once there is peace. */
const peace = Duration.seconds(30)

/** Hours in a queue; patient ones let claims of our clients get old by themselves. */
export const make = Effect.fnUntraced(function* (queue: string, { patient }: { readonly patient: boolean }) {
  const sql = yield* SqlClient.SqlClient
  const aged = sql.literal(patient ? "attempted_by[cardinality(attempted_by)] LIKE 'gopher%'" : "true")

  /** Two hours pass for a share of the running jobs: for one client's, or those claimed so many milliseconds ago. */
  const ageRunning = (of: { readonly share?: number; readonly client?: string; readonly claimedFor?: number }) =>
    sql`UPDATE metadata.river_job SET attempted_at = attempted_at - interval '2 h'
      WHERE queue = ${queue} AND state = 'running' AND attempted_at > now() - interval '1 h' AND ${aged}
        AND random() < ${of.share ?? 1} AND attempted_at < now() - ${of.claimedFor ?? 0} * interval '1 ms'
        AND coalesce(${of.client ?? null}::text = attempted_by[cardinality(attempted_by)], true)`

  /** Whatever a share of the jobs wait for has come. */
  const ageWaiting = (share: number) =>
    sql`UPDATE metadata.river_job SET scheduled_at = now()
      WHERE queue = ${queue} AND state IN ('available', 'retryable', 'scheduled') AND scheduled_at > now()
        AND random() < ${share}`

  /** A minute passes for requests: one without a job is no longer taken for one whose job is on its way. */
  const ageRequests = sql`UPDATE metadata.file_upload_requests SET created_at = created_at - interval '1 min'
    WHERE entity_type = ${queue} AND status = 'pending' AND created_at > now() - interval '1 min'`

  /**
   * Waits, so many milliseconds at most, for the worst moment for a word of this client's to arrive late: one of its jobs
   * has been claimed anew, and runs.
   */
  const worstMoment = (client: string, atMost: number) =>
    Effect.gen(function* () {
      const [began] = yield* sql<{ readonly at: string }>`SELECT clock_timestamp()::text AS at`
      const claimedAnew = sql`SELECT FROM metadata.river_job WHERE queue = ${queue} AND state = 'running'
        AND ${client} = ANY (attempted_by[: cardinality(attempted_by) - 1])
        AND attempted_at > ${began?.at ?? ""}::timestamptz`
      const look = Effect.delay(claimedAnew, Duration.millis(20))
      yield* Effect.repeat(look, { until: (jobs) => jobs.length > 0 })
    }).pipe(Effect.timeoutOption(Duration.millis(atMost)), Effect.ignore)

  const unfinished = sql<{ readonly what: string }>`
    SELECT 'job ' || id || ' is ' || state || ' at attempt ' || attempt AS what FROM metadata.river_job
    WHERE queue = ${queue} AND state NOT IN ('cancelled', 'completed', 'discarded')
    UNION ALL SELECT 'request ' || id || ' is ' || status FROM metadata.file_upload_requests
    WHERE entity_type = ${queue} AND status NOT IN ('completed', 'failed')`

  /** Lets time pass until everything has ended, or for as long as peace lasts; returns what has not ended then. */
  const untilAllEnded = Effect.gen(function* () {
    const deadline = (yield* Clock.currentTimeMillis) + Duration.toMillis(peace)
    for (;;) {
      yield* Effect.all([ageRunning({ claimedFor: 2000 }), ageWaiting(1), ageRequests])
      const left = yield* unfinished
      if (left.length === 0 || (yield* Clock.currentTimeMillis) > deadline) return left.map(({ what }) => what)
      yield* Effect.sleep("200 millis")
    }
  })

  return { ageRunning, ageWaiting, worstMoment, untilAllEnded }
})

export type Hours = Effect.Success<ReturnType<typeof make>>
