/** The cleaner as a part of a client, in hours that pass at once; what its statement does is tested beside it. */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Duration from "effect/Duration"
import * as SqlClient from "effect/sql/SqlClient"
import { ClientConfig } from "../../../src/river/ClientConfig.ts"
import { Database } from "../../../src/river/Database.ts"
import * as Cleaner from "../../../src/river/maintenance/Cleaner.ts"
import type { Worker } from "../../../src/river/Worker.ts"
import { afterPasses } from "../../support/afterPasses.ts"
import { done, getJobs, insertJob, insertJobs, riverDatabase, worker } from "../support.ts"

const start = (workers: ReadonlyArray<Worker>) =>
  Layer.build(
    Cleaner.layer.pipe(
      Layer.provide(
        ClientConfig.layer(
          {
            schema: "metadata",
            queue: "test",
            clientName: "one",
            host: "host",
            marker: "test",
            maxWorkers: 1,
            fetchPollInterval: Duration.seconds(1),
            fetchCooldown: Duration.millis(100),
            softStopTimeout: Duration.seconds(1),
            listen: undefined,
            wakeChannels: [],
            traced: false
          },
          workers
        )
      ),
      Layer.provide(Database.layer)
    )
  )

const old = { state: "completed", finalized_at: "now() - interval '25 hours'" }

const gone = (ids: ReadonlyArray<bigint>) => afterPasses("30 seconds", getJobs(ids), (jobs) => jobs.length === 0)

layer(riverDatabase)("the cleaner", (it) => {
  it.effect("[114] deletes old jobs of its kinds within 30 seconds and each 30 seconds, batch after batch", () =>
    Effect.gen(function* () {
      const [one, two] = [worker(() => done), worker(() => done)]
      const foreign = [yield* insertJob("of_nobody", old), yield* insertJob(one, { ...old, queue: "other" })]
      const many = yield* insertJobs(one, 2500, old)
      const few = yield* insertJobs(two, 3, { ...old, state: "cancelled" })

      yield* start([one, two])
      yield* gone([...many, ...few])
      const later = yield* insertJobs(two, 3, old)
      yield* gone(later)

      assert.lengthOf(yield* getJobs(foreign), 2)
    })
  )

  it.effect("steps over a job that the database refuses to delete, and deletes the others", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const kind = worker(() => done)
      const before = yield* insertJobs(kind, 3, { ...old, finalized_at: "now() - interval '9 days'" })
      const poison = yield* insertJobs(kind, 2, { ...old, finalized_at: "now() - interval '8 days'" })
      const after = yield* insertJobs(kind, 1200, { ...old, finalized_at: "now() - interval '7 days'" })
      yield* sql`CREATE TABLE app.of_job (job bigint REFERENCES metadata.river_job)`
      yield* sql`INSERT INTO app.of_job SELECT unnest(${poison}::bigint[])`

      yield* start([kind])

      yield* gone([...before, ...after])
      assert.lengthOf(yield* getJobs(poison), 2)
      yield* sql`DROP TABLE app.of_job`
    })
  )
})
