/**
 * What a durable operation can fail with, and what ends an invocation or an execution.
 *
 * Two families. *Operation errors* are values of the typed channel: they are encodable, keep their class
 * through checkpoints, child contexts and invokes, and any definition may end with them. *Fatal errors*
 * are faults of the program or of the infrastructure: user code cannot catch them, and each says what
 * happened, where, and how to fix it.
 *
 * The classes are light (`Data.TaggedError`), because every bundled handler carries them; `Operation` is
 * their schema, for those who write them down themselves.
 */
import * as Data from "effect/Data"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as OperationError from "./internal/operationError.ts"

// ---- operation errors ------------------------------------------------------------------------------

/** A failure that no schema covers: what is known of it. */
export interface Uncovered {
  /** Name of the operation, as given in the code. */
  readonly operation: string
  /** The failure's `_tag`, or the name of its class. */
  readonly type: string
  readonly message: string
  /** The failure's own fields, where they were plain JSON and small enough to record. */
  readonly data?: Schema.Json
}

/**
 * A step failed for good, with a failure that its `error` schema does not cover (or it has none). Live and
 * on replay alike it carries type, message and data of the original.
 *
 * **Example** (Telling failures apart without a schema)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * declare const charge: Effect.Effect<{ readonly id: string }, Error>
 *
 * const program = Durable.step("charge", charge).pipe(
 *   Effect.catchTag("StepFailed", (error) => Effect.succeed({ id: error.type === "CardDeclined" ? "none" : "unknown" }))
 * )
 * ```
 * @see [Troubleshooting](../docs/troubleshooting.md#stepfailed)
 */
export class StepFailed extends /*#__PURE__*/ OperationError.TaggedError("StepFailed")<Uncovered> {}

/**
 * An at-most-once step was found started by an earlier invocation that died: whether its effect happened
 * is unknown. It is an input of the step's retry schedule like any failure.
 * @see [Troubleshooting](../docs/troubleshooting.md#stepinterrupted)
 */
export class StepInterrupted
  extends /*#__PURE__*/ OperationError.TaggedError("StepInterrupted")<{ readonly operation: string }>
{
  override get message() {
    return `Step "${this.operation}" was interrupted: an earlier invocation ended while it ran, and it runs at most once per attempt.`
  }
}

/**
 * An attempt of a step ran longer than the step's `timeout`. Input of its retry schedule like any failure.
 * @see [Troubleshooting](../docs/troubleshooting.md#steptimedout)
 */
export class StepTimedOut
  extends /*#__PURE__*/ OperationError.TaggedError("StepTimedOut")<{
    readonly operation: string
    readonly timeoutMillis: number
  }>
{
  override get message() {
    return `Step "${this.operation}" timed out after ${this.timeoutMillis} ms.`
  }
}

/**
 * An attempt of a step was still running shortly before Lambda's deadline, the end of the function's timeout, and was
 * cut off so that it counts. Input of the step's retry schedule; when that gives up, the step dies with it: it can
 * happen to every step, so no step's type says it. `Effect.catchDefect` sees it, and it keeps its class everywhere. To
 * the client, and in `execution.result` of a test, it is a failure. A step that runs at most once per attempt gets
 * `StepInterrupted` instead.
 *
 * **Example** (Compensating for a step that is stuck)
 *
 * ```ts
 * import { Durable, DurableError } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * declare const charge: Effect.Effect<{ readonly id: string }>
 *
 * const program = Durable.step("charge", charge).pipe(
 *   Effect.catchDefect((defect) =>
 *     defect instanceof DurableError.DeadlineExceeded ? Effect.succeed({ id: "unknown" }) : Effect.die(defect)
 *   )
 * )
 * ```
 * @see [Troubleshooting](../docs/troubleshooting.md#deadlineexceeded)
 */
