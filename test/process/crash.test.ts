import { describe, it } from "@effect/vitest"
import { drainWithKills } from "./crashes.ts"
import { onDatabase } from "./support.ts"

describe("a process that is killed", () => {
  it.live(
    "[97] in the middle of its work loses nothing, changes no URL, and all are answered within 15 s of the next start",
    () => onDatabase(drainWithKills({ requests: 5000, kills: 4 }))
  )
})
