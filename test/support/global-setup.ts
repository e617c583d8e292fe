/**
 * One PostgreSQL for the whole test run, and the databases that the tests' own are cloned from.
 */
import type { TestProject } from "vitest/node"
import { type Postgres, startPostgres } from "./Postgres.ts"
import { makeTemplates } from "./Templates.ts"

declare module "vitest" {
  export interface ProvidedContext {
    /** Of the superuser `postgres`; see `Database.ts` for a database of one's own. */
    readonly databaseUrl: string
  }
}

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server: Postgres = await startPostgres({
    durable: false,
    extraSettings: { max_connections: 200, shared_preload_libraries: "pg_stat_statements" }
  })
  try {
    await makeTemplates(server.url)
  } catch (error) {
    await server.stop()
    throw error
  }
  project.provide("databaseUrl", server.url)
  return server.stop
}
