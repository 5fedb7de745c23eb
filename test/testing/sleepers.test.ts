/** Steps that sleep beside their time-out: time is skipped for them, too. */
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "../operations/kit.ts"

const { noRetry: retry } = Durable

describe("TestRunner: steps that sleep", () => {
  it.effect("with a timeout that they keep", () =>
    Effect.gen(function* () {
      const step = Durable.step("s", Effect.as(Effect.sleep("1 hour"), "x"), { timeout: "2 hours", retry })
      assert.strictEqual(yield* kit.run(step), "x")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("with a timeout that they do not keep", () =>
    Effect.gen(function* () {
      const step = Durable.step("s", Effect.as(Effect.sleep("2 hours"), "x"), { timeout: "1 hour", retry })
      const failed = yield* kit.run(Effect.map(Effect.flip(step), ({ _tag, ...rest }) => ({ _tag, ...rest })))
      assert.deepInclude(failed, { _tag: "StepTimedOut", timeoutMillis: 3_600_000 })
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("beside real work nothing is skipped", () =>
    Effect.gen(function* () {
      const work = Effect.promise(() => FakeService.later(20, "done"))
      const step = Durable.step("s", work, { timeout: "1 minute", retry })
      assert.strictEqual(yield* kit.run(step), "done")
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})

describe("TestRunner: stand-ins that die", () => {
  it.effect("end the test with their defect", () =>
    Effect.gen(function* () {
      const Ocr = DurableFunction.make("ocr", { payload: Schema.String, success: Schema.String })
      for (const target of [Ocr, { payload: Schema.String, success: Schema.String }]) {
        yield* TestRunner.onInvoke("ocr:live", target, () => Effect.die(new Error("oops")))
        const exit = yield* Effect.exit(kit.run(Durable.invoke("i", target, "x", { functionName: "ocr:live" })))
        assert(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
        assert.include(String(Cause.squash(exit.cause)), "oops")
      }
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})
