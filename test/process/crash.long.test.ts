import { describe, it } from "@effect/vitest"
import { drainWithKills } from "./crashes.ts"
import { onDatabase } from "./support.ts"

describe("a process that is killed", () => {
  it.live(
    "twenty times in the drain of 5,000 jobs loses nothing, changes no URL, and all are answered within 15 s",
    () => onDatabase(drainWithKills({ requests: 5000, kills: 20 }))
  )
})
