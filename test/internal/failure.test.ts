// @effect-diagnostics globalDateInEffect:off missingReturnYieldStar:off
import { assert, describe, it } from "@effect/vitest"
import {
  CallbackFailed,
  CallbackSubmitFailed,
  CallbackTimedOut,
  ChildContextFailed,
  ConditionExhausted,
  ConditionFailed,
  InvokeFailed,
  SerdesFailed,
  StepFailed,
  StepInterrupted,
  StepTimedOut
} from "effect-durable-lambda/DurableError"
import type * as Protocol from "effect-durable-lambda/Protocol"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import {
  CONDITIONS,
  CONTEXTS,
  decodeFailure,
  decodeForeign,
  encodeFailure,
  type FailureReader,
  messageOf,
  STEPS,
  typeOf
} from "../../src/internal/failure.ts"

class Declined extends Schema.TaggedError<Declined>()("Declined", {
  reason: Schema.String,
  at: Schema.Date,
  details: Schema.Array(Schema.Struct({ code: Schema.Int, note: Schema.optionalKey(Schema.String) }))
}) {}
class Other extends Schema.TaggedError<Other>()("Other", { n: Schema.Int }) {}

const step: FailureReader = { operation: "s", schema: undefined, ...STEPS }
const context: FailureReader = { operation: "c", schema: undefined, ...CONTEXTS }
const condition: FailureReader = { operation: "c", schema: undefined, ...CONDITIONS }
const covering = (codec: FailureReader): FailureReader => ({ ...codec, schema: Schema.Union([Declined, Other]) })

/** Across the wire and back, as JSON. */
const across = (cause: Cause.Cause<unknown>, codec: FailureReader) =>
  Effect.gen(function* () {
    const error = yield* encodeFailure(cause, codec)
    const wire = JSON.parse(JSON.stringify(error)) as Protocol.ErrorObject
    return { error, exit: yield* decodeFailure(wire, codec) }
  })

const roundTrip = (failure: unknown, codec: FailureReader) =>
  Effect.flatMap(across(Cause.fail(failure), codec), ({ exit }) => Effect.flip(exit))

const bytes = (error: Protocol.ErrorObject) => Buffer.byteLength(JSON.stringify(error))

describe("failure: what its causes say", () => {
  it.effect("a failure that only wraps another says what that one says", () =>
    Effect.gen(function* () {
      const refused = new TypeError("fetch failed", { cause: new Error("connect ECONNREFUSED 127.0.0.1:1") })
      const wrapped = yield* Effect.flip(Effect.tryPromise(() => Promise.reject(refused)))
      const { error, exit } = yield* across(Cause.fail(wrapped), step)
      const message = "An error occurred in Effect.tryPromise: fetch failed: connect ECONNREFUSED 127.0.0.1:1"
      assert.strictEqual(error.ErrorMessage, message)
      assert.deepStrictEqual(exit, Exit.fail(new StepFailed({ operation: "s", type: "UnknownError", message })))

      class Down extends Data.TaggedError("Down")<{ readonly cause: unknown }> {}
      const said = (cause: unknown) =>
        Effect.map(roundTrip(new Down({ cause }), step), (error) => (error as StepFailed).message)
      assert.strictEqual(yield* said(refused), "fetch failed: connect ECONNREFUSED 127.0.0.1:1")
      assert.strictEqual(yield* said("a text"), "a text")
      assert.strictEqual(yield* said({ code: 1 }), "")
      const repeated = new Error("no: fetch failed", { cause: refused })
      assert.strictEqual(yield* said(repeated), "no: fetch failed: connect ECONNREFUSED 127.0.0.1:1")
      const circular = new Error("round")
      circular.cause = circular
      assert.strictEqual(yield* said(circular), "round")
    })
  )

  it.effect("a defect keeps its message, and has no stack of ours", () =>
    Effect.gen(function* () {
      const defect = new TypeError("fetch failed", { cause: new Error("ECONNREFUSED") })
      const { error, exit } = yield* across(Cause.die(defect), step)
      assert.strictEqual(error.ErrorMessage, "fetch failed: ECONNREFUSED")
      const read = Exit.isFailure(exit) ? (Cause.squash(exit.cause) as Error) : undefined
      assert.strictEqual(read?.message, "fetch failed")
      assert.strictEqual(read?.stack, "TypeError: fetch failed")
    })
  )
})

