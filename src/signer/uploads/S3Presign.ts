/**
 * The args of a job of kind `s3_presign`, as the trigger on `file_upload_requests` writes them.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { UnusableRequest } from "../requests/UnusableRequest.ts"

export const kind = "s3_presign"

/** `file_type` is there as well; nothing depends on it. */
const Args = Schema.Struct({
  request_id: Schema.String,
  entity_type: Schema.String,
  entity_id: Schema.String,
  file_name: Schema.String
})

export type Args = typeof Args.Type

const decode = Schema.decodeUnknownResult(Args)

/** Reads a job's args; a refusal names the first field that is no text. */
export const parse = (args: unknown): Result.Result<Args, UnusableRequest> =>
  Result.mapError(decode(args), () => {
    const fields = typeof args === "object" && args !== null ? (args as Readonly<Record<string, unknown>>) : undefined
    if (fields === undefined || Array.isArray(args)) {
      const what = args === null ? "null, or larger than 32 kB" : `of the JSON type ${jsonType(args)}`
      return new UnusableRequest({ field: "args", message: `the job's args are ${what}, not the object of an upload` })
    }
    const field = Object.keys(Args.fields).find((name) => typeof fields[name] !== "string") ?? "args"
    const what = field in fields ? `is of the JSON type ${jsonType(fields[field])}, not a text` : "is missing"
    return new UnusableRequest({ field, message: `${field} ${what} in the job's args` })
  })

const jsonType = (value: unknown) => (value === null ? "null" : Array.isArray(value) ? "array" : typeof value)
