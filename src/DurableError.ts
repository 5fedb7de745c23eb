/**
 * What a durable operation can fail with, and what ends an invocation or an execution.
 *
 * Two families. *Operation errors* are values of the typed channel: they are encodable, keep their class
 * through checkpoints, child contexts and invokes, and any definition may end with them. *Fatal errors*
 * are faults of the program or of the infrastructure: user code cannot catch them, and each says what
 * happened, where, and how to fix it.
 */
import * as Schema from "effect/Schema"

// ---- operation errors ------------------------------------------------------------------------------

const operation = {
  /** Name of the operation, as given in the code. */
  operation: Schema.String
}

const failure = {
  ...operation,
  /** The failure's `_tag`, or the name of its class. */
  type: Schema.String,
  message: Schema.String,
  /** The failure's own fields, where they were plain JSON and small enough to record. */
  data: Schema.optionalKey(Schema.Json)
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
 */
export class StepFailed extends Schema.TaggedError<StepFailed>()("StepFailed", failure) {}

/**
 * An at-most-once step was found started by an earlier invocation that died: whether its effect happened
 * is unknown. It is an input of the step's retry schedule like any failure.
 */
export class StepInterrupted extends Schema.TaggedError<StepInterrupted>()("StepInterrupted", operation) {
  override get message() {
    return `Step "${this.operation}" was interrupted: an earlier invocation ended while it ran, and it runs at most once per attempt.`
  }
}

/** An attempt of a step ran longer than the step's `timeout`. Input of its retry schedule like any failure. */
export class StepTimedOut extends Schema.TaggedError<StepTimedOut>()("StepTimedOut", {
  ...operation,
  timeoutMillis: Schema.Number
}) {
  override get message() {
    return `Step "${this.operation}" timed out after ${this.timeoutMillis} ms.`
  }
}

/** The body of a child context failed with an error that its `error` schema does not cover. */
export class ChildContextFailed extends Schema.TaggedError<ChildContextFailed>()("ChildContextFailed", failure) {}

/** Failures of operations: always encodable, so any context, branch or definition may end with them undeclared. */
export const Operation = Schema.Union([StepFailed, StepInterrupted, StepTimedOut, ChildContextFailed])
export type Operation = typeof Operation.Type

/** Whether a failure is one of the library's own operation errors. */
export const isOperation = Schema.is(Operation)

// ---- how an execution ends ---------------------------------------------------------------------------

const execution = { executionArn: Schema.String }

/**
 * An execution failed with something that is neither a declared error nor an operation's failure: a fault of
 * the program (`type` is then one of the fatal errors, such as `NonDeterministic`) or of what it was given.
 */
export class ExecutionFailed extends Schema.TaggedError<ExecutionFailed>()("ExecutionFailed", {
  ...execution,
  type: Schema.String,
  message: Schema.String
}) {}

/** An execution ran longer than its function's execution timeout. No code of it ran at the end. */
export class ExecutionTimedOut extends Schema.TaggedError<ExecutionTimedOut>()("ExecutionTimedOut", {
  ...execution,
  message: Schema.String
}) {}

/** An execution was stopped from outside. No code of it ran at the end. */
export class ExecutionStopped extends Schema.TaggedError<ExecutionStopped>()("ExecutionStopped", {
  ...execution,
  message: Schema.String
}) {}

// ---- fatal errors ----------------------------------------------------------------------------------

/**
 * What a fatal error ends: the execution (answered FAILED), this invocation (thrown, so that Lambda invokes
 * again), or this invocation quietly (answered PENDING: the service wants no further checkpoints from it).
 */
export const Scope = Schema.Literals(["execution", "invocation", "suspend"])
export type Scope = typeof Scope.Type

const text = { reason: Schema.String }

// The text of these errors is their `reason`, written where it is known what happened, where, and how to fix it.

/**
 * The code does not ask for what an earlier invocation recorded: it was changed under a running execution,
 * or its body is not deterministic.
 */
export class NonDeterministic extends Schema.TaggedError<NonDeterministic>()("NonDeterministic", text) {
  override get message() {
    return this.reason
  }
}

/**
 * The workflow's body was moved by something the library does not record (a promise, a timer, `fetch`, the
 * memory of another context) while durable operations were in flight: what happens next would be left to chance.
 */
export class UntrackedAsync extends Schema.TaggedError<UntrackedAsync>()("UntrackedAsync", text) {
  override get message() {
    return this.reason
  }
}

/** A durable operation was used where none can work, or with options that no service accepts. */
export class InvalidOperation extends Schema.TaggedError<InvalidOperation>()("InvalidOperation", text) {
  override get message() {
    return this.reason
  }
}

/** A value could not be written as a payload, or a recorded payload could not be read. */
export class SerdesFailed extends Schema.TaggedError<SerdesFailed>()("SerdesFailed", {
  ...operation,
  action: Schema.Literals(["encode", "decode"]),
  reason: Schema.String
}) {
  override get message() {
    return `${this.operation}: cannot ${this.action} its payload: ${this.reason}`
  }
}

/** A payload is larger than the service records. Nothing of the update was sent. */
export class PayloadTooLarge extends Schema.TaggedError<PayloadTooLarge>()("PayloadTooLarge", {
  ...operation,
  bytes: Schema.Number,
  limit: Schema.Number
}) {
  override get message() {
    return `${this.operation}: its payload has ${this.bytes} bytes, the service records at most ${this.limit}. ` +
      "Return less (a key of an object that you store elsewhere), or let a Serdes layer compress or offload payloads."
  }
}

/** The execution has as many operations, or has written as many bytes, as the service allows. */
export class OperationLimitExceeded extends Schema.TaggedError<OperationLimitExceeded>()("OperationLimitExceeded", {
  ...operation,
  quantity: Schema.Literals(["operations", "bytes"]),
  limit: Schema.Number
}) {
  override get message() {
    return `${this.operation}: the execution reached the service's limit of ${this.limit} ${this.quantity}. ` +
      "Do more work per operation (one step for a batch of items), or hand parts to other executions with Durable.invoke."
  }
}

/** The event is not one that Lambda sends to a durable function. */
export class MalformedEvent extends Schema.TaggedError<MalformedEvent>()("MalformedEvent", text) {
  override get message() {
    return this.reason
  }
}

/** The execution's input is not what the definition's `payload` schema accepts. Nothing has run. */
export class InvalidPayload extends Schema.TaggedError<InvalidPayload>()("InvalidPayload", {
  function: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return `The payload of "${this.function}" is not what its definition declares: ${this.reason}`
  }
}

/**
 * A checkpoint, or loading the recorded state, failed after all retries. `scope` says whether it ends the
 * execution (a refusal that no retry can change) or this invocation (Lambda invokes again, nothing recorded is lost).
 */
export class CheckpointFailed extends Schema.TaggedError<CheckpointFailed>()("CheckpointFailed", {
  scope: Scope,
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

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

const FATAL = [
  NonDeterministic,
  UntrackedAsync,
  InvalidOperation,
  SerdesFailed,
  PayloadTooLarge,
  OperationLimitExceeded,
  MalformedEvent,
  InvalidPayload,
  CheckpointFailed
]

/** Whether a value is one of the library's fatal errors. */
export const isFatal = (error: unknown): error is Fatal => FATAL.some((Class) => error instanceof Class)

/** What a fatal error ends. Only infrastructure that may recover, and events that are not ours, are worth another invocation. */
export const scopeOf = (error: Fatal): Scope =>
  error._tag === "CheckpointFailed" ? error.scope : error._tag === "MalformedEvent" ? "invocation" : "execution"
