// @effect-diagnostics globalFetchInEffect:off
/**
 * The same tests in memory, and over HTTP: a `DurableClient` of AWS's before the local engine, whose functions are the
 * handlers as they would be deployed.
 */
import { assert, describe, it } from "@effect/vitest"
import {
  Durable,
  DurableClient,
  DurableError,
  DurableExecutionClient,
  DurableFunction,
  DurableHandler,
  type Protocol
} from "effect-durable-lambda"
import { Server } from "effect-durable-lambda/dev"
import { Engine, ExecutionStore, Timers } from "effect-durable-lambda/engine"
import { downloadHistory, expectReplays, Replay, replayHistory, TestRunner } from "effect-durable-lambda/testing"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"

class Refused extends Schema.TaggedError<Refused>()("Refused", { why: Schema.String }) {}
const Approval = { success: Schema.Struct({ by: Schema.String }), error: Refused }

class Payments extends Context.Service<
  Payments,
  { readonly pay: (attempt: number) => Effect.Effect<string, string> }
>()("Payments") {}
const services = Layer.succeed(Payments, {
  pay: (attempt) => (attempt < 3 ? Effect.fail("busy") : Effect.succeed(`paid at attempt ${attempt}`))
})

const Order = DurableFunction.make("order", { payload: Schema.String, success: Schema.String, error: Refused })

const order = (item: string) =>
  Effect.gen(function* () {
    const paid = yield* Durable.step(
      "pay",
      Effect.flatMap(Durable.CurrentStep, ({ attempt }) => Payments.use((payments) => payments.pay(attempt))),
      { retry: { times: 5, schedule: Schedule.spaced("10 seconds") } }
    )
    yield* Durable.wait("cool-off", "1 minute")
    const { by } = yield* Durable.waitForCallback("approval", () => Effect.void, { ...Approval, timeout: "30 days" })
    return `${item}, ${paid}, approved by ${by}`
  }).pipe(Effect.catchTag("CallbackTimedOut", ({ kind }) => Effect.succeed(`${item}: ${kind}`)))

const real = Context.get(Context.empty(), Clock.Clock)

/** A second takes 10 ms. */
const timeScale = 0.01

const deployed = Effect.gen(function* () {
  const engine = yield* Engine.Engine
  const { url } = yield* Server.Server
  const handler = DurableHandler.make(Order, order, {
    layer: services,
    client: Layer.succeed(DurableExecutionClient.DurableExecutionClient, engine.client)
  })
  yield* engine.register("order-function", Engine.fromHandler(handler))
  return { url, client: DurableClient.layerEndpoint({ endpoint: url }) }
})

const engine = Layer.provideMerge(Server.layer, Engine.layer).pipe(
  Layer.provide([ExecutionStore.layerMemory, Timers.layerScaled({ timeScale })]),
  Layer.orDie
)

const cloud = Layer.unwrap(
  Effect.map(deployed, ({ client }) =>
    TestRunner.layerCloud({ functions: { order: "order-function:live" }, pollInterval: "20 millis", timeScale }).pipe(
      Layer.provide(client)
    )
  )
).pipe(Layer.provide(engine), Layer.fresh)

