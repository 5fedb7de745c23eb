/**
 * The calls that a client makes, on AWS's client: what they answer is decoded, what they throw becomes the errors
 * of `DurableError`.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import {
  CallbackNotOpen,
  ClientFailed,
  ExecutionAlreadyStarted,
  ExecutionNotFound,
  FunctionNotFound,
  type SerdesFailed,
  StepFailed
} from "../DurableError.ts"
import { type CommandSender, loadAws } from "../DurableExecutionClient.ts"
import * as History from "../History.ts"
import * as Protocol from "../Protocol.ts"
import type { Aws } from "./aws.ts"
import * as failures from "./failure.ts"

// ---- shapes --------------------------------------------------------------------------------------

const Summary = /*#__PURE__*/ Schema.Struct({
  DurableExecutionArn: Schema.String,
  DurableExecutionName: Schema.String,
  FunctionArn: Schema.String,
  Status: Schema.String as Schema.Codec<Protocol.AnyExecutionStatus, string>,
  StartTimestamp: Protocol.Timestamp,
  EndTimestamp: Protocol.Timestamp
})

const text = /*#__PURE__*/ Schema.optionalKey(/*#__PURE__*/ Schema.UndefinedOr(Schema.String))

const Description = /*#__PURE__*/ Schema.Struct({
  ...Summary.fields,
  Version: text,
  InputPayload: text,
  Result: text,
  Error: Schema.optionalKey(Schema.UndefinedOr(Protocol.ErrorObject))
})

/** An execution as listings tell of it. Timestamps are epoch milliseconds. */
export interface ExecutionSummary extends Schema.Schema.Type<typeof Summary> {}

/** An execution as the service describes it. Timestamps are epoch milliseconds, payloads are text. */
export interface ExecutionDescription extends Schema.Schema.Type<typeof Description> {}

/** One page of something. */
export interface Page<A> {
  readonly items: ReadonlyArray<A>
  /** Where the next one begins; absent = this was the last one. */
  readonly marker?: string | undefined
}

/** What starts an execution. */
export interface StartRequest {
  readonly functionName: string
  readonly executionName: string
  readonly payload: string | undefined
  readonly tenantId: string | undefined
}

/** Which events, in which order. */
export interface HistoryRequest {
  readonly includeData: boolean
  readonly reverse: boolean
  readonly marker: string | undefined
}

/** Which executions of a function, in which order. Times are epoch milliseconds. */
export interface ListRequest {
  readonly functionName: string
  readonly executionName: string | undefined
  readonly status: Protocol.ExecutionStatus | undefined
  readonly startedAfter: number | undefined
  readonly startedBefore: number | undefined
  readonly reverse: boolean
  readonly marker: string | undefined
}

/** The calls. Payloads are text here. */
export interface Calls {
  /** `Invoke`, asynchronous. Gives the ARN of the execution, a new one or the one of that name. */
  readonly start: (
    request: StartRequest
  ) => Effect.Effect<string, FunctionNotFound | ExecutionAlreadyStarted | ClientFailed>
  /** `GetDurableExecution`. */
  readonly get: (executionArn: string) => Effect.Effect<ExecutionDescription, ExecutionNotFound | ClientFailed>
  /** One page of `GetDurableExecutionHistory`. */
  readonly history: (
    executionArn: string,
    request: HistoryRequest
  ) => Effect.Effect<Page<History.Event>, ExecutionNotFound | ClientFailed>
  /** One page of `ListDurableExecutionsByFunction`. */
  readonly list: (request: ListRequest) => Effect.Effect<Page<ExecutionSummary>, FunctionNotFound | ClientFailed>
  /** `StopDurableExecution`. Gives when it was stopped, epoch milliseconds. */
  readonly stop: (
    executionArn: string,
    error: Protocol.ErrorObject | undefined
  ) => Effect.Effect<number, ExecutionNotFound | ClientFailed>
  /** `SendDurableExecutionCallbackSuccess`. */
  readonly succeedCallback: (
    callbackId: string,
    result: string | undefined
  ) => Effect.Effect<void, CallbackNotOpen | ClientFailed>
  /** `SendDurableExecutionCallbackFailure`. */
  readonly failCallback: (
    callbackId: string,
    error: Protocol.ErrorObject
  ) => Effect.Effect<void, CallbackNotOpen | ClientFailed>
  /** `SendDurableExecutionCallbackHeartbeat`. */
  readonly heartbeatCallback: (callbackId: string) => Effect.Effect<void, CallbackNotOpen | ClientFailed>
}

// ---- failures ------------------------------------------------------------------------------------

const field = (value: unknown, key: string): unknown =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined

/** Of what AWS's client throws, and of what it gives. */
const statusOf = (response: unknown): { readonly status?: number } => {
  const status = field(field(response, "$metadata"), "httpStatusCode")
  return typeof status === "number" ? { status } : {}
}

