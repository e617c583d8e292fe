/**
 * `S3_ROUTES`: entity types whose files go elsewhere, as a JSON object, or as `@` and the name of a file that holds one.
 *
 *     {"invoice": {"bucket": "invoices", "region": "eu-central-1", "prefix": "2026/q4", "lifetime": "5m"}}
 */
import type * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import type { Endpoint } from "../signer/s3/Endpoint.ts"
import { parsePrefix, type Prefix } from "../signer/uploads/ObjectKey.ts"
import { type Checked, every, type Found } from "./SettingReader.ts"
import * as Type from "./SettingTypes.ts"

/** What a route says; what it leaves out is as without a route. */
export interface Route {
  readonly entityType: string
  readonly bucket?: string
  readonly region?: string
  readonly prefix?: Prefix
  /** Written into URLs, and called. */
  readonly endpoint?: Endpoint
  readonly kms_key?: string
  readonly storage_class?: string
  /** Of upload URLs. */
  readonly lifetime?: Duration.Duration
}

type Field = Exclude<keyof Route, "entityType">

const fields: { readonly [Name in Field]: Type.SettingType<NonNullable<Route[Name]>> } = {
  bucket: Type.bucketName,
  region: Type.region,
  prefix: {
    expected: "folders such as a/b: at most 200 of A-Z a-z 0-9 - . _ ~ and /, no part of it empty, . or ..",
    decode: parsePrefix
  },
  endpoint: Type.endpoint,
  kms_key: {
    expected: "the id, alias or ARN of a KMS key: at most 2048 printable ASCII characters without a space",
    decode: (text) => (/^[!-~]{1,2048}$/.test(text) ? text : undefined)
  },
  storage_class: {
    expected: "a storage class as S3 writes it, such as STANDARD_IA",
    decode: (text) => (/^[A-Z][A-Z0-9_]{0,63}$/.test(text) ? text : undefined)
  },
  lifetime: Type.urlLifetime
}

const isEntityType = (text: string) => text.length <= 255 && parsePrefix(text) !== undefined && !text.includes("/")

const routesShape = `a JSON object of entity types, each with an object of ${Type.alternatives(Object.keys(fields))}, or @ and the name of a file that holds one`

/** The routes, or all that is wrong with any of them. */
export const parse = (found: Found | undefined): Checked<ReadonlyArray<Route>> =>
  found === undefined
    ? Result.succeed([])
    : Result.flatMap(textOf(found), (text) =>
        Result.flatMap(parseJson(found.name, text), (json) =>
          every(Object.entries(json).map(([entityType, route]) => parseRoute(found.name, entityType, route)))
        )
      )

const textOf = ({ name, text }: Found): Checked<string> =>
  text.startsWith("@")
    ? Result.try({
        try: () => readFileSync(text.slice(1), "utf8"),
        catch: (error) => [
          `${name} holds ${JSON.stringify(text.slice(0, 100))}; the file should be readable ` +
            `(${(error as NodeJS.ErrnoException).code ?? "it is not"})`
        ]
      })
    : Result.succeed(text)

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const parseJson = (name: string, text: string): Checked<Readonly<Record<string, unknown>>> => {
  const json = Result.try((): unknown => JSON.parse(text.replace(/^\uFEFF/, "")))
  if (Result.isFailure(json)) return Result.fail([`${name} holds no JSON; it should be ${routesShape}`])
  return isObject(json.success)
    ? Result.succeed(json.success)
    : Result.fail([`${name} holds other JSON; it should be ${routesShape}`])
}

const parseRoute = (name: string, entityType: string, json: unknown): Checked<Route> => {
  const where = `${name}, ${JSON.stringify(entityType.slice(0, 100))}`
  if (!isEntityType(entityType)) {
    return Result.fail([`${where}: this cannot be an entity type; it should be 1 to 255 of A-Z a-z 0-9 - . _ ~`])
  }
  if (!isObject(json))
    return Result.fail([`${where}: it should be an object of ${Type.alternatives(Object.keys(fields))}`])

  const problems: Array<string> = []
  const route: Record<string, unknown> = { entityType }
  for (const [field, value] of Object.entries(json)) {
    if (!Object.hasOwn(fields, field)) {
      problems.push(
        `${where}: it knows no ${JSON.stringify(field.slice(0, 100))}, only ${Type.alternatives(Object.keys(fields))}`
      )
      continue
    }
    const { decode, expected } = fields[field as Field]
    const decoded = typeof value === "string" ? decode(value) : undefined
    if (decoded !== undefined) route[field] = decoded
    else problems.push(`${where}: ${field} holds ${JSON.stringify(value).slice(0, 100)}; it should be ${expected}`)
  }
  return problems.length > 0 ? Result.fail(problems) : Result.succeed(route as unknown as Route)
}
