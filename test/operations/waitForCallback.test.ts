// @effect-diagnostics globalDateInEffect:off
import { assert, describe, it } from "@effect/vitest"
import { Durable } from "effect-durable-lambda"
import { CallbackFailed, CallbackSubmitFailed, CallbackTimedOut } from "effect-durable-lambda/DurableError"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as kit from "./kit.ts"
import { CardDeclined, Unavailable } from "./kit.ts"
import * as outside from "./outside.kit.ts"

const { layerClock, layerFaulty, layerSkipping } = outside

type Execution = TestRunner.TestExecution<unknown, unknown>

/** What the body saw, live and on replay, when the outside had completed the callback. */
const answered = (
  effect: kit.Body,
  complete: (execution: Execution) => Effect.Effect<unknown, unknown, any>,
  expected: Exit.Exit<unknown, unknown>
) =>
  Effect.gen(function* () {
    const seen: Array<Exit.Exit<unknown, unknown>> = []
    const execution = yield* kit.start(
      Effect.gen(function* () {
        seen.push(yield* Effect.exit(effect))
        yield* Durable.wait("replay", "1 second")
      })
    )
    yield* complete(execution)
    yield* execution.result
    assert.deepStrictEqual(seen.map(kit.shown), [kit.shown(expected), kit.shown(expected)])
    const classOf = (exit: Exit.Exit<unknown, unknown>) =>
      Object.getPrototypeOf(Object(Option.getOrUndefined(Exit.findErrorOption(exit))))
    for (const exit of seen) assert.strictEqual(classOf(exit), classOf(expected), "another class")
    return execution
  })

const approve = (options?: Durable.WaitForCallbackOptions<never, any, any, any, any, never>) =>
  Durable.waitForCallback("approval", () => Effect.void, options) as Effect.Effect<unknown, unknown, Durable.Requires>

