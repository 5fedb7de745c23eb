// @effect-diagnostics floatingEffect:off globalDateInEffect:off promiseInEffectSuccess:off lazyPromiseInEffectSync:off
/**
 * Misuses that must not compile. Every directive is needed, or tsc says so; what the compiler says is in
 * messages.test.ts.
 */
import { Durable, DurableClient, DurableFunction, DurableHandler } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { CardDeclined, type Order, order, Payments, ProcessOrder, processOrder, Receipt, Unavailable } from "./use.ts"

const raw = Payments.use((payments) => payments.chargeRaw(order))
const charge = Durable.step("charge", raw)
const Fn = DurableFunction.make("f", { payload: Schema.String })
declare const receipt: Receipt

// ---- durable operations in steps -------------------------------------------------------------------------

// @ts-expect-error
Durable.step("outer", charge)

// prettier-ignore
// @ts-expect-error in a generator
Durable.step("outer", Effect.gen(function* () { yield* raw; return yield* Durable.wait("w", "1 day") }))

// @ts-expect-error in a pipe
charge.pipe(Durable.step("outer"))

// @ts-expect-error a context
Durable.step("outer", Durable.childContext("c", Effect.succeed(1)))

// @ts-expect-error a callback
Durable.step("outer", Durable.callback("c"))

// @ts-expect-error in a submitter
Durable.waitForCallback("c", () => Durable.wait("w", "1 day"))

// prettier-ignore
// @ts-expect-error in a check
Durable.waitForCondition("c", (n) => Effect.as(Durable.wait("w", "1 day"), n), { initial: 1, state: Schema.Number, until: () => true })

// @ts-expect-error a promise
Durable.step("p", Promise.resolve(1))

// @ts-expect-error an async function
Durable.step("p", async () => 1)

// @ts-expect-error a function that gives an Effect
Durable.step("p", () => Effect.succeed(1))

// prettier-ignore
// @ts-expect-error a promise as a value
Durable.step("p", Effect.sync(() => Promise.resolve(1)))

// @ts-expect-error an Effect as a value
Durable.step("p", Effect.succeed(Effect.succeed(1)))

// ---- values without a codec ------------------------------------------------------------------------------

// prettier-ignore
// @ts-expect-error a Date, deep
Durable.step("now", Effect.sync(() => ({ order: { createdAt: new Date(0) } })))

// prettier-ignore
// @ts-expect-error in a pipe
Effect.sync(() => ({ total: BigInt(1) })).pipe(Durable.step("total"))

// prettier-ignore
// @ts-expect-error unknown, as from a fetch
Durable.step("fetch", Effect.promise((): Promise<unknown> => Promise.resolve(1)))

// prettier-ignore
// @ts-expect-error any
Durable.step("parse", Effect.sync(() => JSON.parse("1")))

// @ts-expect-error it may be undefined
Durable.step("find", Effect.succeed<string | undefined>("x"))

// prettier-ignore
// @ts-expect-error a Map
Durable.step("map", Effect.succeed(new Map<string, number>()))

// prettier-ignore
// @ts-expect-error bytes
Durable.step("bytes", Effect.succeed(new Uint8Array()))

// prettier-ignore
// @ts-expect-error a function
Durable.step("function", Effect.succeed({ f: () => 1 }))

// prettier-ignore
// @ts-expect-error an Error
Durable.step("error", Effect.succeed(new Error("x")))

// prettier-ignore
// @ts-expect-error a class with methods
Durable.step("class", Effect.succeed(new (class { now() { return 1 } })()))

// @ts-expect-error an object of unknown shape
Durable.step("object", Effect.succeed<object>({}))

// @ts-expect-error a list with holes
Durable.step("list", Effect.succeed<ReadonlyArray<number | undefined>>([]))

// @ts-expect-error a schema of another value
Durable.step("charge", raw, { success: Schema.Struct({ id: Schema.Number }) })

// @ts-expect-error a schema narrower than the value
Durable.step("mode", Effect.succeed("a" as string), { success: Schema.Literals(["a"]) })

// @ts-expect-error a text codec that encodes to something else
Durable.text(Schema.Number)

// @ts-expect-error a context's schema narrower than its value
Durable.childContext("c", Effect.succeed("a" as string), { success: Schema.Literals(["a"]) })

// ---- failures --------------------------------------------------------------------------------------------

// prettier-ignore
// @ts-expect-error an error schema that has nothing to do with the step
Durable.step("mail", Effect.fail(new Unavailable({ retryable: true })), { error: CardDeclined })

// prettier-ignore
// @ts-expect-error a retry condition over an error that the step does not have
Durable.step("charge", raw, { retry: { while: (e) => e._tag === "StepInterrupted" } })

// prettier-ignore
// @ts-expect-error a failure used as if it had survived without a schema
charge.pipe(Effect.catchTag("CardDeclined", () => Effect.succeed(undefined)))

