/**
 * Signs S3 URLs. Signing is local: no request leaves the process.
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { type AccessKey, Credentials, type CredentialsUnavailable } from "./Credentials.ts"
import * as Endpoint from "./Endpoint.ts"
import type { ObjectKey } from "../uploads/ObjectKey.ts"
import * as SigV4 from "./SigV4.ts"

/** A URL could not be signed. Neither URL nor key nor signature is in it; of its cause, only the name. */
export class PresignError extends Schema.TaggedError<PresignError>()("PresignError", { reason: Schema.String }) {
  override get message() {
    return `could not sign the URL: ${this.reason}`
  }
}

export interface PresignerOptions {
  /** Who signs: this project's own code, or the AWS SDK. Both give the same URLs. */
  readonly presigner: "native" | "sdk"
  readonly region: string
  readonly bucket: string
  /** `http(s)://host[:port][/path]`, written into the URLs; undefined for AWS's own in the region. */
  readonly publicEndpoint: string | undefined
  /** How long a client has to begin its upload: whole seconds, from 1 second to 7 days. */
  readonly uploadLifetime: Duration.Duration
}

export class Presigner extends Context.Service<
  Presigner,
  {
    /**
     * A URL that accepts a `PUT` of the object, from `at` (milliseconds since 1970) for `uploadLifetime`, or until the
     * credentials expire that signed it. The URL is a secret: whoever has it may write.
     */
    readonly presignUpload: (key: ObjectKey, at: number) => Effect.Effect<string, PresignError | CredentialsUnavailable>
  }
>()("signer/Presigner") {
  /** Dies when the endpoint is not one: settings are checked before they get here. */
  static readonly layer = (options: PresignerOptions) =>
    Layer.effect(
      Presigner,
      Effect.gen(function* () {
        const credentials = yield* Credentials
        const signer = options.presigner === "native" ? nativeSigner : yield* sdkSigner
        const endpoint =
          options.publicEndpoint === undefined
            ? Endpoint.ofRegion(options.region)
            : yield* Effect.orDie(Effect.fromResult(Endpoint.parse(options.publicEndpoint)))
        const target = targetOf(endpoint, options.region)
        const folder = Endpoint.bucketPath(endpoint, options.bucket)
        const longest = Math.floor(Duration.toSeconds(options.uploadLifetime))

        // One signer for as long as the access key is the same: it holds the key of the day.
        let held: { readonly accessKey: AccessKey; readonly sign: Sign } | undefined

        const presignUpload = (key: ObjectKey, at: number) =>
          Effect.flatMap(credentials.current, (accessKey) => {
            if (held?.accessKey !== accessKey) held = { accessKey, sign: signer(target, inTheClear(accessKey)) }
            const expiresIn = Math.min(longest, secondsLeft(accessKey, at))
            return held.sign({ method: "PUT", path: folder + key, at, expiresIn })
          })

        return Presigner.of({ presignUpload })
      })
    )
}

type Sign = (request: SigV4.Request) => Effect.Effect<string, PresignError>
type Signer = (target: SigV4.Target, keys: SigV4.Keys) => Sign

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

/** Its one parameter is optional for S3; the SDK's presigner always has it, and both are to give the same URLs. */
const targetOf = (endpoint: Endpoint.Endpoint, region: string): SigV4.Target => ({
  protocol: endpoint.protocol,
  host: Endpoint.host(endpoint),
  region,
  query: { "X-Amz-Content-Sha256": "UNSIGNED-PAYLOAD" }
})

const inTheClear = (accessKey: AccessKey): SigV4.Keys => ({
  accessKeyId: accessKey.accessKeyId,
  secretAccessKey: Redacted.value(accessKey.secretAccessKey),
  sessionToken: accessKey.sessionToken === undefined ? undefined : Redacted.value(accessKey.sessionToken)
})

const secondsLeft = ({ expiration }: AccessKey, at: number): number =>
  expiration === undefined ? Infinity : Math.max(Math.floor((expiration - at) / 1000), 1)
