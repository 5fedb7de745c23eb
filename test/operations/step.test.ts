import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as CheckpointService from "effect-durable-lambda/CheckpointService"
import { StepFailed, StepInterrupted, StepTimedOut } from "effect-durable-lambda/DurableError"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"
import { CardDeclined, Unavailable } from "./kit.ts"

const { layerMemory } = TestRunner

const noRetry = { retry: Durable.noRetry }
/** Retries at once, as far as the service can. */
const soon = (times: number) => ({ retry: { times } })

/** An effect that the types of `Durable.step` refuse, so that what happens at run time can be seen. */
const untyped = (effect: Effect.Effect<unknown, unknown>) => effect as Effect.Effect<number, never>

describe("step: running and replaying", () => {
  it.effect("runs once, and on replay the record answers", () =>
    Effect.gen(function* () {
      let runs = 0
      const step = Durable.step(
        "count",
        Effect.sync(() => ({ runs: ++runs }))
      )
      const execution = yield* kit.sees(step, Exit.succeed({ runs: 1 }))
      assert.strictEqual(runs, 1)
      assert.strictEqual(yield* execution.invocations, 2)
      const record = yield* execution.operation("count")
      assert.strictEqual(record.Status, "SUCCEEDED")
      assert.deepStrictEqual(record.StepDetails, { Result: '{"runs":1}', Attempt: 1 })
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a failed step does not run again on replay either", () =>
    Effect.gen(function* () {
      let runs = 0
      const step = Durable.step(
        "fail",
        Effect.suspend(() => (runs++, Effect.fail("no"))),
        noRetry
      )
      yield* kit.sees(step, Exit.fail(new StepFailed({ operation: "fail", type: "Failure", message: "no" })))
      assert.strictEqual(runs, 1)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("steps of one name are told apart by their order", () =>
    Effect.gen(function* () {
      let n = 0
      const next = Durable.step(
        "next",
        Effect.sync(() => ++n)
      )
      yield* kit.sees(Effect.all([next, next, next]), Exit.succeed([1, 2, 3]))
      assert.strictEqual(n, 3)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("is pipeable", () =>
    kit.sees(Effect.succeed("piped").pipe(Durable.step("s")), Exit.succeed("piped")).pipe(Effect.provide(layerMemory))
  )

  it.effect("uses services, timers, promises and the real clock, and gets services from the layer", () =>
    Effect.gen(function* () {
      class Greeter extends Context.Service<Greeter, { readonly greet: (name: string) => string }>()("test/Greeter") {}
      const Greet = DurableFunction.make("greet", { payload: Schema.String, success: Schema.String })
      const greet = (name: string) =>
        Durable.step(
          "greet",
          Effect.gen(function* () {
            const { greet } = yield* Greeter
            yield* Effect.sleep(1)
            yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 1)))
            return greet(name)
          })
        )
      const result = yield* TestRunner.run(Greet, greet, "Ada").pipe(
        Effect.provideService(Greeter, { greet: (name) => `Hello, ${name}!` })
      )
      assert.strictEqual(result, "Hello, Ada!")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("works from 64 fibers at once", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 64 }, (_, i) => i)
      const all = Effect.forEach(names, (i) => Durable.step(`s${i}`, Effect.as(kit.turn, i)), {
        concurrency: "unbounded"
      })
      yield* kit.sees(all, Exit.succeed(names))
    }).pipe(Effect.provide(layerMemory))
  )
})

// ---- failures --------------------------------------------------------------------------------------------

class Plain extends Error {
  override readonly name = "Plain"
  readonly code = 7
}
class Thing {
  readonly size = 3
}
class Tagged extends Data.TaggedError("Tagged")<{ readonly n: number }> {}
const Both = Schema.Union([CardDeclined, Unavailable])

const declined = new CardDeclined({ reason: "limit" })
const unavailable = new Unavailable({ retryable: true })
const wrapped = (type: string, message: string, data?: Schema.Json) =>
  new StepFailed({ operation: "s", type, message, ...(data === undefined ? undefined : { data }) })

describe("step: failures, live and replayed alike", () => {
  const cases: ReadonlyArray<
    readonly [what: string, error: unknown, schema: Schema.Constraint | undefined, surfaces: unknown]
  > = [
    ["covered: the class", declined, CardDeclined, declined],
    ["covered by a union: its class", unavailable, Both, unavailable],
    [
      "not covered: StepFailed with its tag and data",
      unavailable,
      CardDeclined,
      wrapped("Unavailable", "", { retryable: true })
    ],
    ["no schema: StepFailed", declined, undefined, wrapped("CardDeclined", "", { reason: "limit" })],
    ["a string without schema", "boom", undefined, wrapped("Failure", "boom")],
    ["a string with one", "boom", Schema.String, "boom"],
    ["a literal of a union", "b", Schema.Literals(["a", "b"]), "b"],
    ["an Error", new Plain("broken"), undefined, wrapped("Plain", "broken", { code: 7 })],
    ["Data.TaggedError", new Tagged({ n: 1 }), undefined, wrapped("Tagged", "", { n: 1 })],
    ["a plain object", { a: 1 }, undefined, wrapped("Failure", '{"a":1}', { a: 1 })],
    ["a plain object with a schema", { a: 1 }, Schema.Struct({ a: Schema.Number }), { a: 1 }],
    ["nothing", undefined, undefined, wrapped("Failure", "undefined")],
    ["null", null, undefined, wrapped("Failure", "null")],
    ["a Date inside, by its schema", { at: new Date(5) }, Schema.Struct({ at: Schema.Date }), { at: new Date(5) }],
    [
      "an error whose data is not JSON",
      Object.assign(new Plain("broken"), { of: new Map() }),
      undefined,
      wrapped("Plain", "broken")
    ],
    ["StepFailed of somebody else", wrapped("Inner", "inner"), undefined, wrapped("Inner", "inner")]
  ]
  for (const [what, error, schema, surfaces] of cases) {
    it.effect(what, () =>
      Effect.gen(function* () {
        const step = Durable.step("s", Effect.fail(error) as Effect.Effect<never, string>, {
          ...noRetry,
          // the types refuse a schema that covers nothing
          error: schema as typeof Schema.String
        })
        const execution = yield* kit.sees(step, Exit.fail(surfaces))
        const record = yield* execution.operation("s")
        assert.strictEqual(record.Status, "FAILED")
        assert.isUndefined(record.StepDetails?.Error?.StackTrace)
      }).pipe(Effect.provide(layerMemory))
    )
  }

  it.effect("an instance of a class that is no Error keeps its fields", () =>
    Effect.gen(function* () {
      const step = Durable.step("s", Effect.fail(new Thing()), noRetry)
      const { live, replayed } = yield* kit.observe(step)
      assert.deepStrictEqual(kit.shown(replayed[0]!), kit.shown(live))
      const error = yield* Effect.flip(live)
      assert(error instanceof StepFailed)
      assert.deepStrictEqual(error.data, { size: 3 })
      assert.strictEqual(error.operation, "s")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a schema for one of two failures: each surfaces its own way", () =>
    Effect.gen(function* () {
      const body = (fails: CardDeclined | Unavailable) =>
        Durable.step("s", Effect.fail(fails), { ...noRetry, error: CardDeclined }).pipe(
          Effect.catchTags({
            CardDeclined: (error) => Effect.succeed(`declined: ${error.reason}`),
            StepFailed: (error) => Effect.succeed(`${error.type} ${JSON.stringify(error.data)}`)
          })
        )
      yield* kit.sees(body(declined), Exit.succeed("declined: limit"))
      yield* kit.sees(body(unavailable), Exit.succeed('Unavailable {"retryable":true}'))
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("on the wire: the tag, a readable message, the encoded error, never a stack", () =>
    Effect.gen(function* () {
      const step = Durable.step("s", Effect.fail(declined), { ...noRetry, error: CardDeclined })
      const { execution } = yield* kit.observe(step)
      const record = yield* execution.operation("s")
      assert.strictEqual(record.StepDetails?.Error?.ErrorType, "CardDeclined")
      assert.deepStrictEqual(JSON.parse(record.StepDetails?.Error?.ErrorData ?? ""), {
        _tag: "CardDeclined",
        reason: "limit"
      })
      assert.notInclude(JSON.stringify(yield* execution.operations), ".test.ts")
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("step: defects", () => {
  const cases: ReadonlyArray<readonly [what: string, defect: unknown, seen: unknown]> = [
    ["an Error", new RangeError("too far"), new RangeError("too far")],
    ["an error of one's own", new Plain("broken"), new Plain("broken")],
    ["a string", "odd", "odd"],
    ["an object", { odd: true }, { odd: true }]
  ]
  for (const [what, defect, seen] of cases) {
    it.effect(`${what} dies as the same defect, live and replayed, and is not retried`, () =>
      Effect.gen(function* () {
        let runs = 0
        const step = Durable.step(
          "s",
          Effect.suspend(() => (runs++, Effect.die(defect)))
        )
        const { execution, live, replayed } = yield* kit.observe(step)
        assert.deepStrictEqual(kit.shown(live), kit.shown(Exit.die(seen)))
        assert.deepStrictEqual(kit.shown(replayed[0]!), kit.shown(Exit.die(seen)))
        assert.strictEqual(runs, 1)
        const record = yield* execution.operation("s")
        assert.notInclude(JSON.stringify(record), ".test.ts")
      }).pipe(Effect.provide(layerMemory))
    )
  }

  it.effect("a thrown exception is a defect named after the error's class", () =>
    Effect.gen(function* () {
      const step = Durable.step(
        "s",
        Effect.sync((): number => {
          throw new TypeError("thrown")
        })
      )
      const { execution, live } = yield* kit.observe(step)
      assert.deepStrictEqual(kit.shown(live), [{ die: "TypeError: thrown" }])
      const record = yield* execution.operation("s")
      assert.strictEqual(record.StepDetails?.Error?.ErrorType, "TypeError")
      assert.strictEqual(record.StepDetails?.Error?.ErrorMessage, "thrown")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("retryDefects retries them like failures, and the last one still dies", () =>
    Effect.gen(function* () {
      let runs = 0
      const flaky = Durable.step(
        "flaky",
        Effect.sync(() => {
          if (++runs < 3) throw new RangeError("flaky")
          return runs
        }),
        { ...soon(5), retryDefects: true }
      )
      yield* kit.sees(flaky, Exit.succeed(3))
      const hopeless = Durable.step("hopeless", Effect.die(new RangeError("hopeless")), {
        ...soon(1),
        retryDefects: true
      })
      const { execution, live, replayed } = yield* kit.observe(hopeless)
      assert.deepStrictEqual(kit.shown(live), [{ die: "RangeError: hopeless" }])
      assert.deepStrictEqual(kit.shown(replayed[0]!), kit.shown(live))
      assert.strictEqual((yield* kit.attemptsOf(execution, "hopeless")).errors.length, 2)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a step that interrupts itself is an interruption that the body can handle, live and replayed", () =>
    Effect.gen(function* () {
      let runs = 0
      const step = Durable.step(
        "s",
        Effect.suspend(() => (runs++, Effect.interrupt))
      )
      yield* kit.sees(step, Exit.interrupt())
      assert.strictEqual(runs, 1)
    }).pipe(Effect.provide(layerMemory))
  )
})

// ---- payloads --------------------------------------------------------------------------------------------

class Order extends Schema.Class<Order>("Order")({ id: Schema.String, at: Schema.Date }) {}

describe("step: what it returns is decode(encode(x)), live and replayed", () => {
  const typed: ReadonlyArray<
    readonly [
      what: string,
      schema: Schema.Constraint | undefined,
      value: unknown,
      wire: string | undefined,
      back?: unknown
    ]
  > = [
    ["a Date by its schema", Schema.Date, new Date(86_400_000), '"1970-01-02T00:00:00.000Z"'],
    ["a class", Order, new Order({ id: "1", at: new Date(0) }), '{"id":"1","at":"1970-01-01T00:00:00.000Z"}'],
    ["an Option", Schema.Option(Schema.Number), Option.some(1), '{"_tag":"Some","value":1}'],
    ["a bigint", Schema.BigInt, BigInt(10), '"10"'],
    ["a Map", Schema.ReadonlyMap(Schema.String, Schema.Number), new Map([["a", 1]]), '[["a",1]]'],
    ["undefined by a schema", Schema.UndefinedOr(Schema.Number), undefined, undefined],
    ["null by a schema", Schema.NullOr(Schema.Number), null, "null"],
    ["void by a schema", Schema.Void, undefined, undefined],
    ["a number as text", Durable.text(Schema.NumberFromString), 42, "42"],
    ["a text as it is", Durable.text(Schema.String), 'not "JSON"', 'not "JSON"'],
    ["what the schema leaves out is gone", Schema.Struct({ a: Schema.Number }), { a: 1, b: 2 }, '{"a":1}', { a: 1 }],
    ["an empty text", Durable.text(Schema.String), "", ""],
    ["no schema: plain JSON", undefined, { a: [1, "x", null, true], b: {} }, '{"a":[1,"x",null,true],"b":{}}'],
    ["no schema: nothing", undefined, undefined, undefined],
    ["no schema: null", undefined, null, "null"],
    ["no schema: -0 becomes 0, as in JSON", undefined, -0, "0", 0],
    ["-0 by a schema", Schema.Number, -0, "0", 0],
    [
      "no schema: an optional key that is undefined is left out",
      undefined,
      { a: undefined, b: 1 },
      '{"b":1}',
      { b: 1 }
    ],
    [
      "no schema: text that looks odd",
      undefined,
      "\u2028 \ud83d\ude00 \"'\\",
      JSON.stringify("\u2028 \ud83d\ude00 \"'\\")
    ],
    ["no schema: __proto__ is a key like others", undefined, JSON.parse('{"__proto__":1}'), '{"__proto__":1}']
  ]
  for (const [what, schema, value, wire, ...back] of typed) {
    it.effect(what, () =>
      Effect.gen(function* () {
        const expected = back.length === 0 ? value : back[0]
        const step = Durable.step("s", untyped(Effect.succeed(value)), { success: schema as typeof Schema.Number })
        const { execution, live, replayed } = yield* kit.observe(step)
        for (const exit of [live, ...replayed]) {
          const seen: unknown = yield* exit
          assert.deepStrictEqual(seen, expected)
          assert.isTrue(Object.is(seen, 0) === Object.is(expected, 0))
          assert.strictEqual(Object.getPrototypeOf(Object(seen)), Object.getPrototypeOf(Object(expected)))
        }
        const record = yield* execution.operation("s")
        assert.strictEqual(record.StepDetails?.Result, wire)
      }).pipe(Effect.provide(layerMemory))
    )
  }

  it.effect("the body gets a copy, not what the step holds", () =>
    Effect.gen(function* () {
      const mutable = { n: 1 }
      const step = Durable.step("s", Effect.succeed(mutable))
      const { live } = yield* kit.observe(
        Effect.map(step, (value) => {
          value.n++
          return value !== mutable && mutable.n === 1
        })
      )
      assert.deepStrictEqual(live, Exit.succeed(true))
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("step: what is no payload ends the execution with a sentence", () => {
  class Foreign {
    readonly a = 1
  }
  const circular: { self?: unknown } = {}
  circular.self = circular
  const deep: ReadonlyArray<readonly [what: string, value: unknown, sentence: string]> = [
    ["an instance of a foreign class", { order: new Foreign() }, "`order` is an instance of Foreign"],
    ["a Date", { list: [new Date(0)] }, "`list[0]` is an instance of Date"],
    ["a Map", new Map(), "it is an instance of Map"],
    ["NaN", { n: NaN }, "`n` is NaN"],
    ["Infinity", [1, -Infinity], "`[1]` is -Infinity"],
    ["a circle", circular, "`self` contains itself"],
    ["a bigint", { a: { b: BigInt(1) } }, "`a.b` is a bigint"],
    ["a bigint in lists", [{ a: [[{ b: BigInt(1) }]] }], "`[0].a[0][0].b` is a bigint"],
    ["a function", { f: () => 1 }, "`f` is a function"],
    ["a symbol", Symbol("x"), "it is a symbol"],
    ["a hole in a list", [1, undefined], "`[1]` is undefined"],
    [
      "a getter that throws",
      {
        get total(): number {
          throw new Error("not loaded")
        }
      },
      "it cannot be read (Error: not loaded)"
    ]
  ]
  for (const [what, value, sentence] of deep) {
    it.effect(what, () =>
      Effect.gen(function* () {
        let runs = 0
        const caught: Array<unknown> = []
        const fault = yield* kit.faultOf(
          Durable.step(
            "s",
            untyped(
              Effect.sync(() => {
                runs++
                return value
              })
            )
          ).pipe(Effect.catchCause((cause) => Effect.sync(() => caught.push(cause))))
        )
        assert.strictEqual(fault.type, "SerdesFailed")
        assert.match(fault.message, /^STEP "s" \([\w-]+\): cannot encode its payload: /)
        assert.include(fault.message, `its value is not plain JSON: ${sentence}. Give it a \`success\` schema.`)
        assert.strictEqual(runs, 1)
        assert.deepStrictEqual(caught, [], "user code cannot catch it")
      }).pipe(Effect.provide(layerMemory))
    )
  }

  it.effect("a value that its schema refuses", () =>
    Effect.gen(function* () {
      const fault = yield* kit.faultOf(
        Durable.step("s", untyped(Effect.succeed({ id: "1" })), { success: Order as unknown as typeof Schema.Number })
      )
      assert.strictEqual(fault.type, "SerdesFailed")
      assert.match(fault.message, /^STEP "s" .*Expected Order/s)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a record that the schema of today cannot read", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const make = (success: Schema.Constraint) =>
        DurableHandler.make(
          kit.Anything,
          () =>
            Effect.andThen(
              Durable.step("s", untyped(Effect.succeed(1)), { success: success as typeof Schema.Number }),
              Durable.wait("w", "1 second")
            ),
          service.handlerOptions
        )
      yield* service.invoke(make(Schema.Number))
      service.pass(1)
      const answer = yield* service.invoke(make(Schema.Struct({ id: Schema.String })))
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "SerdesFailed")
      assert.match(answer.Error?.ErrorMessage ?? "", /^STEP "s" .*cannot decode its payload: Expected object/s)
    })
  )

  it.effect("an error that its schema cannot write, or that the schema of today cannot read, names the operation", () =>
    Effect.gen(function* () {
      class Odd extends Schema.TaggedError<Odd>()("Odd", {
        at: Schema.String.pipe(
          Schema.decodeTo(Schema.String, {
            decode: SchemaGetter.passthrough<string>(),
            encode: SchemaGetter.forbidden<string, string>(() => "it is secret")
          })
        )
      }) {}
      const failing = Effect.fail(new Odd({ at: "x" }))
      const options = { ...noRetry, error: Odd }
      const unwritable: ReadonlyArray<readonly [kit.Body, RegExp]> = [
        [Durable.step("s", failing, options), /^STEP "s" \([\w-]+\): cannot encode its payload: .*it is secret/s],
        [
          Durable.childContext("c", failing, { error: Odd }),
          /^CONTEXT "c" \([\w-]+\): cannot encode its payload: .*it is secret/s
        ],
        [
          Durable.map("m", [1], () => failing, { error: Odd }),
          /^CONTEXT "map-item-0" \([\w-]+\): cannot encode its payload: .*it is secret/s
        ]
      ]
      for (const [body, message] of unwritable) {
        const fault = yield* kit.faultOf(body)
        assert.strictEqual(fault.type, "SerdesFailed")
        assert.match(fault.message, message)
      }

      const service = FakeService.make()
      const make = (error: Schema.Constraint) =>
        DurableHandler.make(
          kit.Anything,
          () =>
            Effect.andThen(
              Effect.exit(
                Durable.step("s", Effect.fail(declined), { ...noRetry, error: error as typeof kit.CardDeclined })
              ),
              Durable.wait("w", "1 second")
            ),
          service.handlerOptions
        )
      yield* service.invoke(make(kit.CardDeclined))
      service.pass(1)
      const answer = yield* service.invoke(make(Schema.Struct({ id: Schema.String })))
      assert(answer.Status === "FAILED")
      assert.match(answer.Error?.ErrorMessage ?? "", /^STEP "s" \([\w-]+\): cannot decode its payload: /)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a payload over the limit: PayloadTooLarge names operation, bytes and limit", () =>
    Effect.gen(function* () {
      // an ä has two bytes
      const fault = yield* kit.faultOf(Durable.step("photo", Effect.succeed("ä".repeat(600_000))))
      assert.strictEqual(fault.type, "PayloadTooLarge")
      assert.match(fault.message, /^STEP "photo" \([\w-]+\): its payload has 1200002 bytes, .* at most 1048576\./)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a payload at the limit is recorded", () =>
    Effect.gen(function* () {
      const text = "x".repeat(1024 * 1024 - 2)
      const { replayed } = yield* kit.observe(Durable.step("photo", Effect.succeed(text)))
      assert.isTrue(Exit.isSuccess(replayed[0]!) && replayed[0].value === text)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("an operation beyond the limit: OperationLimitExceeded", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const ran: Array<number> = []
      const handler = DurableHandler.make(
        kit.Anything,
        () =>
          Effect.forEach([1, 2, 3, 4, 5], (n) =>
            Durable.step(
              "s",
              Effect.sync(() => ran.push(n))
            )
          ),
        // the EXECUTION operation is none of them: 3,000 steps were seen to run on Lambda
        { client: service.layer, checkpoints: CheckpointService.layerWith({ limits: { operations: 3 } }) }
      )
      const answer = yield* service.invoke(handler)
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "OperationLimitExceeded")
      assert.match(answer.Error?.ErrorMessage ?? "", /^STEP "s" .* limit of 3 operations\./)
      assert.deepStrictEqual(ran, [1, 2, 3])
    })
  )

  it.effect("the order of completions counts as well: no execution goes on without it", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const answerOf = (name: string) => Effect.flatMap(Durable.callback(name), (callback) => callback.await)
      const handler = DurableHandler.make(
        kit.Anything,
        () => Effect.andThen(Effect.raceFirst(answerOf("a"), answerOf("b")), Durable.step("after", Effect.void)),
        // two callbacks and the step
        { client: service.layer, checkpoints: CheckpointService.layerWith({ limits: { operations: 3 } }) }
      )
      assert.strictEqual((yield* service.invoke(handler)).Status, "PENDING")
      const { CallbackDetails: details } = service.record("a")
      service.change("a", { Status: "SUCCEEDED", CallbackDetails: { ...details, Result: "1" } })
      const answer = yield* service.invoke(handler)
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "OperationLimitExceeded")
      assert.match(answer.Error?.ErrorMessage ?? "", /^STEP "order-of-completions" .* limit of 3 operations\./)
    })
  )
})

describe("step: idempotency keys", () => {
  it.live("of two steps of one name: no attempt begins before the order that tells them apart is on record", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const keys: Array<readonly [item: string, key: string]> = []
      let dies = true
      const charge = (item: string) =>
        Durable.step(
          "charge",
          Effect.flatMap(Durable.CurrentStep, ({ idempotencyKey }) => {
            keys.push([item, idempotencyKey])
            return dies ? Effect.never : Effect.succeed(item)
          })
        )
      const body = Effect.gen(function* () {
        const a = yield* Durable.callback("a")
        const b = yield* Durable.callback("b")
        const both = [Effect.andThen(a.await, charge("A")), Effect.andThen(b.await, charge("B"))]
        return yield* Effect.all(both, { concurrency: "unbounded" })
      })
      const handler = DurableHandler.make(kit.Anything, () => body, { ...service.handlerOptions, startDelay: "1 hour" })
      assert.strictEqual((yield* service.invoke(handler)).Status, "PENDING")
      // both end in the same millisecond, and one is seen at once; then the process dies, and the other is seen, too
      const EndTimestamp = service.record("b").StartTimestamp! + 5
      service.change("b", { Status: "SUCCEEDED", EndTimestamp })
      const lost = FakeService.held()
      service.next(lost.reply)
      yield* Effect.forkChild(service.invoke(handler))
      const sent = yield* Effect.timeoutOption(lost.asked, "5 seconds")
      assert.isTrue(Option.isSome(sent))
      assert.deepStrictEqual(keys, [], "an attempt has begun, and nothing of it is on record")
      dies = false
      service.change("a", { Status: "SUCCEEDED", EndTimestamp })
      assert.strictEqual((yield* service.invoke(handler)).Status, "SUCCEEDED")
      const keyOf = new Map<string, string>()
      for (const [item, key] of keys) assert.strictEqual(keyOf.get(key) ?? item, item, "a key of another item")
      for (const [item, key] of keys) keyOf.set(key, item)
      assert.strictEqual(new Set(keys.map(([, key]) => key)).size, 2)
    })
  )
})

// ---- retry -----------------------------------------------------------------------------------------------

/** Fails until attempt `n`, and tells what it saw. */
const flaky = (n: number) =>
  Effect.gen(function* () {
    const { attempt } = yield* Durable.CurrentStep
    return attempt < n ? yield* new Unavailable({ retryable: attempt < n - 1 }) : `attempt ${attempt}`
  })

describe("step: retry", () => {
  const policies: ReadonlyArray<
    readonly [what: string, retry: Durable.Retry<Unavailable>, succeedsAt: number, delays: ReadonlyArray<number>]
  > = [
    ["a schedule", Schedule.exponential("1 second"), 4, [1, 2, 4]],
    ["a builder", ($) => $(Schedule.spaced("90 seconds")), 3, [90, 90]],
    ["options: times", { times: 3 }, 3, [1, 1]],
    ["options: a schedule", { schedule: Schedule.fibonacci("2 seconds"), times: 9 }, 5, [2, 2, 4, 6]],
    ["fractions round up, the least is 1 s", Schedule.spaced("100 millis"), 3, [1, 1]],
    ["1.2 s becomes 2 s", Schedule.spaced("1200 millis"), 3, [2, 2]],
    [
      "concat",
      Schedule.concat(Schedule.spaced("3 seconds").pipe(Schedule.upTo({ times: 1 })), Schedule.spaced("1 hour")),
      4,
      [3, 3600, 3600]
    ]
  ]
  for (const [what, retry, at, delays] of policies) {
    it.effect(what, () =>
      Effect.gen(function* () {
        const step = Durable.step("s", flaky(at), { retry })
        const execution = yield* kit.sees(step, Exit.succeed(`attempt ${at}`))
        const attempts = yield* kit.attemptsOf(execution, "s")
        assert.deepStrictEqual(attempts.delays, delays)
        assert.strictEqual(attempts.starts, at)
      }).pipe(Effect.provide(layerMemory))
    )
  }

  const ends: ReadonlyArray<readonly [what: string, retry: Durable.Retry<Unavailable>, attempts: number]> = [
    ["no retry", Durable.noRetry, 1],
    ["upTo", Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 2 })), 3],
    ["times: 0", { times: 0 }, 1],
    ["while, which sees the error", { while: (error) => error.retryable }, 8],
    ["while with an effect", { while: (error) => Effect.succeed(error.retryable) }, 8],
    ["until", { until: (error) => !error.retryable }, 8],
    [
      "a builder that sees the error",
      ($) => $(Schedule.forever).pipe(Schedule.while(({ input }) => input.retryable)),
      8
    ]
  ]
  for (const [what, retry, attempts] of ends) {
    it.effect(`gives up: ${what}`, () =>
      Effect.gen(function* () {
        const step = Durable.step("s", flaky(9), { retry, error: Unavailable })
        const execution = yield* kit.sees(step, Exit.fail(new Unavailable({ retryable: attempts < 8 })))
        const { errors, starts } = yield* kit.attemptsOf(execution, "s")
        assert.strictEqual(starts, attempts)
        assert.deepStrictEqual(
          errors,
          Array.from({ length: attempts }, () => "Unavailable")
        )
      }).pipe(Effect.provide(layerMemory))
    )
  }

  it.effect("default: 6 attempts, delays within AWS's jitter", () =>
    Effect.gen(function* () {
      const step = Durable.step("s", Effect.fail("always"))
      const execution = yield* kit.sees(
        step,
        Exit.fail(new StepFailed({ operation: "s", type: "Failure", message: "always" }))
      )
      const { delays, starts } = yield* kit.attemptsOf(execution, "s")
      assert.strictEqual(starts, 6)
      assert.strictEqual(delays.length, 5)
      for (const [i, most] of [5, 10, 20, 40, 60].entries()) {
        assert.isTrue(Number.isInteger(delays[i]) && delays[i]! >= 1 && delays[i]! <= most, `${i}: ${delays}`)
      }
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("the default's jitter spreads, and differs between steps", () =>
    Effect.gen(function* () {
      const names = Array.from({ length: 12 }, (_, i) => `s${i}`)
      const execution = yield* kit.start(
        Effect.forEach(names, (name) => Effect.option(Durable.step(name, Effect.fail("always"))), {
          concurrency: "unbounded"
        })
      )
      yield* execution.result
      const delays = yield* Effect.forEach(names, (name) => kit.attemptsOf(execution, name))
      assert.isAtLeast(new Set(delays.map((attempts) => attempts.delays.join())).size, 11)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a schedule is asked once per failure, with the error and the attempt", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const step = Durable.step("s", flaky(4), {
        retry: ($) =>
          $(Schedule.spaced("1 second")).pipe(
            Schedule.while(({ attempt, input }) =>
              Effect.sync(() => {
                asked.push(`${attempt}: ${input._tag} ${input.retryable}`)
                return true
              })
            )
          )
      })
      yield* kit.sees(step, Exit.succeed("attempt 4"))
      // the fold is rebuilt for each decision; what is recorded was decided by the last line of each
      assert.deepStrictEqual(
        asked.filter((_, i) => i === asked.length - 1 || asked[i + 1]!.startsWith("1:")),
        ["1: Unavailable true", "2: Unavailable true", "3: Unavailable false"]
      )
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a schedule that dies fails the step with its own defect", () =>
    Effect.gen(function* () {
      const step = Durable.step("s", Effect.fail("no"), {
        retry: { while: () => Effect.die(new RangeError("the schedule is broken")) }
      })
      yield* kit.sees(step, Exit.die(new RangeError("the schedule is broken")))
      const thrown = Durable.step("t", Effect.fail("no"), {
        retry: {
          while: () => {
            throw new RangeError("thrown")
          }
        }
      })
      yield* kit.sees(thrown, Exit.die(new RangeError("thrown")))
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("between attempts nothing runs: each is an invocation of its own", () =>
    Effect.gen(function* () {
      const step = Durable.step("s", flaky(3), { retry: Schedule.spaced("1 hour") })
      const execution = yield* kit.start(step)
      yield* execution.result
      assert.strictEqual(yield* execution.invocations, 3)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a schedule may use services of the layer", () =>
    Effect.gen(function* () {
      class Patience extends Context.Service<Patience, { readonly times: number }>()("test/Patience") {}
      const Fn = DurableFunction.make("f", { payload: Schema.Null, success: Schema.Number })
      let runs = 0
      const body = () =>
        Durable.step(
          "s",
          Effect.suspend(() => (++runs, Effect.fail("no"))),
          { retry: { while: () => Effect.map(Patience, ({ times }) => runs < times) } }
        ).pipe(Effect.catch(() => Effect.succeed(runs)))
      const result = yield* TestRunner.run(Fn, body, null).pipe(Effect.provideService(Patience, { times: 3 }))
      assert.strictEqual(result, 3)
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("step: timeout", () => {
  it.effect("interrupts the attempt, is StepTimedOut, and is retried", () =>
    Effect.gen(function* () {
      const interrupted: Array<number> = []
      const step = Durable.step(
        "slow",
        Effect.gen(function* () {
          const { attempt } = yield* Durable.CurrentStep
          if (attempt === 3) return "in time"
          return yield* Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted.push(attempt)))
        }),
        { timeout: 1, retry: { times: 5, while: (error) => error._tag === "StepTimedOut" } }
      )
      const execution = yield* kit.sees(step, Exit.succeed("in time"))
      assert.deepStrictEqual(interrupted, [1, 2])
      assert.deepStrictEqual((yield* kit.attemptsOf(execution, "slow")).errors, ["StepTimedOut", "StepTimedOut"])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("given up, it keeps its class", () =>
    kit
      .sees(
        Durable.step("slow", Effect.never, { timeout: Duration.millis(2), retry: Durable.noRetry }),
        Exit.fail(new StepTimedOut({ operation: "slow", timeoutMillis: 2 }))
      )
      .pipe(Effect.provide(layerMemory))
  )

  it.effect("a timeout that is none is refused", () =>
    Effect.gen(function* () {
      for (const timeout of [0, -1, NaN]) {
        const fault = yield* kit.faultOf(Durable.step("s", Effect.succeed(1), { timeout }))
        assert.strictEqual(fault.type, "InvalidOperation")
        assert.match(fault.message, /^Durable\.step\("s"\): its timeout is .* Give it a positive one/)
      }
    }).pipe(Effect.provide(layerMemory))
  )
})

// ---- semantics -------------------------------------------------------------------------------------------

describe("step: at most once per attempt", () => {
  const atMostOnce = { semantics: "AtMostOncePerRetry" } as const

  it.effect("START is acknowledged before the body runs", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const sentBefore: Array<number> = []
      const handler = DurableHandler.make(
        kit.Anything,
        () =>
          Durable.step(
            "s",
            Effect.sync(() => sentBefore.push(service.requests.length)),
            atMostOnce
          ),
        service.handlerOptions
      )
      yield* service.invoke(handler)
      assert.deepStrictEqual(sentBefore, [1])
      assert.deepStrictEqual(service.trace, [["START STEP s"], ["SUCCEED STEP s"]])
    })
  )

  it.effect("a crash while it runs: it does not run again, and StepInterrupted surfaces", () => {
    const layer = kit.layerFaulty(({ call }) => (call === 2 ? "CrashBefore" : undefined))
    return Effect.gen(function* () {
      let runs = 0
      const step = Durable.step(
        "s",
        Effect.sync(() => ++runs),
        { ...atMostOnce, retry: Durable.noRetry }
      )
      const execution = yield* kit.sees(step, Exit.fail(new StepInterrupted({ operation: "s" })))
      assert.strictEqual(runs, 1)
      assert.deepStrictEqual(yield* kit.attemptsOf(execution, "s"), {
        starts: 1,
        delays: [],
        errors: ["StepInterrupted"]
      })
    }).pipe(Effect.provide(layer))
  })

  it.effect("StepInterrupted is an input of the schedule: with its consent the next attempt runs", () => {
    const layer = kit.layerFaulty(({ call }) => (call === 2 ? "CrashBefore" : undefined))
    return Effect.gen(function* () {
      const attempts: Array<number> = []
      const inputs: Array<string> = []
      const step = Durable.step(
        "s",
        Effect.map(Durable.CurrentStep, ({ attempt }) => attempts.push(attempt)),
        {
          ...atMostOnce,
          retry: {
            while: (error) => {
              inputs.push(error._tag)
              return error._tag === "StepInterrupted"
            }
          }
        }
      )
      yield* kit.sees(step, Exit.succeed(2))
      assert.deepStrictEqual(attempts, [1, 2])
      assert.deepStrictEqual(inputs, ["StepInterrupted"])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a crash before START was recorded is none: it runs", () => {
    const layer = kit.layerFaulty(({ call }) => (call === 1 ? "CrashBefore" : undefined))
    return Effect.gen(function* () {
      let runs = 0
      yield* kit.sees(
        Durable.step(
          "s",
          Effect.sync(() => ++runs),
          atMostOnce
        ),
        Exit.succeed(1)
      )
    }).pipe(Effect.provide(layer))
  })

  it.effect("a failure is retried, each attempt with a START of its own", () =>
    Effect.gen(function* () {
      const execution = yield* kit.sees(
        Durable.step("s", flaky(3), { ...atMostOnce, ...soon(5) }),
        Exit.succeed("attempt 3")
      )
      assert.strictEqual((yield* kit.attemptsOf(execution, "s")).starts, 3)
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("step: at least once", () => {
  it.effect("a crash while it runs: it runs again, as the same attempt, without a second START", () => {
    const layer = kit.layerFaulty(({ call }) => (call === 2 ? "CrashBefore" : undefined))
    return Effect.gen(function* () {
      const attempts: Array<number> = []
      const step = Durable.step(
        "s",
        Effect.tap(
          Effect.map(Durable.CurrentStep, ({ attempt }) => attempts.push(attempt)),
          kit.turn
        )
      )
      const execution = yield* kit.sees(step, Exit.succeed(2), { startDelay: 0 })
      assert.deepStrictEqual(attempts, [1, 1])
      assert.deepStrictEqual(yield* kit.attemptsOf(execution, "s"), { starts: 1, delays: [], errors: [] })
    }).pipe(Effect.provide(layer))
  })

  it.effect("once its success is acknowledged it never runs again", () => {
    const layer = kit.layerFaulty(({ call }) => (call === 1 ? "CrashAfter" : undefined))
    return Effect.gen(function* () {
      let runs = 0
      yield* kit.sees(
        Durable.step(
          "s",
          Effect.sync(() => ++runs)
        ),
        Exit.succeed(1)
      )
      assert.strictEqual(runs, 1)
    }).pipe(Effect.provide(layer))
  })

  it.effect("START and SUCCEED of a short step travel in one request, that of a long one goes ahead", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const make = (startDelay: number, body: Effect.Effect<void>) =>
        DurableHandler.make(kit.Anything, () => Durable.step("s", body), { ...service.handlerOptions, startDelay })
      yield* service.invoke(make(60_000, Effect.sleep(2)))
      assert.deepStrictEqual(service.trace, [["START STEP s", "SUCCEED STEP s"]])
      service.forget("s")
      const untilSent: Effect.Effect<void> = Effect.suspend(() =>
        service.requests.length > 1 ? Effect.void : Effect.andThen(kit.turn, untilSent)
      )
      yield* service.invoke(make(1, untilSent))
      assert.deepStrictEqual(service.trace.slice(1), [["START STEP s"], ["SUCCEED STEP s"]])
    })
  )
})

// ---- what a step has -------------------------------------------------------------------------------------

describe("step: CurrentStep, Scope, interruption", () => {
  it.effect("attempt counts, idempotencyKey and operationId stay, over attempts and invocations", () =>
    Effect.gen(function* () {
      const seen: Array<Durable.CurrentStep["Service"]> = []
      const look = Effect.gen(function* () {
        const step = yield* Durable.CurrentStep
        seen.push({ ...step, idempotencyKey: step.idempotencyKey })
        return step.attempt < 3 ? yield* Effect.fail("again") : step.operationId
      })
      const execution = yield* kit.start(Durable.step("look", look, soon(5)))
      const id = yield* execution.result
      assert.deepStrictEqual(
        seen.map(({ attempt, name }) => [attempt, name]),
        [
          [1, "look"],
          [2, "look"],
          [3, "look"]
        ]
      )
      assert.strictEqual(new Set(seen.map((step) => step.idempotencyKey)).size, 1)
      assert.match(seen[0]!.idempotencyKey, /^[a-zA-Z0-9-_]{16,64}$/)
      assert.deepStrictEqual(new Set(seen.map((step) => step.operationId)), new Set([id]))
      assert.strictEqual((yield* execution.operation("look")).Id, id)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("idempotencyKey differs between steps, occurrences, contexts and executions", () =>
    Effect.gen(function* () {
      const keys: Array<string> = []
      const key = (name: string) =>
        Durable.step(
          name,
          Effect.map(Durable.CurrentStep, (step) => void keys.push(step.idempotencyKey))
        )
      const body = Effect.all([key("a"), key("a"), key("b"), Durable.childContext("c", key("a"))])
      yield* kit.run(body)
      yield* kit.run(body)
      assert.strictEqual(keys.length, 8)
      assert.strictEqual(new Set(keys).size, 8)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("its Scope is closed when the attempt ends, with its exit", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const step = Durable.step(
        "s",
        Effect.gen(function* () {
          const { attempt } = yield* Durable.CurrentStep
          yield* Effect.addFinalizer((exit) => Effect.sync(() => log.push(`closed ${attempt} ${exit._tag}`)))
          log.push(`open ${attempt}`)
          return attempt < 2 ? yield* Effect.fail("again") : attempt
        }),
        soon(3)
      )
      yield* kit.sees(step, Exit.succeed(2))
      assert.deepStrictEqual(log, ["open 1", "closed 1 Failure", "open 2", "closed 2 Success"])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("the AbortSignal of a promise fires when the step loses a race", () =>
    Effect.gen(function* () {
      let aborts = 0
      const loser = Durable.step(
        "loser",
        Effect.promise(
          (signal) =>
            new Promise<string>((resolve) => {
              signal.addEventListener("abort", () => {
                aborts++
                resolve("too late")
              })
            })
        )
      )
      // at once, not when the invocation ends
      const race = Effect.raceFirst(Durable.step("winner", Effect.as(kit.turn, "won")), loser).pipe(
        Effect.map((winner) => `${winner}, ${aborts} aborted`)
      )
      const execution = yield* kit.sees(race, Exit.succeed("won, 1 aborted"), { startDelay: 0 })
      assert.strictEqual(aborts, 1, "it does not run again on replay either")
      assert.deepStrictEqual(
        (yield* kit.operationsOf(execution)).filter((line) => line.includes("loser")),
        ['StepStarted "loser"']
      )
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a loser that has not begun does not begin", () =>
    Effect.gen(function* () {
      const ran: Array<string> = []
      const body = Effect.raceFirst(
        Effect.succeed("at once"),
        Durable.step(
          "loser",
          Effect.sync(() => ran.push("loser"))
        )
      )
      const execution = yield* kit.start(body)
      assert.strictEqual(yield* execution.result, "at once")
      assert.deepStrictEqual(ran, [])
      assert.deepStrictEqual(yield* kit.operationsOf(execution), [])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a loser that takes its time to stop never blocks the suspension, and records nothing", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const loser = Durable.step(
        "loser",
        Effect.never.pipe(
          Effect.onInterrupt(() =>
            Effect.andThen(
              Effect.sleep(5),
              Effect.sync(() => log.push("stopped"))
            )
          )
        )
      )
      const execution = yield* kit.start(
        Effect.gen(function* () {
          const winner = yield* Effect.raceFirst(loser, Durable.step("winner", Effect.as(kit.turn, "won")))
          log.push(`after: ${winner}`)
          yield* Durable.wait("w", "1 hour")
          return winner
        }),
        { startDelay: 0, finalizerGrace: "4 seconds" }
      )
      assert.strictEqual(yield* execution.result, "won")
      // the body goes on at once; the answer waits for the finalizer
      assert.deepStrictEqual(log, ["after: won", "stopped", "after: won"])
      assert.strictEqual(yield* execution.invocations, 2)
      assert.strictEqual((yield* execution.operation("loser")).Status, "STARTED")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("an uninterruptible loser does not hold up the answer beyond the grace", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Effect.gen(function* () {
          yield* Effect.raceFirst(
            Durable.step("deaf", Effect.uninterruptible(Effect.never)),
            Durable.step("winner", Effect.as(kit.turn, "won"))
          )
          yield* Durable.wait("w", "1 hour")
          return "done"
        }),
        { finalizerGrace: 5 }
      )
      assert.strictEqual(yield* execution.result, "done")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("all: the first failure interrupts the other steps", () =>
    Effect.gen(function* () {
      let aborted = 0
      const all = Effect.all(
        [
          Durable.step("fails", Effect.andThen(kit.turn, Effect.fail(new CardDeclined({ reason: "x" }))), {
            ...noRetry,
            error: CardDeclined
          }),
          Durable.step(
            "hangs",
            Effect.onInterrupt(Effect.never, () => Effect.sync(() => aborted++))
          )
        ],
        { concurrency: 2 }
      )
      yield* kit.sees(all, Exit.fail(new CardDeclined({ reason: "x" })))
      assert.strictEqual(aborted, 1)
    }).pipe(Effect.provide(layerMemory))
  )
})
