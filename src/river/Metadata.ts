/**
 * Metadata that a worker records during an attempt: merged into the job's, key by key, whatever the outcome.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Job } from "./Job.ts"

/** Keys that start with `river:` belong to River. */
export class ReservedMetadataKey extends Schema.TaggedError<ReservedMetadataKey>()("ReservedMetadataKey", {
  key: Schema.String
}) {
  override get message() {
    return `the metadata key ${JSON.stringify(this.key)} is reserved: keys that start with river: belong to River`
  }
}

const recorded = new WeakMap<Job, Record<string, Schema.Json>>()

/** Records `value` under `key` for the attempt's end; of several for one key the last counts. */
export const set = Effect.fnUntraced(function* (job: Job, key: string, value: Schema.Json) {
  if (key.startsWith("river:")) return yield* new ReservedMetadataKey({ key })
  recorded.set(job, { ...recorded.get(job), [key]: value })
})

/** What was recorded for this claim of the job. */
export const of = (job: Job): Readonly<Record<string, Schema.Json>> | undefined => recorded.get(job)
