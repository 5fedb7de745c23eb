import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as Engine from "../../src/engine/Engine.ts"
import * as Store from "../../src/engine/ExecutionStore.ts"
import * as Timers from "../../src/engine/Timers.ts"
import type * as Protocol from "../../src/Protocol.ts"
import { errors, run, stores } from "./kit.ts"
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

/** Engines one after the other on one store, each with its functions; time is the test's. */
const restarting = Effect.fnUntraced(function* (store: (typeof stores)[number][1]) {
  const open = yield* store
  return <A, E, R>(life: Effect.Effect<A, E, R>) =>
    Effect.provide(life, Engine.layer.pipe(Layer.provide([open(), Timers.layer]), Layer.fresh))
})

const steps = (operations: ReadonlyArray<Protocol.Operation>) => operations.slice(1).map(({ Status }) => Status)

describe.each(stores)("Engine: restarts on %s", (_, store) => {
  it.effect("carries on from the store: crashed invocations, overdue timers", () =>
    Effect.gen(function* () {
      const engineLife = yield* restarting(store)
      const register = Effect.gen(function* () {
        yield* raw.register("wait", (durable) => durable.wait("w", 60))
        yield* raw.register("hangs", (durable) =>
          durable.operations.size > 1
            ? Effect.succeed("again")
            : Effect.andThen(durable.send([raw.start("s", "STEP")]), Effect.never)
        )
        return yield* Engine.Engine
      })
      const arns = yield* engineLife(
        Effect.gen(function* () {
          const engine = yield* register
          const arns = yield* Effect.forEach(["wait:1", "hangs:1"], (functionName) => engine.start({ functionName }))
          yield* TestClock.adjust("10 seconds")
          return arns
        })
      )
      yield* TestClock.adjust("10 minutes")
      yield* engineLife(
        Effect.gen(function* () {
          const engine = yield* register
          assert.strictEqual(yield* engine.recover, 2)
          assert.strictEqual(yield* engine.recover, 0)
          yield* TestClock.adjust(0)
          const ends = yield* Effect.forEach(arns, (arn) => engine.await(arn))
          assert.deepStrictEqual(
            ends.map(({ Status }) => Status),
            ["SUCCEEDED", "SUCCEEDED"]
          )
          assert.deepStrictEqual(errors(yield* engine.history(arns[1] ?? "")), ["Runtime.ExitError"])
          const wait = (yield* engine.operations(arns[0] ?? ""))[1]
          assert.strictEqual(wait?.EndTimestamp, 60_000)
        })
      )
    })
  )

  it.effect("hands on what an invoked function has given, also when that function is not there any more", () =>
    Effect.gen(function* () {
      const open = yield* store
      const engineLife = <A, E, R>(life: Effect.Effect<A, E, R>) =>
        Effect.provide(life, Engine.layer.pipe(Layer.provide([open(), Timers.layer]), Layer.fresh))
      const asks = raw.register("asks", (durable) =>
        Effect.map(
          durable.external({
            ...raw.start("c", "CHAINED_INVOKE"),
            ChainedInvokeOptions: { FunctionName: "child:1" }
          }),
          ({ ChainedInvokeDetails }) => ChainedInvokeDetails?.Result
        )
      )
      const [parent, stopped] = yield* engineLife(
        Effect.gen(function* () {
          const engine = yield* Engine.Engine
          yield* asks
          yield* raw.register("child", (durable) => durable.wait("w", 3600))
          const arns = yield* Effect.all([
            engine.start({ functionName: "asks:1" }),
            engine.start({ functionName: "asks:1" })
          ])
          yield* TestClock.adjust("1 second")
          return arns
        })
      )
      // the process ends when the end of the first child is stored, and nobody has been told
      yield* Effect.provide(
        Effect.gen(function* () {
          const service = yield* Store.ExecutionStore
          const [record] = (yield* service.list({ functionName: "child" }, { reverse: true })) ?? []
          yield* service.commit({
            execution: { ...record!, status: "SUCCEEDED", result: "7", endedAt: record!.stamp + 1 },
            operations: [],
            events: []
          })
        }),
        open(),
        { local: true }
      )
      yield* engineLife(
        Effect.gen(function* () {
          const engine = yield* Engine.Engine
          yield* asks
          yield* engine.recover
          yield* TestClock.adjust("1 second")
          assert.deepInclude(yield* engine.describe(parent), { Status: "SUCCEEDED", Result: '"7"' })
          yield* engine.stop(stopped)
          let children = 0
          yield* raw.register("child", () => Effect.sync(() => children++))
          yield* TestClock.adjust("2 hours")
          assert.isAtMost(children, 1) // that of the one that was stopped goes on by itself, and no other is started
          assert.lengthOf(yield* engine.list({ functionName: "child" }), 2)
        })
      )
    })
  )

  it.effect("invokes once the function is registered, and not before", () =>
    Effect.gen(function* () {
      const engineLife = yield* restarting(store)
      const register = raw.register("wait", (durable) => Effect.as(durable.wait("w", 60), "done"))
      const arn = yield* engineLife(
        Effect.gen(function* () {
          yield* register
          const arn = yield* (yield* Engine.Engine).start({ functionName: "wait:1" })
          yield* TestClock.adjust("1 second")
          return arn
        })
      )
      yield* engineLife(
        Effect.gen(function* () {
          const engine = yield* Engine.Engine
          assert.strictEqual(yield* engine.recover, 1)
          yield* TestClock.adjust("1 day")
          assert.deepStrictEqual(steps(yield* engine.operations(arn)), ["SUCCEEDED"]) // time goes on without it
          assert.strictEqual((yield* engine.describe(arn)).Status, "RUNNING")
          yield* register
          yield* TestClock.adjust(0)
          assert.strictEqual((yield* engine.await(arn)).Result, '"done"')
          assert.deepStrictEqual(errors(yield* engine.history(arn)), [])
        })
      )
    })
  )

  it.effect("keeps what runs by itself: delays of steps, callbacks and their timeouts, timeouts of executions", () =>
    Effect.gen(function* () {
      const engineLife = yield* restarting(store)
      const register = Effect.gen(function* () {
        yield* raw.register("retries", (durable) =>
          Effect.gen(function* () {
            const known = durable.operations.get("s")
            if (known?.Status === "READY") return yield* durable.step("s", Effect.succeed("second"))
            if (known === undefined) {
              yield* durable.send([
                raw.start("s", "STEP"),
                { Id: "s", Type: "STEP", Action: "RETRY", StepOptions: { NextAttemptDelaySeconds: 60 } }
              ])
            }
            return yield* new raw.Suspended()
          })
        )
        const asks = (CallbackOptions: Protocol.OperationUpdate["CallbackOptions"]) => (durable: raw.Durable) =>
          Effect.map(
            durable.external({ ...raw.start("c", "CALLBACK"), ...(CallbackOptions ? { CallbackOptions } : {}) }),
            ({ CallbackDetails, Status }) => `${Status} ${CallbackDetails?.Result ?? ""}`
          )
        yield* raw.register("asks", asks(undefined))
        yield* raw.register("asks-in-time", asks({ TimeoutSeconds: 60, HeartbeatTimeoutSeconds: 30 }))
        yield* raw.register("late", asks(undefined), { executionTimeoutSeconds: 60 })
        return yield* Engine.Engine
      })
      const arns = yield* engineLife(
        Effect.gen(function* () {
          const engine = yield* register
          const arns = yield* Effect.forEach(["retries:1", "asks:1", "asks-in-time:1", "late:1"], (functionName) =>
            engine.start({ functionName })
          )
          yield* TestClock.adjust("1 second")
          return arns
        })
      )
      yield* TestClock.adjust("10 minutes")
      yield* engineLife(
        Effect.gen(function* () {
          const engine = yield* register
          assert.strictEqual(yield* engine.recover, 4)
          yield* TestClock.adjust(0)
          const [, callback] = yield* engine.operations(arns[1] ?? "")
          yield* engine.succeedCallback(callback?.CallbackDetails?.CallbackId ?? "", "yes")
          yield* TestClock.adjust(0)
          const ends = yield* Effect.forEach(arns, (arn) => engine.await(arn))
          assert.deepStrictEqual(
            ends.map(({ Result, Status }) => Result ?? Status),
            ['"second"', '"SUCCEEDED yes"', '"TIMED_OUT "', "TIMED_OUT"]
          )
        })
      )
    })
  )

  it.effect("carries on at once with layerRecovering", () =>
    Effect.gen(function* () {
      const open = yield* store
      const life = <A, E>(body: (engine: Engine.Engine["Service"]) => Effect.Effect<A, E>) =>
        Effect.gen(function* () {
          yield* raw.register("wait", (durable) => Effect.as(durable.wait("w", 60), "done"))
          return yield* body(yield* Engine.Engine)
        }).pipe(Effect.provide(Engine.layerRecovering.pipe(Layer.provide([open(), Timers.layer]), Layer.fresh)))
      const arn = yield* life((engine) =>
        Effect.tap(engine.start({ functionName: "wait:1", executionName: "one" }), TestClock.adjust("1 second"))
      )
      yield* TestClock.adjust("1 hour")
      const end = yield* life((engine) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* engine.start({ functionName: "wait:1", executionName: "one" }), arn)
          yield* TestClock.adjust(0)
          return yield* engine.await(arn)
        })
      )
      assert.strictEqual(end.Result, '"done"')
    })
  )

  it.effect.each([["before"], ["after"]])("chained invokes, targets registered %s it recovers", ([when]) =>
    Effect.gen(function* () {
      const engineLife = yield* restarting(store)
      let isUp = false
      const caller = raw.register("caller", (durable) =>
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
      const targets = Effect.gen(function* () {
        const engine = yield* Engine.Engine
        yield* engine.registerPlain("plain", (payload) => (isUp ? Effect.succeed(payload) : Effect.never))
        yield* raw.register("waits", (durable) => Effect.as(durable.wait("w", 60), durable.input))
      })
      const arn = yield* engineLife(
        Effect.gen(function* () {
          const engine = yield* Engine.Engine
          yield* caller
          yield* targets
          const arn = yield* engine.start({ functionName: "caller:1" })
          yield* TestClock.adjust("1 second")
          return arn
        })
      )
      isUp = true
      yield* engineLife(
        Effect.gen(function* () {
          const engine = yield* Engine.Engine
          yield* caller
          if (when === "before") yield* targets
          assert.strictEqual(yield* engine.recover, 2)
          yield* TestClock.adjust("1 second")
          if (when === "after") yield* targets
          yield* TestClock.adjust("1 minute")
          assert.strictEqual((yield* engine.await(arn)).Result, JSON.stringify(['"p"', '"d"']))
        })
      )
    })
  )
})
