/**
 * What operators meet, each seeded at a store that answers as S3 does: exactly its code comes out, with a cure.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { findingTable } from "../../src/doctor/FindingTable.ts"
import { type Asked, corsRules, refuse, type Respond, site, type Told } from "./FakeS3.ts"
import { type Environment, examine, fake, settingsFor } from "./support.ts"

interface Misconfiguration {
  readonly what: string
  readonly respond?: Respond
  readonly settings?: Environment
  readonly origins?: ReadonlyArray<string>
  /** With its severity where that is not the table's. */
  readonly found: ReadonlyArray<string>
  readonly cure?: RegExp
}

const isObject = ({ key, method }: Asked) => key !== "" && method !== "OPTIONS"
const isPut = (asked: Asked) => isObject(asked) && asked.method === "PUT"
const refusesAll =
  (status: number, code: string, more?: string): Respond =>
  (asked) =>
    asked.signed && asked.method !== "OPTIONS" ? refuse(status, code, more) : undefined
const withHeaders = (told: Told, headers: Readonly<Record<string, string>>): Told => ({
  ...told,
  headers: { ...told.headers, ...headers }
})
const without = (told: Told, name: string): Told => {
  const { [name]: _, ...headers } = told.headers ?? {}
  return { ...told, headers }
}
/** A clock that is so many minutes ahead of ours. */
const ahead =
  (minutes: number): Respond =>
  (_, itself) =>
    withHeaders(itself(), { date: new Date(Date.now() + minutes * 60_000).toUTCString() })

const publicRead = { S3_ACL: "public-read" }
const routed = (route: object) => ({ S3_ROUTES: JSON.stringify({ invoice: route }) })

