/**
 * What the outside may use of the engine.
 */
export * as Client from "./Client.ts"
export { ClientConfig, type ClientOptions } from "./ClientConfig.ts"
export type { Job } from "./Job.ts"
export * as Metadata from "./Metadata.ts"
export { JobCancel, JobDiscard, JobSnooze, type Result, type RowEffect, type Worker } from "./Worker.ts"
