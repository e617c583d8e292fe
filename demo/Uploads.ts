/**
 * What a browser asks of PostgreSQL for an upload and a download, call by call as through PostgREST.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import type * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Redacted from "effect/Redacted"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"

/** The row of `metadata.river_job`; timestamps as PostgreSQL writes them, in microseconds. */
export interface JobRow {
  readonly id: number
  readonly state: string
  readonly attempt: number
  readonly max_attempts: number
  readonly created_at: string
  readonly attempted_at: string | null
  readonly finalized_at: string | null
  /** The newest of its errors. */
  readonly error: string | null
}

export interface Request {
  readonly status: string
  readonly url: string | null
  readonly fileId: string | null
  readonly error: string | null
  /** From before the RPC until a query showed the URL, in milliseconds; null until then. */
  readonly signedMs: number | null
  readonly job: JobRow | null
}

export interface Uploads {
  readonly version: () => Promise<string>
  readonly request: (fileName: string, fileType: string) => Promise<string>
  readonly get: (requestId: string) => Promise<Request | undefined>
  /** Writes the file's record. False when the request has no URL; a second call changes nothing. */
  readonly stored: (requestId: string, fileSize: number, bucket: string) => Promise<boolean>
  /** The newest 50 requests, newest first, each with its file if that was uploaded, and with its job. */
  readonly list: () => Promise<ReadonlyArray<unknown>>
  /** A URL that gives the file, to be shown or to be saved; undefined when there is no such file. */
  readonly download: (fileId: string, inline: boolean) => Promise<string | undefined>
  readonly close: () => Promise<void>
}

interface Download {
  readonly status: string
  readonly url: string | null
  readonly error: string | null
}

/** The demo's files all belong to one entity. */
const entity = { type: "demo", id: "1" }

export const openUploads = (databaseUrl: string): Uploads => {
  const runtime = ManagedRuntime.make(
    PgClient.layer({
      url: Redacted.make(databaseUrl),
      minConnections: 4,
      maxConnections: 8,
      applicationName: "s3-signer-demo"
    })
  )
  const run = <A>(query: (sql: SqlClient.SqlClient) => Effect.Effect<A, SqlError>): Promise<A> =>
    runtime.runPromise(SqlClient.SqlClient.use(query))
  const started = new Map<string, number>()
  const signedMs = new Map<string, number>()

  /** Notes that a query has just shown the URL; the first one counts. */
  const seen = (id: string) => {
    const since = started.get(id)
    if (since !== undefined && !signedMs.has(id)) signedMs.set(id, performance.now() - since)
  }

  // Asks every millisecond at first, then less often: nobody should wait for a worker that is not there.
  const watch = async (id: string, since: number) => {
    while (performance.now() - since < 15_000) {
      const [row] = await run((sql) => sql`SELECT status FROM public.get_upload_url(${id}::uuid)`)
      if (row?.["status"] === "completed") seen(id)
      if (row?.["status"] !== "pending" && row?.["status"] !== "processing") return
      await new Promise((resolve) => setTimeout(resolve, performance.now() - since < 250 ? 1 : 25))
    }
  }

  return {
    version: async () => {
      // Four at once: so many connections are open before a request is timed.
      const shown = await Promise.all(
        [1, 2, 3, 4].map(() => run((sql) => sql<{ readonly server_version: string }>`SHOW server_version`))
      )
      return shown[0]?.[0]?.server_version ?? ""
    },

    request: async (fileName, fileType) => {
      const since = performance.now()
      const [row] = await run(
        (sql) => sql<{ readonly id: string }>`
          SELECT public.request_upload_url(${entity.type}, ${entity.id}, ${fileName}, ${fileType})::text AS id`
      )
      const { id } = row!
      started.set(id, since)
      void watch(id, since).catch(() => {})
      return id
    },

    get: async (requestId) => {
      const [row] = await run(
        (sql) => sql<{ readonly request: Omit<Request, "signedMs"> }>`
          SELECT jsonb_build_object(
              'status', upload.status, 'url', upload.url, 'fileId', upload.file_id, 'error', upload.error,
              'job', ${jobOf(sql, sql`${requestId}::text`)}) AS request
          FROM public.get_upload_url(${requestId}::uuid) AS upload`
      )
      if (row?.request.status === "completed") seen(requestId)
      return row && { ...row.request, signedMs: signedMs.get(requestId) ?? null }
    },

    stored: async (requestId, fileSize, bucket) => {
      const rows = await run(
        (sql) => sql`
          SELECT CASE WHEN file.id IS NULL THEN public.create_file_record(request.file_id, request.entity_type,
            request.entity_id, request.file_name, request.file_type, ${BigInt(fileSize)}, ${bucket}, request.s3_key) END
          FROM metadata.file_upload_requests AS request
          LEFT JOIN metadata.files AS file ON file.id = request.file_id
          WHERE request.id = ${requestId}::uuid AND request.status = 'completed'`
      )
      return rows.length === 1
    },

    list: async () => {
      const rows = await run(
        (sql) => sql<{ readonly id: string; readonly upload: object }>`
          SELECT request.id::text, jsonb_build_object(
              'file_name', request.file_name, 'file_type', request.file_type, 'created_at', request.created_at,
              'status', request.status, 'error_message', request.error_message, 'file_id', request.file_id,
              'file_size', file.file_size, 'stored', file.id IS NOT NULL,
              'job', ${jobOf(sql, sql`request.id::text`)}) AS upload
          FROM metadata.file_upload_requests AS request
          LEFT JOIN metadata.files AS file ON file.id = request.file_id
          WHERE request.entity_type = ${entity.type}
          ORDER BY request.created_at DESC LIMIT 50`
      )
      return rows.map(({ id, upload }) => ({ ...upload, signedMs: signedMs.get(id) ?? null }))
    },

    download: async (fileId, inline) => {
      const since = performance.now()
      const [file] = await run((sql) => sql`SELECT FROM metadata.files WHERE id = ${fileId}::uuid`)
      if (file === undefined) return undefined
      const [request] = await run(
        (sql) => sql<{ readonly id: string }>`SELECT public.request_download_url(${fileId}::uuid, ${inline}) AS id`
      )
      while (performance.now() - since < 15_000) {
        const [answer] = await run(
          (sql) => sql<Download>`SELECT status, url, error FROM public.get_download_url(${request!.id}::uuid)`
        )
        if (answer?.url) return answer.url
        if (answer?.status === "failed") throw new Error(answer.error ?? "the request failed")
        await new Promise((resolve) => setTimeout(resolve, performance.now() - since < 250 ? 1 : 25))
      }
      throw new Error("no worker has answered within 15 seconds")
    },

    close: () => runtime.dispose()
  }
}

/** The job of a request as JSON; null when there is none. */
const jobOf = (sql: SqlClient.SqlClient, requestId: ReturnType<SqlClient.SqlClient["literal"]>) => sql`(
  SELECT jsonb_build_object(
      'id', job.id, 'state', job.state, 'attempt', job.attempt, 'max_attempts', job.max_attempts,
      'created_at', job.created_at, 'attempted_at', job.attempted_at, 'finalized_at', job.finalized_at,
      'error', job.errors[array_upper(job.errors, 1)] ->> 'error')
  FROM metadata.river_job AS job
  WHERE job.kind = 's3_presign' AND job.args @> jsonb_build_object('request_id', ${requestId})
  ORDER BY job.id LIMIT 1)`
