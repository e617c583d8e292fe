/**
 * How much memory the process takes, idle and at the height of a drain.
 */
import { setTimeout as sleep } from "node:timers/promises"
import type { Measurement } from "./Bench.ts"
import { empty, fill, untilDrained } from "./Backlog.ts"
import * as Proc from "./Proc.ts"
import { megabytes } from "./Report.ts"
import { startWorker } from "./Worker.ts"

const settled = 10

export const memory: Measurement = {
  name: "memory",
  run: async (bench) => {
    const { jobs, progress, sql } = bench
    const wait = async (from: number) => {
      for (let second = 0; second < settled; second++) {
        progress.show("memory", from + second, 2 * settled)
        await sleep(1000)
      }
    }

    await empty(sql)
    const worker = startWorker(bench)
    await Promise.race([wait(0), worker.diedEarly])
    const idle = Proc.memory(worker.pid)
    await worker.stop()

    await fill(sql, jobs)
    const busy = startWorker(bench)
    await Promise.race([untilDrained(sql, () => {}), busy.diedEarly])
    const peak = Proc.memory(busy.pid)?.peak
    await Promise.race([wait(settled), busy.diedEarly])
    const after = Proc.memory(busy.pid)
    await busy.stop()

    return {
      table: {
        columns: ["memory, MB", "RSS", "of it anonymous"],
        rows: [
          row(`idle, ${settled} s after the start`, idle),
          [`peak in a drain of ${jobs.toLocaleString("en-US")}`, megabytes(peak), "–"],
          row(`idle, ${settled} s after the drain`, after)
        ],
        note: "As the process comes: 50 slots, the native presigner. What is not anonymous is the program of node itself."
      },
      figures: { idle, peak, afterDrain: after },
      goals: []
    }
  }
}

const row = (what: string, memory: Proc.Memory | undefined) => [
  what,
  megabytes(memory?.rss),
  megabytes(memory?.anonymous)
]
