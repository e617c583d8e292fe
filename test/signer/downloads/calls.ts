/**
 * What the tests of the download SQL share: the calls of a caller, the worker's answer, and what a refusal says.
 */
import * as Effect from "effect/Effect"
import { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"

/** The id of the nth file. */
export const fileId = (n: number): string => `0190a000-0000-7000-8000-${String(n).padStart(12, "0")}`

/** Asks for one file, or for several. Answers with the id of the request. */
export const ask = (
  files: string | ReadonlyArray<string>,
  inline = false
): Effect.Effect<string, SqlError, SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient
    const [row] = yield* typeof files === "string"
      ? sql<{ readonly id: string }>`SELECT public.request_download_url(${files}::pg_catalog.uuid, ${inline}) AS id`
          .unprepared
      : sql<{
          readonly id: string
        }>`SELECT public.request_download_urls(${[...files]}::pg_catalog.uuid[], ${inline}) AS id`.unprepared
    return row!.id
  })

export interface Answer {
  readonly status: string
  readonly url: string | null
  readonly file_id: string | null
  readonly error: string | null
  readonly expires_at: Date | null
}

/** A row of an answer that says nothing but its status and its file. */
export const blank = { url: null, error: null, expires_at: null }

/** What a request's answer shows. */
export const read = (id: string): Effect.Effect<ReadonlyArray<Answer>, SqlError, SqlClient> =>
  Effect.flatMap(
    SqlClient,
    (sql) => sql<Answer>`SELECT * FROM public.get_download_url(${id}::pg_catalog.uuid)`.unprepared
  )

/** Answers a request as the worker does. */
export const answers = (id: string, list: ReadonlyArray<{ readonly url: string } | { readonly error: string }>) =>
  Effect.flatMap(
    SqlClient,
    (sql) =>
      sql`
      UPDATE metadata.file_download_requests
      SET status = 'completed', answers = ${JSON.stringify(list)}::jsonb, expires_at = '2030-01-01T00:00:00Z'
      WHERE id = ${id}::pg_catalog.uuid`.unprepared
  )

/** Why the server said no: the SQLSTATE and the message. */
export const refusal = <A, R>(call: Effect.Effect<A, SqlError, R>) =>
  Effect.map(Effect.flip(call), ({ reason: { cause } }) => {
    const { code, message } = cause as { readonly code: string; readonly message: string }
    return { code, message }
  })