describe("failure: round trips", () => {
  it.effect.prop("what a schema covers is what it was", [Schema.Union([Declined, Other])], ([failure]) =>
    Effect.gen(function* () {
      for (const codec of [covering(step), covering(context)]) {
        const back = yield* roundTrip(failure, codec)
        assert.strictEqual(Object.getPrototypeOf(back), Object.getPrototypeOf(failure))
        assert.strictEqual(JSON.stringify(back), JSON.stringify(failure)) // -0 is 0 in JSON
      }
    })
  )

  it.effect("an error of the user's that is called like one of ours", () =>
    Effect.gen(function* () {
      class Mine extends Schema.TaggedError<Mine>()("InvokeFailed", { reason: Schema.String }) {}
      for (const codec of [step, condition]) {
        const back = yield* roundTrip(new Mine({ reason: "busy" }), { ...codec, schema: Mine })
        assert.instanceOf(back, Mine)
        assert.strictEqual(back.reason, "busy")
      }
      // as which it would be read
      const exit = yield* Effect.exit(roundTrip(new Mine({ reason: "busy" }), { ...context, schema: Mine }))
      assert(Exit.isFailure(exit))
      assert.include(String(Cause.squash(exit.cause)), "its `_tag` is that of an error of this library")
    })
  )

  it.effect.prop(
    "what no schema covers becomes the wrapper, with type, message and data",
    [Other, Schema.String],
    ([failure, text]) =>
      Effect.gen(function* () {
        assert.deepStrictEqual(
          yield* roundTrip(failure, step),
          new StepFailed({ operation: "s", type: "Other", message: "", data: { n: failure.n + 0 } })
        )
        assert.deepStrictEqual(
          yield* roundTrip(text, context),
          new ChildContextFailed({ operation: "c", type: "Failure", message: messageOf(text) })
        )
      })
  )

  it.effect.prop("defects keep name and message", [Schema.String, Schema.NonEmptyString], ([message, name]) =>
    Effect.gen(function* () {
      const { error, exit } = yield* across(Cause.die(Object.assign(new Error(message), { name })), step)
      assert(Exit.isFailure(exit))
      const back = Cause.squash(exit.cause)
      assert(back instanceof Error && Cause.hasDies(exit.cause))
      assert.deepStrictEqual([back.name, back.message], [name, messageOf(message)])
      assert.strictEqual(error.ErrorType, name)
    })
  )

  it.effect.prop("defects that are plain JSON are what they were", [Schema.Json], ([defect]) =>
    Effect.gen(function* () {
      // an object with a message counts as an error
      if (typeof defect === "object" && defect !== null && "message" in defect) return
      if (JSON.stringify(defect).length > 8_000) return
      const { exit } = yield* across(Cause.die(defect), step)
      assert(Exit.isFailure(exit))
      assert.deepStrictEqual(JSON.stringify(Cause.squash(exit.cause)), JSON.stringify(defect))
    })
  )

  it.effect("operation errors pass as they are, through contexts and steps", () =>
    Effect.gen(function* () {
      const errors = [
        new StepFailed({ operation: "s", type: "T", message: "m", data: { a: [1, null] } }),
        new StepFailed({ operation: "s", type: "T", message: "m" }),
        new StepInterrupted({ operation: "s" }),
        new StepTimedOut({ operation: "s", timeoutMillis: 5 })
      ]
      // what another step failed with is a failure of this one's effect, as its type says
      const others = yield* roundTrip(new StepTimedOut({ operation: "x", timeoutMillis: 5 }), step)
      assert.instanceOf(others, StepFailed)
      assert.deepInclude(others, { operation: "s", type: "StepTimedOut" })
      for (const error of errors) {
        assert.deepStrictEqual(yield* roundTrip(error, step), error)
        assert.deepStrictEqual(yield* roundTrip(error, context), error)
        assert.deepStrictEqual(yield* roundTrip(error, covering(context)), error)
      }
      const known = { operation: "inner", type: "T", message: "m" }
      const passing = [
        new ChildContextFailed(known),
        new CallbackFailed({ ...known, data: "text" }),
        new CallbackTimedOut({ operation: "inner", kind: "heartbeat" }),
        new CallbackSubmitFailed(known),
        new ConditionFailed(known),
        new ConditionExhausted({ operation: "inner", attempts: 3 }),
        new InvokeFailed({ ...known, status: "TIMED_OUT", data: { _tag: "StepFailed" } })
      ]
      for (const error of passing) {
        const back = yield* roundTrip(error, context)
        assert.deepStrictEqual(back, error)
        assert.strictEqual(Object.getPrototypeOf(back), Object.getPrototypeOf(error))
        // no operation of a step's kind can let them through
        const wrapped = yield* roundTrip(error, step)
        assert(wrapped instanceof StepFailed)
        assert.strictEqual(wrapped.type, error._tag)
      }
    })
  )

  it.effect("a condition lets its own end through, and nothing else", () =>
    Effect.gen(function* () {
      const exhausted = new ConditionExhausted({ operation: "c", attempts: 3 })
      assert.deepStrictEqual(yield* roundTrip(exhausted, condition), exhausted)
      const wrapped = yield* roundTrip(new StepInterrupted({ operation: "x" }), condition)
      assert(wrapped instanceof ConditionFailed)
      assert.strictEqual(wrapped.type, "StepInterrupted")
    })
  )

  it.effect("an interruption is one; a defect beats a failure, a failure an interruption", () =>
    Effect.gen(function* () {
      const { exit } = yield* across(Cause.interrupt(), step)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      const mixed = Cause.combine(Cause.combine(Cause.interrupt(), Cause.fail("f")), Cause.die("d"))
      assert.deepStrictEqual((yield* across(mixed, step)).exit, Exit.die("d"))
      const failed = Cause.combine(Cause.interrupt(), Cause.fail("f"))
      assert.deepStrictEqual(
        (yield* across(failed, step)).exit,
        Exit.fail(new StepFailed({ operation: "s", type: "Failure", message: "f" }))
      )
    })
  )

  it.effect("a defect keeps its causes, but not endlessly", () =>
    Effect.gen(function* () {
      const chain = (n: number): Error =>
        n === 0 ? new Error("root") : new Error(`level ${n}`, { cause: chain(n - 1) })
      const { exit } = yield* across(Cause.die(chain(2)), step)
      assert(Exit.isFailure(exit))
      const back = Cause.squash(exit.cause) as Error
      assert.strictEqual(((back.cause as Error).cause as Error).message, "root")
      const circular = new Error("a")
      circular.cause = circular
      const { error } = yield* across(Cause.die(circular), step)
      assert.isBelow(bytes(error), 32 * 1024)
    })
  )
})

