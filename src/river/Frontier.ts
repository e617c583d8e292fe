/**
 * Where among the waiting jobs a claim begins to look.
 *
 * Jobs of kinds that are not ours may wait in the same queue, before ours and in any number. A claim passes over them one
 * by one; remembering how far the last one came, the next need not do so again.
 */
import type { Claimed } from "./Job.ts"

/**
 * For one priority: `scheduled_at` as PostgreSQL writes it, and an id, before which no job of ours was left. `recent`
 * stands for the last seconds before the claim: nothing of ours was left at all, and what was inserted since is newer,
 * or was inserted by a transaction that took its time.
 */
export interface Level {
  readonly since: string
  readonly id: bigint
}

/** A level for each of River's priorities, 1 to 4. */
export type Frontier = readonly [Level, Level, Level, Level]

const all: Level = { since: "-infinity", id: 0n }
const recent: Level = { since: "recent", id: 0n }

/** Looks at everything that waits. */
export const beginning: Frontier = [all, all, all, all]

/** Where to go on after a claim that began at `from`, wanted `limit` jobs and got these. */
export const after = (from: Frontier, limit: number, claimed: ReadonlyArray<Claimed>): Frontier => {
  const last = claimed.length < limit ? undefined : claimed.find((job) => job.last !== null)?.last
  if (last === undefined || last === null) return [recent, recent, recent, recent]
  const at = (priority: number): Level => {
    if (priority < last.priority) return recent
    return priority > last.priority ? from[priority - 1]! : { since: last.scheduled_at, id: BigInt(last.id) }
  }
  return [at(1), at(2), at(3), at(4)]
}
