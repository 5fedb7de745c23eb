/**
 * The Lambda handler of a durable function: from the event of one invocation to its answer.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as CheckpointService from "./CheckpointService.ts"
import { CurrentExecution } from "./CurrentExecution.ts"
import type { DurableContext } from "./DurableContext.ts"
import * as DurableError from "./DurableError.ts"
import * as DurableExecutionClient from "./DurableExecutionClient.ts"
import * as DurableFunction from "./DurableFunction.ts"
import * as DurableLogger from "./DurableLogger.ts"
import { type DurablePlugin, Plugins } from "./DurablePlugin.ts"
import { answer, answerFatal } from "./internal/answer.ts"
import type { OrderPolicy } from "./internal/core/order.ts"
import { run, Settle } from "./internal/core/run.ts"
import { decodeInvocationEvent } from "./internal/decode.ts"
import * as failures from "./internal/failure.ts"
import { GIVE_UP, inTime, UNANSWERED } from "./internal/inTime.ts"
import type { Observer } from "./internal/observer.ts"
import { fromEnvironment } from "./internal/pluginModules.ts"
import { type CurrentStep, step } from "./operations/step.ts"
import type * as Protocol from "./Protocol.ts"
import * as Serdes from "./Serdes.ts"
import type { CodecServices, First, GivesEffect, StepServices, StepServicesIn } from "./StepServices.ts"

// ---- the checks of the body's type ---------------------------------------------------------------------

type KeyOf<S> = S extends { readonly key: infer K extends string } ? K : "?"
type TagOf<E> = E extends { readonly _tag: infer T extends string } ? T : E extends string ? E : "(untagged)"
/** Services that a body may not use outside of steps. */
type Raw<R> = Exclude<R, DurableContext | CurrentExecution | StepServices<any> | Scope.Scope>

/** The body uses services only inside of steps. */
export type OnlySteps<R> =
  Extract<R, CurrentStep> extends never
    ? [Raw<R>] extends [never]
      ? unknown
      : `The service \`${KeyOf<Raw<R>>}\` is used outside a step. Use it inside Durable.step.`
    : "CurrentStep exists only inside a step."

/** The body is a function that returns an Effect. */
export type IsBody<R> = GivesEffect<
  R,
  "The body must return an Effect: write it with Effect.fnUntraced or Effect.gen. An async function, a generator, or a handler is no body."
>

/** The body gives what the definition declares. */
export type Returns<A, SA extends Schema.Constraint> = [A] extends [SA["Type"]]
  ? unknown
  : [A] extends [Effect.Effect<any, any, any>]
    ? "The body's value is itself an Effect, which has not run: write `return yield*`."
    : "The body's value is not what the definition's `success` schema declares."

/** The body fails only with what the definition declares, or with failures of operations. */
export type Declares<E, SE extends Schema.Constraint> = [Exclude<E, SE["Type"] | DurableError.Operation>] extends [
  never
]
  ? unknown
  : Extract<Exclude<E, SE["Type"] | DurableError.Operation>, { readonly _tag: "ConfigError" }> extends never
    ? `The error \`${TagOf<
        Exclude<E, SE["Type"] | DurableError.Operation>
      >}\` is not declared: add it to the definition's \`error\` schema, or handle it.`
    : "Config is read in the handler's layer, or in a step: a replay must not depend on the environment."

/** The layer provides what the steps need. */
export type Provides<R, ROut> = [Exclude<R, ROut>] extends [never]
  ? unknown
  : `The layer does not provide \`${KeyOf<Exclude<R, ROut>>}\`, which a step or schema needs.`

/** A body that a handler, or a test, can run: services only in steps, value and errors as declared. */
export type Body<
  P extends Schema.Constraint,
  SA extends Schema.Constraint,
  SE extends Schema.Constraint,
  A,
  E,
  R,
  Check = unknown
> = (
  payload: P["Type"]
) => First<[IsBody<R>, OnlySteps<R>, Returns<A, SA>, Declares<E, SE>, Check]> & Effect.Effect<A, E, R>

// ---- options ---------------------------------------------------------------------------------------------

