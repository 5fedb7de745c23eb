/**
 * The spans that handlers export, as the conformance runner reads them. They have been through Effect's OTLP exporter:
 * what is checked is what a collector would get.
 */
import { DurableTracer } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import type * as OtlpExporter from "effect/observability/OtlpExporter"
import * as OtlpSerialization from "effect/observability/OtlpSerialization"
import * as OtlpTracer from "effect/observability/OtlpTracer"

/** A span as `.conformance/telemetry.mjs` describes it. */
export interface Span {
  readonly trace_id: string
  readonly span_id: string
  readonly parent_span_id: string | null
  readonly name: string
  readonly kind: string
  readonly start_time: number
  readonly end_time: number
  readonly status: "UNSET" | "OK" | "ERROR"
  readonly service_name: string | null
  readonly attributes: Readonly<Record<string, unknown>>
  readonly links: ReadonlyArray<{ readonly trace_id: string; readonly span_id: string }>
  readonly events: ReadonlyArray<{ readonly name: string; readonly attributes: Readonly<Record<string, unknown>> }>
}

const KINDS = ["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"]
const STATUSES = ["UNSET", "OK", "ERROR"] as const

interface KeyValue {
  readonly key: string
  readonly value: Readonly<Record<string, unknown>>
}

const valueOf = (value: KeyValue["value"]): unknown => {
  const [kind, plain] = Object.entries(value)[0] ?? []
  return kind === "intValue" ? Number(plain) : plain
}
const attributesOf = (list: ReadonlyArray<KeyValue> = []) =>
  Object.fromEntries(list.map(({ key, value }) => [key, valueOf(value)]))
const millis = (nanos: string) => Number(BigInt(nanos) / 1000n) / 1000

/** What an OTLP request carries. */
export const readOtlp = (body: string): ReadonlyArray<Span> =>
  JSON.parse(body).resourceSpans.flatMap(({ resource, scopeSpans }: any) =>
    scopeSpans.flatMap(({ spans }: any) =>
      spans.map((span: any): Span => ({
        trace_id: span.traceId,
        span_id: span.spanId,
        parent_span_id: span.parentSpanId ?? null,
        name: span.name,
        kind: KINDS[span.kind]!,
        start_time: millis(span.startTimeUnixNano),
        end_time: millis(span.endTimeUnixNano),
        status: STATUSES[span.status.code as 0 | 1 | 2],
        service_name: (attributesOf(resource.attributes)["service.name"] as string) ?? null,
        attributes: attributesOf(span.attributes),
        links: span.links.map((link: any) => ({ trace_id: link.traceId, span_id: link.spanId })),
        events: span.events.map((event: any) => ({ name: event.name, attributes: attributesOf(event.attributes) }))
      }))
    )
  )

/** What `DEFAULTS` of the validator expects. */
const SERVICE_NAME = "durable-execution-conformance"

/** Effect's OTLP exporter, which sends to this array, in the order of export. */
export const exporter = (spans: Array<Span>): Layer.Layer<OtlpExporter.Flusher> => {
  const collector = HttpClient.make((request) =>
    Effect.sync(() => {
      if (request.body._tag === "Uint8Array") {
        for (const span of readOtlp(new TextDecoder().decode(request.body.body))) spans.push(span)
      }
      return HttpClientResponse.fromWeb(request, new Response("{}"))
    })
  )
  return OtlpTracer.layer({ url: "http://localhost/v1/traces", resource: { serviceName: SERVICE_NAME } }).pipe(
    Layer.provide(Layer.succeed(HttpClient.HttpClient, collector)),
    Layer.provide(OtlpSerialization.layerJson)
  )
}

/** All spans that the handlers of the requirements have exported in this process. */
const exported: Array<Span> = []

/** The tracer, with an exporter that sends to where `spansOf` looks. */
export const tracing = (view: DurableTracer.View): Layer.Layer<never> =>
  DurableTracer.layer({ view, timeout: "10 seconds" }).pipe(Layer.provideMerge(exporter(exported)))

const ARN = "durable.execution.arn"

