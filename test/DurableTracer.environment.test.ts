/** What of a trace the environment decides, which belongs to the process: one test after the other. */
import { assert, describe, it } from "@effect/vitest"
import { Durable, type DurableTracer } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { faultsOf } from "./conformance/spans.ts"
import { find, step, traced } from "./tracing.kit.ts"

const oneAtATime = Semaphore.makeUnsafe(1)

/** Runs with a variable of the environment, alone. */
const withVariable = <A, E, R>(name: string, value: string, effect: Effect.Effect<A, E, R>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      process.env[name] = value
    }),
    () => effect,
    () => Effect.sync(() => delete process.env[name])
  ).pipe(oneAtATime.withPermit)

/** Runs with a trace header in the environment, which belongs to the process. */
const withHeader =
  (header: string) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>) =>
    withVariable("_X_AMZN_TRACE_ID", header, effect)

describe("the trace", () => {
  const waits = Effect.andThen(step("one"), Durable.wait("w", "1 hour"))
  const ROOT = "1-67891233-abcdef012345678912345678"

  it.effect("is X-Ray's, where Lambda gives its header: invocations are in Lambda's segment", () =>
    Effect.gen(function* () {
      const { spans } = yield* withHeader(`Root=${ROOT};Parent=463ac35c9f6413ad;Sampled=0;Lineage=a:0`)(traced(waits))
      assert.deepStrictEqual([...new Set(spans.map(({ trace_id }) => trace_id))], ["67891233abcdef012345678912345678"])
      assert.deepStrictEqual(
        find(spans, "Invocation").map(({ parent_span_id }) => parent_span_id),
        ["463ac35c9f6413ad", "463ac35c9f6413ad"]
      )
      const workflow = find(spans, "Workflow")[0]!
      assert.strictEqual(workflow.parent_span_id, null)
      assert.strictEqual(find(spans, "w")[0]!.parent_span_id, workflow.span_id)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("is the execution's own, where X-Ray's is not wanted, or cannot be read", () =>
    Effect.gen(function* () {
      const ignored = yield* withHeader(`Root=${ROOT};Parent=463ac35c9f6413ad`)(traced(waits, { xray: "ignore" }))
      const broken = yield* withHeader("Root=1-nonsense;;=;Parent")(traced(waits))
      for (const { spans } of [ignored, broken]) {
        assert.deepStrictEqual(faultsOf(spans), [])
        assert.strictEqual(find(spans, "Invocation")[0]!.parent_span_id, find(spans, "Workflow")[0]!.span_id)
        assert.notStrictEqual(spans[0]!.trace_id, "67891233abcdef012345678912345678")
      }
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("is exported or not, all of it, in all invocations", () =>
    Effect.gen(function* () {
      const inner = Effect.andThen(Durable.step("s", Effect.withSpan(Effect.void, "user's")), waits)
      const none = (options: DurableTracer.Options, header = "") =>
        Effect.map(withHeader(header)(traced(Effect.withSpan(inner, "body"), options)), ({ exit, spans }) => {
          assert.strictEqual(exit._tag, "Success")
          return spans.length
        })
      assert.strictEqual(yield* none({ sampling: 0 }), 0)
      assert.strictEqual(yield* none({ sampling: "xray" }, `Root=${ROOT};Sampled=0`), 0)
      assert.strictEqual(yield* none({ sampling: "xray", xray: "ignore" }, `Root=${ROOT};Sampled=0`), 0)
      assert.isAbove(yield* none({ sampling: "xray" }, `Root=${ROOT};Sampled=1`), 5)
      assert.isAbove(yield* none({ sampling: 1 }, `Root=${ROOT};Sampled=0`), 5)
      // by the last digits of the trace's id: 0x12345678 is 7 % of what there is
      assert.isAbove(yield* none({ sampling: 0.08 }, `Root=${ROOT}`), 5)
      assert.strictEqual(yield* none({ sampling: 0.07 }, `Root=${ROOT}`), 0)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("is sampled as the environment says, for AWS's plugins too", () =>
    Effect.gen(function* () {
      const { spans } = yield* withVariable("OTEL_DURABLE_SAMPLING_RATIO", "0", traced(waits))
      assert.deepStrictEqual(spans, [])
      const empty = yield* withVariable("OTEL_DURABLE_SAMPLING_RATIO", "", traced(waits))
      assert.isAbove(empty.spans.length, 0, "an empty variable says nothing")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})
