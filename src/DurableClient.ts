/**
 * Starts executions and talks to them, from anywhere: a web server, a script, another function. What goes in and
 * comes out has the types of the function's definition.
 *
 * **Example** (Starting an order and waiting for its receipt)
 *
 * ```ts
 * import { DurableClient, DurableFunction } from "effect-durable-lambda"
 * import { Effect, Schema } from "effect"
 *
 * class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { reason: Schema.String }) {}
 *
 * const ProcessOrder = DurableFunction.make("process-order", {
 *   payload: Schema.Struct({ id: Schema.String }),
 *   success: Schema.Struct({ chargeId: Schema.String }),
 *   error: CardDeclined
 * })
 *
 * const program = DurableClient.run(ProcessOrder, "process-order:live", { id: "7" }, { name: "order-7" }).pipe(
 *   Effect.map(({ chargeId }) => chargeId),
 *   Effect.catchTag("CardDeclined", ({ reason }) => Effect.succeed(`declined: ${reason}`)),
 *   Effect.provide(DurableClient.layer)
 * )
 * ```
 */
import * as Context from "effect/Context"
import type * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as DurableError from "./DurableError.ts"
import { clientConfig, type CommandSender } from "./DurableExecutionClient.ts"
import type * as DurableFunction from "./DurableFunction.ts"
import type * as History from "./History.ts"
import * as calls from "./internal/clientCalls.ts"
import { awaitEnd, readEnd } from "./internal/executionEnd.ts"
import type * as Protocol from "./Protocol.ts"
import { encodeInput, payloadCodec } from "./Serdes.ts"
import type { CodecServices, MaybeSchema, TypeOf } from "./StepServices.ts"

export type {
  CallbackFailure,
  Calls,
  ExecutionDescription,
  ExecutionSummary,
  HistoryRequest,
  ListRequest,
  Page,
  StartRequest
} from "./internal/clientCalls.ts"

// ---- the service ---------------------------------------------------------------------------------

/**
 * The calls of AWS's API that a client makes, decoded and with typed errors; payloads are text. The functions of
 * this module add the types of definitions. Provide `layer`, `layerClient`, `layerEndpoint`, or a fake of your own.
 */
export class DurableClient extends Context.Service<DurableClient, calls.Calls>()(
  "effect-durable-lambda/DurableClient"
) {}

/** AWS Lambda: endpoint, region and credentials from the environment. The client is loaded by the first call. */
export const layer: Layer.Layer<DurableClient> = /*#__PURE__*/ Layer.sync(DurableClient, () =>
  calls.make((aws) => new aws.LambdaClient(clientConfig))
)

/** AWS Lambda, through a `LambdaClient` of your own (other region, credentials, middleware). */
export const layerClient = (client: CommandSender): Layer.Layer<DurableClient> =>
  Layer.sync(DurableClient, () => calls.make(() => client))

/** What `layerEndpoint` needs to know. */
export interface EndpointOptions {
  /** `http://127.0.0.1:9014`, the URL of the local server. */
  readonly endpoint: string
  /** Default `us-east-1`, as the local engine's. */
  readonly region?: string | undefined
}

/** The local engine, or any other emulator of Lambda, by its URL. Needs no credentials. */
export const layerEndpoint = ({ endpoint, region = "us-east-1" }: EndpointOptions): Layer.Layer<DurableClient> =>
  Layer.sync(DurableClient, () =>
    calls.make(
      (aws) =>
        new aws.LambdaClient({
          ...clientConfig,
          endpoint,
          region,
          credentials: { accessKeyId: "local", secretAccessKey: "local" }
        })
    )
  )

// ---- starting ------------------------------------------------------------------------------------

/** An execution, with the schemas of what it gives. Plain data: keep its ARN, and make it again with `execution`. */
export interface Execution<out SA extends Schema.Constraint, out SE extends Schema.Constraint> {
  readonly executionArn: string
  readonly definition: {
    readonly name: string
    readonly success: SA
    readonly error: SE
  }
}

/** An execution, or its ARN. */
export type ExecutionRef = string | { readonly executionArn: string }

const arnOf = (execution: ExecutionRef): string => (typeof execution === "string" ? execution : execution.executionArn)