describe("waitForCallback: handing out and waiting", () => {
  it.effect("a context of a callback and a step, in the order of the wire, and nothing else", () =>
    Effect.gen(function* () {
      const ids: Array<string> = []
      const execution = yield* answered(
        Durable.waitForCallback("approval", (id) => Effect.sync(() => ids.push(id))),
        (execution) =>
          Effect.andThen(
            outside.until(execution, "approval", "STEP", "SUCCEEDED"),
            outside.succeed(execution, "approval", "yes")
          ),
        Exit.succeed("yes")
      )
      const [context, callback, step] = yield* execution.operations
      assert.deepStrictEqual(
        [context, callback, step].map((operation) => [operation?.Type, operation?.SubType, operation?.Name]),
        [
          ["CONTEXT", "WaitForCallback", "approval"],
          ["CALLBACK", "Callback", "approval"],
          ["STEP", "Step", "approval"]
        ]
      )
      assert.deepStrictEqual([callback?.ParentId, step?.ParentId], [context!.Id, context!.Id])
      assert.strictEqual(new Set([context!.Id, callback!.Id, step!.Id]).size, 3)
      assert.deepStrictEqual(ids, [callback?.CallbackDetails?.CallbackId]) // handed out once, replays included
      assert.isUndefined(step?.StepDetails?.Result) // what the submitter gives is nobody's business
      // the text as JSON, as AWS's SDK writes it (section 17.1)
      assert.strictEqual(context?.ContextDetails?.Result, '"yes"')
      const lines = yield* kit.operationsOf(execution)
      assert.deepStrictEqual(
        lines.filter((line) => line.includes("approval")).map((line) => line.split(" ")[0]),
        ["ContextStarted", "CallbackStarted", "StepStarted", "StepSucceeded", "CallbackSucceeded", "ContextSucceeded"]
      )
    }).pipe(Effect.provide(layerSkipping))
  )

  const texts: ReadonlyArray<readonly [what: string, text: string | undefined]> = [
    ["plain text", "yes, do it"],
    ["JSON text, with its quotes", '"hello"'],
    ["no payload", undefined]
  ]
  for (const [what, text] of texts) {
    it.effect(`without a schema: ${what} (7-15)`, () =>
      answered(approve(), (execution) => outside.succeed(execution, "approval", text), Exit.succeed(text)).pipe(
        Effect.provide(layerSkipping)
      )
    )
  }

  it.effect("with a schema, and with a text codec", () =>
    Effect.gen(function* () {
      yield* answered(
        approve({ success: Schema.Struct({ at: Schema.DateFromString }) }),
        (execution) => outside.succeed(execution, "approval", '{"at": "2026-01-02T00:00:00.000Z"}'),
        Exit.succeed({ at: new Date("2026-01-02T00:00:00.000Z") })
      )
      const execution = yield* answered(
        approve({ success: Durable.text(Schema.NumberFromString) }),
        (execution) => outside.succeed(execution, "approval", "42"),
        Exit.succeed(42)
      )
      assert.strictEqual((yield* execution.operation("approval")).ContextDetails?.Result, "42")
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("an answer that comes before the submitter has ended", () =>
    Effect.gen(function* () {
      const gate = Promise.withResolvers<void>()
      yield* answered(
        Durable.waitForCallback("approval", () => Effect.promise(() => gate.promise)),
        (execution) =>
          Effect.andThen(
            outside.succeed(execution, "approval", "early"),
            Effect.sync(() => gate.resolve())
          ),
        Exit.succeed("early")
      )
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("two at once, answered in the other order", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Effect.all(
          [Durable.waitForCallback("first", () => Effect.void), Durable.waitForCallback("second", () => Effect.void)],
          { concurrency: "unbounded" }
        )
      )
      yield* outside.invoked(execution, 1)
      yield* outside.succeed(execution, "second", "2")
      yield* outside.invoked(execution, 2)
      yield* outside.succeed(execution, "first", "1")
      assert.deepStrictEqual(yield* execution.result, ["1", "2"])
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("in a child context (7-8)", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(Durable.childContext("outer", approve()))
      yield* outside.succeed(execution, "approval", "ok")
      assert.strictEqual(yield* execution.result, "ok")
      const outer = yield* execution.operation("outer")
      assert.strictEqual((yield* execution.operation("approval")).ParentId, outer.Id)
    }).pipe(Effect.provide(layerSkipping))
  )
})

describe("waitForCallback: failures", () => {
  it.effect("of the outside (7-4)", () =>
    answered(
      approve(),
      (execution) => outside.fail(execution, "approval", { ErrorType: "RejectedError", ErrorMessage: "not approved" }),
      Exit.fail(new CallbackFailed({ operation: "approval", type: "RejectedError", message: "not approved" }))
    ).pipe(Effect.provide(layerSkipping))
  )

  it.effect("of the outside, as its own class", () =>
    answered(
      approve({ error: CardDeclined }),
      (execution) =>
        outside.fail(execution, "approval", {
          ErrorType: "CardDeclined",
          ErrorData: '{"_tag":"CardDeclined","reason":"limit"}'
        }),
      Exit.fail(new CardDeclined({ reason: "limit" }))
    ).pipe(Effect.provide(layerSkipping))
  )

  it.effect("an answer that the schema does not accept", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(approve({ success: Schema.Struct({ amount: Schema.Number }) }))
      yield* outside.succeed(execution, "approval", "what?")
      const error = yield* Effect.flip(execution.result)
      assert(error instanceof CallbackFailed)
      assert.strictEqual(error.type, "InvalidResult")
      assert.match(error.message, /^Callback "approval" was completed with what its `success` schema does not accept/)
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("nobody answers, or nobody sends heartbeats, in time (7-5, 7-14)", () =>
    Effect.gen(function* () {
      yield* answered(
        approve({ timeout: "5 seconds" }),
        () => Effect.void,
        Exit.fail(new CallbackTimedOut({ operation: "approval", kind: "timeout" }))
      )
      yield* answered(
        approve({ heartbeatTimeout: "5 seconds" }),
        () => Effect.void,
        Exit.fail(new CallbackTimedOut({ operation: "approval", kind: "heartbeat" }))
      )
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("heartbeats keep it open (7-13)", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(approve({ heartbeatTimeout: "5 seconds" }))
      yield* TestRunner.advance("4 seconds")
      yield* outside.heartbeat(execution, "approval")
      yield* TestRunner.advance("4 seconds")
      yield* outside.succeed(execution, "approval", "ok")
      assert.strictEqual(yield* execution.result, "ok")
    }).pipe(Effect.provide(layerClock))
  )

  it.effect("of the submitter: retried by its own schedule, then the callback stays open (7-7)", () =>
    Effect.gen(function* () {
      const attempts: Array<number> = []
      const execution = yield* answered(
        Durable.waitForCallback(
          "approval",
          () =>
            Effect.flatMap(Durable.CurrentStep, ({ attempt }) => {
              attempts.push(attempt)
              return new Unavailable({ retryable: true })
            }),
          { retry: Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 1 })) }
        ),
        () => Effect.void,
        Exit.fail(
          new CallbackSubmitFailed({
            operation: "approval",
            type: "Unavailable",
            message: "",
            data: { retryable: true }
          })
        )
      )
      assert.deepStrictEqual(attempts, [1, 2])
      const statuses = (yield* execution.operations).map(({ Status, Type }) => [Type, Status])
      assert.deepStrictEqual(statuses.slice(0, 3), [
        ["CONTEXT", "FAILED"],
        ["CALLBACK", "STARTED"],
        ["STEP", "FAILED"]
      ])
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("the submitter's retry sees its error", () =>
    Effect.gen(function* () {
      let runs = 0
      const error = yield* Effect.flip(
        kit.run(
          Durable.waitForCallback(
            "approval",
            () => Effect.suspend(() => (runs++, Effect.fail(new Unavailable({ retryable: runs < 3 })))),
            { retry: { times: 9, while: (error) => error.retryable } }
          )
        )
      )
      assert(error instanceof CallbackSubmitFailed)
      assert.strictEqual(runs, 3)
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a defect of the submitter is one, wherever it is thrown", () =>
    Effect.gen(function* () {
      for (const submit of [
        (): Effect.Effect<void> => {
          throw new Error("boom")
        },
        () => Effect.die(new Error("boom"))
      ]) {
        yield* kit.sees(Durable.waitForCallback("approval", submit), Exit.die(new Error("boom")))
      }
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("classes survive the end of the execution", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(approve({ timeout: "5 seconds" }))
      const timedOut = yield* Effect.flip(execution.result)
      assert(timedOut instanceof CallbackTimedOut)
      assert.strictEqual(timedOut.kind, "timeout")
    }).pipe(Effect.provide(layerSkipping))
  )
})

describe("waitForCallback: misuse, racing, crashing", () => {
  it.effect("bad options end the execution before anything is sent", () =>
    Effect.gen(function* () {
      for (const [options, message] of [
        [{ timeout: 0 }, /^Durable\.waitForCallback\("approval"\): its timeout is 0 ms/],
        [{ heartbeatTimeout: "never" as never }, /its heartbeatTimeout is never, which is no duration/]
      ] as const) {
        const execution = yield* kit.start(approve(options))
        const fault = yield* Effect.flip(execution.result)
        assert.match((fault as Error).message, message)
        assert.deepStrictEqual(yield* execution.operations, [])
      }
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("a durable operation in the submitter is refused with a message", () =>
    Effect.gen(function* () {
      const fault = yield* kit.faultOf(
        Durable.waitForCallback("approval", (() =>
          Durable.wait("w", "1 second")) as unknown as () => Effect.Effect<void>)
      )
      assert.match(fault.message, /^Durable\.wait\("w"\) was run inside a step\./)
    }).pipe(Effect.provide(layerSkipping))
  )

  it.effect("Effect.timeout around it gives up, in every replay", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Effect.gen(function* () {
          const answer = yield* Effect.timeoutOption(approve(), "10 seconds")
          yield* Durable.wait("replay", "10 seconds")
          return Option.isNone(answer)
        })
      )
      yield* TestRunner.advance("10 seconds")
      yield* outside.succeed(execution, "approval", "too late")
      yield* TestRunner.advance("10 seconds")
      assert.isTrue(yield* execution.result)
    }).pipe(Effect.provide(layerClock))
  )

  it.effect("a failure whose data is full of quotes can be caught as any other", () =>
    Effect.gen(function* () {
      const caught = Effect.catchTag(
        Durable.waitForCallback("c", () => Effect.void),
        "CallbackFailed",
        ({ message, type }) => Effect.succeed([type, message.length > 1_000] as const)
      )
      const execution = yield* kit.start(caught)
      yield* outside.fail(execution, "c", {
        ErrorType: "Refused",
        ErrorMessage: 'said "no" '.repeat(400),
        ErrorData: '"'.repeat(8_000)
      })
      assert.deepStrictEqual(yield* execution.result, ["Refused", true])
    }).pipe(Effect.provide(outside.layerSkipping))
  )

  for (const fault of ["CrashBefore", "CrashAfter", "DropResponse", "StaleToken"] as const) {
    for (const call of [1, 2, 3, 4]) {
      it.effect(`${fault} at call ${call}`, () =>
        Effect.gen(function* () {
          const ids = new Set<string>()
          const execution = yield* kit.start(
            Durable.waitForCallback("approval", (id) => Effect.sync(() => ids.add(id)))
          )
          yield* outside.until(execution, "approval", "STEP", "SUCCEEDED")
          yield* outside.succeed(execution, "approval", "ok")
          assert.strictEqual(yield* execution.result, "ok")
          assert.strictEqual(ids.size, 1)
        }).pipe(Effect.provide(layerFaulty((at) => (at.call === call && at.updates > 0 ? fault : undefined))))
      )
    }
  }
})
