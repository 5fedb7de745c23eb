/**
 * Reads what arrives from the service. The schemas of Protocol say what is allowed; this module adds a
 * fast path for the records of which a long state consists, and envelopes that use it.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Protocol from "../Protocol.ts"

type Raw = Readonly<Record<string, unknown>>

const isRaw = (input: unknown): input is Raw => typeof input === "object" && input !== null && !Array.isArray(input)
const isAbsent = (input: unknown): input is null | undefined => input === undefined || input === null

/** Copies the keys of `input` that have a value and the expected type; `false` when one has another type. */
const copy = (from: Raw, to: Record<string, unknown>, keys: ReadonlyArray<string>, type: "string" | "number" | "boolean") => {
  for (const key of keys) {
    const value = from[key]
    if (isAbsent(value)) continue
    if (typeof value !== type) return false
    to[key] = value
  }
  return true
}

const copyTimestamps = (from: Raw, to: Record<string, unknown>, keys: ReadonlyArray<string>) => {
  for (const key of keys) {
    const millis = isAbsent(from[key]) ? undefined : Protocol.parseTimestamp(from[key])
    if (millis !== undefined) to[key] = millis
  }
}

const TYPES: ReadonlySet<unknown> = new Set(Protocol.OperationType.literals)
const STATUSES: ReadonlySet<unknown> = new Set(Protocol.OperationStatus.literals)
const STRINGS = ["ParentId", "Name", "SubType"]
const ENDS = ["StartTimestamp", "EndTimestamp"]
const ERROR = ["ErrorMessage", "ErrorType", "ErrorData"]
const NONE: ReadonlyArray<string> = []

interface Details {
  readonly key: string
  readonly strings: ReadonlyArray<string>
  readonly numbers?: ReadonlyArray<string>
  readonly booleans?: ReadonlyArray<string>
  readonly timestamps?: ReadonlyArray<string>
}
const DETAILS: ReadonlyArray<Details> = [
  { key: "StepDetails", strings: ["Result"], numbers: ["Attempt"], timestamps: ["NextAttemptTimestamp"] },
  { key: "ContextDetails", strings: ["Result"], booleans: ["ReplayChildren"] },
  { key: "WaitDetails", strings: NONE, timestamps: ["ScheduledEndTimestamp"] },
  { key: "CallbackDetails", strings: ["Result", "CallbackId"] },
  { key: "ChainedInvokeDetails", strings: ["Result"] },
  { key: "ExecutionDetails", strings: ["InputPayload"] }
]

const readDetails = (from: Raw, details: Details): Record<string, unknown> | undefined => {
  const to: Record<string, unknown> = {}
  if (!copy(from, to, details.strings, "string")) return undefined
  if (details.numbers !== undefined && !copy(from, to, details.numbers, "number")) return undefined
  if (details.booleans !== undefined && !copy(from, to, details.booleans, "boolean")) return undefined
  if (details.timestamps !== undefined) copyTimestamps(from, to, details.timestamps)
  const error = from.Error
  if (isAbsent(error)) return to
  const read: Record<string, unknown> = {}
  if (!isRaw(error) || !isAbsent(error.StackTrace) || !copy(error, read, ERROR, "string")) return undefined
  to.Error = read
  return to
}

/**
 * Reading a long state decides how fast a replay starts (the schema takes 3 us for an operation, this 0.5 us).
 * Anything that is not plainly well formed is left to the schema, which says what is wrong with it.
 */
const readOperation = (input: unknown): Protocol.Operation | undefined => {
  if (!isRaw(input) || typeof input.Id !== "string" || !TYPES.has(input.Type) || !STATUSES.has(input.Status)) return undefined
  const operation: Record<string, unknown> = { Id: input.Id, Type: input.Type, Status: input.Status }
  if (!copy(input, operation, STRINGS, "string")) return undefined
  copyTimestamps(input, operation, ENDS)
  for (const details of DETAILS) {
    const from = input[details.key]
    if (isAbsent(from)) continue
    const read = isRaw(from) ? readDetails(from, details) : undefined
    if (read === undefined) return undefined
    operation[details.key] = read
  }
  return operation as unknown as Protocol.Operation
}

