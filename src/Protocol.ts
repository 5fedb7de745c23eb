/**
 * The wire of AWS Lambda durable functions: every shape an invocation receives, sends or answers, and
 * the limits that the service sets. Nothing in this module acts; both towers (the SDK and the local
 * engine) stand on it.
 *
 * Field names are AWS's. Timestamps are epoch milliseconds once decoded, whatever format they came in.
 */
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { OPERATION_STATUSES, OPERATION_TYPES, parseTimestamp } from "./internal/wire.ts"

export { isTerminal, Limits, parseTimestamp } from "./internal/wire.ts"

// ---- timestamps --------------------------------------------------------------------------------

/** A timestamp key: an unreadable value counts as absent, since no operation may be lost for it. */
export const Timestamp = Schema.optionalKey(Schema.Unknown).pipe(
  Schema.decodeTo(Schema.optionalKey(Schema.Number), {
    decode: SchemaGetter.transformOptional((input: Option.Option<unknown>) =>
      Option.flatMap(input, (value) => Option.fromUndefinedOr(parseTimestamp(value)))
    ),
    encode: SchemaGetter.transformOptional((millis: Option.Option<number>): Option.Option<unknown> => millis)
  })
)

/** A key that may be missing: absent, `null` and `undefined` are the same thing on this wire. */
const optional = <S extends Schema.Constraint>(schema: S) =>
  Schema.optional(Schema.NullOr(schema)).pipe(
    Schema.decodeTo(Schema.optionalKey(Schema.toType(schema)), {
      decode: SchemaGetter.transformOptional((input: Option.Option<S["Type"] | null | undefined>) =>
        Option.filter(input, (value): value is S["Type"] => value !== null && value !== undefined)
      ),
      encode: SchemaGetter.transformOptional(
        (value: Option.Option<S["Type"]>): Option.Option<S["Type"] | null | undefined> => value
      )
    })
  )

// ---- vocabulary --------------------------------------------------------------------------------

/** What kind of thing an operation is. */
export const OperationType = Schema.Literals(OPERATION_TYPES)
export type OperationType = typeof OperationType.Type

/** What an update does to its operation. */
export const OperationAction = Schema.Literals(["START", "SUCCEED", "FAIL", "RETRY", "CANCEL"])
export type OperationAction = typeof OperationAction.Type

/** Where an operation stands. */
export const OperationStatus = Schema.Literals(OPERATION_STATUSES)
export type OperationStatus = typeof OperationStatus.Type

/** Where an execution stands. */
export const ExecutionStatus = Schema.Literals(["RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED"])
export type ExecutionStatus = typeof ExecutionStatus.Type

/** Where an execution stands, as the service says it: a status that AWS has added since is any other text. */
export type AnyExecutionStatus = ExecutionStatus | (string & {}) // `string` alone would swallow the others

/** An error as the wire carries it. `ErrorType` is a tag, `ErrorData` the encoded error. */
export const ErrorObject = Schema.Struct({
  ErrorMessage: optional(Schema.String),
  ErrorType: optional(Schema.String),
  ErrorData: optional(Schema.String),
  StackTrace: optional(Schema.Array(Schema.String))
})
export interface ErrorObject extends Schema.Schema.Type<typeof ErrorObject> {}

// ---- operations --------------------------------------------------------------------------------

const outcome = { Result: optional(Schema.String), Error: optional(ErrorObject) }

/** The record of one operation, as the service keeps it. */
export const Operation = Schema.Struct({
  Id: Schema.String,
  ParentId: optional(Schema.String),
  Name: optional(Schema.String),
  Type: OperationType,
  SubType: optional(Schema.String),
  Status: OperationStatus,
  StartTimestamp: Timestamp,
  EndTimestamp: Timestamp,
  ExecutionDetails: optional(Schema.Struct({ InputPayload: optional(Schema.String) })),
  ContextDetails: optional(Schema.Struct({ ...outcome, ReplayChildren: optional(Schema.Boolean) })),
  StepDetails: optional(
    Schema.Struct({ ...outcome, Attempt: optional(Schema.Number), NextAttemptTimestamp: Timestamp })
  ),
  WaitDetails: optional(Schema.Struct({ ScheduledEndTimestamp: Timestamp })),
  CallbackDetails: optional(Schema.Struct({ ...outcome, CallbackId: optional(Schema.String) })),
  ChainedInvokeDetails: optional(Schema.Struct(outcome))
})
export interface Operation extends Schema.Schema.Type<typeof Operation> {}

