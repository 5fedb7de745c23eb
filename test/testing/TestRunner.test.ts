import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
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
})
