/**
 * Reads what arrives from the service, by hand: reading a long state decides how fast a replay starts (a schema
 * takes 3 us for an operation, this 0.5 us), and a bundled handler need not carry the schemas. It accepts what
 * the schemas of `Protocol` accept, and says what is wrong with anything else (a test compares the two).
 */
import * as Result from "effect/Result"
import type * as Protocol from "../Protocol.ts"
import { OPERATION_STATUSES, OPERATION_TYPES, parseTimestamp } from "./wire.ts"

type Raw = Readonly<Record<string, unknown>>

/** Says where and what: `Operations[3].Status is "DONE"`. */
type Fail = (key: string, value: unknown) => undefined

const isRaw = (input: unknown): input is Raw => typeof input === "object" && input !== null && !Array.isArray(input)
const isAbsent = (input: unknown): input is null | undefined => input === undefined || input === null

/** Copies the keys of `from` that have a value of the expected type; false when one has another. */
const copy = (
  from: Raw,
  to: Record<string, unknown>,
  keys: ReadonlyArray<string>,
  type: string,
  fail: Fail
): boolean => {
  for (const key of keys) {
    const value = from[key]
    if (isAbsent(value)) continue
    if (typeof value !== type) {
      fail(key, value)
      return false
    }
    to[key] = value
  }
  return true
}

/** An unreadable timestamp counts as absent: no operation may be lost for it. */
const copyTimestamps = (from: Raw, to: Record<string, unknown>, keys: ReadonlyArray<string>) => {
  for (const key of keys) {
    const millis = isAbsent(from[key]) ? undefined : parseTimestamp(from[key])
    if (millis !== undefined) to[key] = millis
  }
}

const TYPES: ReadonlySet<unknown> = new Set(OPERATION_TYPES)
const STATUSES: ReadonlySet<unknown> = new Set(OPERATION_STATUSES)
const STRINGS = ["ParentId", "Name", "SubType"]
const ENDS = ["StartTimestamp", "EndTimestamp"]
const ERROR = ["ErrorMessage", "ErrorType", "ErrorData"]
const NONE: ReadonlyArray<string> = []

/** The details of each type: strings, numbers, booleans, timestamps. Results come with an error. */
const DETAILS: ReadonlyArray<
  readonly [key: string, ReadonlyArray<string>, ReadonlyArray<string>, ReadonlyArray<string>, ReadonlyArray<string>]
> = [
  ["StepDetails", ["Result"], ["Attempt"], NONE, ["NextAttemptTimestamp"]],
  ["ContextDetails", ["Result"], NONE, ["ReplayChildren"], NONE],
  ["WaitDetails", NONE, NONE, NONE, ["ScheduledEndTimestamp"]],
  ["CallbackDetails", ["Result", "CallbackId"], NONE, NONE, NONE],
  ["ChainedInvokeDetails", ["Result"], NONE, NONE, NONE],
  ["ExecutionDetails", ["InputPayload"], NONE, NONE, NONE]
]

const readError = (error: unknown, fail: Fail): Record<string, unknown> | undefined => {
  if (!isRaw(error)) return fail("Error", error)
  const to: Record<string, unknown> = {}
  if (!copy(error, to, ERROR, "string", fail)) return undefined
  const stack = error.StackTrace
  if (isAbsent(stack)) return to
  if (!Array.isArray(stack) || stack.some((line) => typeof line !== "string")) return fail("StackTrace", stack)
  to.StackTrace = stack
  return to
}