/** How invocations are run. The defaults suit AWS Lambda. */
export interface RunOptions {
  /**
   * Who defines the order in which completions reach the body. `"markers"` (default) trusts the service for
   * little and writes a small step where an outside completion met other waiting operations of the same
   * context; `"timestamps"` trusts the service's clock and writes nothing; `"log"` writes every choice.
   */
  readonly order?: OrderPolicy | undefined
  /** Milliseconds between requests whose order matters; a network round trip usually takes longer anyway. Default: 1. */
  readonly pace?: number | undefined
  /**
   * How long the START of an at-least-once step may wait for another reason to send. Steps that take less
   * cost one call instead of two. Default: 50 ms; 0 sends it at once. A step that follows a choice (a race that an answer
   * from outside has won) always starts first: its id is nobody else's then, whatever happens.
   */
  readonly startDelay?: Duration.Input | undefined
  /**
   * Recorded operations that the code no longer asks for, and does not declare as `Durable.retired`, or that follow
   * something that is not declared as `Durable.added`: `"fail"` (default) ends the execution with `NonDeterministic`,
   * `"ignore"` logs a warning and goes on, unless a name occurs more often than recorded: it would be given what another
   * has recorded.
   */
  readonly unvisited?: "fail" | "ignore" | undefined
  /** How long finalizers may take when an invocation suspends or ends, before it answers without them. Default: 250 ms. */
  readonly finalizerGrace?: Duration.Input | undefined
  /**
   * How long before Lambda's deadline (the function's timeout) an invocation is brought to its end: attempts of steps
   * that run are cut off and count, and it answers. Default: 5 % of the time that the invocation has, at least 500 ms,
   * at most half of it; 0 switches it off. See `DurableError.DeadlineExceeded`.
   */
  readonly deadlineMargin?: Duration.Input | undefined
  /**
   * Observers of what happens. Those of the layer (`DurablePlugin.layer`) come after them, then those that the
   * environment variable `DURABLE_EXECUTION_PLUGINS` names (in a handler).
   */
  readonly plugins?: ReadonlyArray<DurablePlugin> | undefined
}

/** Options of `make`. */
export interface Options<ROut, LE> extends RunOptions {
  /** The services of the steps. Built once per sandbox, at the first invocation; disposed on SIGTERM. */
  readonly layer?: Layer.Layer<ROut, LE> | undefined
  /** Where checkpoints go. Default: AWS Lambda (`DurableExecutionClient.layer`). */
  readonly client?: Layer.Layer<DurableExecutionClient.DurableExecutionClient> | undefined
  /** How checkpoints are batched. Default: `CheckpointService.layer`. */
  readonly checkpoints?:
    Layer.Layer<CheckpointService.CheckpointService, never, DurableExecutionClient.DurableExecutionClient> | undefined
}

/** What the schemas of a definition need to read a payload, and to write what the function ends with, where it is known. */
export type SchemaServices<P, SA, SE> = Known<CodecServices<P> | CodecServices<SA> | CodecServices<SE>>
type Known<R> = unknown extends R ? never : R

/** What options must have when steps, or the definition's schemas, need services. */
type WithLayer<R, ROut, LE> = [R] extends [never]
  ? unknown
  : { readonly layer: Layer.Layer<ROut, LE> & Provides<R, ROut> }

/** Without options there is no layer. */
type NeedsNoLayer<R> = [R] extends [never]
  ? unknown
  : `A step or schema needs \`${KeyOf<R>}\`: give the handler \`{ layer }\`, a layer that provides it.`

/** What of Lambda's context object is used. Everything is optional, so that any emulator will do. */
export interface LambdaContext {
  readonly awsRequestId?: string | undefined
  readonly tenantId?: string | undefined
  readonly getRemainingTimeInMillis?: (() => number) | undefined
}

/** A Lambda handler. */
export type LambdaHandler = (event: unknown, context?: LambdaContext) => Promise<Protocol.InvocationOutput>

/** A body whose type was checked against its definition where it was given. */
// any: the payload's type belongs to the definition
export type AnyBody<R> = (payload: any) => Effect.Effect<unknown, unknown, R>

// ---- one invocation --------------------------------------------------------------------------------------

const MAX_LAMBDA_MILLIS = 900_000

const millisOf = (input: Duration.Input): number => Duration.toMillis(Duration.fromInputUnsafe(input))

const describeExecution = (
  event: Protocol.InvocationEvent,
  operations: ReadonlyArray<Protocol.Operation>,
  execution: Protocol.Operation,
  lambda: LambdaContext | undefined
): CurrentExecution["Service"] => ({
  arn: event.DurableExecutionArn,
  name: execution.Name ?? event.DurableExecutionArn.split("/").at(-2) ?? execution.Id,
  startTime: execution.StartTimestamp ?? 0,
  requestId: lambda?.awsRequestId ?? "",
  tenantId: lambda?.tenantId,
  isFirstInvocation: operations.length === 1,
  remainingTime: Effect.sync(() => Duration.millis(lambda?.getRemainingTimeInMillis?.() ?? MAX_LAMBDA_MILLIS)),
  lambdaContext: lambda
})