const failed = (call: string, cause: unknown): ClientFailed => {
  const { status } = statusOf(cause)
  const name = field(cause, "name")
  const message = field(cause, "message")
  return new ClientFailed({
    call,
    errorName: typeof name === "string" ? name : "UnknownError",
    ...(status === undefined ? undefined : { status }),
    reason: typeof message === "string" ? message : String(cause),
    // no status: the network, of which the system tells which call failed, or a client that could not even send
    transient:
      status === undefined
        ? typeof field(cause, "syscall") === "string" || !CONFIGURATION.test(String(name))
        : status === 429 || status >= 500
  })
}

/** Names of errors that AWS's client throws before it has sent anything: no region, no credentials. */
const CONFIGURATION = /^(?:CredentialsProviderError|TokenProviderError|TypeError|RangeError|Error)$/

/** Gives an error of the service a class of its own. */
const named =
  <E>(errorName: string, make: (reason: string) => E) =>
  <A, E0>(effect: Effect.Effect<A, E0 | ClientFailed>): Effect.Effect<A, E | E0 | ClientFailed> =>
    Effect.mapError(effect, (error) =>
      error instanceof ClientFailed && error.errorName === errorName ? make(error.reason) : error
    )

const noFunction = (functionName: string) =>
  named("ResourceNotFoundException", (reason) => new FunctionNotFound({ functionName, reason }))

const noExecution = (executionArn: string) =>
  named("ResourceNotFoundException", (reason) => new ExecutionNotFound({ executionArn, reason }))

// ---- failures that a client reports --------------------------------------------------------------

/** A failure that no schema covers, as `CallbackFailed` shows it to the workflow. */
export interface CallbackFailure {
  readonly type: string
  readonly message: string
  readonly data?: Schema.Json | undefined
}

/** The error object of a failure of a callback: by its schema, or with a type and a message of the caller's. */
export const callbackFailure = (
  operation: string,
  schema: Schema.Constraint | undefined,
  error: unknown
): Effect.Effect<Protocol.ErrorObject, SerdesFailed, any> => {
  if (schema !== undefined && failures.covers(schema, error)) {
    return failures.encodeFailure(Cause.fail(error), { operation, schema, Wrapper: StepFailed })
  }
  const { data, message, type } = error as CallbackFailure // what the schema does not cover is one, by its type
  return Effect.succeed({
    ErrorType: type,
    ErrorMessage: message,
    ...(data === undefined ? undefined : { ErrorData: JSON.stringify(data) })
  })
}

// ---- the calls -----------------------------------------------------------------------------------

const readStarted = /*#__PURE__*/ Schema.decodeUnknownEffect(Schema.Struct({ DurableExecutionArn: text }))
const readDescription = /*#__PURE__*/ Schema.decodeUnknownEffect(Description)
const readHistory = /*#__PURE__*/ Schema.decodeUnknownEffect(
  Schema.Struct({ Events: Schema.Unknown, NextMarker: text })
)
const readList = /*#__PURE__*/ Schema.decodeUnknownEffect(
  Schema.Struct({
    DurableExecutions: Schema.optionalKey(Schema.UndefinedOr(Schema.Array(Summary))),
    NextMarker: text
  })
)
const readStopped = /*#__PURE__*/ Schema.decodeUnknownEffect(Schema.Struct({ StopTimestamp: Protocol.Timestamp }))

/** Items of a page that the service is asked for: as many as it gives. */
const PAGE_ITEMS = 1_000

const page = <A>(items: ReadonlyArray<A>, marker: string | undefined): Page<A> =>
  marker === undefined || marker === "" ? { items } : { items, marker }

const bytes = (text: string) => new TextEncoder().encode(text)

