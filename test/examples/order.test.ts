import { assert, describe, it } from "@effect/vitest"
import { TestRunner } from "effect-durable-lambda/testing"
import { Effect } from "effect"
import { CardDeclined } from "../../examples/order/domain.ts"
import { layer } from "../../examples/order/services.ts"
import { ProcessOrder, processOrder } from "../../examples/order/workflow.ts"

const order = { id: "7", customer: "ada@example.com", cents: 1999, items: ["teapot", "unicorn", "cup"] }

describe("examples/order", () => {
  it.effect("charges, waits, ships what there is", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(ProcessOrder, processOrder, order)
      const receipt = yield* execution.result
      assert.deepStrictEqual(receipt.backOrdered, ["unicorn"])
      assert.strictEqual(receipt.label, "label-7")
      assert.strictEqual((yield* execution.operation("pick-up")).Status, "SUCCEEDED")
      assert.strictEqual(yield* execution.invocations, 3) // 1 h 30 min of waiting, no time at all here
    }).pipe(Effect.provide([TestRunner.layerMemory, layer]))
  )

  it.effect("fails with the declared error, as its class", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(TestRunner.run(ProcessOrder, processOrder, { ...order, cents: 200_000 }))
      assert.deepStrictEqual(error, new CardDeclined({ reason: "limit" }))
    }).pipe(Effect.provide([TestRunner.layerMemory, layer]))
  )
})
