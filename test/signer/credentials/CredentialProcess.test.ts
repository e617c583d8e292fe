import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { promisify } from "node:util"
import * as CredentialProcess from "../../../src/signer/credentials/CredentialProcess.ts"
import { interruptible } from "../../../src/signer/credentials/Interruptible.ts"

const run = (command: string) => interruptible(() => promisify(CredentialProcess.run)(command))

describe("CredentialProcess", () => {
  it.live("gives what a command line of the shell prints, without what it complains of", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* run("echo complaint >&2; A=1; echo $A | cat"), { stdout: "1\n" })
    })
  )

  it.live("gives a program that asks nothing to read", () =>
    Effect.gen(function* () {
      assert.deepEqual(yield* run("read answer; echo got nothing"), { stdout: "got nothing\n" })
    })
  )

  it.live("fails for one that fails, is not there, is killed or does not stop talking, and repeats none of it", () =>
    Effect.gen(function* () {
      for (const command of [
        "echo canary; exit 3",
        "/nonexistent/canary",
        "kill -9 $$ # canary",
        "head -c 1000001 /dev/zero # canary"
      ]) {
        assert.strictEqual(String(yield* Effect.flip(run(command))), "Error: Command failed")
      }
    })
  )

  it.live("leaves alone what a program has left behind on purpose, once it has ended well", () =>
    Effect.gen(function* () {
      const { stdout } = (yield* run("sleep 5 > /dev/null 2>&1 & echo $!"))!
      assert.isTrue(process.kill(Number(stdout), 0))
      process.kill(Number(stdout))
    })
  )
})
