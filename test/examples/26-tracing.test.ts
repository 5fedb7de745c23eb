import { assert, it } from "@effect/vitest"
import { DurableTracer } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import { Effect, Layer, Tracer } from "effect"
import { couriers, Deliver, deliver } from "../../examples/26-tracing.ts"

it.effect("26-tracing: each span once, over two invocations", () => {
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({ span: (options) => spans[spans.push(new Tracer.NativeSpan(options)) - 1]! })
  return Effect.gen(function* () {
    assert.strictEqual(yield* TestRunner.run(Deliver, deliver, "p-1", { plugins: [DurableTracer.make()] }), "T-p-1")
    const count = (name: string) => spans.filter((span) => span.name === name).length
    assert.deepStrictEqual(["dispatch", "book", "POST /bookings", "Invocation", "Workflow"].map(count), [1, 1, 1, 2, 1])
  }).pipe(Effect.provide(Layer.merge(couriers, TestRunner.layerMemory)), Effect.provideService(Tracer.Tracer, tracer))
})
