/**
 * Promises of other people's code that takes no signal, made to end when nobody waits for them any more.
 */
import * as Effect from "effect/Effect"
import { AsyncLocalStorage } from "node:async_hooks"
import * as diagnostics from "node:diagnostics_channel"
import type { ClientRequest } from "node:http"

/**
 * Runs it, and fails with what it rejects with. When it is interrupted, as by a timeout, the HTTP requests end that it
 * has begun, and what `endWith` was told of: else a server that never answers, or a program that never ends, would hold
 * one more socket or process with every try.
 */
export const interruptible = <A>(run: () => Promise<A>): Effect.Effect<A, unknown> =>
  Effect.acquireUseRelease(
    Effect.sync(listen),
    ({ begun }) => Effect.tryPromise({ try: () => context.run(begun, run), catch: (error) => error }),
    ({ begun, ignore }) =>
      Effect.andThen(
        Effect.sync(ignore),
        Effect.forEach(begun, (end) => Effect.ignore(Effect.try(end)), { discard: true })
      )
  )

/** Says how something ends that has just begun, within what `interruptible` runs. */
export const endWith = (end: End): void => void context.getStore()?.add(end)

type End = () => void

/** What is begun here, and by whatever it calls, later too, is told from what the rest of the process begins meanwhile. */
const context = new AsyncLocalStorage<Set<End>>()

/** Node tells of each request that begins. */
const listen = () => {
  const begun = new Set<End>()
  const onRequest = (message: unknown) => {
    const { request } = message as { readonly request: ClientRequest }
    if (context.getStore() === begun) endWith(() => request.destroy())
  }
  diagnostics.subscribe("http.client.request.start", onRequest)
  return { begun, ignore: () => void diagnostics.unsubscribe("http.client.request.start", onRequest) }
}
