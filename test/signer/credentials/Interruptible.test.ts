import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as fs from "node:fs"
import { get } from "node:http"
import * as os from "node:os"
import * as path from "node:path"
import { promisify } from "node:util"
import { startContainerEndpoint } from "../../support/CredentialServers.ts"
import { until } from "../../support/until.ts"
import * as CredentialProcess from "../../../src/signer/credentials/CredentialProcess.ts"
import { interruptible } from "../../../src/signer/credentials/Interruptible.ts"

const silentServer = Effect.acquireRelease(
  Effect.promise(() => startContainerEndpoint()),
  (server) => Effect.promise(server.stop)
).pipe(Effect.tap((server) => Effect.sync(() => server.fail("silent"))))

/** As other people's code does it: after a while, and deep in promises. */
const request = (url: string) =>
  Promise.resolve().then(
    () =>
      new Promise<never>((_, reject) => {
        setTimeout(() => get(url).on("error", reject), 1)
      })
  )

/** A zombie, which waits for somebody to hear of its end, is not. */
const isAlive = (pid: number) => {
  const stat = `/proc/${pid}/stat`
  return fs.existsSync(stat) && !/\) Z/.test(fs.readFileSync(stat, "utf8"))
}

describe("interruptible", () => {
  it.live("gives what the promise gives, and fails with what it rejects with", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* interruptible(() => Promise.resolve(1)), 1)
      const error = new Error("of the promise")
      assert.strictEqual(yield* Effect.flip(interruptible(() => Promise.reject(error))), error)
      const thrown = interruptible(() => {
        throw error
      })
      assert.strictEqual(yield* Effect.flip(thrown), error)
    })
  )

  it.live("hangs up on a server that does not answer, when it is interrupted", () =>
    Effect.gen(function* () {
      const server = yield* silentServer

      const asking = yield* Effect.forkChild(interruptible(() => request(server.url)))
      yield* until(
        Effect.sync(() => server.heard.length),
        (count) => count === 1
      )
      assert.strictEqual(server.connections(), 1)
      yield* Fiber.interrupt(asking)

      yield* until(
        Effect.sync(() => server.connections()),
        (count) => count === 0
      )
    })
  )

  it.live("ends a program that does not end, and what that has started, when time is up", () =>
    Effect.gen(function* () {
      const pids = path.join(os.tmpdir(), `s3-signer-pids-${process.pid}`)
      yield* Effect.addFinalizer(() => Effect.sync(() => fs.rmSync(pids)))
      const command = `sleep 1000 & echo $! $$ > ${pids}; wait`

      const ended = yield* Effect.timeoutOption(
        interruptible(() => promisify(CredentialProcess.run)(command)),
        "500 millis"
      )

      assert.isTrue(Option.isNone(ended))
      const [child = 0, shell = 0] = fs.readFileSync(pids, "utf8").split(" ").map(Number)
      assert.isAbove(child, 0)
      yield* until(
        Effect.sync(() => [child, shell].filter(isAlive)),
        (alive) => alive.length === 0
      )
    })
  )

  it.live("leaves alone what the rest of the process does meanwhile, also a second one of its kind", () =>
    Effect.gen(function* () {
      const server = yield* silentServer

      const others = [
        yield* Effect.forkChild(Effect.promise(() => request(server.url).catch(() => "ended"))),
        yield* Effect.forkChild(interruptible(() => request(server.url)))
      ]
      const asking = yield* Effect.forkChild(interruptible(() => request(server.url)))
      yield* until(
        Effect.sync(() => server.heard.length),
        (count) => count === 3
      )
      yield* Fiber.interrupt(asking)

      yield* until(
        Effect.sync(() => server.connections()),
        (count) => count === 2
      )
      yield* Effect.sleep("100 millis")
      assert.strictEqual(server.connections(), 2)
      yield* Fiber.interruptAll(others.slice(1))
    })
  )
})
