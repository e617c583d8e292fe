/**
 * A client: everything that works the jobs of one queue, put together.
 */
import * as Layer from "effect/Layer"
import { ClientConfig, type ClientOptions } from "./ClientConfig.ts"
import { Completer } from "./Completer.ts"
import { Executor } from "./Executor.ts"
import { Listening } from "./Listening.ts"
import * as Cleaner from "./maintenance/Cleaner.ts"
import * as Rescuer from "./maintenance/Rescuer.ts"
import * as Scheduler from "./maintenance/Scheduler.ts"
import * as Notifier from "./Notifier.ts"
import { Producer } from "./Producer.ts"
import { Queue } from "./Queue.ts"
import { SoftStop } from "./SoftStop.ts"
import type { Worker } from "./Worker.ts"

/**
 * The client as a layer that lives as long as its scope. Read from the top down, the list is its shutdown: chores and
 * listening end, the producer stops claiming, the executor lets its jobs finish, the completer writes what is left. It
 * needs the `Database`.
 */
export const layer = (options: ClientOptions, workers: ReadonlyArray<Worker>) =>
  Layer.mergeAll(Notifier.layer, Scheduler.layer, Rescuer.layer, Cleaner.layer).pipe(
    Layer.provide(Producer.layer),
    Layer.provide(Queue.layer),
    Layer.provide(Executor.layer),
    Layer.provide(Completer.layer),
    Layer.provide(Listening.layer),
    Layer.provide(SoftStop.layer),
    Layer.provideMerge(ClientConfig.layer(options, workers))
  )
