/**
 * Runs workflows in tests: as on Lambda, with suspensions, replays and re-invocations. In memory that takes
 * milliseconds, and the services are those of the test.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import type * as DurableClient from "../DurableClient.ts"
import type * as DurableFunction from "../DurableFunction.ts"
import type * as DurableHandler from "../DurableHandler.ts"
import * as Engine from "../engine/Engine.ts"
import * as Store from "../engine/ExecutionStore.ts"
import { Timers } from "../engine/Timers.ts"
import type { InvokeTarget } from "../operations/invoke.ts"
import type { CodecServices, MaybeSchema, StepServicesIn, TypeOf } from "../StepServices.ts"
import * as answers from "./answers.ts"
import * as cloud from "./cloud.ts"
import type { Driver, OpenCallback, Options } from "./Driver.ts"
import * as execution from "./execution.ts"
import type { ExecutionError } from "./execution.ts"
import * as memory from "./memory.ts"
import * as VirtualTimers from "./VirtualTimers.ts"

export type { Failure } from "./answers.ts"
export type { CloudOptions } from "./cloud.ts"
export type { OpenCallback, Options } from "./Driver.ts"
export type { ExecutionError, Expected, TestCallback, TestExecution } from "./execution.ts"

// ---- the service -----------------------------------------------------------------------------------------

/**
 * Runs the executions of a test. `layerMemory` skips time: waits, retry delays and timeouts take none.
 * `layerMemoryClock` follows the test's clock: time moves with `advance` (or `TestClock.adjust`).
 */
export class TestRunner extends Context.Service<TestRunner, Driver>()("effect-durable-lambda/testing/TestRunner") {}

// ---- running ---------------------------------------------------------------------------------------------

/**
 * Starts a workflow. Steps get their services from the test.
 *
 * **Example** (A wait of three days)
 *
 * ```ts import.meta.vitest
 * import { Durable, DurableFunction } from "effect-durable-lambda"
 * import { TestRunner } from "effect-durable-lambda/testing"
 * import { Effect, Schema } from "effect"
 *
 * const Remind = DurableFunction.make("remind", { payload: Schema.String, success: Schema.String })
 *
 * const test = Effect.gen(function*() {
 *   const execution = yield* TestRunner.start(Remind, (who) =>
 *     Effect.andThen(Durable.wait("three-days", "3 days"), Durable.step("remind", Effect.succeed(`Hello, ${who}!`))), "Ada")
 *   return [yield* execution.result, yield* execution.invocations] as const
 * })
 *
 * await Effect.runPromise(test.pipe(Effect.provide(TestRunner.layerMemory))) // => ["Hello, Ada!", 2]
 * ```
 */
export const start = <P extends Schema.Constraint, SA extends Schema.Constraint, SE extends Schema.Constraint, A, E, R>(
  definition: DurableFunction.DurableFunction<P, SA, SE>,
  body: DurableHandler.Body<P, SA, SE, A, E, R>,
  payload: P["~type.make.in"],
  options: Options = {}
): Effect.Effect<
  execution.Of<SA, SE>,
  never,
  TestRunner | StepServicesIn<R> | CodecServices<P> | CodecServices<SA> | CodecServices<SE>
> =>
  Effect.flatMap(TestRunner, (driver) =>
    Effect.map(driver.start(definition, body as DurableHandler.AnyBody<unknown>, payload, options), (arn) =>
      execution.make(driver, definition, arn)
    )
  ) as any // typed by the definition

/** Starts a workflow and waits for its end. */
export const run = <P extends Schema.Constraint, SA extends Schema.Constraint, SE extends Schema.Constraint, A, E, R>(
  definition: DurableFunction.DurableFunction<P, SA, SE>,
  body: DurableHandler.Body<P, SA, SE, A, E, R>,
  payload: P["~type.make.in"],
  options: Options = {}
): Effect.Effect<
  SA["Type"],
  SE["Type"] | ExecutionError,
  TestRunner | StepServicesIn<R> | CodecServices<P> | CodecServices<SA> | CodecServices<SE>
> => Effect.flatMap(start(definition, body, payload, options), (started) => started.result)

/**
 * Moves the test's clock, after everything under way has come to rest. `layerMemory` skips time by itself: there this
 * waits only until everything has come to rest. For a deployed function it waits that long.
 */
export const advance = (duration: Duration.Input): Effect.Effect<void, never, TestRunner> =>
  Effect.flatMap(TestRunner, (driver) => driver.advance(duration))

// ---- the outside -----------------------------------------------------------------------------------------

