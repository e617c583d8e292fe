/**
 * Signing with nothing around it, in this process: what is left of a job when database and engine cost nothing.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { performance } from "node:perf_hooks"
import { s3Settings } from "../src/settings/S3Settings.ts"
import * as ContentDisposition from "../src/signer/downloads/ContentDisposition.ts"
import * as MediaType from "../src/signer/downloads/MediaType.ts"
import { Credentials } from "../src/signer/credentials/Credentials.ts"
import { Presigner } from "../src/signer/s3/Presigner.ts"
import { staticKeys } from "./Worker.ts"

export interface SignedFile {
  readonly key: string
  readonly name: string
  readonly type: string
}

/** Milliseconds that each round takes to sign a download of every file. */
export const signDownloads = (files: ReadonlyArray<SignedFile>, rounds: number): Promise<ReadonlyArray<number>> => {
  const s3 = Result.getOrThrow(s3Settings(staticKeys))
  const sign = Effect.gen(function* () {
    const { presignDownload } = yield* Presigner
    const signOne =
      (at: number) =>
      ({ key, name, type }: SignedFile) => {
        const { contentType, disposition } = MediaType.of(type, false)
        const contentDisposition = ContentDisposition.of({ name, disposition })
        return presignDownload(s3.destinations.standard, { key, contentDisposition, contentType }, at)
      }
    const took: Array<number> = []
    for (let round = 0; round < rounds; round++) {
      const startedAt = performance.now()
      yield* Effect.forEach(files, signOne(yield* Clock.currentTimeMillis))
      took.push(performance.now() - startedAt)
    }
    return took
  })
  const presigner = Presigner.layer({ ...s3, downloadLifetime: s3.downloadUrlLifetime })
  return Effect.runPromise(Effect.provide(sign, Layer.provide(presigner, Credentials.layer(s3.keys))))
}
