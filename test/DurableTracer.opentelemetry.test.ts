/** Effect's tracer on OpenTelemetry's own SDK: ids, parents, and the flush of its batches before an invocation answers. */
import * as OtelTracer from "@effect/opentelemetry/OtelTracer"
import { assert, describe, it } from "@effect/vitest"
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  InMemorySpanExporter,
  type ReadableSpan,
  type TracerConfig
} from "@opentelemetry/sdk-trace-base"
import { Durable, DurableTracer } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as kit from "./operations/kit.ts"
import { step, warnings } from "./tracing.kit.ts"

const body = Effect.gen(function* () {
  yield* Durable.step("charge", Effect.withSpan(Effect.void, "POST /charges"))
  yield* Effect.gen(function* () {
    yield* Durable.wait("truck", "1 hour")
    yield* Durable.childContext("child", step("ship"))
  }).pipe(Effect.withSpan("fulfil"))
  yield* Effect.exit(Durable.step("dead", Effect.die(new Error("boom"))))
})

/** Runs the body, and gives what OpenTelemetry's exporter had got when the execution ended. */
const exported = (options: DurableTracer.Options, config: TracerConfig) =>
  Effect.gen(function* () {
    const exporter = new InMemorySpanExporter()
    const provider = new BasicTracerProvider({ ...config, spanProcessors: [new BatchSpanProcessor(exporter)] })
    const execution = yield* kit
      .start(body, {
        plugins: [DurableTracer.make({ timeout: "30 seconds", ...options })]
      })
      .pipe(Effect.provide(OtelTracer.layer), Effect.provideService(OtelTracer.OtelTracerProvider, provider))
    yield* execution.result
    return exporter.getFinishedSpans()
  })

const STATUSES = ["UNSET", "OK", "ERROR"]

const tree = (spans: ReadonlyArray<ReadableSpan>): ReadonlyArray<string> => {
  const idOf = (span: ReadableSpan) => span.spanContext().spanId
  const show = (span: ReadableSpan, indent: string): ReadonlyArray<string> => [
    [
      `${indent}${span.name} ${STATUSES[span.status.code]}`,
      ...span.events.map(
        ({ attributes, name }) => `!${attributes?.["exception.message"] ?? name.replace(/ \(.*\)$/, "")}`
      ),
      ...span.links.map(({ context }) => `-> ${spans.find((one) => idOf(one) === context.spanId)?.name}`)
    ].join(" "),
    ...spans.flatMap((one) => (one.parentSpanContext?.spanId === idOf(span) ? show(one, `${indent}  `) : []))
  ]
  const ids = new Set(spans.map(idOf))
  return spans.flatMap((span) => (ids.has(span.parentSpanContext?.spanId ?? "") ? [] : show(span, "")))
}

describe("with @effect/opentelemetry", () => {
  it.effect("one tree, flushed before the answers", () =>
    Effect.gen(function* () {
      const spans = yield* exported({}, { idGenerator: DurableTracer.idGenerator })
      assert.deepStrictEqual(tree(spans), [
        'Workflow OK !A defect in STEP "dead"', // a log line is an event of the span around it
        "  charge OK -> Invocation",
        "    charge attempt 1 OK -> Invocation",
        "      POST /charges OK",
        "  Invocation OK",
        "  fulfil OK",
        "    truck OK -> Invocation",
        "    child OK -> Invocation",
        "      ship OK -> Invocation",
        "        ship attempt 1 OK -> Invocation",
        "  dead ERROR !boom -> Invocation",
        "    dead attempt 1 ERROR !boom -> Invocation",
        "  Invocation OK"
      ])
      assert.strictEqual(new Set(spans.map((span) => span.spanContext().traceId)).size, 1)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("a tree for each invocation", () =>
    Effect.gen(function* () {
      const spans = yield* exported({ view: "invocation" }, { idGenerator: DurableTracer.idGenerator })
      assert.deepStrictEqual(tree(spans), [
        "Workflow OK",
        "  Invocation OK",
        "    charge OK -> Workflow",
        "      charge attempt 1 OK -> Workflow",
        "        POST /charges OK",
        "    fulfil UNSET",
        "      truck UNSET -> Workflow",
        '  Invocation OK !A defect in STEP "dead"',
        "    fulfil OK",
        "      truck OK -> Workflow",
        "      child OK -> Workflow",
        "        ship OK -> Workflow",
        "          ship attempt 1 OK -> Workflow",
        "    dead ERROR !boom -> Workflow",
        "      dead attempt 1 ERROR !boom -> Workflow"
      ])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("a provider without our ids is warned of", () =>
    Effect.gen(function* () {
      const console = warnings()
      yield* Effect.provide(exported({}, {}), console.layer)
      assert.strictEqual(console.lines.filter((line) => line.includes("DurableTracer.idGenerator")).length, 1)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})
