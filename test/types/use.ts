// @effect-diagnostics floatingEffect:off
/**
 * Uses of the API, with exactly the types that they must have. Compiled by `tsc -p tsconfig.json`, never run.
 */
import {
  BatchResult,
  Durable,
  DurableClient,
  type DurableError,
  DurableFunction,
  DurableHandler
} from "effect-durable-lambda"
import type { DurableContext } from "effect-durable-lambda/DurableContext"
import { TestRunner } from "effect-durable-lambda/testing"
import type { StepServices } from "effect-durable-lambda/StepServices"
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

type StepFailed = DurableError.StepFailed
type StepInterrupted = DurableError.StepInterrupted
type StepTimedOut = DurableError.StepTimedOut
type ChildContextFailed = DurableError.ChildContextFailed
type CallbackFailed = DurableError.CallbackFailed
type CallbackTimedOut = DurableError.CallbackTimedOut
type CallbackSubmitFailed = DurableError.CallbackSubmitFailed
type ConditionFailed = DurableError.ConditionFailed
type ConditionExhausted = DurableError.ConditionExhausted
type InvokeFailed = DurableError.InvokeFailed
type Requires<R = never> = Durable.Requires<R>

// exact type equality
type Same<X, Y> = (<T>() => T extends X ? 1 : 2) extends <T>() => T extends Y ? 1 : 2 ? true : false
declare const is: <A, E, R>() => <A2, E2, R2>(
  effect: Effect.Effect<A2, E2, R2> &
    ([Same<A, A2>, Same<E, E2>, Same<R, R2>] extends [true, true, true]
      ? unknown
      : { readonly expected: [A, E, R]; readonly got: [A2, E2, R2] })
) => void

// ---- the domain ------------------------------------------------------------------------------------------

export class Order extends Schema.Class<Order>("Order")({ id: Schema.String, items: Schema.Array(Schema.String) }) {}
export class Charge extends Schema.Class<Charge>("Charge")({ id: Schema.String, at: Schema.DateFromString }) {}
export class Receipt extends Schema.Class<Receipt>("Receipt")({
  charge: Charge,
  labels: Schema.Array(Schema.String)
}) {}
export class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { reason: Schema.String }) {}
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", { retryable: Schema.Boolean }) {}
export class Payments extends Context.Service<
  Payments,
  {
    readonly charge: (order: Order) => Effect.Effect<Charge, CardDeclined>
    readonly chargeRaw: (order: Order) => Effect.Effect<{ readonly id: string }, CardDeclined | Unavailable>
    readonly refund: (id: string) => Effect.Effect<void>
  }
>()("app/Payments") {}
export class Mail extends Context.Service<
  Mail,
  { readonly notify: (order: Order, text: string) => Effect.Effect<void> }
>()("app/Mail") {}
export class Labels extends Context.Service<
  Labels,
  { readonly print: (item: string) => Effect.Effect<string, Unavailable> }
>()("app/Labels") {}

// ---- a whole workflow ------------------------------------------------------------------------------------

export const ProcessOrder = DurableFunction.make("process-order", {
  payload: Order,
  success: Receipt,
  error: CardDeclined
})

export const processOrder = Effect.fnUntraced(function* (order: Order) {
  const charge = yield* Durable.step(
    "charge",
    Payments.use((payments) => payments.charge(order)),
    {
      success: Charge,
      error: CardDeclined,
      retry: Schedule.exponential("1 second").pipe(Schedule.upTo({ times: 5 }))
    }
  )
  yield* Durable.step(
    "notify",
    Mail.use((mail) => mail.notify(order, charge.id))
  )
  yield* Effect.sleep("1 hour")
  const labels = yield* Effect.forEach(
    order.items,
    (item) =>
      Durable.step(
        "print",
        Labels.use((labels) => labels.print(item))
      ),
    { concurrency: 5 }
  )
  return new Receipt({ charge, labels })
})

declare const AppLayer: Layer.Layer<Payments | Mail | Labels>
export const handler = DurableHandler.make(ProcessOrder, processOrder, { layer: AppLayer })

export declare const order: Order
is<
  Receipt,
  CardDeclined | StepFailed,
  DurableContext | StepServices<Payments> | StepServices<Mail> | StepServices<Labels>
