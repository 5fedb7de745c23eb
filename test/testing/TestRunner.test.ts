import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction, DurablePlugin } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import { Engine } from "effect-durable-lambda/engine"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"

class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { reason: Schema.String }) {}
const Remind = DurableFunction.make("remind", { payload: Schema.String, success: Schema.String, error: CardDeclined })

const remind = (who: string) =>
  Effect.andThen(Durable.wait("three-days", "3 days"), Durable.step("remind", Effect.succeed(`Hello, ${who}!`)))

describe("TestRunner", () => {
  it.effect("skips a wait of three days", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Remind, remind, "Ada")
      assert.strictEqual(yield* execution.result, "Hello, Ada!")
      assert.strictEqual(yield* execution.invocations, 2)
      assert.strictEqual(
        yield* execution.timeline,
        [
          'ExecutionStarted "Ada"',
          'WaitStarted "three-days" 259200 s',
          "InvocationCompleted",
          'WaitSucceeded "three-days"',
          'StepStarted "remind"',
          'StepSucceeded "remind" "Hello, Ada!"',
          "InvocationCompleted",
          'ExecutionSucceeded "Hello, Ada!"'
        ].join("\n")
      )
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("follows the test's clock", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Remind, remind, "Ada")
      yield* TestRunner.advance(Duration.subtract(Duration.days(3), Duration.millis(1)))
      assert.strictEqual(yield* execution.status, "RUNNING")
      yield* TestRunner.advance("1 millis")
      assert.strictEqual(yield* execution.result, "Hello, Ada!")
    }).pipe(Effect.provide(TestRunner.layerMemoryClock))
  )

  it.effect("works with TestClock.adjust, once the workflow waits", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Remind, remind, "Ada")
      yield* TestRunner.advance(0)
      yield* TestClock.adjust("3 days")
      assert.strictEqual(yield* execution.result, "Hello, Ada!")
    }).pipe(Effect.provide(TestRunner.layerMemoryClock))
  )

  it.effect("gives the definition's error as its class", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(
        TestRunner.run(
          Remind,
          () =>
            Durable.step("charge", Effect.fail(new CardDeclined({ reason: "limit" })), {
              error: CardDeclined,
              retry: Durable.noRetry
            }),
          "Ada"
        )
      )
      assert.deepStrictEqual(exit, Exit.fail(new CardDeclined({ reason: "limit" })))
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("runs a hundred executions at once", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 100 }, (_, i) => `n${i}`)
      const results = yield* Effect.forEach(names, (name) => TestRunner.run(Remind, remind, name), {
        concurrency: "unbounded"
      })
      assert.deepStrictEqual(
        results,
        names.map((name) => `Hello, ${name}!`)
      )
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("skips what a step sleeps", () =>
    Effect.gen(function* () {
      const slow = Durable.step("slow", Effect.delay(Effect.succeed("done"), "2 hours"))
      const late = Effect.as(Durable.wait("late", "3 hours"), "late")
      const retried = Durable.step(
        "retried",
        Effect.retry(Effect.fail("no"), { times: 3, schedule: Schedule.spaced("20 minutes") }),
        { retry: Durable.noRetry }
      ).pipe(Effect.catchTag("StepFailed", () => Effect.succeed("gave up")))
      assert.strictEqual(yield* TestRunner.run(Remind, () => Effect.raceFirst(slow, late), ""), "done")
      assert.strictEqual(
        yield* TestRunner.run(
          Remind,
          () => Effect.raceFirst(slow, Effect.as(Durable.wait("soon", "1 hour"), "soon")),
          ""
        ),
        "soon"
      )
      const execution = yield* TestRunner.start(Remind, () => Effect.zipWith(slow, retried, (a, b) => a + b), "")
      assert.strictEqual(yield* execution.result, "donegave up")
      const { EndTimestamp = 0, StartTimestamp = 0 } = yield* execution.operation("slow")
      assert.approximately(EndTimestamp - StartTimestamp, 7_200_000, 60_000)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("does not skip what a step does for real, whatever waits meanwhile", () =>
    Effect.gen(function* () {
      // its fiber waits for others: one of them sleeps, the other is at work, for all that anybody knows
      const work = Durable.step(
        "work",
        Effect.promise(() => new Promise<string>((resolve) => setTimeout(() => resolve("done"), 50))).pipe(
          Effect.timeout("1 minute"),
          Effect.orDie
        )
      )
      const late = Effect.as(Durable.wait("late", "1 hour"), "late")
      const asleep = Durable.step("asleep", Effect.as(Effect.sleep("1 day"), "asleep"))
      assert.strictEqual(yield* TestRunner.run(Remind, () => Effect.raceAllFirst([work, late, asleep]), ""), "done")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})

// ---- the outside -----------------------------------------------------------------------------------------------

class Refused extends Schema.TaggedError<Refused>()("Refused", { why: Schema.String }) {}
const Approval = { success: Schema.Struct({ by: Schema.String }), error: Refused }
const Order = DurableFunction.make("order", { payload: Schema.String, success: Schema.String, error: Refused })

const approved = (order: string) =>
  Effect.gen(function* () {
    const asked = Durable.step("reserve", Effect.void)
    yield* asked
    const { by } = yield* Durable.waitForCallback("approval", () => Effect.void, {
      ...Approval,
      timeout: "3 days",
      heartbeatTimeout: "1 day"
    })
    return `${order} approved by ${by}`
  }).pipe(Effect.catchTag("CallbackTimedOut", ({ kind }) => Effect.succeed(kind)))

describe("callbacks", () => {
  for (const [name, layer] of [
    ["layerMemory", TestRunner.layerMemory],
    ["layerMemoryClock", TestRunner.layerMemoryClock]
  ] as const) {
    it.effect(`${name}: are answered before they exist`, () =>
      Effect.gen(function* () {
        yield* TestRunner.onCallback("approval", Effect.succeed({ by: "Ada" }), Approval)
        assert.strictEqual(yield* TestRunner.run(Order, approved, "tea"), "tea approved by Ada")
      }).pipe(Effect.provide(layer))
    )

    it.effect(`${name}: by an Exit, with an error of the schema`, () =>
      Effect.gen(function* () {
        yield* TestRunner.onCallback("approval", Exit.fail(new Refused({ why: "no money" })), Approval)
        const execution = yield* TestRunner.start(Order, approved, "tea")
        yield* execution.expect({ error: new Refused({ why: "no money" }), attempts: { reserve: 1 } })
      }).pipe(Effect.provide(layer))
    )

    it.effect(`${name}: when the test comes to it, however early it asks`, () =>
      Effect.gen(function* () {
        const execution = yield* TestRunner.start(Order, approved, "tea")
        const approval = yield* execution.callback("approval", Approval)
        yield* approval.succeed({ by: "Bob" })
        assert.strictEqual(yield* execution.result, "tea approved by Bob")
      }).pipe(Effect.provide(layer))
    )

    it.effect(`${name}: one after the other, by number`, () =>
      Effect.gen(function* () {
        yield* TestRunner.onCallback("more", ({ nth }) => Effect.succeed(nth < 3 ? "again" : "enough"))
        const body = () =>
          Effect.repeat(
            Durable.waitForCallback("more", () => Effect.void),
            { until: (text) => text === "enough" }
          ).pipe(Effect.map((text) => text ?? ""))
        const execution = yield* TestRunner.start(Order, body, "")
        assert.strictEqual(yield* execution.result, "enough")
        assert.lengthOf(
          (yield* execution.operations).filter(({ Type }) => Type === "CALLBACK"),
          3
        )
      }).pipe(Effect.provide(layer))
    )
  }

  it.effect("an answer declared while it is waited for", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Order, approved, "tea")
      yield* TestRunner.advance("1 hour")
      yield* TestRunner.onCallback("approval", Effect.succeed({ by: "Ada" }), Approval)
      assert.strictEqual(yield* execution.result, "tea approved by Ada")
    }).pipe(Effect.provide(TestRunner.layerMemoryClock))
  )

  it.effect("an answer may take its time, also too much of it", () =>
    Effect.gen(function* () {
      yield* TestRunner.onCallback("approval", Effect.delay(Effect.succeed({ by: "Ada" }), "23 hours"), Approval)
      assert.strictEqual(yield* TestRunner.run(Order, approved, "tea"), "tea approved by Ada")
      yield* TestRunner.onCallback("approval", Effect.delay(Effect.succeed({ by: "Ada" }), "25 hours"), Approval)
      assert.strictEqual(yield* TestRunner.run(Order, approved, "tea"), "heartbeat")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("heartbeats, time by time", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Order, approved, "tea")
      const approval = yield* execution.callback("approval", Approval)
      for (const _ of [1, 2]) {
        yield* TestRunner.advance("20 hours")
        yield* approval.heartbeat
      }
      yield* TestRunner.advance("20 hours")
      yield* approval.fail({ type: "OutOfOffice", message: "in Rome" })
      const error = yield* Effect.flip(execution.result)
      assert.deepInclude({ ...error }, { _tag: "CallbackFailed", type: "OutOfOffice" })
    }).pipe(Effect.provide(TestRunner.layerMemoryClock))
  )

  it.effect("what nobody answers times out; what nobody asks is said so", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Order, approved, "tea")
      assert.strictEqual(yield* execution.result, "heartbeat")
      const exit = yield* Effect.exit(execution.callback("aproval"))
      assert(Exit.isFailure(exit))
      const { message } = Cause.squash(exit.cause) as Error
      assert.match(message, /there is no callback "aproval"[^]*CallbackTimedOut "approval"/)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("an answer that its own schema refuses is a mistake of the test", () =>
    Effect.gen(function* () {
      yield* TestRunner.onCallback("approval", Effect.succeed({ by: 7 as unknown as string }), Approval)
      const exit = yield* Effect.exit(TestRunner.run(Order, approved, "tea"))
      assert(Exit.isFailure(exit))
      assert.match((Cause.squash(exit.cause) as Error).message, /The answer to callback "approval" cannot be written/)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})

class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { item: Schema.String }) {}
const Ship = DurableFunction.make("ship", { payload: Schema.String, success: Schema.String, error: OutOfStock })
const shipped = (item: string) =>
  Durable.invoke("shipping", Ship, item, { functionName: "ship:live" }).pipe(
    Effect.catchTags({
      OutOfStock: ({ item }) => Effect.succeed(`no ${item}`),
      InvokeFailed: ({ message, status, type }) => Effect.succeed(`${status} ${type} ${message}`)
    })
  )

describe("invoked functions", () => {
  it.effect("a stand-in gets the payload, and gives, fails or takes its time", () =>
    Effect.gen(function* () {
      yield* TestRunner.onInvoke("ship:live", Ship, (item) =>
        item === "tea"
          ? Effect.delay(Effect.succeed(`${item} on its way`), "2 days")
          : item === "unicorn"
            ? Effect.fail(new OutOfStock({ item }))
            : Effect.fail({ type: "Strike", message: "all week" })
      )
      const execution = yield* TestRunner.start(Order, shipped, "tea")
      assert.strictEqual(yield* execution.result, "tea on its way")
      const { EndTimestamp = 0, StartTimestamp = 0 } = yield* execution.operation("shipping")
      assert.approximately(EndTimestamp - StartTimestamp, 2 * 86_400_000, 60_000)
      assert.strictEqual(yield* TestRunner.run(Order, shipped, "unicorn"), "no unicorn")
      assert.strictEqual(yield* TestRunner.run(Order, shipped, "cup"), "FAILED Strike all week")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("a stand-in that the test answers while it is asked", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<string>()
      const answer = yield* Deferred.make<string>()
      yield* TestRunner.onInvoke("ship:live", Ship, (item) =>
        Effect.andThen(Deferred.succeed(asked, item), Deferred.await(answer))
      )
      const execution = yield* TestRunner.start(Order, shipped, "tea")
      assert.strictEqual(yield* Deferred.await(asked), "tea")
      yield* Deferred.succeed(answer, "sent")
      assert.strictEqual(yield* execution.result, "sent")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("a plain function, by its schemas", () =>
    Effect.gen(function* () {
      const schemas = { payload: Schema.Struct({ a: Schema.Int }), success: Schema.Int }
      yield* TestRunner.onInvoke("double", schemas, ({ a }) =>
        a > 100 ? Effect.fail({ type: "TooLarge", message: "for me" }) : Effect.succeed(a * 2)
      )
      const body = (a: string) =>
        Durable.invoke("double", schemas, { a: Number(a) }, { functionName: "double" }).pipe(
          Effect.map(String),
          Effect.catchTag("InvokeFailed", ({ type }) => Effect.succeed(type))
        )
      assert.strictEqual(yield* TestRunner.run(Order, body, "4"), "8")
      assert.strictEqual(yield* TestRunner.run(Order, body, "400"), "TooLarge")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("another workflow, for real", () =>
    Effect.gen(function* () {
      yield* TestRunner.register("ship:live", Ship, (item) =>
        Effect.andThen(Durable.wait("packing", "1 hour"), Durable.step("pack", Effect.succeed(`${item} packed`)))
      )
      assert.strictEqual(yield* TestRunner.run(Order, shipped, "tea"), "tea packed")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})

// ---- one runner, several tests ----------------------------------------------------------------------------------

describe("a runner that tests share", () => {
  class Greeting extends Context.Service<Greeting, string>()("Greeting") {}
  const greet = () =>
    Effect.gen(function* () {
      yield* Durable.wait("a day", "1 day")
      return yield* Durable.step("greet", Effect.map(Greeting, String))
    })

  for (const [name, layer] of [
    ["layerMemory", TestRunner.layerMemory],
    ["layerMemoryClock", TestRunner.layerMemoryClock]
  ] as const) {
    it.effect(`${name}: each execution keeps the services and the options of its own test`, () =>
      Effect.gen(function* () {
        const logged: Array<string> = []
        const plugin = (name: string) =>
          DurablePlugin.make({ name, onInvocationStart: () => Effect.sync(() => logged.push(name)) })
        const start = (who: string) =>
          Effect.provideService(
            TestRunner.start(Remind, greet, who, { plugins: [plugin(who)] }),
            Greeting,
            `Hello from ${who}`
          )
        const ada = yield* start("Ada")
        const bob = yield* start("Bob")
        yield* TestRunner.advance("2 days")
        assert.deepStrictEqual([yield* ada.result, yield* bob.result], ["Hello from Ada", "Hello from Bob"])
        assert.deepStrictEqual(logged.toSorted(), ["Ada", "Ada", "Bob", "Bob"])
      }).pipe(Effect.provide(layer))
    )

    it.effect(`${name}: two definitions with the same body`, () =>
      Effect.gen(function* () {
        const Numbers = DurableFunction.make("numbers", { payload: Schema.Int, success: Schema.Int })
        const Texts = DurableFunction.make("texts", { payload: Schema.String, success: Schema.String })
        const echo = (value: any) => Effect.as(Durable.wait("w", "1 hour"), value)
        const number = yield* TestRunner.start(Numbers, echo, 7)
        const text = yield* TestRunner.start(Texts, echo, "seven")
        yield* TestRunner.advance("2 hours")
        assert.deepStrictEqual([yield* number.result, yield* text.result], [7, "seven"])
      }).pipe(Effect.provide(layer))
    )
  }
})

// ---- assertions --------------------------------------------------------------------------------------------------

const failing = () =>
  Effect.gen(function* () {
    const flaky = Durable.step("flaky", Effect.fail("busy"), {
      retry: { times: 1, schedule: Schedule.spaced("1 hour") }
    })
    const inner = Effect.catchTag(flaky, "StepFailed", () => Effect.succeed(7))
    return `${yield* Durable.childContext("inner", inner)}`
  })

const defectOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.exit(effect), (exit) => {
    assert(Exit.isFailure(exit), "it did not fail")
    const defect = Cause.squash(exit.cause)
    assert(defect instanceof Error)
    return defect
  })

describe("failures of a test", () => {
  const price = (order: { readonly cents: number } | undefined) => order!.cents
  const thrown = Effect.sync(() => String(price(undefined)))
  /** The first line of a stack below the message. */
  const firstFrame = (error: unknown) => (error as Error).stack?.split("\n").find((line) => line.startsWith("    at "))

  it.effect("what is thrown in a step or in the body has the stack of where it was thrown", () =>
    Effect.gen(function* () {
      for (const body of [
        () => Durable.step("price", thrown),
        () => Effect.andThen(Durable.wait("w", "1 day"), thrown),
        () => Durable.childContext("c", Durable.step("price", thrown))
      ]) {
        const defect = yield* TestRunner.run(Remind, body, "Ada").pipe(
          Effect.sandbox,
          Effect.flip,
          Effect.map(Cause.squash)
        )
        assert.strictEqual((defect as Error).name, "TypeError")
        assert.match(String(firstFrame(defect)), /at price .*TestRunner\.test\.ts/)
        assert.match((defect as Error).stack!, /^TypeError: Cannot read properties of undefined \(reading 'cents'\)\n/)
      }
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("so has what a step fails with, covered or not", () =>
    Effect.gen(function* () {
      const decline = () => new CardDeclined({ reason: "limit" })
      const covered = yield* Effect.flip(
        TestRunner.run(
          Remind,
          () => Durable.step("s", Effect.suspend(decline), { error: CardDeclined, retry: Durable.noRetry }),
          "Ada"
        )
      )
      assert.instanceOf(covered, CardDeclined)
      assert.match(String(firstFrame(covered)), /at decline .*TestRunner\.test\.ts/)
      const call = () => price(undefined)
      const failed = yield* Effect.flip(
        TestRunner.run(
          Remind,
          () =>
            Effect.as(
              Durable.step("s", Effect.try({ try: call, catch: (e) => e as Error }), { retry: Durable.noRetry }),
              ""
            ),
          "Ada"
        )
      )
      assert.match((failed as Error).stack!, /^StepFailed: Cannot read/)
      assert.match(String(firstFrame(failed)), /at price .*TestRunner\.test\.ts/)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("an expectation that failed because the execution did has that as its cause", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Remind, () => Durable.step("price", thrown), "Ada")
      const error = yield* execution
        .expect({ result: "Hello" })
        .pipe(Effect.sandbox, Effect.flip, Effect.map(Cause.squash))
      assert.match(String(firstFrame((error as Error).cause)), /at price /)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("a payload that does not fit says so", () =>
    Effect.gen(function* () {
      const five = 5 as unknown as string
      const error = yield* TestRunner.run(Remind, remind, five).pipe(
        Effect.sandbox,
        Effect.flip,
        Effect.map(Cause.squash)
      )
      assert.match(
        (error as Error).message,
        /^The payload of "remind" is not what its definition declares: Expected string/
      )
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})

describe("assertions", () => {
  it.effect("hold", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Remind, failing, "Ada")
      yield* execution.expect({
        result: "7",
        status: "SUCCEEDED",
        invocations: 2,
        operations: { flaky: "FAILED", inner: "SUCCEEDED" },
        attempts: { flaky: 2, other: 0 },
        runs: { flaky: 2 }
      })
      const declined = yield* TestRunner.start(
        Remind,
        () =>
          Durable.step("charge", Effect.fail(new CardDeclined({ reason: "limit" })), {
            error: CardDeclined,
            retry: Durable.noRetry
          }),
        "Ada"
      )
      yield* declined.expect({ error: new CardDeclined({ reason: "limit" }), status: "FAILED" })
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("that fail say everything that is different, and print the timeline", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Remind, failing, "Ada")
      const { message } = yield* defectOf(
        execution.expect({
          result: "8",
          status: "FAILED",
          invocations: 1,
          operations: { inner: "FAILED", outer: "STARTED" },
          attempts: { flaky: 3 },
          runs: { flaky: 1 }
        })
      )
      assert.strictEqual(
        message,
        [
          "remind is not as expected:",
          "  result: expected '8', got '7'",
          "  status: expected 'FAILED', got 'SUCCEEDED'",
          "  invocations: expected 1, got 2",
          "  operation \"inner\": expected 'FAILED', got 'SUCCEEDED'",
          '  operation "outer": expected STARTED, got There is no operation "outer" yet. There are: "inner", "flaky".',
          '  attempts of "flaky": expected 3, got 2',
          '  runs of "flaky": expected 1, got 2',
          "",
          "Timeline of remind (SUCCEEDED):",
          '      +0 ms  ExecutionStarted "Ada"',
          '      +0 ms  ContextStarted "inner"',
          '      +0 ms    StepStarted "flaky"',
          '      +0 ms    StepFailed "flaky" Failure: busy (next attempt in 3600 s)',
          "      +0 ms  InvocationCompleted",
          '       +1 h    StepStarted "flaky"',
          '       +1 h    StepFailed "flaky" Failure: busy',
          '       +1 h  ContextSucceeded "inner" 7',
          "       +1 h  InvocationCompleted",
          '       +1 h  ExecutionSucceeded "7"'
        ].join("\n")
      )
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of a result where it failed, and of an error where it did not", () =>
    Effect.gen(function* () {
      const declined = yield* TestRunner.start(
        Remind,
        () =>
          Durable.step("charge", Effect.fail(new CardDeclined({ reason: "limit" })), {
            error: CardDeclined,
            retry: Durable.noRetry
          }),
        "Ada"
      )
      const first = yield* defectOf(declined.expect({ result: "paid" }))
      assert.match(first.message, /result: expected 'paid', got failure CardDeclined \{ reason: 'limit' \}/)
      const second = yield* defectOf(declined.expect({ error: new CardDeclined({ reason: "theft" }) }))
      assert.match(
        second.message,
        /error: expected CardDeclined \{ reason: 'theft' \}, got CardDeclined \{ reason: 'limit' \}/
      )
      const fine = yield* TestRunner.start(Remind, failing, "Ada")
      const third = yield* defectOf(fine.expect({ error: new CardDeclined({ reason: "limit" }) }))
      assert.match(third.message, /got result '7'/)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of the end of an execution that waits for ever", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(
        Order,
        () =>
          Effect.map(
            Durable.waitForCallback("approval", () => Effect.void),
            String
          ),
        ""
      )
      const { message } = yield* defectOf(execution.expect({ result: "yes" }))
      assert.match(message, /result: expected 'yes', got it does not end: it waits for CALLBACK "approval" \(STARTED\)/)
      assert.match(message, /Timeline of order \(RUNNING\):[^]*CallbackStarted "approval"/)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  const asks = (name: string) => () =>
    Effect.map(
      Durable.waitForCallback(name, () => Effect.void),
      String
    )

  it.effect("of a result that never comes: it dies with what it waits for, instead of hanging", () =>
    Effect.gen(function* () {
      const { message } = yield* defectOf(TestRunner.run(Order, asks("approval"), ""))
      assert.match(
        message,
        /^order does not end: nothing goes on any more, and it waits for CALLBACK "approval" \(STARTED\)\. Answer it/
      )
      assert.match(message, /Timeline of order \(RUNNING\):[^]*CallbackStarted "approval"/)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of a callback that was taken and forgotten", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Order, asks("approval"), "")
      yield* execution.callback("approval")
      const { message } = yield* defectOf(execution.result)
      assert.match(message, /waits for CALLBACK "approval"/)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of a callback of another name", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Order, asks("approval"), "")
      const { message } = yield* defectOf(execution.callback("aproval"))
      assert.match(
        message,
        /^There is no callback "aproval": nothing goes on any more, and it waits for CALLBACK "approval"/
      )
      assert.match(message, /Timeline of order/)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("not of a result whose answer takes a while of real time", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Order, asks("approval"), "")
      const result = yield* Effect.forkChild(execution.result)
      const callback = yield* execution.callback("approval")
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 500)))
      yield* callback.succeed("late")
      assert.strictEqual(yield* Fiber.join(result), "late")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect.each([
    ["time skipped", TestRunner.layerMemory],
    ["the test's clock", TestRunner.layerMemoryClock]
  ] as const)("of an answer that is given twice, or too late (%s)", ([, layer]) =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Order, asks("approval"), "")
      const callback = yield* execution.callback("approval")
      yield* callback.succeed("yes")
      for (const again of [callback.succeed("no"), callback.fail({ type: "No", message: "" }), callback.heartbeat]) {
        const { message } = yield* defectOf(again)
        assert.match(message, /^The callback "approval" cannot be answered \(any more\): .*already completed\. It is/)
        assert.match(message, /Timeline of order[^]*CallbackSucceeded "approval"/)
      }
      assert.strictEqual(yield* execution.result, "yes")
      const after = yield* defectOf(execution.callback("approval"))
      assert.match(
        after.message,
        /The execution has ended, and there is no callback "approval" to answer\.\n\nTimeline/
      )
    }).pipe(Effect.provide(layer))
  )

  it.effect("of any kind get the timeline by explain; an operation that is not there brings it along", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Remind, failing, "Ada")
      yield* execution.result
      const first = yield* defectOf(execution.explain(Effect.sync(() => assert.strictEqual(1 as number, 2))))
      assert.match(first.message, /expected 1 to equal 2\n\nTimeline of remind[^]*StepFailed "flaky" Failure: busy/)
      const second = yield* defectOf(execution.operation("nothing"))
      assert.match(second.message, /no operation "nothing"[^]*Timeline of remind[^]*StepFailed "flaky" Failure: busy/)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("runs count what is not on record, too", () =>
    Effect.gen(function* () {
      let crashed = false
      const engine = yield* Engine.Engine
      const body = () =>
        Durable.step(
          "once",
          Effect.suspend(() => {
            if (crashed) return Effect.succeed("done")
            crashed = true
            return Effect.andThen(
              Effect.flatMap(engine.list(), ([{ DurableExecutionArn: arn } = { DurableExecutionArn: "" }]) =>
                engine.crash(arn)
              ),
              Effect.never
            )
          }).pipe(Effect.orDie)
        )
      const execution = yield* TestRunner.start(Remind, body, "")
      yield* execution.expect({ result: "done", attempts: { once: 1 }, runs: { once: 2 } })
    }).pipe(Effect.provide(Layer.provideMerge(TestRunner.layer, Layer.fresh(Engine.layerMemory))))
  )

  it.effect("stop", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Remind, remind, "Ada")
      yield* TestRunner.advance("1 day")
      yield* execution.stop({ ErrorType: "Cancelled", ErrorMessage: "by the customer" })
      yield* execution.expect({ status: "STOPPED" })
      assert.strictEqual((yield* Effect.flip(execution.result))._tag, "ExecutionStopped")
    }).pipe(Effect.provide(TestRunner.layerMemoryClock))
  )
})
