/**
 * An S3 server from npm that verifies SigV4 query signatures: method, key, signed headers, expiry and access key.
 *
 * It does not refuse unsigned requests, a clock that runs ahead or another region, and it ignores ACLs and checksums.
 */
import S3rver from "@20minutes/s3rver"
import v4 from "@20minutes/s3rver/lib/signature/v4.js"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

export interface S3Options {
  /** On 127.0.0.1; without it a free one. */
  readonly port?: number | undefined
  /** Where objects are kept; without it a temporary one, removed by `stop`. */
  readonly directory?: string | undefined
  readonly bucket: string
  /** The origins whose pages may PUT and GET with scripts, as `http://127.0.0.1:8787`. */
  readonly corsOrigins?: ReadonlyArray<string> | undefined
}

export interface S3 {
  /** As `S3_ENDPOINT` takes it; path style. */
  readonly endpoint: string
  readonly port: number
  readonly bucket: string
  readonly directory: string
  readonly stop: () => Promise<void>
}

/** The one key pair that the server knows; any region will do. */
export const s3Credentials = { accessKeyId: "S3RVER", secretAccessKey: "S3RVER" }

export const startS3 = async (options: S3Options): Promise<S3> => {
  const directory = options.directory ?? fs.mkdtempSync(path.join(os.tmpdir(), "s3-signer-s3-"))
  fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
  const origins = options.corsOrigins ?? []
  const server = new S3rver({
    address: "127.0.0.1",
    port: options.port ?? 0,
    directory,
    silent: true,
    configureBuckets: [{ name: options.bucket, configs: origins.length === 0 ? [] : [corsRules(origins)] }]
  })
  const { port } = await server.run()
  return {
    endpoint: `http://127.0.0.1:${port}`,
    port,
    bucket: options.bucket,
    directory,
    stop: async () => {
      const closed = new Promise((resolve) => server.httpServer.close(resolve))
      server.httpServer.closeAllConnections()
      await closed
      if (options.directory === undefined) fs.rmSync(directory, { recursive: true, force: true })
    }
  }
}

/**
 * As it comes, the server refuses right signatures over queries whose values hold one of `!'()*`: it writes the canonical
 * query with `encodeURIComponent`, which leaves these five as they are, where SigV4 has them percent-encoded. A query has
 * them for nothing else, so encoding them afterwards gives the one that was signed. For all servers of the process.
 */
const { getStringToSign } = v4
v4.getStringToSign = (request, signature) => {
  const encode = (c: string) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`
  return getStringToSign({ ...request, querystring: request.querystring.replace(/[!'()*]/g, encode) }, signature)
}

const corsRules = (origins: ReadonlyArray<string>) => `
  <CORSConfiguration>
    <CORSRule>
      ${origins.map((origin) => `<AllowedOrigin>${origin}</AllowedOrigin>`).join("")}
      <AllowedMethod>PUT</AllowedMethod>
      <AllowedMethod>GET</AllowedMethod>
      <AllowedMethod>HEAD</AllowedMethod>
      <AllowedHeader>*</AllowedHeader>
      <ExposeHeader>ETag</ExposeHeader>
      <MaxAgeSeconds>300</MaxAgeSeconds>
    </CORSRule>
  </CORSConfiguration>`
