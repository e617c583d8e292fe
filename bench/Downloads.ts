/**
 * How many waiting downloads of one file each a process answers in a second, beside plain uploads.
 */
import { type Bench, type Measurement, withDatabase } from "./Bench.ts"
import { type Requests, runIn } from "./Backlog.ts"
import { besideUploads } from "./BesideUploads.ts"
import * as Drain from "./Drain.ts"
import { number } from "./Report.ts"
import type { Sql } from "./Sql.ts"

/** One file each; as many files are there. */
const requests: Requests = {
  table: "metadata.file_download_requests",
  insert: `
    insert into metadata.file_download_requests (file_ids)
    select array[id] from (select id from metadata.files order by id limit $1::int) f`,
  answered: `r.answers #>> '{0,url}' like '%/civic-os-files/' || (r.files #>> '{0,key}') || '?%'
    and r.answers #>> '{0,url}' like '%X-Amz-Signature=%' and r.answers #>> '{0,url}' like '%response-content-type=image%2Fjpeg%'`
}

export const downloads: Measurement = {
  name: "downloads",
  run: (bench) =>
    withDatabase(bench, { downloads: true }, async (bench) => {
      await insertFiles(bench.sql, bench.jobs + runIn)
      const { figures, goal, rows } = await compare(bench)
      return {
        table: {
          columns: Drain.columns(bench.jobs, "of uploads"),
          rows,
          note:
            `By one process started for each drain, uploads and downloads in turn, in a database that has both; from commit to commit, ` +
            `without the first ${number(runIn)} jobs; medians of ${bench.runs} rounds, of ratios as well. Each download asks for one ` +
            `file. Its job's args name the request and nothing else, so the process reads the request before it signs.`
        },
        figures,
        goals: [goal]
      }
    })
}

const compare = (bench: Bench) =>
  besideUploads(bench, {
    name: "downloads",
    plain: "uploads",
    drain: (options) => Drain.drain(bench, { ...options, requests })
  })

/** Files as they are recorded after their upload. */
export const insertFiles = async (sql: Sql, count: number): Promise<void> => {
  await sql.query(
    `insert into metadata.files (id, entity_type, entity_id, file_name, file_type, file_size, s3_original_key)
     select id, 'documents', '42', 'photo ' || i || '.jpeg', 'image/jpeg', 100000, 'documents/42/' || id || '/original.jpeg'
     from (select gen_random_uuid() as id, i from generate_series(1, $1::int) i) f`,
    [count]
  )
  await sql.query("vacuum analyze metadata.files")
}
