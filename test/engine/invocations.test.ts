import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as Engine from "../../src/engine/Engine.ts"
import * as Store from "../../src/engine/ExecutionStore.ts"
import * as Faults from "../../src/engine/Faults.ts"
import * as Timers from "../../src/engine/Timers.ts"
import { engineWith, errors, run, running, threeDays } from "./kit.ts"
import * as raw from "./raw.ts"

describe("Engine: invocations", () => {
  const failing = (errorTypeOf: (failure: number) => string) =>
    Effect.gen(function* () {
      const times: Array<number> = []
      yield* raw.register("fails", () =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          times.push(now)
          return times.length < 7
            ? Effect.fail(new Engine.InvocationError({ errorType: errorTypeOf(times.length), reason: "no" }))
            : Effect.succeed("done")
        })
      )
      const { arn, engine } = yield* running("fails")
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* engine.describe(arn)).Status, "SUCCEEDED")
      assert.deepStrictEqual(
        errors(yield* engine.history(arn)),
        Array.from({ length: 6 }, (_, i) => errorTypeOf(i + 1))
      )
      return times
    }).pipe(Effect.provide(Engine.layerMemory))

  it.effect("tries an invocation that throws, or takes too long, later and later", () =>
    Effect.gen(function* () {
      const later = [0, 1000, 3000, 7000, 15_000, 31_000, 63_000]
      assert.deepStrictEqual(yield* failing(() => "TypeError"), later)
    })
  )

  it.effect("that of a time-out, too", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* failing(() => "Sandbox.Timedout"), [0, 1000, 3000, 7000, 15_000, 31_000, 63_000])
    })
  )

  it.effect.each(["Runtime.ExitError", "Sandbox.SIGKILL", "Extension.Crash"])(
    "tries one of which the runtime has failed (%s) again: at once three times, then later and later",
    (errorType) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* failing(() => errorType), [0, 0, 0, 0, 1000, 3000, 7000])
      })
  )

  it.effect("and counts failures of both kinds", () =>
    Effect.gen(function* () {
      const mixed = [
        "TypeError",
        "Runtime.ExitError",
        "TypeError",
        "Runtime.ExitError",
        "Runtime.ExitError",
        "TypeError"
      ]
      const times = yield* failing((failure) => mixed[failure - 1]!)
      assert.deepStrictEqual(times, [0, 1000, 1000, 5000, 6000, 8000, 40_000])
    })
  )

  it.effect("or at once, when it is told that the function is mended", () =>
    Effect.gen(function* () {
      const times: Array<number> = []
      let isMended = false
      yield* raw.register("broken", (durable) =>
        Effect.flatMap(Clock.currentTimeMillis, (now) => {
          times.push(now)
          return isMended ? durable.wait("w", 60) : Effect.die(new RangeError("not yet"))
        })
      )
      const { arn, engine } = yield* running("broken")
      yield* TestClock.adjust("4 seconds")
      assert.deepStrictEqual(times, [0, 1000, 3000])
      yield* engine.retry("another")
      yield* TestClock.adjust(0)
      assert.lengthOf(times, 3)
      isMended = true
      yield* engine.retry("broken:1")
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(times, [0, 1000, 3000, 4000])
      // what waits for something else is left alone, and the try that was due does not come any more
      yield* engine.retry("broken")
      yield* TestClock.adjust("59 seconds")
      assert.lengthOf(times, 4)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* engine.describe(arn)).Status, "SUCCEEDED")
      assert.lengthOf(times, 5)
    }).pipe(Effect.provide(Engine.layerMemory))
  )

  it.effect("gives up when the execution's time is over", () =>
    Effect.gen(function* () {
      yield* raw.register("always", () => Effect.die(new RangeError("never")))
      const { description, history } = yield* run("always")
      assert.deepStrictEqual(
        [description.Status, description.Error?.ErrorMessage],
        ["TIMED_OUT", "Execution timed out after 31622400 seconds."]
      )
      assert.isTrue(errors(history).length > 300)
      assert.strictEqual(history.at(-1)?.EventType, "ExecutionTimedOut")
    }).pipe(Effect.provide(Engine.layerSkipping))
  )

  it.effect("or after as many retries as it is told to", () =>
    Effect.gen(function* () {
      yield* raw.register("always", () => Effect.die(new RangeError("never")))
      const { description, history } = yield* run("always")
      assert.deepStrictEqual(
        [description.Status, description.Error],
        ["FAILED", { ErrorType: "RangeError", ErrorMessage: "never" }]
      )
      assert.deepStrictEqual(errors(history), ["RangeError", "RangeError", "RangeError"])
    }).pipe(Effect.provide(engineWith({ retry: { retries: 2 } }, Timers.layerSkipping)))
  )

  const answers: ReadonlyArray<readonly [unknown, string]> = [
    [{ Status: "DONE" }, "Invalid Status in invocation output."],
    [null, "Invalid Status in invocation output."],
    [{ Status: "SUCCEEDED", Result: "1", Error: {} }, "Cannot provide an Error for SUCCEEDED status."],
    [{ Status: "FAILED", Result: "1" }, "Cannot provide a Result for FAILED status."],
    [{ Status: "PENDING" }, "Cannot return PENDING status with no pending operations."]
  ]
  it.effect.each(answers)("refuses the answer %j", ([answer, reason]) =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      yield* engine.register("answers", () => Effect.succeed(answer))
      const { description, history } = yield* run("answers")
      assert.strictEqual(description.Status, "FAILED")
      assert.deepStrictEqual(history[1]?.InvocationCompletedDetails?.Error?.Payload, {
        ErrorType: "InvalidParameterValueException",
        ErrorMessage: reason
      })
    }).pipe(Effect.provide(engineWith({ retry: { retries: 0 } }, Timers.layerSkipping)))
  )

  it.effect.each([
    { Status: "SUCCEEDED", Result: "x".repeat(6 * 1024 * 1024) },
    { Status: "FAILED", Error: { ErrorMessage: "x".repeat(6 * 1024 * 1024) } }
  ])("refuses an answer ($Status) that is larger than Lambda's", (answer) =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      yield* engine.register("answers", () => Effect.succeed(answer))
      const { description } = yield* run("answers")
      assert.deepStrictEqual(
        [description.Status, description.Error],
        [
          "FAILED",
          {
            ErrorType: "Function.ResponseSizeTooLarge",
            ErrorMessage: "Response payload size exceeded maximum allowed payload size (6291556 bytes)."
          }
        ]
      )
    }).pipe(Effect.provide(engineWith({ retry: { retries: 0 } }, Timers.layerSkipping)))
  )

  it.effect("ends an invocation that takes too long, with its own context", () =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      const remaining: Array<number> = []
      yield* engine.register(
        "slow",
        (_, context) =>
          Effect.suspend(() => {
            remaining.push(context.getRemainingTimeInMillis())
            assert.strictEqual(context.invokedFunctionArn, "arn:aws:lambda:us-east-1:123456789012:function:slow:7")
            return remaining.length === 1 ? Effect.never : Effect.succeed({ Status: "SUCCEEDED" })
          }),
        { invocationTimeoutSeconds: 5 }
      )
      const arn = yield* engine.start({ functionName: "slow:7" })
      yield* TestClock.adjust("6 seconds")
      assert.deepStrictEqual(remaining, [5000, 5000])
      assert.deepStrictEqual(errors(yield* engine.history(arn)), ["Sandbox.Timedout"])
      assert.strictEqual((yield* engine.describe(arn)).Status, "SUCCEEDED")
    }).pipe(Effect.provide(Engine.layerMemory))
  )

  it.effect("ends executions that are stopped or out of time; what runs on is refused", () =>
    Effect.gen(function* () {
      const refused: Array<string> = []
      yield* raw.register(
        "stuck",
        (durable) =>
          Effect.gen(function* () {
            yield* durable.send([raw.start("c", "CALLBACK")])
            yield* Effect.sleep("1 minute")
            yield* Effect.catch(durable.send([]), (failure) => Effect.sync(() => refused.push(failure.reason)))
          }),
        { executionTimeoutSeconds: 30 }
      )
      const { arn, engine, types } = yield* running("stuck")
      yield* TestClock.adjust("30 seconds")
      const description = yield* engine.await(arn)
      assert.deepStrictEqual(
        [description.Status, description.Error?.ErrorMessage],
        ["TIMED_OUT", "Execution timed out after 30 seconds."]
      )
      const other = yield* running("stuck")
      const at = yield* engine.stop(other.arn, { ErrorType: "Boring" })
      assert.strictEqual(yield* engine.stop(other.arn), at)
      assert.deepStrictEqual((yield* engine.describe(other.arn)).Error, { ErrorType: "Boring" })
      assert.strictEqual((yield* engine.operations(other.arn))[1]?.Status, "STARTED")
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(refused, ["Invalid checkpoint token", "Invalid checkpoint token"])
      assert.deepStrictEqual((yield* types).slice(-2), ["ExecutionTimedOut", "InvocationCompleted"])
      assert.strictEqual((yield* Effect.flip(engine.stop("arn:none"))).errorName, "ResourceNotFoundException")
    }).pipe(Effect.provide(Engine.layerMemory))
  )
})

