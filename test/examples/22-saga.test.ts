import { assert, it } from "@effect/vitest"
import { TestRunner } from "effect-durable-lambda/testing"
import { Effect } from "effect"
import { NoCourier, Purchase, purchase } from "../../examples/22-saga.ts"
import { warehouse } from "./cases.ts"

it.effect("22-saga: the last thing is undone first, and once", () => {
  const did: Array<string> = []
  return Effect.gen(function* () {
    const execution = yield* TestRunner.start(Purchase, purchase, { item: "teapot", cents: 1999, city: "Atlantis" })
    assert.deepStrictEqual(yield* Effect.flip(execution.result), new NoCourier({ city: "Atlantis" }))
    assert.deepStrictEqual(did, [
      "reserve teapot",
      "charge 1999",
      "refund C-1999",
      "release R-teapot",
      "tell cancelled"
    ])
  }).pipe(Effect.provide(TestRunner.layerMemory), Effect.provide(warehouse(did)))
})