const all: ReadonlyArray<Misconfiguration> = [
  {
    what: "an access key that the store does not know",
    respond: refusesAll(403, "InvalidAccessKeyId"),
    found: ["CREDENTIALS_KEY_UNKNOWN"],
    cure: /^S3_ACCESS_KEY_ID should be a key of this store/
  },
  {
    what: "a wrong secret key",
    respond: refusesAll(403, "SignatureDoesNotMatch"),
    found: ["CREDENTIALS_SECRET_WRONG"],
    cure: /secret key that belongs to S3_ACCESS_KEY_ID/
  },
  {
    what: "a wrong secret key where an ACL is set",
    respond: refusesAll(403, "SignatureDoesNotMatch"),
    settings: publicRead,
    found: ["CREDENTIALS_SECRET_WRONG"]
  },
  {
    what: "an expired session token",
    respond: refusesAll(400, "ExpiredToken"),
    settings: { S3_SESSION_TOKEN: "canary/token==" },
    found: ["CREDENTIALS_TOKEN_EXPIRED"],
    cure: /new token for S3_ACCESS_KEY_ID/
  },
  {
    what: "a session token of other keys",
    respond: refusesAll(400, "InvalidToken"),
    settings: { S3_SESSION_TOKEN: "canary/token==" },
    found: ["CREDENTIALS_TOKEN_INVALID"],
    cure: /together/
  },
  {
    what: "a temporary key without its token, which S3 calls unknown",
    respond: refusesAll(403, "InvalidAccessKeyId"),
    settings: { S3_ACCESS_KEY_ID: "ASIACANARYCANARY1234" },
    found: ["CREDENTIALS_TOKEN_MISSING"],
    cure: /^S3_SESSION_TOKEN=/
  },
  {
    what: "other keys in AWS's own variables",
    settings: { AWS_ACCESS_KEY_ID: "AKIASOMEBODYELSE5678", AWS_SECRET_ACCESS_KEY: "canary-of-somebody-else" },
    found: ["CREDENTIALS_AMBIGUOUS"],
    cure: /unset/
  },
  {
    what: "a key id of ours with a secret key of AWS's variables",
    settings: { S3_SECRET_ACCESS_KEY: "", AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "canary-of-somebody-else" },
    found: ["CREDENTIALS_AMBIGUOUS"]
  },
  {
    what: "a clock that is two minutes behind",
    respond: ahead(2),
    found: ["CLOCK_SKEW warning"],
    cure: /timedatectl/
  },
  { what: "a clock that is seven minutes ahead", respond: ahead(-7), found: ["CLOCK_SKEW"] },
  {
    what: "a clock by which S3 refuses everything",
    respond: (asked, itself) =>
      asked.signed ? refuse(403, "RequestTimeTooSkewed") : withHeaders(itself(), { date: new Date(0).toUTCString() }),
    found: ["CLOCK_SKEW"]
  },
  {
    what: "a clock of which only the refusal tells",
    respond: (asked, itself) =>
      asked.signed ? refuse(403, "RequestTimeTooSkewed") : withHeaders(itself(), { age: "5", date: "long ago" }),
    found: ["CLOCK_SKEW"]
  },
  {
    what: "a clock that makes URLs begin in the future",
    respond: (asked) =>
      asked.signed
        ? { status: 403, body: "<Error><Code>AccessDenied</Code><Message>Request is not yet valid</Message></Error>" }
        : undefined,
    found: ["CLOCK_SKEW"]
  },
  {
    what: "a web page where the store should be",
    respond: () => ({ status: 200, headers: { "content-type": "text/html" }, body: "<!doctype html><p>Console</p>" }),
    found: ["S3_ENDPOINT_NOT_S3"],
    cure: /^S3_ENDPOINT=… the address and port of the store's S3 API/
  },
  {
    what: "a bucket's web site where the store should be",
    respond: () => ({
      status: 403,
      headers: { "content-type": "text/html", "x-amz-request-id": "CANARYREQUESTID" },
      body: "<html>403 Forbidden</html>"
    }),
    found: ["S3_ENDPOINT_NOT_S3"]
  },
  {
    what: "JSON where the store should be",
    respond: () => ({ status: 404, headers: { "content-type": "application/json" }, body: "{}" }),
    found: ["S3_ENDPOINT_NOT_S3"]
  },
  {
    what: "a proxy that sends everybody to https",
    respond: () => ({
      status: 308,
      headers: { location: "https://files.example.org/uploads/?location", "content-type": "text/html" },
      body: "<html>moved</html>"
    }),
    found: ["S3_ENDPOINT_NOT_S3"],
    cure: /^S3_ENDPOINT=https:\/\/files\.example\.org$/
  },
  {
    what: "plain HTTP where TLS is spoken",
    respond: () => ({ status: 400, body: "Client sent an HTTP request to an HTTPS server.\n" }),
    found: ["S3_ENDPOINT_NOT_S3"],
    cure: /^S3_ENDPOINT=https:\/\/127\.0\.0\.1:\d+$/
  },
  {
    what: "a proxy whose store is down",
    respond: () => ({ status: 502, headers: { "content-type": "text/html" }, body: "<html>bad gateway</html>" }),
    found: ["S3_UNAVAILABLE"],
    cure: /start the store/
  },
  { what: "a store that is too busy", respond: refusesAll(503, "SlowDown"), found: ["S3_UNAVAILABLE"] },
  {
    what: "a bucket that does not exist",
    settings: { S3_BUCKET: "nowhere" },
    found: ["S3_BUCKET_MISSING"],
    cure: /aws s3api create-bucket --bucket nowhere --region us-east-1 --endpoint-url http:\/\/127/
  },
  {
    what: "a bucket of which HEAD tells nothing",
    respond: (asked) =>
      asked.method === "HEAD" ? { status: 403 } : isObject(asked) ? refuse(404, "NoSuchBucket") : undefined,
    found: ["S3_BUCKET_MISSING"]
  },
  {
    what: "a bucket in another region",
    respond: (asked) =>
      asked.signed
        ? withHeaders(refuse(301, "PermanentRedirect"), { "x-amz-bucket-region": "eu-central-1" })
        : undefined,
    found: ["S3_BUCKET_REGION"],
    cure: /^S3_REGION=eu-central-1$/
  },
  {
    what: "a bucket in another region, of which HEAD tells with 400",
    respond: (asked) =>
      asked.method === "HEAD" ? { status: 400, headers: { "x-amz-bucket-region": "ap-south-1" } } : undefined,
    found: ["S3_BUCKET_REGION"],
    cure: /^S3_REGION=ap-south-1$/
  },
  {
    what: "a bucket in another region, of which only its location tells",
    respond: (asked) =>
      asked.method === "HEAD"
        ? { status: 301 }
        : asked.signed && asked.query.has("location")
          ? {
              status: 200,
              body: '<?xml version="1.0"?><LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">EU</LocationConstraint>'
            }
          : undefined,
    found: ["S3_BUCKET_REGION"],
    cure: /^S3_REGION=eu-west-1$/
  },
  {
    what: "a bucket in another region, of which nobody tells",
    respond: (asked) => (asked.signed ? { status: 301 } : undefined),
    found: ["S3_BUCKET_REGION"],
    cure: /get-bucket-location/
  },
  {
    what: "a bucket in another region, of which the refused URL tells",
    respond: (asked) =>
      isPut(asked) ? refuse(400, "AuthorizationQueryParametersError", "<Region>sa-east-1</Region>") : undefined,
    found: ["S3_BUCKET_REGION"],
    cure: /^S3_REGION=sa-east-1$/
  },
  {
    what: "no right to write",
    respond: (asked) => (isPut(asked) ? refuse(403, "AccessDenied") : undefined),
    found: ["S3_PUT_DENIED"],
    cure: /"Action":\["s3:PutObject","s3:GetObject"\],"Resource":"arn:aws:s3:::uploads\/\*"/
  },
  {
    what: "a PUT that fails for a reason of its own",
    respond: (asked) => (isPut(asked) ? refuse(400, "EntityTooSmall") : undefined),
    found: ["S3_PUT_FAILED"]
  },
  {
    what: "no right to read",
    respond: (asked) => (isObject(asked) && asked.method === "GET" ? refuse(403, "AccessDenied") : undefined),
    found: ["S3_GET_DENIED"],
    cure: /s3:GetObject/
  },
  {
    what: "a GET that finds nothing",
    respond: (asked) => (isObject(asked) && asked.method === "GET" ? refuse(404, "NoSuchKey") : undefined),
    found: ["S3_GET_FAILED"]
  },
  {
    what: "a GET that gives something else",
    respond: (asked, itself) =>
      isObject(asked) && asked.method === "GET" ? { ...itself(), body: "something else" } : undefined,
    found: ["S3_GET_FAILED"],
    cure: /cache/
  },
  {
    what: "a store that lets an upload say how it is shown",
    respond: (asked, itself) =>
      isObject(asked) && asked.method === "GET"
        ? withHeaders(itself(), { "content-disposition": "inline" })
        : undefined,
    found: ["S3_GET_OVERRIDES"]
  },
  {
    what: "no right to delete",
    respond: (asked) => (asked.method === "DELETE" ? refuse(403, "AccessDenied") : undefined),
    found: ["S3_PROBE_LEFT"],
    cure: /aws s3api delete-object --bucket uploads --key \.s3-signer-doctor\/[0-9a-f-]{36} --endpoint-url/
  },
  {
    what: "versions that may not be removed",
    respond: (asked, itself) =>
      isPut(asked)
        ? withHeaders(itself(), { "x-amz-version-id": "v.1-x" })
        : asked.method === "DELETE" && asked.query.has("versionId")
          ? refuse(403, "AccessDenied")
          : undefined,
    found: ["S3_PROBE_LEFT"],
    cure: /--version-id v\.1-x/
  },
  {
    what: "ACLs switched off for the bucket",
    respond: (asked) =>
      isPut(asked) && asked.headers["x-amz-acl"] !== undefined
        ? refuse(400, "AccessControlListNotSupported")
        : undefined,
    settings: publicRead,
    found: ["S3_ACL_REFUSED"],
    cure: /unset S3_ACL.*put-bucket-ownership-controls --bucket uploads/
  },
  {
    what: "a store without ACLs",
    respond: (asked) => (isPut(asked) && asked.headers["x-amz-acl"] ? refuse(501, "NotImplemented") : undefined),
    settings: publicRead,
    found: ["S3_ACL_REFUSED"],
    cure: /unset S3_ACL/
  },
  {
    what: "public ACLs blocked, or no right to set them",
    respond: (asked) => (isPut(asked) && asked.headers["x-amz-acl"] ? refuse(403, "AccessDenied") : undefined),
    settings: publicRead,
    found: ["S3_ACL_REFUSED"],
    cure: /s3:PutObjectAcl.*delete-public-access-block/
  },
  {
    what: "an ACL in a form that the store does not take",
    respond: (asked) =>
      isPut(asked) && asked.query.has("x-amz-acl") ? refuse(403, "SignatureDoesNotMatch") : undefined,
    settings: { ...publicRead, S3_ACL_FORM: "dual" },
    found: ["S3_ACL_REFUSED"],
    cure: /S3_ACL_FORM/
  },
  {
    what: "a route's KMS key that may not be used",
    respond: (asked) =>
      isPut(asked) && asked.headers["x-amz-server-side-encryption"] ? refuse(403, "AccessDenied") : undefined,
    settings: routed({ kms_key: "alias/invoices" }),
    found: ["S3_KMS_REFUSED"],
    cure: /kms:GenerateDataKey/
  },
  {
    what: "a route's storage class that the store has not",
    respond: (asked) =>
      isPut(asked) && asked.query.has("x-amz-storage-class") ? refuse(400, "InvalidStorageClass") : undefined,
    settings: routed({ storage_class: "GLACIER_IR" }),
    found: ["S3_STORAGE_CLASS_REFUSED"],
    cure: /S3_ROUTES/
  },
  {
    what: "a route's bucket that does not exist",
    settings: routed({ bucket: "invoices", prefix: "2026" }),
    found: ["S3_BUCKET_MISSING"],
    cure: /^S3_ROUTES, in each of invoice: "bucket":"…"/
  },
  {
    what: "no CORS rules",
    respond: (asked) =>
      asked.method === "OPTIONS"
        ? refuse(403, "AccessForbidden")
        : asked.query.has("cors")
          ? refuse(404, "NoSuchCORSConfiguration")
          : undefined,
    found: ["S3_CORS_MISSING"],
    cure: /aws s3api put-bucket-cors --bucket uploads --cors-configuration '\{"CORSRules":\[\{"AllowedOrigins":\["https:\/\/app\.example"\]/
  },
  {
    what: "no CORS rules, and nobody named",
    respond: (asked) =>
      asked.method === "OPTIONS"
        ? refuse(403, "AccessForbidden")
        : asked.query.has("cors")
          ? refuse(404, "NoSuchCORSConfiguration")
          : undefined,
    origins: [],
    found: ["S3_CORS_MISSING"]
  },
  {
    what: "no CORS rules, of which only the refusal tells",
    respond: (asked) =>
      asked.method === "OPTIONS"
        ? {
            status: 403,
            body: "<Error><Code>AccessForbidden</Code><Message>CORSResponse: CORS is not enabled for this bucket.</Message></Error>"
          }
        : asked.query.has("cors")
          ? refuse(403, "AccessDenied")
          : undefined,
    origins: [],
    found: ["S3_CORS_MISSING"]
  },
  {
    what: "CORS rules for another site",
    origins: ["https://other.example"],
    found: ["S3_CORS_ORIGIN"],
    cure: /"AllowedOrigins":\["https:\/\/other\.example"\]/
  },
  {
    what: "CORS rules for another site, of a second one that is named",
    origins: [site, "https://other.example"],
    found: ["S3_CORS_ORIGIN"],
    cure: /"AllowedOrigins":\["https:\/\/app\.example","https:\/\/other\.example"\]/
  },
  {
    what: "MinIO's CORS for another site, which says of every bucket that it has no rules",
    respond: (asked, itself) =>
      withHeaders(asked.query.has("cors") ? refuse(404, "NoSuchCORSConfiguration") : itself(), { server: "MinIO" }),
    origins: ["https://other.example"],
    found: ["S3_CORS_ORIGIN"],
    cure: /^MINIO_API_CORS_ALLOW_ORIGIN=https:\/\/other\.example/
  },
  {
    what: "CORS rules that nobody may read, and nobody named",
    respond: (asked) => (asked.query.has("cors") ? refuse(403, "AccessDenied") : undefined),
    origins: [],
    found: ["S3_CORS_UNCHECKED"],
    cure: /--origin https:\/\/app\.example/
  },
  {
    what: "CORS rules for GET alone",
    respond: (asked, itself) =>
      asked.method === "OPTIONS" && asked.headers["access-control-request-method"] === "PUT"
        ? refuse(403, "AccessForbidden")
        : itself(),
    found: ["S3_CORS_METHOD"],
    cure: /"AllowedMethods":\["PUT","GET"\]/
  },
  {
    what: "CORS rules for GET alone, by which the check goes when nobody is named",
    respond: (asked) =>
      asked.query.has("cors")
        ? { status: 200, body: corsRules([site], ["GET"]) }
        : asked.headers["access-control-request-method"] === "PUT"
          ? refuse(403, "AccessForbidden")
          : undefined,
    origins: [],
    found: ["S3_CORS_METHOD"]
  },
  {
    what: "a preflight whose answer does not list PUT",
    respond: (asked, itself) =>
      asked.method === "OPTIONS" ? withHeaders(itself(), { "access-control-allow-methods": "GET, HEAD" }) : undefined,
    found: ["S3_CORS_METHOD"]
  },
  {
    what: "CORS rules for PUT alone",
    respond: (asked, itself) =>
      isObject(asked) && asked.method === "GET" ? without(itself(), "access-control-allow-origin") : undefined,
    found: ["S3_CORS_METHOD warning"]
  },
  {
    what: "CORS rules without the ACL's header, which the store refuses without a reason",
    respond: (asked) =>
      /x-amz-acl/.test(String(asked.headers["access-control-request-headers"]))
        ? refuse(403, "AccessForbidden")
        : undefined,
    settings: publicRead,
    found: ["S3_CORS_HEADERS"],
    cure: /"AllowedHeaders":\["content-type","x-amz-acl"\]/
  },
  {
    what: "CORS rules without the ACL's header, which the answer does not list",
    respond: (asked, itself) =>
      asked.method === "OPTIONS"
        ? withHeaders(itself(), { "access-control-allow-headers": "Content-Type" })
        : undefined,
    settings: publicRead,
    found: ["S3_CORS_HEADERS"]
  },
  {
    what: "a proxy that answers the preflight alone",
    respond: (asked, itself) => (isPut(asked) ? without(itself(), "access-control-allow-origin") : undefined),
    found: ["S3_CORS_RESPONSE"],
    cure: /proxy or a CDN/
  },
  {
    what: "CORS rules that do not expose the ETag",
    respond: (asked, itself) => (isPut(asked) ? without(itself(), "access-control-expose-headers") : undefined),
    found: ["S3_CORS_ETAG"],
    cure: /"ExposeHeaders":\["ETag"\]/
  }
]

describe("doctor finds, and finds nothing else,", () => {
  it.live.each(all)("$what", ({ cure, found, origins, respond, settings }) =>
    Effect.gen(function* () {
      const store = yield* fake(respond)

      const { findings } = yield* Effect.scoped(
        examine(settingsFor(store, settings), origins === undefined ? {} : { origins })
      )

      assert.deepStrictEqual(
        findings.map(({ code, severity }) => (severity === findingTable[code].severity ? code : `${code} ${severity}`)),
        [...found]
      )
      for (const finding of findings) {
        assert.match(finding.cure, cure ?? /\S/)
        assert.notInclude(finding.seen + finding.cure, "\n")
      }
      const stays = findings.some(({ code }) => code === "S3_PROBE_LEFT")
      if (!stays) assert.strictEqual(store.objects.size, 0, "no probe object is left behind")
    })
  )
})
