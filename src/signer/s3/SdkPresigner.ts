/**
 * Signs URLs with the AWS SDK, which is in memory only after this module is loaded: import it on demand.
 *
 * It gives the URLs of `SigV4.ts`, character for character, as long as the target's query has what the SDK always signs:
 * `X-Amz-Content-Sha256=UNSIGNED-PAYLOAD`. It takes about fifteen times as long.
 */
import { S3RequestPresigner } from "@aws-sdk/s3-request-presigner"
import { Hash } from "@smithy/hash-node"
import * as Redacted from "effect/Redacted"
import { encodeQuery, type Keys, type Request, type Target } from "./SigV4.ts"

/** Makes the URLs of one target and one access key. */
export const signer = (target: Target, keys: Keys): ((request: Request) => Promise<string>) => {
  const presigner = new S3RequestPresigner({
    region: target.region,
    credentials: {
      accessKeyId: Redacted.value(keys.accessKeyId),
      secretAccessKey: Redacted.value(keys.secretAccessKey),
      ...(keys.sessionToken === undefined ? {} : { sessionToken: Redacted.value(keys.sessionToken) })
    },
    sha256: Hash.bind(null, "sha256")
  })

  const names = Object.keys(target.headers ?? {})

  return ({ at, expiresIn, method, path, query }) =>
    presigner
      .presign(
        {
          method,
          protocol: target.protocol,
          hostname: target.host,
          path,
          query: { ...target.query, ...query },
          headers: { ...target.headers, host: target.host }
        },
        {
          // A `Date` of a whole second: the SDK would read a number as seconds.
          signingDate: new Date(at),
          expiresIn,
          // By itself the SDK leaves `content-type` unsigned and moves `x-amz-…` from the headers into the query, where
          // they bind nobody.
          signableHeaders: new Set(names),
          unhoistableHeaders: new Set(names)
        }
      )
      .then(
        (signed) => `${target.protocol}//${target.host}${path}?${encodeQuery(signed.query as Record<string, string>)}`
      )
}
