import { assert, describe, it } from "@effect/vitest"
import { TestRunner } from "effect-durable-lambda/testing"
import { Effect, Schema } from "effect"
import { Accounts, Trial, trial } from "../../examples/10-testing.ts"

class Locked extends Schema.TaggedError<Locked>()("Locked", {}) {}

/** A service of the test: it fails as often as it is told to, and says how often it was called. */
const makeAccounts = (failures: number) => {
  const calls = { close: 0 }
  const close = () => Effect.suspend(() => (++calls.close <= failures ? Effect.fail(new Locked()) : Effect.void))
  return { calls, service: Accounts.of({ isPaying: (user) => Effect.succeed(user === "Ada"), close }) }
}

describe("examples/10-testing", () => {
  it.effect("time is skipped: result, operations, number of runs", () => {
    const { calls, service } = makeAccounts(2)
    return Effect.gen(function* () {
      const execution = yield* TestRunner.start(Trial, trial, "Bob")
      assert.strictEqual(yield* execution.result, "closed")
      assert.strictEqual((yield* execution.operation("close")).StepDetails?.Attempt, 3)
      assert.strictEqual(calls.close, 3)
    }).pipe(Effect.provide(TestRunner.layerMemory), Effect.provideService(Accounts, service))
  })

  it.effect("time is the test's: nothing happens before the day comes", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Trial, trial, "Ada")
      yield* TestRunner.advance("13 days")
      assert.strictEqual(yield* execution.status, "RUNNING")
      yield* TestRunner.advance("1 day")
      assert.strictEqual(yield* execution.result, "kept")
    }).pipe(Effect.provide(TestRunner.layerMemoryClock), Effect.provideService(Accounts, makeAccounts(0).service))
  )

  it.effect("an execution that fails for good", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(TestRunner.run(Trial, trial, "Bob"))
      assert.strictEqual(error._tag === "StepFailed" && error.type, "Locked")
    }).pipe(Effect.provide(TestRunner.layerMemory), Effect.provideService(Accounts, makeAccounts(Infinity).service))
  )
})
