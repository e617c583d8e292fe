import { describe, it } from "@effect/vitest"
import { cases, equalsSdk } from "./sdkAddress.ts"

describe("Address, at length", () => {
  it.effect.prop("is the AWS SDK's address, and refused where the SDK refuses, in 10,000 cases", cases, equalsSdk, {
    arbitrary: { runs: 10_000 }
  })
})
