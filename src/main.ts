/**
 * The process: which command it is, what signals mean to it, and with which status it ends.
 *
 * `work` goes past the command line's module, which costs 30 ms that a worker's start does not have.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Runtime from "effect/Runtime"
import { redactPatterns } from "./Redaction.ts"

/** What an operator can mend (settings, arguments, tables) ends with this status; other failures with 1. */
const unfit = 2

const [command, ...rest] = process.argv.slice(2)

const program: Effect.Effect<unknown, unknown> =
  command === "work" && rest.length === 0
    ? Effect.flatMap(
        Effect.promise(() => import("./Work.ts")),
        ({ work }) => work
      )
    : Effect.flatMap(
        Effect.promise(() => import("./Cli.ts")),
        ({ cli }) => cli
      )

/** One line of standard error for each line of the message. */
const report = (message: string) => {
  for (const line of redactPatterns(message).split("\n")) process.stderr.write(`s3-signer: ${line}\n`)
}

const statusOf = (cause: Cause.Cause<unknown>): number => {
  if (Cause.hasInterruptsOnly(cause)) return 0
  const error = Cause.squash(cause)
  const tag = typeof error === "object" && error !== null && "_tag" in error ? error._tag : undefined
  // The command line has shown its own errors, with the help that belongs to them.
  if (tag === "ShowHelp") return unfit
  report(error instanceof Error ? error.message : String(error))
  const usage = tag === "MigrateError" && error instanceof Error && "reason" in error && error.reason === "usage"
  return usage || tag === "InvalidSettings" || tag === "UnfitDatabase" ? unfit : 1
}

// The first signal stops in order and ends with 0; a second one ends at once, with the status that the signal has.
const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
  let signalled = false
  const onSignal = (status: number) => () => {
    if (signalled) process.exit(status)
    signalled = true
    fiber.interruptUnsafe(fiber.id)
  }
  // Whoever reads the log may go away; the work goes on.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {})
  process.on("SIGINT", onSignal(130)).on("SIGTERM", onSignal(143))
  fiber.addObserver((exit) => teardown(exit, (status) => process.exit(status)))
})

runMain(program, {
  disableErrorReporting: true,
  teardown: (exit, end) => end(Exit.isSuccess(exit) ? 0 : statusOf(exit.cause))
})
