/**
 * Waiting for what others do: where AWS's JS SDK 2.4.0 is wrong about conditions (sections 12, 16, 18, 20), callbacks
 * (sections 12, 15, 16, 22) and chained invokes (sections 18, 23).
 */
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableError, DurableFunction, DurableHandler } from "effect-durable-lambda"
import type * as Protocol from "effect-durable-lambda/Protocol"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as FakeService from "./FakeService.ts"

const Anything = DurableFunction.make("order", { payload: Schema.Unknown, success: Schema.Any, error: Schema.Any })

const handlerOf = (service: FakeService.FakeService, body: Effect.Effect<unknown, unknown, Durable.Requires>) =>
  DurableHandler.make(Anything, () => body, service.handlerOptions)

/** Real time, which the service's answers take. */
const moment = Effect.promise(() => FakeService.later(1, undefined))

const everySecond = Schedule.spaced("1 second")

/** Counts its checks; the one of this number fails. */
const counting = (failing: number) => {
  let checks = 0
  const condition = Durable.waitForCondition(
    "c",
    (n) => Effect.suspend(() => (++checks === failing ? Effect.fail("broken") : Effect.succeed(n + 1))),
    { initial: 0, state: Schema.Number, until: (n) => n === 9, schedule: everySecond }
  )
  return { condition, checks: () => checks }
}

/** The updates of an operation, by what they do. */
const actionsOf = (service: FakeService.FakeService, name: string) =>
  service.updates.filter(({ Name }) => Name === name).map(({ Action }) => Action)

const ended: ReadonlyArray<Protocol.OperationStatus> = ["TIMED_OUT", "STOPPED", "CANCELLED"]

describe("wire-protocol section 20: a second FAIL from an in-process re-poll", () => {
  // a step beside it keeps the invocation alive, so that the condition is polled again in process
  it.effect("a throw in a later poll of the same invocation is one FAIL, which user code can catch", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const { checks, condition } = counting(2)
      const gate = Promise.withResolvers<void>()
      const body = Effect.all(
        [
          Effect.catchTag(condition, "ConditionFailed", (error) => Effect.succeed(error.message)),
          Durable.step(
            "busy",
            Effect.promise(() => gate.promise)
          )
        ],
        { concurrency: 2 }
      )
      const invocation = handlerOf(service, body)(service.event())
      while (service.updates.every(({ Action }) => Action !== "RETRY")) yield* moment
      service.pass(1)
      // the core looks at the service again after a second of real time, as nothing else tells it
      while (checks() < 2) yield* moment
      gate.resolve()
      assert.deepStrictEqual(yield* Effect.promise(() => invocation), {
        Status: "SUCCEEDED",
        Result: '["broken",null]'
      })
      assert.deepStrictEqual(actionsOf(service, "c"), ["START", "RETRY", "START", "FAIL"])
    })
  )

  it.effect("timeoutSeconds unread: a schedule that ends by elapsed time does", () =>
    Effect.gen(function* () {
      const condition = Durable.waitForCondition("c", (n: number) => Effect.succeed(n + 1), {
        initial: 0,
        state: Schema.Number,
        until: () => false,
        schedule: Schedule.spaced("1 minute").pipe(Schedule.upTo({ duration: "90 seconds" }))
      })
      const error = yield* Effect.flip(TestRunner.run(Anything, () => condition, null))
      assert.deepStrictEqual(error, new DurableError.ConditionExhausted({ operation: "c", attempts: 3 }))
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})

describe("wire-protocol section 18: waitForCondition fails as StepError; the callee's ErrorType is lost", () => {
  it.effect("a failed waitForCondition is a ConditionFailed, live and replayed", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const seen: Array<unknown> = []
      const handler = handlerOf(
        service,
        Effect.gen(function* () {
          seen.push(yield* Effect.flip(counting(1).condition))
          yield* Durable.wait("pause", "1 second")
        })
      )
      yield* service.invoke(handler)
      service.pass(1)
      yield* service.invoke(handler)
      const failed = new DurableError.ConditionFailed({ operation: "c", type: "Failure", message: "broken" })
      assert.deepStrictEqual(seen, [failed, failed])
      for (const error of seen) assert.instanceOf(error, DurableError.ConditionFailed)
    })
  )

  it.effect("the callee's ErrorType, message and data are kept", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = handlerOf(
        service,
        Effect.flip(Durable.invoke("i", { payload: Schema.Null }, null, { functionName: "f" })).pipe(
          Effect.map((error) => ({ ...error, message: error.message }))
        )
      )
      yield* service.invoke(handler)
      service.change("i", {
        Status: "FAILED",
        ChainedInvokeDetails: {
          Error: { ErrorType: "PaymentError", ErrorMessage: "declined", ErrorData: '{"code":51}' }
        }
      })
      const answer = yield* service.invoke(handler)
      assert(answer.Status === "SUCCEEDED")
      assert.deepStrictEqual(JSON.parse(answer.Result ?? ""), {
        _tag: "InvokeFailed",
        operation: "i",
        status: "FAILED",
        type: "PaymentError",
        message: "declined",
        data: { code: 51 }
      })
    })
  )
})

