import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import { InvokeFailed } from "effect-durable-lambda/DurableError"
import { Engine } from "effect-durable-lambda/engine"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"
import { CardDeclined } from "./kit.ts"
import * as outside from "./outside.kit.ts"

const { layerClock, layerFaulty, layerSkipping } = outside

class Order extends Schema.Class<Order>("Order")({ id: Schema.String, at: Schema.DateFromString }) {}

const Pay = DurableFunction.make("pay", {
  payload: Order,
  success: Schema.Struct({ paidAt: Schema.DateFromString }),
  error: CardDeclined
})

const at = new Date("2026-01-02T00:00:00.000Z")
const pay = Durable.invoke("payment", Pay, { id: "o-1", at }, { functionName: "pay:$LATEST" })
const Text = DurableFunction.make("text", { payload: Schema.Unknown, success: Schema.String })
const text = (payload: unknown = null) => Durable.invoke("call", Text, payload, { functionName: "text:$LATEST" })

const inputOf = (execution: TestRunner.TestExecution<unknown, unknown>) =>
  Effect.map(execution.history, (events) => events.flatMap((event) => event.ChainedInvokeStartedDetails ?? [])[0])

const failureOf = (effect: kit.Body) =>
  Effect.gen(function* () {
    const { live, replayed } = yield* kit.observe(effect)
    const error = Option.getOrUndefined(Exit.findErrorOption(live))
    assert.deepStrictEqual(replayed.map(kit.shown), [kit.shown(live)])
    assert(error instanceof InvokeFailed, `no InvokeFailed: ${String(error)}`)
    const { data, message, operation, status, type } = error
    return { operation, status, type, message, ...(data === undefined ? undefined : { data }) }
  })

/** The updates that a body sends in its first invocation. */
const recorded = Effect.sync(() => {
  const service = FakeService.make()
  return {
    requests: () => service.updates,
    run: (body: kit.Body) => service.invoke(DurableHandler.make(kit.Anything, () => body, service.handlerOptions))
  }
})

