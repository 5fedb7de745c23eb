import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { DurableContext } from "../../src/DurableContext.ts"
import type { Core } from "../../src/internal/core/Core.ts"
import { decoder, encodeNow, type OutcomeCodec } from "../../src/internal/core/outcomes.ts"
import { Op, World } from "../../src/internal/core/world.ts"
import { CONTEXTS } from "../../src/internal/failure.ts"
import { doneOf } from "../../src/Serdes.ts"

const codecOf = (success: Schema.Constraint | undefined): OutcomeCodec => ({
  success,
  failure: { operation: "s", schema: undefined, ...CONTEXTS }
})

const newOp = () => {
  const world = new World(undefined, "", undefined, undefined, 0, false)
  return new Op("id", world.place, { type: "STEP", subType: "Step", name: "s" }, undefined, 1)
}

const recordOf = (Result: string) => ({ Id: "id", Type: "STEP", Status: "SUCCEEDED", StepDetails: { Result } }) as const

/** (payloads are read without the core) */
const read = (op: Op, success: Schema.Constraint | undefined, text: string) =>
  decoder({} as Core, { context: Context.empty(), transforms: false }, codecOf(success))(op, recordOf(text))

describe("decoder: a text that this invocation has written need not be read back", () => {
  for (const recorded of ["ours", "another invocation's"]) {
    it(`the record decides: ${recorded}`, () => {
      const op = newOp()
      assert.deepStrictEqual(doneOf(encodeNow(op, codecOf(undefined), "ours")), Exit.succeed('"ours"'))
      assert.deepStrictEqual(read(op, undefined, JSON.stringify(recorded)), Exit.succeed(recorded))
      assert.isUndefined(op.written)
    })
  }

  it("what a schema has written is read", () => {
    const op = newOp()
    assert.deepStrictEqual(doneOf(encodeNow(op, codecOf(Schema.String), "ours")), Exit.succeed('"ours"'))
    assert.isUndefined(op.written)
  })
})

describe("decoder: what needs no effect takes no fiber", () => {
  it("a value of a schema", () => {
    const date = new Date(0)
    const text = '"1970-01-01T00:00:00.000Z"'
    assert.deepStrictEqual(doneOf(encodeNow(newOp(), codecOf(Schema.Date), date)), Exit.succeed(text))
    assert.deepStrictEqual(read(newOp(), Schema.Date, text), Exit.succeed(date))
  })

  it.effect("what a schema refuses, or throws at, is a failure of the codec, which the body is not given", () =>
    Effect.gen(function* () {
      const Throws = Schema.String.pipe(
        Schema.decode({
          decode: SchemaGetter.transform<string, string>(() => {
            throw new Error("boom")
          }),
          encode: SchemaGetter.passthrough()
        })
      )
      for (const [schema, reason] of [
        [Schema.Number, /Expected "Infinity"/],
        [Throws, /its schema died: Error: boom/]
      ] as const) {
        const given = read(newOp(), schema, '"text"')
        assert.isFalse(Exit.isExit(given))
        const error = yield* Effect.flip(
          given as Effect.Effect<unknown, { readonly _tag: string; readonly reason: string }>
        )
        assert.strictEqual(error._tag, "SerdesFailed")
        assert.match(error.reason, reason)
      }
    })
  )

  it.effect("what a schema takes time for, or services, is done later, outside of the body", () =>
    Effect.gen(function* () {
      const Later = Schema.String.pipe(
        Schema.decode({
          decode: SchemaGetter.transformEffect((text: string) =>
            Effect.map(DurableContext, ({ inStep }) => `${text}, in a step: ${inStep}`)
          ),
          encode: SchemaGetter.passthrough()
        })
      )
      const op = newOp()
      const given = read(op, Later, '"text"')
      assert.isFalse(Exit.isExit(given))
      assert.deepStrictEqual(yield* given, Exit.succeed("text, in a step: true"))
    })
  )
})
