/**
 * The operator's own access key among the settings; without one, credentials are looked for where the AWS SDK looks.
 */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Reader from "./SettingReader.ts"
import { all, type Checked, type Environment, find } from "./SettingReader.ts"
import * as Type from "./SettingTypes.ts"

export interface S3Keys {
  readonly accessKeyId: Redacted.Redacted
  readonly secretAccessKey: Redacted.Redacted
  readonly sessionToken: Redacted.Redacted | undefined
}

/** Both keys or neither; a token only with its own pair. */
export const s3Keys = (environment: Environment): Checked<S3Keys | undefined> => {
  const [id, secret] = [find(environment, "S3_ACCESS_KEY_ID"), find(environment, "S3_SECRET_ACCESS_KEY")]
  // A token belongs to its own pair: AWS's, left in the environment by something else, would spoil other keys.
  const ofAws = id?.name === "AWS_ACCESS_KEY_ID" && secret?.name === "AWS_SECRET_ACCESS_KEY"
  const token =
    find(environment, "S3_SESSION_TOKEN") ?? (ofAws ? Reader.variable(environment, "AWS_SESSION_TOKEN") : undefined)
  return Result.map(
    all({
      complete: complete({ id, secret, token }),
      id: Reader.decodeFound(id, Type.key),
      secret: Reader.decodeFound(secret, Type.secret),
      token: Reader.decodeFound(token, Type.key)
    }),
    ({ id, secret, token }) =>
      id === undefined || secret === undefined
        ? undefined
        : {
            accessKeyId: Redacted.make(id),
            secretAccessKey: Redacted.make(secret),
            sessionToken: token === undefined ? undefined : Redacted.make(token)
          }
  )
}

const complete = (keys: Record<"id" | "secret" | "token", Reader.Found | undefined>): Checked<void> => {
  const { id, secret, token } = keys
  if (id === undefined && secret !== undefined) {
    return Result.fail([`${secret.name} is set without its access key: set S3_ACCESS_KEY_ID too, or neither`])
  }
  if (id !== undefined && secret === undefined) {
    return Result.fail([`${id.name} is set without its secret key: set S3_SECRET_ACCESS_KEY too, or neither`])
  }
  if (id === undefined && token !== undefined) {
    return Result.fail([`${token.name} is set without its keys: set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY too`])
  }
  return Result.succeed(undefined)
}