/** Options of `start`. */
export interface StartOptions {
  /**
   * Name of the execution, 1 to 64 of `[a-zA-Z0-9-_]`: as long as AWS remembers it, a second start with it finds the
   * first execution. Name what the execution is for, such as the id of an order. Default: random.
   */
  readonly name?: string | undefined
  /** The tenant, for functions that isolate them. */
  readonly tenantId?: string | undefined
}

/** What starting an execution can fail with. */
export type StartError =
  | DurableError.FunctionNotFound
  | DurableError.ExecutionAlreadyStarted
  | DurableError.InvalidPayload
  /** A service that the payload's schema uses did not do its work. */
  | DurableError.SerdesFailed
  | DurableError.ClientFailed

const call = <A, E>(f: (client: calls.Calls) => Effect.Effect<A, E>): Effect.Effect<A, E, DurableClient> =>
  Effect.flatMap(DurableClient, f)

/** 128 random bits. A name of ours makes the retries of AWS's client find the execution that a lost response started. */
const randomName: Effect.Effect<string> = /*#__PURE__*/ Effect.map(
  /*#__PURE__*/ Effect.all(Array.from({ length: 4 }, () => Random.nextIntBetween(0, 2 ** 32))),
  (words) => words.map((word) => word.toString(16).padStart(8, "0")).join("")
)

/**
 * Starts an execution and does not wait for it.
 *
 * **Details**
 *
 * The function is invoked asynchronously (`Invoke` with type `Event`), so it may run for up to a year; the payload
 * can have 1 MB. A class schema takes what its constructor takes. With a `name` starting is idempotent: the same
 * payload gives the same execution, running or ended; another one fails with `ExecutionAlreadyStarted`.
 *
 * Fails with `InvalidPayload` before anything is sent, `FunctionNotFound`, `ExecutionAlreadyStarted`, or
 * `ClientFailed` (no permission, network, a name without version or alias). Needs `lambda:InvokeFunction` on the
 * qualified function.
 *
 * **Example** (Starting now, asking later)
 *
 * ```ts
 * import { DurableClient, DurableFunction } from "effect-durable-lambda"
 * import { Effect, Schema } from "effect"
 *
 * const Import = DurableFunction.make("import", { payload: Schema.String, success: Schema.Int })
 *
 * const start = DurableClient.start(Import, "import:live", "s3://bucket/key").pipe(
 *   Effect.map(({ executionArn }) => executionArn)
 * )
 * const ask = (executionArn: string) => DurableClient.result(DurableClient.execution(Import, executionArn))
 * ```
 */
export const start = <
  P extends Schema.Constraint,
  SA extends Schema.Constraint,
  SE extends Schema.Constraint,
  const F extends string
>(
  definition: DurableFunction.DurableFunction<P, SA, SE>,
  functionName: DurableFunction.Qualified<F>,
  payload: P["~type.make.in"],
  options: StartOptions = {}
): Effect.Effect<Execution<SA, SE>, StartError, DurableClient | CodecServices<P>> =>
  Effect.gen(function* () {
    const text = yield* Effect.mapError(encodeInput(definition.payload, payload), (fault) =>
      typeof fault === "string"
        ? new DurableError.InvalidPayload({
            message: `The payload for "${definition.name}" is not what its definition declares: ${fault}`
          })
        : DurableError.serdesFailed(`The payload for "${definition.name}"`, "encode")(fault)
    )
    const executionName = options.name ?? (yield* randomName)
    const arn = yield* call((client) =>
      client.start({ functionName, executionName, payload: text, tenantId: options.tenantId })
    )
    return execution(definition, arn)
  })

/** An execution that was started before, by its ARN. Asks nobody whether it exists. */
export const execution = <SA extends Schema.Constraint, SE extends Schema.Constraint>(
  definition: { readonly name: string; readonly success: SA; readonly error: SE },
  executionArn: string
): Execution<SA, SE> => ({ executionArn, definition })

// ---- results -------------------------------------------------------------------------------------

/** Options of `result` and `run`. */
export interface ResultOptions {
  /**
   * When to ask again. Default: after 200 ms, then always half as long again, up to every 5 seconds, without end.
   * When it ends before the execution does, waiting fails with `ExecutionStillRunning`.
   */
  readonly schedule?: Schedule.Schedule<unknown> | undefined
}

