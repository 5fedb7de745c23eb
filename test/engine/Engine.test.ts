import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as DurableExecutionClient from "../../src/DurableExecutionClient.ts"
import * as Engine from "../../src/engine/Engine.ts"
import * as Timers from "../../src/engine/Timers.ts"
import { days, engineWith, errors, run, running, threeDays } from "./kit.ts"
import * as raw from "./raw.ts"

describe("Engine: time", () => {
  it.effect("runs steps and waits as the service does, and writes its history", () =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      yield* threeDays
      const arn = yield* engine.start({ functionName: "three-days:$LATEST", payload: '"x"', executionName: "one" })
      assert.match(
        arn,
        /^arn:aws:lambda:us-east-1:123456789012:function:three-days:\$LATEST\/durable-execution\/one\/[0-9a-f-]{36}$/
      )
      const end = yield* Effect.forkChild(engine.await(arn))
      yield* TestClock.adjust(3 * days * 1000 - 1)
      assert.strictEqual((yield* engine.describe(arn)).Status, "RUNNING")
      yield* TestClock.adjust(1)
      const result = yield* Fiber.join(end)
      assert.strictEqual(result.Status, "SUCCEEDED")
      assert.strictEqual(result.Result, '"computed"')
      const history = yield* engine.history(arn)
      assert.deepStrictEqual(raw.types(history), [
        "ExecutionStarted",
        "StepStarted",
        "StepSucceeded",
        "WaitStarted",
        "InvocationCompleted",
        "WaitSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded"
      ])
      assert.deepStrictEqual(
        history.map(({ EventId }) => EventId),
        [1, 2, 3, 4, 5, 6, 7, 8]
      )
      assert.deepStrictEqual(history[0]?.ExecutionStartedDetails, {
        Input: { Payload: '"x"', Truncated: false },
        ExecutionTimeout: 31_622_400
      })
      assert.deepStrictEqual(history[2]?.StepSucceededDetails, {
        Result: { Payload: '"computed"', Truncated: false },
        RetryDetails: { CurrentAttempt: 1 }
      })
      assert.deepStrictEqual(history[3]?.WaitStartedDetails, {
        Duration: 3 * days,
        ScheduledEndTimestamp: 3 * days * 1000
      })
      assert.deepStrictEqual(history[5]?.WaitSucceededDetails, { Duration: 3 * days })
      const wait = (yield* engine.operations(arn)).find(({ Id }) => Id === "w")
      assert.strictEqual(wait?.EndTimestamp, 3 * days * 1000)
    }).pipe(Effect.provide(Engine.layerMemory))
  )

  it.effect("skips three days in no time, a thousand executions at once, beside a clock that stands still", () =>
    Effect.gen(function* () {
      yield* threeDays
      const ends = yield* Effect.forEach(Array.from({ length: 1000 }), () => run("three-days"), {
        concurrency: "unbounded"
      })
      assert.isTrue(ends.every(({ description }) => description.Status === "SUCCEEDED"))
      assert.isTrue(
        ends.every(
          ({ description: { EndTimestamp = 0, StartTimestamp } }) => EndTimestamp - StartTimestamp >= 3 * days * 1000
        )
      )
    }).pipe(Effect.provide(Engine.layerSkipping))
  )

  it.effect("does not skip while an invocation runs or a test holds, and shows its time to the function", () =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      const seen: Array<number> = []
      yield* raw.register("skip", (durable) =>
        Effect.gen(function* () {
          seen.push(yield* Clock.currentTimeMillis)
          if (!durable.operations.has("w")) {
            yield* durable.send([{ ...raw.start("w", "WAIT"), WaitOptions: { WaitSeconds: days } }])
            yield* Effect.sleep(20) // real time, also beside a clock that stands still
            const { NewExecutionState } = yield* durable.send([])
            assert.deepStrictEqual(NewExecutionState?.Operations, [])
          }
          yield* durable.wait("w", days)
        })
      )
      yield* raw.register("held", (durable) =>
        durable.external({ ...raw.start("c", "CALLBACK"), CallbackOptions: { TimeoutSeconds: 1 } })
      )
      yield* run("skip")
      assert.strictEqual(seen.length, 2)
      assert.isTrue(seen[1]! - seen[0]! >= days * 1000)
      const answered = yield* engine.hold(
        Effect.gen(function* () {
          const arn = yield* engine.start({ functionName: "held:1" })
          for (let i = 0; i < 20; i++) yield* Effect.yieldNow
          const [, callback] = yield* engine.operations(arn)
          yield* engine.succeedCallback(callback?.CallbackDetails?.CallbackId ?? "")
          return arn
        })
      )
      assert.include((yield* engine.await(answered)).Result ?? "", '"Status":"SUCCEEDED"')
      assert.include((yield* run("held")).description.Result ?? "", "Callback.Timeout")
    }).pipe(Effect.provide(Engine.layerSkipping))
  )

  it.effect("scales durations, not timestamps", () =>
    Effect.gen(function* () {
      yield* threeDays
      const { arn, engine } = yield* running("three-days")
      yield* TestClock.adjust(3 * days * 100)
      const wait = (yield* engine.operations(arn)).find(({ Id }) => Id === "w")
      assert.deepStrictEqual([wait?.Status, wait?.EndTimestamp], ["SUCCEEDED", 3 * days * 100])
      assert.strictEqual((yield* engine.describe(arn)).Status, "SUCCEEDED")
    }).pipe(Effect.provide(engineWith({}, Timers.layerScaled({ timeScale: 0.1 }))))
  )

  it.effect("completes what is due at one instant together, and tells the next invocation", () =>
    Effect.gen(function* () {
      const updated: Array<ReadonlyArray<string>> = []
      yield* raw.register("many", (durable) =>
        Effect.gen(function* () {
          updated.push(durable.event.UpdatedOperationIds)
          yield* Effect.forEach(["a", "b", "c"], (id) => Effect.exit(durable.wait(id, 60)))
          yield* durable.wait("c", 60)
        })
      )
      const { types } = yield* running("many")
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(updated, [[], ["a", "b", "c"]])
      assert.deepStrictEqual((yield* types).slice(-5), [
        "WaitSucceeded",
        "WaitSucceeded",
        "WaitSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded"
      ])
    }).pipe(Effect.provide(Engine.layerMemory))
  )

  it.effect("cancels a wait", () =>
    Effect.gen(function* () {
      yield* raw.register("cancel", (durable) =>
        Effect.gen(function* () {
          yield* durable.send([{ ...raw.start("w", "WAIT"), WaitOptions: { WaitSeconds: 60 } }])
          yield* durable.send([{ Id: "w", Type: "WAIT", Action: "CANCEL" }])
          return durable.operations.get("w")?.Status
        })
      )
      const { description, history } = yield* run("cancel")
      assert.strictEqual(description.Result, '"CANCELLED"')
      assert.include(raw.types(history), "WaitCancelled")
    }).pipe(Effect.provide(Engine.layerSkipping))
  )
})

