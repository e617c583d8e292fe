/**
 * What is to happen in a history. Lengths of time are milliseconds.
 */
import type { Statement } from "../support.ts"

/** Two clients of ours work a history. */
export type Seat = 0 | 1

/** Which one of those that a step could be about: a share of their number, from 0 up to 1. */
export type Pick = number

/** What an attempt of ours does. */
export type Behaviour =
  | { readonly ends: "well" | "badly" | "dead" | "cancelled" | "discarded" | "refused"; readonly after: number }
  | { readonly ends: "snoozed"; readonly after: number; readonly length: number }
  /** Goes on until it is interrupted, or, `deaf`, goes on for that long all the same and ends well. */
  | { readonly ends: "late"; readonly deaf: number }

/** A job to insert: its columns, and what its attempts do one after the other; the ones after these end well. */
export interface NewJob {
  readonly priority: number
  readonly max_attempts: number
  /** Counted from its insertion. */
  readonly due: number
  readonly metadata: Readonly<Record<string, string>>
  readonly behaviours: ReadonlyArray<Behaviour>
}

/** What can happen to the next statement of its name: see `Clients.ts`. */
export type Mishap =
  | { readonly how: "refused" | "reply lost" }
  | { readonly how: "delayed" | "late twin"; readonly by: number }

/** What happens to clients of ours, and what others do. */
export type Step =
  | { readonly does: "insert"; readonly requests: ReadonlyArray<ReadonlyArray<NewJob>> }
  | { readonly does: "stop" | "kill" | "kill in mid-statement"; readonly seat: Seat; readonly absent: number }
  | { readonly does: "freeze"; readonly seat: Seat; readonly length: number }
  | { readonly does: "mishap"; readonly seat: Seat; readonly to: Statement; readonly mishap: Mishap }
  | { readonly does: "pause"; readonly length: number }
  | { readonly does: "age running jobs" | "age waiting jobs"; readonly share: number }
  | { readonly does: "lock job" | "lock request"; readonly pick: Pick; readonly length: number }
  | { readonly does: "cancel"; readonly pick: Pick; readonly silent: boolean }
  | { readonly does: "finish"; readonly pick: Pick; readonly as: "completed" | "cancelled" | "discarded" }
  | {
      readonly does: "retry" | "delete" | "delete anyhow" | "delete request" | "rescue" | "claim" | "end claim" | "park"
      readonly pick: Pick
    }

export interface Planned {
  /** Counted from the start. */
  readonly at: number
  readonly step: Step
}

export interface Plan {
  readonly seed: string
  /** Whether claims of ours are found lost in their own time, not made to look old. */
  readonly patient: boolean
  /** By seat: whether its clients listen or only poll. */
  readonly listens: readonly [boolean, boolean]
  readonly steps: ReadonlyArray<Planned>
}