>()(processOrder(order))

// ---- step ------------------------------------------------------------------------------------------------

const raw = Payments.use((payments) => payments.chargeRaw(order))

// no schemas: plain JSON by type, a typed failure surfaces as StepFailed
is<{ readonly id: string }, StepFailed, Requires<Payments>>()(Durable.step("charge", raw))

// `error` covers one of two failures: that one keeps its class, the other surfaces as StepFailed
is<{ readonly id: string }, CardDeclined | StepFailed, Requires<Payments>>()(
  Durable.step("charge", raw, { error: CardDeclined })
)

// `error` covers all; a builder sees the step's error
is<{ readonly id: string }, CardDeclined | Unavailable, Requires<Payments>>()(
  Durable.step("charge", raw, {
    error: Schema.Union([CardDeclined, Unavailable]),
    retry: ($) =>
      $(Schedule.recurs(3)).pipe(Schedule.while(({ input }) => input._tag === "Unavailable" && input.retryable))
  })
)

// a schema shared by many steps does not widen what this one can fail with
is<never, CardDeclined, Requires>()(
  Durable.step("charge", Effect.fail(new CardDeclined({ reason: "" })), {
    error: Schema.Union([CardDeclined, Unavailable])
  })
)

// a step that cannot fail has no error, schema or not
is<number, never, Requires>()(Durable.step("one", Effect.succeed(1)))
is<number, never, Requires>()(Durable.step("one", Effect.succeed(1), { error: CardDeclined }))

// retry options; at-most-once adds StepInterrupted to their input and to the result, a timeout StepTimedOut
is<{ readonly id: string }, StepFailed | StepInterrupted | StepTimedOut, Requires<Payments>>()(
  Durable.step("charge", raw, {
    semantics: "AtMostOncePerRetry",
    timeout: "10 seconds",
    retry: {
      times: 3,
      while: (e) =>
        e._tag === "StepInterrupted" || e._tag === "StepTimedOut" || (e._tag === "Unavailable" && e.retryable)
    }
  })
)
is<number, StepTimedOut, Requires>()(Durable.step("s", Effect.succeed(1), { timeout: 5 }))
is<number, never, Requires>()(Durable.step("s", Effect.succeed(1), { semantics: "AtLeastOncePerRetry" }))

// semantics in a variable: it may interrupt
declare const semantics: Durable.Semantics
is<number, StepInterrupted, Requires>()(Durable.step("s", Effect.succeed(1), { semantics }))

// pipeable, also with an error schema and a retry condition that sees the error
is<{ readonly id: string }, StepFailed, Requires<Payments>>()(raw.pipe(Durable.step("charge")))
is<{ readonly id: string }, CardDeclined | StepFailed, Requires<Payments>>()(
  raw.pipe(
    Durable.step("charge", { error: CardDeclined, retry: { while: (e) => e._tag === "Unavailable" && e.retryable } })
  )
)

// CurrentStep, CurrentExecution and Scope are the step's own; void needs no schema
is<void, never, Requires<Payments>>()(
  Durable.step(
    "refund",
    Effect.gen(function* () {
      const { idempotencyKey } = yield* Durable.CurrentStep
      yield* Durable.CurrentExecution
      const payments = yield* Payments
      yield* Effect.addFinalizer(() => Effect.log("released"))
      yield* payments.refund(idempotencyKey)
    })
  )
)

// plain JSON: optional, readonly, nullable, unions, tuples, records, branded strings, recursive interfaces
interface Tree {
  readonly label: string
  readonly children: ReadonlyArray<Tree>
}
interface Plain {
  readonly a?: string
  readonly b: number | null
  readonly c: { readonly tag: "x"; n: number } | { readonly tag: "y"; s: Array<string> }
  readonly d: readonly [string, boolean]
  readonly e: { readonly [key: string]: number }
  readonly g?: number | undefined
  readonly tree: Tree
}
declare const plain: Effect.Effect<Plain>
is<Plain, never, Requires>()(Durable.step("plain", plain))
type Id = typeof Id.Type
const Id = Schema.String.pipe(Schema.brand("Id"))
is<{ readonly id: Id }, never, Requires>()(
  Durable.step("brand", Effect.succeed<{ readonly id: Id }>({ id: Id.make("x") }))
)
is<Schema.Json, never, Requires>()(Durable.step("json", Effect.succeed<Schema.Json>(1)))
is<never, never, Requires>()(Durable.step("never", Effect.never))
is<undefined, never, Requires>()(Durable.step("undefined", Effect.succeed(undefined)))

