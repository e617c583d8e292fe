/**
 * The closer: upload requests that no job will answer end `failed`, so that nobody waits for them.
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

const every = Duration.seconds(5)

/**
 * Live jobs that open requests are held against: in most passes as many as cost a tenth of a second, in the first of
 * each dozen, about once a minute, as many as cost a few.
 */
const mostAlive = { often: 50_000, seldom: 1_000_000, passes: 12 }

export const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const { queue, schema } = yield* ClientConfig
    const { sql } = yield* Database
    yield* Chore.run({
      name: "close upload requests",
      every,
      batch: batches(sql, { queue, schema }),
      afterwards: (count) => Effect.logWarning(`closed ${count} upload requests as failed: no job will answer them`)
    })
  })
)

/**
 * The chore's statement, which remembers how far it has looked through the jobs that ended: the first pass looks at all,
 * each later one at those since a minute before the last one began, because what ends a job may commit that much later.
 */
export const batches = (
  sql: SqlClient,
  options: { readonly queue: string; readonly schema: string }
): Chore.Chore["batch"] => {
  const close = requestClose(sql, options)
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