export class DeadlineExceeded
  extends /*#__PURE__*/ OperationError.TaggedError("DeadlineExceeded")<{
    readonly operation: string
    readonly operationId: string
    /** The attempt that was cut off, from 1. */
    readonly attempt: number
    /** How long it had run, milliseconds. */
    readonly elapsedMillis: number
  }>
{
  override get message() {
    return (
      `Step "${this.operation}" (${this.operationId}): attempt ${this.attempt} had run for ${this.elapsedMillis} ms when ` +
      "Lambda's deadline came near. Give the step a `timeout`, do less in it, or raise the function's timeout."
    )
  }
}

/**
 * The body of a child context failed with an error that its `error` schema does not cover.
 * @see [Troubleshooting](../docs/troubleshooting.md#childcontextfailed)
 */
export class ChildContextFailed extends /*#__PURE__*/ OperationError.TaggedError("ChildContextFailed")<Uncovered> {}

/**
 * The outside reported a failure of a callback that its `error` schema does not cover (or it has none), or
 * completed it with what its `success` schema does not accept: `type` is then `"InvalidResult"`.
 *
 * `type`, `message` and `data` are what the outside sent; `data` is its ErrorData, parsed where it is JSON.
 * @see [Troubleshooting](../docs/troubleshooting.md#callbackfailed)
 */
export class CallbackFailed extends /*#__PURE__*/ OperationError.TaggedError("CallbackFailed")<Uncovered> {}

/**
 * A callback was not completed within its `timeout`, or went without a heartbeat for its `heartbeatTimeout`.
 * @see [Troubleshooting](../docs/troubleshooting.md#callbacktimedout)
 */
export class CallbackTimedOut
  extends /*#__PURE__*/ OperationError.TaggedError("CallbackTimedOut")<{
    readonly operation: string
    readonly kind: "timeout" | "heartbeat"
  }>
{
  override get message() {
    return `Callback "${this.operation}" got no ${this.kind === "timeout" ? "answer" : "heartbeat"} in time.`
  }
}

/**
 * The submitter of a `waitForCallback` failed for good: nobody was asked, and the callback stays open.
 * @see [Troubleshooting](../docs/troubleshooting.md#callbacksubmitfailed)
 */
export class CallbackSubmitFailed extends /*#__PURE__*/ OperationError.TaggedError("CallbackSubmitFailed")<Uncovered> {}

/**
 * The check of a `waitForCondition` failed with an error that its `error` schema does not cover.
 * @see [Troubleshooting](../docs/troubleshooting.md#conditionfailed)
 */
export class ConditionFailed extends /*#__PURE__*/ OperationError.TaggedError("ConditionFailed")<Uncovered> {}

/**
 * The schedule of a `waitForCondition` ended before its condition was met.
 * @see [Troubleshooting](../docs/troubleshooting.md#conditionexhausted)
 */
export class ConditionExhausted
  extends /*#__PURE__*/ OperationError.TaggedError("ConditionExhausted")<{
    readonly operation: string
    /** How often it was checked. */
    readonly attempts: number
  }>
{
  override get message() {
    return `Condition "${this.operation}" was not met in ${this.attempts} checks, and its schedule has ended.`
  }
}

/**
 * A function that a workflow invoked did not give what it declares: it failed with an error that the target's
 * `error` schema does not cover (a failed operation of its own, a defect, any error of a plain function), it ran
 * out of time, it was stopped, or it could not be invoked.
 *
 * `status` is how the invocation ended. `"SUCCEEDED"` means that its result is not what the target's `success`
 * schema accepts; `type` is then `"InvalidResult"`. `type`, `message` and `data` are those of the invoked
 * function's error; `data` is its ErrorData, parsed where it is JSON.
 * @see [Troubleshooting](../docs/troubleshooting.md#invokefailed)
 */
export class InvokeFailed
  extends /*#__PURE__*/ OperationError.TaggedError("InvokeFailed")<
    Uncovered & { readonly status: "SUCCEEDED" | "FAILED" | "TIMED_OUT" | "STOPPED" | "CANCELLED" }
  > {}