// the value is what the schema decodes to; a text codec is a schema
is<Charge, CardDeclined, Requires<Payments>>()(
  Durable.step(
    "charge",
    Payments.use((payments) => payments.charge(order)),
    { success: Charge, error: CardDeclined }
  )
)
is<number, never, Requires>()(
  Durable.step("text", Effect.succeed(1), { success: Durable.text(Schema.NumberFromString) })
)
is<string, never, Requires>()(Durable.step("wider", Effect.succeed("a" as const), { success: Schema.String }))

// services of codecs and of schedules become services of the step
class Key extends Context.Service<Key, { readonly secret: string }>()("app/Key") {}
class Patience extends Context.Service<Patience, { readonly times: number }>()("app/Patience") {}
declare const Secret: Schema.Codec<string, string, Key, Key>
is<string, never, Requires<Key>>()(Durable.step("secret", Effect.succeed("x"), { success: Secret }))
is<string, StepFailed, Requires<Patience>>()(
  Durable.step("patient", Effect.fail("no") as Effect.Effect<string, string>, {
    retry: { while: () => Patience.useSync(({ times }) => times > 0) }
  })
)

// a shared policy
const policy = { retry: Durable.defaultRetry, semantics: "AtMostOncePerRetry" } as const
is<{ readonly id: string }, StepFailed | StepInterrupted, Requires<Payments>>()(Durable.step("charge", raw, policy))
is<{ readonly id: string }, StepFailed, Requires<Payments>>()(Durable.step("charge", raw, { retry: Durable.noRetry }))

// a generic wrapper takes StepInput
export const audited = <A, E, R>(name: string, effect: Durable.StepInput<A, E, R>) => Durable.step(name, effect)
is<{ readonly id: string }, StepFailed, Requires<Payments>>()(audited("charge", raw))
export const withSchema = <S extends Schema.Constraint, E, R>(
  name: string,
  success: S,
  effect: Durable.StepInput<S["Type"], E, R, S>
) => Durable.step(name, effect, { success })

// ---- combinators, annotations ----------------------------------------------------------------------------

const charge = Durable.step("charge", raw, { error: CardDeclined })
is<[{ readonly id: string }, void], CardDeclined | StepFailed, Requires<Payments>>()(
  Effect.all([charge, Durable.wait("w", "1 day")])
)
is<{ readonly id: string } | void, CardDeclined | StepFailed, Requires<Payments>>()(
  Effect.race(charge, Durable.wait("w", "1 day"))
)
is<{ readonly id: string } | string, StepFailed, Requires<Payments>>()(
  charge.pipe(Effect.catchTag("CardDeclined", (error) => Effect.succeed(error.reason)))
)
export const annotated: Effect.Effect<void, StepFailed, Requires<Payments | Mail>> = Effect.gen(function* () {
  yield* Durable.step("a", raw)
  yield* Durable.step(
    "b",
    Mail.use((mail) => mail.notify(order, "b"))
  )
})

// ---- wait ------------------------------------------------------------------------------------------------

declare const at: DateTime.Utc
is<void, never, DurableContext>()(Durable.wait("w", "3 days"))
is<void, never, DurableContext>()(Durable.waitUntil("w", at))

// ---- childContext ----------------------------------------------------------------------------------------

// without a schema: operation errors keep their class, any other surfaces as ChildContextFailed
is<
  { readonly id: string },
  StepFailed | ChildContextFailed,
  DurableContext | StepServices<Payments> | StepServices<never>
>()(Durable.childContext("c", charge))
is<number, never, DurableContext | StepServices<never>>()(
  Durable.childContext("c", Durable.step("s", Effect.succeed(1)))
)
is<{ readonly id: string }, StepFailed, DurableContext | StepServices<Payments> | StepServices<never>>()(
  Durable.childContext("c", Durable.step("charge", raw))
)

