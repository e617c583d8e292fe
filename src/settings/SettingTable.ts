/**
 * Every setting of `work`, as data: what an operator reads in the README, and where the defaults live.
 */

export interface SettingRow {
  /** What holds when the variable is unset, as its text. */
  readonly default?: string
  /** What holds when the variable is unset, in words; when there is no default. */
  readonly otherwise?: string
  /** An older name, read when the variable is unset. Each use of it is worth a warning. */
  readonly deprecated?: string
  readonly meaning: string
}

const rows = {
  DATABASE_URL: {
    default: "postgres://postgres:postgres@localhost:5432/civic_os",
    meaning: "the database, as a URL or as `host=… user=…`; libpq's parameters (`sslmode`, `application_name` …) count"
  },
  DB_MAX_CONNS: {
    default: "4",
    meaning: "connections to the database at most, 1 to 1000; the listening session is one more"
  },
  DB_MIN_CONNS: { default: "1", meaning: "connections kept open when idle, at most `DB_MAX_CONNS`" },
  DATABASE_LISTEN_URL: {
    otherwise: "as DATABASE_URL",
    meaning: "the database for the listening session, past a transaction pooler; `off` polls only"
  },
  S3_ACCESS_KEY_ID: {
    otherwise: "looked for as the AWS SDK does",
    deprecated: "AWS_ACCESS_KEY_ID",
    meaning: "the access key, together with its secret key"
  },
  S3_SECRET_ACCESS_KEY: {
    otherwise: "looked for as the AWS SDK does",
    deprecated: "AWS_SECRET_ACCESS_KEY",
    meaning: "the secret key"
  },
  S3_SESSION_TOKEN: {
    otherwise: "none",
    meaning: "the token of temporary keys; when both keys come from `AWS_*`, `AWS_SESSION_TOKEN` counts too"
  },
  S3_REGION: { default: "us-east-1", deprecated: "AWS_REGION", meaning: "the region of the bucket" },
  S3_ENDPOINT: {
    otherwise: "AWS",
    deprecated: "AWS_ENDPOINT_URL",
    meaning: "the endpoint that is written into URLs, http(s)"
  },
  S3_PUBLIC_ENDPOINT: {
    otherwise: "as S3_ENDPOINT",
    meaning: "the same, where browsers need another address; it wins"
  },
  S3_URL_STYLE: {
    default: "path",
    meaning: "`path`, as Civic OS's browser needs it (`endpoint/bucket/key`), or `virtual` (`bucket.endpoint/key`)"
  },
  S3_USE_DUALSTACK_ENDPOINT: {
    default: "false",
    deprecated: "AWS_USE_DUALSTACK_ENDPOINT",
    meaning: "`true` for AWS's endpoint that has IPv6 addresses too"
  },
  S3_USE_FIPS_ENDPOINT: {
    default: "false",
    deprecated: "AWS_USE_FIPS_ENDPOINT",
    meaning: "`true` for AWS's endpoint with FIPS 140 cryptography"
  },
  S3_USE_ACCELERATE_ENDPOINT: {
    default: "false",
    meaning: "`true` for AWS's transfer acceleration; needs `S3_URL_STYLE=virtual`"
  },
  S3_BUCKET: { default: "civic-os-files", meaning: "the bucket" },
  S3_PRESIGNER: { default: "native", meaning: "`native` or `sdk`: who signs; the URLs are the same" },
  S3_ROUTES: {
    otherwise: "none",
    meaning:
      "entity types whose files go elsewhere, as JSON or as `@` and the name of a file ([routes](#where-do-files-go))"
  },
  S3_ACL: {
    otherwise: "none",
    meaning: "a canned ACL for uploads, such as `public-read` ([ACLs](#which-acl-do-i-set))"
  },
  S3_ACL_FORM: {
    default: "header",
    meaning: "`header`: the client must send it; `query`: the URL says it; `dual`: both"
  },
  UPLOAD_URL_LIFETIME: { default: "15m", meaning: "how long an upload URL works, 1s to 7d" },
  DOWNLOAD_URL_LIFETIME: { default: "1h", meaning: "how long a download URL works, 1s to 7d" },
  MIN_URL_LIFETIME: {
    default: "2m",
    meaning: "temporary credentials that are good for less are not signed with, 1s to 7d; jobs wait for fresh ones"
  },
  MAX_WORKERS: { default: "50", meaning: "jobs that run at once, 1 to 1000" },
  FETCH_POLL_INTERVAL: { default: "1s", meaning: "how often to look for jobs when nothing is heard" },
  FETCH_COOLDOWN: {
    default: "100ms",
    meaning: "the pause after a notification that brought no job, and the longest wait for half of the slots to be free"
  },
  JOB_TIMEOUT: { default: "5s", meaning: "how long an attempt may run" },
  SOFT_STOP_TIMEOUT: { default: "10s", meaning: "how long running jobs may go on after a signal to stop" },
  RIVER_SCHEMA: { default: "metadata", meaning: "the schema of River's tables" },
  RIVER_QUEUE: { default: "s3_signer", meaning: "the queue to work" },
  RIVER_CLIENT_ID: {
    otherwise: "host name",
    meaning: "the name of this client in `attempted_by`, 1 to 100 characters"
  },
  REQUEST_RETENTION: {
    otherwise: "keep",
    meaning: "how long completed and failed requests are kept after they were made, 1s to 3650d; then they are deleted"
  },
  LOG_LEVEL: { default: "info", meaning: "`trace`, `debug`, `info`, `warn` or `error`" },
  LOG_FORMAT: { otherwise: "pretty on a terminal, else json", meaning: "`pretty` or `json`" }
} as const satisfies Record<string, SettingRow>

/** The variable that holds a setting. */
export type SettingName = keyof typeof rows

export const settingTable: Readonly<Record<SettingName, SettingRow>> = rows
