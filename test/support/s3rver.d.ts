declare module "@20minutes/s3rver" {
  import type { Server } from "node:http"
  import type { AddressInfo } from "node:net"

  /** The package has no types; this is what we use of it. */
  export default class S3rver {
    constructor(options: {
      readonly address: string
      readonly port: number
      readonly directory: string
      readonly silent: boolean
      readonly configureBuckets: ReadonlyArray<{ readonly name: string; readonly configs: ReadonlyArray<string> }>
    })
    readonly httpServer: Server
    run(): Promise<AddressInfo>
  }
}

declare module "@20minutes/s3rver/lib/signature/v4.js" {
  interface CanonicalRequest {
    /** In order of names; names and values encoded. */
    readonly querystring: string
  }

  /** The server calls its functions through this object. */
  const v4: {
    /** What the signature is computed over. `request` has more than this. */
    getStringToSign: (request: CanonicalRequest, signature: unknown) => string
  }
  export default v4
}
