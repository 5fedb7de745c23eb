/**
 * Runs workflows in tests, on the local engine in memory: as on Lambda, with suspensions, replays and
 * re-invocations, but in milliseconds, and with the services of the test.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as Schema from "effect/Schema"
import * as CheckpointService from "../CheckpointService.ts"
import * as DurableError from "../DurableError.ts"
import { DurableExecutionClient } from "../DurableExecutionClient.ts"
import type * as DurableFunction from "../DurableFunction.ts"
import * as DurableHandler from "../DurableHandler.ts"
import * as DurableLogger from "../DurableLogger.ts"
import * as Engine from "../engine/Engine.ts"
import * as History from "../History.ts"
import * as failures from "../internal/failure.ts"
import type * as Protocol from "../Protocol.ts"
import { encodeInput, payloadCodec } from "../Serdes.ts"
import type { CodecServices, StepServicesIn } from "../StepServices.ts"

// ---- shapes ----------------------------------------------------------------------------------------------

/** What the end of an execution can be, besides the definition's own errors. */
export type ExecutionError =
  DurableError.Operation | DurableError.ExecutionFailed | DurableError.ExecutionTimedOut | DurableError.ExecutionStopped

/** An execution that a test has started. */
export interface TestExecution<A, E, R = never> {
  readonly arn: string
  /** Waits for the end. Fails with the definition's error, an operation's, or what else ended the execution. */
  readonly result: Effect.Effect<A, E | ExecutionError, R>
  /** The execution's status now. */
  readonly status: Effect.Effect<Protocol.ExecutionStatus>
  /** All operations, in the order of starting. */
  readonly operations: Effect.Effect<ReadonlyArray<Protocol.Operation>>
  /** The first operation of this name; dies with the names there are when there is none. */
  readonly operation: (name: string) => Effect.Effect<Protocol.Operation>
  /** Everything that happened, as `GetDurableExecutionHistory` returns it. */
  readonly history: Effect.Effect<ReadonlyArray<History.Event>>
  /** The history in words, a line an event. */
  readonly timeline: Effect.Effect<string>
  /** How often the function was invoked. */
  readonly invocations: Effect.Effect<number>
}

/** Options of a run. */
export interface Options extends DurableHandler.RunOptions {
  /** Name of the execution. Default: random. */
  readonly executionName?: string | undefined
  /** The function's execution timeout. Default: none. */
  readonly executionTimeout?: Duration.Input | undefined
}

/**
 * Runs workflows in a test. `layerMemory` skips time: waits, retry delays and timeouts take none.
 * `layerMemoryClock` follows the test's clock: time moves with `advance` (or `TestClock.adjust`).
 */
export class TestRunner extends Context.Service<
  TestRunner,
  {
    /** @internal */
    readonly launch: (
      definition: DurableFunction.Any,
      body: DurableHandler.AnyBody<any>,
      payload: unknown,
      options: Options
    ) => Effect.Effect<TestExecution<any, any, any>, never, any>
    /** Lets everything that is under way come to rest, moves the test's clock, and lets it come to rest again. */
    readonly advance: (duration: Duration.Input) => Effect.Effect<void>
  }
>()("effect-durable-lambda/testing/TestRunner") {}

// ---- using it --------------------------------------------------------------------------------------------

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
  TestExecution<SA["Type"], SE["Type"], CodecServices<SA> | CodecServices<SE>>,
  never,
  TestRunner | StepServicesIn<R> | CodecServices<P>
> => Effect.flatMap(TestRunner, (runner) => runner.launch(definition, body, payload, options)) as any // launch is untyped

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
> => Effect.flatMap(start(definition, body, payload, options), (execution) => execution.result)

/** Moves the test's clock, after everything under way has come to rest. Only time of `layerMemoryClock` moves. */
export const advance = (duration: Duration.Input): Effect.Effect<void, never, TestRunner> =>
  Effect.flatMap(TestRunner, (runner) => runner.advance(duration))

// ---- the service -----------------------------------------------------------------------------------------

/** A macrotask: everything that promises and the engine have to do meanwhile is done. */
const macrotask = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** Rounds without an invocation after which nothing is under way any more. */
const QUIET_ROUNDS = 3

/** An invocation that has recorded nothing for so many real milliseconds waits for the test's clock, as a step that sleeps. */
const QUIET_MILLIS = 20

const millisecond = Context.get(Context.empty(), Clock.Clock).sleep(Duration.millis(1)) // of the real clock

const resultOf = (definition: DurableFunction.Any, end: Engine.Description): Effect.Effect<unknown, unknown, any> => {
  const executionArn = end.DurableExecutionArn
  const message = end.Error?.ErrorMessage ?? ""
  switch (end.Status) {
    case "SUCCEEDED":
      return Effect.orDie(payloadCodec(definition.success).decode(end.Result))
    case "TIMED_OUT":
      return Effect.fail(new DurableError.ExecutionTimedOut({ executionArn, message }))
    case "STOPPED":
      return Effect.fail(new DurableError.ExecutionStopped({ executionArn, message }))
    default:
      return Effect.flatten(
        Effect.orDie(
          failures.decodeFailure(end.Error, {
            operation: definition.name,
            schema: definition.error,
            Wrapper: DurableError.ChildContextFailed,
            otherwise: (type, message) => new DurableError.ExecutionFailed({ executionArn, type, message })
          })
        )
      )
  }
}

