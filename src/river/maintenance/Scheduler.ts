/**
 * The scheduler: jobs that wait for a time become `available` when it comes.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { ClientConfig } from "../ClientConfig.ts"
import { Database } from "../Database.ts"
import { Producer } from "../Producer.ts"
import { insertChannel } from "../Notification.ts"
import { schedulerInterval } from "../Outcome.ts"
import { tables } from "../sql/river_job.ts"
import { jobKindsDue, jobSchedule } from "../sql/river_job_maintenance.ts"
import * as Chore from "./Chore.ts"
import { kindByKind } from "./KindByKind.ts"

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const { queue, schema, workers } = yield* ClientConfig
    const { sql } = yield* Database
    const { wake } = yield* Producer

    const options = { ahead: schedulerInterval, channel: insertChannel(schema), queue }
    const kinds = workers.map(({ effect, kind }) => {
      const schedule = jobSchedule(sql, tables(schema), { effect, kind })
      const scheduleAlone = jobSchedule(sql, tables(schema), { effect: undefined, kind })
      return {
        kind,
        batch: (limit: number) => schedule({ ...options, limit }),
        alone: scheduleAlone({ ...options, limit: 1 }),
        afterwards: () => wake
      }
    })
    const look = jobKindsDue(sql, tables(schema))({ ...options, kinds: kinds.map(({ kind }) => kind) })

    yield* Chore.run({ name: "make due jobs available", every: schedulerInterval, ...kindByKind(look, kinds) })
  })
)
