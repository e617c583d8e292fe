/**
 * Notes every write to jobs and requests, as the database does it: triggers on both tables, installed by the test.
 */
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"

/** A job as it was before or after a write. Times are RFC 3339 in UTC with microseconds: texts that sort. */
export interface JobFacts {
  readonly state: string
  readonly attempt: number
  readonly max_attempts: number
  readonly attempted_at: string | null
  readonly attempted_by: ReadonlyArray<string> | null
  readonly errors: ReadonlyArray<{ readonly error: string; readonly attempt: number }> | null
  readonly finalized_at: string | null
  readonly scheduled_at: string
  readonly metadata: Readonly<Record<string, unknown>>
  readonly args: unknown
}

export interface RequestFacts {
  readonly status: "pending" | "completed" | "failed"
  readonly presigned_url: string | null
  readonly file_id: string | null
  readonly error_message: string | null
}

interface Noted {
  /** In the order of the writes to one row. */
  readonly seq: number
  readonly id: string
  /** The request that it is about: for one of these, its own id. */
  readonly request: string
  /** The transaction, and its `now()`. */
  readonly tx: string
  readonly now: string
  /** What its session calls itself: a client of ours or the closer; null for everybody else. */
  readonly writer: string | null
}

/** A write; `before` is null for an insert, `after` for a deletion. */
export type JobEvent = Noted & {
  readonly of: "job"
  readonly before: JobFacts | null
  readonly after: JobFacts | null
}
export type RequestEvent = Noted & {
  readonly of: "request"
  readonly before: RequestFacts | null
  readonly after: RequestFacts | null
}
export type Event = JobEvent | RequestEvent

/** What is wrong in a history. */
export interface Fault {
  readonly says: string
  /** The write that is wrong, none when something did not happen at all. */
  readonly event?: Event
}

const utc = (instant: string) => `to_char((${instant}) AT TIME ZONE 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`

const statements = [
  // A request's job is inserted by the history, as it wants it.
  "DROP TRIGGER insert_s3_presign_job_trigger ON metadata.file_upload_requests",
  "CREATE SCHEMA history",
  `CREATE TABLE history.event (
    seq bigserial PRIMARY KEY, history text, "of" text, id text, request text, before jsonb, after jsonb,
    tx text DEFAULT pg_current_xact_id()::text, now text DEFAULT ${utc("now()")},
    writer text DEFAULT nullif(current_setting('history.writer', true), '')
  )`,
  `CREATE FUNCTION history.facts(j metadata.river_job) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT to_jsonb(j) || jsonb_build_object('attempted_at', ${utc("j.attempted_at")},
      'scheduled_at', ${utc("j.scheduled_at")}, 'finalized_at', ${utc("j.finalized_at")}) $$`,
  `CREATE FUNCTION history.note_job() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO history.event (history, "of", id, request, before, after) VALUES (coalesce(NEW.queue, OLD.queue), 'job',
      coalesce(NEW.id, OLD.id), coalesce(NEW.args, OLD.args) ->> 'request_id', CASE WHEN TG_OP <> 'INSERT' THEN history.facts(OLD) END,
      CASE WHEN TG_OP <> 'DELETE' THEN history.facts(NEW) END);
    RETURN NULL; END $$`,
  `CREATE FUNCTION history.note_request() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO history.event (history, "of", id, request, before, after) VALUES (coalesce(NEW.entity_type, OLD.entity_type),
      'request', coalesce(NEW.id, OLD.id), coalesce(NEW.id, OLD.id), CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END,
      CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END);
    RETURN NULL; END $$`,
  `CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON metadata.river_job
    FOR EACH ROW EXECUTE FUNCTION history.note_job()`,
  `CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON metadata.file_upload_requests
    FOR EACH ROW EXECUTE FUNCTION history.note_request()`
]

export const install = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  for (const statement of statements) yield* sql.unsafe(statement)
})

/** The way to the database under a name: what is written on it is noted as that writer's. */
export const urlOf = (url: string, writer: string): string => {
  const named = new URL(url)
  named.searchParams.set("options", `-c history.writer=${writer}`)
  return named.href
}

/** Everything written so far to the jobs of a queue and their requests. */
export const read = Effect.fnUntraced(function* (queue: string) {
  const sql = yield* SqlClient.SqlClient
  return yield* sql<Event>`
    SELECT seq::int AS seq, "of", id, request, tx, now, writer, before, after FROM history.event
    WHERE history = ${queue} ORDER BY seq`
})