const make = Effect.fnUntraced(function* (move: (duration: Duration.Input) => Effect.Effect<void>) {
  const engine = yield* Engine.Engine
  const checkpoints = yield* Layer.build(
    Layer.provide(CheckpointService.layer, Layer.succeed(DurableExecutionClient, engine.client))
  )
  const names = new Map<unknown, string>()
  let invoking = 0
  let changes = 0
  yield* engine.subscribe(() => void changes++)

  const settle = Effect.gen(function* () {
    let seen = changes
    for (let quiet = 0; quiet < (invoking === 0 ? QUIET_ROUNDS : QUIET_MILLIS);) {
      yield* invoking === 0 ? macrotask : millisecond
      quiet = changes === seen ? quiet + 1 : 0
      seen = changes
    }
  })

  const executor =
    (definition: DurableFunction.Any, body: DurableHandler.AnyBody<any>, options: Options): Engine.Executor<any> =>
    (event, context) =>
      Effect.suspend(() => {
        invoking++
        // the engine stamps each request later than the one before, so no request needs to wait for its order
        return DurableHandler.invocation(definition, body, { ...options, pace: 0 }, event, context)
      }).pipe(
        Effect.ensuring(Effect.sync(() => invoking--)),
        Effect.mapError(Engine.fromThrown),
        Effect.provideContext(checkpoints),
        Effect.updateService(Logger.CurrentLoggers, (loggers) => new Set([...loggers].map(DurableLogger.replayAware)))
      )

  /** One function per body: executions that run keep theirs. */
  const functionName = (definition: DurableFunction.Any, body: unknown) => {
    const known = names.get(body)
    if (known !== undefined) return known
    const base = definition.name.replace(/[^a-zA-Z0-9-_]/g, "-")
    const taken = [...names.values()]
    const name = taken.includes(base) ? `${base}-${taken.length}` : base
    names.set(body, name)
    return name
  }

  return TestRunner.of({
    advance: (duration) => Effect.andThen(settle, Effect.andThen(move(duration), settle)),
    launch: Effect.fnUntraced(function* (definition, body, payload, options) {
      const name = functionName(definition, body)
      yield* engine.register(
        name,
        executor(definition, body, options),
        options.executionTimeout === undefined
          ? {}
          : {
              executionTimeoutSeconds: Math.ceil(Duration.toSeconds(Duration.fromInputUnsafe(options.executionTimeout)))
            }
      )
      const text = yield* Effect.orDie(encodeInput(definition.payload, payload))
      const arn = yield* Effect.orDie(
        engine.start({
          functionName: `${name}:$LATEST`,
          ...(text === undefined ? undefined : { payload: text }),
          ...(options.executionName === undefined ? undefined : { executionName: options.executionName })
        })
      )
      const operations = Effect.map(Effect.orDie(engine.operations(arn)), (all) =>
        all.filter(({ Type }) => Type !== "EXECUTION")
      )
      const history = Effect.orDie(engine.history(arn))
      return {
        arn,
        result: Effect.flatMap(Effect.orDie(engine.await(arn)), (end) => resultOf(definition, end)),
        status: Effect.map(Effect.orDie(engine.describe(arn)), ({ Status }) => Status),
        operations,
        operation: (name) =>
          Effect.flatMap(operations, (all) => {
            const found = all.find((operation) => operation.Name === name)
            const names = all.map((operation) => operation.Name).join(", ")
            return found === undefined
              ? Effect.die(
                  new Error(`There is no operation "${name}" yet. There are: ${names === "" ? "none" : names}.`)
                )
              : Effect.succeed(found)
          }),
        history,
        timeline: Effect.map(history, (events) => events.map(History.describe).join("\n")),
        invocations: Effect.map(
          history,
          (events) => events.filter(({ EventType }) => EventType === "InvocationCompleted").length
        )
      }
    })
  })
})

/**
 * On an engine of the test: for tests that play the outside, which completes callbacks, is invoked, or stops
 * executions, by the engine's own calls.
 */
export const layer: Layer.Layer<TestRunner, never, Engine.Engine> = Layer.effect(
  TestRunner,
  Effect.flatMap(Clock.Clock, (clock) => make((duration) => adjust(clock, duration)))
)

/** In memory, with time that is skipped: what waits goes on at once. Every provision is an engine of its own. */
export const layerMemory: Layer.Layer<TestRunner> = Layer.fresh(
  Layer.provide(
    Layer.effect(
      TestRunner,
      make(() => Effect.void)
    ),
    Engine.layerSkipping
  )
)

/**
 * In memory, on the `Clock` of the test: with `it.effect` that is a `TestClock`, and nothing that waits goes on
 * before `TestRunner.advance`. Every provision is an engine of its own.
 */
export const layerMemoryClock: Layer.Layer<TestRunner> = Layer.fresh(Layer.provide(layer, Engine.layerMemory))

/** A TestClock moves at once, any other clock by waiting. */
const adjust = (clock: Clock.Clock, duration: Duration.Input): Effect.Effect<void> => {
  const { adjust } = clock as { readonly adjust?: (duration: Duration.Input) => Effect.Effect<void> }
  return adjust === undefined ? clock.sleep(Duration.fromInputUnsafe(duration)) : adjust(duration)
}
