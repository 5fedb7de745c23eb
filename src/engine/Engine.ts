/**
 * A local engine that behaves as AWS Lambda does for durable functions: it keeps the records, checks every
 * checkpoint as the service does, completes waits and callbacks, and invokes functions again and again
 * until their executions have ended.
 *
 * **Example** (A wait of three days, in milliseconds)
 *
 * ```ts
 * import { Engine } from "effect-durable-lambda/engine"
 * import { Effect } from "effect"
 *
 * declare const handler: (event: unknown, context: unknown) => Promise<unknown>
 *
 * const program = Effect.gen(function*() {
 *   const engine = yield* Engine.Engine
 *   yield* engine.register("order", Engine.fromHandler(handler))
 *   const arn = yield* engine.start({ functionName: "order:$LATEST", payload: "{}" })
 *   return yield* engine.await(arn) // gives { Status: "SUCCEEDED", Result: "…", … }
 * }).pipe(Effect.provide(Engine.layerSkipping))
 * ```
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as DurableExecutionClient from "../DurableExecutionClient.ts"
import type * as History from "../History.ts"
import type * as Protocol from "../Protocol.ts"
import * as calls from "./calls.ts"
import * as executions from "./executions.ts"
import * as Store from "./ExecutionStore.ts"
import * as functions from "./functions.ts"
import * as Live from "./live.ts"
import { defaultSettings, type RetryPolicy, type Settings } from "./settings.ts"
import * as starts from "./starts.ts"
import * as Timers from "./Timers.ts"
import * as tokens from "./tokens.ts"
import * as transition from "./transition.ts"
import * as validate from "./validate.ts"

export { type Change } from "./executions.ts"
export {
  errorObject,
  type Executor,
  exited,
  fromHandler,
  fromThrown,
  type FunctionDescription,
  type FunctionOptions,
  type InvocationContext,
  InvocationError,
  timedOut
} from "./functions.ts"
export { type RetryPolicy, type Settings } from "./settings.ts"
export { defaultLimits, type Limits, Rejection } from "./validate.ts"

// ---- shapes --------------------------------------------------------------------------------------

/** What starts an execution. */
export interface StartOptions {
  /** A name, a partial or a full ARN; qualified (`order:$LATEST`) unless `limits.qualifiedNames` is off. */
  readonly functionName: string
  /** The input as text, JSON as a rule. Absent = none. */
  readonly payload?: string | undefined
  /** 1 to 64 of `[a-zA-Z0-9-_]`, unique per function: a second start with it finds the first. Default: random. */
  readonly executionName?: string | undefined
  readonly tenantId?: string | undefined
  /** Takes the place of the function's ExecutionTimeout, in seconds. */
  readonly executionTimeoutSeconds?: number | undefined
  /** How it is invoked: each way has limits of its own. Absent = only the limits that both have. */
  readonly invocationType?: "RequestResponse" | "Event" | undefined
}

/** One execution as GetDurableExecution describes it. Timestamps are epoch milliseconds. */
export interface Description {
  readonly DurableExecutionArn: string
  readonly DurableExecutionName: string
  readonly FunctionArn: string
  readonly Version: string
  readonly Status: Protocol.ExecutionStatus
  readonly StartTimestamp: number
  readonly EndTimestamp?: number
  readonly InputPayload?: string
  readonly Result?: string
  readonly Error?: Protocol.ErrorObject
}

/** Settings of an engine; what is absent has the service's value. */
export interface Options {
  readonly limits?: Partial<validate.Limits> | undefined
  readonly retry?: Partial<RetryPolicy> | undefined
  /** How much of the state an event carries. Default 1,000 operations, about 5 MB. */
  readonly eventPage?: Partial<Settings["eventPage"]> | undefined
  /** How much a response carries. Default 1,000 operations, about 5 MB. */
  readonly responsePage?: Partial<Settings["responsePage"]> | undefined
  readonly region?: string | undefined
  readonly accountId?: string | undefined
}

