import { describe, it } from "@effect/vitest"
import { cases, equalsGetSignedUrl, equalsSdkPresigner } from "./signing.ts"

const runs = { arbitrary: { runs: 10_000 } }

describe("SigV4, at length", () => {
  it.effect.prop("gives the URLs of the AWS SDK's presigner in 10,000 cases", cases, equalsSdkPresigner, runs)

  it.effect.prop("gives the URLs of the AWS SDK's getSignedUrl in 10,000 cases", cases, equalsGetSignedUrl, runs)
})
