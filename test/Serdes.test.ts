// @effect-diagnostics globalDateInEffect:off missingReturnYieldStar:off
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableHandler, Serdes } from "effect-durable-lambda"
import { StepFailed } from "effect-durable-lambda/DurableError"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as kit from "./operations/kit.ts"
import { CardDeclined } from "./operations/kit.ts"
import * as FakeService from "./wire/FakeService.ts"

const { layerMemory } = TestRunner

/** Reverses texts, and remembers what it was told. */
const reversing = () => {
  const calls: Array<readonly [action: "encode" | "decode", text: string, context: Serdes.PayloadContext]> = []
  const turn = (action: "encode" | "decode") => (text: string, context: Serdes.PayloadContext) =>
    Effect.sync(() => {
      calls.push([action, text, context])
      return [...text].reverse().join("")
    })
  return { calls, transform: { encode: turn("encode"), decode: turn("decode") } satisfies Serdes.Transform }
}

const noRetry = { retry: Durable.noRetry }

describe("Serdes: the transform", () => {
  it.effect("is applied to results of steps and contexts, and undone, live and on replay", () =>
    Effect.gen(function* () {
      const { transform } = reversing()
      const body = Effect.gen(function* () {
        const plain = yield* Durable.step("plain", Effect.succeed({ a: 12 }))
        const typed = yield* Durable.step("typed", Effect.succeed(new Date(0)), { success: Schema.Date })
        const text = yield* Durable.step("text", Effect.succeed(12), { success: Durable.text(Schema.NumberFromString) })
        const context = yield* Durable.childContext("context", Effect.succeed({ b: 34 }))
        const none = yield* Durable.step("none", Effect.void)
        return { plain, typed, text, context, none }
      })
      const execution = yield* kit
        .sees(
          body,
          Exit.succeed({ plain: { a: 12 }, typed: new Date(0), text: 12, context: { b: 34 }, none: undefined })
        )
        .pipe(Effect.provideService(Serdes.Serdes, transform))
      assert.strictEqual((yield* execution.operation("plain")).StepDetails?.Result, '}21:"a"{')
      assert.strictEqual((yield* execution.operation("text")).StepDetails?.Result, "21")
      assert.strictEqual((yield* execution.operation("context")).ContextDetails?.Result, '}43:"b"{')
      assert.isUndefined((yield* execution.operation("none")).StepDetails?.Result)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("is applied to the data of errors, not to their type and message", () =>
    Effect.gen(function* () {
      const { transform } = reversing()
      const declined = new CardDeclined({ reason: "limit" })
      const fails: ReadonlyArray<readonly [body: kit.Body, surfaces: Exit.Exit<never, unknown>]> = [
        [Durable.step("s", Effect.fail(declined), { ...noRetry, error: CardDeclined }), Exit.fail(declined)],
        [
          Durable.step("s", Effect.fail("secret"), noRetry),
          Exit.fail(new StepFailed({ operation: "s", type: "Failure", message: "secret" }))
        ],
        [Durable.step("s", Effect.die(new RangeError("odd"))), Exit.die(new RangeError("odd"))],
        [Durable.childContext("s", Effect.fail(declined), { error: CardDeclined }), Exit.fail(declined)]
      ]
      for (const [body, surfaces] of fails) {
        const execution = yield* kit.sees(body, surfaces).pipe(Effect.provideService(Serdes.Serdes, transform))
        const record = yield* execution.operation("s")
        const error = (record.StepDetails ?? record.ContextDetails)?.Error
        assert.match(error?.ErrorData ?? "", /^\}.*\{$/)
        assert.include(["CardDeclined", "Failure", "RangeError"], error?.ErrorType)
      }
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("is told execution, operation id and name", () =>
    Effect.gen(function* () {
      const { calls, transform } = reversing()
      const execution = yield* kit
        .start(Durable.step("s", Effect.succeed("x")))
        .pipe(Effect.provideService(Serdes.Serdes, transform))
      yield* execution.result
      const context = {
        executionArn: execution.arn,
        operationId: (yield* execution.operation("s")).Id,
        operation: "s",
        kind: "result"
      } as const
      assert.deepStrictEqual(calls, [
        ["encode", '"x"', context],
        ["decode", '"x"'.split("").reverse().join(""), context]
      ])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("never touches the execution's input and output", () =>
    Effect.gen(function* () {
      const { calls, transform } = reversing()
      const service = FakeService.make({ input: '{"in":1}' })
      const handler = DurableHandler.make(kit.Anything, (payload) => Effect.succeed({ out: payload }), {
        ...service.handlerOptions,
        layer: Layer.succeed(Serdes.Serdes, transform)
      })
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: '{"out":{"in":1}}' })
      const failing = DurableHandler.make(kit.Anything, () => Effect.fail("no"), {
        ...service.handlerOptions,
        layer: Layer.succeed(Serdes.Serdes, transform)
      })
      const answer = yield* service.invoke(failing)
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorData, '"no"')
      assert.deepStrictEqual(calls, [])
    })
  )

  it.effect("may be asynchronous: nothing overtakes it", () =>
    Effect.gen(function* () {
      // several turns: what works outside the body must not count as the body's own moves
      const turns = Effect.repeat(kit.turn, { times: 3 })
      const slow: Serdes.Transform = {
        encode: (text) => Effect.as(turns, `>${text}`),
        decode: (text) => Effect.as(turns, text.slice(1))
      }
      const body = Effect.all(
        ["a", "b", "c"].map((name) => Durable.childContext(name, Durable.step("s", Effect.succeed(name)))),
        { concurrency: "unbounded" }
      )
      yield* kit.sees(body, Exit.succeed(["a", "b", "c"])).pipe(Effect.provideService(Serdes.Serdes, slow))
    }).pipe(Effect.provide(layerMemory))
  )

  for (const action of ["encode", "decode"] as const) {
    it.effect(`one that fails to ${action}: SerdesFailed names the operation, and user code cannot catch it`, () =>
      Effect.gen(function* () {
        const { transform } = reversing()
        const thrown = () => {
          throw "no key"
        }
        const ways = [() => Effect.fail("no key"), () => Effect.die("no key"), thrown, () => Effect.interrupt]
        const bodies: ReadonlyArray<readonly [name: string, body: kit.Body]> = [
          ['STEP "s"', Durable.step("s", Effect.succeed("x"))],
          ['STEP "s"', Durable.step("s", Effect.fail("x"), noRetry)],
          ['CONTEXT "s"', Durable.childContext("s", Effect.succeed("x"))]
        ]
        for (const [name, body, way] of bodies.flatMap(([name, body]) =>
          ways.map((way) => [name, body, way] as const)
        )) {
          const broken: Serdes.Transform = { ...transform, [action]: way }
          // a context is decoded from its record only when it is replayed
          const fault = yield* kit
            .faultOf(Effect.andThen(Effect.exit(body), Durable.wait("w", "1 second")))
            .pipe(Effect.provideService(Serdes.Serdes, broken))
          assert.strictEqual(fault.type, "SerdesFailed")
          assert.match(
            fault.message,
            new RegExp(
              `^${name} \\([\\w-]+\\): cannot ${action} its payload: the Serdes layer failed: (no key|it died: .*interrupted.*)$`
            )
          )
        }
      }).pipe(Effect.provide(layerMemory))
    )
  }

  it.effect("is what the size limits see: a context over 256 KiB that compresses is recorded", () =>
    Effect.gen(function* () {
      const compress: Serdes.Transform = {
        encode: (text) => Effect.succeed(`${text.length}:${text[1]}`),
        decode: (text) => Effect.succeed(JSON.stringify(text.split(":")[1]!.repeat(Number(text.split(":")[0]) - 2)))
      }
      const large = "x".repeat(500_000)
      const execution = yield* kit
        .sees(Durable.childContext("c", Effect.succeed(large)), Exit.succeed(large))
        .pipe(Effect.provideService(Serdes.Serdes, compress))
      assert.deepStrictEqual((yield* execution.operation("c")).ContextDetails, { Result: "500002:x" })
    }).pipe(Effect.provide(layerMemory))
  )
})

// ---- codecs ----------------------------------------------------------------------------------------------

class Order extends Schema.Class<Order>("Order")({
  id: Schema.String,
  at: Schema.Date,
  lines: Schema.Array(Schema.Struct({ sku: Schema.NonEmptyString, amount: Schema.BigInt })),
  note: Schema.optionalKey(Schema.NullOr(Schema.String)),
  tags: Schema.ReadonlyMap(Schema.String, Schema.Option(Schema.Boolean))
}) {}

describe("Serdes: codecs", () => {
  it.effect.prop("a schema's values survive", [Order], ([order]) =>
    Effect.gen(function* () {
      const codec = Serdes.payloadCodec(Order)
      const text = yield* codec.encode(order)
      const back = yield* codec.decode(text)
      assert(back instanceof Order)
      assert.deepStrictEqual({ ...back }, { ...order })
    })
  )

  it.effect.prop("plain JSON survives without a schema", [Schema.Json], ([value]) =>
    Effect.gen(function* () {
      const text = yield* Serdes.payloadCodec(undefined).encode(value)
      assert.strictEqual(text, JSON.stringify(value))
      const back = yield* Serdes.payloadCodec(undefined).decode(text)
      assert.deepStrictEqual(JSON.stringify(back), JSON.stringify(value)) // -0 is 0 in JSON
    })
  )

  it.effect("an input is what its schema constructs: classes of their fields, defaults filled in", () =>
    Effect.gen(function* () {
      class Item extends Schema.Class<Item>("Item")({
        id: Schema.String,
        at: Schema.DateFromString,
        count: Schema.Int.pipe(Schema.withConstructorDefault(Effect.succeed(1)))
      }) {}
      const fields = { id: "a", at: new Date(0) }
      const text = '{"id":"a","at":"1970-01-01T00:00:00.000Z","count":1}'
      assert.strictEqual(yield* Serdes.encodeInput(Item, fields), text)
      assert.strictEqual(yield* Serdes.encodeInput(Item, new Item(fields)), text)
      assert.strictEqual(
        yield* Serdes.encodeInput(Schema.Struct({ item: Item }), { item: new Item(fields) }),
        `{"item":${text}}`
      )
      assert.strictEqual(yield* Serdes.encodeInput(Serdes.text(Schema.NumberFromString), 42), "42")
      assert.strictEqual(yield* Serdes.encodeInput(Schema.Null, null), "null")
      assert.isUndefined(yield* Serdes.encodeInput(Schema.Void, undefined))
      const refused = yield* Effect.flip(Serdes.encodeInput(Item, { id: 1, at: new Date(0) }))
      assert.match(String(refused), /Expected string\n {2}at \["id"\]/)
      const dying = Schema.Struct({
        id: Schema.String.pipe(Schema.withConstructorDefault(Effect.die(new Error("no id today"))))
      })
      assert.strictEqual(yield* Effect.flip(Serdes.encodeInput(dying, {})), "its schema died: Error: no id today")
      const interrupted = Schema.Struct({ id: Schema.String.pipe(Schema.withConstructorDefault(Effect.interrupt)) })
      assert.strictEqual(
        yield* Effect.flip(Serdes.encodeInput(interrupted, {})),
        "its schema died: Error: All fibers interrupted without error"
      )
    })
  )

  it("what passes as plain is what JSON gives back", () => {
    const values: ReadonlyArray<unknown> = [
      undefined,
      null,
      true,
      "",
      0,
      [],
      {},
      { a: { b: [{ c: null }] } },
      Object.create(null),
      Object.assign(Object.create(null), { a: 1 }),
      { a: undefined },
      [[[[]]]]
    ]
    for (const value of values) {
      assert.isUndefined(Serdes.plainJsonFault(value))
      const text = Result.getOrThrow(Serdes.writePlainJson(value))
      assert.deepStrictEqual(
        JSON.stringify(Result.getOrThrow(Serdes.readPlainJson(text))),
        value === undefined ? undefined : JSON.stringify(value)
      )
    }
  })

  it("a value that occurs twice is no circle", () => {
    const shared = { a: 1 }
    assert.isUndefined(Serdes.plainJsonFault([shared, { shared }, shared]))
  })

  it("reading: no text is no value, what is not JSON says so, cut short", () => {
    assert.deepStrictEqual(Serdes.readPlainJson(undefined), Result.succeed(undefined))
    assert.deepStrictEqual(Serdes.readPlainJson(""), Result.succeed(undefined))
    assert.deepStrictEqual(Serdes.readPlainJson("null"), Result.succeed(null))
    assert.deepStrictEqual(Serdes.readPlainJson("<x/>"), Result.fail("it is not JSON: <x/>"))
    assert.deepStrictEqual(Serdes.readPlainJson("x".repeat(500)), Result.fail(`it is not JSON: ${"x".repeat(60)}…`))
  })

  it.effect("absent, empty and null decode as void, by every schema that has nothing", () =>
    Effect.gen(function* () {
      for (const schema of [Schema.Void, Schema.Undefined, Schema.UndefinedOr(Schema.String)]) {
        for (const payload of [undefined, "", "null"]) {
          assert.isUndefined(yield* Serdes.payloadCodec(schema).decode(payload))
        }
      }
      for (const payload of [undefined, "", "null"]) {
        assert.isNull(yield* Serdes.payloadCodec(Schema.Null).decode(payload))
        const error = yield* Effect.flip(Serdes.payloadCodec(Schema.String).decode(payload))
        assert.match(String(error), /^Expected string/)
      }
      assert.isUndefined(yield* Serdes.payloadCodec(Schema.Void).encode(undefined))
    })
  )

  it.effect("a schema that throws has failed", () =>
    Effect.gen(function* () {
      const circular: { self?: unknown } = {}
      circular.self = circular
      const throwing = Schema.String.pipe(
        Schema.decodeTo(Schema.String, {
          decode: SchemaGetter.transform((): string => {
            throw new Error("decode")
          }),
          encode: SchemaGetter.transform((): string => {
            throw new Error("encode")
          })
        })
      )
      assert.match(String(yield* Effect.flip(Serdes.payloadCodec(Schema.Any).encode(circular))), /circular/i)
      assert.match(String(yield* Effect.flip(Serdes.payloadCodec(throwing).encode("x"))), /Error: encode/)
      assert.match(String(yield* Effect.flip(Serdes.payloadCodec(throwing).decode('"x"'))), /Error: decode/)
    })
  )

  it("a value that is too deep, or throws when it is read, says so", () => {
    let deep: object = {}
    for (let i = 0; i < 6_000; i++) deep = { deep }
    assert.match(Serdes.plainJsonFault(deep) ?? "", /^it cannot be read \(RangeError: Maximum call stack/)
    let reads = 0
    const fickle = {
      get a() {
        if (reads++ > 0) throw new Error("no more")
        return 1
      }
    }
    assert.deepStrictEqual(Serdes.writePlainJson(fickle), Result.fail("its value cannot be read (Error: no more)."))
  })

  it.effect("what is done at once is what is done later, and always JSON", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [schema: Schema.Constraint, value: unknown]> = [
        ...[NaN, Infinity, -0, 1e21, 5, null, "x", { a: NaN }, undefined].map((value) => [Schema.Any, value] as const),
        [Schema.Number, NaN],
        [Schema.Date, new Date(0)],
        [Schema.Void, undefined],
        [Schema.Number, "no number"],
        [CardDeclined, new CardDeclined({ reason: "no" })]
      ]
      // (to refuse a value may take an effect)
      const agree = (now: Exit.Exit<unknown, unknown> | undefined, later: Exit.Exit<unknown, unknown>) =>
        now === undefined ? assert.isTrue(Exit.isFailure(later)) : assert.deepStrictEqual(now, later)
      for (const [schema, value] of cases) {
        const { decode, decodeNow, encode, encodeNow } = Serdes.payloadCodec(schema)
        const written = yield* Effect.exit(encode(value))
        agree(Serdes.doneOf(encodeNow(value)), written)
        if (Exit.isFailure(written)) continue
        const text = written.value as string | undefined
        assert.doesNotThrow(() => text !== undefined && JSON.parse(text))
        agree(Serdes.doneOf(decodeNow(text)), yield* Effect.exit(decode(text)))
      }
    })
  )

  it("a codec is built once per schema", () => {
    assert.strictEqual(Serdes.payloadCodec(Order), Serdes.payloadCodec(Order))
  })

  it.effect("text: the string of the schema, verbatim", () =>
    Effect.gen(function* () {
      const codec = Serdes.payloadCodec(Serdes.text(Schema.NumberFromString))
      assert.strictEqual(yield* codec.encode(1.5), "1.5")
      assert.strictEqual(yield* codec.decode("1.5"), 1.5)
      const raw = Serdes.payloadCodec(Durable.text(Schema.String))
      for (const text of ["", "null", '"quoted"', "not { json", " "]) {
        assert.strictEqual(yield* raw.encode(text), text)
        assert.strictEqual(yield* raw.decode(text), text)
      }
    })
  )
})
