/**
 * Lost jobs in the tests beside River's own clients: as they are left behind, and as they must end.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "effect/sql/SqlClient"
import type { Worker } from "../../../src/river/index.ts"
import { ended, getJobs } from "../support.ts"

/** A job that a killed client left behind: claimed by `client` so many seconds ago, and worked by nobody. */
export const left = (client: string, seconds: number) => ({
  state: "running",
  attempt: 1,
  attempted_at: `now() - interval '${seconds} s'`,
  attempted_by: `array['${client}']`
})

/** A dead client of ours, as its id shows. */
export const deadOurs = "host_test_2026_08_07T09_30_00_123456"

export const leaders = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql<{ readonly leader_id: string }>`SELECT leader_id FROM metadata.river_leader`
  return rows.map(({ leader_id }) => leader_id)
})

/** Waits until all jobs of the kind have ended; these ones are completed at their second attempt after one rescue. */
export const rescuedOnce = Effect.fnUntraced(function* (kind: Worker, ids: ReadonlyArray<bigint>) {
  yield* ended(kind)
  for (const job of yield* getJobs(ids)) {
    assert.deepInclude(job, { state: "completed", attempt: 2, metadata: { "river:rescue_count": 1 } })
    assert.deepEqual(
      job.errors?.map(({ attempt, error, trace }) => ({ attempt, error, trace })),
      [{ attempt: 1, error: "Stuck job rescued by JobRescuer", trace: "" }]
    )
    assert.lengthOf(job.attempted_by ?? [], 2)
  }
})