// `error`: what it covers keeps its class, operation errors too
is<{ readonly id: string }, CardDeclined | StepFailed, DurableContext | StepServices<Payments> | StepServices<never>>()(
  Durable.childContext("c", charge, { error: CardDeclined })
)
is<{ readonly id: string }, CardDeclined | StepFailed, DurableContext | StepServices<Payments> | StepServices<never>>()(
  charge.pipe(Durable.childContext("c", { error: CardDeclined }))
)

// covered in part
is<never, CardDeclined | ChildContextFailed, DurableContext | StepServices<never>>()(
  Durable.childContext("c", Effect.fail<CardDeclined | Unavailable>(new CardDeclined({ reason: "" })), {
    error: CardDeclined
  })
)

// any value: without a schema one that is not JSON is rebuilt; with one it is what the schema decodes to
is<Date, never, DurableContext | StepServices<never>>()(Durable.childContext("c", Effect.succeed(new Date(0))))
is<Date, never, DurableContext | StepServices<never>>()(
  Durable.childContext("c", Effect.succeed(new Date(0)), { success: Schema.Date, virtual: true, subType: "X" })
)
Durable.childContext("c", Effect.succeed({ n: 1 }), { summary: (value) => value.n.toFixed() })

// ---- callbacks -------------------------------------------------------------------------------------------

const notify = (id: string) => Mail.use((mail) => mail.notify(order, id))
const print = (id: string) => Labels.use((labels) => labels.print(id))
class Approval extends Schema.Class<Approval>("Approval")({ by: Schema.String }) {}

// without a schema the text, if any; without a timeout no CallbackTimedOut
is<Durable.Callback<string | undefined, CallbackFailed>, never, Requires>()(Durable.callback("c"))
is<string | undefined, CallbackFailed, Requires>()(Effect.flatMap(Durable.callback("c"), (callback) => callback.await))
// with schemas their types; either timeout can be over
is<Durable.Callback<Approval, CardDeclined | CallbackFailed>, never, Requires>()(
  Durable.callback("c", { success: Approval, error: CardDeclined })
)
is<Durable.Callback<Approval, CallbackFailed | CallbackTimedOut>, never, Requires>()(
  Durable.callback("c", { success: Approval, timeout: "3 days" })
)
is<Durable.Callback<number, CallbackFailed | CallbackTimedOut>, never, Requires>()(
  Durable.callback("c", { success: Durable.text(Schema.NumberFromString), heartbeatTimeout: 5000 })
)
// a timeout that may be there may be over
declare const perhaps: "1 day" | undefined
is<Durable.Callback<string | undefined, CallbackFailed | CallbackTimedOut>, never, Requires>()(
  Durable.callback("c", { timeout: perhaps })
)

// a submitter that cannot fail adds no error; its services are those of a step
is<string | undefined, CallbackFailed, Requires<Mail>>()(Durable.waitForCallback("c", notify))
is<Approval, CallbackFailed | CallbackTimedOut, Requires<Mail>>()(
  Durable.waitForCallback("c", notify, { success: Approval, timeout: "3 days" })
)
// one that can adds CallbackSubmitFailed, and its retry sees its error; what it gives may be anything
is<string | undefined, CardDeclined | CallbackFailed | CallbackSubmitFailed, Requires<Labels>>()(
  Durable.waitForCallback("c", (id) => Effect.as(print(id), new Date(0)), {
    error: CardDeclined,
    retry: { times: 3, while: (error) => error.retryable }
  })
)
is<string | undefined, CallbackFailed | CallbackSubmitFailed, Requires<Labels>>()(
  Durable.waitForCallback("c", print, {
    retry: ($) => $(Schedule.recurs(3)).pipe(Schedule.while(({ input }) => input.retryable))
  })
)
// the step's own services are given
is<string | undefined, CallbackFailed, Requires>()(
  Durable.waitForCallback("c", () =>
    Effect.gen(function* () {
      yield* Durable.CurrentStep
      yield* Durable.CurrentExecution
      yield* Effect.addFinalizer(() => Effect.void)
    })
  )
)

// ---- waitForCondition ------------------------------------------------------------------------------------

const Job = Schema.Struct({ id: Schema.String, status: Schema.Literals(["running", "done"]) })
const done = (job: typeof Job.Type) => job.status === "done"
const running = { id: "1", status: "running" } as const

