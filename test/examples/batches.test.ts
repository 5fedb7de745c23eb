import { assert, describe, it } from "@effect/vitest"
import { TestRunner } from "effect-durable-lambda/testing"
import { Effect } from "effect"
import { SoldOut, Travel, travel, Trip } from "../../examples/16-parallel.ts"
import { Broken, Gallery, gallery, Images } from "../../examples/17-map.ts"

const resize = (image: string) =>
  image.startsWith("bad") ? Effect.fail(new Broken({ image })) : Effect.succeed(`small-${image}`)

const trip = Trip.of({
  book: (what) => Effect.succeed(`a ${what}`),
  quote: (carrier) => (carrier === "ship" ? Effect.never : Effect.succeed(carrier.length))
})

describe("examples", () => {
  it.effect("16-parallel", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Travel, travel, "Oslo")
      const result = { hotel: "a hotel in Oslo", flight: "a flight to Oslo", cheapest: 5 }
      yield* execution.expect({ result, invocations: 2 })
      assert.strictEqual((yield* execution.operation("flight")).SubType, "ParallelBranch")
    }).pipe(Effect.provide(TestRunner.layerMemory), Effect.provideService(Trip, trip))
  )

  it.effect("16-parallel: a branch fails, and the other is let go of", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Travel, travel, "Oslo")
      assert.deepStrictEqual(yield* Effect.flip(execution.result), new SoldOut({ what: "hotel in Oslo" }))
      assert.strictEqual((yield* execution.operation("flight")).Status, "STARTED")
    }).pipe(
      Effect.provide(TestRunner.layerMemory),
      Effect.provideService(Trip, { book: (what) => new SoldOut({ what }), quote: () => Effect.succeed(1) })
    )
  )

  it.effect("17-map", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(Gallery, gallery, ["a", "bad", "c"])
      assert.deepStrictEqual(yield* execution.result, { thumbnails: ["small-a", "small-c"], broken: ["bad"] })
      assert.strictEqual((yield* execution.operation("thumbnail of bad")).Status, "FAILED")
      const mostly = yield* TestRunner.run(Gallery, gallery, ["bad 1", "bad 2", "c"])
      assert.deepStrictEqual(mostly.thumbnails, [])
    }).pipe(Effect.provide(TestRunner.layerMemory), Effect.provideService(Images, { resize }))
  )
})
