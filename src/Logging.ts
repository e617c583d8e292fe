/**
 * Writes the log to standard output, a line for each entry: JSON for machines, or text for a person at a terminal.
 *
 * No line holds a secret: every one goes through the redaction as a whole, whoever wrote what into it.
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import { styleText } from "node:util"
import type { Redaction } from "./Redaction.ts"
import type { LogSettings } from "./settings/Settings.ts"

/**
 * Replaces the loggers there are.
 *
 * A JSON line has `timestamp`, `level` and `message`, then the annotations and fields as they are, `cause` if something
 * failed, and `trace_id` and `span_id` inside a trace that is exported.
 */
export const layer = ({ log }: Pick<LogSettings, "log">, { redact }: Pick<Redaction, "redact">): Layer.Layer<never> => {
  const logger = Logger.make<unknown, string>((entry) =>
    log.format === "json" ? redactJson(formatJson(entry), redact) : redact(formatPretty(entry))
  )
  return Layer.merge(
    Logger.layer([Logger.withConsoleLog(logger)]),
    Layer.succeed(References.MinimumLogLevel, log.level)
  )
}

type Entry = Logger.Options<unknown>
type Field = readonly [name: string, value: unknown]

const formatJson = (entry: Entry): string => {
  const line: Record<string, unknown> = Object.create(null)
  line["timestamp"] = entry.date.toISOString()
  line["level"] = entry.logLevel.toLowerCase()
  line["message"] = messageOf(entry)
  for (const [name, value] of fieldsOf(entry)) line[name in line ? `_${name}` : name] = value
  return Formatter.formatJson(line)
}

/** Value by value, so that the line stays JSON whatever the secret is. */
const redactJson = (json: string, redact: (text: string) => string): string =>
  JSON.stringify(JSON.parse(json, (_, value) => (typeof value === "string" ? redact(value) : value)))

/** Colours only where they are wanted: `styleText` looks at the terminal and at `NO_COLOR`. */
const formatPretty = (entry: Entry): string => {
  const level = entry.logLevel.toUpperCase()
  const fields = fieldsOf(entry).map(([name, value]) => `${styleText("dim", `${name}=`)}${oneLine(asText(value))}`)
  const time = styleText("dim", entry.date.toTimeString().slice(0, 8))
  return [time, styleText(colours[level] ?? "reset", level.padEnd(5)), oneLine(messageOf(entry)), ...fields].join(" ")
}

const colours: Readonly<Record<string, "blue" | "cyan" | "red" | "yellow">> = {
  DEBUG: "blue",
  INFO: "cyan",
  WARN: "yellow",
  ERROR: "red",
  FATAL: "red"
}

const messageOf = ({ message }: Entry): string =>
  partsOf(message)
    .filter((part) => !isFields(part))
    .map((part) => asText(simple(part)))
    .join(" ")

/** Annotations, plain objects among the message's parts, and what went wrong. */
const fieldsOf = ({ cause, date, fiber, message }: Entry): ReadonlyArray<Field> => {
  const fields: Array<Field> = [
    ...Object.entries(fiber.getRef(References.CurrentLogAnnotations)),
    ...partsOf(message)
      .filter(isFields)
      .flatMap(Object.entries<unknown>)
  ]
  for (const [name, start] of fiber.getRef(References.CurrentLogSpans))
    fields.push([name, `${date.getTime() - start}ms`])
  if (cause.reasons.length > 0) fields.push(["cause", describeCause(cause)])
  const { span } = fiber.cache
  if (span?.sampled === true && !(span instanceof Tracer.NativeSpan)) {
    fields.push(["trace_id", span.traceId], ["span_id", span.spanId])
  }
  return fields.map(([name, value]) => [name, simple(value)])
}

const partsOf = (message: unknown): ReadonlyArray<unknown> => (Array.isArray(message) ? message : [message])

const isFields = (part: unknown): part is Readonly<Record<string, unknown>> =>
  typeof part === "object" && part !== null && Object.getPrototypeOf(part) === Object.prototype

/** What JSON has no form for, in the form that a person reads. */
const simple = (value: unknown): unknown => {
  if (typeof value === "bigint" || typeof value === "symbol" || typeof value === "function") return String(value)
  if (value instanceof Error) return describeError(value)
  return Duration.isDuration(value) ? Duration.format(value) : value
}

const asText = (value: unknown): string => (typeof value === "string" ? value : Formatter.formatJson(value))

/** What a terminal would act on, line ends included, becomes a space. */
const oneLine = (text: string): string => text.replace(/[\s\p{Cc}]+/gu, " ").trim()

/** All reasons in one line, each with what caused it; of a defect also where it happened. */
const describeCause = (cause: Cause.Cause<unknown>): string => {
  const reasons = cause.reasons.map((reason) => {
    if (Cause.isInterruptReason(reason)) return "interrupted"
    return Cause.isDieReason(reason)
      ? `${describeError(reason.defect)}${place(reason.defect)}`
      : describeError(reason.error)
  })
  return [...new Set(reasons)].join("; ")
}

/** The error and what caused it, and so on: at most five, and an error that only repeats the one around it is left out. */
const describeError = (error: unknown): string => {
  const texts: Array<string> = []
  for (let [at, depth] = [error, 0]; at !== undefined && at !== null && depth < 5; depth++) {
    if (!(at instanceof Error)) return oneLine([...texts, asText(simple(at))].join(" <- "))
    const { cause, message, name } = at
    // Tagged errors of libraries have their module's path in the name.
    const text = `${name.slice(name.lastIndexOf("/") + 1)}: ${message}`
    if (!texts.some((known) => known.endsWith(`: ${message}`))) texts.push(`${text}${codeOf(at)}`)
    at = cause
  }
  return oneLine(texts.join(" <- "))
}

const codeOf = (error: Error): string => ("code" in error && typeof error.code === "string" ? ` (${error.code})` : "")

/** The first lines of a stack. */
const place = (defect: unknown): string => {
  const stack = defect instanceof Error ? (defect.stack ?? "") : ""
  const lines = stack.split("\n").filter((line) => /^\s+at /.test(line))
  return lines.length === 0 ? "" : ` ${oneLine(lines.slice(0, 3).join(" "))}`
}