is<typeof Job.Type, ConditionExhausted, Requires>()(
  Durable.waitForCondition("job", (job) => Effect.succeed({ ...job, status: "done" as const }), {
    initial: { id: "1", status: "running" },
    state: Job,
    until: ({ status }) => status === "done"
  })
)
// a check that can fail: ConditionFailed, or what `error` covers
const describe = (job: typeof Job.Type) => Effect.as(print(job.id), { ...job, status: "done" as const })
is<typeof Job.Type, ConditionFailed | ConditionExhausted, Requires<Labels>>()(
  Durable.waitForCondition("job", describe, { initial: running, state: Job, until: done })
)
is<typeof Job.Type, Unavailable | ConditionExhausted, Requires<Labels>>()(
  Durable.waitForCondition("job", describe, { initial: running, state: Job, until: done, error: Unavailable })
)
// the schedule's input is the state, in all three forms; `until` and the schedule may use services
is<typeof Job.Type, ConditionExhausted, Requires<Mail>>()(
  Durable.waitForCondition("job", (job) => Effect.succeed(job), {
    initial: running,
    state: Job,
    until: (job) => Effect.as(notify(job.id), done(job)),
    schedule: ($) => $(Schedule.spaced("1 minute")).pipe(Schedule.while(({ input }) => input.status === "running"))
  })
)
Durable.waitForCondition("job", (job) => Effect.succeed(job), {
  initial: running,
  state: Job,
  until: done,
  schedule: { times: 5, while: (job) => job.status === "running", schedule: Schedule.spaced("1 minute") }
})
Durable.waitForCondition("n", (n) => Effect.succeed(n), {
  initial: null,
  state: Schema.NullOr(Schema.Number),
  until: (n) => n === 1,
  schedule: Schedule.spaced("1 minute")
})

// ---- invoke ----------------------------------------------------------------------------------------------

// typed both ways; the payload is what its class is made of, or an instance
is<Receipt, CardDeclined | InvokeFailed, Requires>()(
  Durable.invoke("order", ProcessOrder, { id: "1", items: [] }, { functionName: "orders:live" })
)
is<Receipt, CardDeclined | InvokeFailed, Requires>()(
  Durable.invoke("order", ProcessOrder, order, { functionName: "orders:live", tenantId: "t-1" })
)
// any function, by schemas; without `success` its result is ignored
is<number, InvokeFailed, Requires>()(
  Durable.invoke(
    "add",
    { payload: Schema.Struct({ a: Schema.Number }), success: Schema.Number },
    { a: 1 },
    {
      functionName: "add"
    }
  )
)
is<void, InvokeFailed, Requires>()(
  Durable.invoke("log", { payload: Durable.text(Schema.String) }, "text", { functionName: "log" })
)

// failures of all of them pass contexts and handlers undeclared, as themselves
is<
  Approval,
  CallbackFailed | CallbackTimedOut | CallbackSubmitFailed,
  DurableContext | StepServices<Labels> | StepServices<never>
>()(
  Durable.childContext("c", Durable.waitForCallback("approval", print, { success: Approval, timeout: "1 day" }), {
    success: Approval
  })
)
export const outside = DurableHandler.make(
  DurableFunction.make("outside", { payload: Schema.String }),
  () =>
    Effect.gen(function* () {
      yield* Durable.waitForCallback("c", print, { timeout: "1 day" })
      yield* Durable.waitForCondition("job", describe, { initial: running, state: Job, until: done })
      yield* Durable.invoke("log", { payload: Schema.String }, "text", { functionName: "log" })
    }),
  { layer: AppLayer }
)

// ---- handler, tests --------------------------------------------------------------------------------------

