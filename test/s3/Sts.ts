/**
 * Temporary credentials from MinIO: `AssumeRole` with the keys of its root, signed in headers.
 */
import { createHash, createHmac } from "node:crypto"
import { signingKey } from "../../src/signer/s3/SigV4.ts"
import type { AccessKey, Server } from "./Servers.ts"

/** Credentials with a session token; the server takes them for 15 minutes at least. */
export const assumeRole = async ({ keys, port, region }: Server): Promise<AccessKey> => {
  const host = `127.0.0.1:${port}`
  const type = "application/x-www-form-urlencoded"
  const body = "Action=AssumeRole&Version=2011-06-15&DurationSeconds=900"
  const date = `${new Date().toISOString().slice(0, 19).replace(/[-:]/g, "")}Z`
  const day = date.slice(0, 8)
  const scope = `${day}/${region}/sts/aws4_request`
  const names = "content-type;host;x-amz-date"
  const request = `POST\n/\n\ncontent-type:${type}\nhost:${host}\nx-amz-date:${date}\n\n${names}\n${sha256(body)}`
  const signature = createHmac("sha256", signingKey(keys.secretAccessKey, day, region, "sts"))
    .update(`AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(request)}`)
    .digest("hex")
  const response = await fetch(`http://${host}/`, {
    method: "POST",
    headers: {
      "Content-Type": type,
      "X-Amz-Date": date,
      Authorization: `AWS4-HMAC-SHA256 Credential=${keys.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`
    },
    body
  })
  const text = await response.text()
  const [accessKeyId, secretAccessKey, sessionToken] = ["AccessKeyId", "SecretAccessKey", "SessionToken"].map(
    (name) => new RegExp(`<${name}>([^<]+)<`).exec(text)?.[1]
  )
  if (accessKeyId === undefined || secretAccessKey === undefined || sessionToken === undefined) {
    throw new Error(`AssumeRole: ${response.status} ${/<Code>(\w+)</.exec(text)?.[1]}`)
  }
  return { accessKeyId, secretAccessKey, sessionToken }
}

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex")