describe("failure: foreign error objects", () => {
  const foreign: ReadonlyArray<readonly [what: string, error: Protocol.ErrorObject | undefined, expected: StepFailed]> =
    [
      ["none", undefined, new StepFailed({ operation: "s", type: "Failure", message: "It failed without a message." })],
      [
        "of another SDK",
        { ErrorType: "StepError", ErrorMessage: "boom" },
        new StepFailed({ operation: "s", type: "StepError", message: "boom" })
      ],
      [
        "with data of its own",
        { ErrorType: "X", ErrorMessage: "boom", ErrorData: '{"code":7}' },
        new StepFailed({ operation: "s", type: "X", message: "boom", data: { code: 7 } })
      ],
      [
        "with data that is no JSON",
        { ErrorType: "X", ErrorMessage: "boom", ErrorData: "<xml/>" },
        new StepFailed({ operation: "s", type: "X", message: "boom" })
      ]
    ]
  for (const [what, error, expected] of foreign) {
    it.effect(`${what}: the wrapper`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* decodeFailure(error, step), Exit.fail(expected))
      })
    )
  }

  it.effect("data that the error schema of today cannot read: SerdesFailed names the operation", () =>
    Effect.gen(function* () {
      const error = { ErrorType: "Declined", ErrorMessage: "", ErrorData: '{"_tag":"Declined","reason":5}' }
      const failed = yield* Effect.flip(decodeFailure(error, covering(step)))
      assert(failed instanceof SerdesFailed)
      assert.match(failed.message, /^s: cannot decode its payload: /)
    })
  )
})