/** What waiting for an execution can fail with, besides the definition's own errors. */
export type ResultError =
  | DurableError.Operation
  | DurableError.ExecutionFailed
  | DurableError.ExecutionTimedOut
  | DurableError.ExecutionStopped
  | DurableError.ExecutionStillRunning
  | DurableError.ExecutionNotFound
  | DurableError.SerdesFailed
  | DurableError.ClientFailed

/** When a client asks again, unless told otherwise. AWS allows 30 such calls a second, in all. */
export const defaultSchedule: Schedule.Schedule<unknown> = /*#__PURE__*/ Schedule.min([
  /*#__PURE__*/ Schedule.exponential("200 millis", 1.5),
  /*#__PURE__*/ Schedule.spaced("5 seconds")
])

/**
 * Waits for the end of an execution and gives its result.
 *
 * **Details**
 *
 * Asks with `GetDurableExecution` by the schedule; throttling and network failures are waited out, up to ten in a
 * row. To wait for a limited time use `Effect.timeout`; interrupting the wait does nothing to the execution.
 *
 * Fails with the definition's own errors, with failures of operations (`StepFailed` and the like), with
 * `ExecutionFailed` for everything else that it failed with (a defect, a fault of the program), with
 * `ExecutionTimedOut` or `ExecutionStopped`; with `SerdesFailed` when the result is not what the definition
 * declares, as that of another version may be. Needs `lambda:GetDurableExecution`.
 *
 * **Example** (Waiting for a minute)
 *
 * ```ts
 * import { DurableClient, DurableFunction } from "effect-durable-lambda"
 * import { Effect, Schema } from "effect"
 *
 * const Import = DurableFunction.make("import", { payload: Schema.String, success: Schema.Int })
 *
 * const program = DurableClient.start(Import, "import:live", "s3://bucket/key").pipe(
 *   Effect.flatMap((execution) => Effect.timeoutOption(DurableClient.result(execution), "1 minute"))
 * )
 * ```
 */
export const result = <SA extends Schema.Constraint, SE extends Schema.Constraint>(
  execution: Execution<SA, SE>,
  options: ResultOptions = {}
): Effect.Effect<SA["Type"], SE["Type"] | ResultError, DurableClient | CodecServices<SA> | CodecServices<SE>> =>
  Effect.flatMap(awaitEnd(get(execution), execution.executionArn, options.schedule ?? defaultSchedule), (end) =>
    readEnd(execution.definition, end)
  ) as any // typed by the definition

/** Starts an execution and waits for its end: `start`, then `result`. */
export const run = <
  P extends Schema.Constraint,
  SA extends Schema.Constraint,
  SE extends Schema.Constraint,
  const F extends string
>(
  definition: DurableFunction.DurableFunction<P, SA, SE>,
  functionName: DurableFunction.Qualified<F>,
  payload: P["~type.make.in"],
  options: StartOptions & ResultOptions = {}
): Effect.Effect<
  SA["Type"],
  SE["Type"] | StartError | ResultError,
  DurableClient | CodecServices<P> | CodecServices<SA> | CodecServices<SE>
> => Effect.flatMap(start(definition, functionName, payload, options), (started) => result(started, options))

// ---- reading, stopping ---------------------------------------------------------------------------

/** Describes an execution: status, times, input, result, error, as the service has them. */
export const get = (
  execution: ExecutionRef
): Effect.Effect<
  calls.ExecutionDescription,
  DurableError.ExecutionNotFound | DurableError.ClientFailed,
  DurableClient
> => call((client) => client.get(arnOf(execution)))

const pages = <A, E>(
  page: (client: calls.Calls, marker: string | undefined) => Effect.Effect<calls.Page<A>, E>
): Stream.Stream<A, E, DurableClient> =>
  Stream.paginate(undefined as string | undefined, (marker) =>
    Effect.map(
      call((client) => page(client, marker)),
      ({ items, marker: next }) => [items, next === undefined ? Option.none() : Option.some(next)] as const
    )
  )

