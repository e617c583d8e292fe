/**
 * How long one user waits on an idle system: from the call of `request_upload_url` until the URL can be read.
 */
import { performance } from "node:perf_hooks"
import { setTimeout as sleep } from "node:timers/promises"
import type { Measured, Measurement } from "./Bench.ts"
import { empty } from "./Backlog.ts"
import { number } from "./Report.ts"
import type { Sql } from "./Sql.ts"
import { quantile } from "./Statistics.ts"
import { startWorker } from "./Worker.ts"

const requests = 500
const floorSamples = 100
const warmUps = 20

export const latency: Measurement = {
  name: "latency",
  run: async (bench) => {
    const { progress, sql } = bench
    const steps = 2 * floorSamples + warmUps + requests
    let step = 0
    const sample = async (count: number, what: string, measure: () => Promise<number>) => {
      const samples: Array<number> = []
      for (let i = 0; i < count; i++) {
        progress.show(`latency: ${what}`, step++, steps)
        // So that requests do not fall into step with a timer.
        await sleep(20 + Math.random() * 40)
        samples.push(await measure())
      }
      return samples
    }

    // The floor before and after: what the two round trips cost while nobody answers.
    await empty(sql)
    const before = await sample(floorSamples, "two round trips", () => twoRoundTrips(sql))
    await empty(sql)
    const worker = startWorker(bench)
    const answered = () => Promise.race([untilReadable(sql), worker.diedEarly])
    await sample(warmUps, "warming up", answered)
    const samples = await sample(requests, "request to URL", answered)
    await worker.stop()
    const after = await sample(floorSamples, "two round trips", () => twoRoundTrips(sql))
    await empty(sql)
    return measured(samples, [...before, ...after])
  }
}

/** Milliseconds until the URL is there, read over and over without a pause by this one client. */
const untilReadable = async (sql: Sql): Promise<number> => {
  const startedAt = performance.now()
  const id = await request(sql)
  for (;;) {
    const { status, url } = await read(sql, id)
    if (status === "completed" && url !== null) return performance.now() - startedAt
    if (status === "failed" || performance.now() - startedAt > 10_000) throw new Error(`request ${id} is ${status}`)
  }
}

const twoRoundTrips = async (sql: Sql): Promise<number> => {
  const startedAt = performance.now()
  await read(sql, await request(sql))
  return performance.now() - startedAt
}

const request = async (sql: Sql): Promise<string> => {
  const { id } = await sql.one<{ id: string }>(
    "select public.request_upload_url('documents', '42', 'photo.jpeg', 'image/jpeg')::text as id"
  )
  return id
}

const read = (sql: Sql, id: string) =>
  sql.one<{ status: string; url: string | null }>("select status, url from public.get_upload_url($1::uuid)", [id])

const measured = (samples: ReadonlyArray<number>, floor: ReadonlyArray<number>): Measured => {
  const ours = summary(samples)
  const trips = summary(floor)
  return {
    table: {
      columns: ["idle system, ms", "p50", "p95", "p99", "max"],
      rows: [
        ["request to readable URL", ...cells(ours)],
        ["of it, the client's own two round trips", ...cells(trips)]
      ],
      note:
        `${samples.length} requests, 20 to 60 ms apart, by one client that reads again and again without a pause; ` +
        `the round trips (one call, one read) alone, ${floor.length} times, while no worker ran.`
    },
    figures: { requestToUrl: ours, twoRoundTrips: trips },
    goals: [
      {
        goal: `request to readable URL in under 10 ms at the median and 100 ms at p99: ${number(ours.p50, 1)} and ${number(ours.p99, 1)} ms`,
        met: ours.p50 < 10 && ours.p99 < 100
      }
    ]
  }
}

const summary = (samples: ReadonlyArray<number>) => ({
  p50: quantile(samples, 0.5),
  p95: quantile(samples, 0.95),
  p99: quantile(samples, 0.99),
  max: quantile(samples, 1)
})

const cells = ({ max, p50, p95, p99 }: ReturnType<typeof summary>) =>
  [p50, p95, p99, max].map((milliseconds) => number(milliseconds, 1))
