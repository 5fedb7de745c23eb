/**
 * AWS's requirements for chained invokes (suite 5).
 */
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

const texts = DurableFunction.make("texts", { payload: Schema.String, success: Schema.String })
const withoutInput = DurableFunction.make("without-input", { payload: Schema.Unknown, success: Schema.Unknown })

// ---- the functions that are invoked ----------------------------------------------------------------------------------

class TargetError extends Schema.TaggedError<TargetError>()("TargetError", { message: Schema.String }) {}

/** A plain function that gives back what it gets, by the schema that its caller expects. */
const echo = <S extends Schema.Constraint>(schema: S) => ({ payload: schema, success: schema })
const toEcho = { functionName: "echo" }

const Greet = DurableFunction.make("greet", { payload: Schema.String, success: Schema.String })
const toGreet = { functionName: "greet:$LATEST" }

const Fail = DurableFunction.make("fail", { payload: Schema.Null, error: TargetError })
const toFail = { functionName: "fail:$LATEST" }

/** A function takes longer to start than its caller takes to answer PENDING; the services here start them at once. */
const started =
  <A extends ReadonlyArray<unknown>, B>(run: (...args: A) => B) =>
  (...args: A): Promise<Awaited<B>> =>
    new Promise((resolve) => setTimeout(resolve, 50)).then(() => run(...args)) as Promise<Awaited<B>>

const functions = {
  echo: { plain: started((event: unknown) => event) },
  measure: { plain: started((event: unknown) => String(event).length) },
  "greet:$LATEST": {
    durable: started(DurableHandler.make(Greet, (name) => Durable.step("greet", Effect.succeed(`Hello, ${name}!`))))
  },
  "fail:$LATEST": {
    durable: started(DurableHandler.make(Fail, () => new TargetError({ message: "the target always fails" })))
  }
}

const target = <H>(handler: H) => ({ handler, functions })

// ---- the functions that invoke ---------------------------------------------------------------------------------------

const basic = DurableHandler.make(texts, (input) => Durable.invoke("echo", echo(Schema.String), input, toEcho))

const named = DurableHandler.make(
  DurableFunction.make("named", {
    payload: Schema.Struct({ name: Schema.String, payload: Schema.String }),
    success: Schema.String
  }),
  ({ name, payload }) => Durable.invoke(name, echo(Schema.String), payload, toEcho)
)

/** 5-3: a nested object there and back. */
const Nested = Schema.Struct({
  id: Schema.Number,
  tags: Schema.Array(Schema.String),
  inner: Schema.Struct({ flag: Schema.Boolean, nothing: Schema.Null })
})
const complex = DurableHandler.make(DurableFunction.make("complex", { payload: Schema.Unknown, success: Nested }), () =>
  Durable.invoke("echo", echo(Nested), { id: 1, tags: ["a", "b"], inner: { flag: true, nothing: null } }, toEcho)
)

const nothing = DurableHandler.make(
  DurableFunction.make("nothing", { payload: Schema.Unknown, success: Schema.Null }),
  () => Durable.invoke("echo", echo(Schema.Null), null, toEcho)
)

const failing = DurableHandler.make(
  DurableFunction.make("failing", { payload: Schema.Unknown, error: TargetError }),
  () => Durable.invoke("fail", Fail, null, toFail)
)

const recovered = Durable.invoke("fail", Fail, null, toFail).pipe(
  Effect.as("not reached"),
  Effect.catchTag("TargetError", (error) => Effect.succeed(`recovered from: ${error.message}`))
)

/** 5-6: the target's error is caught. */
const caught = DurableHandler.make(withoutInput, () => recovered)

const large = DurableHandler.make(withoutInput, () =>
  Durable.invoke("measure", { payload: Schema.String, success: Schema.Number }, "x".repeat(200 * 1024), {
    functionName: "measure"
  })
)

const tenant = DurableHandler.make(
  DurableFunction.make("tenant", {
    payload: Schema.Struct({ tenantId: Schema.String, payload: Schema.String }),
    success: Schema.String
  }),
  ({ payload, tenantId }) => Durable.invoke("echo", echo(Schema.String), payload, { ...toEcho, tenantId })
)

/** 5-9: a finished invoke is not repeated when a wait behind it causes a replay. */
const replayed = DurableHandler.make(withoutInput, () =>
  Effect.gen(function* () {
    const greeting = yield* Durable.invoke("greet", Greet, "Ada", toGreet)
    yield* Durable.wait("pause", "1 second")
    return greeting
  })
)

const replayedFailure = DurableHandler.make(withoutInput, () =>
  Effect.gen(function* () {
    const message = yield* recovered
    yield* Durable.wait("pause", "1 second")
    return message
  })
)

const stepThenInvoke = DurableHandler.make(withoutInput, () =>
  Effect.gen(function* () {
    const name = yield* Durable.step("name", Effect.succeed("Ada"))
    return yield* Durable.invoke("greet", Greet, name, toGreet)
  })
)

/** 5-12: the result of an invoke is what a step works with. */
const invokeThenStep = DurableHandler.make(withoutInput, () =>
  Effect.gen(function* () {
    const greeting = yield* Durable.invoke("greet", Greet, "Ada", toGreet)
    return yield* Durable.step("shout", Effect.succeed(greeting.toUpperCase()))
  })
)

const inChildContext = DurableHandler.make(withoutInput, () =>
  Durable.childContext("child", Durable.invoke("greet", Greet, "Ada", toGreet))
)

const sequence = DurableHandler.make(withoutInput, () =>
  Effect.gen(function* () {
    const greeting = yield* Durable.invoke("first", Greet, "Ada", toGreet)
    return yield* Durable.invoke("second", echo(Schema.String), greeting, toEcho)
  })
)

/** Writes upper case and reads what is there. */
const Shouted = Schema.String.pipe(
  Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.passthrough(),
    encode: SchemaGetter.transform((text: string) => text.toUpperCase())
  })
)
/** Reads upper case. */
const Loud = Schema.String.pipe(
  Schema.decodeTo(Schema.String, {
    decode: SchemaGetter.transform((text: string) => text.toUpperCase()),
    encode: SchemaGetter.passthrough()
  })
)

/** 5-15: the payload's codec is the caller's own. */
const ownPayload = DurableHandler.make(texts, (input) =>
  Durable.invoke("echo", { payload: Shouted, success: Schema.String }, input, toEcho)
)

const ownResult = DurableHandler.make(texts, (input) =>
  Durable.invoke("echo", { payload: Schema.String, success: Durable.text(Loud) }, input, toEcho)
)

export const handlers = {
  "5-1": target(basic),
  "5-2": target(named),
  "5-3": target(complex),
  "5-4": target(nothing),
  "5-5": target(failing),
  "5-6": target(caught),
  "5-7": target(large),
  "5-8": target(tenant),
  "5-9": target(replayed),
  "5-10": target(replayedFailure),
  "5-11": target(stepThenInvoke),
  "5-12": target(invokeThenStep),
  "5-13": target(inChildContext),
  "5-14": target(sequence),
  "5-15": target(ownPayload),
  "5-16": target(ownResult)
}
