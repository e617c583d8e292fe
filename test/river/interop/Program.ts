/**
 * A running program of `client/`: calls over its standard input, answers and events over its standard output.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"

/** River refused a call. */
export class Refused extends Schema.TaggedError<Refused>()("Refused", { message: Schema.String }) {}

/** An attempt started on River, or its worker returned: `success`, `panic`, or the text of its error. */
export type Event =
  | { readonly event: "attempt"; readonly job: string; readonly attempt: number }
  | { readonly event: "end"; readonly job: string; readonly attempt: number; readonly outcome: string }

export interface Program {
  /** Does a command and answers with its result; dies when there is no answer within 30 seconds. */
  readonly call: (command: string, options?: object) => Effect.Effect<unknown, Refused>
  /** What it told of so far, in order. */
  readonly events: ReadonlyArray<Event>
  /** SIGKILL: the process is gone, its connections with it. */
  readonly kill: Effect.Effect<void>
}

type Line = Event | { readonly call: number; readonly result: unknown; readonly error?: string }

/** Starts the program on a database; it is killed with the scope. It ends by itself when this process does. */
export const start = (file: string, env: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => spawned(file, env)),
    (program) => program.kill
  )

const spawned = (file: string, env: Readonly<Record<string, string>>): Program => {
  const child = spawn(file, [], { cwd: "/", env: { TZ: "UTC", ...env }, stdio: ["pipe", "pipe", "pipe"] })
  const events: Array<Event> = []
  const waiting = new Map<number, Deferred.Deferred<unknown, Refused>>()
  const closed = Deferred.makeUnsafe<void>()
  let errors = ""
  let calls = 0

  createInterface({ input: child.stdout }).on("line", (text) => {
    const line = JSON.parse(text) as Line
    if ("event" in line) return void events.push(line)
    const answer = line.error === undefined ? Effect.succeed(line.result) : new Refused({ message: line.error })
    const asked = waiting.get(line.call)
    waiting.delete(line.call)
    if (asked !== undefined) Deferred.doneUnsafe(asked, answer)
  })
  child.stderr.on("data", (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-4000)))
  child.stdin.on("error", () => {})
  child.once("close", () => {
    for (const asked of waiting.values()) Deferred.doneUnsafe(asked, Effect.die(new Error(`it ended:\n${errors}`)))
    Deferred.doneUnsafe(closed, Effect.void)
  })

  return {
    call: (command, options = {}) =>
      Effect.suspend(() => {
        if (child.exitCode !== null || child.signalCode !== null) return Effect.die(new Error("it has ended"))
        const call = ++calls
        const asked = Deferred.makeUnsafe<unknown, Refused>()
        waiting.set(call, asked)
        child.stdin.write(`${JSON.stringify({ call, command, with: options })}\n`)
        return Effect.timeoutOrElse(Deferred.await(asked), {
          duration: "30 seconds",
          orElse: () => Effect.die(new Error(`no answer to ${command}:\n${errors}`))
        })
      }),
    events,
    kill: Effect.andThen(
      Effect.sync(() => void child.kill("SIGKILL")),
      Deferred.await(closed)
    )
  }
}
