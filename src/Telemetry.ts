/**
 * Traces over OTLP/HTTP, when OpenTelemetry's standard variables ask for them; otherwise nothing is loaded and nothing
 * is paid.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Redaction } from "./Redaction.ts"

/** OpenTelemetry's standard variables. */
export type Environment = Readonly<Record<string, string | undefined>>

export interface Telemetry {
  readonly traced: boolean
  /** What was asked for and is not to be had. */
  readonly warnings: ReadonlyArray<string>
}

/** Whether traces are asked for: by an endpoint, or by `OTEL_TRACES_EXPORTER=otlp`, unless they are switched off. */
export const fromEnvironment = (environment: Environment): Telemetry => {
  const read = (name: string) => environment[name]?.trim() ?? ""
  const exporters = read("OTEL_TRACES_EXPORTER").split(",").filter(Boolean)
  const endpoint = read("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") || read("OTEL_EXPORTER_OTLP_ENDPOINT")
  const off = read("OTEL_SDK_DISABLED").toLowerCase() === "true" || exporters.includes("none")
  const traced = !off && (exporters.length > 0 ? exporters.includes("otlp") : endpoint !== "")

  const warnings: Array<string> = []
  const protocol = read("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") || read("OTEL_EXPORTER_OTLP_PROTOCOL")
  if (traced && protocol === "grpc") {
    warnings.push("OTLP over gRPC is not spoken here: traces go out over HTTP, with JSON bodies")
  }
  const unknown = exporters.filter((exporter) => exporter !== "otlp" && exporter !== "none")
  if (unknown.length > 0 && !off) {
    warnings.push(`OTEL_TRACES_EXPORTER names ${unknown.join(", ")}; only otlp is known here`)
  }
  return { traced, warnings }
}

/** The tracer; an empty layer when no traces are asked for. What is still to be sent at the end has a second. */
export const layer = ({ traced }: Telemetry, { redact }: Pick<Redaction, "redact">): Layer.Layer<never> =>
  traced
    ? Layer.unwrap(
        Effect.map(
          Effect.promise(() => import("./OpenTelemetry.ts")),
          ({ layer }) => layer(redact)
        )
      )
    : Layer.empty
