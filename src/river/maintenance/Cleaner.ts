/**
 * The cleaner: jobs that ended long ago are deleted.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientConfig } from "../ClientConfig.ts"
import { Database } from "../Database.ts"
import { tables } from "../sql/river_job.ts"
import { jobDeleteBefore } from "../sql/river_job_maintenance.ts"
import * as Chore from "./Chore.ts"

/** River's interval and retention. */
const every = Duration.seconds(30)
const retention = { cancelled: Duration.hours(24), completed: Duration.hours(24), discarded: Duration.days(7) }

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const { queue, schema, workers } = yield* ClientConfig
    const { sql } = yield* Database
    const kinds = workers.map(({ kind }) => kind)
    const deleteBefore = jobDeleteBefore(sql, tables(schema))

    yield* Chore.run({
      name: "delete old jobs",
      every,
      batch: (limit, skip) => deleteBefore({ kinds, limit, queue, retention, skip })
    })
  })
)
