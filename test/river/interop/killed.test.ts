import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { killInFlight } from "../../process/inFlight.ts"
import { signerDatabase, TestDatabase } from "../../support/Database.ts"
import { until } from "../support.ts"
import { leaders } from "./LostJobs.ts"
import { beside } from "./support.ts"

beside(
  "a killed process of ours beside",
  (it, { start }) => {
    it.effect("[97] has its thousand jobs done within 15 s while a client that does not know them leads", () =>
      Effect.gen(function* () {
        const { url } = yield* TestDatabase
        const river = yield* start()
        yield* river.start({ clientId: "their_leader", kinds: ["only_theirs"], queues: { elsewhere: 1 } })
        yield* until(leaders, ([leader]) => leader === "their_leader")

        yield* killInFlight(url)

        assert.deepEqual(yield* leaders, ["their_leader"])
      })
    )
  },
  signerDatabase
)