/** Failures of operations: always encodable, so any context, branch or definition may end with them undeclared. */
export type Operation =
  | StepFailed
  | StepInterrupted
  | StepTimedOut
  | DeadlineExceeded
  | ChildContextFailed
  | CallbackFailed
  | CallbackTimedOut
  | CallbackSubmitFailed
  | ConditionFailed
  | ConditionExhausted
  | InvokeFailed

/**
 * Whether this is a failure of a durable operation of this library, whichever: not one of yours.
 *
 * **Example** (One answer to all of them)
 *
 * ```ts
 * import { Durable, DurableError } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * declare const charge: Effect.Effect<{ readonly id: string }, Error>
 *
 * const program = Durable.step("charge", charge).pipe(
 *   Effect.catchIf(DurableError.isOperation, (error) => Effect.succeed({ id: error.operation }))
 * )
 * ```
 */
export const isOperation = (failure: unknown): failure is Operation => OperationError.is(failure)

// ---- how an execution ends ---------------------------------------------------------------------------

/**
 * An execution failed with something that is neither a declared error nor an operation's failure: a fault of
 * the program (`type` is then one of the fatal errors, such as `NonDeterministic`) or of what it was given.
 * @see [Troubleshooting](../docs/troubleshooting.md#executionfailed)
 */
export class ExecutionFailed
  extends /*#__PURE__*/ Data.TaggedError("ExecutionFailed")<{
    readonly executionArn: string
    readonly type: string
    readonly message: string
  }> {}

/**
 * An execution ran longer than its function's execution timeout. No code of it ran at the end.
 * @see [Troubleshooting](../docs/troubleshooting.md#executiontimedout)
 */
export class ExecutionTimedOut
  extends /*#__PURE__*/ Data.TaggedError("ExecutionTimedOut")<{
    readonly executionArn: string
    readonly message: string
  }> {}

/**
 * An execution was stopped from outside. No code of it ran at the end.
 * @see [Troubleshooting](../docs/troubleshooting.md#executionstopped)
 */
export class ExecutionStopped
  extends /*#__PURE__*/ Data.TaggedError("ExecutionStopped")<{
    readonly executionArn: string
    readonly message: string
  }> {}

// ---- what a client can fail with -----------------------------------------------------------------------

/**
 * There is no such function, or no such version or alias of it.
 * @see [Troubleshooting](../docs/troubleshooting.md#functionnotfound)
 */
export class FunctionNotFound
  extends /*#__PURE__*/ Data.TaggedError("FunctionNotFound")<{
    readonly functionName: string
    readonly reason: string
  }>
{
  override get message() {
    return `There is no function "${this.functionName}": ${this.reason}. Check its name, version or alias, the region and the account.`
  }
}

/**
 * There is no such execution: its ARN is wrong, or it ended so long ago that its retention period is over.
 * @see [Troubleshooting](../docs/troubleshooting.md#executionnotfound)
 */
export class ExecutionNotFound
  extends /*#__PURE__*/ Data.TaggedError("ExecutionNotFound")<{
    readonly executionArn: string
    readonly reason: string
  }>
{
  override get message() {
    return `There is no execution ${this.executionArn}: ${this.reason}. Its retention period may be over.`
  }
}

/**
 * An execution of this name was started with another payload, and runs or has ended. Nothing was started.
 * @see [Troubleshooting](../docs/troubleshooting.md#executionalreadystarted)
 */
export class ExecutionAlreadyStarted
  extends /*#__PURE__*/ Data.TaggedError("ExecutionAlreadyStarted")<{
    readonly functionName: string
    readonly executionName: string
    readonly reason: string
  }>
{
  override get message() {
    return (
      `An execution named "${this.executionName}" of "${this.functionName}" was already started with another payload: ` +
      `${this.reason}. Use a name that stands for the payload too, or read the existing execution.`
    )
  }
}

/**
 * The execution was still running when the schedule of the client that waited for it ended. It goes on.
 * @see [Troubleshooting](../docs/troubleshooting.md#executionstillrunning)
 */
