/**
 * Draws plans: the same from the same seed, so that a history that went wrong can be tried again. What the machine makes
 * of a plan's moments is another matter, and not the same each time.
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { Statement } from "../support.ts"
import type { Behaviour, Mishap, NewJob, Plan, Seat, Step } from "./Plan.ts"

/** For how long steps are begun, and how many. */
const span = 4000
const steps = 70

/** Draws the plan of a seed; one that begins with `patient` gives a patient plan. */
export const draw = (seed: string): Effect.Effect<Plan> =>
  Effect.map(Random.Random, (random) => planOf(seed, () => random.nextDoubleUnsafe())).pipe(Random.withSeed(seed))

const planOf = (seed: string, next: () => number): Plan => {
  const below = (bound: number) => Math.floor(next() * bound)
  const between = (least: number, bound: number) => least + below(bound - least)
  const oneOf = <const A>(choices: ReadonlyArray<A>): A => choices[below(choices.length)]!
  const several = <A>(most: number, make: () => A) => Array.from({ length: between(1, most + 1) }, make)
  /** Makes one of these, each as often as its weight says. */
  const weighted = <A>(choices: ReadonlyArray<readonly [weight: number, make: () => A]>): A => {
    let left = below(choices.reduce((sum, [weight]) => sum + weight, 0))
    return choices.find(([weight]) => (left -= weight) < 0)![1]()
  }

  const patient = seed.startsWith("patient")
  const seat = () => oneOf<Seat>([0, 1])
  const after = () => below(oneOf([0, 20, 300, 600]))

  const behaviour = () =>
    weighted<Behaviour>([
      [4, () => ({ ends: "well", after: after() })],
      [6, () => ({ ends: oneOf(["badly", "badly", "dead", "cancelled", "discarded", "refused"]), after: after() })],
      [4, () => ({ ends: "snoozed", after: after(), length: oneOf([0, 100, 1000, 30_000]) })],
      [2, () => ({ ends: "late", deaf: oneOf([0, 0, 900, 1800]) })]
    ])

  const newJob = (): NewJob => ({
    priority: between(1, 5),
    max_attempts: oneOf([1, 2, 2, 3, 3, 5, 25]),
    due: oneOf([0, 0, 0, -60_000, 500, 3000, 60_000]),
    metadata: weighted<NewJob["metadata"]>([
      [8, () => ({})],
      [1, () => ({ tenant: "seven" })],
      // Left there by an older client's retry.
      [1, () => ({ cancel_attempted_at: "2026-08-07T09:30:00Z" })]
    ]),
    behaviours: several(5, behaviour)
  })
  const insert = (): Step => ({
    does: "insert",
    requests: several(5, () => (next() < 0.15 ? [newJob(), newJob()] : [newJob()]))
  })

  const mishap = () =>
    weighted<Mishap>([
      [1, () => ({ how: "refused" })],
      [3, () => ({ how: "reply lost" })],
      [5, () => ({ how: "late twin", by: between(500, 2000) })],
      [1, () => ({ how: "delayed", by: below(500) })]
    ])
  const statement = () => oneOf<Statement>(["claim", "settle", "settle", "settle", "rescue", "schedule", "other"])

  const step = () =>
    weighted<Step>([
      [14, insert],
      [7, () => ({ does: oneOf(["stop", "stop", "kill", "kill in mid-statement"]), seat: seat(), absent: below(800) })],
      [5, () => ({ does: "freeze", seat: seat(), length: patient ? between(6000, 9000) : between(2000, 4000) })],
      [10, () => ({ does: "mishap", seat: seat(), to: statement(), mishap: mishap() })],
      [1, () => ({ does: "pause", length: below(1000) })],
      [14, () => ({ does: oneOf(["age running jobs", "age waiting jobs"]), share: oneOf([0.3, 1]) })],
      [6, () => ({ does: oneOf(["lock job", "lock request"]), pick: next(), length: below(800) })],
      [5, () => ({ does: "cancel", pick: next(), silent: next() < 0.3 })],
      [3, () => ({ does: "finish", pick: next(), as: oneOf(["completed", "cancelled", "discarded"]) })],
      [6, () => ({ does: oneOf(["retry", "retry", "rescue"]), pick: next() })],
      [6, () => ({ does: oneOf(["claim", "end claim", "park"]), pick: next() })],
      [3, () => ({ does: oneOf(["delete", "delete anyhow", "delete request"]), pick: next() })]
    ])

  const early = Array.from({ length: 3 }, () => ({ at: 0, step: insert() }))
  const later = Array.from({ length: steps }, () => ({ at: below(span), step: step() }))
  return {
    seed,
    patient,
    listens: [next() < 0.5, next() < 0.5],
    steps: [...early, ...later.toSorted((a, b) => a.at - b.at)]
  }
}
