import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableHandler } from "effect-durable-lambda"
import { CallbackFailed, CallbackTimedOut, type Uncovered } from "effect-durable-lambda/DurableError"
import { Engine } from "effect-durable-lambda/engine"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"
import { CardDeclined } from "./kit.ts"
import * as outside from "./outside.kit.ts"

const { layerClock, layerFaulty, layerSkipping } = outside

/** What the body saw of a callback, live and on replay, when the outside had completed it. */
const answered = (
  options: Durable.CallbackOptions<Schema.Codec<any> | undefined, Schema.Codec<any> | undefined, any, any>,
  complete: (execution: TestRunner.TestExecution<unknown, unknown>) => Effect.Effect<unknown, unknown, Engine.Engine>,
  expected: Exit.Exit<unknown, unknown>
) =>
  Effect.gen(function* () {
    const seen: Array<Exit.Exit<unknown, unknown>> = []
    const execution = yield* kit.start(
      Effect.gen(function* () {
        const { await: answer } = yield* Durable.callback("approval", options)
        seen.push(yield* Effect.exit(answer))
        yield* Durable.wait("replay", "1 second")
      })
    )
    yield* complete(execution)
    yield* execution.result
    assert.deepStrictEqual(seen.map(kit.shown), [kit.shown(expected), kit.shown(expected)])
    if (Exit.isFailure(expected)) {
      for (const exit of seen) {
        assert.strictEqual(
          Object.getPrototypeOf(Exit.isFailure(exit) ? errorOf(exit) : undefined),
          Object.getPrototypeOf(errorOf(expected)),
          "another class"
        )
      }
    }
    return execution
  })

const errorOf = (exit: Exit.Exit<unknown, unknown>) => Option.getOrThrow(Exit.findErrorOption(exit))

const failed = (known: Omit<Uncovered, "operation">) =>
  Exit.fail(new CallbackFailed({ operation: "approval", ...known }))