describe("Engine: steps", () => {
  it.effect("counts attempts, keeps the error until the next START, and every attempt has its events", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      yield* raw.register("retries", (durable) =>
        Effect.gen(function* () {
          const known = durable.operations.get("s")
          seen.push([known?.Status, known?.StepDetails])
          const attempt = (known?.StepDetails?.Attempt ?? 0) + 1
          yield* durable.send([raw.start("s", "STEP")])
          seen.push(durable.operations.get("s")?.StepDetails)
          if (attempt < 3) {
            yield* durable.send([
              {
                Id: "s",
                Type: "STEP",
                Action: "RETRY",
                Error: { ErrorType: "E" },
                StepOptions: { NextAttemptDelaySeconds: attempt }
              }
            ])
            return yield* new raw.Suspended()
          }
          return yield* durable.step("s", Effect.succeed(1))
        })
      )
      const { history } = yield* run("retries")
      assert.deepStrictEqual(seen, [
        [undefined, undefined],
        { Attempt: 0 },
        ["READY", { Attempt: 1, Error: { ErrorType: "E" } }],
        { Attempt: 1 },
        ["READY", { Attempt: 2, Error: { ErrorType: "E" } }],
        { Attempt: 2 }
      ])
      assert.deepStrictEqual(
        history.flatMap(
          (event) => event.StepFailedDetails?.RetryDetails ?? event.StepSucceededDetails?.RetryDetails ?? []
        ),
        [
          { CurrentAttempt: 1, NextAttemptDelaySeconds: 1 },
          { CurrentAttempt: 2, NextAttemptDelaySeconds: 2 },
          { CurrentAttempt: 3 }
        ]
      )
      assert.deepStrictEqual(raw.types(history), [
        "ExecutionStarted",
        "StepStarted",
        "StepFailed",
        "InvocationCompleted",
        "StepStarted",
        "StepFailed",
        "InvocationCompleted",
        "StepStarted",
        "StepSucceeded",
        "InvocationCompleted",
        "ExecutionSucceeded"
      ])
    }).pipe(Effect.provide(Engine.layerSkipping))
  )

  it.effect("keeps the state of a condition as a success that is tried again", () =>
    Effect.gen(function* () {
      yield* raw.register("condition", (durable) =>
        Effect.gen(function* () {
          const known = durable.operations.get("s")
          if (known !== undefined) return known.StepDetails
          yield* durable.send([
            raw.start("s", "STEP"),
            { Id: "s", Type: "STEP", Action: "RETRY", Payload: "7", StepOptions: { NextAttemptDelaySeconds: 2 } }
          ])
          return yield* new raw.Suspended()
        })
      )
      const { description, history } = yield* run("condition")
      assert.strictEqual(description.Result, '{"Attempt":1,"Result":"7"}')
      assert.deepStrictEqual(history[2]?.StepSucceededDetails, {
        Result: { Payload: "7", Truncated: false },
        RetryDetails: { CurrentAttempt: 1, NextAttemptDelaySeconds: 2 }
      })
    }).pipe(Effect.provide(Engine.layerSkipping))
  )
})

