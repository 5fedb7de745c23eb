import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import type { Core } from "../../src/internal/core/Core.ts"
import { decoder, encodePlain, type OutcomeCodec } from "../../src/internal/core/operation.ts"
import { Op, World } from "../../src/internal/core/world.ts"
import { CONTEXTS } from "../../src/internal/failure.ts"

const codec: OutcomeCodec = {
  success: undefined,
  failure: { operation: "s", schema: undefined, ...CONTEXTS }
}

describe("decoder: a text that this invocation has written need not be read back", () => {
  for (const recorded of ["ours", "another invocation's"]) {
    it(`the record decides: ${recorded}`, () => {
      const world = new World(undefined, "", undefined, undefined, 0, false)
      const op = new Op("id", world.place, { type: "STEP", subType: "Step", name: "s" }, undefined, 1)
      encodePlain(op, false, codec, "ours")
      const record = {
        Id: "id",
        Type: "STEP",
        Status: "SUCCEEDED",
        StepDetails: { Result: JSON.stringify(recorded) }
      } as const
      // plain payloads are read without the core
      const read = decoder({} as Core, { context: Context.empty(), transforms: false }, codec)(op, record)
      assert.deepStrictEqual(read, Exit.succeed(recorded))
      assert.isUndefined(op.written)
    })
  }
})
