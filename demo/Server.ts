/**
 * The demo's web server, for this machine only: who may ask, and what becomes of a fault.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import { json, type Parts, Refusal, routes } from "./Routes.ts"

/** Binds 127.0.0.1, the port given or, unless `fixed`, one of the next twenty; answers 503 until `open` gives it its parts. */
export const listen = async (
  port: number,
  fixed: boolean
): Promise<{ readonly port: number; readonly open: (parts: Parts) => void; readonly close: () => Promise<void> }> => {
  let parts: Parts | undefined
  for (let tried = port; ; tried++) {
    const server = createServer((request, response) => {
      void answer(request, response, portOf(server), parts)
    })
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject)
        server.listen(tried, "127.0.0.1", resolve)
      })
      return {
        port: portOf(server),
        open: (ready) => {
          parts = ready
        },
        close: async () => {
          const closed = new Promise((resolve) => server.close(resolve))
          server.closeAllConnections()
          await closed
        }
      }
    } catch (error) {
      const taken = (error as NodeJS.ErrnoException).code === "EADDRINUSE"
      if (!taken || fixed || tried >= port + 20) {
        throw new Error(taken ? `port ${tried} is in use: choose another with --port` : String(error), { cause: error })
      }
    }
  }
}

/** The origins that the page has, whichever of its two names was typed. */
export const originsOf = (port: number): ReadonlyArray<string> => [
  `http://127.0.0.1:${port}`,
  `http://localhost:${port}`
]

const portOf = (server: Server): number => {
  const address = server.address()
  return typeof address === "object" && address !== null ? address.port : 0
}

const answer = async (request: IncomingMessage, response: ServerResponse, port: number, parts: Parts | undefined) => {
  try {
    checkOrigin(request, port)
    if (parts === undefined) throw new Refusal(503, "The demo is still starting.")
    const url = new URL(request.url ?? "/", "http://127.0.0.1")
    const route = routes.find(
      ([method, pattern]) =>
        method === (request.method === "HEAD" ? "GET" : request.method) && pattern.test(url.pathname)
    )
    if (route === undefined) throw new Refusal(404, "There is nothing here.")
    const [, pattern, handle] = route
    await handle({ parts, request, response, url, id: pattern.exec(url.pathname)?.[1] ?? "" })
  } catch (error) {
    if (response.headersSent) return void response.destroy()
    if (!(error instanceof Refusal)) process.stderr.write(`demo: ${request.method} ${request.url}: ${detail(error)}\n`)
    const [status, message] =
      error instanceof Refusal ? [error.status, error.message] : [500, `The demo’s server failed: ${detail(error)}`]
    json(response, status, { error: message })
  }
}

/**
 * Another site's page must not reach this server: neither by a name of its own that it lets point to 127.0.0.1, nor by a
 * request out of the browser of a person who also has this page open.
 */
const checkOrigin = ({ headers, method }: IncomingMessage, port: number) => {
  const origins = originsOf(port)
  if (!origins.includes(`http://${headers.host}`)) throw new Refusal(403, "This server answers to 127.0.0.1 only.")
  if (headers["sec-fetch-site"] === "cross-site" && headers["sec-fetch-mode"] !== "navigate") {
    throw new Refusal(403, "Requests of other sites are refused.")
  }
  if (method === "GET" || method === "HEAD") return
  if (!origins.includes(headers.origin ?? "")) {
    throw new Refusal(403, `Only this page may do that; from a shell, say so: curl -H 'Origin: ${origins[0]}'`)
  }
}

/** SqlError keeps what the server said in its innermost cause. */
const detail = (error: unknown): string => {
  let innermost = error
  while (innermost instanceof Error && innermost.cause instanceof Error) innermost = innermost.cause
  return innermost instanceof Error ? innermost.message : String(innermost)
}