describe("callback: what the outside sends", () => {
  const texts: ReadonlyArray<readonly [what: string, text: string | undefined]> = [
    ["plain text, which is no JSON", "yes, do it"],
    ["JSON, as it is", '{"approvedBy": "Ada"}'],
    ["a JSON string, with its quotes", '"yes"'],
    ["null", "null"],
    ["an empty text", ""],
    ["nothing", undefined]
  ]
  for (const [what, text] of texts) {
    it.effect(`without a schema: ${what}`, () =>
      answered({}, (execution) => outside.succeed(execution, "approval", text), Exit.succeed(text)).pipe(
        Effect.provide(layerSkipping)
      )
    )
  }

  it.effect("with a schema: what it decodes to", () =>
    answered(
      { success: Schema.Struct({ at: Schema.DateFromString }) },
      (execution) => outside.succeed(execution, "approval", '{"at":"2026-01-02T00:00:00.000Z"}'),
      Exit.succeed({ at: new Date("2026-01-02T00:00:00.000Z") })
    ).pipe(Effect.provide(layerSkipping))
  )

  it.effect("with a text codec: the text, decoded", () =>
    answered(
      { success: Durable.text(Schema.NumberFromString) },
      (execution) => outside.succeed(execution, "approval", "42"),
      Exit.succeed(42)
    ).pipe(Effect.provide(layerSkipping))
  )

  it.effect("with a void schema: nothing, whatever was sent", () =>
    answered(
      { success: Schema.Void },
      (execution) => outside.succeed(execution, "approval", '"ignored"'),
      Exit.succeed(undefined)
    ).pipe(Effect.provide(layerSkipping))
  )

  it.effect("what the schema does not accept is a failure that says so, and no fault of the program", () =>
    Effect.gen(function* () {
      for (const text of ['{"amount":"much"}', "no JSON at all", undefined]) {
        const execution = yield* kit.start(
          Effect.gen(function* () {
            const { await: answer } = yield* Durable.callback("approval", {
              success: Schema.Struct({ amount: Schema.Number })
            })
            return yield* Effect.flip(answer)
          }).pipe(Effect.map((error) => (error instanceof CallbackFailed ? [error.type, error.message] : error)))
        )
        yield* outside.succeed(execution, "approval", text)
        const [type, message] = (yield* execution.result) as [string, string]
        assert.strictEqual(type, "InvalidResult")
        assert.match(
          message,
          /^Callback "approval" was completed with what its `success` schema does not accept: .*(amount|JSON|object)/is
        )
      }
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a failure keeps type, message and data", () =>
    answered(
      {},
      (execution) =>
        outside.fail(execution, "approval", {
          ErrorType: "RejectedError",
          ErrorMessage: "not approved",
          ErrorData: '{"by":"Bob"}'
        }),
      failed({ type: "RejectedError", message: "not approved", data: { by: "Bob" } })
    ).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a failure without anything still has words", () =>
    answered(
      {},
      (execution) => outside.fail(execution, "approval"),
      failed({ type: "Failure", message: "It failed without a message." })
    ).pipe(Effect.provide(layerSkipping))
  )

  it.effect("data that is no JSON is text; data that no record of ours could hold is left out", () =>
    Effect.gen(function* () {
      yield* answered(
        {},
        (execution) => outside.fail(execution, "approval", { ErrorType: "E", ErrorMessage: "m", ErrorData: "as text" }),
        failed({ type: "E", message: "m", data: "as text" })
      )
      yield* answered(
        {},
        (execution) =>
          outside.fail(execution, "approval", { ErrorType: "E", ErrorMessage: "m", ErrorData: "x".repeat(20_000) }),
        failed({ type: "E", message: "m" })
      )
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a failure that the error schema reads comes back as its class", () =>
    answered(
      { error: CardDeclined },
      (execution) =>
        outside.fail(execution, "approval", {
          ErrorType: "CardDeclined",
          ErrorMessage: "",
          ErrorData: '{"_tag":"CardDeclined","reason":"limit"}'
        }),
      Exit.fail(new CardDeclined({ reason: "limit" }))
    ).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a failure that it does not read says why", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Effect.gen(function* () {
          const { await: answer } = yield* Durable.callback("approval", { error: CardDeclined })
          return yield* Effect.flip(answer)
        }).pipe(
          Effect.map((error) => (error instanceof CallbackFailed ? [error.type, error.message, error.data] : error))
        )
      )
      yield* outside.fail(execution, "approval", { ErrorType: "Other", ErrorMessage: "went wrong", ErrorData: "{}" })
      const [type, message, data] = (yield* execution.result) as [string, string, unknown]
      assert.strictEqual(type, "Other")
      assert.match(message, /^went wrong \(its data is not what the `error` schema accepts: .*_tag/s)
      assert.deepStrictEqual(data, {})
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("nobody outside can pass for a defect or a failure of our own operations", () =>
    Effect.gen(function* () {
      yield* answered(
        { error: Schema.Any },
        (execution) =>
          outside.fail(execution, "approval", { ErrorType: "E", ErrorMessage: "m", ErrorData: '{"~defect":"boom"}' }),
        failed({ type: "E", message: "m", data: { "~defect": "boom" } })
      )
      yield* answered(
        {},
        (execution) =>
          outside.fail(execution, "approval", {
            ErrorType: "StepFailed",
            ErrorMessage: "m",
            ErrorData: '{"_tag":"StepFailed","operation":"x","type":"y","message":"z"}'
          }),
        failed({
          type: "StepFailed",
          message: "m",
          data: { _tag: "StepFailed", operation: "x", type: "y", message: "z" }
        })
      )
    }).pipe(Effect.provide(layerSkipping))
  )
})

describe("callback: creating it", () => {
  it.effect("does not suspend, and records one operation with the id that the service gave", () =>
    Effect.gen(function* () {
      const ids: Array<string> = []
      const execution = yield* kit.start(
        Effect.gen(function* () {
          const { callbackId } = yield* Durable.callback("approval")
          ids.push(callbackId)
          return yield* Durable.step("after", Effect.succeed(1))
        })
      )
      assert.strictEqual(yield* execution.result, 1)
      assert.strictEqual(yield* execution.invocations, 1)
      const record = yield* execution.operation("approval")
      assert.strictEqual(record.Type, "CALLBACK")
      assert.strictEqual(record.SubType, "Callback")
      assert.strictEqual(record.Status, "STARTED") // never awaited: it stays open
      assert.deepStrictEqual(ids, [record.CallbackDetails?.CallbackId])
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("timeouts go along in whole seconds, rounded up", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Effect.gen(function* () {
          yield* Durable.callback("both", { timeout: "2001 millis", heartbeatTimeout: 1 })
          yield* Durable.callback("longest", { timeout: "366 days" })
        })
      )
      yield* execution.result
      const details = (yield* execution.history).flatMap((event) => event.CallbackStartedDetails ?? [])
      assert.deepStrictEqual(
        details.map(({ HeartbeatTimeout, Timeout }) => [Timeout, HeartbeatTimeout]),
        [
          [3, 1],
          [31_622_400, undefined]
        ]
      )
    }).pipe(Effect.provide(layerSkipping))
  )

  const bad: ReadonlyArray<readonly [options: object, message: RegExp]> = [
    [{ timeout: 0 }, /^Durable\.callback\("x"\): its timeout is 0 ms; it can be 1 second to 366 days/],
    [{ timeout: "-5 seconds" }, /its timeout is -5000 ms|its timeout is 0 ms/],
    [{ timeout: "367 days" }, /its timeout is 31708800000 ms/],
    [{ timeout: NaN }, /its timeout is NaN, which is no duration/],
    [{ timeout: "soon" }, /its timeout is soon, which is no duration\. Write "3 days"/],
    [{ timeout: Infinity }, /its timeout is Infinity ms/],
    [{ heartbeatTimeout: 0 }, /its heartbeatTimeout is 0 ms/],
    [{ heartbeatTimeout: "often" }, /its heartbeatTimeout is often/]
  ]
  for (const [options, message] of bad) {
    it.effect(
      `refuses ${JSON.stringify(options, (_, value) => (typeof value === "number" ? String(value) : value))}`,
      () =>
        Effect.gen(function* () {
          const execution = yield* kit.start(Durable.callback("x", options))
          const fault = yield* Effect.flip(execution.result)
          assert.match((fault as Error).message, message)
          assert.deepStrictEqual(yield* execution.operations, [])
        }).pipe(Effect.provide(layerSkipping))
    )
  }

  it.effect("a service that gives no id for it ends the execution with a message, and user code cannot catch it", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      service.next((ordinary) => {
        const { CheckpointToken } = ordinary()
        const { CallbackDetails: _, ...operation } = service.record("approval")
        return { CheckpointToken, NewExecutionState: { Operations: [operation] } }
      })
      const body = Effect.catchCause(Effect.asVoid(Durable.callback("approval")), () => Effect.succeed("caught"))
      const output = yield* service.invoke(DurableHandler.make(kit.Anything, () => body, service.handlerOptions))
      assert(output.Status === "FAILED", JSON.stringify(output))
      assert.strictEqual(output.Error?.ErrorType, "CheckpointFailed")
      assert.match(
        output.Error?.ErrorMessage ?? "",
        /^CALLBACK "approval" \(.*\): the service created the callback but gave no CallbackId/
      )
    })
  )
})

describe("callback: waiting for it", () => {
  it.effect("suspends, with nothing running and nothing sent", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Effect.gen(function* () {
          const { await: answer } = yield* Durable.callback("approval")
          return yield* answer
        })
      )
      yield* outside.invoked(execution, 1)
      assert.strictEqual(yield* execution.status, "RUNNING")
      yield* outside.succeed(execution, "approval", "ok")
      assert.strictEqual(yield* execution.result, "ok")
      assert.deepStrictEqual(yield* kit.operationsOf(execution), [
        'CallbackStarted "approval"',
        'CallbackSucceeded "approval" ok'
      ])
      assert.strictEqual(yield* execution.invocations, 2)
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("several times, one after the other and from several fibers, and after a replay", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Effect.gen(function* () {
          const { await: answer } = yield* Durable.callback("approval")
          const both = yield* Effect.all([answer, answer], { concurrency: "unbounded" })
          const third = yield* answer
          yield* Durable.wait("replay", "1 second")
          const fiber = yield* Effect.forkChild(answer)
          return [...both, third, yield* answer, yield* Fiber.join(fiber)]
        })
      )
      yield* outside.succeed(execution, "approval", "a")
      assert.deepStrictEqual(yield* execution.result, ["a", "a", "a", "a", "a"])
    }).pipe(Effect.provide(layerSkipping))
  )

  for (const order of [
    ["first", "second"],
    ["second", "first"]
  ] as const) {
    for (const completed of [order, [...order].reverse()]) {
      it.effect(`two open ones: awaited ${order.join(", ")}; completed ${completed.join(", ")} (4-18, 4-19)`, () =>
        Effect.gen(function* () {
          const awaited: Array<string> = []
          const execution = yield* kit.start(
            Effect.gen(function* () {
              const callbacks = {
                first: yield* Durable.callback("first"),
                second: yield* Durable.callback("second")
              }
              awaited.length = 0
              for (const name of order) awaited.push(`${name}=${yield* callbacks[name].await}`)
              return awaited
            })
          )
          yield* outside.invoked(execution, 1)
          yield* outside.succeed(execution, completed[0]!, `by ${completed[0]}`)
          yield* outside.invoked(execution, 2)
          assert.strictEqual(yield* execution.status, "RUNNING")
          yield* outside.succeed(execution, completed[1]!, `by ${completed[1]}`)
          assert.deepStrictEqual(
            yield* execution.result,
            order.map((name) => `${name}=by ${name}`)
          )
          assert.strictEqual(yield* execution.invocations, 3)
        }).pipe(Effect.provide(layerSkipping))
      )
    }
  }

  it.effect("an answer that comes while the creating invocation still runs is not lost", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Effect.gen(function* () {
          const { await: answer } = yield* Durable.callback("approval")
          yield* Durable.step("busy", Effect.andThen(kit.turn, Effect.andThen(kit.turn, kit.turn)))
          return yield* answer
        })
      )
      yield* outside.succeed(execution, "approval", "early")
      assert.strictEqual(yield* execution.result, "early")
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("an answer that comes before that to its creation is not lost", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      service.next((ordinary) => {
        const { CheckpointToken } = ordinary()
        const { CallbackDetails } = service.record("approval")
        service.change("approval", { Status: "SUCCEEDED", CallbackDetails: { ...CallbackDetails, Result: "first" } })
        return { CheckpointToken, NewExecutionState: { Operations: [service.record("approval")] } }
      })
      const body = Effect.flatMap(Durable.callback("approval"), (callback) => callback.await)
      const output = yield* service.invoke(DurableHandler.make(kit.Anything, () => body, service.handlerOptions))
      assert.deepStrictEqual(output, { Status: "SUCCEEDED", Result: '"first"' })
    })
  )

  it.effect("a race with a timer: whoever is first decides, in every replay", () =>
    Effect.gen(function* () {
      const race = Effect.gen(function* () {
        const { await: answer } = yield* Durable.callback("approval")
        const winner = yield* Effect.raceFirst(
          Effect.map(answer, (text) => `answer ${text}`),
          Effect.as(Durable.wait("deadline", "10 seconds"), "deadline")
        )
        yield* Durable.wait("replay", "1 second")
        return winner
      })
      const answered = yield* kit.start(race)
      yield* TestRunner.advance("9 seconds")
      yield* outside.succeed(answered, "approval", "in time")
      yield* TestRunner.advance("1 second")
      yield* TestRunner.advance("5 seconds")
      assert.strictEqual(yield* answered.result, "answer in time")

      const late = yield* kit.start(race)
      yield* TestRunner.advance("10 seconds")
      yield* outside.succeed(late, "approval", "too late") // still open at the service: nobody can cancel it
      yield* TestRunner.advance("5 seconds")
      assert.strictEqual(yield* late.result, "deadline")
    }).pipe(Effect.provide(layerClock))
  )

  it.effect("works in a child context, where it was created", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Durable.childContext(
          "child",
          Effect.flatMap(Durable.callback("approval", { error: CardDeclined }), (callback) => callback.await),
          { error: CardDeclined }
        )
      )
      yield* outside.fail(execution, "approval", { ErrorType: "Rejected", ErrorMessage: "no" })
      const error = yield* Effect.flip(execution.result)
      // its class comes back through the context and the execution
      assert(error instanceof CallbackFailed)
      assert.deepStrictEqual([error.operation, error.type, error.message], ["approval", "Rejected", "no"])
      const context = yield* execution.operation("child")
      assert.strictEqual((yield* execution.operation("approval")).ParentId, context.Id)
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("in another context than its own it is refused with a message", () =>
    Effect.gen(function* () {
      const fault = yield* kit.faultOf(
        Effect.flatMap(Durable.callback("approval"), (callback) => Durable.childContext("child", callback.await))
      )
      assert.strictEqual(fault.type, "InvalidOperation")
      assert.match(
        fault.message,
        /^CALLBACK "approval" \(.*\) was created in the workflow, but is awaited in child context "child"\..* await it where it was created, or create it where it is awaited\.$/
      )
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("in a finalizer of a context that lost a race it is refused with a message", () =>
    Effect.gen(function* () {
      const loser = Effect.gen(function* () {
        const { await: answer } = yield* Durable.callback("approval")
        yield* Effect.onInterrupt(Durable.wait("long", "1 day"), () => Effect.ignore(answer))
      })
      const gate = Promise.withResolvers<void>()
      const winner = Durable.step(
        "winner",
        Effect.promise(() => gate.promise)
      )
      const execution = yield* kit.start(
        Effect.andThen(Effect.raceFirst(Durable.childContext("loser", loser), winner), Durable.wait("after", "1 day"))
      )
      yield* outside.until(execution, "long", "WAIT")
      gate.resolve()
      const fault = yield* Effect.flip(execution.result)
      assert.match(
        (fault as Error).message,
        /^CALLBACK "approval" was reached in child context "loser", in a finalizer or an uninterruptible part of it, after that context had been interrupted/
      )
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("in a finalizer of a body that suspends it does nothing, and nothing hangs", () =>
    Effect.gen(function* () {
      let after = 0
      const execution = yield* kit.start(
        Effect.gen(function* () {
          const { await: answer } = yield* Durable.callback("approval")
          const finalizer = Effect.andThen(
            Effect.ignore(answer),
            Effect.sync(() => after++)
          )
          return yield* Effect.onInterrupt(Effect.as(Durable.wait("w", "1 hour"), "done"), () => finalizer)
        })
      )
      assert.strictEqual(yield* execution.result, "done")
      assert.strictEqual(after, 0)
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("in a step it is refused with a message", () =>
    Effect.gen(function* () {
      const fault = yield* kit.faultOf(
        Effect.flatMap(Durable.callback("approval"), (callback) =>
          Durable.step("step", Effect.asVoid(callback.await) as unknown as Effect.Effect<void>)
        )
      )
      assert.strictEqual(fault.type, "InvalidOperation")
      assert.match(fault.message, /^Durable\.callback\("approval"\) was run inside a step\./)
    }).pipe(Effect.provide(layerSkipping))
  )
})

describe("callback: timeouts", () => {
  it.effect("nobody answers in time", () =>
    answered(
      { timeout: "5 seconds" },
      () => Effect.void,
      Exit.fail(new CallbackTimedOut({ operation: "approval", kind: "timeout" }))
    ).pipe(Effect.provide(layerSkipping))
  )

  it.effect("no heartbeat comes in time", () =>
    answered(
      { timeout: "5 hours", heartbeatTimeout: "5 seconds" },
      () => Effect.void,
      Exit.fail(new CallbackTimedOut({ operation: "approval", kind: "heartbeat" }))
    ).pipe(Effect.provide(layerSkipping))
  )

  it("each says what happened", () => {
    assert.strictEqual(
      new CallbackTimedOut({ operation: "approval", kind: "timeout" }).message,
      'Callback "approval" got no answer in time.'
    )
    assert.strictEqual(
      new CallbackTimedOut({ operation: "approval", kind: "heartbeat" }).message,
      'Callback "approval" got no heartbeat in time.'
    )
  })

  it.effect("heartbeats keep it open, and then it is answered", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Effect.flatMap(Durable.callback("approval", { heartbeatTimeout: "5 seconds" }), (callback) => callback.await)
      )
      yield* TestRunner.advance("4 seconds")
      yield* outside.heartbeat(execution, "approval")
      yield* TestRunner.advance("4 seconds")
      yield* outside.heartbeat(execution, "approval")
      yield* TestRunner.advance("4 seconds")
      yield* outside.succeed(execution, "approval", "after 12 seconds")
      assert.strictEqual(yield* execution.result, "after 12 seconds")
    }).pipe(Effect.provide(layerClock))
  )

  it.effect("it times out during a wait, which goes on, and is raised only where it is awaited (4-11)", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Effect.gen(function* () {
          const { await: answer } = yield* Durable.callback("approval", { timeout: "3 seconds" })
          yield* Durable.wait("meanwhile", "6 seconds")
          return yield* Effect.catchTag(answer, "CallbackTimedOut", (error) => Effect.succeed(error.kind))
        })
      )
      yield* TestRunner.advance("3 seconds")
      assert.strictEqual(yield* execution.status, "RUNNING")
      assert.strictEqual(yield* execution.invocations, 2) // the timeout's own, which answers PENDING again
      yield* TestRunner.advance("3 seconds")
      assert.strictEqual(yield* execution.result, "timeout")
    }).pipe(Effect.provide(layerClock))
  )

  it.effect("a late answer is refused by the service, and changes nothing", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Effect.gen(function* () {
          const { await: answer } = yield* Durable.callback("approval", { timeout: "3 seconds" })
          const exit = yield* Effect.exit(answer)
          yield* Durable.wait("replay", "10 seconds")
          return Exit.isFailure(exit)
        })
      )
      const id = yield* outside.idOf(execution, "approval")
      yield* TestRunner.advance("3 seconds")
      const late = yield* Effect.flip(Engine.Engine.use((engine) => engine.succeedCallback(id, "late")))
      assert.strictEqual(late.errorName, "CallbackTimeoutException")
      yield* TestRunner.advance("10 seconds")
      assert.isTrue(yield* execution.result)
    }).pipe(Effect.provide(layerClock))
  )
})

describe("callback: crashes", () => {
  for (const fault of ["CrashBefore", "CrashAfter", "DropResponse", "StaleToken", "Throttle"] as const) {
    for (const call of [1, 2]) {
      it.effect(`${fault} at call ${call}: the same id, the same answer`, () =>
        Effect.gen(function* () {
          const ids = new Set<string>()
          let steps = 0
          const execution = yield* kit.start(
            Effect.gen(function* () {
              const { await: answer, callbackId } = yield* Durable.callback("approval")
              ids.add(callbackId)
              yield* Durable.step(
                "hand-out",
                Effect.sync(() => void steps++)
              )
              return yield* answer
            })
          )
          yield* outside.until(execution, "hand-out", "STEP", "SUCCEEDED")
          yield* outside.succeed(execution, "approval", "ok")
          assert.strictEqual(yield* execution.result, "ok")
          assert.strictEqual(ids.size, 1)
          assert.isAtMost(steps, 2)
        }).pipe(Effect.provide(layerFaulty((at) => (at.call === call && at.updates > 0 ? fault : undefined))))
      )
    }
  }
})
