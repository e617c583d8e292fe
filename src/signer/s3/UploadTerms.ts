/**
 * What an upload URL lays down about the object besides its key: access control, encryption, storage class.
 *
 * A header that is signed binds: the client must send it, just so. A parameter in the query asks nothing of the client;
 * whether it counts is for the store to say.
 */
/** What is signed into the upload URLs of a destination. */
export interface UploadTerms {
  /** Headers that the client must send just so; names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** Parameters that the URL carries itself. */
  readonly query: Readonly<Record<string, string>>
}

/** S3's canned ACLs for objects. */
export const cannedAcls = [
  "private",
  "public-read",
  "public-read-write",
  "authenticated-read",
  "aws-exec-read",
  "bucket-owner-read",
  "bucket-owner-full-control"
] as const

export type CannedAcl = (typeof cannedAcls)[number]

/**
 * How an ACL stands in a URL. `header`: signed as a header that the client must send. `query`: only in the query; the
 * client sends nothing. `dual`: both, for stores that count either.
 */
export const aclForms = ["header", "dual", "query"] as const

export type AclForm = (typeof aclForms)[number]

export interface Terms {
  readonly acl: CannedAcl | undefined
  readonly aclForm: AclForm
  /** The key of the key management service that encrypts the object: id, alias or ARN. */
  readonly kmsKey: string | undefined
  /** As S3 names it, such as `STANDARD_IA`. */
  readonly storageClass: string | undefined
}

/**
 * S3 takes encryption from headers only, so a KMS key always binds the client. A storage class stands in the query, which
 * asks nothing of browsers; some stores leave it unheeded there (the README of the signer says which).
 */
export const of = ({ acl, aclForm, kmsKey, storageClass }: Terms): UploadTerms => {
  const cannedAcl = acl === undefined ? {} : { "x-amz-acl": acl }
  return {
    headers: {
      ...(aclForm === "query" ? {} : cannedAcl),
      ...(kmsKey !== undefined && {
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": kmsKey
      })
    },
    query: {
      ...(aclForm === "header" ? {} : cannedAcl),
      ...(storageClass !== undefined && { "x-amz-storage-class": storageClass })
    }
  }
}
