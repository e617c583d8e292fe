/**
 * What the stores that cannot run here are documented to do with an ACL, or reported to: not measured.
 */

export interface DocumentedStore {
  readonly store: string
  readonly says: string
  /** What an operator sets. */
  readonly set: string
}

const header = "`S3_ACL=public-read`"
const nothing = "nothing"

export const documented: ReadonlyArray<DocumentedStore> = [
  {
    store: "AWS, bucket with ACLs disabled, as all made since April 2023",
    says:
      "an upload with `public-read`, in any form, is refused: [400 `AccessControlListNotSupported`]" +
      "(https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-ownership-error-responses.html)",
    set: `${nothing}; who may read is for a bucket policy`
  },
  {
    store: "AWS, bucket with ACLs enabled",
    says:
      "a signed header must be sent ([SDK](https://github.com/aws/aws-sdk-net/issues/555)), one that is not signed must not " +
      "([report](https://github.com/odysseyscience/react-s3-uploader/issues/106)); a `dual` URL was refused once, it is not " +
      "told for which client ([report](https://github.com/minio/minio/issues/5630)); [Block Public Access]" +
      "(https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html) must let public ACLs in",
    set: header
  },
  {
    store: "Cloudflare R2",
    says:
      "no ACLs: [`x-amz-acl` is not implemented](https://developers.cloudflare.com/r2/api/s3/api/) for uploads; a signed " +
      "one was answered 501 in 2023 ([report](https://github.com/saltbo/zpan/issues/199))",
    set: nothing
  },
  {
    store: "Google Cloud Storage, XML API with HMAC keys",
    says:
      "[takes `x-amz-…` headers](https://docs.cloud.google.com/storage/docs/aws-simple-migration) that it has an equivalent " +
      "of; a bucket with uniform access refuses ACLs with 400",
    set: `${header}; ${nothing} with uniform bucket-level access`
  },
  {
    store: "DigitalOcean Spaces",
    says: "[has ACLs of objects](https://docs.digitalocean.com/reference/api/spaces/), as a header",
    set: header
  },
  {
    store: "Backblaze B2",
    says:
      "[no ACLs of objects](https://www.backblaze.com/docs/cloud-storage-s3-compatible-api): an object's is always its " +
      "bucket's",
    set: nothing
  }
]

export interface Operator {
  readonly site: string
  readonly sends: string
  readonly set: string
}

/** What follows from both for somebody who runs Civic OS. */
export const operators: ReadonlyArray<Operator> = [
  { site: "before 0.55.1, on any store", sends: "no", set: "nothing" },
  {
    site: "from 0.55.1, on AWS with ACLs enabled, versitygw, Google Cloud Storage, Spaces",
    sends: "yes",
    set: "`S3_ACL=public-read`; without it each upload is refused where AWS's rule holds"
  },
  {
    site: "from 0.55.1, on AWS with ACLs disabled",
    sends: "yes",
    set: "nothing helps: enable ACLs on the bucket, and let public ACLs in"
  },
  {
    site: "from 0.55.1, on R2 or Backblaze",
    sends: "yes",
    set: "nothing; whether they mind a header that is not signed is not known, so try it"
  },
  {
    site: "any, on MinIO",
    sends: "either",
    set: "nothing: it takes both clients, and an ACL makes nothing public there; a bucket policy does"
  },
  {
    site: "while browsers of both are in use, after an upgrade across 0.55.1",
    sends: "some",
    set:
      "set `S3_ACL` together with the upgrade; pages that are still open fail to upload until they are loaded again. " +
      "`S3_ACL_FORM=dual` spares them only on stores that answer 200 to both clients below, which versitygw does not and " +
      "AWS is not known to"
  }
]
