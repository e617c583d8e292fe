/**
 * How long users wait whose jobs a process took with it when it was killed, while another one is alive.
 */
import { setTimeout as sleep } from "node:timers/promises"
import type { Bench, Measurement } from "./Bench.ts"
import { empty } from "./Backlog.ts"
import { number } from "./Report.ts"
import { connect, type Sql } from "./Sql.ts"
import { median } from "./Statistics.ts"
import { startWorker, type Worker } from "./Worker.ts"

const inFlight = 1000
/** Each waits for ten seconds, until the other process may take the jobs for lost. */
const mostRounds = 3
/** Whatever takes longer has failed. */
const patience = 60_000

export const recovery: Measurement = {
  name: "recovery",
  run: async (bench) => {
    const rounds = Math.min(bench.runs, mostRounds)
    const recoveries: Array<Recovery> = []
    for (let round = 0; round < rounds; round++) {
      bench.progress.show("recovery", round, rounds)
      recoveries.push(await recover(bench))
    }
    const seconds = recoveries.map(({ seconds }) => seconds)
    const discarded = Math.max(...recoveries.map(({ discarded }) => discarded))
    const attempts = Math.max(...recoveries.map(({ attempts }) => attempts))
    const longest = Math.max(...seconds)
    return {
      table: {
        columns: ["a process is killed", "seconds", "shortest and longest", "discarded", "most attempts of a job"],
        rows: [
          [
            `until all ${number(inFlight)} that it had claimed are answered`,
            number(median(seconds), 1),
            `${number(Math.min(...seconds), 1)} – ${number(longest, 1)}`,
            number(discarded),
            number(attempts)
          ]
        ],
        note:
          `By SIGKILL, with ${number(inFlight)} jobs claimed and none settled, while another process was alive on the same ` +
          `queue; from the kill to the last commit, median of ${rounds} rounds. Ten seconds of it are the time after which a ` +
          `job counts as lost: the timeout of an attempt and 5 seconds more.`
      },
      figures: { seconds: median(seconds), discarded, attempts, rounds: seconds },
      goals: [
        {
          goal: `a killed process's jobs are answered within 15 s, none discarded, at their second attempt: ${number(longest, 1)} s, ${number(discarded)}, ${number(attempts)}`,
          met: longest <= 15 && discarded === 0 && attempts <= 2
        }
      ]
    }
  }
}

interface Recovery {
  /** From the kill to the commit of the last answer. */
  readonly seconds: number
  readonly discarded: number
  /** Of the job that needed most. */
  readonly attempts: number
}

const recover = async (bench: Bench): Promise<Recovery> => {
  const { sql } = bench
  await empty(sql)
  const survivor = startWorker(bench, { RIVER_CLIENT_ID: "survivor" })
  const answered = async () => {
    const { id } = await sql.one<{ id: string }>(
      "select public.request_upload_url('documents', '42', 'photo.jpeg', 'image/jpeg')::text as id"
    )
    await until(sql, "select status = 'completed' as holds from metadata.file_upload_requests where id = $1::uuid", [
      id
    ])
  }
  await Promise.race([answered(), survivor.diedEarly])
  await empty(sql)

  const killedAt = await killInFlight(bench, survivor)
  await Promise.race([
    until(
      sql,
      `select not exists (select from metadata.file_upload_requests where status = 'pending')
         and not exists (select from metadata.river_job where state = 'running') as holds`
    ),
    survivor.diedEarly
  ])
  await survivor.stop()

  const end = await sql.one<{ answered: number; to: number; discarded: number; attempts: number }>(
    `select count(*) filter (where j.state = 'completed' and r.status = 'completed' and r.presigned_url is not null)::int
         as answered,
       max(extract(epoch from pg_xact_commit_timestamp(r.xmin))::float8 * 1000) as to,
       count(*) filter (where j.state = 'discarded')::int as discarded, max(j.attempt)::int as attempts
     from metadata.file_upload_requests r join metadata.river_job j on (j.args ->> 'request_id')::uuid = r.id`
  )
  if (end.answered + end.discarded !== inFlight) throw new Error(`of ${inFlight} requests ${end.answered} have a URL`)
  return { seconds: (end.to - killedAt) / 1000, discarded: end.discarded, attempts: end.attempts }
}

/**
 * Kills a process that has claimed all jobs and settled none; when, milliseconds since the epoch.
 *
 * No job can be settled as long as somebody holds the rows of the requests: until the process is gone, a session does.
 * The survivor is halted while the other one claims.
 */
const killInFlight = async (bench: Bench, survivor: Worker): Promise<number> => {
  const { sql } = bench
  const holder = connect(bench.url, 1)
  try {
    process.kill(survivor.pid, "SIGSTOP")
    await sql.query(
      `insert into metadata.file_upload_requests (entity_type, entity_id, file_name, file_type)
       select 'documents', i::text, 'photo.jpeg', 'image/jpeg' from generate_series(1, $1::int) i`,
      [inFlight]
    )
    await holder.query("begin")
    await holder.query("select id from metadata.file_upload_requests for update")
    const named = new URL(bench.url)
    named.searchParams.set("application_name", "victim")
    const victim = startWorker({ ...bench, url: named.href }, { RIVER_CLIENT_ID: "victim", MAX_WORKERS: `${inFlight}` })
    const claimed = until(
      sql,
      "select count(*) = $1::int as holds from metadata.river_job where state = 'running' and attempted_by[1] like 'victim%'",
      [inFlight]
    )
    await Promise.race([claimed, victim.diedEarly])

    process.kill(survivor.pid, "SIGCONT")
    const killedAt = Date.now()
    process.kill(victim.pid, "SIGKILL")
    // A statement that was on its way when it died ends with the rows still held.
    await until(sql, "select not exists (select from pg_stat_activity where application_name = 'victim') as holds")
    await holder.query("rollback")
    const { running } = await sql.one<{ running: number }>(
      "select count(*)::int as running from metadata.river_job where state = 'running'"
    )
    if (running !== inFlight) throw new Error(`of ${inFlight} jobs ${running} were in flight when their process died`)
    return killedAt
  } finally {
    await holder.close()
  }
}

const until = async (sql: Sql, condition: string, parameters: ReadonlyArray<unknown> = []): Promise<void> => {
  const deadline = Date.now() + patience
  while (!(await sql.one<{ holds: boolean }>(condition, parameters)).holds) {
    if (Date.now() > deadline) throw new Error(`it did not happen within ${patience / 1000} seconds: ${condition}`)
    await sleep(20)
  }
}
