// @effect-diagnostics globalDateInEffect:off
import { assert, describe, it } from "@effect/vitest"
import {
  Durable,
  DurableClient,
  DurableError,
  DurableFunction,
  DurableHandler,
  KeyProvider,
  Redact,
  Serdes,
  SerdesEncryption,
  SerdesPreview,
  SerdesStack
} from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"

const { layerMemory } = TestRunner

const Card = Redact.field(Schema.String, { label: "card", mask: (card) => `***${card.slice(-4)}` })
const Customer = Schema.Struct({ id: Schema.String, card: Card })
const ada = { id: "ada", card: "4242424242424242" }

const write = <S extends Schema.Constraint>(schema: S, value: S["Type"]) =>
  Effect.map(Serdes.payloadCodec(schema).encode(value), (text) => text ?? "") as Effect.Effect<
    string,
    Serdes.Fault,
    KeyProvider.KeyProvider
  >
const read = (schema: Schema.Constraint, text: string | undefined) =>
  Serdes.payloadCodec(schema).decode(text) as Effect.Effect<unknown, Serdes.Fault, KeyProvider.KeyProvider>

describe("Redact.field", () => {
  it.effect.prop("any value survives, and nothing of it can be read", [kit.Text], ([drawn]) =>
    Effect.gen(function* () {
      const text = `needle ${kit.textOf(drawn)}`
      const Field = Schema.Struct({ a: Redact.field(Schema.String), b: Schema.Number })
      const record = yield* write(Field, { a: text, b: 1 })
      assert.match(record, /^\{"a":"\*\*\* ~sealed:[\w-]+","b":1\}$/)
      assert.notInclude(record, "needle")
      assert.deepStrictEqual(yield* read(Field, record), { a: text, b: 1 })
    }).pipe(Effect.provide(kit.keys))
  )

  it.effect("any schema: classes, dates, options, lists, nothing, recursion, redacted values", () =>
    Effect.gen(function* () {
      class Person extends Schema.Class<Person>("Person")({ name: Schema.String, born: Schema.Date }) {}
      const values: ReadonlyArray<readonly [Schema.Constraint, unknown]> = [
        [Redact.field(Person), new Person({ name: "Ada", born: new Date(0) })],
        [Redact.field(Schema.BigInt), 12n],
        [Redact.field(Schema.Array(Schema.Date)), [new Date(1)]],
        [Redact.field(Schema.NullOr(Schema.String)), null],
        [Redact.field(Durable.text(Schema.NumberFromString)), 42],
        [Schema.Array(Card), ["1", "2"]],
        [Schema.Record(Schema.String, Card), { a: "1" }],
        [Schema.Struct({ card: Schema.optionalKey(Card) }), {}],
        [Schema.NullOr(Card), null],
        [Redact.field(Card), "in a field"]
      ]
      for (const [schema, value] of values) {
        const record = yield* write(schema, value)
        assert.deepStrictEqual(yield* read(schema, record), value)
      }
      const Maybe = Redact.field(Schema.UndefinedOr(Schema.String))
      for (const refused of [write(Maybe, undefined), write(Schema.Struct({ a: Maybe }), { a: undefined })]) {
        assert.match(String(yield* Effect.flip(refused)), /Make it an optional key, or let its schema have null/)
      }
      const Secret = Redact.field(Schema.RedactedFromValue(Schema.String))
      const record = yield* write(Secret, Redacted.make("secret"))
      assert.strictEqual(Redacted.value((yield* read(Secret, record)) as Redacted.Redacted<string>), "secret")
    }).pipe(Effect.provide(kit.keys))
  )

  it.effect("masks are what you make of them; one that looks like a ciphertext does no harm", () =>
    Effect.gen(function* () {
      assert.match(yield* write(Card, ada.card), /^"\*\*\*4242 ~sealed:/)
      for (const mask of ["", "a ~sealed:b", " ~sealed:", "\n", "🙂"]) {
        const Odd = Redact.field(Schema.String, { mask: () => mask })
        assert.strictEqual(yield* read(Odd, yield* write(Odd, "x")), "x")
      }
    }).pipe(Effect.provide(kit.keys))
  )

  it.effect("each bit of it: refused, at its path", () =>
    Effect.gen(function* () {
      const record = yield* write(Customer, ada)
      const start = record.indexOf("***")
      const end = record.lastIndexOf('"')
      let refused = 0
      for (let bit = start * 8; bit < end * 8; bit++) {
        const changed = kit.flip(record, bit)
        const fault = yield* Effect.flip(read(Customer, changed))
        refused++
        if (typeof fault === "string") assert.match(fault, /^(?:it is not JSON|.*[\s\S]*\["card"\])/)
        else assert.include(["missing", "wrong-key"], fault.problem)
      }
      assert.isAbove(refused, 500)
    }).pipe(Effect.provide(kit.keys))
  )

  it.effect("of another label, of no label, in the clear", () =>
    Effect.gen(function* () {
      const Name = Redact.field(Schema.String, { label: "name" })
      const fault = yield* Effect.flip(read(Name, yield* write(Card, "x")))
      assert.match(String(fault), /it does not authenticate: .*a field with another label/)
      assert.match(String(yield* Effect.flip(read(Card, '"4242"'))), /it is not encrypted\. Add `readsPlain`/)
      const Also = Redact.field(Schema.DateFromString, { label: "card", readsPlain: true })
      assert.deepStrictEqual(yield* read(Also, '"1970-01-01T00:00:00.000Z"'), new Date(0))
      assert.deepStrictEqual(yield* read(Also, yield* write(Also, new Date(1))), new Date(1))
      assert.match(
        String(yield* Effect.flip(read(Also, '"*** ~sealed:A"'))),
        /not encrypted|does not authenticate|not what/
      )
    }).pipe(Effect.provide(kit.keys))
  )

  it.effect("what is wrong with a value is said without the value", () =>
    Effect.gen(function* () {
      const other = [
        Redact.field(Schema.String.check(Schema.isMaxLength(3)), { label: "card" }),
        Redact.field(Schema.Number, { label: "card" }),
        Redact.field(Schema.Struct({ pin: Schema.Literal("0000") }), { label: "card" })
      ]
      const Raw = Redact.field(Durable.text(Schema.String), { label: "card" })
      for (const field of other) {
        for (const record of [yield* write(Card, "SECRET"), yield* write(Raw, "SECRET")]) {
          assert.notInclude(String(yield* Effect.flip(read(field, record))), "SECRET")
        }
      }
      assert.notInclude(String(yield* Effect.flip(write(other[0]!, "SECRET"))), "SECRET")
    }).pipe(Effect.provide(kit.keys))
  )

  it.effect("keys: rotated, missing", () =>
    Effect.gen(function* () {
      const only = (id: string) => KeyProvider.layerStatic({ current: id, keys: { [id]: kit.keyOf(id) } })
      const record = yield* Effect.provide(write(Card, "x"), only("old"))
      assert.strictEqual(yield* Effect.provide(read(Card, record), kit.keys), "x")
      const fault = yield* Effect.flip(Effect.provide(read(Card, record), only("new")))
      assert(fault instanceof DurableError.PayloadFailed)
      assert.strictEqual(fault.problem, "missing")
    })
  )
})

// ---- in workflows -----------------------------------------------------------------------------------------

class Declined extends Schema.TaggedError<Declined>()("Declined", { card: Card }) {}
const Pay = DurableFunction.make("pay", { payload: Customer, success: Customer, error: Declined })
const Target = { payload: Customer, success: Customer, error: Declined }

const pay = Effect.fnUntraced(function* (customer: typeof Customer.Type) {
  const stored = yield* Durable.step("store", Effect.succeed(customer), { success: Customer })
  yield* Effect.flip(
    Durable.step("decline", Effect.fail(new Declined({ card: stored.card })), {
      error: Declined,
      retry: Durable.noRetry
    })
  )
  const answer = yield* Durable.waitForCallback("ask", () => Effect.void, { success: Customer })
  const invoked = yield* Durable.invoke("check", Target, answer, { functionName: "check" })
  const [item] = yield* Durable.map("items", [invoked], Effect.succeed, { success: Customer })
  return item!
})

const outside = Effect.andThen(
  TestRunner.onCallback("ask", Effect.succeed(ada), { success: Customer }),
  TestRunner.onInvoke("check", Target, Effect.succeed)
)

describe("Redact.field in workflows", () => {
  it.effect("input, output, results, errors, callbacks and invokes: encrypted, and typed", () =>
    Effect.gen(function* () {
      yield* outside
      const execution = yield* TestRunner.start(Pay, pay, ada)
      assert.deepStrictEqual(yield* execution.result, ada)
      const history = JSON.stringify(yield* execution.history)
      assert.notInclude(history, ada.card)
      assert.isAbove(history.split("***4242 ~sealed:").length, 10)
      const { StepDetails } = yield* execution.operation("store")
      assert.match(StepDetails?.Result ?? "", /^\{"id":"ada","card":"\*\*\*4242 ~sealed:/)
    }).pipe(Effect.provide([layerMemory, kit.keys]))
  )

  it.effect("under a stack: the preview has the masks, the rest nothing", () =>
    Effect.gen(function* () {
      yield* outside
      const execution = yield* TestRunner.start(Pay, pay, ada)
      assert.deepStrictEqual(yield* execution.result, ada)
      const { StepDetails } = yield* execution.operation("store")
      assert.match(StepDetails?.Result ?? "", /"preview":\{"id":"ada","card":"\*\*\*4242"\},"bytes":"/)
    }).pipe(
      Effect.provide([
        layerMemory,
        kit.keys,
        SerdesStack.layer([SerdesEncryption.aes256Gcm], { preview: SerdesPreview.pick({ show: "everything" }) }).pipe(
          Layer.provide(kit.keys)
        )
      ])
    )
  )

  it.effect("keys that cannot be had, wherever one is needed: no answer of another party is taken for a bad one", () =>
    Effect.gen(function* () {
      /** Runs it with keys of which the `at`th cannot be had. */
      const runWithout = (at: number) =>
        Effect.gen(function* () {
          let asked = 0
          const broken = Layer.effect(
            KeyProvider.KeyProvider,
            Effect.map(KeyProvider.KeyProvider, (keys) => ({
              current: keys.current,
              get: (id: string, context: KeyProvider.KeyContext) =>
                Effect.suspend(() =>
                  ++asked === at
                    ? Effect.fail(new DurableError.PayloadFailed({ problem: "unavailable", reason: "not now." }))
                    : keys.get(id, context)
                )
            }))
          ).pipe(Layer.provide(kit.keys))
          const execution = yield* TestRunner.start(Pay, pay, ada).pipe(Effect.provide(broken))
          assert.deepStrictEqual(yield* execution.result, ada)
          assert.strictEqual(yield* execution.runs("store"), 1)
          return (yield* execution.history).flatMap(
            ({ InvocationCompletedDetails }) => InvocationCompletedDetails?.Error?.Payload?.ErrorMessage ?? []
          )
        })
      yield* outside
      const thrown: Array<string> = []
      for (let at = 1; ; at++) {
        const messages = yield* runWithout(at)
        if (messages.length === 0) break
        assert.strictEqual(messages.length, 1)
        thrown.push(...messages)
      }
      const all = thrown.join("\n")
      for (const operation of [
        'The payload of "pay"',
        'STEP "store"',
        "decline",
        'CALLBACK "',
        'CONTEXT "ask"',
        'CHAINED_INVOKE "check"',
        'CONTEXT "map-item-0"'
      ]) {
        assert.include(all, operation)
      }
    }).pipe(Effect.provide([layerMemory, kit.keys]))
  )

  it.effect("what others send that is no ciphertext is their fault: a typed failure", () =>
    Effect.gen(function* () {
      yield* TestRunner.onCallback("ask", Effect.succeed('{"id":"ada","card":"4242"}'))
      yield* TestRunner.onInvoke("check", Target, Effect.succeed)
      const error = yield* Effect.flip(TestRunner.run(Pay, pay, ada))
      assert(error._tag === "CallbackFailed")
      assert.strictEqual(error.type, "InvalidResult")
      assert.match(error.message, /it is not encrypted[\s\S]*\["card"\]/)
    }).pipe(Effect.provide([layerMemory, kit.keys]))
  )

  it.effect("an input that cannot be read for want of a key ends the invocation, not the execution", () =>
    Effect.gen(function* () {
      const only = KeyProvider.layerStatic({ current: "other", keys: { other: kit.keyOf("other") } })
      const service = FakeService.make({ input: yield* Effect.provide(write(Customer, ada), kit.keys) })
      const handler = DurableHandler.make(Pay, pay, { ...service.handlerOptions, layer: only })
      const { error } = yield* Effect.flip(service.invoke(handler))
      assert(error instanceof DurableError.SerdesFailed)
      assert.match(
        error.message,
        /^The payload of "pay": cannot decode its payload: it was encrypted with the key "new"/
      )
    })
  )

  it("does not compile without keys", () => {
    const service = FakeService.make()
    // @ts-expect-error: the layer does not provide KeyProvider
    const wrong = () => DurableHandler.make(Pay, pay, { ...service.handlerOptions, layer: Layer.empty })
    const client = DurableClient.start(Pay, "pay:live", ada)
    const needs: Effect.Services<typeof client> extends DurableClient.DurableClient ? true : false = false
    assert.isFunction(wrong)
    assert.isFalse(needs)
  })
})