// a body without step services needs no layer, an unannotated parameter is inferred
export const small = DurableHandler.make(
  DurableFunction.make("small", { payload: Schema.String, success: Schema.String }),
  (text) => Durable.step("a", Effect.succeed(text.trim()))
)
// inline generators, CurrentExecution and Scope in the body
export const inline = DurableHandler.make(
  DurableFunction.make("inline", { payload: Order, success: Schema.String }),
  Effect.fnUntraced(function* (order) {
    yield* Effect.addFinalizer(() => Effect.void)
    const { name } = yield* Durable.CurrentExecution
    return name + order.id
  })
)
// operation errors need no declaration
export const undeclared = DurableHandler.make(DurableFunction.make("undeclared", { payload: Schema.String }), () =>
  Effect.asVoid(Durable.step("a", Effect.fail("no"), { timeout: 5 }))
)
// a wider layer is fine
export const wider = DurableHandler.make(
  DurableFunction.make("wider", { payload: Schema.String }),
  () => Effect.asVoid(Durable.step("a", raw)),
  { layer: AppLayer }
)
// a recursive body
interface Sum {
  readonly value: number
  readonly rest: Sum | null
}
export const sum = (of: Sum): Effect.Effect<number, never, Requires> =>
  of.rest === null
    ? Durable.step("leaf", Effect.succeed(of.value))
    : Effect.map(Durable.childContext("rest", sum(of.rest)), (rest) => rest + of.value)

// what a test gives: the definition's error, an operation's, or what else can end an execution
is<Receipt, CardDeclined | TestRunner.ExecutionError, TestRunner.TestRunner | Payments | Mail | Labels>()(
  TestRunner.run(ProcessOrder, processOrder, { id: "1", items: [] })
)

// ---- the client ------------------------------------------------------------------------------------------

type Client = DurableClient.DurableClient
is<DurableClient.Execution<typeof Receipt, typeof CardDeclined>, DurableClient.StartError, Client>()(
  DurableClient.start(ProcessOrder, "process-order:live", { id: "1", items: [] }, { name: "order-1" })
)
declare const execution: DurableClient.Execution<typeof Receipt, typeof CardDeclined>
is<Receipt, CardDeclined | DurableClient.ResultError, Client>()(DurableClient.result(execution))
is<Receipt, CardDeclined | DurableClient.StartError | DurableClient.ResultError, Client>()(
  DurableClient.run(ProcessOrder, "process-order:$LATEST", order, { schedule: Schedule.spaced("1 second") })
)
// names: a partial and a full ARN, a name from elsewhere, a template
declare const configured: DurableFunction.QualifiedName
declare const stage: string
DurableClient.run(ProcessOrder, "123456789012:process-order:3", order)
DurableClient.run(ProcessOrder, "arn:aws:lambda:eu-west-1:123456789012:function:process-order:live", order)
DurableClient.run(ProcessOrder, configured, order)
DurableClient.run(ProcessOrder, `process-order:${stage}`, order)
// services of codecs
declare const withServices: Schema.Codec<string, string, Mail, Payments>
is<string, DurableClient.StartError | DurableClient.ResultError, Client | Mail | Payments>()(
  DurableClient.run(DurableFunction.make("f", { payload: Schema.String, success: withServices }), "f:live", "x")
)
// callbacks: typed, text, nothing
const approval = DurableClient.callback("id", { success: Receipt, error: CardDeclined })
is<void, DurableClient.CallbackError, Client>()(DurableClient.fail(approval, new CardDeclined({ reason: "" })))
is<void, DurableClient.CallbackError, Client>()(DurableClient.fail(approval, { type: "X", message: "y" }))
declare const aReceipt: Receipt
is<void, DurableClient.CallbackError, Client>()(DurableClient.succeed(approval, aReceipt))
DurableClient.succeed(DurableClient.callback("id"))
DurableClient.succeed(DurableClient.callback("id"), "text")
DurableClient.succeed(DurableClient.callback("id", { success: Schema.Void }), undefined)

// ---- parallel and map ------------------------------------------------------------------------------------

/** Codecs without services need none of the steps. */
type And<R = never> = Requires<R> | StepServices<never>
const stepA = Durable.step("a", Effect.succeed(1))
const label = (item: string) =>
  Durable.step(
    "print",
    Labels.use((labels) => labels.print(item))
  )
