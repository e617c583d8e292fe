/**
 * What others do in River's tables: programs that insert, River's Go client and its leader, River UI, people at a SQL
 * prompt.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import { kind } from "../../../src/signer/uploads/S3Presign.ts"
import type { NewJob, Pick } from "./Plan.ts"

const final = "('cancelled', 'completed', 'discarded')"

/** Hands in a history: whatever they touch is of its queue. */
export const make = Effect.fnUntraced(function* (queue: string) {
  const sql = yield* SqlClient.SqlClient

  /** Runs a statement about one job of those that a condition holds for, if there is one. */
  const onOne = (where: string, pick: Pick, statement: (id: bigint) => Effect.Effect<unknown, unknown>) =>
    Effect.gen(function* () {
      const jobs = yield* sql<{ readonly id: bigint }>`
        SELECT id FROM metadata.river_job WHERE queue = ${queue} AND ${sql.literal(where)} ORDER BY id`
      const job = jobs[Math.floor(pick * jobs.length)]
      if (job !== undefined) yield* statement(job.id)
    })

  const update = (where: string, set: string) => (pick: Pick) =>
    onOne(
      where,
      pick,
      (id) => sql`UPDATE metadata.river_job SET ${sql.literal(set)} WHERE id = ${id} AND ${sql.literal(where)}`
    )

  /** A request with its jobs, more than one as after a request was sent twice. */
  const insert = (jobs: ReadonlyArray<NewJob>) => sql`
      WITH request AS (
        INSERT INTO metadata.file_upload_requests (entity_type, entity_id, file_name, file_type)
        VALUES (${queue}, '1', 'a.txt', 'text/plain') RETURNING id
      )
      INSERT INTO metadata.river_job (kind, queue, args, priority, max_attempts, metadata, state, scheduled_at)
      SELECT ${kind}, ${queue}, jsonb_build_object('request_id', request.id, 'behaviours', behaviours), priority,
        max_attempts, metadata, CASE WHEN due <= 0 THEN 'available' ELSE 'scheduled' END::metadata.river_job_state,
        now() + due * interval '1 ms'
      FROM request, unnest(${jobs.map(({ priority }) => priority)}::int[],
        ${jobs.map(({ max_attempts }) => max_attempts)}::int[], ${jobs.map(({ due }) => due)}::int[],
        ${jobs.map(({ metadata }) => JSON.stringify(metadata))}::text[]::jsonb[],
        ${jobs.map(({ behaviours }) => JSON.stringify(behaviours))}::text[]::jsonb[])
        AS j(priority, max_attempts, due, metadata, behaviours)`

  const cancel = (pick: Pick, silent: boolean) =>
    onOne(
      `state NOT IN ${final}`,
      pick,
      (id) => sql`
        WITH job AS (SELECT id FROM metadata.river_job WHERE id = ${id} AND finalized_at IS NULL FOR UPDATE),
        told AS (SELECT pg_notify(${silent ? "nowhere" : "metadata.river_control"},
          json_build_object('action', 'cancel', 'job_id', id, 'queue', ${queue}::text)::text) FROM job)
        UPDATE metadata.river_job j SET
          metadata = jsonb_set(metadata, '{cancel_attempted_at}', to_jsonb(clock_timestamp())),
          state = CASE WHEN state = 'running' THEN state ELSE 'cancelled' END,
          finalized_at = CASE WHEN state = 'running' THEN NULL ELSE now() END
        FROM job WHERE j.id = job.id AND (SELECT count(*) FROM told) > 0`
    )

  const finish = (pick: Pick, as: string) =>
    update(`state NOT IN ${final}`, `state = '${as}', finalized_at = now()`)(pick)

  const retry = update(
    "state <> 'running' AND NOT (state = 'available' AND scheduled_at < now())",
    `state = 'available', scheduled_at = now(), finalized_at = NULL, metadata = metadata - 'cancel_attempted_at',
      max_attempts = CASE WHEN attempt = max_attempts THEN max_attempts + 1 ELSE max_attempts END`
  )

  /** River's leader gives up a claim after an hour, alive or not; here after no time. */
  const rescue = update(
    "state = 'running'",
    `state = CASE WHEN metadata ? 'cancel_attempted_at' THEN 'cancelled' WHEN attempt >= max_attempts THEN 'discarded'
        ELSE 'retryable' END::metadata.river_job_state,
      finalized_at = CASE WHEN metadata ? 'cancel_attempted_at' OR attempt >= max_attempts THEN now() END,
      scheduled_at = now() + interval '1 s',
      errors = array_append(errors, jsonb_build_object('at', now(), 'attempt', attempt,
        'error', 'Stuck job rescued by Rescuer', 'trace', '')),
      metadata = metadata || jsonb_build_object('river:rescue_count',
        coalesce((metadata ->> 'river:rescue_count')::int, 0) + 1)`
  )

  /** A Go client on the same queue, which claims a job and may never end it. */
  const claim = update(
    "state = 'available' AND scheduled_at <= now()",
    `state = 'running', attempt = attempt + 1, attempted_at = now(),
      attempted_by = array_append(attempted_by, 'gopher_2026_08_07T09_30_00_000000')`
  )
  const endClaim = update(
    "state = 'running' AND attempted_by[cardinality(attempted_by)] LIKE 'gopher%'",
    "state = 'completed', finalized_at = now()"
  )

  /** Parks what waits or runs; a workflow of River's would wake it again. */
  const park = update("state IN ('available', 'retryable', 'running')", "state = 'pending'")
  const unpark = sql`UPDATE metadata.river_job
    SET state = 'available', max_attempts = greatest(max_attempts, attempt + 1) WHERE queue = ${queue} AND state = 'pending'`

  const deleteOne = (where: string) => (pick: Pick) =>
    onOne(where, pick, (id) => sql`DELETE FROM metadata.river_job WHERE id = ${id} AND ${sql.literal(where)}`)

  const deleteRequest = (pick: Pick) =>
    onOne(
      "true",
      pick,
      (id) => sql`DELETE FROM metadata.file_upload_requests
        WHERE id = (SELECT (args ->> 'request_id')::uuid FROM metadata.river_job WHERE id = ${id})`
    )

  const pause = (paused: boolean) => sql`
    WITH told AS (SELECT pg_notify('metadata.river_control', json_build_object(
      'action', ${paused ? "pause" : "resume"}::text, 'queue', ${queue}::text)::text))
    UPDATE metadata.river_queue SET paused_at = CASE WHEN ${paused} THEN now() END, updated_at = now()
    WHERE name = ${queue} AND (SELECT count(*) FROM told) > 0`

  /** What somebody's transaction says to hold a job, or a job's request. */
  const locking = (pick: Pick, which: "job" | "request") =>
    Effect.gen(function* () {
      const jobs = yield* sql<{ readonly id: bigint; readonly request: string }>`
        SELECT id, args ->> 'request_id' AS request FROM metadata.river_job
        WHERE queue = ${queue} AND state IN ('available', 'running') ORDER BY id`
      const job = jobs[Math.floor(pick * jobs.length)]
      if (job === undefined) return []
      return which === "job"
        ? [`SELECT FROM metadata.river_job WHERE id = ${job.id} FOR UPDATE`]
        : [`SELECT FROM metadata.file_upload_requests WHERE id = '${job.request}' FOR UPDATE`]
    })

  return {
    insert,
    cancel,
    finish,
    retry,
    rescue,
    claim,
    "end claim": endClaim,
    park,
    unpark,
    delete: deleteOne("state <> 'running'"),
    "delete anyhow": deleteOne("state = 'running'"),
    "delete request": deleteRequest,
    pause,
    locking
  }
})

export type Hands = Effect.Success<ReturnType<typeof make>>
