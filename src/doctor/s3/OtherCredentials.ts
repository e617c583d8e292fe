/**
 * Credentials that the environment holds besides those that count: somebody may have meant them.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { S3Settings } from "../../settings/S3Settings.ts"
import { type Finding, finding } from "../Finding.ts"
import { type Access, shorten, subject } from "./Access.ts"
import * as Site from "./Site.ts"

/** What leads to a role or a profile. */
const roles = [
  "AWS_PROFILE",
  "AWS_WEB_IDENTITY_TOKEN_FILE",
  "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
  "AWS_CONTAINER_CREDENTIALS_FULL_URI"
] as const

const keys = ["S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] as const

/** The variables that are set and not empty. */
export type Environment = Partial<Readonly<Record<(typeof roles | typeof keys)[number], Redacted.Redacted>>>

export const environment: Effect.Effect<Environment> = Effect.gen(function* () {
  const provider = yield* ConfigProvider.ConfigProvider
  const set: { -readonly [Name in keyof Environment]: Environment[Name] } = {}
  for (const name of [...roles, ...keys]) {
    const node = yield* Effect.orDie(provider.load([name]))
    if (node?.value) set[name] = Redacted.make(node.value)
  }
  return set
})

/** For keys of the operator's own. */
export const check = (access: Access, environment: Environment, s3: S3Settings): ReadonlyArray<Finding> => {
  const seen = mixedPair(access, environment) ?? twoPairs(access, environment) ?? unusedRole(access, environment, s3)
  return seen === undefined
    ? []
    : [finding("CREDENTIALS_AMBIGUOUS", { subject, seen, cure: "unset those that are not meant" })]
}

type Seen = string | undefined

const mixedPair = ({ id }: Access, { S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY }: Environment): Seen => {
  if ((S3_ACCESS_KEY_ID === undefined) === (S3_SECRET_ACCESS_KEY === undefined)) return undefined
  const [ofId, ofSecret] = S3_ACCESS_KEY_ID === undefined ? ["AWS", "S3"] : ["S3", "AWS"]
  return `${ofId}_ACCESS_KEY_ID (${id}) is used with ${ofSecret}_SECRET_ACCESS_KEY`
}

const twoPairs = ({ id }: Access, set: Environment): Seen => {
  const { AWS_ACCESS_KEY_ID: otherId, S3_ACCESS_KEY_ID: ownId } = set
  if (otherId === undefined || ownId === undefined) return undefined
  if (differ(ownId, otherId)) return `S3_ACCESS_KEY_ID (${id}) counts, AWS_ACCESS_KEY_ID (${shorten(otherId)}) does not`
  return differ(set.S3_SECRET_ACCESS_KEY, set.AWS_SECRET_ACCESS_KEY)
    ? `S3_SECRET_ACCESS_KEY counts, AWS_SECRET_ACCESS_KEY does not: two secret keys for ${id}`
    : undefined
}

/** Only AWS itself knows roles: beside another store's keys they are there for something else. */
const unusedRole = ({ id, source }: Access, set: Environment, { destinations }: S3Settings): Seen => {
  const role = roles.find((name) => set[name] !== undefined)
  return role === undefined || !Site.isAws(destinations.standard.apiEndpoint)
    ? undefined
    : `${source} (${id}) counts, the credentials that ${role} leads to do not`
}

const differ = (one: Redacted.Redacted | undefined, other: Redacted.Redacted | undefined): boolean =>
  one !== undefined && other !== undefined && Redacted.value(one) !== Redacted.value(other)
