/**
 * OpenTelemetry's SDK behind Effect's tracer. It is loaded only when traces are exported: it costs 40 to 70 ms.
 *
 * Endpoint, headers, batching, sampling and resource come from the standard `OTEL_*` variables.
 */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http"
import { BatchSpanProcessor } from "@opentelemetry/sdk-trace-base"
import * as Duration from "effect/Duration"
import * as Layer from "effect/Layer"

export const layer: Layer.Layer<never> = Layer.suspend(() => {
  const named = process.env["OTEL_SERVICE_NAME"] || process.env["OTEL_RESOURCE_ATTRIBUTES"]?.includes("service.name=")
  return NodeSdk.layer(() => ({
    ...(named ? {} : { resource: { serviceName: "s3-signer" } }),
    spanProcessor: new BatchSpanProcessor(new OTLPTraceExporter()),
    shutdownTimeout: Duration.seconds(1)
  }))
})