describe("Engine: starting", () => {
  it.effect("and stopping at once: nothing is invoked, not even what was just about to be", () =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      let invocations = 0
      yield* engine.register("f", () => Effect.sync(() => void invocations++))
      const arn = yield* engine.start({ functionName: "f:1" })
      yield* engine.stop(arn)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(invocations, 0)
      assert.deepStrictEqual(raw.types(yield* engine.history(arn)), ["ExecutionStarted", "ExecutionStopped"])
      assert.strictEqual((yield* engine.await(arn)).Status, "STOPPED")
    }).pipe(Effect.provide(Engine.layerMemory))
  )

  it.effect("goes on with what is being stored when its caller goes away", () =>
    Effect.gen(function* () {
      const store = Context.get(yield* Layer.build(Layer.fresh(Store.layerMemory)), Store.ExecutionStore)
      const slow: Store.ExecutionStore["Service"] = {
        ...store,
        commit: (commit) => Effect.andThen(Effect.sleep("1 second"), store.commit(commit))
      }
      yield* Effect.gen(function* () {
        const engine = yield* Engine.Engine
        yield* engine.register("f", () => Effect.succeed({ Status: "SUCCEEDED" }))
        const caller = yield* Effect.forkChild(engine.start({ functionName: "f:1" }), { startImmediately: true })
        yield* Effect.forkChild(Fiber.interrupt(caller), { startImmediately: true })
        yield* TestClock.adjust("1 minute")
        const [execution] = yield* engine.list()
        assert.strictEqual(execution?.Status, "SUCCEEDED")
      }).pipe(
        Effect.provide(Layer.provide(Engine.layer, [Layer.succeed(Store.ExecutionStore, slow), Timers.layer]), {
          local: true
        })
      )
    })
  )

  it.effect("finds the execution of a name, whether it runs or not", () =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      yield* threeDays
      const start = (payload: string, executionName = "one") =>
        engine.start({ functionName: "three-days:$LATEST", executionName, payload })
      const [first, second] = yield* Effect.all([start("1"), start("1")], { concurrency: "unbounded" })
      assert.strictEqual(first, second)
      const conflict = yield* Effect.flip(start("2"))
      assert.deepStrictEqual(
        [conflict.errorName, conflict.status, conflict.reason],
        ["DurableExecutionAlreadyStartedException", 409, `Execution already started: ${first}`]
      )
      yield* engine.await(first)
      assert.strictEqual(yield* start("1"), first)
      assert.strictEqual((yield* Effect.flip(start("2"))).status, 409)
      assert.notStrictEqual(yield* start("2", "two"), first)
      assert.strictEqual((yield* Effect.flip(start("1", "a b"))).errorName, "ValidationException")
      assert.strictEqual((yield* engine.list({ name: "one" })).length, 1)
    }).pipe(Effect.provide(Engine.layerSkipping))
  )

  it.effect("wants a known, durable function and a qualified name", () =>
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      yield* threeDays
      yield* engine.registerPlain("plain", Effect.succeed)
      const refusal = (functionName: string) =>
        Effect.map(Effect.flip(engine.start({ functionName })), ({ reason }) => reason)
      assert.strictEqual(yield* refusal("three-days"), "You cannot invoke a durable function using an unqualified ARN.")
      assert.strictEqual(
        yield* refusal("x:1"),
        "Function not found: arn:aws:lambda:us-east-1:123456789012:function:x:1"
      )
      assert.include(yield* refusal("plain:1"), "not a durable function")
      yield* engine.start({ functionName: "arn:aws:lambda:eu-west-1:123456789012:function:three-days:live" })
    }).pipe(Effect.provide(Engine.layerSkipping))
  )
})