/** The engine. Every call can be refused with the error that the service would answer. */
export class Engine extends Context.Service<
  Engine,
  {
    /**
     * Makes a durable function known; the last one of a name counts. Its executor runs with the services of
     * the place where it is registered, and the engine's time.
     */
    readonly register: <R>(
      name: string,
      executor: functions.Executor<R>,
      options?: functions.FunctionOptions
    ) => Effect.Effect<void, never, R>
    /** Makes a plain function known, for chained invokes: JSON in, JSON out. */
    readonly registerPlain: <R>(
      name: string,
      executor: functions.Executor<R>,
      options?: functions.FunctionOptions
    ) => Effect.Effect<void, never, R>
    /** Finds a function by its name, a partial or a full ARN, with or without a version or alias. */
    readonly find: (functionName: string) => Effect.Effect<functions.FunctionDescription, validate.Rejection>
    /** The names of the durable functions that are registered now. */
    readonly functions: Effect.Effect<ReadonlyArray<string>>
    /** Invokes a plain function once: JSON text in, JSON text out. */
    readonly invokePlain: (
      functionName: string,
      payload?: string,
      tenantId?: string
    ) => Effect.Effect<string, validate.Rejection | functions.InvocationError>
    /** Starts an execution, or finds the one of that name and payload. Gives its ARN. */
    readonly start: (options: StartOptions) => Effect.Effect<string, validate.Rejection>
    /** Waits until an execution has ended. */
    readonly await: (arn: string) => Effect.Effect<Description, validate.Rejection>
    /** GetDurableExecution. */
    readonly describe: (arn: string) => Effect.Effect<Description, validate.Rejection>
    /** GetDurableExecutionHistory, with data: all of it, or a page. */
    readonly history: (
      arn: string,
      page?: Store.EventPage
    ) => Effect.Effect<ReadonlyArray<History.Event>, validate.Rejection>
    /** All operations in the order of starting, the EXECUTION operation first. */
    readonly operations: (arn: string) => Effect.Effect<ReadonlyArray<Protocol.Operation>, validate.Rejection>
    /** ListDurableExecutionsByFunction, all or a page, newest first; without a filter of all functions. */
    readonly list: (
      filter?: Store.ListFilter,
      page?: Store.ListPage
    ) => Effect.Effect<ReadonlyArray<Description>, validate.Rejection>
    /** How many executions a listing has in all. */
    readonly count: (filter?: Store.ListFilter) => Effect.Effect<number, validate.Rejection>
    /** StopDurableExecution. Gives when it was stopped (epoch milliseconds); once it has ended, when that was. */
    readonly stop: (arn: string, error?: Protocol.ErrorObject) => Effect.Effect<number, validate.Rejection>
    /** SendDurableExecutionCallbackSuccess; the result is text and need not be JSON. */
    readonly succeedCallback: (callbackId: string, result?: string) => Effect.Effect<void, validate.Rejection>
    /** SendDurableExecutionCallbackFailure. */
    readonly failCallback: (callbackId: string, error?: Protocol.ErrorObject) => Effect.Effect<void, validate.Rejection>
    /** SendDurableExecutionCallbackHeartbeat. */
    readonly heartbeatCallback: (callbackId: string) => Effect.Effect<void, validate.Rejection>
    /** CheckpointDurableExecution, with the service's refusals. A lost response is a rejection of status 0. */
    readonly checkpoint: (
      request: Protocol.CheckpointRequest
    ) => Effect.Effect<Protocol.CheckpointResponse, validate.Rejection>
    /** GetDurableExecutionState, with the service's refusals. */
    readonly getExecutionState: (
      request: Protocol.ExecutionStateRequest
    ) => Effect.Effect<Protocol.ExecutionStateResponse, validate.Rejection>
    /** The two calls as an execution makes them, with classified errors. */
    readonly client: DurableExecutionClient.DurableExecutionClient["Service"]
    /** Calls `listener` with everything that is stored from now on, synchronously, before time goes on. */
    readonly subscribe: (listener: (change: executions.Change) => void) => Effect.Effect<void, never, Scope.Scope>
    /** While `effect` runs, skipped time does not jump: for tests that are about to answer a callback. */
    readonly hold: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** Invokes at once what waits for its next try after failed invocations of a function: it has been mended. */
    readonly retry: (functionName: string) => Effect.Effect<void>
    /** Ends the invocation that runs now, if any, as a runtime that exits does. */
    readonly crash: (arn: string) => Effect.Effect<void>
    /**
     * Carries on with the stored executions that are running: open invocations count as crashed
     * (`Runtime.ExitError`), overdue timers fire. Until then they are only on record. Functions may be registered before or after: an execution
     * is invoked once its function is there. One that cannot be read is logged and stands still. Gives how
     * many it carries on with.
     */
    readonly recover: Effect.Effect<number, Store.ExecutionStoreError>
    /** How this engine behaves: limits, retries, page sizes, region and account. */
    readonly settings: Settings
  }
