import { describe, it } from "@effect/vitest"
import { away, readOnly, sessionsEnded, silent, survives, survivesServer } from "./outages.ts"

describe("a drain goes on and everything completes", () => {
  it.live("[54] when PostgreSQL is away for a minute", () => survivesServer(away(60)))
  it.live("when PostgreSQL is read-only for 20 s", () => survives(readOnly(20)))
  it.live("when PostgreSQL is silent for 20 s, packets being dropped", () => survives(silent(20)))
  it.live("when its sessions are ended every 2 s", () => survives(sessionsEnded(10, 2000, 4000)))
})
