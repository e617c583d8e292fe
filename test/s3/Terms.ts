/**
 * Trials of what an upload URL lays down besides the key: an ACL in each of its forms, a storage class, encryption. Each
 * with a client that sends the header and with one that does not.
 */
import * as UploadTerms from "../../src/signer/s3/UploadTerms.ts"
import { kmsKey } from "./Servers.ts"
import { type Answer, send, sign, type Store } from "./Store.ts"
import { newKey, type Outcomes, type Trial, upload } from "./Trial.ts"

const trial = (says: string, outcome: Outcomes, run: Trial["run"]): Trial => ({ says, outcome, run })

const publicRead = { "x-amz-acl": "public-read" }

const none: UploadTerms.Terms = { acl: undefined, aclForm: "header", kmsKey: undefined, storageClass: undefined }

/** Signed as the service signs it for this setting. */
const withAcl = (store: Store, key: string, form: UploadTerms.AclForm | undefined) =>
  sign(store, {
    key,
    ...UploadTerms.of({ ...none, ...(form !== undefined && { acl: "public-read", aclForm: form }) })
  })

const sending = (form?: UploadTerms.AclForm) =>
  upload((store, key) => ({ url: withAcl(store, key, form), headers: publicRead }))
const silent = (form?: UploadTerms.AclForm) => upload((store, key) => ({ url: withAcl(store, key, form) }))

export const acls: ReadonlyArray<Trial> = [
  trial("an upload with no ACL, header not sent", { rule: "200" }, silent()),
  trial("an upload with no ACL, header sent", { rule: "403", MinIO: "200", s3rver: "200" }, sending()),
  trial("an upload with `header`, header sent", { rule: "200" }, sending("header")),
  trial("an upload with `header`, header not sent", { rule: "403", MinIO: "400" }, silent("header")),
  trial(
    "an upload with `dual`, header sent",
    { rule: "?", versitygw: "200", MinIO: "200", s3rver: "200" },
    sending("dual")
  ),
  trial(
    "an upload with `dual`, header not sent",
    { rule: "?", versitygw: "403", MinIO: "200", s3rver: "200" },
    silent("dual")
  ),
  trial("an upload with `query`, header sent", { rule: "403", MinIO: "200", s3rver: "200" }, sending("query")),
  trial("an upload with `query`, header not sent", { rule: "200" }, silent("query")),
  trial(
    "anybody's GET of what came with `public-read`",
    { rule: "200", versitygw: "403", MinIO: "403" },
    async (store) => {
      const key = newKey()
      const url = withAcl(store, key, "header")
      const { status } = await send(store, "PUT", url, { headers: publicRead, body: "public" })
      if (status !== 200) throw new Error(`the upload was answered ${status}`)
      const answer = await send(store, "GET", url.replace(/\?.*/, ""))
      return String(answer.status)
    }
  )
]

const storageClass = { "x-amz-storage-class": "REDUCED_REDUNDANCY" }
const unknownClass = { "x-amz-storage-class": "NO_SUCH_CLASS" }
const kms = {
  "x-amz-server-side-encryption": "aws:kms",
  "x-amz-server-side-encryption-aws-kms-key-id": kmsKey
}

type Headers = Readonly<Record<string, string>>

/** Kept when a later GET says so. */
const kept = (headers: Headers) => (object: Answer) =>
  Object.entries(headers).every(([name, value]) => String(object.headers[name]).endsWith(value))
    ? ", kept"
    : ", ignored"

const asHeader = (headers: Headers, sent: Headers = headers) =>
  upload((store, key) => ({ url: sign(store, { key, headers }), headers: sent }), kept(headers))
const inQuery = (query: Headers) => upload((store, key) => ({ url: sign(store, { key, query }) }), kept(query))

export const terms: ReadonlyArray<Trial> = [
  trial(
    "a storage class in the query",
    { rule: "?", versitygw: "200, ignored", MinIO: "200, kept", s3rver: "200, kept" },
    inQuery(storageClass)
  ),
  trial(
    "a storage class as a signed header, sent",
    { rule: "200, kept", versitygw: "200, ignored" },
    asHeader(storageClass)
  ),
  trial("a storage class as a signed header, not sent", { rule: "403", MinIO: "400" }, asHeader(storageClass, {})),
  trial(
    "an unknown storage class in the query",
    { rule: "?", versitygw: "200, ignored", MinIO: "200, kept", s3rver: "400" },
    inQuery(unknownClass)
  ),
  trial(
    "an unknown storage class as a signed header, sent",
    { rule: "400", versitygw: "200, ignored" },
    asHeader(unknownClass)
  ),
  trial(
    "a KMS key in the query",
    { rule: "?", versitygw: "200, ignored", MinIO: "200, ignored", s3rver: "403" },
    inQuery(kms)
  ),
  trial(
    "a KMS key as signed headers, sent",
    { rule: "200, kept", versitygw: "200, ignored", s3rver: "200, ignored" },
    asHeader(kms)
  ),
  trial("a KMS key as signed headers, not sent", { rule: "403", MinIO: "400" }, asHeader(kms, {}))
]
