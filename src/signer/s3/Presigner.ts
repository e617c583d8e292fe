/**
 * Signs S3 URLs. Signing is local: no request leaves the process.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Address from "./Address.ts"
import { type AccessKey, Credentials, type CredentialsUnavailable, lifetimeLeft } from "../credentials/Credentials.ts"
import type { Destination } from "./Destination.ts"
import type { ObjectKey } from "../uploads/ObjectKey.ts"
import * as SigV4 from "./SigV4.ts"

/** A URL could not be signed. Neither URL nor key nor signature is in it; of its cause, only the name. */
export class PresignError extends Schema.TaggedError<PresignError>()("PresignError", { reason: Schema.String }) {
  override get message() {
    return `could not sign the URL: ${this.reason}`
  }
}

/** A URL, which is a secret: whoever has it may do what it says. */
export interface Presigned {
  readonly url: Redacted.Redacted
  /** When it ends, in milliseconds since 1970. */
  readonly expiresAt: number
}

/** A file to be downloaded, and what the store is made to say of it. */
export interface Download {
  /** The whole key, not yet encoded. */
  readonly key: string
  readonly contentDisposition: string
  readonly contentType: string
}

export interface PresignerOptions {
  /** Who signs: this project's own code, or the AWS SDK. Both give the same URLs. */
  readonly presigner: "native" | "sdk"
  /** How long a download URL works: whole seconds, from 1 second to 7 days. */
  readonly downloadLifetime: Duration.Duration
}

/** All URLs work from `at`, milliseconds since 1970, for their lifetime, or until shortly before their credentials end. */
export class Presigner extends Context.Service<
  Presigner,
  {
    /** A URL that accepts a `PUT` of the object with this key, on the destination's terms. */
    readonly presignUpload: Presign<ObjectKey>
    /** A URL that gives the object on a `GET`. */
    readonly presignDownload: Presign<Download>
  }
>()("signer/Presigner") {
  static readonly layer = ({ downloadLifetime, presigner }: PresignerOptions) =>
    Layer.effect(
      Presigner,
      Effect.gen(function* () {
        const credentials = yield* Credentials
        const signer = presigner === "native" ? nativeSigner : yield* sdkSigner
        const downloadSeconds = Duration.toSeconds(downloadLifetime)

        const presign = <A>(signedFor: (what: A, destination: Destination) => SignedFor) => {
          // A signer for each destination as long as the access key is the same: it holds the key of the day.
          let held: { readonly accessKey: AccessKey; readonly signers: WeakMap<Destination, Sign> } | undefined

          return (destination: Destination, what: A, at: number) =>
            Effect.flatMap(credentials.current, (accessKey) => {
              if (held?.accessKey !== accessKey) held = { accessKey, signers: new WeakMap() }
              const { lifetime, method, path, query } = signedFor(what, destination)
              let sign = held.signers.get(destination)
              if (sign === undefined) {
                sign = signInBucket(signer, destination, method, accessKey)
                held.signers.set(destination, sign)
              }
              const expiresIn = Math.min(lifetime, Math.max(lifetimeLeft(accessKey, at), 1))
              const expiresAt = (Math.floor(at / 1000) + expiresIn) * 1000
              return Effect.map(sign({ method, path, at, expiresIn, query }), (url) => ({
                url: Redacted.make(url),
                expiresAt
              }))
            })
        }

        return Presigner.of({
          // A key that is made here is its own encoding.
          presignUpload: presign((key, { uploadLifetime }) => ({
            method: "PUT",
            path: key,
            lifetime: Duration.toSeconds(uploadLifetime)
          })),
          presignDownload: presign(({ contentDisposition, contentType, key }) => ({
            method: "GET",
            path: SigV4.encodePath(key),
            lifetime: downloadSeconds,
            query: { "response-content-disposition": contentDisposition, "response-content-type": contentType }
          }))
        })
      })
    )
}

type Presign<A> = (
  destination: Destination,
  what: A,
  at: number
) => Effect.Effect<Presigned, PresignError | CredentialsUnavailable>

interface SignedFor extends Pick<SigV4.Request, "method" | "path" | "query"> {
  /** Seconds. */
  readonly lifetime: number
}

type Sign = (request: SigV4.Request) => Effect.Effect<string, PresignError>
type Signer = (target: SigV4.Target, keys: SigV4.Keys) => Sign

/** Signs for the objects of a bucket: a request's path is the object's key, encoded. */
const signInBucket = (
  signer: Signer,
  destination: Destination,
  method: SigV4.Request["method"],
  keys: SigV4.Keys
): Sign => {
  const { bucket, endpoint, region, style, terms } = destination
  const { folder, host, protocol } = Address.of(endpoint, bucket, style)
  const sign = signer(
    {
      protocol,
      host,
      region,
      headers: method === "PUT" ? terms.headers : {},
      // It is optional for S3; the SDK's presigner always has it, and both are to give the same URLs.
      query: { "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD", ...(method === "PUT" ? terms.query : {}) }
    },
    keys
  )
  return (request) => sign({ ...request, path: folder + request.path })
}

const nativeSigner: Signer = (target, keys) => {
  const sign = SigV4.signer(target, keys)
  return (request) => Effect.try({ try: () => sign(request), catch: presignError })
}

/** Loads the SDK: about 30 ms and 12 MB that the native signer does not cost. */
const sdkSigner: Effect.Effect<Signer> = Effect.map(
  Effect.promise(() => import("./SdkPresigner.ts")),
  (SdkPresigner) => (target, keys) => {
    const sign = SdkPresigner.signer(target, keys)
    return (request) => Effect.tryPromise({ try: () => sign(request), catch: presignError })
  }
)

const presignError = (cause: unknown): PresignError =>
  new PresignError({ reason: cause instanceof Error ? cause.name : typeof cause })
