/**
 * Whether a claim costs more when a million jobs wait and another million have ended.
 */
import { setTimeout as sleep } from "node:timers/promises"
import type { Bench, Measured, Measurement } from "./Bench.ts"
import { empty } from "./Backlog.ts"
import { type Claims, claimsSoFar, forget, withStatistics } from "./Claims.ts"
import { number } from "./Report.ts"
import type { Sql } from "./Sql.ts"
import { median } from "./Statistics.ts"
import { startWorker } from "./Worker.ts"

const few = 10_000
const many = 1_000_000
/** Of the waiting jobs so many are claimed in a round, by a process that is started for it. */
const claimed = 8000
const mostRounds = 5

/** Rows in one statement of the filling. */
const chunk = 50_000

export const backlog: Measurement = {
  name: "backlog",
  run: (bench) =>
    withStatistics(bench, async (bench) => {
      const { progress, sql } = bench
      const rounds = Math.min(bench.runs, mostRounds)
      const steps = (2 * many) / chunk + 2 * rounds
      let step = 0
      const next = (what: string) => progress.show(`backlog: ${what}`, step++, steps)
      // The jobs are inserted with their requests, at times of our choice.
      await sql.query("alter table metadata.file_upload_requests disable trigger user")

      const small: Array<Claims> = []
      for (let round = 0; round < rounds; round++) {
        next(`${number(few)} waiting`)
        await empty(sql)
        await insertWaiting(sql, few)
        await tidy(sql)
        small.push(await claim(bench))
      }

      await empty(sql)
      for (let done = 0; done < many; done += chunk) {
        next("inserting a million that have ended")
        await insertEnded(sql, chunk)
      }
      for (let done = 0; done < many; done += chunk) {
        next("inserting a million that wait")
        await insertWaiting(sql, chunk)
      }
      const large: Array<Claims> = []
      for (let round = 0; round < rounds; round++) {
        next(`${number(many)} waiting`)
        await tidy(sql)
        large.push(await claim(bench))
      }
      return measured(rounds, small, large)
    })
}

const args = `jsonb_build_object('request_id', r.id::text, 'file_name', r.file_name, 'file_type', r.file_type,
  'entity_type', r.entity_type, 'entity_id', r.entity_id)`

const request = `'documents' as entity_type, gen_random_uuid()::text as entity_id, 'photo ' || i || '.jpeg' as file_name,
  'image/jpeg' as file_type`

/** Requests and their jobs, due one after the other. */
const insertWaiting = (sql: Sql, count: number) =>
  sql.query(
    `with r as (
       insert into metadata.file_upload_requests (entity_type, entity_id, file_name, file_type)
       select ${request} from generate_series(1, $1::int) i returning *
     )
     insert into metadata.river_job (kind, queue, priority, max_attempts, args, scheduled_at)
     select 's3_presign', 's3_signer', 1, 25, ${args}, now() + row_number() over () * interval '1 microsecond'
     from r`,
    [count]
  )

/** Jobs that completed within the last hours, too young to be cleaned away. */
export const insertEnded = (sql: Sql, count: number) =>
  sql.query(
    `insert into metadata.river_job (state, attempt, attempted_at, attempted_by, finalized_at, created_at, scheduled_at,
       kind, queue, priority, max_attempts, args)
     select 'completed', 1, at, array['bench'], at, at, at, 's3_presign', 's3_signer', 1, 25, ${args}
     from (
       select gen_random_uuid() as id, ${request}, now() - interval '12 hours' * random() as at
       from generate_series(1, $1::int) i
     ) r`,
    [count]
  )

const tidy = async (sql: Sql) => {
  await sql.query("vacuum analyze metadata.file_upload_requests")
  await sql.query("vacuum analyze metadata.river_job")
  await sql.query("checkpoint")
}

/** The cost of `claimed` jobs, claimed and worked by a process as it comes. */
const claim = async (bench: Bench): Promise<Claims> => {
  const { sql } = bench
  await forget(sql)
  const worker = startWorker(bench)
  const enough = async () => {
    for (;;) {
      await sleep(20)
      const claims = await claimsSoFar(sql)
      if (claims.jobs >= claimed) return claims
    }
  }
  const claims = await Promise.race([enough(), worker.diedEarly])
  await worker.stop()
  return claims
}

const measured = (rounds: number, small: ReadonlyArray<Claims>, large: ReadonlyArray<Claims>): Measured => {
  const rows = [
    { name: `${number(few)} wait, none has ended`, ...ofRounds(small) },
    { name: `${number(many)} wait, ${number(many)} have ended`, ...ofRounds(large) }
  ] as const
  const [least, most] = rows
  const ratio = most.microseconds / least.microseconds
  const pages = most.pages / least.pages
  return {
    table: {
      columns: ["claims", "µs/job", "worst and best", "pages/job", "jobs/claim", "longest, ms"],
      rows: [
        ...rows.map((row) => [
          row.name,
          number(row.microseconds),
          `${number(Math.max(...row.rounds))} – ${number(Math.min(...row.rounds))}`,
          number(row.pages, 1),
          number(row.jobsAClaim),
          number(row.longest)
        ]),
        ["ratio", number(ratio, 2), "", number(pages, 2), "", ""]
      ],
      note:
        `PostgreSQL's own time and pages of the claims of one process as it comes, by its statistics, planning ` +
        `included; medians of ${rounds} rounds of ${number(claimed)} jobs.`
    },
    figures: { rows, ratio, pages },
    goals: [
      {
        goal: `a claim with a million jobs waiting and a million ended costs at most twice as much, in time and in pages: ${number(ratio, 1)} and ${number(pages, 1)} times`,
        met: ratio <= 2 && pages <= 2
      }
    ]
  }
}

const ofRounds = (rounds: ReadonlyArray<Claims>) => {
  const microseconds = rounds.map(({ jobs, milliseconds }) => (milliseconds * 1000) / jobs)
  return {
    microseconds: median(microseconds),
    pages: median(rounds.map(({ jobs, pages }) => pages / jobs)),
    jobsAClaim: median(rounds.map(({ claims, jobs }) => jobs / claims)),
    longest: median(rounds.map(({ longest }) => longest)),
    rounds: microseconds
  }
}
