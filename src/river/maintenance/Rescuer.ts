/**
 * The rescuer: jobs that nobody works any more run again, within seconds.
 *
 * A job that has been running for longer than its timeout and some more is lost: a client that is alive would have
 * ended the attempt. That holds for clients of ours, whose timeouts are known; everybody else's have River's hour.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ClientId from "../ClientId.ts"
import { ClientConfig } from "../ClientConfig.ts"
import { Database } from "../Database.ts"
import { Executor } from "../Executor.ts"
import { Producer } from "../Producer.ts"
import { tables } from "../sql/river_job.ts"
import { jobKindsStuck, jobRescue } from "../sql/river_job_maintenance.ts"
import * as Chore from "./Chore.ts"
import { kindByKind } from "./KindByKind.ts"

const every = Duration.seconds(2)

/** What an attempt that has timed out may still need to be settled. */
const settling = Duration.seconds(5)

const elsewhere = Duration.hours(1)

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const { marker, queue, schema, workers } = yield* ClientConfig
    const { sql } = yield* Database
    const { held } = yield* Executor
    const { wake } = yield* Producer
    const kindsStuck = jobKindsStuck(sql, tables(schema))

    const options = () => ({
      clientPattern: ClientId.pattern(marker),
      stuckAfterElsewhere: elsewhere,
      held: held(),
      queue
    })
    // Without a timeout nobody can say when a job is lost.
    const kinds = workers
      .filter(({ timeout }) => Duration.isFinite(timeout))
      .map(({ effect, kind, timeout }) => {
        const rescue = jobRescue(sql, tables(schema), { effect, kind })
        const rescueAlone = jobRescue(sql, tables(schema), { effect: undefined, kind })
        const stuckAfter = Duration.sum(timeout, settling)
        // In a pass it goes on behind what it has looked at: jobs that somebody holds do not hide those behind them.
        let beyond = -1n
        return {
          kind,
          stuckAfter,
          batch: (limit: number) =>
            Effect.map(rescue({ ...options(), stuckAfter, beyond, limit }), (rows) =>
              rows.map(({ count, last }) => {
                beyond = last ?? -1n
                return { count, more: last !== null }
              })
            ),
          alone: Effect.suspend(() => rescueAlone({ ...options(), stuckAfter, beyond, limit: 1 })),
          afterwards: (count: number) =>
            Effect.andThen(Effect.logWarning(`rescued ${count} jobs of kind ${kind} from lost attempts`), wake)
        }
      })
    const look = Effect.suspend(() => kindsStuck({ ...options(), kinds }))

    yield* Chore.run({ name: "rescue lost jobs", every, ...kindByKind(look, kinds) })
  })
)
