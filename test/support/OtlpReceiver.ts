/**
 * An OpenTelemetry collector for tests: keeps the spans that are posted to it as JSON.
 */
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"

/** A span as OTLP's JSON has it, its attributes as an object. */
export interface ReceivedSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  /** 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly links: ReadonlyArray<{ readonly traceId: string; readonly spanId: string }>
  /** 0 unset, 1 ok, 2 error. */
  readonly status: { readonly code?: number; readonly message?: string }
}

export interface OtlpReceiver {
  /** As `OTEL_EXPORTER_OTLP_ENDPOINT` takes it. */
  readonly endpoint: string
  readonly spans: ReadonlyArray<ReceivedSpan>
  /** Of the resources that sent spans. */
  readonly resources: ReadonlyArray<Readonly<Record<string, unknown>>>
  /** What arrived, as it came: paths and bodies. */
  readonly raw: () => string
  readonly stop: () => Promise<void>
}

/** With `silent` it takes what comes and never answers. */
export const startOtlpReceiver = async (options: { readonly silent?: boolean } = {}): Promise<OtlpReceiver> => {
  const spans: Array<ReceivedSpan> = []
  const resources: Array<Readonly<Record<string, unknown>>> = []
  const bodies: Array<string> = []
  const server = createServer((request, response) => {
    const chunks: Array<Buffer> = []
    request.on("data", (chunk: Buffer) => chunks.push(chunk))
    request.on("end", () => {
      const body = Buffer.concat(chunks).toString()
      bodies.push(`${request.method} ${request.url}\n${body}`)
      if (request.url === "/v1/traces") {
        for (const { resource, scopeSpans } of (JSON.parse(body) as Export).resourceSpans) {
          resources.push(flat(resource.attributes))
          for (const { spans: some } of scopeSpans) {
            for (const span of some) {
              spans.push({ ...span, attributes: flat(span.attributes), links: span.links ?? [] })
            }
          }
        }
      }
      if (options.silent !== true) response.writeHead(200, { "Content-Type": "application/json" }).end("{}")
    })
  }).listen(0, "127.0.0.1")
  await once(server, "listening")
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    spans,
    resources,
    raw: () => bodies.join("\n"),
    stop: async () => {
      const closed = once(server, "close")
      server.close()
      server.closeAllConnections()
      await closed
    }
  }
}

type Attributes = ReadonlyArray<{ readonly key: string; readonly value: Value }>
interface Value {
  readonly stringValue?: string
  readonly intValue?: number | string
  readonly doubleValue?: number
  readonly boolValue?: boolean
  readonly arrayValue?: { readonly values?: ReadonlyArray<Value> }
}
interface Export {
  readonly resourceSpans: ReadonlyArray<{
    readonly resource: { readonly attributes: Attributes }
    readonly scopeSpans: ReadonlyArray<{
      readonly spans: ReadonlyArray<
        Omit<ReceivedSpan, "attributes" | "links"> & {
          readonly attributes: Attributes
          readonly links?: ReceivedSpan["links"]
        }
      >
    }>
  }>
}

const flat = (attributes: Attributes) => Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)]))

const plain = (value: Value): unknown => {
  if (value.arrayValue !== undefined) return (value.arrayValue.values ?? []).map(plain)
  if (value.intValue !== undefined) return Number(value.intValue)
  return value.stringValue ?? value.doubleValue ?? value.boolValue
}
