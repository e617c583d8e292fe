/**
 * Answers download requests: a URL for each file that was asked for, which says how a browser shall treat the file.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Results from "effect/Result"
import { type Job, JobCancel, JobDiscard, type JobSnooze, type Result, type Worker } from "../../river/index.ts"
import { Credentials } from "../credentials/Credentials.ts"
import * as Destination from "../s3/Destination.ts"
import type { UnusableRequest } from "../requests/UnusableRequest.ts"
import { type PresignError, Presigner } from "../s3/Presigner.ts"
import { signInAttempt, type SigningOptions } from "../requests/SignInAttempt.ts"
import * as ContentDisposition from "./ContentDisposition.ts"
import * as DownloadRequests from "./DownloadRequests.ts"
import * as MediaType from "./MediaType.ts"
import * as RecordedFile from "./RecordedFile.ts"
import * as RequestLookup from "./RequestLookup.ts"
import * as S3PresignDownload from "./S3PresignDownload.ts"

/** What becomes of one file; `answers` has one for each, in the order of the files. */
type Answer = { readonly url: Redacted.Redacted; readonly expiresAt: number } | { readonly error: string }

type Failure = JobCancel | JobDiscard | JobSnooze | PresignError | UnusableRequest

/** The worker; its jobs are claimed only while there are credentials to sign with. */
export const make = Effect.fnUntraced(function* (options: SigningOptions) {
  const { available } = yield* Credentials
  const { presignDownload } = yield* Presigner
  const { read, requestOf } = yield* RequestLookup.make(options.schema)
  const effect = DownloadRequests.effect(options.schema)
  const destinationOf = Destination.ofFile(options.destinations)

  const answer = (file: RecordedFile.RecordedFile, inline: boolean, at: number) => {
    const key = RecordedFile.keyOf(file)
    if (Results.isFailure(key)) return Effect.succeed<Answer>({ error: key.failure })
    const destination = destinationOf(file)
    if (Results.isFailure(destination)) return Effect.succeed<Answer>({ error: destination.failure })
    const { contentType, disposition } = MediaType.of(file.type, inline)
    const contentDisposition = ContentDisposition.of({ name: file.name, disposition })
    return presignDownload(destination.success, { key: key.success, contentDisposition, contentType }, at)
  }
  const answerAll = (files: ReadonlyArray<RecordedFile.RecordedFile>, inline: boolean) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => Effect.forEach(files, (file) => answer(file, inline, now)))
  const answerInSpan: typeof answerAll = (files, inline) =>
    Effect.withSpan(answerAll(files, inline), "s3.presign", {
      captureStackTrace: false,
      attributes: { files: files.length }
    })
  const sign = options.traced ? answerInSpan : answerAll

  const work = (job: Job): Effect.Effect<Result, unknown> =>
    Effect.flatMap(requestOf(job), (request): Effect.Effect<Result, Failure> => {
      if (request === undefined) return new JobCancel({ message: effect.missing })
      const files = RecordedFile.parseAll(request.files)
      if (Results.isFailure(files)) return Effect.fail(files.failure)
      return Effect.flatMap(signInAttempt(sign(files.success, request.inline)), resultOf)
    }).pipe(Effect.catchTag("UnusableRequest", ({ message }) => new JobDiscard({ message })))

  const worker: Worker = {
    kind: S3PresignDownload.kind,
    timeout: options.timeout,
    prepare: read,
    work,
    ready: available,
    effect
  }
  return worker
})

/** The request's columns; a request none of whose files can be signed fails with the reason of the first. */
const resultOf = (answers: ReadonlyArray<Answer>): Effect.Effect<Result, JobDiscard> => {
  const expiresAt = answers.reduce((first, next) => ("url" in next ? Math.min(first, next.expiresAt) : first), Infinity)
  const [first] = answers
  if (expiresAt === Infinity) {
    return new JobDiscard({ message: first !== undefined && "error" in first ? first.error : "no file was asked for" })
  }
  const written = answers.map((each) => ("url" in each ? { url: Redacted.value(each.url) } : each))
  return Effect.succeed({
    answers: Redacted.make(JSON.stringify(written)),
    expires_at: new Date(expiresAt).toISOString()
  })
}
