/**
 * The id of a request: of a row of either request table.
 */
import type * as Brand from "effect/Brand"
import * as Result from "effect/Result"
import { shown, UnusableRequest } from "./UnusableRequest.ts"

/** A UUID of any version, in lower case. */
export type RequestId = string & Brand.Brand<"RequestId">

const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Whether the text is a UUID in the form that PostgreSQL prints, in either case. */
export const isUuid = (text: string): boolean => uuid.test(text)

/** Reads a request's id from a job's args. */
export const parse = (text: string): Result.Result<RequestId, UnusableRequest> =>
  isUuid(text)
    ? Result.succeed(text.toLowerCase() as RequestId)
    : Result.fail(
        new UnusableRequest({ field: "request_id", message: `request_id ${shown(text)} is not the UUID of a request` })
      )