describe("Engine: faults", () => {
  const steps = raw.register("steps", (durable) =>
    Effect.gen(function* () {
      const a = yield* durable.step("a", Effect.succeed(1))
      const b = yield* durable.step("b", Effect.succeed(2))
      return a + b
    })
  )
  const cases: ReadonlyArray<readonly [Faults.Fault, ReadonlyArray<string>, number]> = [
    ["DropResponse", ["ServiceCallFailed"], 1],
    ["StaleToken", ["ServiceCallFailed"], 2],
    ["Throttle", ["ServiceCallFailed"], 2],
    ["ServerError", ["ServiceCallFailed"], 2],
    ["CrashBefore", ["Runtime.ExitError"], 2],
    ["CrashAfter", ["Runtime.ExitError"], 1]
  ]
  it.effect.each(cases)("survives %s", ([fault, expected, callsAfter]) => {
    const seen: Array<Faults.Call> = []
    return Effect.gen(function* () {
      yield* steps
      const { description, history } = yield* run("steps")
      assert.strictEqual(description.Result, "3")
      assert.deepStrictEqual(errors(history), expected)
      assert.strictEqual(seen.filter(({ invocation }) => invocation === 2).length, callsAfter)
      assert.strictEqual(raw.types(history).filter((type) => type === "StepSucceeded").length, 2)
    }).pipe(
      Effect.provide(Engine.layerSkipping),
      Effect.provideService(Faults.Faults, (call) =>
        Effect.sync(() => {
          seen.push(call)
          return call.call === 1 ? fault : undefined
        })
      )
    )
  })
})
