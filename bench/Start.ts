/**
 * How long a start takes: from the process to the first URL, beside a Node that does nothing.
 */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { performance } from "node:perf_hooks"
import { setTimeout as sleep } from "node:timers/promises"
import type { Bench, Measurement } from "./Bench.ts"
import { drained, empty } from "./Backlog.ts"
import { number } from "./Report.ts"
import { median } from "./Statistics.ts"
import { startWorker } from "./Worker.ts"

const rounds = 15

export const start: Measurement = {
  name: "start",
  run: async (bench) => {
    const ours: Array<number> = []
    const bare: Array<number> = []
    for (let round = 0; round < rounds; round++) {
      bench.progress.show("start", round, rounds)
      bare.push(await bareNode())
      ours.push(await toFirstUrl(bench))
    }
    const ratio = median(ours.map((milliseconds, round) => milliseconds / (bare[round] ?? NaN)))
    return {
      table: {
        columns: ["start", "ms", "× bare node"],
        rows: [
          ["process to first URL", number(median(ours)), number(ratio, 1)],
          ["`node -e 0`, start to end", number(median(bare)), number(1, 1)]
        ],
        note: `Medians of ${rounds} rounds, one after the other; one job was waiting, and its row was looked at every 2 ms.`
      },
      figures: { toFirstUrl: median(ours), bareNode: median(bare), ratio, rounds: { ours, bare } },
      goals: []
    }
  }
}

/** Milliseconds from spawning the worker until the request of a waiting job has its URL. */
const toFirstUrl = async (bench: Bench): Promise<number> => {
  const { sql } = bench
  await empty(sql)
  const { id } = await sql.one<{ id: string }>(
    "select public.request_upload_url('documents', '42', 'original.jpeg', 'image/jpeg')::text as id"
  )
  const startedAt = performance.now()
  const worker = startWorker(bench)
  const answered = async () => {
    for (;;) {
      // A pause leaves the processors to what is measured.
      await sleep(2)
      const { status } = await sql.one<{ status: string }>("select status from public.get_upload_url($1::uuid)", [id])
      if (status === "completed") return performance.now() - startedAt
    }
  }
  const milliseconds = await Promise.race([answered(), worker.diedEarly])
  await worker.stop()
  await drained(sql, 1)
  return milliseconds
}

const bareNode = async (): Promise<number> => {
  const startedAt = performance.now()
  await once(spawn(process.execPath, ["-e", "0"], { stdio: "ignore" }), "exit")
  return performance.now() - startedAt
}
