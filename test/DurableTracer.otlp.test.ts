/** Effect's OTLP exporter over HTTP, and a collector that works, is slow, or is not there. */
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableMetrics, DurableTracer } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Otlp from "effect/observability/Otlp"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { faultsOf, readOtlp, tree } from "./conformance/spans.ts"
import * as kit from "./operations/kit.ts"
import { step, warnings } from "./tracing.kit.ts"

type Answer = (path: string, body: string, request: IncomingMessage, response: ServerResponse) => void

/** A collector on a port of its own. */
const collector = (answer: Answer) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = createServer(async (request, response) => {
        const chunks: Array<Buffer> = []
        for await (const chunk of request) chunks.push(chunk)
        answer(request.url ?? "", Buffer.concat(chunks).toString(), request, response)
      })
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
      return server
    }),
    (server) =>
      Effect.sync(() => {
        server.closeAllConnections()
        server.close()
      })
  ).pipe(Effect.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`))

const exporting = (baseUrl: string) =>
  Otlp.layerJson({
    baseUrl,
    resource: { serviceName: "durable-execution-conformance" },
    shutdownTimeout: 0
  }).pipe(Layer.provide(FetchHttpClient.layer))

const body = Effect.as(Effect.andThen(Effect.withSpan(step("one"), "around"), Durable.wait("w", "1 hour")), "done")

/** Runs the body with both plugins, and an effect before the exporters are closed. */
const runs = <A>(url: string, timeout: string, then: () => A) =>
  Effect.gen(function* () {
    const options = { timeout } as DurableTracer.Options
    const execution = yield* kit.start(body, { plugins: [DurableTracer.make(options), DurableMetrics.make(options)] })
    assert.strictEqual(yield* execution.result, "done")
    return then()
  }).pipe(
    Effect.provide(exporting(url)),
    Effect.provideService(Metric.MetricRegistry, new Map() as never),
    Effect.provide(TestRunner.layerMemory)
  )

describe("a collector", () => {
  it.effect("has spans and metrics when the execution has ended", () =>
    Effect.gen(function* () {
      const received = new Map<string, Array<string>>()
      const url = yield* collector((path, body, _, response) => {
        received.set(path, [...(received.get(path) ?? []), body])
        response.end("{}")
      })
      const seen = yield* runs(url, "30 seconds", () => new Map(received))
      const spans = (seen.get("/v1/traces") ?? []).flatMap(readOtlp)
      assert.deepStrictEqual(faultsOf(spans), [])
      assert.deepStrictEqual(tree(spans), [
        "Workflow OK SUCCEEDED",
        "  around OK",
        "    one OK Step SUCCEEDED attempt 1 -> 1",
        "      one attempt 1 OK Step SUCCEEDED -> 1",
        "  Invocation OK first PENDING",
        "  w OK Wait SUCCEEDED -> 2",
        "  Invocation OK SUCCEEDED"
      ])
      const metrics = seen.get("/v1/metrics") ?? []
      assert.strictEqual(metrics.length, 2) // once per invocation, although both plugins flush
      const named = JSON.parse(metrics[1]!).resourceMetrics[0].scopeMetrics[0].metrics as ReadonlyArray<{
        readonly name: string
        readonly unit: string
      }>
      const units = Object.fromEntries(named.map(({ name, unit }) => [name, unit]))
      assert.strictEqual(units["durable.checkpoint.duration"], "ms")
      assert.strictEqual(units["durable.operation.duration"], "s")
      assert.property(units, "durable.executions")
    })
  )

  it.effect("that never answers holds up no invocation for long", () =>
    Effect.gen(function* () {
      const console = warnings()
      let requests = 0
      const url = yield* collector(() => void requests++)
      yield* Effect.provide(
        runs(url, "1 second", () => {}),
        console.layer
      )
      assert.isAbove(requests, 0)
      assert.include(console.lines.join(), "DurableTracer: onInvocationEnd did not end in time")
    })
  )

  it.effect("that is not there, or refuses, changes nothing", () =>
    Effect.gen(function* () {
      const refusing = yield* collector((_path, _body, _request, response) => {
        response.writeHead(400)
        response.end()
      })
      yield* runs(refusing, "30 seconds", () => {})
      yield* Effect.provide(
        runs("http://127.0.0.1:1", "50 millis", () => {}),
        warnings().layer
      )
    })
  )
})