export class ExecutionStillRunning
  extends /*#__PURE__*/ Data.TaggedError("ExecutionStillRunning")<{ readonly executionArn: string }>
{
  override get message() {
    return `Execution ${this.executionArn} was still running when the schedule for waiting ended. Wait again, or longer.`
  }
}

/**
 * The callback was answered before, has timed out, or its execution has ended. Nothing has changed.
 * @see [Troubleshooting](../docs/troubleshooting.md#callbacknotopen)
 */
export class CallbackNotOpen
  extends /*#__PURE__*/ Data.TaggedError("CallbackNotOpen")<{
    readonly callbackId: string
    readonly reason: string
  }>
{
  override get message() {
    return `The callback is not open: ${this.reason} (${this.callbackId}).`
  }
}

/**
 * A call of the client failed after the client's own retries, in a way that has no class of its own.
 * @see [Troubleshooting](../docs/troubleshooting.md#clientfailed)
 */
export class ClientFailed
  extends /*#__PURE__*/ Data.TaggedError("ClientFailed")<{
    /** The operation of AWS's API. */
    readonly call: string
    /** The service's name of the error, for example `TooManyRequestsException`. */
    readonly errorName: string
    /** HTTP status, where there was a response. */
    readonly status?: number | undefined
    readonly reason: string
    /** Worth calling again: throttling, 5xx, network. */
    readonly transient: boolean
  }>
{
  override get message() {
    const status = this.status === undefined ? "" : ` (HTTP ${this.status})`
    return `${this.call} failed: ${this.errorName}${status}: ${this.reason}`
  }
}

// ---- fatal errors ----------------------------------------------------------------------------------

/**
 * What a fatal error ends: the execution (answered FAILED), this invocation (thrown, so that Lambda invokes
 * again), or this invocation quietly (answered PENDING: the service wants no further checkpoints from it).
 */
export type Scope = "execution" | "invocation" | "suspend"

interface Explained {
  /** What happened, where, and how to fix it. */
  readonly message: string
}

/**
 * The code does not ask for what an earlier invocation recorded: it was changed under a running execution,
 * or its body is not deterministic.
 * @see [Troubleshooting](../docs/troubleshooting.md#nondeterministic)
 */
export class NonDeterministic extends /*#__PURE__*/ Data.TaggedError("NonDeterministic")<Explained> {}

/**
 * The workflow's body was moved by something the library does not record (a promise, a timer, `fetch`, the
 * memory of another context) while durable operations were in flight: what happens next would be left to chance.
 * @see [Troubleshooting](../docs/troubleshooting.md#untrackedasync)
 */
export class UntrackedAsync extends /*#__PURE__*/ Data.TaggedError("UntrackedAsync")<Explained> {}

/**
 * A durable operation was used where none can work, or with options that no service accepts.
 * @see [Troubleshooting](../docs/troubleshooting.md#invalidoperation)
 */
export class InvalidOperation extends /*#__PURE__*/ Data.TaggedError("InvalidOperation")<Explained> {}

/**
 * What kept a `Serdes` layer, a key provider or a payload store from its work.
 *
 * - `"unavailable"`: a service did not answer, is throttled or broken; it may be well again in a moment.
 * - `"denied"`: a service refused, for a missing permission or a disabled key.
 * - `"missing"`: a key or a stored object is not there.
 * - `"wrong-key"`: a key of this id is there, but is not the one that was used.
 * - `"other-layers"`: the record was written by other layers, or in another order, or by none.
 * - `"corrupt"`: the record is damaged, or belongs to another operation. It will never be read.
 */
export type PayloadProblem = "unavailable" | "denied" | "missing" | "wrong-key" | "other-layers" | "corrupt"

/**
 * What a `Serdes` layer, a key provider or a payload store fails with. In a workflow it becomes a `SerdesFailed`
 * that names the operation. `reason` is a sentence, which says what to do.
 * @see [Troubleshooting](../docs/troubleshooting.md#payloadfailed)
 */