/**
 * Answers callbacks of this name, of `Durable.callback` and `Durable.waitForCallback` alike, in all executions, those
 * that have begun before included.
 *
 * **Details**
 *
 * The answer is an effect (an `Exit` is one), or a function of the callback. It runs when everything else has come to
 * rest, so what a submitter does has been done. It may sleep: `Effect.delay(answer, "2 days")` answers after two days
 * of the workflow's time. What it fails with is reported as the callback's failure. Give it the schemas that the
 * workflow waits with; without `success` it gives text, or nothing. A later answer for the same name takes its place;
 * for a callback that is not to be answered there is nothing to declare.
 *
 * **Example** (Approved after two days)
 *
 * ```ts import.meta.vitest
 * import { Durable, DurableFunction } from "effect-durable-lambda"
 * import { TestRunner } from "effect-durable-lambda/testing"
 * import { Effect, Schema } from "effect"
 *
 * const Order = DurableFunction.make("order", { payload: Schema.String, success: Schema.String })
 * const Approval = { success: Schema.Struct({ by: Schema.String }) }
 * const order = () =>
 *   Effect.map(Durable.waitForCallback("approval", () => Effect.void, { ...Approval, timeout: "3 days" }), ({ by }) => by)
 *
 * const test = Effect.gen(function*() {
 *   yield* TestRunner.onCallback("approval", Effect.delay(Effect.succeed({ by: "Ada" }), "2 days"), Approval)
 *   return yield* TestRunner.run(Order, order, "book")
 * })
 *
 * await Effect.runPromise(test.pipe(Effect.provide(TestRunner.layerMemory))) // => "Ada"
 * ```
 */
export const onCallback = <SA extends MaybeSchema = undefined, SE extends MaybeSchema = undefined, R = never>(
  name: string,
  answer:
    | Effect.Effect<TypeOf<SA, string | void>, TypeOf<SE, never> | answers.Failure, R>
    | ((callback: OpenCallback) => Effect.Effect<TypeOf<SA, string | void>, TypeOf<SE, never> | answers.Failure, R>),
  options: { readonly success?: SA; readonly error?: SE } = {}
): Effect.Effect<void, never, TestRunner | R | CodecServices<SA> | CodecServices<SE>> =>
  Effect.flatMap(TestRunner, (driver) =>
    driver.onCallback(name, (callback) =>
      answers.write(
        `callback "${name}"`,
        options,
        Effect.isEffect(answer) ? answer : Effect.suspend(() => answer(callback))
      )
    )
  ) as any // typed by the options

/**
 * Stands in for a function that workflows invoke with `Durable.invoke`. Declare it before the workflow invokes it.
 *
 * **Details**
 *
 * `target` is what the workflow gives to `Durable.invoke`: a definition, or schemas. The answer gets the payload. What
 * it fails with comes back to the workflow as from a real function: covered by the target's `error` schema as itself,
 * all else (`{ type, message }`, say) as `InvokeFailed`. It may sleep, in the workflow's time, or wait for
 * something of the test. A deployed function invokes what is deployed: there it does nothing.
 *
 * **Example** (Out of stock)
 *
 * ```ts import.meta.vitest
 * import { Durable, DurableFunction } from "effect-durable-lambda"
 * import { TestRunner } from "effect-durable-lambda/testing"
 * import { Effect, Schema } from "effect"
 *
 * class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { item: Schema.String }) {}
 * const Ship = DurableFunction.make("ship", { payload: Schema.String, success: Schema.String, error: OutOfStock })
 * const Order = DurableFunction.make("order", { payload: Schema.String, success: Schema.String })
 * const order = (item: string) =>
 *   Durable.invoke("ship", Ship, item, { functionName: "ship:live" }).pipe(
 *     Effect.catchTag("OutOfStock", ({ item }) => Effect.succeed(`no ${item}`))
 *   )
 *
 * const test = Effect.gen(function*() {
 *   yield* TestRunner.onInvoke("ship:live", Ship, (item) => new OutOfStock({ item }))
 *   return yield* TestRunner.run(Order, order, "book")
 * })
 *
 * await Effect.runPromise(test.pipe(Effect.provide(TestRunner.layerMemory))) // => "no book"
 * ```
 */
export const onInvoke = <
  P extends Schema.Constraint,
  SA extends Schema.Constraint = typeof Schema.Void,
  SE extends Schema.Constraint = typeof Schema.Never,
  R = never
>(
  functionName: string,
  target: InvokeTarget<P, SA, SE>,
  answer: (payload: P["Type"]) => Effect.Effect<SA["Type"], SE["Type"] | answers.Failure, R>
): Effect.Effect<void, never, TestRunner | R | CodecServices<P> | CodecServices<SA> | CodecServices<SE>> =>
  Effect.flatMap(TestRunner, (driver) => driver.onInvoke(functionName, target, answer as any)) // typed by the target