/** Who names no deadline has none. */
const deadlineOf = (lambda: LambdaContext | undefined, input: Duration.Input | undefined) => {
  const left = lambda?.getRemainingTimeInMillis?.()
  if (left === undefined) return undefined
  const wanted = input === undefined ? Math.max(left / 20, 500) : millisOf(input)
  return wanted > 0 ? { left, margin: Math.min(wanted, left / 2) } : undefined
}

/** No input is `{}`, as for AWS's SDKs; a function that declares no payload takes whatever comes. */
const decodePayload = (definition: DurableFunction.Any, input: string | undefined) => {
  const { decodeNow } = Serdes.payloadCodec(definition.payload)
  const decoded = Serdes.isNothing(input)
    ? Effect.catchEager(decodeNow(undefined), () => decodeNow("{}"))
    : input === "{}"
      ? Effect.catchEager(decodeNow(input), (reason) => Effect.mapErrorEager(decodeNow(undefined), () => reason))
      : decodeNow(input)
  return Effect.mapErrorEager(decoded, (fault) =>
    typeof fault === "string"
      ? new DurableError.InvalidPayload({
          message: `The payload of "${definition.name}" is not what its definition declares: ${fault}`
        })
      : DurableError.serdesFailed(`The payload of "${definition.name}"`, "decode")(fault)
  )
}

const malformed = (reason: string) =>
  new DurableError.MalformedEvent({
    message:
      `This is not an event of Lambda's durable execution service: ${reason}. ` +
      "Invoke the function through Lambda with durable execution enabled (DurableConfig), or through the local engine; in a test, run its body with TestRunner."
  })

/** An invocation whose state is loaded. */
interface Loaded {
  readonly definition: DurableFunction.Any
  readonly body: AnyBody<any> // any: `invocation` says what it needs
  readonly options: RunOptions
  readonly lambda: LambdaContext | undefined
  readonly execution: Protocol.Operation
  /** (not the event: it holds all that is on record) */
  readonly updated: ReadonlyArray<string> | undefined
  readonly arn: string
  readonly startTime: number
}

/** Runs the body and answers. */
const answered = /*#__PURE__*/ Effect.fnUntraced(
  function* (
    { arn, body, definition, execution, lambda, options, startTime, updated }: Loaded,
    checkpoints: CheckpointService.Checkpoints,
    observer: Observer | undefined
  ): Effect.fn.Return<Protocol.InvocationOutput, DurableError.Fatal, any> {
    const deadline = () => deadlineOf(lambda, options.deadlineMargin)
    const payload = yield* inTime(
      decodePayload(definition, execution.ExecutionDetails?.InputPayload),
      deadline(),
      `The payload of "${definition.name}" was still being decoded`,
      GIVE_UP
    )
    const outcome = yield* run(
      Effect.suspend(() => body(payload)),
      checkpoints,
      { arn, startTimestamp: startTime },
      {
        order: options.order ?? "markers",
        pace: options.pace ?? 1,
        startDelay: options.startDelay === undefined ? 50 : millisOf(options.startDelay),
        unvisited: options.unvisited ?? "fail",
        finalizerGrace: options.finalizerGrace === undefined ? 250 : millisOf(options.finalizerGrace),
        updated,
        deadline: deadline(),
        observer
      }
    )
    return yield* answer(definition, checkpoints, outcome, deadline)
  },
  (answering) => Effect.catch(answering, answerFatal)
)

/**
 * One invocation as an Effect: loads the state, runs the body, answers. Fails with what must be thrown to
 * Lambda, so that it invokes again. `DurableHandler.make` and the test kit stand on it.
 */
export const invocation: <R>(
  definition: DurableFunction.Any,
  body: AnyBody<R>,
  options: RunOptions,
  rawEvent: unknown,
  lambda: LambdaContext | undefined,
  named?: ReturnType<typeof fromEnvironment>
) => Effect.Effect<
  Protocol.InvocationOutput,
  DurableError.Fatal,
  Exclude<R, DurableContext | CurrentExecution | Scope.Scope> | CheckpointService.CheckpointService
