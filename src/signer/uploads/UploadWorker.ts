/**
 * Answers upload requests: a job's args become a file id, a key and a URL to upload to.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Results from "effect/Result"
import { type Job, JobDiscard, type JobSnooze, type Result, type Worker } from "../../river/index.ts"
import { Credentials } from "../credentials/Credentials.ts"
import * as Destination from "../s3/Destination.ts"
import { signInAttempt, type SigningOptions } from "../requests/SignInAttempt.ts"
import * as RequestId from "../requests/RequestId.ts"
import * as FileId from "./FileId.ts"
import * as ObjectKey from "./ObjectKey.ts"
import { Presigner, type PresignError } from "../s3/Presigner.ts"
import * as S3Presign from "./S3Presign.ts"
import type { UnusableRequest } from "../requests/UnusableRequest.ts"
import * as UploadRequests from "./UploadRequests.ts"

/** The worker; its jobs are claimed only while there are credentials to sign with. */
export const make = Effect.fnUntraced(function* (options: SigningOptions) {
  const { available } = yield* Credentials
  const { presignUpload } = yield* Presigner

  const presign = ({ destination, key }: Upload) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => presignUpload(destination, key, now))
  const presignInSpan = (upload: Upload) => Effect.withSpan(presign(upload), "s3.presign", { captureStackTrace: false })
  const sign = options.traced ? presignInSpan : presign

  // Runs for every job: without generators.
  const work = (job: Job): Effect.Effect<Result, JobDiscard | JobSnooze | PresignError> => {
    const found = uploadOf(job, options.destinations)
    if (Results.isFailure(found)) return new JobDiscard({ message: found.failure.message })
    const upload = found.success
    return Effect.map(signInAttempt(sign(upload)), ({ url }) => ({
      presigned_url: url,
      s3_key: upload.key,
      file_id: upload.file_id
    }))
  }

  const worker: Worker = {
    kind: S3Presign.kind,
    timeout: options.timeout,
    work,
    ready: available,
    effect: UploadRequests.effect(options.schema)
  }
  return worker
})

interface Upload {
  readonly file_id: FileId.FileId
  readonly destination: Destination.Destination
  readonly key: ObjectKey.ObjectKey
}

/** Which file the job is about, and where it goes; or why it can go nowhere. */
const uploadOf = (
  job: Pick<Job, "args" | "created_at">,
  destinations: Destination.Destinations
): Results.Result<Upload, UnusableRequest> =>
  Results.flatMap(S3Presign.parse(job.args), (args) =>
    Results.flatMap(RequestId.parse(args.request_id), (requestId) => {
      const file_id = FileId.make(requestId, job.created_at.getTime())
      const destination = Destination.ofUpload(destinations, args.entity_type)
      return Results.map(ObjectKey.make({ ...args, file_id }, destination.prefix), (key) => ({
        file_id,
        destination,
        key
      }))
    })
  )