describe("Engine: callbacks", () => {
  const timeout = (TimeoutSeconds: number, HeartbeatTimeoutSeconds: number) =>
    raw.register("callback", (durable) =>
      Effect.map(
        durable.external({
          ...raw.start("c", "CALLBACK"),
          CallbackOptions: { TimeoutSeconds, HeartbeatTimeoutSeconds }
        }),
        ({ CallbackDetails, Status }) => ({ Status, Result: CallbackDetails?.Result, Error: CallbackDetails?.Error })
      )
    )
  const outcome = (engine: Engine.Engine["Service"], arn: string) =>
    Effect.map(engine.describe(arn), ({ Result }) => JSON.parse(Result ?? "null"))

  it.effect("completes once, with text that need not be JSON", () =>
    Effect.gen(function* () {
      yield* timeout(0, 0)
      const { arn, callback, engine, types } = yield* running("callback")
      const id = yield* callback
      assert.match(id, /^[A-Za-z0-9+/]+={0,2}$/)
      yield* engine.succeedCallback(id, "not json")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* outcome(engine, arn), { Status: "SUCCEEDED", Result: "not json" })
      assert.deepStrictEqual((yield* types).slice(1, 5), [
        "CallbackStarted",
        "InvocationCompleted",
        "CallbackSucceeded",
        "InvocationCompleted"
      ])
      const late = yield* Effect.flip(engine.failCallback(id))
      assert.deepStrictEqual(
        [late.errorName, late.status, late.reason],
        ["CallbackTimeoutException", 400, "The callback is either timed out or already completed"]
      )
      for (const garbage of ["garbage", "", "%%"]) {
        assert.strictEqual((yield* Effect.flip(engine.succeedCallback(garbage))).reason, "Invalid callback id")
      }
    }).pipe(Effect.provide(Engine.layerMemory))
  )

  it.effect("fails with what the outside says", () =>
    Effect.gen(function* () {
      yield* timeout(0, 0)
      const { arn, callback, engine } = yield* running("callback")
      yield* engine.failCallback(yield* callback, { ErrorType: "Rejected", ErrorMessage: "not approved" })
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* outcome(engine, arn), {
        Status: "FAILED",
        Error: { ErrorType: "Rejected", ErrorMessage: "not approved" }
      })
    }).pipe(Effect.provide(Engine.layerMemory))
  )

  it.effect("times out", () =>
    Effect.gen(function* () {
      yield* timeout(10, 20)
      const { arn, callback, engine } = yield* running("callback")
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* outcome(engine, arn), {
        Status: "TIMED_OUT",
        Error: { ErrorType: "Callback.Timeout", ErrorMessage: "Callback timed out" }
      })
      assert.strictEqual(
        (yield* Effect.flip(engine.heartbeatCallback(yield* callback))).errorName,
        "CallbackTimeoutException"
      )
    }).pipe(Effect.provide(Engine.layerMemory))
  )

  it.effect("lives as long as it beats", () =>
    Effect.gen(function* () {
      yield* timeout(0, 10)
      const { arn, callback, engine } = yield* running("callback")
      const id = yield* callback
      yield* TestClock.adjust("9 seconds")
      yield* engine.heartbeatCallback(id)
      yield* TestClock.adjust("9 seconds")
      assert.strictEqual((yield* engine.describe(arn)).Status, "RUNNING")
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* outcome(engine, arn), {
        Status: "TIMED_OUT",
        Error: { ErrorType: "Callback.Heartbeat", ErrorMessage: "Callback timed out on heartbeat" }
      })
    }).pipe(Effect.provide(Engine.layerMemory))
  )

  it.effect("that ends during the invocation wakes it again, unless the invocation has heard of it", () =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      let invocations = 0
      yield* raw.register("early", (durable) =>
        Effect.gen(function* () {
          invocations += 1
          if (durable.operations.size > 1) return durable.operations.get("c")?.Status
          yield* durable.send([raw.start("c", "CALLBACK")])
          yield* Effect.orDie(engine.succeedCallback(durable.operations.get("c")?.CallbackDetails?.CallbackId ?? ""))
          return yield* new raw.Suspended()
        })
      )
      const { description } = yield* run("early")
      assert.deepStrictEqual([description.Result, invocations], ['"SUCCEEDED"', 2])
    }).pipe(Effect.provide(Engine.layerMemory))
  )
})

