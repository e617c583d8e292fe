/**
 * The closer: requests that no job will answer end `failed`, so that nobody waits for them.
 *
 * A job that ends in this program takes its request along. Others end jobs, too: River UI and people at a SQL prompt
 * cancel and delete them, the maintenance of another client discards them. None of these knows of requests.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { SqlClient } from "effect/sql/SqlClient"
import { Chore, ClientConfig, Database } from "../../river/index.ts"
import { beginning, type EndedJob, requestClose } from "./RequestClose.ts"
import type { RequestTable } from "./RequestTable.ts"

const every = Duration.seconds(5)

/**
 * Live jobs that open requests are held against: in most passes as many as cost a tenth of a second, in the first of
 * each dozen, about once a minute, as many as cost a few.
 */
const mostAlive = { often: 50_000, seldom: 1_000_000, passes: 12 }

/** A chore for each table. */
export const layer = (tables: ReadonlyArray<RequestTable>) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const { queue, schema } = yield* ClientConfig
      const { sql } = yield* Database
      for (const table of tables) {
        const requests = `${table.asks} requests`
        yield* Chore.run({
          name: `close ${requests}`,
          every,
          batch: batches(sql, table, { queue, schema }),
          afterwards: (count) => Effect.logWarning(`closed ${count} ${requests} as failed: no job will answer them`)
        })
      }
    })
  )

/**
 * A chore's statement, which remembers how far it has looked through the jobs that ended: the first pass looks at all,
 * each later one at those since a minute before the last one began, because what ends a job may commit that much later.
 */
export const batches = (
  sql: SqlClient,
  table: RequestTable,
  options: { readonly queue: string; readonly schema: string }
): Chore.Chore["batch"] => {
  const close = requestClose(sql, table, options)
  let from: EndedJob = beginning
  let nextPass: EndedJob | undefined
  let passes = 0

  return (limit, skip) =>
    Effect.map(
      close({ from, limit, mostAlive: passes % mostAlive.passes === 0 ? mostAlive.seldom : mostAlive.often, skip }),
      (rows) =>
        rows.map(({ count, last, overlap }) => {
          nextPass ??= overlap
          // A full batch may have left requests of these very jobs.
          if (count >= limit) return { count }
          from = last ?? nextPass
          if (last === null) {
            nextPass = undefined
            passes += 1
          }
          return { count, more: last !== null }
        })
    )
}