describe("failure: sent by others", () => {
  class Unread extends Data.TaggedError("Unread")<{
    readonly type: string
    readonly message: string
    readonly data?: Schema.Json
  }> {}
  const read = (error: Protocol.ErrorObject | undefined, schema?: Schema.Constraint) =>
    Effect.suspend(() => {
      const decoded = decodeForeign("s", error, schema, (known) => new Unread(known))
      return Exit.isExit(decoded) ? Effect.succeed(decoded) : decoded
    })
  const readError = (error: Protocol.ErrorObject | undefined, schema?: Schema.Constraint) =>
    Effect.map(read(error, schema), (exit) => Option.getOrThrow(Exit.findErrorOption(exit)))

  it.effect.prop(
    "whatever it is, it is a failure, small enough to be recorded again, and never a defect",
    [Schema.UndefinedOr(Schema.String), Schema.UndefinedOr(Schema.String), Schema.UndefinedOr(Schema.Json)],
    ([type, message, data]) =>
      Effect.gen(function* () {
        const error: Protocol.ErrorObject = {
          ...(type === undefined ? undefined : { ErrorType: type }),
          ...(message === undefined ? undefined : { ErrorMessage: message }),
          ...(data === undefined ? undefined : { ErrorData: JSON.stringify(data) })
        }
        for (const schema of [undefined, Declined, Schema.Never, Schema.Any]) {
          const exit = yield* read(error, schema)
          assert(Exit.isFailure(exit))
          assert.deepStrictEqual(
            exit.cause.reasons.map(({ _tag }) => _tag),
            ["Fail"]
          )
        }
        const unread = yield* readError(error)
        assert(unread instanceof Unread)
        assert.isBelow(Buffer.byteLength(JSON.stringify({ ...unread, message: unread.message })), 24 * 1024)
      })
  )

  it.effect("what the schema reads is what it was; what it does not says why", () =>
    Effect.gen(function* () {
      const declined = new Declined({ reason: "limit", at: new Date(0), details: [] })
      const encoded = JSON.stringify(yield* Schema.encodeEffect(Schema.toCodecJson(Declined))(declined))
      assert.deepStrictEqual(yield* readError({ ErrorData: encoded }, Declined), declined)
      const unread = yield* readError({ ErrorType: "X", ErrorMessage: "m", ErrorData: "{}" }, Declined)
      assert(unread instanceof Unread)
      assert.match(unread.message, /^m \(its data is not what the `error` schema accepts: /)
    })
  )

  it.effect("defects and failures of operations are not for a schema of errors, not even for one of everything", () =>
    Effect.gen(function* () {
      for (const data of ['{"~defect":1}', '{"~interrupted":true}', '{"_tag":"InvokeFailed","__proto__":{"x":1}}']) {
        const unread = yield* readError({ ErrorType: "X", ErrorMessage: "m", ErrorData: data }, Schema.Any)
        assert(unread instanceof Unread)
        assert.strictEqual(unread.message, "m")
        assert.deepStrictEqual(unread.data, JSON.parse(data))
      }
    })
  )

  it.effect("large data is left out, a long message or type is cut", () =>
    Effect.gen(function* () {
      const ErrorType = "T".repeat(40_000)
      const ErrorData = `"${"x".repeat(20_000)}"`
      const unread = yield* readError({ ErrorType, ErrorMessage: "m".repeat(50_000), ErrorData })
      assert(unread instanceof Unread)
      assert.isUndefined(unread.data)
      assert.isBelow(unread.message.length, 5_000)
      assert.strictEqual(unread.type, ErrorType.slice(0, 256))
    })
  )
})

describe("failure: what is recorded", () => {
  it.effect("never a stack, wherever it may hide", () =>
    Effect.gen(function* () {
      const withStack = Object.assign(new Error("outer", { cause: new Error("inner") }), { code: 1 })
      const causes = [
        Cause.fail(withStack),
        Cause.die(withStack),
        Cause.fail(new Other({ n: 1 })),
        Cause.fail(new Declined({ reason: "r", at: new Date(0), details: [] })),
        Cause.die(new Declined({ reason: "r", at: new Date(0), details: [] }))
      ]
      for (const cause of causes) {
        for (const codec of [step, context, covering(step)]) {
          const text = JSON.stringify(yield* encodeFailure(cause, codec))
          assert.notInclude(text, "failure.test.ts")
          assert.notInclude(text, "StackTrace")
        }
      }
    })
  )

  it.effect("the service takes it: long messages are cut, large data is left out", () =>
    Effect.gen(function* () {
      const big = ["x".repeat(100_000), "\u0000".repeat(50_000), "\u{1F600}".repeat(30_000), '"\\'.repeat(40_000)]
      for (const text of big) {
        const causes = [
          Cause.fail(text),
          Cause.fail(new Error(text)),
          Cause.fail(Object.assign(new Error("m"), { data: text })),
          Cause.die(text),
          Cause.die(new Error(text)),
          Cause.die(new Error(text, { cause: new Error(text, { cause: new Error(text) }) })),
          Cause.die({ text })
        ]
        for (const cause of causes) {
          for (const codec of [step, context]) {
            const error = yield* encodeFailure(cause, codec)
            assert.isBelow(bytes(error), 32 * 1024)
            assert.isTrue(Exit.isFailure(yield* decodeFailure(error, codec)))
          }
        }
      }
      const cut = messageOf("x".repeat(100_000))
      assert.match(cut, /^x{1000,}… \(100000 characters\)$/)
      assert.strictEqual(messageOf("short"), "short")
    })
  )

  it("types: the tag, else an error's name", () => {
    assert.strictEqual(typeOf(new Other({ n: 1 })), "Other")
    assert.strictEqual(typeOf({ _tag: "Plain" }), "Plain")
    assert.strictEqual(typeOf(new RangeError("x")), "RangeError")
    assert.strictEqual(typeOf("text"), "Failure")
    assert.strictEqual(typeOf(undefined), "Failure")
    assert.strictEqual(typeOf({ _tag: "" }), "Failure")
    assert.strictEqual(typeOf(Object.assign(new Error("x"), { name: "" })), "Failure")
  })

  it.effect("a type as long as a message is cut", () =>
    Effect.gen(function* () {
      const long = "N".repeat(40_000)
      const named = Object.assign(new Error("m"), { name: long })
      for (const failure of [named, { _tag: long }]) {
        for (const cause of [Cause.fail(failure), Cause.die(failure)]) {
          for (const codec of [step, context]) assert.isBelow(bytes(yield* encodeFailure(cause, codec)), 32 * 1024)
        }
      }
    })
  )

  it("what is cut ends with a whole character", () => {
    for (const text of ["\u{1F600}".repeat(3_000), `x${"\u{1F600}".repeat(3_000)}`]) {
      assert.isTrue(messageOf(text).isWellFormed())
      assert.isTrue(typeOf({ _tag: text }).isWellFormed())
    }
  })

  it.effect("what throws when it is looked at fails like anything else", () =>
    Effect.gen(function* () {
      const noText: unknown = Object.create(null, { f: { value: () => 1, enumerable: true } })
      const getters = {
        get _tag(): string {
          throw new Error("tag")
        },
        get message(): string {
          throw new Error("message")
        }
      }
      const trap = () => {
        throw new Error("trap")
      }
      const proxy: unknown = new Proxy({}, { get: trap })
      const causeless = Object.defineProperty(new Error("m"), "cause", { get: trap })
      for (const odd of [noText, getters, Object.assign(new Error("m"), { of: getters }), proxy, causeless]) {
        for (const cause of [Cause.fail(odd), Cause.die(odd)]) {
          for (const codec of [step, context, covering(step)]) {
            assert.isTrue(Exit.isFailure((yield* across(cause, codec)).exit))
          }
        }
      }
    })
  )

  it("messages are readable whatever failed", () => {
    assert.strictEqual(messageOf(new Error("m")), "m")
    assert.strictEqual(messageOf("text"), "text")
    assert.strictEqual(messageOf({ a: 1 }), '{"a":1}')
    assert.strictEqual(messageOf(undefined), "undefined")
    assert.strictEqual(messageOf(null), "null")
    assert.strictEqual(messageOf(BigInt(1)), "1")
    assert.strictEqual(messageOf(Symbol("s")), "Symbol(s)")
  })
})
