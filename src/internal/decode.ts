/**
 * Reads what arrives from the service, by hand: reading a long state decides how fast a replay starts (a schema
 * takes 3 us for an operation, this 0.5 us), and a bundled handler need not carry the schemas. It accepts what
 * the schemas of `Protocol` accept, and says what is wrong with anything else (a test compares the two).
 */
import * as Result from "effect/Result"
import type * as Protocol from "../Protocol.ts"
import { clip, OPERATION_STATUSES, OPERATION_TYPES, parseTimestamp } from "./wire.ts"

type Raw = Readonly<Record<string, unknown>>

/** Says where and what: `Operations[3].Status is "DONE"`. */
type Fail = (key: string, value: unknown) => undefined

const isRaw = (input: unknown): input is Raw => typeof input === "object" && input !== null && !Array.isArray(input)
const isAbsent = (input: unknown): input is null | undefined => input === undefined || input === null

/** What a key holds; an unreadable timestamp counts as absent: no operation may be lost for it. */
type Kind = "string" | "number" | "boolean" | "timestamp" | "strings" | Shape
type Shape = ReadonlyArray<readonly [key: string, kind: Kind]>

const shape = (keys: Readonly<Record<string, Kind>>): Shape => Object.entries(keys)

const isStrings = (value: unknown) => Array.isArray(value) && value.every((line) => typeof line === "string")

/** Copies the keys that are known and have a value; `undefined` when one has a value of another kind. */
const copy = (from: Raw, known: Shape, fail: Fail): Record<string, unknown> | undefined => {
  const to: Record<string, unknown> = {}
  for (let i = 0; i < known.length; i++) {
    const field = known[i]! // (to take it apart makes an iterator, until the code is hot)
    const key = field[0]
    const kind = field[1]
    const value = from[key]
    if (value === undefined || value === null) continue
    if (kind === "timestamp") {
      const millis = parseTimestamp(value)
      if (millis !== undefined) to[key] = millis
    } else if (typeof kind === "object") {
      if (!nested(to, key, value, kind, fail)) return undefined
    } else if (kind === "strings" ? isStrings(value) : typeof value === kind) {
      to[key] = value
    } else {
      return fail(key, value)
    }
  }
  return to
}

/** Copies what has keys of its own, if it has a value, and says whether that could be read. */
const nested = (to: Record<string, unknown>, key: string, value: unknown, known: Shape, fail: Fail): boolean =>
  value === null || (to[key] = isRaw(value) ? copy(value, known, fail) : fail(key, value)) !== undefined

const TYPES: ReadonlyArray<unknown> = OPERATION_TYPES
const STATUSES: ReadonlyArray<unknown> = OPERATION_STATUSES
const ERROR = /*#__PURE__*/ shape({
  ErrorMessage: "string",
  ErrorType: "string",
  ErrorData: "string",
  StackTrace: "strings"
})
const OUTCOME = { Result: "string", Error: ERROR } as const
const STEP = /*#__PURE__*/ shape({ ...OUTCOME, Attempt: "number", NextAttemptTimestamp: "timestamp" })
const CONTEXT = /*#__PURE__*/ shape({ ...OUTCOME, ReplayChildren: "boolean" })
const WAIT = /*#__PURE__*/ shape({ ScheduledEndTimestamp: "timestamp" })
const CALLBACK = /*#__PURE__*/ shape({ ...OUTCOME, CallbackId: "string" })
const INVOKE = /*#__PURE__*/ shape(OUTCOME)
const EXECUTION = /*#__PURE__*/ shape({ InputPayload: "string" })

/** A plain object as far as anybody sees, but one whose fields V8 makes room for from the start. */
const Operation = function (this: Record<string, unknown>, id: string, type: unknown, status: unknown) {
  this.Id = id
  this.Type = type
  this.Status = status
} as unknown as new (id: string, type: unknown, status: unknown) => Record<string, unknown>
Operation.prototype = Object.prototype

/**
 * (by names, not by a list of them: that is what reading a long state takes most of. In an order of its own, so that
 * operations have few shapes: all that follows reads them faster then.)
 */
const readOperation = (input: unknown, fail: Fail): Protocol.Operation | undefined => {
  if (!isRaw(input)) return fail("", input)
  const { EndTimestamp, Id, Name, ParentId, StartTimestamp, Status, SubType, Type } = input
  const { CallbackDetails, ChainedInvokeDetails, ContextDetails, ExecutionDetails, StepDetails, WaitDetails } = input
  if (typeof Id !== "string") return fail("Id", Id)
  if (!TYPES.includes(Type)) return fail("Type", Type)
  if (!STATUSES.includes(Status)) return fail("Status", Status)
  const to = new Operation(Id, Type, Status)
  if (typeof ParentId === "string") to.ParentId = ParentId
  else if (!isAbsent(ParentId)) return fail("ParentId", ParentId)
  if (typeof Name === "string") to.Name = Name
  else if (!isAbsent(Name)) return fail("Name", Name)
  if (typeof SubType === "string") to.SubType = SubType
  else if (!isAbsent(SubType)) return fail("SubType", SubType)
  const started = parseTimestamp(StartTimestamp)
  if (started !== undefined) to.StartTimestamp = started
  const ended = parseTimestamp(EndTimestamp)
  if (ended !== undefined) to.EndTimestamp = ended
  return (StepDetails === undefined || nested(to, "StepDetails", StepDetails, STEP, fail)) &&
    (ContextDetails === undefined || nested(to, "ContextDetails", ContextDetails, CONTEXT, fail)) &&
    (WaitDetails === undefined || nested(to, "WaitDetails", WaitDetails, WAIT, fail)) &&
    (CallbackDetails === undefined || nested(to, "CallbackDetails", CallbackDetails, CALLBACK, fail)) &&
    (ChainedInvokeDetails === undefined || nested(to, "ChainedInvokeDetails", ChainedInvokeDetails, INVOKE, fail)) &&
    (ExecutionDetails === undefined || nested(to, "ExecutionDetails", ExecutionDetails, EXECUTION, fail))
    ? (to as unknown as Protocol.Operation)
    : undefined
}

const show = (value: unknown): string => {
  const text =
    value === undefined ? "missing" : typeof value === "bigint" ? `${value}n` : (JSON.stringify(value) ?? typeof value)
  return clip(text)
}

const wrong = (path: string, value: unknown) => Result.fail(`${path} is ${show(value)}`)

/** Decodes recorded operations. One that cannot be read fails the whole list: a state with a gap is not a state. */
export const decodeOperations = (input: unknown): Result.Result<ReadonlyArray<Protocol.Operation>, string> => {
  if (isAbsent(input)) return Result.succeed([])
  if (!Array.isArray(input)) return wrong("Operations", input)
  const operations: Array<Protocol.Operation> = []
  let fault: Result.Result<never, string> | undefined
  const fail: Fail = (key, value) => {
    fault = wrong(`Operations[${operations.length}]${key === "" ? "" : `.${key}`}`, value)
    return undefined
  }
  for (let i = 0; i < input.length; i++) {
    const operation = readOperation(input[i], fail)
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
