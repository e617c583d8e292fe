/**
 * Answers upload requests: a job's args become a file id, a key and a URL to upload to.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Results from "effect/Result"
import * as Schedule from "effect/Schedule"
import { type Job, JobDiscard, JobSnooze, type Result, type Worker } from "../../river/index.ts"
import { Credentials } from "../s3/Credentials.ts"
import * as FileId from "./FileId.ts"
import * as ObjectKey from "./ObjectKey.ts"
import { Presigner, type PresignError } from "../s3/Presigner.ts"
import * as S3Presign from "./S3Presign.ts"
import type { UnusableRequest } from "../requests/UnusableRequest.ts"
import * as UploadRequests from "./UploadRequests.ts"

/** Tries within an attempt, while the user waits: at once, then after 50, 100, 200 and 400 ms. */
const tries = { schedule: Schedule.exponential("50 millis"), times: 4 }

/** Credentials that ended between the claim and the signing cost no attempt. */
const withoutCredentials = new JobSnooze({ duration: Duration.seconds(1) })

/** The worker; its jobs are claimed only while there are credentials to sign with. */
export const make = Effect.fnUntraced(function* (options: {
  /** The schema of `file_upload_requests`. */
  readonly schema: string
  /** How long an attempt may take. */
  readonly timeout: Duration.Duration
  /** Whether attempts are traced: then signing is a span of its own. */
  readonly traced: boolean
}) {
  const { available } = yield* Credentials
  const { presignUpload } = yield* Presigner

  const presign = (key: ObjectKey.ObjectKey) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => presignUpload(key, now))
  const presignInSpan = (key: ObjectKey.ObjectKey) =>
    Effect.withSpan(presign(key), "s3.presign", { captureStackTrace: false })
  const sign = options.traced ? presignInSpan : presign

  // Runs for every job: without generators, and with a schedule only once signing has failed.
  const work = (job: Job): Effect.Effect<Result, JobDiscard | JobSnooze | PresignError> => {
    const file = fileOf(job)
    if (Results.isFailure(file)) return new JobDiscard({ message: file.failure.message })
    const { file_id, key } = file.success
    return sign(key).pipe(
      Effect.catchTag("PresignError", () => Effect.retry(sign(key), { ...tries, while: isPresignError })),
      Effect.catchTag("CredentialsUnavailable", () => Effect.fail(withoutCredentials)),
      Effect.map((url) => ({ presigned_url: url, s3_key: key, file_id }))
    )
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

const isPresignError = (error: { readonly _tag: string }) => error._tag === "PresignError"

/** Which file the job is about, and where it goes; or why it can go nowhere. */
export const fileOf = (
  job: Pick<Job, "args" | "created_at">
): Results.Result<{ readonly file_id: FileId.FileId; readonly key: ObjectKey.ObjectKey }, UnusableRequest> =>
  Results.flatMap(S3Presign.parse(job.args), (args) =>
    Results.flatMap(FileId.parseRequestId(args.request_id), (requestId) => {
      const file_id = FileId.make(requestId, job.created_at.getTime())
      return Results.map(ObjectKey.make({ ...args, file_id }), (key) => ({ file_id, key }))
    })
  )
