/**
 * Uploads signed with temporary credentials, which live a minute: as fast as with keys that stay, and for longer than
 * any of them lives.
 */
import * as os from "node:os"
import { randomBytes } from "node:crypto"
import { performance } from "node:perf_hooks"
import { setTimeout as sleep } from "node:timers/promises"
import { type CredentialServer, startContainerEndpoint } from "../test/support/CredentialServers.ts"
import type { Bench, Measurement } from "./Bench.ts"
import { empty, runIn, uploads } from "./Backlog.ts"
import { besideUploads } from "./BesideUploads.ts"
import * as Drain from "./Drain.ts"
import { number } from "./Report.ts"
import { startWorker, type WorkerSettings } from "./Worker.ts"

/** Milliseconds that credentials live. */
const life = 60_000
/** So long they are used, so many at a time, so often; times are milliseconds. */
const load = { lasts: 75_000, requests: 500, every: 500 }

/** 1,000 characters, about as many as AWS's have. */
const token = randomBytes(750).toString("base64")

export const credentials: Measurement = {
  name: "credentials",
  run: async (bench) => {
    const endpoint = await startContainerEndpoint()
    try {
      endpoint.live(life)
      // Its own token is a few characters long.
      endpoint.fail({ fields: { Token: token } })
      const temporary: WorkerSettings = {
        S3_ACCESS_KEY_ID: undefined,
        S3_SECRET_ACCESS_KEY: undefined,
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `${endpoint.url}/credentials`,
        AWS_CONFIG_FILE: os.devNull,
        AWS_SHARED_CREDENTIALS_FILE: os.devNull,
        MIN_URL_LIFETIME: "10s"
      }
      const { figures, goal, rows } = await besideUploads(bench, {
        name: "temporary credentials",
        plain: "keys that stay",
        drain: ({ settings, ...options }) => Drain.drain(bench, { ...options, settings: { ...temporary, ...settings } })
      })
      const used = await use(bench, temporary, endpoint)
      const { failed, fetched, outlived, requests } = used
      return {
        table: {
          columns: Drain.columns(bench.jobs, "of keys that stay"),
          rows,
          note:
            `Uploads, by one process started for each drain, with either in turn; from commit to commit, without the first ` +
            `${number(runIn)} jobs; medians of ${bench.runs} rounds, of ratios as well. The credentials come from a container's ` +
            `endpoint, live ${life / 1000} s and have a token of ${number(token.length)} characters, which is in every URL. In ` +
            `${load.lasts / 1000} s of ${number((load.requests * 1000) / load.every)} requests a second they were fetched ` +
            `${number(fetched)} times, every ${number(used.seconds, 1)} s.`
        },
        figures: { rows: figures, used },
        goals: [
          goal,
          {
            goal: `in ${load.lasts / 1000} s of temporary credentials no job fails or takes a second attempt, and no URL outlives them: ${number(failed)} and ${number(outlived)} of ${number(requests)}`,
            met: failed === 0 && outlived === 0 && fetched > 1
          }
        ]
      }
    } finally {
      await endpoint.stop()
    }
  }
}

interface Use {
  readonly requests: number
  /** Jobs that did not complete at their first attempt. */
  readonly failed: number
  /** URLs that work for longer than what signed them. */
  readonly outlived: number
  /** How often credentials were fetched, and how many seconds lay between two fetches. */
  readonly fetched: number
  readonly seconds: number
}

/** A steady load on one process for longer than credentials live. */
const use = async (bench: Bench, settings: WorkerSettings, { issued }: CredentialServer): Promise<Use> => {
  const { progress, sql } = bench
  await empty(sql)
  const before = issued.length
  const worker = startWorker(bench, settings)
  const ask = async () => {
    const startedAt = performance.now()
    for (let at = 0; at < load.lasts; at += load.every) {
      progress.show("temporary credentials under load", at, load.lasts)
      await sql.query(uploads.insert, [load.requests])
      await sleep(Math.max(0, startedAt + at + load.every - performance.now()))
    }
    for (let open = true; open; await sleep(50)) {
      open = (
        await sql.one<{ open: boolean }>(`select exists (select from metadata.river_job where state not in
        ('completed', 'cancelled', 'discarded')) as open`)
      ).open
    }
  }
  await Promise.race([ask(), worker.diedEarly])
  await worker.stop()

  const { failed, requests } = await sql.one<{ requests: number; failed: number }>(
    `select count(*)::int as requests,
       count(*) filter (where (j.state = 'completed' and j.attempt = 1 and r.status = 'completed' and ${uploads.answered}) is not true)::int as failed
     from ${uploads.table} r left join metadata.river_job j on (j.args ->> 'request_id')::uuid = r.id`
  )
  const ends = await sql.query<{ key: string; end: number; urls: number }>(
    `select key, extract(epoch from at::timestamp at time zone 'utc' + lifetime)::float8 * 1000 as end, count(*)::int as urls
     from (
       select substring(presigned_url from 'X-Amz-Credential=([^%]+)') as key,
         to_timestamp(substring(presigned_url from 'X-Amz-Date=([^&]+)'), 'YYYYMMDD"T"HH24MISS"Z"') as at,
         substring(presigned_url from 'X-Amz-Expires=(\\d+)')::int * interval '1 second' as lifetime
       from ${uploads.table}
     ) u group by 1, 2`
  )
  const expirations = new Map(issued.map(({ accessKeyId, expiration }) => [accessKeyId, expiration]))
  const outlived = ends
    .filter(({ end, key }) => end > (expirations.get(key) ?? 0))
    .reduce((sum, { urls }) => sum + urls, 0)
  const times = issued.slice(before).map(({ at }) => at)
  return {
    requests,
    failed,
    outlived,
    fetched: times.length,
    seconds: ((times.at(-1) ?? NaN) - (times[0] ?? NaN)) / 1000 / (times.length - 1)
  }
}