// prettier-ignore
// @ts-expect-error the same, of a context
Durable.childContext("c", Effect.fail(new CardDeclined({ reason: "" }))).pipe(Effect.catchTag("CardDeclined", () => Effect.void))

// @ts-expect-error a schedule over another input
Durable.step("charge", raw, { retry: Schedule.recurs(3).pipe(Schedule.setInputType<Receipt>()) })

// prettier-ignore
// @ts-expect-error a timeout where there is none
Durable.waitForCallback("c", () => Effect.void).pipe(Effect.catchTag("CallbackTimedOut", () => Effect.void))

// prettier-ignore
// @ts-expect-error a callback's failure used as if it had a schema
Effect.flatMap(Durable.callback("c"), (c) => Effect.catchTag(c.await, "CardDeclined", () => Effect.void))

// prettier-ignore
// @ts-expect-error a condition's error schema that has nothing to do with its check
Durable.waitForCondition("c", () => Effect.fail(new Unavailable({ retryable: true })), { initial: 1, state: Schema.Number, until: () => true, error: CardDeclined })

// ---- callbacks, conditions, invokes ----------------------------------------------------------------------

// prettier-ignore
// @ts-expect-error a state that is not what the check gives
Durable.waitForCondition("c", () => Effect.succeed("one"), { initial: 1, state: Schema.Number, until: () => true })

// prettier-ignore
// @ts-expect-error an initial state of another type
Durable.waitForCondition("c", (n) => Effect.succeed(n), { initial: "one", state: Schema.Number, until: () => true })

// prettier-ignore
// @ts-expect-error a condition that is never met
Durable.waitForCondition("c", (n) => Effect.succeed(n), { initial: 1, state: Schema.Number })

// prettier-ignore
// @ts-expect-error a state without a codec
Durable.waitForCondition("c", (n) => Effect.succeed(n), { initial: 1, until: () => true })

// prettier-ignore
// @ts-expect-error a schedule over another input
Durable.waitForCondition("c", (n) => Effect.succeed(n), { initial: 1, state: Schema.Number, until: () => true, schedule: Schedule.recurs(3).pipe(Schedule.setInputType<Receipt>()) })

// @ts-expect-error a payload of another type
Durable.invoke("order", ProcessOrder, { id: 1 }, { functionName: "orders:live" })

// @ts-expect-error a function without a name
Durable.invoke("order", ProcessOrder, { id: "1", items: [] })

// @ts-expect-error a target without schemas
Durable.invoke("order", "orders:live", "text", { functionName: "orders:live" })

// prettier-ignore
// @ts-expect-error a misspelt option of an invoke
Durable.invoke("order", ProcessOrder, { id: "1", items: [] }, { functionName: "orders:live", tenant: "t-1" })

// @ts-expect-error a misspelt option of a callback
Durable.callback("c", { timout: "1 day" })

// @ts-expect-error not a duration
Durable.callback("c", { timeout: "soon" })

// @ts-expect-error a callback without a name
Durable.callback({ timeout: "1 day" })

// ---- the body --------------------------------------------------------------------------------------------

// prettier-ignore
// @ts-expect-error a raw service in the body
DurableHandler.make(ProcessOrder, (o: Order) => Effect.as(Payments.use((p) => p.charge(o)), receipt), { layer: Layer.empty })

class Clock2 extends Context.Service<Clock2, { readonly now: Effect.Effect<number> }>()("app/Clock2") {}
// prettier-ignore
// @ts-expect-error two of them at once
DurableHandler.make(Fn, () => Effect.gen(function* () { yield* Clock2; yield* Payments }))

// prettier-ignore
// @ts-expect-error in a context
DurableHandler.make(Fn, () => Effect.asVoid(Durable.childContext("c", raw)))

// prettier-ignore
// @ts-expect-error CurrentStep in the body
DurableHandler.make(Fn, () => Effect.asVoid(Durable.CurrentStep))

// prettier-ignore
// @ts-expect-error an error that the definition does not declare
DurableHandler.make(Fn, () => Effect.asVoid(Durable.step("a", raw, { error: CardDeclined })), { layer: Layer.mock(Payments, {}) })

// prettier-ignore
// @ts-expect-error an untagged error
DurableHandler.make(Fn, () => Effect.fail({ code: 1 }))

// prettier-ignore
// @ts-expect-error a result that the definition does not declare
DurableHandler.make(DurableFunction.make("f", { payload: Schema.String, success: Receipt }), () => Durable.step("a", Effect.succeed(1)))

// prettier-ignore
// @ts-expect-error a result where none is declared
DurableHandler.make(Fn, () => Durable.step("a", Effect.succeed(1)))

// @ts-expect-error an async function
DurableHandler.make(Fn, async () => {})

// prettier-ignore
// @ts-expect-error a handler
TestRunner.start(Fn, DurableHandler.make(Fn, () => Effect.void), "x")

