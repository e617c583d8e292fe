/**
 * Rounds of histories: some at once, each in a queue of its own, in a database of the round's own.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { riverDatabase } from "../support.ts"
import { faults, report } from "./Check.ts"
import { draw } from "./Draw.ts"
import { run } from "./History.ts"
import type { Rewrite } from "./Line.ts"
import * as Recorder from "./Recorder.ts"

/** Seeds of new histories, which are printed. */
export const fresh = (count: number, kind: "swift" | "patient"): ReadonlyArray<string> => {
  const start = Math.random().toString(36).slice(2, 8)
  process.stdout.write(`histories: HISTORY_SEED=${kind}-${start}-1 to ${count}\n`)
  return Array.from({ length: count }, (_, index) => `${kind}-${start}-${index + 1}`)
}

/**
 * The same, unless the environment has HISTORY_SEED: then that one, four times over, because the moments of a history are
 * not the same again.
 */
export const seeds = (count: number, kind: "swift" | "patient"): ReadonlyArray<string> => {
  const given = process.env["HISTORY_SEED"]
  return given === undefined ? fresh(count, kind) : [given, given, given, given]
}

const database = Layer.effectDiscard(Recorder.install).pipe(Layer.provideMerge(riverDatabase))

/** Runs the histories of these seeds; returns what is wrong with each that something is wrong with. */
export const round = (seeds: ReadonlyArray<string>, rewrite?: Rewrite) =>
  Effect.forEach(
    seeds,
    Effect.fnUntraced(function* (seed) {
      const history = yield* run(yield* draw(seed), rewrite)
      const found = faults(history)
      return found.length === 0 ? [] : [{ says: found.map(({ says }) => says), report: report(history, found) }]
    }),
    { concurrency: "unbounded" }
  ).pipe(
    Effect.map((wrong) => wrong.flat()),
    Effect.provide(database, { local: true })
  )
