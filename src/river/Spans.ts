/**
 * Spans of jobs, with the names and attributes of otelriver, so that dashboards made for River read them.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import type { Job } from "./Job.ts"
import type { Settlement } from "./Settlement.ts"
import type { Verdict } from "./sql/river_job_settle.ts"
import { JobCancel, JobSnooze, type Result } from "./Worker.ts"

/** How an attempt ended, and its span. */
export interface Attempt {
  readonly exit: Exit.Exit<Result, unknown>
  readonly span: Tracer.Span | undefined
}

/** Runs an attempt in a span of its own, linked to the one that enqueued the job. */
export const traced = (job: Job, queue: string, attempt: Effect.Effect<Result, unknown>): Effect.Effect<Attempt> =>
  Effect.suspend(() => {
    let span: Tracer.Span | undefined
    return Effect.useSpan(
      `river.work/${job.kind}`,
      { root: true, kind: "consumer", attributes: attributes(job, queue), links: links(job) },
      (own) => {
        span = own
        return Effect.onExit(Effect.withParentSpan(attempt, own), (exit) => Effect.sync(() => annotate(own, exit)))
      }
    ).pipe(
      Effect.exit,
      Effect.map((exit) => ({ exit, span }))
    )
  })

/** The time from an attempt's end to its settlement, as a child of the attempt's span. */
export const recordSettled = ({ endedAt, span }: Settlement, verdict: Verdict["verdict"] | undefined) =>
  span === undefined
    ? Effect.void
    : Effect.flatMap(Effect.all([Effect.tracer, Clock.currentTimeNanos]), ([tracer, now]) =>
        Effect.sync(() => {
          const child = tracer.span({
            name: "river.settle",
            parent: Option.some(span),
            annotations: Context.empty(),
            links: [],
            startTime: BigInt(Math.round(endedAt * 1e6)),
            kind: "internal",
            root: false,
            sampled: span.sampled
          })
          child.attribute("verdict", verdict ?? "settled")
          child.end(now, Exit.void)
        })
      )

const attributes = (job: Job, queue: string) => ({
  id: Number(job.id),
  created_at: instant(job.created_at),
  scheduled_at: instant(job.scheduled_at),
  attempt: job.attempt,
  kind: job.kind,
  priority: job.priority,
  queue,
  tag: job.tags ?? []
})

/** Undefined too for what PostgreSQL can store and a `Date` cannot: infinity, and years far from now. */
const instant = (date: Date | undefined) =>
  date === undefined || Number.isNaN(date.getTime()) ? undefined : date.toISOString()

const links = (job: Job): ReadonlyArray<Tracer.SpanLink> => {
  const traceparent = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/.exec(String(job.metadata?.traceparent ?? ""))
  if (traceparent === null) return []
  const [, traceId = "", spanId = "", flags = ""] = traceparent
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return []
  return [
    { span: Tracer.externalSpan({ traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 }), attributes: {} }
  ]
}

/** Snooze is `ok`, cancel is `error`, a defect is `panic`: as otelriver has it. */
const annotate = (span: Tracer.Span, exit: Exit.Exit<Result, unknown>) => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  if (error instanceof JobSnooze) {
    span.attribute("snooze", true)
    span.attribute("snooze.duration", `${Duration.toSeconds(error.duration)}s`)
  }
  if (error instanceof JobCancel) span.attribute("cancel", true)
  const panicked = Exit.isFailure(exit) && Cause.hasDies(exit.cause)
  const status = panicked ? "panic" : "error"
  span.attribute("status", Exit.isSuccess(exit) || error instanceof JobSnooze ? "ok" : status)
}