// a struct, a tuple, a list: each branch keeps its type, errors are a union, requirements add up
is<{ a: number; b: string }, StepFailed, And<Labels>>()(Durable.parallel("both", { a: stepA, b: label("b") }))
is<[number, { readonly id: string }], StepFailed, And<Payments>>()(
  Durable.parallel("both", [stepA, Durable.step("charge", raw)])
)
is<Array<number>, never, Requires>()(
  Durable.parallel(
    "all",
    [1, 2].map(() => stepA)
  )
)
// errors: operations' pass, others need a branch with a schema
declare const declinable: Effect.Effect<Charge, CardDeclined | Unavailable>
is<{ a: Charge }, ChildContextFailed, Requires>()(Durable.parallel("p", { a: declinable }))
is<{ a: Charge; b: number }, CardDeclined | ChildContextFailed, Requires>()(
  Durable.parallel("p", { a: Durable.branch(declinable, { success: Charge, error: CardDeclined }), b: stepA })
)
is<[Charge], CardDeclined | Unavailable, Requires>()(
  Durable.parallel("p", [declinable.pipe(Durable.branch({ error: Schema.Union([CardDeclined, Unavailable]) }))])
)
// services of a branch's codecs are services of steps
is<[string], never, And<Key>>()(Durable.parallel("p", [Durable.branch(Effect.succeed("x"), { success: Secret })]))
// mode "result" never fails; its items have the shape of the branches
const batch = Durable.parallel("both", [stepA, Durable.step("charge", raw)], {
  mode: "result",
  completion: { minSuccessful: 1 }
})
export const second = Effect.map(batch, ({ completionReason, items: [a, b] }) => [
  completionReason,
  a._tag === "Success" ? a.value.toFixed() : b._tag === "Success" ? b.value.id : "none"
])
is<Array<string>, never, And<Payments>>()(second)
const struct = Durable.parallel("p", { a: stepA, b: declinable }, { mode: "result" })
is<readonly [number | Charge, ChildContextFailed], never, Requires>()(
  Effect.map(struct, ({ failures: [failure], successes: [value] }) => [value!, failure!] as const)
)
is<ReadonlyArray<number | Charge>, ChildContextFailed, Requires>()(Effect.flatMap(struct, BatchResult.orFail))
// map: item and index are typed, also in the name; a completion function sees its progress
is<Array<string>, StepFailed, And<Labels>>()(
  Durable.map("labels", order.items, (item, index) => label(`${item.toUpperCase()} ${index.toFixed()}`), {
    concurrency: 5,
    itemName: (item, index) => `${item.trim()} ${index.toFixed()}`
  })
)
is<Durable.BatchResult<string, StepFailed>, never, And<Payments>>()(
  Durable.map("m", order.items, (item) => Effect.as(Durable.step("charge", raw), item), {
    mode: "result",
    completion: ({ completedCount, items }) => (completedCount > 1 && items[0]?.name === "x" ? "fail" : "continue"),
    summary: ({ counts, successes: [first] }) => `${counts.success} ${first?.trim()}`
  })
)
is<Array<Charge>, CardDeclined | ChildContextFailed, Requires>()(
  Durable.map("m", [1], () => declinable, { success: Charge, error: CardDeclined })
)
// a codec of the whole
declare const Whole: Schema.Codec<Durable.BatchResult<number, never>, string>
is<Durable.BatchResult<number, never>, never, Requires>()(
  Durable.map("m", [1], () => stepA, { mode: "result", result: Durable.text(Whole) })
)
// batches in batches, in a generator, under combinators
export const nested = Effect.fnUntraced(function* (orders: ReadonlyArray<Order>) {
  const lists = yield* Durable.map("orders", orders, (one) => Durable.map("items", one.items, label))
  return lists.flat().join()
})
is<string, StepFailed, And<Labels>>()(nested([]))

// ---- cleanup -----------------------------------------------------------------------------------------------

// the value keeps its type, the failure too; what the cleanup's steps need is needed
const undone = Durable.step("charge", raw, { error: CardDeclined }).pipe(
  Durable.withCompensation("refund", (charge, cause) =>
    Durable.step(
      "refund",
      Effect.flatMap(Mail, () => Effect.logInfo(charge.id, cause.reasons.length))
    )
  )
)
export const saga: Effect.Effect<
  { readonly id: string },
  CardDeclined | StepFailed,
  Durable.Requires<Payments | Mail>
> = Durable.scoped(undone)
is<number, never, And<Labels>>()(
  Durable.acquireRelease("machine", stepA, (value, exit) => (exit._tag === "Success" ? label(value.toFixed()) : stepA))
)
// it may fail with anything
export const finalizer: Effect.Effect<void, never, Durable.Requires> = Durable.addFinalizer("f", (exit) =>
  Effect.fail(exit._tag)
)