>()("effect-durable-lambda/engine/Engine") {}

// ---- the service ---------------------------------------------------------------------------------

const toDescription = (place: functions.Place, execution: Store.ExecutionRecord): Description =>
  transition.compact<Description>({
    DurableExecutionArn: execution.arn,
    DurableExecutionName: execution.name,
    FunctionArn: functions.functionArn(place, execution.functionName, execution.version),
    Version: execution.version,
    Status: execution.status,
    StartTimestamp: execution.startedAt,
    EndTimestamp: execution.endedAt,
    InputPayload: execution.input,
    Result: execution.result,
    Error: execution.error
  })

const unknown = (arn: string) => validate.notFound(`Durable execution not found: ${arn}`)

const unavailable = (error: Store.ExecutionStoreError) =>
  new validate.Rejection({ errorName: "ServiceException", status: 500, reason: error.message })

const LATE = new validate.Rejection({
  errorName: "CallbackTimeoutException",
  status: 400,
  reason: "The callback is either timed out or already completed"
})

/** A rejection as the AWS client throws it: a lost response has no status. */
const thrown = ({ errorName, reason, status }: validate.Rejection) => ({
  name: errorName,
  message: reason,
  $metadata: status === calls.LOST ? {} : { httpStatusCode: status }
})

const make = Effect.fnUntraced(function* (options: Options) {
  const settings: Settings = {
    limits: { ...defaultSettings.limits, ...options.limits },
    retry: { ...defaultSettings.retry, ...options.retry },
    eventPage: { ...defaultSettings.eventPage, ...options.eventPage },
    responsePage: { ...defaultSettings.responsePage, ...options.responsePage },
    place: {
      region: options.region ?? defaultSettings.place.region,
      accountId: options.accountId ?? defaultSettings.place.accountId
    }
  }
  const carrier = yield* executions.make(settings)
  const { checkpoint, getExecutionState } = yield* calls.make(carrier, settings)
  const { lives, registry, store, timers, transact } = carrier
  const starting = Semaphore.makeUnsafe(1)
  const describeRecord = (execution: Store.ExecutionRecord) => toDescription(settings.place, execution)

  const registering =
    (durable: boolean) =>
    <R>(name: string, executor: functions.Executor<R>, functionOptions: functions.FunctionOptions = {}) =>
      Effect.contextWith((context: Context.Context<R>) =>
        Effect.sync(() => {
          registry.register({
            name,
            durable,
            executor: (event, invocation) =>
              Effect.suspend(() => executor(event, invocation)).pipe(
                // The engine's time, not that of the place where the function was registered.
                Effect.provideService(Clock.Clock, timers.clock),
                Effect.provideContext(context)
              ),
            options: functionOptions
          })
        })
      )

  // ---- starting

  const named = (functionName: string, name: string) => Effect.mapError(store.list({ functionName, name }), unavailable)

  const lookup = (functionName: string) =>
    Effect.suspend(() => {
      const reference = functions.parseReference(functionName)
      const registered = registry.known.get(reference.name)
      return registered === undefined
        ? Effect.fail(functions.notFound(settings.place, reference))
        : Effect.succeed({ reference, registered })
    })

  const find = (functionName: string) =>
    Effect.map(lookup(functionName), ({ reference, registered: { durable, name, options } }) =>
      transition.compact<functions.FunctionDescription>({
        name,
        qualifier: reference.qualifier,
        version: functions.resolveVersion(reference, options),
        durable,
        executionTimeoutSeconds: options.executionTimeoutSeconds
      })
    )

  const invokePlain = (functionName: string, payload?: string, tenantId?: string) =>
    Effect.flatMap(lookup(functionName), ({ reference, registered }) =>
      functions.callPlain(registered, payload, {
        requestId: carrier.newId(),
        version: functions.resolveVersion(reference, registered.options),
        place: settings.place,
        tenantId,
        now: timers.now,
        clock: timers.clock
      })
    )

  const start = Effect.fnUntraced(function* (request: StartOptions): Effect.fn.Return<string, validate.Rejection> {
    const { reference, registered } = yield* lookup(request.functionName)
    const { executionName, payload } = request
    const refused = starts.check(reference, registered, request, settings)
    if (refused !== undefined) return yield* Effect.fail(refused)
    const launch = (name: string) =>
      carrier.launch({
        registered,
        version: functions.resolveVersion(reference, registered.options),
        name,
        id: carrier.newId(),
        payload,
        tenantId: request.tenantId,
        executionTimeoutSeconds: request.executionTimeoutSeconds
      })
    if (executionName === undefined) return yield* launch(carrier.newId())
    // One at a time, or two starts of the same name would both find nobody.
    return yield* starting.withPermit(
      Effect.flatMap(named(registered.name, executionName), ([known]) => {
        if (known === undefined) return launch(executionName)
        if (known.input === payload) return Effect.succeed(known.arn)
        return Effect.fail(
          new validate.Rejection({
            errorName: "DurableExecutionAlreadyStartedException",
            status: 409,
            reason: `Execution already started: ${known.arn}`
          })
        )
      })
    )
  })

  // ---- reading

  const found = <A>(
    arn: string,
    read: Effect.Effect<Option.Option<A>, Store.ExecutionStoreError>
  ): Effect.Effect<A, validate.Rejection> =>
    Effect.flatMap(
      Effect.mapError(read, unavailable),
      Option.match({ onNone: () => Effect.fail(unknown(arn)), onSome: Effect.succeed })
    )

  const stored = (arn: string) => found(arn, store.execution(arn))

  const record = (arn: string): Effect.Effect<Store.ExecutionRecord, validate.Rejection> =>
    Effect.suspend(() => {
      const live = lives.get(arn)
      return live === undefined ? stored(arn) : Effect.succeed(live.execution)
    })

  const describe = (arn: string) => Effect.map(record(arn), describeRecord)

  const awaitEnd = (arn: string) =>
    Effect.suspend(() => {
      const live = lives.get(arn)
      return live === undefined ? describe(arn) : Effect.andThen(Deferred.await(live.ended), describe(arn))
    })

  const history = (arn: string, page?: Store.EventPage) =>
    Effect.andThen(record(arn), Effect.mapError(store.history(arn, page), unavailable))

  const operations = (arn: string) =>
    Effect.map(found(arn, store.load(arn)), (snapshot) => snapshot.operations.map(({ operation }) => operation))

  const list = (filter: Store.ListFilter = {}, page?: Store.ListPage) =>
    Effect.map(Effect.mapError(store.list(filter, page), unavailable), (records) => records.map(describeRecord))

  const count = (filter: Store.ListFilter = {}) => Effect.mapError(store.count(filter), unavailable)

  // ---- from outside

  const stop = (arn: string, error: Protocol.ErrorObject = {}) =>
    Effect.suspend(() => {
      const live = lives.get(arn)
      if (live === undefined) return Effect.map(stored(arn), ({ endedAt, startedAt }) => endedAt ?? startedAt)
      return transact(live, (draft) => {
        if (draft.execution.status === "RUNNING") Live.close(draft, { status: "STOPPED", error })
        return draft.execution.endedAt ?? draft.instant.stamp
      })
    })

  const callback = (
    callbackId: string,
    change: (before: Store.OperationRecord, instant: transition.Instant) => transition.Transition
  ): Effect.Effect<void, validate.Rejection> =>
    Effect.suspend(() => {
      const place = tokens.readCallbackId(callbackId)
      if (place === undefined) return Effect.fail(validate.invalid("Invalid callback id"))
      const live = lives.get(place.arn)
      if (live === undefined) {
        return Effect.andThen(
          Effect.mapError(stored(place.arn), (refused) =>
            refused.status === 404 ? validate.invalid("Invalid callback id") : refused
          ),
          Effect.fail(LATE)
        )
      }
      return transact(live, (draft) => {
        const before = Live.lookup(draft, place.operationId)
        if (before?.operation.Type !== "CALLBACK") return validate.invalid("Invalid callback id")
        if (draft.execution.status !== "RUNNING" || before.operation.Status !== "STARTED") return LATE
        Live.apply(draft, change(before, draft.instant))
        return undefined
      })
    })

  const succeedCallback = (callbackId: string, result?: string) =>
    validate.byteLength(result) > settings.limits.payloadBytes
      ? Effect.fail(
          validate.invalid(
            `CALLBACK output payload size must be less than or equal to ${settings.limits.payloadBytes} bytes.`
          )
        )
      : callback(callbackId, (before, instant) => transition.complete(before, { status: "SUCCEEDED", result }, instant))

  const failCallback = (callbackId: string, error: Protocol.ErrorObject = {}) =>
    validate.byteLength(JSON.stringify(error)) > settings.limits.errorBytes
      ? Effect.fail(validate.invalid(`Error object size must be less than ${settings.limits.errorBytes} bytes.`))
      : callback(callbackId, (before, instant) => transition.complete(before, { status: "FAILED", error }, instant))

  const heartbeatCallback = (callbackId: string) => callback(callbackId, transition.heartbeat)

  return Engine.of({
    register: registering(true),
    registerPlain: registering(false),
    find,
    functions: Effect.sync(() =>
      Array.from(registry.known.values()).flatMap(({ durable, name }) => (durable ? [name] : []))
    ),
    invokePlain,
    start,
    settings,
    await: awaitEnd,
    describe,
    history,
    operations,
    list,
    count,
    stop,
    succeedCallback,
    failCallback,
    heartbeatCallback,
    checkpoint,
    getExecutionState,
    client: {
      checkpoint: (request) =>
        Effect.mapError(checkpoint(request), (rejection) =>
          DurableExecutionClient.classify("CheckpointDurableExecution", thrown(rejection))
        ),
      getExecutionState: (request) =>
        Effect.mapError(getExecutionState(request), (rejection) =>
          DurableExecutionClient.classify("GetDurableExecutionState", thrown(rejection))
        )
    },
    subscribe: (listener) =>
      Effect.acquireRelease(
        Effect.sync(() => void carrier.listeners.add(listener)),
        () => Effect.sync(() => carrier.listeners.delete(listener))
      ),
    hold: (effect) =>
      Effect.acquireUseRelease(
        Effect.sync(timers.hold),
        () => effect,
        (release) => Effect.sync(release)
      ),
    retry: (functionName) => Effect.sync(() => carrier.retryNow(functions.parseReference(functionName).name)),
    crash: (arn) => Effect.sync(() => lives.get(arn)?.running?.crash(functions.exited())),
    recover: carrier.recover
  })
})

