/**
 * A TCP proxy that can be told to misbehave, for tests of what a network does to a connection.
 */
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

/**
 * - `pass`: bytes go through.
 * - `drop`: bytes of both sides are swallowed and sockets stay open, as behind a firewall that forgot the connection.
 *    New connections are accepted and never answered.
 * - `refuse`: nobody listens; open connections stay as they are.
 * - `delay`: every chunk arrives `ms` later, in order.
 */
export type ProxyMode = "pass" | "drop" | "refuse" | { readonly delay: number }

export interface TcpProxy {
  /** On 127.0.0.1; the same through every change of mode. */
  readonly port: number
  /** The same URL, with this proxy in place of its host and port. */
  readonly through: (url: string) => string
  readonly mode: (mode: ProxyMode) => Promise<void>
  /** Resets every open connection; new ones follow the mode. */
  readonly killConnections: () => void
  /** How many connections are open now. */
  readonly connections: () => number
  readonly stop: () => Promise<void>
}

export const startProxy = async (options: {
  readonly targetPort: number
  readonly targetHost?: string | undefined
}): Promise<TcpProxy> => {
  const pairs = new Set<readonly [Socket, Socket]>()
  let current: ProxyMode = "pass"

  const server = createServer((client) => {
    const target = connect({ port: options.targetPort, host: options.targetHost ?? "127.0.0.1", noDelay: true })
    client.setNoDelay(true)
    const pair = [client, target] as const
    pairs.add(pair)
    forward(client, target)
    forward(target, client)
    for (const socket of pair) {
      socket.on("error", () => {})
      socket.on("close", (failed) => {
        // While packets are dropped, the other side does not hear that this one has gone.
        if (current !== "drop") later(() => pair.forEach((each) => (failed ? each.destroy() : each.end())))
        if (pair.every((each) => each.destroyed)) pairs.delete(pair)
      })
    }
  })

  const later = (action: () => void) => {
    if (typeof current === "object") setTimeout(action, current.delay)
    else action()
  }

  // A socket that is not read fills up, and then its writer notices; so what is dropped is read and thrown away.
  const forward = (from: Socket, to: Socket) => {
    from.on("data", (chunk) => {
      if (current === "drop") return
      later(() => {
        if (!to.writable || to.write(chunk)) return
        from.pause()
        to.once("drain", () => from.resume())
      })
    })
  }

  const listen = async (port: number) => {
    server.listen(port, "127.0.0.1")
    await once(server, "listening")
    return (server.address() as AddressInfo).port
  }
  const port = await listen(0)

  const reset = (pair: readonly [Socket, Socket]) => {
    for (const socket of pair) socket.resetAndDestroy()
    pairs.delete(pair)
  }

  const killConnections = () => {
    for (const pair of pairs) reset(pair)
  }

  const mode = async (next: ProxyMode) => {
    current = next
    // Who talks to a side that went away unheard is told so now.
    if (next !== "drop") for (const pair of pairs) if (pair.some((each) => each.destroyed)) reset(pair)
    if (next === "refuse" && server.listening) server.close()
    if (next !== "refuse" && !server.listening) await listen(port)
  }

  return {
    port,
    through: (url) => {
      const proxied = new URL(url)
      proxied.hostname = "127.0.0.1"
      proxied.port = String(port)
      return proxied.href
    },
    mode,
    killConnections,
    connections: () => pairs.size,
    stop: async () => {
      killConnections()
      await mode("refuse")
    }
  }
}