export class PayloadFailed
  extends /*#__PURE__*/ Data.TaggedError("PayloadFailed")<{
    readonly problem: PayloadProblem
    readonly reason: string
  }>
{
  override get message() {
    return this.reason
  }
}

/**
 * A value could not be written as a payload, or a recorded payload could not be read.
 *
 * Ends the execution where no later invocation could do better: a value that does not fit its schema, a damaged
 * record. With a `problem` that somebody can repair (all but `"corrupt"`) it ends the invocation only, and Lambda
 * invokes again: nothing that is on record is lost.
 * @see [Troubleshooting](../docs/troubleshooting.md#serdesfailed)
 */
export class SerdesFailed
  extends /*#__PURE__*/ Data.TaggedError("SerdesFailed")<{
    readonly operation: string
    readonly action: "encode" | "decode"
    readonly reason: string
    /** What kept a `Serdes` layer from its work. Absent: it was the codec. */
    readonly problem?: PayloadProblem | undefined
  }>
{
  override get message() {
    const rest = isRepairable(this) ? " Nothing on record is lost: Lambda invokes again." : ""
    return `${this.operation}: cannot ${this.action} its payload: ${this.reason}${rest}`
  }
}

/** Whether somebody can repair it while the execution waits. */
export const isRepairable = ({ problem = "corrupt" }: { readonly problem?: PayloadProblem | undefined }): boolean =>
  problem !== "corrupt"

/** What a codec or a layer says, as the error of an operation, which is put into words only when it is needed. */
export const serdesFailed =
  (of: { readonly toString: () => string }, action: "encode" | "decode") =>
  (failed: string | PayloadFailed): SerdesFailed =>
    new SerdesFailed({
      operation: of.toString(),
      action,
      ...(typeof failed === "string" ? { reason: failed } : { reason: failed.reason, problem: failed.problem })
    })

/**
 * A payload is larger than the service records. Nothing of the update was sent.
 * @see [Troubleshooting](../docs/troubleshooting.md#payloadtoolarge)
 */
export class PayloadTooLarge
  extends /*#__PURE__*/ Data.TaggedError("PayloadTooLarge")<{
    readonly operation: string
    readonly bytes: number
    readonly limit: number
  }>
{
  override get message() {
    return (
      `${this.operation}: its payload has ${this.bytes} bytes, the service records at most ${this.limit}. ` +
      "Return less (a key of what you store elsewhere), or let a Serdes layer compress or offload payloads."
    )
  }
}

/**
 * The execution has as many operations, or has written as many bytes, as the service allows.
 * @see [Troubleshooting](../docs/troubleshooting.md#operationlimitexceeded)
 */
export class OperationLimitExceeded
  extends /*#__PURE__*/ Data.TaggedError("OperationLimitExceeded")<{
    readonly operation: string
    readonly quantity: "operations" | "bytes"
    readonly limit: number
  }>
{
  override get message() {
    return (
      `${this.operation}: the execution reached the service's limit of ${this.limit} ${this.quantity}. ` +
      "Do more work per operation (one step for a batch of items), or split it into several executions."
    )
  }
}

/**
 * The event is not one that Lambda sends to a durable function.
 * @see [Troubleshooting](../docs/troubleshooting.md#malformedevent)
 */
export class MalformedEvent extends /*#__PURE__*/ Data.TaggedError("MalformedEvent")<Explained> {}

/**
 * The execution's input is not what the definition's `payload` schema accepts. Nothing has run.
 * @see [Troubleshooting](../docs/troubleshooting.md#invalidpayload)
 */
export class InvalidPayload extends /*#__PURE__*/ Data.TaggedError("InvalidPayload")<Explained> {}

/**
 * A checkpoint, or loading the recorded state, failed after all retries. `scope` says whether it ends the
 * execution (a refusal that no retry can change) or this invocation (Lambda invokes again, nothing recorded is lost).
 * @see [Troubleshooting](../docs/troubleshooting.md#checkpointfailed)
 */
export class CheckpointFailed
  extends /*#__PURE__*/ Data.TaggedError("CheckpointFailed")<Explained & { readonly scope: Scope }> {}

