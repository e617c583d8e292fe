/**
 * OpenTelemetry's SDK behind Effect's tracer. It is loaded only when traces are exported: it costs 40 to 70 ms.
 *
 * Endpoint, headers, batching, sampling and resource come from the standard `OTEL_*` variables.
 */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import type { Attributes, AttributeValue } from "@opentelemetry/api"
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from "@opentelemetry/sdk-trace-base"
import * as Duration from "effect/Duration"
import type * as Layer from "effect/Layer"

/** The tracer; `redact` hides secrets in what spans say. */
export const layer = (redact: (text: string) => string): Layer.Layer<never> => {
  const named = process.env["OTEL_SERVICE_NAME"] || process.env["OTEL_RESOURCE_ATTRIBUTES"]?.includes("service.name=")
  return NodeSdk.layer(() => ({
    ...(named ? {} : { resource: { serviceName: "s3-signer" } }),
    spanProcessor: new BatchSpanProcessor(redacting(new OTLPTraceExporter(), redact)),
    shutdownTimeout: Duration.seconds(1)
  }))
}

/** Whoever wrote what into a span: its texts go out through the redaction. */
const redacting = (exporter: SpanExporter, redact: (text: string) => string): SpanExporter => {
  const value = (found: AttributeValue | undefined): AttributeValue | undefined =>
    typeof found === "string"
      ? redact(found)
      : Array.isArray(found)
        ? found.map((each) => (typeof each === "string" ? redact(each) : each) as string)
        : found
  const all = (attributes: Attributes = {}): Attributes =>
    Object.fromEntries(Object.entries(attributes).map(([name, found]) => [name, value(found)]))
  const clean = (span: ReadableSpan): ReadableSpan =>
    Object.create(span, {
      attributes: { value: all(span.attributes) },
      events: { value: span.events.map((event) => ({ ...event, attributes: all(event.attributes) })) },
      status: {
        value:
          span.status.message === undefined ? span.status : { ...span.status, message: redact(span.status.message) }
      }
    })
  return {
    export: (spans, done) => exporter.export(spans.map(clean), done),
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush?.() ?? Promise.resolve()
  }
}
