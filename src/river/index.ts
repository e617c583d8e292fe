/**
 * What the outside may use of the engine.
 */
export * as Chore from "./maintenance/Chore.ts"
export * as Client from "./Client.ts"
export { ClientConfig, type ClientOptions } from "./ClientConfig.ts"
export { Database, makeRunner } from "./Database.ts"
export type { Job } from "./Job.ts"
export * as Metadata from "./Metadata.ts"
export { quoteIdentifier } from "./sql/river_job.ts"
export { describe, severity } from "./SqlFault.ts"
export { JobCancel, JobDiscard, JobSnooze, type Result, type RowEffect, type Worker } from "./Worker.ts"
