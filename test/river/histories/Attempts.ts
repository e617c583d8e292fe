/**
 * The worker of a history: its attempts end as the plan says, and whatever they leave behind says whose it is.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import {
  type Job,
  JobCancel,
  JobDiscard,
  JobSnooze,
  Metadata,
  type Result,
  type Worker
} from "../../../src/river/index.ts"
import { kind } from "../../../src/signer/uploads/S3Presign.ts"
import * as UploadRequests from "../../../src/signer/uploads/UploadRequests.ts"
import type { Behaviour } from "./Plan.ts"

/** How long an attempt may take. */
export const timeout = Duration.millis(700)

/** Which claim it is: what the fence compares, with the client's name in this history. */
export const claimText = (
  job: { readonly id: unknown; readonly attempt: number; readonly attempted_at: string | null },
  client: string
): string => `${job.id} ${job.attempt} ${job.attempted_at} ${client}`

/** What a claim answers its request with. */
export const answerOf = (claim: string): string => `https://example.test/${claim}`

/** Answers of a request are about one file: its id follows from the request's. */
export const fileIdOf = (request: string) => `${request.slice(0, 35)}${request.endsWith("0") ? "1" : "0"}`

/** What the attempts of each job do, one after the other, on whatever client; once healed, they all end well. */
export class Attempts {
  readonly #count = new Map<bigint, number>()
  #healed = false

  heal(): void {
    this.#healed = true
  }

  #next({ args, id }: Job): Behaviour {
    const { behaviours } = args as { readonly behaviours: ReadonlyArray<Behaviour> }
    const count = this.#count.get(id) ?? 0
    this.#count.set(id, count + 1)
    return (this.#healed ? undefined : behaviours[count]) ?? { ends: "well", after: 0 }
  }

  /** The worker for a client. */
  worker(client: string): Worker {
    const work = (job: Job) => {
      const claim = claimText(job, client)
      return Effect.andThen(Metadata.set(job, "claim", claim), attempt(job, this.#next(job), claim))
    }
    return { kind, timeout, work, ready: Effect.succeed(true), effect: UploadRequests.effect("metadata") }
  }
}

const attempt = (job: Job, behaviour: Behaviour, claim: string): Effect.Effect<Result, unknown> => {
  const { request_id } = job.args as { readonly request_id: string }
  const result = { presigned_url: answerOf(claim), s3_key: `key/${request_id}`, file_id: fileIdOf(request_id) }
  if (behaviour.ends === "late") {
    if (behaviour.deaf === 0) return Effect.never
    return Effect.uninterruptible(Effect.as(Effect.sleep(Duration.millis(behaviour.deaf)), result))
  }
  const ending = endingOf(behaviour, result)
  return behaviour.after === 0 ? ending : Effect.andThen(Effect.sleep(Duration.millis(behaviour.after)), ending)
}

const endingOf = (
  behaviour: Exclude<Behaviour, { readonly ends: "late" }>,
  result: Result
): Effect.Effect<Result, unknown> => {
  switch (behaviour.ends) {
    case "well":
      return Effect.succeed(result)
    case "badly":
      return Effect.fail(new Error("no luck this time"))
    case "dead":
      return Effect.die(new Error("a fault in the worker"))
    case "cancelled":
      return new JobCancel({ message: "nobody wants it" })
    case "discarded":
      return new JobDiscard({ message: "it can never work" })
    case "refused":
      return Effect.succeed({ ...result, file_id: "no uuid at all" })
    case "snoozed":
      return new JobSnooze({ duration: Duration.millis(behaviour.length) })
  }
}