/**
 * Makes another workflow known by the name by which it is invoked, so that `Durable.invoke` runs it for real, as an
 * execution of its own. A deployed function invokes what is deployed: there it does nothing.
 */
export const register = <
  P extends Schema.Constraint,
  SA extends Schema.Constraint,
  SE extends Schema.Constraint,
  A,
  E,
  R
>(
  functionName: string,
  definition: DurableFunction.DurableFunction<P, SA, SE>,
  body: DurableHandler.Body<P, SA, SE, A, E, R>,
  options: Options = {}
): Effect.Effect<
  void,
  never,
  TestRunner | StepServicesIn<R> | CodecServices<P> | CodecServices<SA> | CodecServices<SE>
> =>
  Effect.flatMap(TestRunner, (driver) =>
    driver.register(functionName, definition, body as DurableHandler.AnyBody<unknown>, options)
  ) as any // typed by the definition

// ---- layers ----------------------------------------------------------------------------------------------

/** A TestClock moves at once, any other clock by waiting. */
const adjust = (clock: Clock.Clock, duration: Duration.Input): Effect.Effect<void> => {
  const { adjust } = clock as { readonly adjust?: (duration: Duration.Input) => Effect.Effect<void> }
  return adjust === undefined ? clock.sleep(Duration.fromInputUnsafe(duration)) : adjust(duration)
}

/**
 * On an engine of the test: for tests that play the outside, which completes callbacks, is invoked, or stops
 * executions, by the engine's own calls.
 */
export const layer: Layer.Layer<TestRunner, never, Engine.Engine> = Layer.effect(
  TestRunner,
  Effect.flatMap(Clock.Clock, (clock) => memory.make({ move: (duration) => adjust(clock, duration) }))
)

/**
 * A runner on an engine of its own whose time jumps. For the kit's own use.
 *
 * @internal
 */
export const makeVirtual = Effect.fnUntraced(function* (
  start: number,
  setup: Partial<memory.Setup> = {},
  patient = false
) {
  const virtual = yield* VirtualTimers.make(start, patient)
  const engine = yield* Layer.build(
    Layer.fresh(Layer.provide(Engine.layer, [Store.layerMemory, Layer.succeed(Timers, virtual.timers)]))
  )
  const driver = yield* Effect.provideContext(memory.make({ move: () => Effect.void, ...setup, virtual }), engine)
  return { driver, engine: Context.get(engine, Engine.Engine), virtual }
})

/**
 * In memory, with time that is skipped: what waits goes on at once, and so does a step that sleeps, in its own fiber, on
 * Effect's clock. While a step is at any other work, time goes on with the real one. It begins now, and moves only from
 * one thing that happens to the next. Every provision is an engine of its own.
 */
export const layerMemory: Layer.Layer<TestRunner> = Layer.fresh(
  Layer.effect(TestRunner, Effect.suspend(() => makeVirtual(realNow())).pipe(Effect.map(({ driver }) => driver)))
)

const realNow = () => Context.get(Context.empty(), Clock.Clock).currentTimeMillisUnsafe()

/**
 * In memory, on the `Clock` of the test: with `it.effect` that is a `TestClock`, and nothing that waits goes on
 * before `TestRunner.advance`. Every provision is an engine of its own.
 */
export const layerMemoryClock: Layer.Layer<TestRunner> = Layer.fresh(Layer.provide(layer, Engine.layerMemory))

/**
 * Deployed functions, through a `DurableClient`: the same test, against AWS or a local engine over HTTP. It runs what is
 * deployed, and not the body that the test gives; steps have the services that they were deployed with.
 *
 * **Details**
 *
 * Callbacks are answered as in memory, soon after they exist: the history is asked for every 500 ms. `advance`, and
 * answers that sleep, wait for real. `onInvoke` and `register` do nothing, since a deployed function invokes what is
 * deployed, and `runs` of a step are those that the history shows. A failure of the service is a defect of the test.
 *
 * **Example** (Two layers for one test)
 *
 * ```ts
 * import { DurableClient } from "effect-durable-lambda"
 * import { TestRunner } from "effect-durable-lambda/testing"
 * import { Layer } from "effect"
 *
 * const deployed = TestRunner.layerCloud({ functions: { "process-order": "process-order:live" } }).pipe(
 *   Layer.provide(DurableClient.layer)
 * )
 * const layer = process.env.CLOUD === undefined ? TestRunner.layerMemory : deployed
 * ```
 */
export const layerCloud = (options: cloud.CloudOptions): Layer.Layer<TestRunner, never, DurableClient.DurableClient> =>
  Layer.fresh(Layer.effect(TestRunner, cloud.make(options)))