> = /*#__PURE__*/ Effect.fnUntraced(
  function* (
    definition: DurableFunction.Any,
    body: AnyBody<any>, // any: typed by the signature
    options: RunOptions,
    rawEvent: unknown,
    lambda: LambdaContext | undefined,
    named?: ReturnType<typeof fromEnvironment>
  ): Effect.fn.Return<Protocol.InvocationOutput, DurableError.Fatal, any> {
    const deadline = () => deadlineOf(lambda, options.deadlineMargin)
    const loaded = named === undefined ? [] : yield* named(deadline())
    const event = yield* Effect.fromResult(Result.mapError(decodeInvocationEvent(rawEvent), malformed))
    const service = yield* CheckpointService.CheckpointService
    const { Operations: operations = [], NextMarker: nextMarker } = event.InitialExecutionState ?? {}
    const { CheckpointToken: checkpointToken, DurableExecutionArn: executionArn } = event
    const opened = service.open({ executionArn, checkpointToken, operations, nextMarker })
    const checkpoints = yield* nextMarker === undefined
      ? opened
      : inTime(opened, deadline(), `The state of ${executionArn} was still being loaded`, UNANSWERED)
    const execution = checkpoints.operations.find((operation) => operation.Type === "EXECUTION")
    if (execution === undefined) {
      return yield* malformed("its state holds no EXECUTION operation, on no page")
    }
    const current = describeExecution(event, checkpoints.operations, execution, lambda)
    const { arn, isFirstInvocation, remainingTime, requestId, startTime } = current
    const { UpdatedOperationIds: updated } = event
    const started = { definition, body, options, lambda, execution, arn, startTime, updated }
    const plugins = [...(options.plugins ?? []), ...(yield* Plugins), ...loaded]
    const observed = plugins[0]?.["~effect-durable-lambda/DurablePlugin"](
      plugins,
      {
        executionArn: arn,
        requestId,
        isFirstInvocation,
        execution,
        updatedOperationIds: updated ?? [],
        remainingTime
      },
      checkpoints,
      (checkpoints, observer) => answered(started, checkpoints, observer)
    )
    return yield* Effect.provideService(
      observed ?? answered(started, checkpoints, undefined),
      CurrentExecution,
      current
    )
  },
  (running) => Effect.catch(Effect.scoped(running), answerFatal)
)

// ---- the handler -----------------------------------------------------------------------------------------

/** The services of a sandbox. The defaults are no layers, so that a bundle that needs none does not carry them. */
const buildServices = /*#__PURE__*/ Effect.fnUntraced(function* <ROut, LE>(
  { checkpoints, client, layer }: Options<ROut, LE>,
  scope: Scope.Scope,
  lambda: DurableExecutionClient.DurableExecutionClient["Service"]
): Effect.fn.Return<Context.Context<CheckpointService.CheckpointService>, LE> {
  const memoMap = Layer.makeMemoMapUnsafe() // what is part of several layers is built once
  const build = <A, E, R>(part: Layer.Layer<A, E, R>) => Layer.buildWithMemoMap(part, memoMap, scope)
  const clients =
    client === undefined ? Context.make(DurableExecutionClient.DurableExecutionClient, lambda) : yield* build(client)
  const queues =
    checkpoints === undefined
      ? Context.make(
          CheckpointService.CheckpointService,
          CheckpointService.make(Context.get(clients, DurableExecutionClient.DurableExecutionClient))
        )
      : yield* Effect.provideContext(build(checkpoints), clients)
  const level = DurableLogger.levelFromEnvironment()
  const logged = Context.add(queues, DurableLogger.CurrentLoggers, DurableLogger.loggers())
  const own = level === undefined ? logged : Context.add(logged, References.MinimumLogLevel, level)
  return layer === undefined ? own : Context.merge(own, yield* build(layer))
})

/** Lambda shows name and message of what is thrown, of an Error only. */
const notBuilt = (definition: DurableFunction.Any, cause: Cause.Cause<unknown>): Error => {
  const reason = Cause.squash(cause)
  const message = `The layer of the handler of "${definition.name}" could not be built: ${failures.explained(reason)}`
  return Object.assign(new Error(message, { cause: reason }), { name: failures.typeOf(reason) })
}

/**
 * Runs a step that does nothing, on a service that says yes: what most invocations run has been compiled then. All of it
 * runs at once, so that it is over before the first event.
 */
const rehearse = (): void => {
  const event: Protocol.InvocationEvent = {
    DurableExecutionArn: "-",
    CheckpointToken: "-",
    InitialExecutionState: { Operations: [{ Id: "-", Type: "EXECUTION", Status: "STARTED" }] }
  }
  const nothing = DurableFunction.make("rehearsal", { payload: Schema.Void })
  const answer = Effect.succeed({ CheckpointToken: "-" })
  const service = CheckpointService.make({ checkpoint: () => answer, getExecutionState: () => Effect.never })
  const body: AnyBody<any> = () => step("-", Effect.void) // any: it needs no services
  void Effect.runPromiseExit(
    invocation(nothing, body as AnyBody<never>, {}, event, undefined).pipe(
      Effect.provideService(CheckpointService.CheckpointService, service),
      Effect.provideService(Settle, (f: () => void) => f())
    )
  )
}

