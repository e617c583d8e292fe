/**
 * A file as its download request has it: a copy of what `files` said when it was asked for.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { shown, UnusableRequest } from "../requests/UnusableRequest.ts"

const RecordedFile = Schema.Struct({
  entity_type: Schema.String,
  /** Null where the files table has no such column: Civic OS before 0.10.8. */
  bucket: Schema.NullOr(Schema.String),
  /** As it was recorded: not percent-encoded. Null when it is another recorded file's. */
  key: Schema.NullOr(Schema.String),
  name: Schema.String,
  type: Schema.String
})

export type RecordedFile = typeof RecordedFile.Type

const decode = Schema.decodeUnknownResult(Schema.NonEmptyArray(RecordedFile))

/** Reads the files of a request. */
export const parseAll = (files: unknown): Result.Result<ReadonlyArray<RecordedFile>, UnusableRequest> =>
  Result.mapError(
    decode(files),
    () => new UnusableRequest({ field: "files", message: "the files of this request are not a list of recorded files" })
  )

/** S3's limit, in bytes of UTF-8. */
const longestKey = 1024

/** The file's key, or why no URL can lead to it. */
export const keyOf = ({ key }: RecordedFile): Result.Result<string, string> => {
  if (key === null) return Result.fail("the file's key belongs to another file")
  if (key === "") return Result.fail("the file's key is empty")
  if (Buffer.byteLength(key) > longestKey) {
    return Result.fail(`the file's key is longer than the ${longestKey} bytes that S3 allows`)
  }
  // A browser takes such segments out of a URL, and with ".." the one before: it would ask for another object.
  return key.split("/").some((segment) => segment === "." || segment === "..")
    ? Result.fail(`the file's key ${shown(key)} has a part "." or "..", which no URL can hold`)
    : Result.succeed(key)
}