const decodeOperation = Schema.decodeUnknownEffect(Protocol.Operation)

/** Decodes recorded operations. One that cannot be read fails the whole list: a state with a gap is not a state. */
export const decodeOperations = (input: unknown): Effect.Effect<ReadonlyArray<Protocol.Operation>, Schema.SchemaError> =>
  Effect.suspend(() => {
    if (isAbsent(input)) return Effect.succeed([])
    if (!Array.isArray(input)) return decodeList(input)
    const operations: Array<Protocol.Operation> = []
    const odd: Array<number> = []
    for (let i = 0; i < input.length; i++) {
      const operation = readOperation(input[i])
      if (operation === undefined) odd.push(i)
      operations.push(operation!)
    }
    return Effect.as(
      Effect.forEach(odd, (i) => Effect.map(decodeOperation(input[i]), (operation) => { operations[i] = operation }), { discard: true }),
      operations
    )
  })

const decodeList = Schema.decodeUnknownEffect(Schema.Array(Protocol.Operation))

// ---- envelopes -------------------------------------------------------------------------------------

const Page = Schema.Struct({
  Operations: Schema.optional(Schema.Unknown),
  NextMarker: Schema.optional(Schema.NullOr(Schema.String))
})
const decodePage = Schema.decodeUnknownEffect(Schema.UndefinedOr(Schema.NullOr(Page)))

/** One page of state. The service's `""` for "no further page" becomes an absent marker. */
export const decodeExecutionState = (input: unknown): Effect.Effect<Protocol.ExecutionStateResponse, Schema.SchemaError> =>
  Effect.flatMap(decodePage(input), (page) =>
    Effect.map(decodeOperations(page?.Operations), (Operations) => ({
      Operations,
      ...(page?.NextMarker ? { NextMarker: page.NextMarker } : undefined)
    })))

const Checkpoint = Schema.Struct({
  CheckpointToken: Schema.optional(Schema.NullOr(Schema.String)),
  NewExecutionState: Schema.optional(Schema.Unknown)
})
const decodeCheckpoint = Schema.decodeUnknownEffect(Checkpoint)

/** The response to a checkpoint. An empty token counts as none: it must never be sent. */
export const decodeCheckpointResponse = (input: unknown): Effect.Effect<Protocol.CheckpointResponse, Schema.SchemaError> =>
  Effect.flatMap(decodeCheckpoint(input), ({ CheckpointToken, NewExecutionState }) =>
    Effect.map(decodeExecutionState(NewExecutionState), (state) => ({
      ...(CheckpointToken ? { CheckpointToken } : undefined),
      NewExecutionState: state
    })))

const Event = Schema.Struct({
  DurableExecutionArn: Schema.NonEmptyString,
  CheckpointToken: Schema.NonEmptyString,
  InitialExecutionState: Schema.optional(Schema.Unknown),
  UpdatedOperationIds: Schema.optional(Schema.NullOr(Schema.Array(Schema.String)))
})
const decodeEvent = Schema.decodeUnknownEffect(Event)

/** The event of an invocation. Fails for anything that Lambda's durable execution service does not send. */
export const decodeInvocationEvent = (input: unknown): Effect.Effect<Protocol.InvocationEvent, Schema.SchemaError> =>
  Effect.flatMap(decodeEvent(input), (event) =>
    Effect.map(decodeExecutionState(event.InitialExecutionState), (state) => ({
      DurableExecutionArn: event.DurableExecutionArn,
      CheckpointToken: event.CheckpointToken,
      InitialExecutionState: state,
      ...(event.UpdatedOperationIds ? { UpdatedOperationIds: event.UpdatedOperationIds } : undefined)
    })))