describe("wire-protocol section 23: string input taken for a function name", () => {
  it.effect("a string payload is the payload, and the function's name is the function's name", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      yield* service.invoke(
        handlerOf(service, Durable.invoke("fn", { payload: Schema.String }, "string input", { functionName: "fn" }))
      )
      const [update] = service.updates
      assert.strictEqual(update?.Payload, '"string input"')
      assert.deepStrictEqual(update?.ChainedInvokeOptions, { FunctionName: "fn" })
      assert.strictEqual(update?.Name, "fn")
    })
  )

  it.effect("a bad target that comes back FAILED in the same response is seen in the same invocation", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      service.next((ordinary) => {
        const { CheckpointToken } = ordinary()
        service.change("i", {
          Status: "FAILED",
          ChainedInvokeDetails: {
            Error: { ErrorType: "ResourceNotFoundException", ErrorMessage: "Function not found" }
          }
        })
        return { CheckpointToken, NewExecutionState: { Operations: [service.record("i")] } }
      })
      const invoked = Durable.invoke("i", { payload: Schema.Null }, null, { functionName: "f" })
      const answer = yield* service.invoke(
        handlerOf(
          service,
          Effect.catchTag(invoked, "InvokeFailed", (error) => Effect.succeed(error.type))
        )
      )
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: '"ResourceNotFoundException"' })
      assert.strictEqual(service.requests.length, 1)
    })
  )
})

describe("wire-protocol section 12: conditions, callbacks and invokes found TIMED_OUT, STOPPED, CANCELLED", () => {
  for (const status of ended) {
    it.effect(`a condition found ${status} has failed: it is not checked, nothing is sent for it`, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        const { checks, condition } = counting(0)
        const handler = handlerOf(
          service,
          Effect.catchCause(condition, (cause) => Effect.succeed(String(Cause.squash(cause))))
        )
        yield* service.invoke(handler)
        service.change("c", { Status: status, StepDetails: { Attempt: 1, Error: { ErrorMessage: "by hand" } } })
        const answer = yield* service.invoke(handler)
        assert(answer.Status === "SUCCEEDED")
        assert.match(answer.Result ?? "", new RegExp(`STEP .*ended with status ${status}: by hand`))
        assert.strictEqual(checks(), 1)
        assert.deepStrictEqual(actionsOf(service, "c"), ["START", "RETRY"])
      })
    )

    it.effect(`a callback found ${status} has ended, whether it was awaited before or not`, () =>
      Effect.gen(function* () {
        for (const ErrorType of ["Callback.Timeout", "Callback.Heartbeat"]) {
          const service = FakeService.make()
          const handler = handlerOf(
            service,
            Effect.gen(function* () {
              const callback = yield* Durable.callback("c", { timeout: "1 day" })
              return yield* Effect.flip(callback.await)
            }).pipe(Effect.map((error) => [error._tag, "kind" in error ? error.kind : error.message]))
          )
          yield* service.invoke(handler)
          const { CallbackDetails } = service.record("c")
          service.change("c", {
            Status: status,
            CallbackDetails: { ...CallbackDetails, Error: { ErrorType, ErrorMessage: "by hand" } }
          })
          const answer = yield* service.invoke(handler)
          assert(answer.Status === "SUCCEEDED")
          assert.deepStrictEqual(
            JSON.parse(answer.Result ?? ""),
            status === "TIMED_OUT"
              ? ["CallbackTimedOut", ErrorType === "Callback.Timeout" ? "timeout" : "heartbeat"]
              : ["CallbackFailed", "by hand"]
          )
          assert.strictEqual(service.updates.length, 1)
        }
      })
    )

    it.effect(`an invoke found ${status} has failed, and says how`, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        const handler = handlerOf(
          service,
          Effect.map(
            Effect.flip(Durable.invoke("i", { payload: Schema.Null, error: Schema.Any }, null, { functionName: "f" })),
            (error) => error as { readonly status: string }
          ).pipe(Effect.map((error) => error.status))
        )
        yield* service.invoke(handler)
        service.change("i", { Status: status, ChainedInvokeDetails: { Error: { ErrorData: "{}" } } })
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: `"${status}"` })
      })
    )
  }
})