const readOperation = (input: unknown, fail: Fail): Protocol.Operation | undefined => {
  if (!isRaw(input)) return fail("", input)
  if (typeof input.Id !== "string") return fail("Id", input.Id)
  if (!TYPES.has(input.Type)) return fail("Type", input.Type)
  if (!STATUSES.has(input.Status)) return fail("Status", input.Status)
  const operation: Record<string, unknown> = { Id: input.Id, Type: input.Type, Status: input.Status }
  if (!copy(input, operation, STRINGS, "string", fail)) return undefined
  copyTimestamps(input, operation, ENDS)
  for (const [key, strings, numbers, booleans, timestamps] of DETAILS) {
    const from = input[key]
    if (isAbsent(from)) continue
    if (!isRaw(from)) return fail(key, from)
    const to: Record<string, unknown> = {}
    if (
      !copy(from, to, strings, "string", fail) ||
      !copy(from, to, numbers, "number", fail) ||
      !copy(from, to, booleans, "boolean", fail)
    )
      return undefined
    copyTimestamps(from, to, timestamps)
    if (strings !== NONE && !isAbsent(from.Error)) {
      const error = readError(from.Error, fail)
      if (error === undefined) return undefined
      to.Error = error
    }
    operation[key] = to
  }
  return operation as unknown as Protocol.Operation
}

const show = (value: unknown): string => {
  const text =
    value === undefined ? "missing" : typeof value === "bigint" ? `${value}n` : (JSON.stringify(value) ?? typeof value)
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

const wrong = (path: string, value: unknown) => Result.fail(`${path} is ${show(value)}`)

/** Decodes recorded operations. One that cannot be read fails the whole list: a state with a gap is not a state. */
export const decodeOperations = (input: unknown): Result.Result<ReadonlyArray<Protocol.Operation>, string> => {
  if (isAbsent(input)) return Result.succeed([])
  if (!Array.isArray(input)) return wrong("Operations", input)
  const operations: Array<Protocol.Operation> = []
  let fault: Result.Result<never, string> | undefined
  for (let i = 0; i < input.length; i++) {
    const operation = readOperation(input[i], (key, value) => {
      fault = wrong(`Operations[${i}]${key === "" ? "" : `.${key}`}`, value)
      return undefined
    })
    if (operation === undefined) return fault!
    operations.push(operation)
  }
  return Result.succeed(operations)
}

// ---- envelopes -------------------------------------------------------------------------------------

const isText = (value: unknown): value is string => typeof value === "string" && value !== ""

/** One page of state. The service's `""` for "no further page" becomes an absent marker. */
export const decodeExecutionState = (input: unknown): Result.Result<Protocol.ExecutionStateResponse, string> => {
  if (isAbsent(input)) return Result.succeed({ Operations: [] })
  if (!isRaw(input)) return wrong("the execution state", input)
  const { NextMarker: marker } = input
  if (!isAbsent(marker) && typeof marker !== "string") return wrong("NextMarker", marker)
  return Result.map(decodeOperations(input.Operations), (Operations) => ({
    Operations,
    ...(marker ? { NextMarker: marker } : undefined)
  }))
}

/** The response to a checkpoint. An empty token counts as none: it must never be sent. */
export const decodeCheckpointResponse = (input: unknown): Result.Result<Protocol.CheckpointResponse, string> => {
  if (!isRaw(input)) return wrong("the response", input)
  const { CheckpointToken: token } = input
  if (!isAbsent(token) && typeof token !== "string") return wrong("CheckpointToken", token)
  return Result.map(decodeExecutionState(input.NewExecutionState), (state) => ({
    ...(token ? { CheckpointToken: token } : undefined),
    NewExecutionState: state
  }))
}

/** The event of an invocation. Fails for anything that Lambda's durable execution service does not send. */
export const decodeInvocationEvent = (input: unknown): Result.Result<Protocol.InvocationEvent, string> => {
  if (!isRaw(input)) return wrong("the event", input)
  const { CheckpointToken: token, DurableExecutionArn: arn, UpdatedOperationIds: updated } = input
  if (!isText(arn)) return wrong("DurableExecutionArn", arn)
  if (!isText(token)) return wrong("CheckpointToken", token)
  return Result.map(decodeExecutionState(input.InitialExecutionState), (state) => ({
    DurableExecutionArn: arn,
    CheckpointToken: token,
    InitialExecutionState: state,
    // a hint for observers: one that cannot be read is none
    ...(Array.isArray(updated) ? { UpdatedOperationIds: updated.filter(isText) } : undefined)
  }))
}
