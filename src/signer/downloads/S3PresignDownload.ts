/**
 * The args of a job of kind `s3_presign_download`, as the trigger on `file_download_requests` writes them.
 *
 * They name the request and nothing else: logged-in users may read the job table, and are to learn there of no file.
 */
import * as Result from "effect/Result"
import { UnusableRequest } from "../requests/UnusableRequest.ts"
import * as RequestId from "../requests/RequestId.ts"

export const kind = "s3_presign_download"

/** The request's id, or what is wrong with it. */
export const parse = (args: unknown): Result.Result<RequestId.RequestId, UnusableRequest> => {
  const id = typeof args === "object" && args !== null && "request_id" in args ? args.request_id : undefined
  return typeof id === "string"
    ? RequestId.parse(id)
    : Result.fail(
        new UnusableRequest({ field: "request_id", message: "the job's args hold no request_id that is a text" })
      )
}