/**
 * Lambda's deadline came near, and nothing that the service could go on with is on record: the workflow waits for
 * something that is not an operation, or never comes to rest; or what comes before and after it does (the handler's layer,
 * a codec, the service). Thrown, so that Lambda invokes again.
 * @see [Troubleshooting](../docs/troubleshooting.md#outoftime)
 */
export class OutOfTime extends /*#__PURE__*/ Data.TaggedError("OutOfTime")<Explained> {}

/** Everything that ends an invocation without the workflow's consent. */
export type Fatal =
  | NonDeterministic
  | UntrackedAsync
  | InvalidOperation
  | SerdesFailed
  | PayloadTooLarge
  | OperationLimitExceeded
  | MalformedEvent
  | InvalidPayload
  | CheckpointFailed
  | OutOfTime

/**
 * What a fatal error ends. Only infrastructure that may recover or be repaired, and events that are not ours, are worth
 * another invocation.
 */
export const scopeOf = (error: Fatal): Scope =>
  error._tag === "CheckpointFailed"
    ? error.scope
    : error._tag === "MalformedEvent" ||
        error._tag === "OutOfTime" ||
        (error._tag === "SerdesFailed" && isRepairable(error))
      ? "invocation"
      : "execution"

// ---- schema --------------------------------------------------------------------------------------------

/** The schema of one class: its tag and fields, as they are recorded. */
const classSchema = <A extends { readonly _tag: string }, F extends Schema.Struct.Fields>(
  Class: new (fields: any) => A, // the fields are those of the schema
  tag: A["_tag"],
  fields: F
) =>
  Schema.TaggedStruct(tag, fields).pipe(
    Schema.decodeTo(Schema.instanceOf(Class), {
      decode: SchemaGetter.transform((encoded) => {
        const { _tag, ...rest } = encoded as { readonly _tag: string }
        return new Class(rest)
      }),
      encode: SchemaGetter.transform((error) => toFields(error) as any) // the class has the schema's fields
    })
  )

/** The fields of an error of this module, as they are recorded. */
export const toFields = (error: { readonly _tag: string }): Record<string, unknown> => {
  // a message that was given is the error's own, but not enumerable
  const { message } = Object.getOwnPropertyDescriptors(error) as { readonly message?: PropertyDescriptor }
  return { ...error, ...(message === undefined ? undefined : { message: message.value as unknown }) }
}

const makeOperation = () => {
  const operation = { operation: Schema.String }
  const uncovered = { ...operation, type: Schema.String, message: Schema.String, data: Schema.optionalKey(Schema.Json) }
  return Schema.Union([
    classSchema(StepFailed, "StepFailed", uncovered),
    classSchema(StepInterrupted, "StepInterrupted", operation),
    classSchema(StepTimedOut, "StepTimedOut", { ...operation, timeoutMillis: Schema.Number }),
    classSchema(DeadlineExceeded, "DeadlineExceeded", {
      ...operation,
      operationId: Schema.String,
      attempt: Schema.Number,
      elapsedMillis: Schema.Number
    }),
    classSchema(ChildContextFailed, "ChildContextFailed", uncovered),
    classSchema(CallbackFailed, "CallbackFailed", uncovered),
    classSchema(CallbackTimedOut, "CallbackTimedOut", {
      ...operation,
      kind: Schema.Literals(["timeout", "heartbeat"])
    }),
    classSchema(CallbackSubmitFailed, "CallbackSubmitFailed", uncovered),
    classSchema(ConditionFailed, "ConditionFailed", uncovered),
    classSchema(ConditionExhausted, "ConditionExhausted", { ...operation, attempts: Schema.Number }),
    classSchema(InvokeFailed, "InvokeFailed", {
      ...uncovered,
      status: Schema.Literals(["SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED", "CANCELLED"])
    })
  ])
}

/** The schema of operation errors. */
export const Operation: Schema.Codec<Operation, unknown> = /*#__PURE__*/ makeOperation()
