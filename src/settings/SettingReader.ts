/**
 * Looks settings up in an environment and checks them, collecting what is wrong instead of stopping at it.
 */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as DatabaseUrl from "./DatabaseUrl.ts"
import { redactPatterns } from "../Redaction.ts"
import { type SettingName, settingTable } from "./SettingTable.ts"
import type { SettingType } from "./SettingTypes.ts"

/** The variables that are set, and not empty, by name. */
export type Environment = DatabaseUrl.Environment

/** A value, or what is wrong, a line each. */
export type Checked<A> = Result.Result<A, ReadonlyArray<string>>

/** A variable that is set. */
export interface Found {
  readonly name: string
  readonly text: string
}

/** Every variable that settings come from, of the current `ConfigProvider`. */
export const environment: Effect.Effect<Environment> = Effect.gen(function* () {
  const provider = yield* ConfigProvider.ConfigProvider
  const values: Record<string, string> = {}
  for (const name of variables) {
    const node = yield* Effect.orDie(provider.load([name]))
    if (node?.value) values[name] = node.value
  }
  return values
})

const variables: ReadonlyArray<string> = [
  ...Object.entries(settingTable).flatMap(([name, { deprecated }]) => [name, deprecated ?? []].flat()),
  "AWS_SESSION_TOKEN",
  ...DatabaseUrl.environmentNames
]

/** The variable of this name. */
export const variable = (environment: Environment, name: string): Found | undefined => {
  const text = environment[name]
  return text === undefined ? undefined : { name, text }
}

/** The variable that holds a setting: of its name, else of its deprecated name. */
export const find = (environment: Environment, name: SettingName): Found | undefined => {
  const { deprecated } = settingTable[name]
  return variable(environment, name) ?? (deprecated === undefined ? undefined : variable(environment, deprecated))
}

/** A setting with a default. */
export const setting = <A>(environment: Environment, name: SettingName, type: SettingType<A>): Checked<A> =>
  decode(find(environment, name) ?? { name, text: settingTable[name].default ?? "" }, type)

/** A setting that may be unset. */
export const optional = <A>(
  environment: Environment,
  name: SettingName,
  type: SettingType<A>
): Checked<A | undefined> => decodeFound(find(environment, name), type)

export const decodeFound = <A>(found: Found | undefined, type: SettingType<A>): Checked<A | undefined> =>
  found === undefined ? Result.succeed(undefined) : decode(found, type)

const decode = <A>({ name, text }: Found, type: SettingType<A>): Checked<A> => {
  const value = type.decode(text)
  if (value !== undefined) return Result.succeed(value)
  const held = type.secret ? "a value that is not shown" : JSON.stringify(redactPatterns(text.slice(0, 100)))
  return Result.fail([`${name} holds ${held}; it should be ${type.expected}`])
}

/** A database, of which nothing is ever shown. */
export const connection = (
  environment: Environment,
  name: "DATABASE_URL" | "DATABASE_LISTEN_URL"
): Checked<DatabaseUrl.DatabaseConnection> => {
  const text = find(environment, name)?.text ?? settingTable[name].default ?? ""
  return Result.mapError(DatabaseUrl.decode(text, environment), (problems) =>
    problems.map((problem) => `${name} holds a value that is not shown; ${problem}`)
  )
}

/** All values, or all that is wrong with any of them, each thing once. */
export const all = <Fields extends Readonly<Record<string, Checked<unknown>>>>(
  fields: Fields
): Checked<Values<Fields>> => {
  const problems = problemsOf(Object.values(fields))
  return problems.length > 0 ? Result.fail(problems) : (Result.all(fields) as Checked<Values<Fields>>)
}

/** The same of a list. */
export const every = <A>(items: ReadonlyArray<Checked<A>>): Checked<ReadonlyArray<A>> => {
  const problems = problemsOf(items)
  return problems.length > 0 ? Result.fail(problems) : Result.all(items)
}

const problemsOf = (items: ReadonlyArray<Checked<unknown>>): ReadonlyArray<string> => [
  ...new Set(items.flatMap((item) => (Result.isFailure(item) ? item.failure : [])))
]

type Values<Fields extends Readonly<Record<string, Checked<unknown>>>> = {
  readonly [Name in keyof Fields]: Result.Result.Success<Fields[Name]>
}

/** A line for each deprecated name that is in use. */
export const deprecations = (environment: Environment): ReadonlyArray<string> =>
  Object.entries(settingTable).flatMap(([name, { deprecated }]) =>
    deprecated !== undefined && environment[name] === undefined && environment[deprecated] !== undefined
      ? [`${deprecated} is deprecated: set ${name} in its place`]
      : []
  )