/** The calls on a client of AWS's, which is made when the first call is. */
export const make = (sender: (aws: Aws) => CommandSender): Calls => {
  let made: { readonly aws: Aws; readonly client: CommandSender } | undefined
  const loaded = (call: string) =>
    Effect.suspend(() =>
      made === undefined
        ? Effect.flatMap(
            Effect.mapError(
              loadAws,
              ({ errorName, reason }) => new ClientFailed({ call, errorName, reason, transient: false })
            ),
            (aws) =>
              Effect.try({ try: () => (made = { aws, client: sender(aws) }), catch: (cause) => failed(call, cause) })
          )
        : Effect.succeed(made)
    )

  const send = <A>(
    call: string,
    command: (aws: Aws) => unknown,
    read: (response: unknown) => Effect.Effect<A, Schema.SchemaError | ClientFailed>
  ): Effect.Effect<A, ClientFailed> =>
    Effect.flatMap(loaded(call), ({ aws, client }) =>
      Effect.tryPromise({
        // nobody waits any more: the request, and what would be tried again, need not go on
        try: (abortSignal) => client.send(command(aws), { abortSignal }),
        catch: (cause) => failed(call, cause)
      })
    ).pipe(
      Effect.flatMap((response) =>
        Effect.mapError(read(response), (error) =>
          error instanceof ClientFailed
            ? error
            : new ClientFailed({
                call,
                errorName: "UnreadableResponse",
                ...statusOf(response),
                reason: error.message,
                transient: false
              })
        )
      )
    )

  const answer = (callbackId: string, call: string, command: (aws: Aws) => unknown) =>
    send(call, command, () => Effect.void).pipe(
      named("CallbackTimeoutException", (reason) => new CallbackNotOpen({ callbackId, reason })),
      named("ResourceNotFoundException", (reason) => new CallbackNotOpen({ callbackId, reason }))
    )

  return {
    start: ({ executionName, functionName, payload, tenantId }) =>
      send(
        "Invoke",
        (aws) =>
          new aws.InvokeCommand({
            FunctionName: functionName,
            InvocationType: "Event",
            DurableExecutionName: executionName,
            TenantId: tenantId,
            ...(payload === undefined ? undefined : { Payload: bytes(payload) })
          }),
        (response) =>
          Effect.flatMap(readStarted(response), ({ DurableExecutionArn: arn }) =>
            arn === undefined
              ? Effect.fail(
                  new ClientFailed({
                    call: "Invoke",
                    errorName: "NotDurable",
                    ...statusOf(response),
                    reason: `"${functionName}" was invoked, but it is not a durable function: the response names no execution. Durable execution is switched on when a function is created (DurableConfig)`,
                    transient: false
                  })
                )
              : Effect.succeed(arn)
          )
      ).pipe(
        noFunction(functionName),
        named(
          "DurableExecutionAlreadyStartedException",
          (reason) => new ExecutionAlreadyStarted({ functionName, executionName, reason })
        )
      ),
    get: (executionArn) =>
      send(
        "GetDurableExecution",
        (aws) => new aws.GetDurableExecutionCommand({ DurableExecutionArn: executionArn }),
        readDescription
      ).pipe(noExecution(executionArn)),
    history: (executionArn, { includeData, marker, reverse }) =>
      send(
        "GetDurableExecutionHistory",
        (aws) =>
          new aws.GetDurableExecutionHistoryCommand({
            DurableExecutionArn: executionArn,
            IncludeExecutionData: includeData,
            ReverseOrder: reverse,
            MaxItems: PAGE_ITEMS,
            Marker: marker
          }),
        (response) =>
          Effect.flatMap(readHistory(response), ({ Events, NextMarker }) =>
            Effect.map(History.decodeEvents(Events), (events) => page(events, NextMarker))
          )
      ).pipe(noExecution(executionArn)),
    list: ({ executionName, functionName, marker, reverse, startedAfter, startedBefore, status }) =>
      send(
        "ListDurableExecutionsByFunction",
        (aws) =>
          new aws.ListDurableExecutionsByFunctionCommand({
            FunctionName: functionName,
            ReverseOrder: reverse,
            MaxItems: PAGE_ITEMS,
            DurableExecutionName: executionName,
            Statuses: status === undefined ? undefined : [status],
            StartedAfter: startedAfter === undefined ? undefined : new Date(startedAfter),
            StartedBefore: startedBefore === undefined ? undefined : new Date(startedBefore),
            Marker: marker
          }),
        readList
      ).pipe(
        Effect.map(({ DurableExecutions, NextMarker }) => page(DurableExecutions ?? [], NextMarker)),
        noFunction(functionName)
      ),
    stop: (executionArn, error) =>
      send(
        "StopDurableExecution",
        (aws) =>
          new aws.StopDurableExecutionCommand({
            DurableExecutionArn: executionArn,
            Error: error as any // AWS's arrays are not readonly
          }),
        readStopped
      ).pipe(
        Effect.map(({ StopTimestamp }) => StopTimestamp ?? 0),
        noExecution(executionArn)
      ),
    succeedCallback: (callbackId, result) =>
      answer(
        callbackId,
        "SendDurableExecutionCallbackSuccess",
        (aws) =>
          new aws.SendDurableExecutionCallbackSuccessCommand({
            CallbackId: callbackId,
            ...(result === undefined ? undefined : { Result: bytes(result) })
          })
      ),
    failCallback: (callbackId, error) =>
      answer(
        callbackId,
        "SendDurableExecutionCallbackFailure",
        // any: AWS's arrays are not readonly
        (aws) => new aws.SendDurableExecutionCallbackFailureCommand({ CallbackId: callbackId, Error: error as any })
      ),
    heartbeatCallback: (callbackId) =>
      answer(
        callbackId,
        "SendDurableExecutionCallbackHeartbeat",
        (aws) => new aws.SendDurableExecutionCallbackHeartbeatCommand({ CallbackId: callbackId })
      )
  }
}
