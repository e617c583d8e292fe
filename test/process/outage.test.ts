import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { startWorker } from "../support/WorkerProcess.ts"
import { away, readOnly, restarted, sessionsEnded, silent, survives, survivesServer } from "./outages.ts"
import { completed, getJobs, insertRequests, onDatabase, role } from "./support.ts"

// They wait more than they work.
describe.concurrent("a drain goes on and everything completes", () => {
  it.live("when PostgreSQL is restarted, in order and by a crash", () => survivesServer(restarted))
  it.live("when PostgreSQL is away for 3 s", () => survivesServer(away(3)))
  it.live("when PostgreSQL is read-only for 2 s", () => survives(readOnly(2)))
  it.live("when PostgreSQL is silent for 2 s, packets being dropped", () => survives(silent(2)))
  it.live("when its sessions are ended every 0.3 s", () => survives(sessionsEnded(5, 300, 500)))
})

describe("a role with too few connections", () => {
  it.live("is drained by, and told of once", () =>
    onDatabase(
      Effect.gen(function* () {
        const limited = yield* role((name) => [
          `ALTER ROLE ${name} CONNECTION LIMIT 2`,
          `GRANT USAGE ON SCHEMA metadata TO ${name}`,
          `GRANT ALL ON ALL TABLES IN SCHEMA metadata TO ${name}`
        ])
        yield* insertRequests(5000)

        const worker = yield* startWorker(limited.url)
        yield* completed(5000, "40 seconds")

        assert.deepEqual(yield* worker.stop, { status: 0, signal: null })
        assert.lengthOf(yield* getJobs("j.attempt <> 1 OR j.errors IS NOT NULL"), 0)
        assert.isAtMost(worker.log.length, 10, worker.output())
        assert.isAtLeast(worker.logged(/too many connections for role .*SQLSTATE 53300/).length, 1)
      })
    )
  )
})