describe("Engine: services", () => {
  it.effect("is the client of what runs in this process", () =>
    Effect.gen(function* () {
      const client = yield* DurableExecutionClient.DurableExecutionClient
      const failure = yield* Effect.flip(
        client.getExecutionState({
          DurableExecutionArn: "arn:none",
          CheckpointToken: "x",
          Marker: "",
          MaxItems: 1
        })
      )
      assert.deepStrictEqual(
        [failure.call, failure.scope, failure.status],
        ["GetDurableExecutionState", "invocation", 400]
      )
    }).pipe(Effect.provide(Layer.provide(Engine.layerClient, Engine.layerMemory)))
  )

  it.effect("tells listeners what has been stored", () =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      yield* threeDays
      const seen: Array<string> = []
      yield* engine.subscribe(({ events }) => void seen.push(...raw.types(events)))
      const { history } = yield* run("three-days")
      assert.deepStrictEqual(seen, raw.types(history))
    }).pipe(Effect.provide(Engine.layerSkipping))
  )
})

describe("Engine: Lambda handlers", () => {
  it.effect("runs an async handler, and names what it throws", () =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      let calls = 0
      yield* engine.register(
        "async",
        Engine.fromHandler(async (event, context) => {
          calls += 1
          if (calls === 1) throw new TypeError("once")
          return { Status: "SUCCEEDED", Result: JSON.stringify([Object.keys(event as object), context.functionName]) }
        })
      )
      const { description, history } = yield* run("async")
      assert.strictEqual(
        description.Result,
        '[["DurableExecutionArn","CheckpointToken","InitialExecutionState","UpdatedOperationIds"],"async"]'
      )
      assert.deepStrictEqual(errors(history), ["TypeError"])
    }).pipe(Effect.provide(Engine.layerSkipping))
  )

  it.effect("interrupts what still runs when the engine closes", () =>
    Effect.gen(function* () {
      let interrupted = false
      yield* Effect.gen(function* () {
        const engine = yield* Engine.Engine
        yield* engine.register("forever", () =>
          Effect.onInterrupt(Effect.never, () => Effect.sync(() => void (interrupted = true)))
        )
        yield* running("forever")
      }).pipe(Effect.provide(Engine.layerMemory))
      assert.isTrue(interrupted)
    })
  )
})
