/**
 * Promises of other people's code that takes no signal, made to end when nobody waits for them any more.
 */
import * as Effect from "effect/Effect"
import { AsyncLocalStorage } from "node:async_hooks"
import type { ChildProcess } from "node:child_process"
import * as diagnostics from "node:diagnostics_channel"
import type { ClientRequest } from "node:http"

/**
 * Runs it, and fails with what it rejects with. When it is interrupted, as by a timeout, the HTTP requests and the
 * programs end that it has begun: else a server that never answers, or a program that never ends, would hold one more
 * socket or process with every try.
 */
export const interruptible = <A>(run: () => Promise<A>): Effect.Effect<A, unknown> =>
  Effect.acquireUseRelease(
    Effect.sync(listen),
    ({ begun }) => Effect.tryPromise({ try: () => context.run(begun, run), catch: (error) => error }),
    ({ begun, ignore }) =>
      Effect.sync(() => {
        ignore()
        for (const end of begun) end()
      })
  )

type End = () => void

/** What is begun here, and by whatever it calls, later too, is told from what the rest of the process begins meanwhile. */
const context = new AsyncLocalStorage<Set<End>>()

/** Node tells of each request and each child process that begins. */
const listen = () => {
  const begun = new Set<End>()
  const add = (end: End) => {
    if (context.getStore() === begun) begun.add(end)
  }
  const onRequest = (message: unknown) => add(() => (message as { readonly request: ClientRequest }).request.destroy())
  const onProcess = (message: unknown) =>
    add(() => (message as { readonly process: ChildProcess }).process.kill("SIGKILL"))
  diagnostics.subscribe("http.client.request.start", onRequest)
  diagnostics.subscribe("child_process", onProcess)
  const ignore = () => {
    diagnostics.unsubscribe("http.client.request.start", onRequest)
    diagnostics.unsubscribe("child_process", onProcess)
  }
  return { begun, ignore }
}
