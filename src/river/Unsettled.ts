/**
 * The outcomes that are not settled yet: those that wait for a statement, those that one carries, and those that pause
 * because somebody else holds their row.
 *
 * Most are small. So that large ones do not fill the memory, each weighs 1, and 1 more for each 16 kB of its result.
 */
import { sameStatement, type Settlement } from "./Settlement.ts"
import { textOf } from "./Worker.ts"

/** Members of one statement, and characters of all their results; one alone may have more. */
const batchSize = 1000
const batchLength = 4_000_000

/** Characters of a result that weigh as much as a small outcome. */
const weighty = 16_384

export class Unsettled {
  #waiting: Array<Settlement> = []
  /** Batches, and what each weighs. */
  readonly #inFlight = new Map<ReadonlyArray<Settlement>, number>()
  readonly #pausing = new Set<Settlement>()
  #active = 0
  #pausingWeight = 0

  add(settlement: Settlement): void {
    this.#waiting.push(settlement)
    this.#active += weightOf(lengthOf(settlement))
  }

  /** The longest waiting outcomes that one statement can carry; from now on they are in flight. */
  take(): ReadonlyArray<Settlement> {
    const first = this.#waiting[0]
    if (first === undefined) return []
    const batch: Array<Settlement> = []
    const rest: Array<Settlement> = []
    let length = 0
    let weight = 0
    let full = false
    for (const settlement of this.#waiting) {
      if (!full && sameStatement(first, settlement)) {
        const more = lengthOf(settlement)
        full = batch.length === batchSize || (batch.length > 0 && length + more > batchLength)
        if (!full) {
          batch.push(settlement)
          length += more
          weight += weightOf(more)
          continue
        }
      }
      rest.push(settlement)
    }
    this.#waiting = rest
    this.#inFlight.set(batch, weight)
    return batch
  }

  /** The batch has landed; what pauses of it goes on pausing. */
  landed(batch: ReadonlyArray<Settlement>): void {
    this.#active -= this.#inFlight.get(batch) ?? 0
    this.#inFlight.delete(batch)
  }

  pause(settlement: Settlement): void {
    this.#pausing.add(settlement)
    this.#pausingWeight += weightOf(lengthOf(settlement))
  }

  /** Lets it wait for a statement again; false when it no longer pauses. */
  resume(settlement: Settlement): boolean {
    const paused = this.#pausing.delete(settlement)
    if (paused) {
      this.#pausingWeight -= weightOf(lengthOf(settlement))
      this.add(settlement)
    }
    return paused
  }

  /** Lets all that pause wait for a statement again. */
  resumeAll(): void {
    for (const settlement of this.#pausing) this.resume(settlement)
  }

  /** Takes everything back to wait for a statement, changed by what was in flight and by what was not. */
  restart(change: { readonly inFlight: Change; readonly others: Change }): void {
    const inFlight = new Set([...this.#inFlight.keys()].flat())
    const others = [...this.#waiting, ...this.#pausing].filter((settlement) => !inFlight.has(settlement))
    this.#waiting = []
    this.#inFlight.clear()
    this.#pausing.clear()
    this.#active = 0
    this.#pausingWeight = 0
    for (const settlement of inFlight) this.add(change.inFlight(settlement))
    for (const settlement of others) this.add(change.others(settlement))
  }

  /** Whether one that does not pause ended before this moment, in milliseconds since the epoch. */
  anyBefore(moment: number): boolean {
    const before = ({ endedAt }: Settlement) => endedAt < moment
    return this.#waiting.some(before) || [...this.#inFlight.keys()].some((batch) => batch.some(before))
  }

  /** How many wait for a statement. */
  get waiting(): number {
    return this.#waiting.length
  }

  /** What those weigh that pause. */
  get pausing(): number {
    return this.#pausingWeight
  }

  /** What all others weigh. */
  get active(): number {
    return this.#active
  }

  /** How many there are. */
  get size(): number {
    const inFlight = [...this.#inFlight.keys()].reduce((sum, { length }) => sum + length, 0)
    return this.#waiting.length + inFlight + this.#pausing.size
  }

  jobs(): ReadonlyArray<bigint> {
    return [this.#waiting, ...this.#inFlight.keys(), [...this.#pausing]].flat().map(({ job }) => job.id)
  }
}

type Change = (settlement: Settlement) => Settlement

/** Characters of the result that is to be written. One that breaks its types has none: its statement refuses it. */
const lengthOf = ({ outcome }: Settlement): number => {
  if (outcome._tag !== "Completed") return 0
  let length = 0
  try {
    for (const column in outcome.result) length += textOf(outcome.result, column).length
  } catch {
    return 0
  }
  return Number.isFinite(length) ? length : 0
}

const weightOf = (length: number): number => 1 + Math.floor(length / weighty)
