/**
 * Loaded into the worker before it starts: ends it as SIGTERM does when the demo goes away, however that happens.
 */
import type { Socket } from "node:net"

// The demo holds the other end of standard input.
process.stdin.on("end", () => process.kill(process.pid, "SIGTERM")).resume()
;(process.stdin as Socket).unref()
