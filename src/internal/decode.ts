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

const STRINGS = ["ParentId", "Name", "SubType"]
const RESULT = ["Result"]
const ENDS = ["StartTimestamp", "EndTimestamp"]
const NEXT = ["NextAttemptTimestamp"]
const SCHEDULED = ["ScheduledEndTimestamp"]
const ATTEMPT = ["Attempt"]
const TYPES: ReadonlySet<unknown> = new Set(Protocol.OperationType.literals)
const STATUSES: ReadonlySet<unknown> = new Set(Protocol.OperationStatus.literals)

/**
 * Steps and waits are nearly all of a long state, and reading them decides how fast a replay starts
 * (the schema takes 3 us each, this 0.3 us). Anything that is not plainly well formed is left to the schema.
 */
const readCommon = (input: unknown): Protocol.Operation | undefined => {
  if (!isRaw(input) || typeof input.Id !== "string" || !TYPES.has(input.Type) || !STATUSES.has(input.Status)) return undefined
  const step = input.StepDetails
  const wait = input.WaitDetails
  if (
    !isAbsent(input.ExecutionDetails) || !isAbsent(input.ContextDetails) || !isAbsent(input.CallbackDetails) ||
    !isAbsent(input.ChainedInvokeDetails)
  ) return undefined
  const operation: Record<string, unknown> = { Id: input.Id, Type: input.Type, Status: input.Status }
  if (!copy(input, operation, STRINGS, "string")) return undefined
  copyTimestamps(input, operation, ENDS)
  if (!isAbsent(step)) {
    if (!isRaw(step) || !isAbsent(step.Error)) return undefined
    const details: Record<string, unknown> = {}
    if (!copy(step, details, RESULT, "string") || !copy(step, details, ATTEMPT, "number")) return undefined
    copyTimestamps(step, details, NEXT)
    operation.StepDetails = details
  }
  if (!isAbsent(wait)) {
    if (!isRaw(wait)) return undefined
    const details: Record<string, unknown> = {}
    copyTimestamps(wait, details, SCHEDULED)
    operation.WaitDetails = details
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
      const operation = readCommon(input[i])
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