// ---- layers --------------------------------------------------------------------------------------

/** An engine with settings of your own, on a store and timers of your choice. */
export const layerWith = (options: Options): Layer.Layer<Engine, never, Store.ExecutionStore | Timers.Timers> =>
  Layer.effect(Engine, make(options))

/** An engine with the service's settings, on a store and timers of your choice. */
export const layer: Layer.Layer<Engine, never, Store.ExecutionStore | Timers.Timers> = layerWith({})

/**
 * As `layer`, and carries on at once with the executions that the store holds and that are running, each as soon
 * as its function is registered: for a store that outlives the process.
 */
export const layerRecovering: Layer.Layer<Engine, Store.ExecutionStoreError, Store.ExecutionStore | Timers.Timers> =
  Layer.effect(
    Engine,
    Effect.tap(make({}), (engine) => engine.recover)
  )

/**
 * In memory, on the `Clock`: `TestClock.adjust` fires what is due. As every layer it is built once per
 * program; `Layer.fresh` gives an engine of its own.
 */
export const layerMemory: Layer.Layer<Engine> = Layer.provide(layer, [Store.layerMemory, Timers.layer])

/** In memory, with time that jumps to the next timer as soon as nothing runs. */
export const layerSkipping: Layer.Layer<Engine> = Layer.provide(layer, [Store.layerMemory, Timers.layerSkipping])

/** The engine as the service that executions call: `DurableExecutionClient` for what runs in this process. */
export const layerClient: Layer.Layer<DurableExecutionClient.DurableExecutionClient, never, Engine> = Layer.effect(
  DurableExecutionClient.DurableExecutionClient,
  Effect.map(Engine, (engine) => engine.client)
)
