import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as Engine from "../../src/engine/Engine.ts"
import * as Store from "../../src/engine/ExecutionStore.ts"
import * as Timers from "../../src/engine/Timers.ts"
import { errors, run } from "./kit.ts"
import * as raw from "./raw.ts"

describe("Engine: chained invokes", () => {
  const caller = raw.register("caller", (durable) =>
    Effect.map(
      durable.external({
        ...raw.start("i", "CHAINED_INVOKE"),
        Payload: JSON.stringify(durable.input),
        ChainedInvokeOptions: { FunctionName: String(durable.input), TenantId: "t" }
      }),
      ({ ChainedInvokeDetails, Status }) => ({ Status, ...ChainedInvokeDetails })
    )
  )
  const functions = Effect.gen(function* () {
    const engine = yield* Engine.Engine
    yield* caller
    yield* engine.registerPlain("echo", Effect.succeed)
    yield* engine.registerPlain("broken", () => Effect.die(new TypeError("broken")))
    yield* raw.register("waits", (durable) => Effect.as(durable.wait("w", 60), durable.input))
    yield* engine.register("fails", () => Effect.succeed({ Status: "FAILED", Error: { ErrorType: "E" } }))
    yield* raw.register("late", (durable) => durable.external(raw.start("c", "CALLBACK")), {
      executionTimeoutSeconds: 5
    })
  })
  const cases: ReadonlyArray<readonly [string, object, string]> = [
    ["echo", { Status: "SUCCEEDED", Result: '"echo"' }, "ChainedInvokeSucceeded"],
    ["broken", { Status: "FAILED", Error: { ErrorMessage: "broken", ErrorType: "TypeError" } }, "ChainedInvokeFailed"],
    ["waits:1", { Status: "SUCCEEDED", Result: '"waits:1"' }, "ChainedInvokeSucceeded"],
    ["fails:1", { Status: "FAILED", Error: { ErrorType: "E" } }, "ChainedInvokeFailed"],
    [
      "late:1",
      {
        Status: "TIMED_OUT",
        Error: { ErrorType: "ChainedInvoke.Timeout", ErrorMessage: "Execution timed out after 5 seconds." }
      },
      "ChainedInvokeTimedOut"
    ],
    [
      "waits",
      {
        Status: "FAILED",
        Error: {
          ErrorType: "InvalidParameterValueException",
          ErrorMessage: "You cannot invoke a durable function using an unqualified ARN."
        }
      },
      "ChainedInvokeFailed"
    ],
    [
      "nobody:1",
      {
        Status: "FAILED",
        Error: {
          ErrorType: "ResourceNotFoundException",
          ErrorMessage: "Function not found: arn:aws:lambda:us-east-1:123456789012:function:nobody:1"
        }
      },
      "ChainedInvokeFailed"
    ]
  ]
  it.effect.each(cases)("of %s", ([name, expected, event]) =>
    Effect.gen(function* () {
      yield* functions
      const { description, history } = yield* run("caller", JSON.stringify(name))
      assert.deepStrictEqual(JSON.parse(description.Result ?? ""), expected)
      assert.include(raw.types(history), event)
      const started = history[1]?.ChainedInvokeStartedDetails
      assert.strictEqual(started?.FunctionName, name)
      assert.strictEqual(started?.TenantId, "t")
      assert.deepStrictEqual(started?.Input, { Payload: JSON.stringify(name), Truncated: false })
    }).pipe(Effect.provide(Engine.layerSkipping))
  )
})

describe("Engine: restarts", () => {
  it.effect("carries on from the store: crashed invocations, overdue timers, callbacks", () =>
    Effect.gen(function* () {
      const store = yield* Store.ExecutionStore
      const engineOn = Engine.layer.pipe(
        Layer.provide([Layer.succeed(Store.ExecutionStore, store), Timers.layer]),
        Layer.fresh
      )
      const register = Effect.gen(function* () {
        yield* raw.register("wait", (durable) => durable.wait("w", 60))
        yield* raw.register("hangs", (durable) =>
          durable.operations.size > 1
            ? Effect.succeed("again")
            : Effect.andThen(durable.send([raw.start("s", "STEP")]), Effect.never)
        )
        return yield* Engine.Engine
      })
      const arns = yield* Effect.gen(function* () {
        const engine = yield* register
        const arns = yield* Effect.forEach(["wait:1", "hangs:1"], (functionName) => engine.start({ functionName }))
        yield* TestClock.adjust("10 seconds")
        return arns
      }).pipe(Effect.provide(engineOn))
      yield* TestClock.adjust("10 minutes")
      yield* Effect.gen(function* () {
        const engine = yield* register
        assert.strictEqual(yield* engine.recover, 2)
        yield* TestClock.adjust(0)
        const ends = yield* Effect.forEach(arns, engine.await)
        assert.deepStrictEqual(
          ends.map(({ Status }) => Status),
          ["SUCCEEDED", "SUCCEEDED"]
        )
        assert.deepStrictEqual(errors(yield* engine.history(arns[1] ?? "")), ["Runtime.ExitError"])
        const wait = (yield* engine.operations(arns[0] ?? ""))[1]
        assert.strictEqual(wait?.EndTimestamp, 60_000)
      }).pipe(Effect.provide(engineOn))
    }).pipe(Effect.provide(Store.layerMemory))
  )
})

describe("Engine: restarts of chained invokes", () => {
  it.effect("starts lost plain targets again, and hears of durable ones that ended", () =>
    Effect.gen(function* () {
      const store = yield* Store.ExecutionStore
      const engineOn = Engine.layer.pipe(
        Layer.provide([Layer.succeed(Store.ExecutionStore, store), Timers.layer]),
        Layer.fresh
      )
      let isUp = false
      const register = Effect.gen(function* () {
        const engine = yield* Engine.Engine
        yield* raw.register("caller", (durable) =>
          Effect.gen(function* () {
            const invoke = (Id: string, FunctionName: string) => ({
              ...raw.start(Id, "CHAINED_INVOKE"),
              Payload: JSON.stringify(Id),
              ChainedInvokeOptions: { FunctionName }
            })
            yield* Effect.exit(durable.external(invoke("p", "plain")))
            yield* Effect.exit(durable.external(invoke("d", "waits:1")))
            const p = yield* durable.external(invoke("p", "plain"))
            const d = yield* durable.external(invoke("d", "waits:1"))
            return [p.ChainedInvokeDetails?.Result, d.ChainedInvokeDetails?.Result]
          })
        )
        yield* engine.registerPlain("plain", (payload) => (isUp ? Effect.succeed(payload) : Effect.never))
        yield* raw.register("waits", (durable) => Effect.as(durable.wait("w", 60), durable.input))
        return engine
      })
      const arn = yield* Effect.gen(function* () {
        const engine = yield* register
        const arn = yield* engine.start({ functionName: "caller:1" })
        yield* TestClock.adjust("1 second")
        return arn
      }).pipe(Effect.provide(engineOn))
      isUp = true
      yield* Effect.gen(function* () {
        const engine = yield* register
        assert.strictEqual(yield* engine.recover, 2)
        yield* TestClock.adjust("1 minute")
        assert.strictEqual((yield* engine.await(arn)).Result, JSON.stringify(['"p"', '"d"']))
      }).pipe(Effect.provide(engineOn))
    }).pipe(Effect.provide(Store.layerMemory))
  )
})