/** Options of `history`. */
export interface HistoryOptions {
  /** With payloads and errors. Default: true. */
  readonly includeData?: boolean | undefined
  /** The last event first. Default: false. */
  readonly reverse?: boolean | undefined
}

/**
 * Everything that has happened in an execution so far, also events of types that AWS has added since (`History.isKnown`).
 * Pages are read as the stream is; AWS allows 15 pages a second, in all.
 *
 * **Example** (What failed last)
 *
 * ```ts
 * import { DurableClient } from "effect-durable-lambda"
 * import { Stream } from "effect"
 *
 * const lastFailure = (executionArn: string) =>
 *   DurableClient.history(executionArn, { reverse: true }).pipe(
 *     Stream.filter((event) => event.EventType === "StepFailed"),
 *     Stream.runHead
 *   )
 * ```
 */
export const history = (
  execution: ExecutionRef,
  { includeData = true, reverse = false }: HistoryOptions = {}
): Stream.Stream<History.Event, DurableError.ExecutionNotFound | DurableError.ClientFailed, DurableClient> =>
  pages((client, marker) => client.history(arnOf(execution), { includeData, reverse, marker }))

/** Options of `list`; what is absent matches all. */
export interface ListOptions {
  /** The execution's name. */
  readonly name?: string | undefined
  readonly status?: Protocol.ExecutionStatus | undefined
  readonly startedAfter?: DateTime.DateTime | undefined
  readonly startedBefore?: DateTime.DateTime | undefined
  /** The oldest first. Default: the newest first. */
  readonly reverse?: boolean | undefined
}

/**
 * The executions of a function, or of one version of it, as far as AWS remembers them (by default for 14 days
 * after their end).
 */
export const list = (
  functionName: string,
  options: ListOptions = {}
): Stream.Stream<calls.ExecutionSummary, DurableError.FunctionNotFound | DurableError.ClientFailed, DurableClient> =>
  pages((client, marker) =>
    client.list({
      functionName,
      executionName: options.name,
      status: options.status,
      startedAfter: options.startedAfter?.epochMilliseconds,
      startedBefore: options.startedBefore?.epochMilliseconds,
      reverse: options.reverse ?? false,
      marker
    })
  )

/**
 * Stops an execution. No code of it runs any more, its cleanup neither. Gives when it was stopped, or when it had
 * ended before (epoch milliseconds).
 */
export const stop = (
  execution: ExecutionRef,
  /** Why, as whoever waits for the execution will read it. */
  error?: Protocol.ErrorObject
): Effect.Effect<number, DurableError.ExecutionNotFound | DurableError.ClientFailed, DurableClient> =>
  call((client) => client.stop(arnOf(execution), error))

// ---- callbacks -----------------------------------------------------------------------------------

/** A callback that someone waits for, with the schemas of its answers. */
export interface Callback<out SA extends MaybeSchema, out SE extends MaybeSchema> {
  readonly callbackId: string
  readonly success: SA
  readonly error: SE
}

/** What answering a callback can fail with. */
export type CallbackError = DurableError.CallbackNotOpen | DurableError.SerdesFailed | DurableError.ClientFailed

/**
 * A callback by its id, with the schemas that the workflow waits with: give both the same options. Answers are
 * checked before they are sent.
 *
 * **Example** (An approval, waited for and given)
 *
 * ```ts
 * import { Durable, DurableClient } from "effect-durable-lambda"
 * import { Effect, Schema } from "effect"
 *
 * class Refused extends Schema.TaggedError<Refused>()("Refused", { why: Schema.String }) {}
 *
 * const Approval = { success: Schema.Struct({ approvedBy: Schema.String }), error: Refused }
 *
 * declare const askForApproval: (callbackId: string) => Effect.Effect<void>
 *
 * // in the workflow
 * const wait = Durable.waitForCallback("approval", askForApproval, { ...Approval, timeout: "3 days" })
 *
 * // in the web server
 * const approve = (callbackId: string, user: string) =>
 *   DurableClient.succeed(DurableClient.callback(callbackId, Approval), { approvedBy: user })
 * const refuse = (callbackId: string, why: string) =>
 *   DurableClient.fail(DurableClient.callback(callbackId, Approval), new Refused({ why }))
 * ```
 */