/**
 * Makes the Lambda handler of a durable function.
 *
 * **Details**
 *
 * The layer is built once per sandbox, at the first invocation, and disposed when Lambda sends SIGTERM. In Lambda
 * (`AWS_LAMBDA_RUNTIME_API` is set) AWS's client is loaded and made ready at once, and an invocation with one step rehearsed;
 * nothing is sent. Elsewhere the first call loads it. Log lines go through `DurableLogger` (one JSON line each,
 * silent while replaying) unless the layer brings other loggers; from the level on that `AWS_LAMBDA_LOG_LEVEL`
 * names, or else `INFO`, unless the layer sets `References.MinimumLogLevel`.
 *
 * Answers `SUCCEEDED` or `FAILED` when the body has ended, `PENDING` when it waits for the service. A bad
 * payload is `FAILED` before anything runs. What a new invocation may cure (a stale token, throttling, an
 * unreachable service, a layer that does not build) is thrown, and Lambda invokes again.
 *
 * **Example** (A function with one step)
 *
 * ```ts
 * import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
 * import { Effect, Schema } from "effect"
 *
 * const Greet = DurableFunction.make("greet", { payload: Schema.String, success: Schema.String })
 *
 * export const handler = DurableHandler.make(Greet, (name) => Durable.step("greet", Effect.succeed(`Hello, ${name}!`)))
 * ```
 */
export const make: {
  <P extends Schema.Constraint, SA extends Schema.Constraint, SE extends Schema.Constraint, A, E, R>(
    definition: DurableFunction.DurableFunction<P, SA, SE>,
    body: Body<P, SA, SE, A, E, R, NeedsNoLayer<StepServicesIn<R> | SchemaServices<P, SA, SE>>>
  ): LambdaHandler
  <
    P extends Schema.Constraint,
    SA extends Schema.Constraint,
    SE extends Schema.Constraint,
    A,
    E,
    R,
    ROut = never,
    LE = never
  >(
    definition: DurableFunction.DurableFunction<P, SA, SE>,
    body: Body<P, SA, SE, A, E, R>,
    options: Options<ROut, LE> & WithLayer<StepServicesIn<R> | SchemaServices<P, SA, SE>, ROut, LE>
  ): LambdaHandler
} = <LE>(definition: DurableFunction.Any, body: AnyBody<any>, options: Options<unknown, LE> = {}): LambdaHandler => {
  const named = fromEnvironment()
  // Lambda lends a sandbox that starts more CPU than its invocations may get: what the first one needs is done before it,
  // and to load AWS's client takes longer than all else.
  const inLambda = process.env.AWS_LAMBDA_RUNTIME_API !== undefined
  const lambda = DurableExecutionClient.makeUnsafe(inLambda && options.client === undefined)
  // Built at the first invocation and kept: one set of services per sandbox. A build that failed is tried again.
  const scope = Scope.makeUnsafe()
  let listens = false
  let services: Context.Context<CheckpointService.CheckpointService> | undefined
  let building: Promise<Context.Context<CheckpointService.CheckpointService>> | undefined
  const build = () => {
    const built = Effect.runPromise(
      Effect.catchCause(buildServices(options, scope, lambda), (cause) => Effect.die(notBuilt(definition, cause)))
    )
    built.then(
      (built) => (services = built),
      () => (building = undefined)
    )
    // Lambda sends SIGTERM only to functions with an extension, and only there a sandbox ends in an orderly way
    if (inLambda && !listens) {
      listens = true
      process.once("SIGTERM", () => void Effect.runPromise(Scope.close(scope, Exit.void)))
    }
    return built
  }
  const handler: LambdaHandler = (event, context) => {
    const invoke = (services: Context.Context<CheckpointService.CheckpointService>) =>
      Effect.runPromiseWith(services)(
        invocation(definition, body as AnyBody<never>, options, event, context, named) // the layer has what it needs
      )
    if (services !== undefined) return invoke(services)
    const built = (building ??= build())
    const inBuild = inTime(
      Effect.promise(() => built),
      deadlineOf(context, options.deadlineMargin),
      `The layer of the handler of "${definition.name}" was still being built`,
      "What it waits for does not come: perhaps a network that the function's VPC does not reach. Give that a timeout of its own, or raise the function's timeout. The next invocation in this sandbox goes on waiting for it."
    )
    return Effect.runPromise(inBuild).then(invoke)
  }
  if (inLambda) rehearse()
  // the name of its definition, for who finds it among a file's exports: the dev server
  return Object.assign(handler, { "~effect-durable-lambda/DurableHandler": definition.name })
}