for (const [name, layer] of [
  ["layerMemory", TestRunner.layerMemory],
  ["layerCloud", cloud]
] as const) {
  describe(name, () => {
    const test = (title: string, run: () => Effect.Effect<void, unknown, TestRunner.TestRunner | Payments>) =>
      it.live(title, () => run().pipe(Effect.provide([layer, services])))

    test("an answer that is declared before, and everything that can be read", () =>
      Effect.gen(function* () {
        yield* TestRunner.onCallback("approval", Effect.delay(Effect.succeed({ by: "Ada" }), "5 seconds"), Approval)
        const execution = yield* TestRunner.start(Order, order, "tea")
        yield* execution.expect({
          result: "tea, paid at attempt 3, approved by Ada",
          status: "SUCCEEDED",
          operations: { pay: "SUCCEEDED", "cool-off": "SUCCEEDED", approval: "SUCCEEDED" },
          attempts: { pay: 3, approval: 1 },
          runs: { pay: 3 }
        })
        assert.strictEqual((yield* execution.operation("pay")).StepDetails?.Attempt, 3)
        assert.strictEqual((yield* execution.history)[0]?.EventType, "ExecutionStarted")
        assert.isAtLeast(yield* execution.invocations, 4)
        assert.match(yield* execution.timeline, /^ExecutionStarted "tea"\n[^]*ExecutionSucceeded "tea, paid/)
      }))

    test("an answer that logs, and asks for the time in every way", () =>
      Effect.gen(function* () {
        const answer = Effect.gen(function* () {
          yield* Effect.logDebug("the answer")
          const clock = yield* Clock.Clock
          const times = [
            yield* Clock.currentTimeMillis,
            clock.currentTimeMillisUnsafe(),
            clock.currentTimeNanosUnsafe(),
            clock.monotonicTimeNanosUnsafe()
          ]
          return { by: times.map((time) => typeof time).join() }
        })
        yield* TestRunner.onCallback("approval", answer, Approval)
        const execution = yield* TestRunner.start(Order, order, "tea")
        const by = "number,number,bigint,bigint"
        assert.strictEqual(yield* execution.result, `tea, paid at attempt 3, approved by ${by}`)
      }))

    test("an error of the callback's schema", () =>
      Effect.gen(function* () {
        yield* TestRunner.onCallback("approval", Exit.fail(new Refused({ why: "no money" })), Approval)
        const execution = yield* TestRunner.start(Order, order, "tea")
        yield* execution.expect({ error: new Refused({ why: "no money" }), status: "FAILED" })
      }))

    test("an answer when the test comes to it", () =>
      Effect.gen(function* () {
        const execution = yield* TestRunner.start(Order, order, "tea")
        const approval = yield* execution.callback("approval", Approval)
        yield* approval.succeed({ by: "Bob" })
        assert.strictEqual(yield* execution.result, "tea, paid at attempt 3, approved by Bob")
        const exit = yield* Effect.exit(execution.callback("approval"))
        assert(Exit.isFailure(exit))
        assert.match(String(Cause.squash(exit.cause)), /there is no callback "approval" to answer/)
      }))

    test("an answer that is declared while the execution runs, and a failure in words", () =>
      Effect.gen(function* () {
        const execution = yield* TestRunner.start(Order, order, "tea")
        yield* TestRunner.onCallback("approval", Effect.fail({ type: "OutOfOffice", message: "in Rome" }))
        const error = yield* Effect.flip(execution.result)
        assert.instanceOf(error, DurableError.CallbackFailed)
        assert.strictEqual(error.message, "in Rome")
      }))

    test("a failing assertion prints the timeline", () =>
      Effect.gen(function* () {
        yield* TestRunner.onCallback("approval", Effect.succeed({ by: "Ada" }), Approval)
        const execution = yield* TestRunner.start(Order, order, "tea")
        const exit = yield* Effect.exit(execution.expect({ result: "coffee", attempts: { pay: 1 } }))
        assert(Exit.isFailure(exit))
        const { message } = Cause.squash(exit.cause) as Error
        assert.match(message, /result: expected 'coffee', got 'tea, paid[^]*attempts of "pay": expected 1, got 3/)
        assert.match(message, /Timeline of order \(SUCCEEDED\):[^]*WaitStarted "cool-off" 60 s/)
      }))

    test("an answer that its own schema refuses is a mistake of the test", () =>
      Effect.gen(function* () {
        const wrong = { by: 7 } as unknown as { readonly by: string }
        yield* TestRunner.onCallback("approval", Effect.succeed(wrong), Approval)
        const execution = yield* TestRunner.start(Order, order, "tea")
        const exit = yield* Effect.exit(execution.result)
        assert(Exit.isFailure(exit))
        assert.match(String(Cause.squash(exit.cause)), /The answer to callback "approval" cannot be written/)
      }))

    test("an answer that is given twice", () =>
      Effect.gen(function* () {
        const execution = yield* TestRunner.start(Order, order, "tea")
        const approval = yield* execution.callback("approval", Approval)
        yield* approval.succeed({ by: "Bob" })
        const exit = yield* Effect.exit(approval.succeed({ by: "Ada" }))
        assert(Exit.isFailure(exit))
        const { message } = Cause.squash(exit.cause) as Error
        assert.match(message, /^The callback "approval" cannot be answered \(any more\): [^]*Timeline of order/)
        assert.match(yield* execution.result, /approved by Bob/)
      }))

    test("the name of an execution, and its stop", () =>
      Effect.gen(function* () {
        const execution = yield* TestRunner.start(Order, order, "tea", { executionName: "tea-1" })
        assert.include(execution.arn, "/durable-execution/tea-1/")
        yield* execution.callback("approval")
        yield* execution.stop({ ErrorType: "Cancelled", ErrorMessage: "by the customer" })
        yield* execution.expect({ status: "STOPPED" })
        assert.strictEqual((yield* Effect.flip(execution.result))._tag, "ExecutionStopped")
      }))
  })
}

describe("layerCloud", () => {
  it.live("asks again when the service is busy", () =>
    Effect.gen(function* () {
      const { client } = yield* deployed
      const real = Context.get(yield* Layer.build(client), DurableClient.DurableClient)
      const busy = (call: string) =>
        new DurableError.ClientFailed({
          call,
          errorName: "TooManyRequestsException",
          status: 429,
          reason: "Rate Exceeded.",
          transient: true
        })
      let asked = 0
      const every = <A, E>(call: string, effect: Effect.Effect<A, E>) =>
        Effect.suspend((): Effect.Effect<A, E | DurableError.ClientFailed> =>
          asked++ % 3 === 0 ? Effect.fail(busy(call)) : effect
        )
      const throttled = DurableClient.DurableClient.of({
        ...real,
        get: (arn) => every("GetDurableExecution", real.get(arn)),
        history: (arn, options) => every("GetDurableExecutionHistory", real.history(arn, options)),
        start: (options) => every("Invoke", real.start(options))
      })
      yield* Effect.gen(function* () {
        yield* TestRunner.onCallback("approval", Effect.succeed({ by: "Ada" }), Approval)
        const execution = yield* TestRunner.start(Order, order, "tea")
        assert.match(yield* execution.result, /approved by Ada/)
        yield* execution.expect({ status: "SUCCEEDED", attempts: { pay: 3 } })
      }).pipe(
        Effect.provide([
          Layer.provide(
            TestRunner.layerCloud({
              functions: { order: "order-function:live" },
              pollInterval: "20 millis",
              timeScale
            }),
            Layer.succeed(DurableClient.DurableClient, throttled)
          ),
          services
        ])
      )
    }).pipe(Effect.provide(engine, { local: true }))
  )

  it.live("goes on where AWS has added events and statuses since", () =>
    Effect.gen(function* () {
      const { client } = yield* deployed
      const real = Context.get(yield* Layer.build(client), DurableClient.DurableClient)
      const news = { EventType: "ExecutionResumed", EventId: 1_000_000 }
      const newer = DurableClient.DurableClient.of({
        ...real,
        get: (arn) =>
          Effect.map(real.get(arn), (described) =>
            described.Status === "RUNNING" ? { ...described, Status: "RESUMING" } : described
          ),
        history: (arn, options) => Effect.map(real.history(arn, options), ({ items }) => ({ items: [...items, news] }))
      })
      yield* Effect.gen(function* () {
        yield* TestRunner.onCallback("approval", Effect.succeed({ by: "Ada" }), Approval)
        const execution = yield* TestRunner.start(Order, order, "tea")
        assert.strictEqual(yield* execution.status, "RESUMING")
        assert.match(yield* execution.result, /approved by Ada/)
        yield* execution.expect({ status: "SUCCEEDED", attempts: { pay: 3 } })
        assert.strictEqual((yield* execution.history).at(-1)?.EventType, "ExecutionResumed")
        assert.match(yield* execution.timeline, /ExecutionResumed/)
      }).pipe(
        Effect.provide([
          Layer.provide(
            TestRunner.layerCloud({
              functions: { order: "order-function:live" },
              pollInterval: "20 millis",
              timeScale
            }),
            Layer.succeed(DurableClient.DurableClient, newer)
          ),
          services
        ])
      )
    }).pipe(Effect.provide(engine, { local: true }))
  )

  it.live("says which function is missing", () =>
    Effect.gen(function* () {
      const Other = DurableFunction.make("other", { payload: Schema.String })
      const exit = yield* Effect.exit(TestRunner.run(Other, () => Durable.wait("w", "1 second"), "x"))
      assert(Exit.isFailure(exit))
      assert.match(String(Cause.squash(exit.cause)), /no function is given for the definition "other"/)
    }).pipe(Effect.provide(cloud))
  )

  it.effect("does not wait for the test's clock", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Order, order, "tea")
      yield* TestRunner.advance("30 seconds")
      assert.strictEqual(yield* execution.status, "RUNNING")
      const approval = yield* execution.callback("approval", Approval)
      yield* approval.succeed({ by: "Bob" })
      assert.match(yield* execution.result, /Bob/)
    }).pipe(
      // the engine's time goes on: what is deployed knows nothing of a test's clock
      Effect.provide([Layer.provide(cloud, Layer.succeed(Clock.Clock, real)), services])
    )
  )
})

