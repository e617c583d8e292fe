/**
 * The bucket as this program itself asks after it, with the AWS SDK. Import this module on demand: the SDK is large.
 */
import {
  type CORSRule,
  DeleteObjectCommand,
  GetBucketCorsCommand,
  GetBucketLocationCommand,
  HeadBucketCommand,
  S3Client
} from "@aws-sdk/client-s3"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Scope } from "effect/Scope"
import type { AccessKey } from "../../signer/credentials/AccessKey.ts"
import type { Destination } from "../../signer/s3/Destination.ts"
import * as Endpoint from "../../signer/s3/Endpoint.ts"
import { bounded, refusalOf, regionHeader, type Unreachable, unreachable } from "./Http.ts"

/** The store has answered, and not as was hoped. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", {
  status: Schema.Int,
  code: Schema.UndefinedOr(Schema.String),
  region: Schema.UndefinedOr(Schema.String),
  mistimed: Schema.Boolean
}) {}

type Call<A> = Effect.Effect<A, Refused | Unreachable>

export interface Bucket {
  /** Succeeds when it is there. A refusal has no code: an answer to HEAD has no body. */
  readonly head: Call<void>
  /** Its region. */
  readonly location: Call<string>
  readonly corsRules: Call<ReadonlyArray<CORSRule>>
  /** Deletes an object, or one version of it; answers whether only a mark was set, as where versions are kept. */
  readonly remove: (key: string, version: string | undefined) => Call<{ readonly onlyMarked: boolean }>
}

/** Every call is made once, at the endpoint that this program calls, and ends within 10 seconds. */
export const open = (destination: Destination, key: AccessKey): Effect.Effect<Bucket, never, Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => client(destination, key)),
      (client) => Effect.sync(() => client.destroy())
    ),
    (client) => {
      const Bucket = destination.bucket
      const call = <A>(send: (options: { readonly abortSignal: AbortSignal }) => Promise<A>): Call<A> =>
        bounded(Effect.tryPromise({ try: (signal) => send({ abortSignal: signal }), catch: failure }))
      return {
        head: Effect.asVoid(call((options) => client.send(new HeadBucketCommand({ Bucket }), options))),
        location: Effect.map(
          call((options) => client.send(new GetBucketLocationCommand({ Bucket }), options)),
          ({ LocationConstraint }) => regionOf(LocationConstraint)
        ),
        corsRules: Effect.map(
          call((options) => client.send(new GetBucketCorsCommand({ Bucket }), options)),
          ({ CORSRules }) => CORSRules ?? []
        ),
        remove: (Key, version) =>
          Effect.map(
            call((options) =>
              client.send(
                new DeleteObjectCommand({ Bucket, Key, ...(version === undefined ? {} : { VersionId: version }) }),
                options
              )
            ),
            ({ DeleteMarker }) => ({ onlyMarked: version === undefined && DeleteMarker === true })
          )
      }
    }
  )

/** Everything is said here, so that neither the environment nor profile files say anything. */
const client = (
  { apiEndpoint, region, style }: Destination,
  { accessKeyId, secretAccessKey, sessionToken }: AccessKey
) =>
  new S3Client({
    region,
    endpoint: Endpoint.url(apiEndpoint),
    forcePathStyle: style === "path",
    credentials: {
      accessKeyId: Redacted.value(accessKeyId),
      secretAccessKey: Redacted.value(secretAccessKey),
      ...(sessionToken === undefined ? {} : { sessionToken: Redacted.value(sessionToken) })
    },
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    useAccelerateEndpoint: false,
    followRegionRedirects: false,
    maxAttempts: 1,
    requestChecksumCalculation: "WHEN_REQUIRED",
    responseChecksumValidation: "WHEN_REQUIRED",
    logger: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
  })

/** S3 names two regions otherwise than the rest of the world. */
const regionOf = (constraint: string | undefined) =>
  constraint === undefined || constraint === "" ? "us-east-1" : constraint === "EU" ? "eu-west-1" : constraint

interface SdkError {
  readonly name?: unknown
  readonly Region?: unknown
  readonly $metadata?: { readonly httpStatusCode?: number }
  readonly $response?: { readonly headers?: Readonly<Record<string, string>> }
}

const failure = (error: unknown): Refused | Unreachable => {
  const { $metadata, $response, Region, name } = error as SdkError
  const status = $metadata?.httpStatusCode
  if (status === undefined) return unreachable(error)
  // The SDK has read the body; what it found there is written back, so that one function decides what to believe.
  const body = `<Code>${String(name)}</Code><Region>${String(Region ?? "")}</Region>`
  return new Refused(refusalOf(status, body, $response?.headers?.[regionHeader]))
}