describe("invoke: what goes there and comes back", () => {
  it.effect("a durable function, typed both ways: values pass through its schemas, and it runs once", () =>
    Effect.gen(function* () {
      const got: Array<unknown> = []
      yield* outside.deploy(Pay, (order: Order) => {
        got.push(order)
        return Effect.as(Durable.step("charge", Effect.void), { paidAt: order.at })
      })
      const execution = yield* kit.sees(pay, Exit.succeed({ paidAt: at }))
      assert.deepStrictEqual(got, [new Order({ id: "o-1", at })])
      assert.instanceOf(got[0], Order)
      const started = yield* inputOf(execution)
      assert.strictEqual(started?.Input?.Payload, '{"id":"o-1","at":"2026-01-02T00:00:00.000Z"}')
      const record = yield* execution.operation("payment")
      assert.deepStrictEqual(
        [record.Type, record.SubType, record.ChainedInvokeDetails?.Result],
        ["CHAINED_INVOKE", "ChainedInvoke", '{"paidAt":"2026-01-02T00:00:00.000Z"}']
      )
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a plain function, by schemas", () =>
    Effect.gen(function* () {
      yield* outside.deployPlain("add", (payload) => {
        const { a, b } = payload as { readonly a: number; readonly b: number }
        return { sum: a + b }
      })
      const Add = {
        payload: Schema.Struct({ a: Schema.Number, b: Schema.Number }),
        success: Schema.Struct({ sum: Schema.Number })
      }
      yield* kit.sees(Durable.invoke("add", Add, { a: 1, b: 2 }, { functionName: "add" }), Exit.succeed({ sum: 3 }))
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("without a success schema the result is ignored", () =>
    Effect.gen(function* () {
      yield* outside.deployPlain("noisy", () => ({ anything: true }))
      const noisy = Durable.invoke("noisy", { payload: Schema.Null }, null, { functionName: "noisy" })
      yield* kit.sees(noisy, Exit.succeed(undefined))
      const Quiet = DurableFunction.make("quiet", { payload: Schema.Null })
      yield* outside.deploy(Quiet, () => Effect.void)
      yield* kit.sees(Durable.invoke("quiet", Quiet, null, { functionName: "quiet:$LATEST" }), Exit.succeed(undefined))
    }).pipe(Effect.provide(layerSkipping))
  )

  const payloads: ReadonlyArray<readonly [what: string, payload: unknown, text: string | undefined]> = [
    // AWS's JS SDK 2.4.0 gets this wrong (section 23): a string payload is taken for a function's name
    ["a string is a payload, not a name", "just text", '"just text"'],
    ["a string that looks like a name", "pay:$LATEST", '"pay:$LATEST"'],
    ["null", null, "null"],
    ["an empty string", "", '""'],
    ["a number", 0, "0"],
    ["a list", [1, [2]], "[1,[2]]"]
  ]
  for (const [what, payload, wire] of payloads) {
    it.effect(`payload: ${what}`, () =>
      Effect.gen(function* () {
        const got: Array<unknown> = []
        yield* outside.deploy(Text, (payload) => Effect.sync(() => (got.push(payload), "done")))
        const execution = yield* kit.start(text(payload))
        assert.strictEqual(yield* execution.result, "done")
        assert.strictEqual((yield* inputOf(execution))?.Input?.Payload, wire)
        assert.deepStrictEqual(got, [payload])
      }).pipe(Effect.provide(layerSkipping))
    )
  }

  it.effect("no payload at all where the schema is void", () =>
    Effect.gen(function* () {
      const Nothing = DurableFunction.make("nothing", { payload: Schema.Void, success: Schema.String })
      yield* outside.deploy(Nothing, (payload) => Effect.succeed(typeof payload))
      const execution = yield* kit.start(
        Durable.invoke("nothing", Nothing, undefined, { functionName: "nothing:$LATEST" })
      )
      assert.strictEqual(yield* execution.result, "undefined")
      assert.isUndefined((yield* inputOf(execution))?.Input?.Payload)
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("text codecs: payload and result are the text verbatim (5-15, 5-16)", () =>
    Effect.gen(function* () {
      yield* outside.deployPlain("echo", (payload) => payload)
      const Echo = { payload: Durable.text(Schema.NumberFromString), success: Durable.text(Schema.String) }
      const execution = yield* kit.start(Durable.invoke("echo", Echo, 42, { functionName: "echo" }))
      assert.strictEqual(yield* execution.result, "42") // the text of the result, not its value
      assert.strictEqual((yield* inputOf(execution))?.Input?.Payload, "42")
      const Shout = { payload: Schema.String, success: Durable.text(Schema.String) }
      const quoted = yield* kit.start(Durable.invoke("echo", Shout, "HELLO", { functionName: "echo" }))
      assert.strictEqual(yield* quoted.result, '"HELLO"')
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("tenant and trace header go along, once each", () =>
    Effect.gen(function* () {
      const trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
      const before = process.env._X_AMZN_TRACE_ID
      process.env._X_AMZN_TRACE_ID = trace
      yield* Effect.addFinalizer(() =>
        Effect.sync(() => {
          if (before === undefined) delete process.env._X_AMZN_TRACE_ID
          else process.env._X_AMZN_TRACE_ID = before
        })
      )
      const { requests, run } = yield* recorded
      yield* run(Durable.invoke("call", Text, 1, { functionName: "text:live", tenantId: "tenant-1" }))
      assert.deepStrictEqual(
        requests().map(({ ChainedInvokeOptions: options }) => options),
        [{ FunctionName: "text:live", TenantId: "tenant-1", XAmznTraceId: trace }]
      )
      delete process.env._X_AMZN_TRACE_ID
      const untraced = yield* recorded
      yield* untraced.run(Durable.invoke("call", Text, 1, { functionName: "text:live" }))
      assert.deepStrictEqual(
        untraced.requests().map(({ ChainedInvokeOptions: options }) => options),
        [{ FunctionName: "text:live" }]
      )
    }).pipe(Effect.scoped)
  )

  it.effect("a payload over the limit ends the execution with PayloadTooLarge", () =>
    Effect.gen(function* () {
      const fault = yield* kit.faultOf(text("x".repeat(1024 * 1024)))
      assert.strictEqual(fault.type, "PayloadTooLarge")
      assert.match(
        fault.message,
        /^CHAINED_INVOKE "call" \(.*\): its payload has 1048578 bytes, the service records at most 1048576/
      )
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a payload that its schema refuses ends the execution before anything is sent", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Durable.invoke("payment", Pay, { id: 1, at } as never, { functionName: "pay:$LATEST" })
      )
      const fault = yield* Effect.flip(execution.result)
      assert.match(
        (fault as Error).message,
        /^CHAINED_INVOKE "payment" \(.*\): cannot encode its payload: Expected string\n  at \["id"\]/
      )
      assert.deepStrictEqual(yield* execution.operations, [])
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a payload codec may take its time, and is not asked on replay", () =>
    Effect.gen(function* () {
      let encoded = 0
      const Slow = Schema.String.pipe(
        Schema.decodeTo(Schema.String, {
          decode: SchemaGetter.passthrough(),
          encode: SchemaGetter.transformEffect((text: string) =>
            Effect.andThen(
              kit.turn,
              Effect.sync(() => (encoded++, text.toUpperCase()))
            )
          )
        })
      )
      yield* outside.deployPlain("echo", (payload) => payload)
      const slow = Durable.invoke("slow", { payload: Slow, success: Schema.String }, "a", { functionName: "echo" })
      const fast = Durable.invoke("fast", { payload: Schema.String, success: Schema.String }, "b", {
        functionName: "echo"
      })
      yield* kit.sees(Effect.all([slow, fast], { concurrency: "unbounded" }), Exit.succeed(["A", "b"]))
      assert.strictEqual(encoded, 1)
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("one that lost a race while its payload was encoded is never sent", () =>
    Effect.gen(function* () {
      const Never = Schema.String.pipe(
        Schema.decodeTo(Schema.String, {
          decode: SchemaGetter.passthrough(),
          encode: SchemaGetter.transformEffect((_: string) => Effect.never)
        })
      )
      const execution = yield* kit.start(
        Effect.raceFirst(
          Durable.invoke("never", { payload: Never }, "a", { functionName: "echo" }),
          Durable.step("step", Effect.succeed("won"))
        )
      )
      assert.strictEqual(yield* execution.result, "won")
      assert.deepStrictEqual(
        (yield* execution.operations).map(({ Name }) => Name),
        ["step"]
      )
    }).pipe(Effect.provide(layerSkipping))
  )
})

describe("invoke: failures", () => {
  it.effect("the callee's typed error comes back as its class", () =>
    Effect.gen(function* () {
      yield* outside.deploy(Pay, () => Effect.fail(new CardDeclined({ reason: "limit" })))
      yield* kit.sees(pay, Exit.fail(new CardDeclined({ reason: "limit" })))
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a failed operation in the callee: InvokeFailed with its type, message and data", () =>
    Effect.gen(function* () {
      yield* outside.deploy(Text, () =>
        Durable.step("broken", Effect.fail(new kit.Unavailable({ retryable: false })), { retry: Durable.noRetry })
      )
      const failure = yield* failureOf(text())
      // AWS's JS SDK 2.4.0 gets this wrong (section 18.2): the callee's ErrorType is lost
      assert.strictEqual(failure.type, "StepFailed")
      assert.strictEqual(failure.status, "FAILED")
      assert.deepStrictEqual(failure.data, {
        _tag: "StepFailed",
        operation: "broken",
        type: "Unavailable",
        message: "",
        data: { retryable: false }
      })
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a defect in the callee, even where its error schema takes everything", () =>
    Effect.gen(function* () {
      const Lax = DurableFunction.make("lax", { payload: Schema.Null, error: Schema.Any })
      yield* outside.deploy(Lax, () => Effect.die(new TypeError("x is undefined")))
      assert.deepStrictEqual(yield* failureOf(Durable.invoke("call", Lax, null, { functionName: "lax:$LATEST" })), {
        operation: "call",
        status: "FAILED",
        type: "TypeError",
        message: "x is undefined",
        data: { "~defect": { name: "TypeError", message: "x is undefined" } }
      })
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a fault of the callee's program", () =>
    Effect.gen(function* () {
      yield* outside.deploy(Text, () => Durable.wait("w", 0))
      const failure = yield* failureOf(text())
      assert.strictEqual(failure.type, "InvalidOperation")
      assert.match(failure.message, /^Durable\.wait\("w"\)/)
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a plain function that throws", () =>
    Effect.gen(function* () {
      yield* outside.deployPlain("thrower", () => {
        throw new RangeError("out of range")
      })
      assert.deepStrictEqual(
        yield* failureOf(
          Durable.invoke("call", { payload: Schema.Null, error: CardDeclined }, null, { functionName: "thrower" })
        ),
        { operation: "call", status: "FAILED", type: "RangeError", message: "out of range" }
      )
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a function that does not exist fails at once, and can be caught", () =>
    Effect.gen(function* () {
      const failure = yield* failureOf(text())
      assert.strictEqual(failure.status, "FAILED")
      assert.strictEqual(failure.type, "ResourceNotFoundException")
      assert.match(failure.message, /^Function not found: .*text/)
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("the callee runs out of time", () =>
    Effect.gen(function* () {
      yield* outside.deploy(Text, () => Effect.as(Durable.wait("long", "1 day"), "late"), {
        executionTimeoutSeconds: 60
      })
      const failure = yield* failureOf(text())
      assert.deepStrictEqual([failure.status, failure.type], ["TIMED_OUT", "ChainedInvoke.Timeout"])
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("the callee is stopped", () =>
    Effect.gen(function* () {
      yield* outside.deploy(Text, () => Effect.flatMap(Durable.callback("c"), (callback) => callback.await))
      const seen: Array<unknown> = []
      const execution = yield* kit.start(Effect.catch(text(), (error) => Effect.sync(() => seen.push(error))))
      yield* outside.until(execution, "call", "CHAINED_INVOKE")
      const started = yield* inputOf(execution)
      yield* outside.invoked(execution, 1)
      yield* Engine.Engine.use((engine) =>
        engine.stop(started!.DurableExecutionArn!, { ErrorType: "Operator", ErrorMessage: "enough" })
      )
      yield* execution.result
      const [error] = seen
      assert(error instanceof InvokeFailed)
      assert.deepStrictEqual([error.status, error.type, error.message], ["STOPPED", "Operator", "enough"])
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a result that the success schema does not accept says so", () =>
    Effect.gen(function* () {
      yield* outside.deployPlain("text", () => 42)
      const failure = yield* failureOf(text())
      assert.deepStrictEqual([failure.status, failure.type], ["SUCCEEDED", "InvalidResult"])
      assert.match(
        failure.message,
        /^The function returned what the target's `success` schema does not accept: Expected string/
      )
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("InvokeFailed keeps its class through a child context and the end of the execution", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(kit.run(Durable.childContext("child", text())))
      assert(error instanceof InvokeFailed)
      assert.strictEqual(error.status, "FAILED")
    }).pipe(Effect.provide(layerSkipping))
  )
})

describe("invoke: options", () => {
  const bad: ReadonlyArray<readonly [options: object, message: RegExp]> = [
    [{ functionName: "" }, /^Durable\.invoke\("call"\): "" is not the name of a function\. Give `functionName` a name/],
    [{ functionName: undefined }, /"undefined" is not the name of a function/],
    [{ functionName: "two words:live" }, /is not the name of a function/],
    [{ functionName: "a:b:c:d" }, /is not the name of a function/],
    [{ functionName: `${"n".repeat(252)}:live` }, /of at most 256 characters/],
    [
      { functionName: "text" },
      /"text" names no version, and a durable function can only be invoked as one\. Add a version or an alias: "text:live"/
    ],
    [{ functionName: "arn:aws:lambda:eu-west-1:123456789012:function:text" }, /names no version/],
    [{ functionName: "text:live", tenantId: "" }, /"" is not usable as `tenantId`/],
    [{ functionName: "text:live", tenantId: "ü" }, /"ü" is not usable as `tenantId`/]
  ]
  for (const [options, message] of bad) {
    it.effect(`refuses ${JSON.stringify(options).slice(0, 80)}`, () =>
      Effect.gen(function* () {
        const execution = yield* kit.start(Durable.invoke("call", Text, 1, options as Durable.InvokeOptions))
        const fault = yield* Effect.flip(execution.result)
        assert.match((fault as Error).message, message)
        assert.deepStrictEqual(yield* execution.operations, [])
      }).pipe(Effect.provide(layerSkipping))
    )
  }

  for (const functionName of [
    "text:live",
    "text:$LATEST",
    "text:$LATEST.PUBLISHED",
    "text:7",
    "function:text:live",
    "123456789012:function:text:live",
    "arn:aws:lambda:us-east-1:123456789012:function:text:live",
    "arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:my_text-1:live"
  ]) {
    it.effect(`takes ${functionName}`, () =>
      Effect.gen(function* () {
        const { requests, run } = yield* recorded
        yield* run(Durable.invoke("call", Text, 1, { functionName }))
        assert.deepStrictEqual(
          requests().map(({ ChainedInvokeOptions: options }) => options?.FunctionName),
          [functionName]
        )
      })
    )
  }
})

describe("invoke: suspending, racing, crashing", () => {
  it.effect("suspends while the callee runs, at one operation and no further request", () =>
    Effect.gen(function* () {
      yield* outside.deploy(Text, () => Effect.as(Durable.wait("w", "1 hour"), "after an hour"))
      const execution = yield* kit.start(text())
      yield* TestRunner.advance("59 minutes")
      assert.strictEqual(yield* execution.status, "RUNNING")
      assert.strictEqual(yield* execution.invocations, 1)
      yield* TestRunner.advance("1 minute")
      assert.strictEqual(yield* execution.result, "after an hour")
      assert.strictEqual(yield* execution.invocations, 2)
      assert.strictEqual((yield* execution.operations).length, 1)
    }).pipe(Effect.provide(layerClock))
  )

  it.effect("Effect.timeout gives up waiting, in every replay, whatever the callee does later", () =>
    Effect.gen(function* () {
      yield* outside.deploy(Text, () => Effect.as(Durable.wait("w", "1 hour"), "late"))
      const execution = yield* kit.start(
        Effect.gen(function* () {
          const result = yield* Effect.timeoutOption(text(), "10 minutes")
          yield* Durable.wait("replay", "2 hours")
          return Option.isNone(result)
        })
      )
      yield* TestRunner.advance("10 minutes")
      yield* TestRunner.advance("50 minutes")
      yield* TestRunner.advance("90 minutes")
      assert.isTrue(yield* execution.result)
      // the callee was not cancelled: nobody can
      assert.strictEqual((yield* execution.operation("call")).Status, "SUCCEEDED")
    }).pipe(Effect.provide(layerClock))
  )

  it.effect("several at once, each with its own result", () =>
    Effect.gen(function* () {
      yield* outside.deploy(Text, (n) => Effect.as(Durable.wait("w", `${9 - Number(n)} seconds`), `n${n}`))
      const all = Effect.forEach([1, 2, 3], (n) => text(n), { concurrency: "unbounded" })
      yield* kit.sees(all, Exit.succeed(["n1", "n2", "n3"]))
    }).pipe(Effect.provide(layerSkipping))
  )

  for (const fault of ["CrashBefore", "CrashAfter", "DropResponse"] as const) {
    it.effect(`${fault} at its START: it is invoked once`, () =>
      Effect.gen(function* () {
        let runs = 0
        yield* outside.deployPlain("once", () => ++runs)
        const once = Durable.invoke("once", { payload: Schema.Null, success: Schema.Number }, null, {
          functionName: "once"
        })
        const execution = yield* kit.start(once)
        assert.strictEqual(yield* execution.result, 1)
        assert.strictEqual(runs, 1)
      }).pipe(Effect.provide(layerFaulty((at) => (at.call === 1 && at.updates > 0 ? fault : undefined))))
    )
  }
})
