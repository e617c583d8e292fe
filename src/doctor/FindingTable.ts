/**
 * Every finding that the doctor may have, as data: its code, what it means and why it matters.
 */

export type Severity = "error" | "warning" | "info"

export interface FindingRow {
  /** What holds unless the check that finds it says otherwise. */
  readonly severity: Severity
  readonly meaning: string
  /** One sentence about what comes of it. */
  readonly why: string
}

const rows = {
  CHECK_FAILED: {
    severity: "error",
    meaning: "a check ended with a fault of its own",
    why: "What it looks at is unknown; the fault is the program's, not the system's."
  },
  CHECK_UNFINISHED: {
    severity: "error",
    meaning: "a check did not end in time",
    why: "What it looks at is unknown, and the worker would meet the same slowness."
  },
  CREDENTIALS_MISSING: {
    severity: "error",
    meaning: "there are no credentials",
    why: "Nothing can be signed: jobs wait, and requests stay open until there are some."
  },
  CREDENTIALS_SHORT_LIVED: {
    severity: "error",
    meaning: "temporary credentials end before a URL would",
    why: "No URL works longer than the credentials that signed it."
  },
  CREDENTIALS_AMBIGUOUS: {
    severity: "warning",
    meaning: "the environment holds other credentials besides those that are used",
    why: "Whoever set the others may believe that they count; rights and bucket may belong to them."
  },
  CREDENTIALS_TOKEN_MISSING: {
    severity: "error",
    meaning: "the access key is a temporary one, and its session token is not set",
    why: "A temporary key without its token is unknown to S3: every request is refused."
  },
  CREDENTIALS_KEY_UNKNOWN: {
    severity: "error",
    meaning: "the store does not know the access key",
    why: "Every URL is refused, although each one looks right."
  },
  CREDENTIALS_SECRET_WRONG: {
    severity: "error",
    meaning: "the store knows the access key and refuses the signature",
    why: "Every URL is refused, although each one looks right."
  },
  CREDENTIALS_TOKEN_EXPIRED: {
    severity: "error",
    meaning: "the session token has expired",
    why: "Every URL is refused, although each one looks right."
  },
  CREDENTIALS_TOKEN_INVALID: {
    severity: "error",
    meaning: "the session token does not belong to the access key",
    why: "Every URL is refused, although each one looks right."
  },
  CLOCK_SKEW: {
    severity: "error",
    meaning: "the clock here differs from the store's: by 1 minute a warning, by 5 minutes an error",
    why: "URLs are dated by the clock here: they end early or late, and S3 refuses them when it is 15 minutes off."
  },
  S3_ENDPOINT_DNS: {
    severity: "error",
    meaning: "the endpoint's host name is not known",
    why: "Nobody can send a file to a host that cannot be found."
  },
  S3_ENDPOINT_REFUSED: {
    severity: "error",
    meaning: "nothing takes connections at the endpoint",
    why: "Nobody can send a file there."
  },
  S3_ENDPOINT_SILENT: {
    severity: "error",
    meaning: "the endpoint does not answer within 10 seconds",
    why: "Uploads would hang; most often a firewall or a wrong port drops what is sent."
  },
  S3_ENDPOINT_TLS: {
    severity: "error",
    meaning: "the endpoint's certificate is not trusted, or it does not speak TLS",
    why: "No encrypted connection comes about, so no file either."
  },
  S3_ENDPOINT_BROKEN: {
    severity: "error",
    meaning: "the connection to the endpoint breaks, or what comes back is no HTTP",
    why: "Nobody can send a file there."
  },
  S3_ENDPOINT_NOT_S3: {
    severity: "error",
    meaning: "something answers at the endpoint that is no S3 server",
    why: "Uploads would end at a web page or an error."
  },
  S3_ENDPOINT_PROXY: {
    severity: "error",
    meaning: "the store takes a request directly and refuses its signature through the public endpoint",
    why: "What stands before the store changes the host or the path, which are signed: every URL is refused."
  },
  S3_MIXED_CONTENT: {
    severity: "error",
    meaning: "the site is https, and the endpoint in URLs http",
    why: "Browsers block requests of an https page to an http address."
  },
  S3_UNAVAILABLE: {
    severity: "error",
    meaning: "the store answers that it cannot serve at the moment",
    why: "Uploads fail as long as it does."
  },
  S3_BUCKET_MISSING: {
    severity: "error",
    meaning: "the bucket does not exist",
    why: "Every upload fails."
  },
  S3_BUCKET_REGION: {
    severity: "error",
    meaning: "the bucket is in another region",
    why: "The region is signed: every URL is refused or redirected, which no browser follows for an upload."
  },
  S3_PUT_DENIED: {
    severity: "error",
    meaning: "the credentials are good and may not write",
    why: "Every upload is refused."
  },
  S3_PUT_FAILED: {
    severity: "error",
    meaning: "a signed PUT fails for another reason",
    why: "Every upload is likely to fail."
  },
  S3_GET_DENIED: {
    severity: "error",
    meaning: "the credentials are good and may not read",
    why: "Every download is refused."
  },
  S3_GET_FAILED: {
    severity: "error",
    meaning: "a signed GET does not give back what was put there",
    why: "Every download is likely to fail."
  },
  S3_GET_OVERRIDES: {
    severity: "warning",
    meaning: "the store ignores the type and disposition that a download URL lays down",
    why: "An uploaded web page would be shown on the store's host instead of saved, under a name that says nothing."
  },
  S3_PROBE_LEFT: {
    severity: "warning",
    meaning: "the doctor could not remove its probe object",
    why: "The worker never deletes objects, so nothing else is wrong; a small object stays behind."
  },
  S3_ACL_REFUSED: {
    severity: "error",
    meaning: "an upload with the ACL of S3_ACL is refused, and one without it is taken",
    why: "Every upload is refused."
  },
  S3_KMS_REFUSED: {
    severity: "error",
    meaning: "an upload with the route's KMS key is refused, and one without it is taken",
    why: "Every upload of the route is refused."
  },
  S3_STORAGE_CLASS_REFUSED: {
    severity: "error",
    meaning: "an upload with the route's storage class is refused, and one without it is taken",
    why: "Every upload of the route is refused."
  },
  S3_CORS_MISSING: {
    severity: "error",
    meaning: "the bucket has no CORS rules",
    why: "Browsers send no upload to a store that does not allow their page to."
  },
  S3_CORS_ORIGIN: {
    severity: "error",
    meaning: "CORS does not allow the site's origin",
    why: "Browsers send no upload to a store that does not allow their page to."
  },
  S3_CORS_METHOD: {
    severity: "error",
    meaning: "CORS allows the origin but not PUT (an error) or GET (a warning)",
    why: "Browsers send no upload without leave to PUT; scripts read no file without leave to GET."
  },
  S3_CORS_HEADERS: {
    severity: "error",
    meaning: "CORS allows PUT, but not with the headers that an upload sends",
    why: "Browsers send no upload with a header that is not allowed."
  },
  S3_CORS_RESPONSE: {
    severity: "error",
    meaning: "CORS allows the upload, but its answer does not say so",
    why: "The file arrives, and the browser reports a failure."
  },
  S3_CORS_ETAG: {
    severity: "warning",
    meaning: "CORS does not expose ETag",
    why: "The page cannot read the checksum by which it could compare what arrived."
  },
  S3_CORS_UNCHECKED: {
    severity: "info",
    meaning: "CORS could not be checked",
    why: "Whether browsers may upload depends on the site's origin, which nobody named here."
  }
} as const satisfies Record<string, FindingRow>

export type Code = keyof typeof rows

export const findingTable: Readonly<Record<Code, FindingRow>> = rows
