/**
 * What the tests beside River's own clients share: a suite for each version of River, and a client of ours that listens.
 */
import { describe, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Vitest from "vitest"
import { type JobRow, riverDatabase } from "../support.ts"
import { programs, type Version } from "./Build.ts"
import { startRiver } from "./River.ts"

const built = await Effect.runPromise(programs)

/** A version of River, as the tests beside it get it. */
export interface Neighbour {
  readonly version: Version
  /** 26 or 51: its behaviour in words such as "since 0.48" is `minor >= 48`. */
  readonly minor: number
  /** Starts a process with River in it; it ends with the test. */
  readonly start: ReturnType<typeof starting>
}

const starting = (version: Version, file: string) => (schema?: string) => startRiver(version, file, schema)

/** The same tests beside each version of River, in a database of its own; skipped where River cannot be built. */
export const beside = <R, E>(
  about: string,
  tests: (it: Parameters<Parameters<ReturnType<typeof layer<R, E>>>[1]>[0], river: Neighbour) => void,
  database: Layer.Layer<R, E>
) => {
  for (const [version, program] of Object.entries(built) as ReadonlyArray<[Version, (typeof built)[Version]]>) {
    const name = `${about} River ${version}`
    if ("missing" in program) describe.skip(name, () => Vitest.it(program.missing, () => {}))
    else {
      const river = { version, minor: Number(version.split(".")[1]), start: starting(version, program.path) }
      layer(database, { excludeTestServices: true })(name, (it) => tests(it, river))
    }
  }
}

/** The same on a migrated database with `app.item`. */
export const besideRiver = (about: string, tests: Parameters<typeof beside<RiverDatabase, unknown>>[1]) =>
  beside(about, tests, riverDatabase)

type RiverDatabase = Layer.Success<typeof riverDatabase>

/** A job's errors with instants for their times: one reader writes 0.5 seconds as `.500`, another as `.5`. */
export const entries = ({ errors }: JobRow) => errors?.map((entry) => ({ ...entry, at: Date.parse(entry.at) }))
