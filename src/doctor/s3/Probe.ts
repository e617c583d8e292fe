/**
 * The probe: an object that is put, read and removed, as uploads and downloads are.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { randomUUID } from "node:crypto"
import type { Destination } from "../../signer/s3/Destination.ts"
import type { UploadTerms } from "../../signer/s3/UploadTerms.ts"
import type { CredentialsUnavailable } from "../../signer/credentials/Credentials.ts"
import { Presigner, type PresignError } from "../../signer/s3/Presigner.ts"
import type { ObjectKey } from "../../signer/uploads/ObjectKey.ts"
import { type Answer, send, type Unreachable } from "./Http.ts"

/** Begins the keys of all probes, after the destination's prefix, so that they can be told from files. */
export const folder = ".s3-signer-doctor/"

/** A key that nobody has used. It is its own encoding, as those of uploads are. */
export const makeKey = ({ prefix }: Destination): ObjectKey => `${prefix}${folder}${randomUUID()}` as ObjectKey

export const content = "s3-signer doctor: this object may be deleted\n"

/** What a download URL lays down; the object itself is of another type. */
export const override = {
  contentType: "application/octet-stream",
  contentDisposition: 'attachment; filename="probe.bin"'
}

export type Sending = Effect.Effect<Answer, Unreachable | PresignError | CredentialsUnavailable, Presigner>

/** Puts it there as a browser would: with a type, the headers that the URL binds, and the page's origin. */
export const put = (destination: Destination, key: ObjectKey, origin: string | undefined): Sending =>
  Effect.gen(function* () {
    const { presignUpload } = yield* Presigner
    const { url } = yield* presignUpload(destination, key, yield* Clock.currentTimeMillis)
    return yield* send(url, {
      method: "PUT",
      headers: { ...destination.terms.headers, ...uploadType, ...from(origin) },
      body: content
    })
  })

export const get = (destination: Destination, key: ObjectKey, origin: string | undefined): Sending =>
  Effect.gen(function* () {
    const { presignDownload } = yield* Presigner
    const { url } = yield* presignDownload(destination, { key, ...override }, yield* Clock.currentTimeMillis)
    return yield* send(url, { method: "GET", headers: from(origin) })
  })

/** Asks, as a browser does before it sends, whether a page of this origin may. */
export const preflight = (
  destination: Destination,
  asked: { readonly origin: string; readonly method: "PUT" | "GET"; readonly headers: ReadonlyArray<string> }
): Sending =>
  Effect.gen(function* () {
    const { presignUpload } = yield* Presigner
    const { url } = yield* presignUpload(destination, makeKey(destination), yield* Clock.currentTimeMillis)
    const headers = asked.headers.length === 0 ? {} : { "access-control-request-headers": asked.headers.join(",") }
    return yield* send(url, {
      method: "OPTIONS",
      headers: { origin: asked.origin, "access-control-request-method": asked.method, ...headers }
    })
  })

/** The names of the headers with which a browser uploads. */
export const uploadHeaders = ({ headers }: UploadTerms): ReadonlyArray<string> =>
  ["content-type", ...Object.keys(headers)].toSorted()

const uploadType = { "content-type": "text/plain" }

const from = (origin: string | undefined): Readonly<Record<string, string>> => (origin === undefined ? {} : { origin })
