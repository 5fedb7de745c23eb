import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableMetrics, DurableTracer } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as OtlpExporter from "effect/observability/OtlpExporter"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { type Call, type Fault } from "../src/engine/Faults.ts"
import * as kit from "./operations/kit.ts"

/** What was counted and measured, by name and attributes; of histograms how often. */
const measured = (body: kit.Body, fault?: (call: Call) => Fault | undefined) =>
  Effect.gen(function* () {
    const execution = yield* kit.start(body, { plugins: [DurableMetrics.make()] })
    yield* Effect.exit(execution.result)
    return Object.fromEntries(
      (yield* Metric.snapshot)
        .filter(({ id }) => id.startsWith("durable."))
        .map(({ attributes = {}, id, state }) => {
          const { unit, ...rest } = attributes as Record<string, string>
          const values = Object.values(rest)
          const name = [id, ...(unit === undefined ? [] : [`(${unit})`]), ...values].join(" ")
          return [name, "count" in state ? Number(state.count) : Number.NaN] as const
        })
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
    )
  }).pipe(
    Effect.provideService(Metric.MetricRegistry, new Map() as never),
    Effect.provide(fault === undefined ? TestRunner.layerMemory : kit.layerFaulty(fault))
  )

describe("metrics", () => {
  it.effect("of operations, attempts, retries, suspensions, checkpoints and replays", () =>
    Effect.gen(function* () {
      const found = yield* measured(
        Effect.gen(function* () {
          yield* Durable.step(
            "flaky",
            Effect.flatMap(Durable.CurrentStep, ({ attempt }) => (attempt < 3 ? Effect.fail("no") : Effect.succeed(1))),
            { retry: Schedule.spaced("1 second") }
          )
          yield* Durable.waitForCondition("ready", (n) => Effect.succeed(n + 1), {
            initial: 0,
            state: Schema.Number,
            until: (n) => n === 2,
            schedule: Schedule.spaced("1 second")
          })
          yield* Effect.exit(Durable.step("dead", Effect.die(new Error("x"))))
          yield* Durable.wait("w", "1 hour")
        })
      )
      assert.deepStrictEqual(found, {
        "durable.attempts Step FAILED": 3,
        "durable.attempts Step SUCCEEDED": 1,
        "durable.attempts WaitForCondition SUCCEEDED": 2,
        "durable.checkpoint.duration (ms) SUCCEEDED": 7,
        "durable.execution.duration (s) SUCCEEDED": 1,
        "durable.executions SUCCEEDED": 1,
        "durable.invocations PENDING false": 3,
        "durable.invocations PENDING true": 1,
        "durable.invocations SUCCEEDED false": 1,
        "durable.operation.duration (s) STEP Step FAILED": 1,
        "durable.operation.duration (s) STEP Step SUCCEEDED": 1,
        "durable.operation.duration (s) STEP WaitForCondition SUCCEEDED": 1,
        "durable.operation.duration (s) WAIT Wait SUCCEEDED": 1,
        "durable.operations STEP Step FAILED": 1,
        "durable.operations STEP Step SUCCEEDED": 1,
        "durable.operations STEP WaitForCondition SUCCEEDED": 1,
        "durable.operations WAIT Wait SUCCEEDED": 1,
        "durable.replay.duration (ms)": 4,
        "durable.retries Step": 2,
        "durable.suspensions": 4
      })
    })
  )

  it.effect("of an execution that fails", () =>
    Effect.gen(function* () {
      const found = yield* measured(Effect.die(new Error("broken")))
      assert.strictEqual(found["durable.executions FAILED"], 1)
      assert.strictEqual(found["durable.execution.duration (s) FAILED"], 1)
      assert.strictEqual(found["durable.invocations FAILED true"], 1)
      assert.notProperty(found, "durable.suspensions")
    })
  )

  it.effect("of checkpoints that fail, and invocations that are tried again", () =>
    Effect.gen(function* () {
      let calls = 0
      const found = yield* measured(Durable.step("s", Effect.succeed(1)), ({ operation }) =>
        operation === "CheckpointDurableExecution" && ++calls <= 3 ? "Throttle" : undefined
      )
      assert.strictEqual(found["durable.invocations RETRY true"], 1)
      assert.strictEqual(found["durable.checkpoint.duration (ms) FAILED"], 1) // sent three times
      assert.strictEqual(found["durable.executions SUCCEEDED"], 1)
      assert.strictEqual(found["durable.attempts Step SUCCEEDED"], 2) // the first was never on record
      assert.strictEqual(found["durable.operations STEP Step SUCCEEDED"], 1)
    })
  )

  it.effect("of time: how long a wait was, a checkpoint, a replay", () =>
    Effect.gen(function* () {
      const sums = yield* Effect.gen(function* () {
        // time is skipped only while nothing runs: a step that sleeps takes what it sleeps
        const execution = yield* kit.start(
          Effect.andThen(Durable.step("s", Effect.sleep("2 seconds")), Durable.wait("w", "1 hour")),
          { plugins: [DurableMetrics.make()] }
        )
        yield* execution.result
        return (yield* Metric.snapshot).flatMap(({ attributes, id, state }) =>
          "sum" in state ? [[`${id} ${attributes?.type ?? ""}`.trim(), state.sum] as const] : []
        )
      }).pipe(Effect.provideService(Metric.MetricRegistry, new Map() as never), Effect.provide(TestRunner.layerMemory))
      const sum = new Map(sums)
      assert.closeTo(sum.get("durable.operation.duration WAIT")!, 3600, 0.01)
      assert.closeTo(sum.get("durable.operation.duration STEP")!, 2, 0.5)
      assert.closeTo(sum.get("durable.execution.duration")!, 3602, 1)
      assert.isBelow(sum.get("durable.checkpoint.duration")!, 1000)
      assert.isBelow(sum.get("durable.replay.duration")!, 1000)
    })
  )

  it.effect("of races: the library's own markers are not counted", () =>
    Effect.gen(function* () {
      const found = yield* measured(
        Effect.race(Durable.wait("slow", "1 hour"), Durable.wait("fast", "1 second")).pipe(
          Effect.andThen(Durable.step("after", Effect.void))
        )
      )
      assert.strictEqual(found["durable.operations STEP Step SUCCEEDED"], 1)
    })
  )

  it.effect("and spans are flushed together, once per invocation", () =>
    Effect.gen(function* () {
      let flushes = 0
      const flusher = { flush: Effect.sync(() => void flushes++), register: () => Effect.void }
      const slow = { timeout: "30 seconds" } as const
      const execution = yield* kit
        .start(Durable.wait("w", "1 second"), { plugins: [DurableTracer.make(slow), DurableMetrics.make(slow)] })
        .pipe(Effect.provideService(OtlpExporter.Flusher, flusher))
      yield* execution.result
      assert.strictEqual(flushes, 2)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("come by a layer, too", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(Durable.step("s", Effect.void))
      yield* execution.result
      const [executions] = (yield* Metric.snapshot).filter(({ id }) => id === "durable.executions")
      assert.deepInclude(executions, { attributes: { status: "SUCCEEDED" } })
    }).pipe(
      Effect.provide(Layer.merge(DurableMetrics.layer(), TestRunner.layerMemory)),
      Effect.provideService(Metric.MetricRegistry, new Map() as never)
    )
  )
})
