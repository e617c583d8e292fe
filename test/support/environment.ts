/**
 * Variables of this process's environment, for the length of a test.
 */
import * as Effect from "effect/Effect"

/** Sets variables, and takes away those that are undefined, until the scope closes. */
export const environment = (values: Readonly<Record<string, string | undefined>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = Object.keys(values).map((name) => [name, process.env[name]] as const)
      assign(Object.entries(values))
      return before
    }),
    (before) => Effect.sync(() => assign(before))
  )

const assign = (values: ReadonlyArray<readonly [string, string | undefined]>) => {
  for (const [name, value] of values) {
    if (value === undefined) delete process.env[name]
    else process.env[name] = value
  }
}

/** An environment in which the AWS SDK finds nothing, and asks nobody. */
export const noCredentials: Readonly<Record<string, string | undefined>> = {
  ...Object.fromEntries(
    Object.keys(process.env)
      .filter((name) => name.startsWith("AWS_"))
      .map((name) => [name, undefined])
  ),
  HOME: "/nonexistent",
  AWS_EC2_METADATA_DISABLED: "true"
}
