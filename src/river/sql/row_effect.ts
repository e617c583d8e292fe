/**
 * A kind's own row inside the statements that end its jobs: found, locked and written together with the job.
 */
import type { RowEffect } from "../Worker.ts"

/** The pieces of SQL for a kind; without a {@link RowEffect} nothing is looked up and nothing is ever missing. */
export interface EffectSql {
  /** The row's key, from the locked job `j`. */
  readonly key: string
  /** The row's key, from the text `i.subject` that a client hands over for a job that it has worked. */
  readonly subject: string
  /** The look-ups of a member `m` by its `key`, to be joined laterally. */
  readonly lookup: string
  /** Whether the row exists. */
  readonly found: string
  /** Whether the row is one that `onCompleted` writes. */
  readonly open: string
  /** Whether nothing stands in the way: there is no such row, or its lock is ours and it is as the snapshot has it. */
  readonly free: string
  /** Where the row lies (`ctid`), null when there is none or somebody holds it. */
  readonly row: string
  /** Updates the rows of `from` (columns `id`, `key`, `row_tid` and what the effect reads), returning the jobs' `id` and `row_tid`. */
  readonly apply: (effect: "onCompleted" | "onDead", from: string) => string
}

/**
 * Two look-ups by primary key: the first says whether the row exists, the second takes its lock and skips a row that
 * somebody else holds, so that no stranger's lock is ever waited for. A row that changed between the snapshot and its
 * lock lies elsewhere, where this statement's update would not find it: it counts as held. `offset 0` and `for update`
 * keep the planner from flattening them into joins, which it would plan quadratically.
 */
export const effectSql = (effect: RowEffect | undefined): EffectSql =>
  effect === undefined
    ? {
        key: "null::text",
        subject: "null::text",
        open: "false",
        lookup: "",
        found: "true",
        free: "true",
        row: "null::tid",
        apply: () => "select null::bigint as id, null::tid as row_tid where false"
      }
    : {
        key: effect.key,
        subject: `nullif(i.subject, '')::${effect.keyType}`,
        open: "f.open is true",
        lookup: `
          left join lateral (
            select true as found, (${effect.onCompleted.where}) as open, r.ctid as seen
            from ${effect.table} r where r.${effect.id} = m.key offset 0
          ) f on true
          left join lateral (
            select r.ctid as row_tid from ${effect.table} r where r.${effect.id} = m.key for no key update skip locked
          ) k on true`,
        found: "f.found is true",
        free: "(f.found is not true or k.row_tid = f.seen)",
        row: "k.row_tid",
        apply: (which, from) =>
          `update ${effect.table} r set ${effect[which].set} from ${from} d
           where r.ctid = d.row_tid and r.${effect.id} = d.key and (${effect[which].where}) returning d.id, d.row_tid`
      }