// ---- updates -----------------------------------------------------------------------------------

/** One change of one operation, as a checkpoint carries it. Absent fields are left out of the JSON. */
export const OperationUpdate = Schema.Struct({
  Id: Schema.String,
  ParentId: optional(Schema.String),
  Name: optional(Schema.String),
  Type: OperationType,
  SubType: optional(Schema.String),
  Action: OperationAction,
  Payload: optional(Schema.String),
  Error: optional(ErrorObject),
  ContextOptions: optional(Schema.Struct({ ReplayChildren: optional(Schema.Boolean) })),
  StepOptions: optional(Schema.Struct({ NextAttemptDelaySeconds: optional(Schema.Number) })),
  WaitOptions: optional(Schema.Struct({ WaitSeconds: optional(Schema.Number) })),
  CallbackOptions: optional(
    Schema.Struct({ TimeoutSeconds: optional(Schema.Number), HeartbeatTimeoutSeconds: optional(Schema.Number) })
  ),
  ChainedInvokeOptions: optional(
    Schema.Struct({
      FunctionName: Schema.String,
      TenantId: optional(Schema.String),
      XAmznTraceId: optional(Schema.String)
    })
  )
})
export interface OperationUpdate extends Schema.Schema.Type<typeof OperationUpdate> {}

// ---- the two calls an execution makes ------------------------------------------------------------

/** `CheckpointDurableExecution`. No updates = a poll. */
export interface CheckpointRequest {
  readonly DurableExecutionArn: string
  /** Single use: every response carries the next one. */
  readonly CheckpointToken: string
  readonly Updates: ReadonlyArray<OperationUpdate>
  /** Idempotency key of this request: sent again with the same key, it is answered with the same response. */
  readonly ClientToken: string
}

/** The service's view of what changed since this invocation last heard of it. */
export const CheckpointResponse = Schema.Struct({
  /** Absent after the execution was closed; anywhere else it means: no further checkpoints from this invocation. */
  CheckpointToken: optional(Schema.String),
  NewExecutionState: optional(
    Schema.Struct({
      Operations: optional(Schema.Array(Operation)),
      NextMarker: optional(Schema.String)
    })
  )
})
export interface CheckpointResponse extends Schema.Schema.Type<typeof CheckpointResponse> {}

/** `GetDurableExecutionState`: one page of the recorded operations. It does not use up the token. */
export interface ExecutionStateRequest {
  readonly DurableExecutionArn: string
  readonly CheckpointToken: string
  readonly Marker: string
  readonly MaxItems: number
}

/** One page of recorded operations. `""`, `null` and no marker all mean: this was the last page. */
export const ExecutionStateResponse = Schema.Struct({
  Operations: optional(Schema.Array(Operation)),
  NextMarker: optional(Schema.String)
})
export interface ExecutionStateResponse extends Schema.Schema.Type<typeof ExecutionStateResponse> {}

// ---- the invocation ------------------------------------------------------------------------------

/** What Lambda hands to a durable function. */
export const InvocationEvent = Schema.Struct({
  DurableExecutionArn: Schema.NonEmptyString,
  CheckpointToken: Schema.NonEmptyString,
  InitialExecutionState: optional(ExecutionStateResponse),
  /** Wire ids of operations that changed since the last invocation. A hint for observers, never relied upon. */
  UpdatedOperationIds: optional(Schema.Array(Schema.String))
})
export interface InvocationEvent extends Schema.Schema.Type<typeof InvocationEvent> {}

/** What a durable function answers. `PENDING` only while something is outstanding at the service. */
export const InvocationOutput = Schema.Union([
  Schema.Struct({ Status: Schema.Literal("SUCCEEDED"), Result: optional(Schema.String) }),
  Schema.Struct({ Status: Schema.Literal("FAILED"), Error: optional(ErrorObject) }),
  Schema.Struct({ Status: Schema.Literal("PENDING") })
])
export type InvocationOutput = typeof InvocationOutput.Type