export const callback = <SA extends MaybeSchema = undefined, SE extends MaybeSchema = undefined>(
  callbackId: string,
  options: { readonly success?: SA; readonly error?: SE } = {}
): Callback<SA, SE> => ({
  callbackId,
  success: options.success as SA, // absent = the default of SA
  error: options.error as SE // absent = the default of SE
})

const described = ({ callbackId }: Callback<MaybeSchema, MaybeSchema>) =>
  `The answer to callback ${callbackId.length > 40 ? `${callbackId.slice(0, 40)}…` : callbackId}`

/**
 * Completes a callback. Without a `success` schema the answer is text, which need not be JSON, or nothing.
 *
 * Fails with `SerdesFailed` before anything is sent, and with `CallbackNotOpen` when it was answered before, has
 * timed out or its execution has ended. Needs `lambda:SendDurableExecutionCallbackSuccess`.
 */
export const succeed = <SA extends MaybeSchema, SE extends MaybeSchema>(
  callback: Callback<SA, SE>,
  ...[value]: SA extends Schema.Constraint ? [value: SA["Type"]] : [text?: string]
): Effect.Effect<void, CallbackError, DurableClient | CodecServices<SA>> =>
  Effect.flatMap(
    callback.success === undefined
      ? Effect.succeed(value as string | undefined)
      : Effect.mapError(
          payloadCodec(callback.success).encode(value),
          DurableError.serdesFailed(described(callback), "encode")
        ),
    (text) => call((client) => client.succeedCallback(callback.callbackId, text))
  )

/**
 * Reports that what a callback waits for has failed: with an error of its `error` schema, which reaches the
 * workflow as it is, or with a type and a message of your own, which reach it as `CallbackFailed`.
 *
 * Fails as `succeed`. Needs `lambda:SendDurableExecutionCallbackFailure`.
 */
export const fail = <SA extends MaybeSchema, SE extends MaybeSchema>(
  callback: Callback<SA, SE>,
  error: TypeOf<SE, never> | calls.CallbackFailure
): Effect.Effect<void, CallbackError, DurableClient | CodecServices<SE>> =>
  Effect.flatMap(
    Effect.suspend(() => calls.callbackFailure(described(callback), callback.error, error)),
    (written) => call((client) => client.failCallback(callback.callbackId, written))
  )

/** Tells the service that whoever is to answer is still at work: its heartbeat timeout begins anew. */
export const heartbeat = (
  callback: Callback<MaybeSchema, MaybeSchema>
): Effect.Effect<void, DurableError.CallbackNotOpen | DurableError.ClientFailed, DurableClient> =>
  call((client) => client.heartbeatCallback(callback.callbackId))

/**
 * Sends heartbeats by a schedule, now and until the scope closes. Gives the fiber that sends them: it ends when
 * the schedule does, and fails when the callback is not open any more. Throttling and network failures do not stop it.
 *
 * **Example** (Working for as long as somebody waits for it)
 *
 * ```ts
 * import { DurableClient } from "effect-durable-lambda"
 * import { Effect, Fiber, Schedule } from "effect"
 *
 * declare const transcode: (file: string) => Effect.Effect<string>
 *
 * const work = Effect.fnUntraced(function*(callbackId: string, file: string) {
 *   const callback = DurableClient.callback(callbackId)
 *   const beating = yield* DurableClient.heartbeats(callback, Schedule.spaced("30 seconds"))
 *   const url = yield* Effect.raceFirst(transcode(file), Effect.andThen(Fiber.join(beating), Effect.never))
 *   yield* DurableClient.succeed(callback, url)
 * }, Effect.scoped)
 * ```
 */
export const heartbeats = (
  callback: Callback<MaybeSchema, MaybeSchema>,
  schedule: Schedule.Schedule<unknown>
): Effect.Effect<
  Fiber.Fiber<void, DurableError.CallbackNotOpen | DurableError.ClientFailed>,
  never,
  DurableClient | Scope.Scope
> =>
  heartbeat(callback).pipe(
    Effect.catchTag("ClientFailed", (error) => (error.transient ? Effect.void : Effect.fail(error))),
    Effect.repeat(schedule),
    Effect.asVoid,
    Effect.forkScoped({ startImmediately: true })
  )