describe("histories over HTTP", () => {
  it.live("are replayed as the service answers them, with and without data, and saved to a folder", () =>
    Effect.gen(function* () {
      const { client, url } = yield* deployed
      const engine = yield* Engine.Engine
      yield* engine.subscribe(({ operations }) => {
        for (const { operation } of operations) {
          const id = operation.Status === "STARTED" ? operation.CallbackDetails?.CallbackId : undefined
          if (id !== undefined) Effect.runFork(engine.succeedCallback(id, '{"by":"Ada"}'))
        }
      })
      const arn = yield* engine.start({ functionName: "order-function:live", payload: '"tea"' })
      yield* engine.await(arn)
      const payload = ({ Name }: Protocol.Operation) => (Name === "approval" ? '{"by":"Ada"}' : undefined)
      for (const IncludeExecutionData of ["true", "false"]) {
        const at = `${url}/2025-12-01/durable-executions/${encodeURIComponent(arn)}/history`
        const response = yield* Effect.promise(() => fetch(`${at}?IncludeExecutionData=${IncludeExecutionData}`))
        const history = yield* Effect.promise(() => response.json())
        const verdict = yield* replayHistory(Order, order, history, { input: '"tea"', payload })
        assert.strictEqual(verdict._tag, "Replays", Replay.describe(verdict))
        assert.strictEqual(verdict.unknown.length > 0, IncludeExecutionData === "false")
      }
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "histories-"))
      const file = yield* Effect.provide(downloadHistory(folder, arn, { function: "order" }), client)
      const saved = JSON.parse(fs.readFileSync(file, "utf8")) as unknown
      fs.rmSync(folder, { recursive: true })
      yield* expectReplays(Order, order, saved)
    }).pipe(Effect.provide(engine))
  )
})