// prettier-ignore
// @ts-expect-error an Effect as the value
DurableHandler.make(DurableFunction.make("f", { payload: Schema.String, success: Schema.String }), () => Effect.sync(() => Durable.step("a", Effect.succeed("1"))))

// prettier-ignore
// @ts-expect-error a payload of another type
DurableHandler.make(Fn, (n: number) => Effect.asVoid(Durable.step("a", Effect.succeed(n))))

// prettier-ignore
// @ts-expect-error the same, in a test: a raw service
TestRunner.start(Fn, () => Effect.asVoid(raw), "x")

// prettier-ignore
// @ts-expect-error the same, in a test: a payload of another type
TestRunner.run(Fn, () => Effect.void, 5)

// ---- layers and options ----------------------------------------------------------------------------------

// @ts-expect-error a layer that lacks services
DurableHandler.make(ProcessOrder, processOrder, { layer: Layer.mock(Payments, {}) })

// @ts-expect-error no layer at all
DurableHandler.make(ProcessOrder, processOrder)

// @ts-expect-error a step without a name
Durable.step(raw)

// @ts-expect-error a wait without a name
Durable.wait("1 day")

// @ts-expect-error a misspelt option
Durable.step("charge", raw, { sucess: Schema.String })

// @ts-expect-error a misspelt semantics
Durable.step("charge", raw, { semantics: "AtMostOnce" })

// prettier-ignore
// @ts-expect-error a misspelt option of the handler
DurableHandler.make(Fn, () => Effect.void, { unvisted: "ignore" })

// @ts-expect-error not a duration
Durable.wait("w", "soon")

// ---- the client ------------------------------------------------------------------------------------------

// @ts-expect-error a name without a version or an alias
DurableClient.start(Fn, "f", "x")

// @ts-expect-error an ARN without one
DurableClient.run(Fn, "arn:aws:lambda:eu-west-1:123456789012:function:f", "x")

// @ts-expect-error any string
DurableClient.start(Fn, String("f:live"), "x")

// @ts-expect-error a payload of another type
DurableClient.start(Fn, "f:live", 5)

// prettier-ignore
// @ts-expect-error an answer of another type
DurableClient.succeed(DurableClient.callback("id", { success: Receipt }), "yes")

// prettier-ignore
// @ts-expect-error no answer
DurableClient.succeed(DurableClient.callback("id", { success: Schema.String }))

// prettier-ignore
// @ts-expect-error without a schema the answer is text
DurableClient.succeed(DurableClient.callback("id"), { yes: true })

// prettier-ignore
// @ts-expect-error a failure that is neither declared nor described
DurableClient.fail(DurableClient.callback("id", { error: CardDeclined }), new Error("no"))

// ---- parallel and map ------------------------------------------------------------------------------------

// @ts-expect-error a completion rule without mode "result"
Durable.parallel("both", [charge, charge], { completion: { minSuccessful: 1 } })

// @ts-expect-error the same, of a map
Durable.map("m", [1], () => charge, { completion: () => "succeed" })

// @ts-expect-error a codec of the whole without mode "result"
Durable.map("m", [1], () => charge, { result: Schema.Any })

// @ts-expect-error an item's schema narrower than its value
Durable.map("m", [1], () => Effect.succeed("a" as string), { success: Schema.Literals(["a"]) })

// @ts-expect-error a branch's schema narrower than its value
Durable.branch(Effect.succeed("a" as string), { success: Schema.Literals(["a"]) })

// prettier-ignore
// @ts-expect-error in a pipe
Effect.succeed("a" as string).pipe(Durable.branch({ success: Schema.Literals(["a"]) }))

// @ts-expect-error a misspelt option
Durable.map("m", [1], () => charge, { concurency: 1 })

// @ts-expect-error a misspelt nesting
Durable.parallel("p", [charge], { nesting: "FLAT" })

// @ts-expect-error a threshold and a function
Durable.parallel("p", [charge], { mode: "result", completion: { minSuccessful: 1, shouldComplete: () => true } })

// @ts-expect-error a completion function that decides something else
Durable.map("m", [1], () => charge, { mode: "result", completion: () => true })

// @ts-expect-error a branch that is no effect
Durable.parallel("p", [1])

// @ts-expect-error without a name
Durable.map([1], () => charge)

// prettier-ignore
// @ts-expect-error in a step
Durable.step("s", Durable.scoped(Effect.succeed(1)))

// prettier-ignore
// @ts-expect-error a raw service in a finalizer
DurableHandler.make(Fn, () => Durable.addFinalizer("f", () => raw))

// prettier-ignore
// @ts-expect-error a raw service in a compensation
DurableHandler.make(Fn, () => Effect.asVoid(Durable.step("a", Effect.void).pipe(Durable.withCompensation("un-a", () => raw))))

// @ts-expect-error the value is the effect's
Durable.withCompensation(Durable.step("a", Effect.succeed(1)), "un-a", (value: string) => Durable.wait(value, 1000))
