/**
 * Functions as the engine sees them: how they are named, what they are called with, how they fail.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as Protocol from "../Protocol.ts"
import { notFound as notFoundRejection, type Rejection } from "./validate.ts"

// ---- failures ------------------------------------------------------------------------------------

/**
 * An invocation that ended without an answer: it threw, crashed or ran out of time. The service invokes again.
 * @see [Troubleshooting](../../docs/troubleshooting.md#invocationerror)
 */
export class InvocationError extends Schema.TaggedError<InvocationError>()("InvocationError", {
  /** The wire's ErrorType: the thrown error's name, `Runtime.ExitError`, `Sandbox.Timedout`. */
  errorType: Schema.String,
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** The invocation error that something thrown stands for. */
export const fromThrown = (thrown: unknown): InvocationError =>
  thrown instanceof InvocationError
    ? thrown
    : thrown instanceof Error
      ? new InvocationError({ errorType: thrown.name, reason: thrown.message })
      : new InvocationError({ errorType: "Error", reason: String(thrown) })

/** A runtime that exited before it answered. */
export const exited = (status = 1): InvocationError =>
  new InvocationError({
    errorType: "Runtime.ExitError",
    reason: `Error: Runtime exited with error: exit status ${status}`
  })

/** A function that took longer than it may. */
export const timedOut = (seconds: number): InvocationError =>
  new InvocationError({
    errorType: "Sandbox.Timedout",
    reason: `Error: Task timed out after ${seconds.toFixed(2)} seconds`
  })

/** The error object of an invocation error, as the history shows it. */
export const errorObject = (error: InvocationError): Protocol.ErrorObject => ({
  ErrorType: error.errorType,
  ErrorMessage: error.reason
})

/** Why an invocation failed, whatever way it did. One that was interrupted is a runtime that exited. */
export const fromCause = (cause: Cause.Cause<InvocationError>): InvocationError =>
  Option.getOrElse(Cause.findErrorOption(cause), () =>
    Cause.hasInterruptsOnly(cause) ? exited() : fromThrown(Cause.squash(cause))
  )

// ---- functions -----------------------------------------------------------------------------------

/** What Lambda hands to a function beside the event: a plain object. */
export interface InvocationContext {
  readonly awsRequestId: string
  readonly functionName: string
  readonly functionVersion: string
  readonly invokedFunctionArn: string
  readonly memoryLimitInMB: string
  readonly logGroupName: string
  readonly logStreamName: string
  callbackWaitsForEmptyEventLoop: boolean
  readonly tenantId?: string | undefined
  readonly getRemainingTimeInMillis: () => number
}

/** Runs one invocation: gets the event as plain JSON and gives what the function answers. */
export type Executor<R = never> = (
  event: unknown,
  context: InvocationContext
) => Effect.Effect<unknown, InvocationError, R>

/**
 * An executor from a Lambda handler. What the handler throws, or what its promise is rejected with, ends
 * the invocation as an error of that name.
 */
export const fromHandler =
  (handler: (event: unknown, context: InvocationContext) => unknown): Executor =>
  (event, context) =>
    Effect.tryPromise({ try: () => Promise.resolve(handler(event, context)), catch: fromThrown })

/** Settings of a registered function. */
export interface FunctionOptions {
  /** ExecutionTimeout in seconds. Default 366 days, the longest that the service allows. */
  readonly executionTimeoutSeconds?: number | undefined
  /** How long one invocation may take, in seconds of the engine's clock. Default 900. */
  readonly invocationTimeoutSeconds?: number | undefined
  /** After so many retries of an invocation the execution fails. Default: the engine's `retry.retries`. */
  readonly retries?: number | undefined
  /** The version that `$LATEST` and aliases stand for. Default `$LATEST`. */
  readonly version?: string | undefined
}

/** A function that the engine can run. */
export interface Registered {
  readonly name: string
  readonly durable: boolean
  readonly executor: Executor
  readonly options: FunctionOptions
}

/** Longest execution, in seconds: what a function has that names no timeout. */
export const MAX_EXECUTION_SECONDS: number = Protocol.Limits.durationSeconds

/** Longest invocation, in seconds. */
export const MAX_INVOCATION_SECONDS = 900

/** A function as callers find it. */
export interface FunctionDescription {
  readonly name: string
  /** The version or alias that the caller named, and the version that it stands for. */
  readonly qualifier?: string | undefined
  readonly version: string
  readonly durable: boolean
  /** ExecutionTimeout in seconds, where it has one of its own. */
  readonly executionTimeoutSeconds?: number | undefined
}

// ---- names ---------------------------------------------------------------------------------------

/** A function's name as callers write it: bare, partial or full ARN, with or without a qualifier. */
export interface FunctionReference {
  readonly name: string
  /** A version or an alias. */
  readonly qualifier?: string | undefined
}

const REFERENCE = /^(?:(?:arn:[^:]+:lambda:[^:]*:)?(?:\d{12}:)?function:|\d{12}:)?([^:$]+)(?::([^:]+))?$/

/** Reads a function's name; one that cannot be read counts as a bare name. */
export const parseReference = (text: string): FunctionReference => {
  const [, name, qualifier] = REFERENCE.exec(text) ?? []
  return name === undefined ? { name: text } : { name, ...(qualifier === undefined ? undefined : { qualifier }) }
}

/** The version that runs: numbers and `$LATEST` stand for themselves, an alias for the registered one. */
export const resolveVersion = (reference: FunctionReference, options: FunctionOptions): string =>
  reference.qualifier !== undefined && /^(\$LATEST|[0-9]+)$/.test(reference.qualifier)
    ? reference.qualifier
    : (options.version ?? "$LATEST")

/** The service's text for a durable function that is named without a version or alias. */
export const UNQUALIFIED = "You cannot invoke a durable function using an unqualified ARN."

/** Where the engine pretends to be. */
export interface Place {
  readonly region: string
  readonly accountId: string
}

/** The ARN of a function, qualified when a version is given. */
export const functionArn = (place: Place, name: string, version?: string | undefined): string =>
  `arn:aws:lambda:${place.region}:${place.accountId}:function:${name}${version === undefined ? "" : `:${version}`}`

/** A function that nobody has registered. */
export const notFound = (place: Place, { name, qualifier }: FunctionReference): Rejection =>
  notFoundRejection(`Function not found: ${functionArn(place, name, qualifier)}`)

/** The ARN of an execution. */
export const executionArn = (place: Place, name: string, version: string, executionName: string, id: string): string =>
  `${functionArn(place, name, version)}/durable-execution/${executionName}/${id}`

const allowances = new WeakMap<InvocationContext, (seconds: number) => void>()

/**
 * Counts the time of an invocation from now on: so many seconds, and then those of its function. For who has to start a
 * process first: loading code is not on the function's time, nor is (`Infinity`) waiting for a process to be free.
 */
export const allow = (context: InvocationContext, seconds: number): void => allowances.get(context)?.(seconds)

/** Whose time is counted by `allow`. */
export const onAllow = (context: InvocationContext, restart: (seconds: number) => void): void =>
  void allowances.set(context, restart)

/** The context of an invocation. `deadline` and `now` are epoch milliseconds. */
export const makeContext = (options: {
  readonly requestId: string
  readonly name: string
  readonly version: string
  readonly place: Place
  readonly tenantId: string | undefined
  readonly deadline: () => number
  readonly now: () => number
}): InvocationContext => ({
  awsRequestId: options.requestId,
  functionName: options.name,
  functionVersion: options.version,
  invokedFunctionArn: functionArn(options.place, options.name, options.version),
  memoryLimitInMB: "128",
  logGroupName: `/aws/lambda/${options.name}`,
  logStreamName: "local",
  callbackWaitsForEmptyEventLoop: false,
  ...(options.tenantId === undefined ? undefined : { tenantId: options.tenantId }),
  getRemainingTimeInMillis: () => Math.max(options.deadline() - options.now(), 0)
})

/** Runs a plain function once: JSON text in, JSON text out. No payload is `null`, no result too. */
export const callPlain = (
  registered: Registered,
  payload: string | undefined,
  options: Omit<Parameters<typeof makeContext>[0], "name" | "deadline"> & { readonly clock: Clock.Clock }
): Effect.Effect<string, InvocationError> =>
  Effect.suspend(() => {
    const limit = registered.options.invocationTimeoutSeconds
    const seconds = limit ?? MAX_INVOCATION_SECONDS
    let deadline = options.now() + seconds * 1000
    const context = makeContext({ ...options, name: registered.name, deadline: () => deadline })
    onAllow(context, (extra) => {
      deadline = options.now() + (seconds + extra) * 1000
    })
    const call = registered.executor(payload === undefined ? null : JSON.parse(payload), context)
    if (limit === undefined) return call
    // the deadline may have moved when it comes
    const timeout: Effect.Effect<never, InvocationError> = Effect.suspend(() => {
      const left = Math.min(deadline - options.now(), limit * 1000)
      return left > 0
        ? Effect.andThen(options.clock.sleep(Duration.millis(left)), timeout)
        : Effect.fail(timedOut(limit))
    })
    return Effect.raceFirst(call, timeout)
  }).pipe(Effect.flatMap(toJson))

/** The JSON that a result is; what has none fails as it does in Lambda's runtime. */
const toJson = (result: unknown): Effect.Effect<string, InvocationError> =>
  Effect.try({
    try: () => JSON.stringify(result ?? null) ?? "null",
    catch: (cause) =>
      new InvocationError({
        errorType: "Runtime.MarshalError",
        reason: `Unable to stringify response body: ${String(cause)}`
      })
  })

/** A random id in the form of a UUID of version 4, from Effect's `Random`, so that a seed makes it repeatable. */
export const uuid = (random: Context.Service.Shape<typeof Random.Random>): string => {
  const bytes = Array.from({ length: 16 }, () => Math.floor(random.nextDoubleUnsafe() * 256))
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  const hex = bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-")
}

// ---- answers -------------------------------------------------------------------------------------

/** What the service makes of an answer. */
export type Verdict =
  | { readonly _tag: "Pending" }
  | { readonly _tag: "Succeeded"; readonly result: string | undefined }
  | { readonly _tag: "Failed"; readonly error: Protocol.ErrorObject }
  | { readonly _tag: "Faulty"; readonly error: InvocationError }

const faulty = (reason: string, errorType = "InvalidParameterValueException"): Verdict => ({
  _tag: "Faulty",
  error: new InvocationError({ errorType, reason })
})

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

/** Absent members may be null or undefined here. What is no error object counts as one that says nothing. */
const readError = Schema.decodeUnknownOption(Protocol.ErrorObject)

const isAbsent = (value: unknown) => value === undefined || value === null

/** (A character takes three bytes at most.) */
const isTooLarge = (answer: object) => {
  const text = JSON.stringify(answer)
  const most = Protocol.Limits.responseBytes + Protocol.Limits.envelopeBytes
  return text.length * 3 > most && Buffer.byteLength(text) > most
}

const TOO_LARGE = faulty(
  "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
  "Function.ResponseSizeTooLarge"
)

/** Judges how an invocation of a durable function ended. `mayBePending`: something is outstanding or unseen. */
export const judge = (exit: Exit.Exit<unknown, InvocationError>, mayBePending: boolean): Verdict => {
  if (Exit.isFailure(exit)) return { _tag: "Faulty", error: fromCause(exit.cause) }
  const answer = exit.value
  if (!isRecord(answer)) return faulty("Invalid Status in invocation output.")
  switch (answer.Status) {
    case "PENDING":
      return mayBePending ? { _tag: "Pending" } : faulty("Cannot return PENDING status with no pending operations.")
    case "SUCCEEDED": {
      if (!isAbsent(answer.Error)) return faulty("Cannot provide an Error for SUCCEEDED status.")
      if (isAbsent(answer.Result)) return { _tag: "Succeeded", result: undefined }
      if (typeof answer.Result !== "string") return faulty("Invalid Result in invocation output.")
      return isTooLarge(answer) ? TOO_LARGE : { _tag: "Succeeded", result: answer.Result }
    }
    case "FAILED": {
      if (!isAbsent(answer.Result)) return faulty("Cannot provide a Result for FAILED status.")
      const error = Option.getOrElse(readError(answer.Error), () => ({}))
      return isTooLarge({ Status: answer.Status, Error: error }) ? TOO_LARGE : { _tag: "Failed", error }
    }
    default:
      return faulty("Invalid Status in invocation output.")
  }
}