/** The spans of an execution and of those that it has invoked, which have traces of their own. */
export const spansOf = (arn: string, invoked: ReadonlyArray<string> = []): ReadonlyArray<Span> => {
  const arns = new Set<unknown>([arn, ...invoked])
  const traces = new Set(exported.filter(({ attributes }) => arns.has(attributes[ARN])).map((span) => span.trace_id))
  return exported.filter((span) => traces.has(span.trace_id))
}

/** Those that a history says were invoked. */
export const invokedBy = (history: ReadonlyArray<unknown>): ReadonlyArray<string> =>
  history.flatMap((event) => {
    const { ChainedInvokeStartedDetails: details } = event as {
      readonly ChainedInvokeStartedDetails?: { readonly DurableExecutionArn?: string }
    }
    return details?.DurableExecutionArn ?? []
  })

// ---- showing --------------------------------------------------------------------------------------------------------

const DURABLE = "durable."

/** A span in words: name, status, what is of interest of its attributes, and which span it links to. */
const describe = (span: Span, spans: ReadonlyArray<Span>): string => {
  const words = Object.entries(span.attributes).flatMap(([key, value]) => {
    if (key === "durable.invocation.first") return value === true ? ["first"] : []
    if (key === "durable.attempt.number") return span.name.includes(" attempt ") ? [] : [`attempt ${value}`]
    const shown = /^durable\.(execution|invocation|operation|attempt)\.(status|subtype|outcome)$/.test(key)
    return shown || !(key.startsWith(DURABLE) || key.startsWith("faas.") || key.startsWith("effect.")) ? [value] : []
  })
  const invocations = spans.filter(({ name }) => name === "Invocation").toSorted(byStart)
  const links = span.links.map(({ span_id }) => {
    const linked = spans.find((one) => one.span_id === span_id)
    return linked?.name === "Invocation" ? `-> ${invocations.indexOf(linked) + 1}` : `-> ${linked?.name}`
  })
  const exceptions = span.events.map(({ attributes }) => `!${attributes["exception.type"]}`)
  return [span.name, span.status, ...words, ...exceptions, ...links].join(" ")
}

const byStart = (a: Span, b: Span) => a.start_time - b.start_time || a.end_time - b.end_time

/** Spans as a tree: children below their parents, in the order of their export. */
export const tree = (spans: ReadonlyArray<Span>): ReadonlyArray<string> => {
  const lines: Array<string> = []
  const add = (span: Span, indent: string) => {
    lines.push(`${indent}${describe(span, spans)}`)
    for (const child of spans) if (child.parent_span_id === span.span_id) add(child, `${indent}  `)
  }
  const ids = new Set(spans.map(({ span_id }) => span_id))
  for (const span of spans) if (span.parent_span_id === null || !ids.has(span.parent_span_id)) add(span, "")
  return lines
}

/** What holds of any trace of an execution: gives what does not. */
export const faultsOf = (spans: ReadonlyArray<Span>): ReadonlyArray<string> => {
  const faults: Array<string> = []
  const known = new Map<string, Span>()
  for (const span of spans) {
    if (known.has(span.span_id)) faults.push(`${span.name}: another span has its id`)
    known.set(span.span_id, span)
    if (!/^[0-9a-f]{32}$/.test(span.trace_id) || !/^[0-9a-f]{16}$/.test(span.span_id)) faults.push(`${span.name}: ids`)
    if (span.start_time > span.end_time) faults.push(`${span.name} ends before it starts`)
    if (span.service_name !== SERVICE_NAME) faults.push(`${span.name}: service ${span.service_name}`)
  }
  for (const { links, name, parent_span_id, trace_id } of spans) {
    const parent = known.get(parent_span_id ?? "")
    if (parent_span_id !== null && parent === undefined) faults.push(`${name}: its parent was not exported`)
    if (parent !== undefined && parent.trace_id !== trace_id) faults.push(`${name}: its parent is in another trace`)
    for (const { span_id } of links) if (!known.has(span_id)) faults.push(`${name}: its link leads nowhere`)
  }
  for (const [trace, roots] of Map.groupBy(
    spans.filter(({ parent_span_id }) => parent_span_id === null),
    ({ trace_id }) => trace_id
  )) {
    if (roots.length > 1) faults.push(`${trace} has ${roots.length} roots`)
  }
  return faults
}
