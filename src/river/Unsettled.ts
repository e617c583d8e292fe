/**
 * The outcomes that are not settled yet: those that wait for a statement, those that one carries, and those that pause
 * because somebody else holds their row.
 */
import { sameStatement, type Settlement } from "./Settlement.ts"

/** Members of one statement. */
const batchSize = 1000

export class Unsettled {
  #waiting: Array<Settlement> = []
  readonly #inFlight = new Set<Settlement>()
  readonly #pausing = new Set<Settlement>()

  add(settlement: Settlement): void {
    this.#waiting.push(settlement)
  }

  /** The longest waiting outcomes that one statement can carry; from now on they are in flight. */
  take(): ReadonlyArray<Settlement> {
    const first = this.#waiting[0]
    if (first === undefined) return []
    const batch: Array<Settlement> = []
    const rest: Array<Settlement> = []
    for (const settlement of this.#waiting) {
      if (batch.length < batchSize && sameStatement(first, settlement)) batch.push(settlement)
      else rest.push(settlement)
    }
    this.#waiting = rest
    for (const settlement of batch) this.#inFlight.add(settlement)
    return batch
  }

  /** The batch has landed; what pauses of it goes on pausing. */
  landed(batch: ReadonlyArray<Settlement>): void {
    for (const settlement of batch) this.#inFlight.delete(settlement)
  }

  pause(settlement: Settlement): void {
    this.#pausing.add(settlement)
  }

  /** Lets it wait for a statement again; false when it no longer pauses. */
  resume(settlement: Settlement): boolean {
    const paused = this.#pausing.delete(settlement)
    if (paused) this.add(settlement)
    return paused
  }

  /** Lets all that pause wait for a statement again. */
  resumeAll(): void {
    for (const settlement of this.#pausing) this.resume(settlement)
  }

  /** Takes everything back to wait for a statement, changed by what was in flight and by what was not. */
  restart(change: { readonly inFlight: Change; readonly others: Change }): void {
    const others = [...this.#waiting, ...this.#pausing]
    this.#waiting = [...[...this.#inFlight].map(change.inFlight), ...others.map(change.others)]
    this.#inFlight.clear()
    this.#pausing.clear()
  }

  /** Whether one that does not pause ended before this moment, in milliseconds since the epoch. */
  anyBefore(moment: number): boolean {
    const before = ({ endedAt }: Settlement) => endedAt < moment
    return this.#waiting.some(before) || [...this.#inFlight].some(before)
  }

  get waiting(): number {
    return this.#waiting.length
  }

  get pausing(): number {
    return this.#pausing.size
  }

  /** All but those that pause. */
  get active(): number {
    return this.#waiting.length + this.#inFlight.size
  }

  get size(): number {
    return this.active + this.#pausing.size
  }

  jobs(): ReadonlyArray<bigint> {
    return [...this.#waiting, ...this.#inFlight, ...this.#pausing].map(({ job }) => job.id)
  }
}

type Change = (settlement: Settlement) => Settlement