describe("wire-protocol section 16: waitForCondition is not checked; a ReplayChildren context hangs", () => {
  it.effect("a condition that stands where something else is recorded ends the execution before it is checked", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      yield* service.invoke(handlerOf(service, Durable.wait("x", "1 second")))
      const { checks, condition } = counting(0)
      const answer = yield* service.invoke(handlerOf(service, condition))
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "NonDeterministic")
      assert.match(answer.Error?.ErrorMessage ?? "", /expected WAIT "x" \(.*\), got STEP "c"/)
      assert.strictEqual(checks(), 0)
    })
  )

  for (const status of ended) {
    it.effect(`a rebuilt context with a ${status} callback and invoke in it is rebuilt`, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        const context = Durable.childContext(
          "large",
          Effect.gen(function* () {
            const callback = yield* Durable.callback("c", { timeout: "1 day" })
            const one = yield* Effect.flip(callback.await)
            const two = yield* Effect.flip(Durable.invoke("i", { payload: Schema.Null }, null, { functionName: "f" }))
            return { tags: [one._tag, two._tag], pad: "x".repeat(300_000) }
          })
        )
        const handler = handlerOf(
          service,
          Effect.gen(function* () {
            const { tags } = yield* context
            yield* Durable.wait("pause", "1 second")
            return tags
          })
        )
        yield* service.invoke(handler)
        service.change("c", { Status: status, CallbackDetails: { ...service.record("c").CallbackDetails } })
        yield* service.invoke(handler)
        service.change("i", { Status: status })
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
        assert.isTrue(service.record("large").ContextDetails?.ReplayChildren)
        service.pass(1)
        const tag = status === "TIMED_OUT" ? "CallbackTimedOut" : "CallbackFailed"
        assert.deepStrictEqual(yield* service.invoke(handler), {
          Status: "SUCCEEDED",
          Result: JSON.stringify([tag, "InvokeFailed"])
        })
      })
    )
  }
})

describe("wire-protocol section 15: premature suspension", () => {
  it.effect("a callback that nobody awaits does not suspend, and holds nothing up", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const answer = yield* service.invoke(
        handlerOf(
          service,
          Effect.gen(function* () {
            yield* Durable.callback("c")
            const value = yield* Durable.step("s", Effect.succeed(1))
            yield* Effect.promise(() => FakeService.later(100, undefined)) // plain asynchronous code
            return value
          })
        )
      )
      assert.deepStrictEqual(answer, { Status: "SUCCEEDED", Result: "1" })
    })
  )
})

describe("wire-protocol section 22: callbacks", () => {
  it.effect("CallbackOptions is always there, with what is set and nothing else", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      yield* service.invoke(
        handlerOf(
          service,
          Effect.gen(function* () {
            yield* Durable.callback("none")
            yield* Durable.callback("one", { heartbeatTimeout: "5 seconds" })
            yield* Durable.callback("both", { timeout: "1 hour", heartbeatTimeout: "5 seconds" })
          })
        )
      )
      assert.deepStrictEqual(
        service.updates.map(({ CallbackOptions }) => CallbackOptions),
        [{}, { HeartbeatTimeoutSeconds: 5 }, { TimeoutSeconds: 3600, HeartbeatTimeoutSeconds: 5 }]
      )
    })
  )

  it.effect("waitForCallback sends CONTEXT START, CALLBACK START, STEP START and SUCCEED, CONTEXT SUCCEED", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = handlerOf(
        service,
        Durable.waitForCallback("approval", () => Effect.succeed("what it gives is not recorded"))
      )
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
      assert.deepStrictEqual(service.trace, [
        ["START CONTEXT approval", "START CALLBACK approval"],
        ["START STEP approval", "SUCCEED STEP approval"]
      ])
      assert.isUndefined(service.updates.at(-1)?.Payload)
      const callback = [...service.records.values()].find(({ Type }) => Type === "CALLBACK")!
      service.change(callback.Id, {
        Status: "SUCCEEDED",
        CallbackDetails: { ...callback.CallbackDetails, Result: "hello" }
      })
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: '"hello"' })
      assert.deepStrictEqual(service.trace.at(-1), ["SUCCEED CONTEXT approval"])
      assert.strictEqual(service.updates.at(-1)?.Payload, '"hello"')
    })
  )
})
