/**
 * What `CheckpointDurableExecution` refuses, with the service's own texts. Pure: every check answers a
 * `Rejection` or nothing. A request is checked as a whole before anything of it is applied.
 */
import * as Schema from "effect/Schema"
import * as Protocol from "../Protocol.ts"
import type { ExecutionRecord, OperationRecord } from "./ExecutionStore.ts"

// ---- rejections ----------------------------------------------------------------------------------

/**
 * A request that the service refused, with the name and the HTTP status that it has on the wire.
 * @see [Troubleshooting](../../docs/troubleshooting.md#rejection)
 */
export class Rejection extends Schema.TaggedError<Rejection>()("Rejection", {
  /** For example `InvalidParameterValueException`. */
  errorName: Schema.String,
  status: Schema.Number,
  reason: Schema.String
}) {
  override get message() {
    return this.reason
  }
}

/** HTTP 400, `InvalidParameterValueException`: what nearly every refusal is. */
export const invalid = (reason: string): Rejection =>
  new Rejection({ errorName: "InvalidParameterValueException", status: 400, reason })

/** HTTP 404, `ResourceNotFoundException`. */
export const notFound = (reason: string): Rejection =>
  new Rejection({ errorName: "ResourceNotFoundException", status: 404, reason })

/** HTTP 400, `ValidationException`: members that break the model's constraints; nothing when none does. */
export const violation = (reasons: ReadonlyArray<string>): Rejection | undefined =>
  reasons.length === 0
    ? undefined
    : new Rejection({
        errorName: "ValidationException",
        status: 400,
        reason: `${reasons.length} validation error${reasons.length === 1 ? "" : "s"} detected: ${reasons.join("; ")}`
      })

// ---- limits --------------------------------------------------------------------------------------

/**
 * How strict the engine is. Numbers are upper bounds, `Infinity` switches one off; the defaults are the
 * service's own (`Protocol.Limits`) where it has published any.
 */
export interface Limits {
  /** Operations per execution. Default 3,000. */
  readonly operations: number
  /** Bytes of payloads and errors written per execution. Default 100 MB. */
  readonly storageBytes: number
  /** Bytes of one operation's payload. Default 1 MiB. */
  readonly payloadBytes: number
  /** Bytes of an execution's input or result. Default 6 MiB. */
  readonly executionPayloadBytes: number
  /** Bytes of the input of an execution that is started asynchronously. Default 1 MiB. */
  readonly eventPayloadBytes: number
  /** Longest ExecutionTimeout of a function that is invoked synchronously, and longest wait for its end, in seconds. Default 900. */
  readonly synchronousSeconds: number
  /** Bytes of one error object as JSON. Default 32 KiB. */
  readonly errorBytes: number
  /** Updates in one request. The service publishes no number: off by default. */
  readonly requestUpdates: number
  /** Lengths and patterns of ids, names, subtypes and durations. Default on. */
  readonly patterns: boolean
  /** Refuse to close a CONTEXT that was never started; AWS's emulators do not. Default on. */
  readonly contextMustStart: boolean
  /** Refuse updates under a closed CONTEXT. Nobody knows what the service does: off by default. */
  readonly parentMustBeOpen: boolean
  /** Refuse to start a durable function by an unqualified name. Default on. */
  readonly qualifiedNames: boolean
}

/** The service's limits. */
export const defaultLimits: Limits = {
  operations: Protocol.Limits.operations,
  storageBytes: Protocol.Limits.storageBytes,
  payloadBytes: Protocol.Limits.payloadBytes,
  executionPayloadBytes: 6 * 1024 * 1024,
  eventPayloadBytes: 1024 * 1024,
  synchronousSeconds: 900,
  errorBytes: Protocol.Limits.errorBytes,
  requestUpdates: Infinity,
  patterns: true,
  contextMustStart: true,
  parentMustBeOpen: false,
  qualifiedNames: true
}

// ---- constraints of single fields ----------------------------------------------------------------

const ID = /^[a-zA-Z0-9-_]+$/
const PRINTABLE = /^[\x20-\x7E]+$/
const TENANT = /^[a-zA-Z0-9._:/=+\-@ ]+$/
const CLIENT_TOKEN = /^[\x21-\x7E]+$/

/** Says which constraint of the model a member breaks. */
export const at = (value: unknown, path: string, constraint: string): string =>
  `Value '${String(value)}' at '${path}' failed to satisfy constraint: ${constraint}`

/** Checks the length of a text, from 1 on, and its pattern, which begins with `^` and ends with `$`. */
export const text = (
  value: string | undefined,
  path: string,
  length: number,
  pattern: RegExp
): ReadonlyArray<string> => {
  if (value === undefined) return []
  if (value.length < 1) return [at(value, path, "Member must have length greater than or equal to 1")]
  if (value.length > length) return [at(value, path, `Member must have length less than or equal to ${length}`)]
  if (!pattern.test(value)) {
    return [at(value, path, `Member must satisfy regular expression pattern: ${pattern.source.slice(1, -1)}`)]
  }
  return []
}

/** Checks a whole number between bounds. */
export const whole = (value: number | undefined, path: string, min: number, max: number): ReadonlyArray<string> => {
  if (value === undefined) return []
  if (!Number.isInteger(value)) return [at(value, path, "Member must be an integer")]
  if (value < min) return [at(value, path, `Member must have value greater than or equal to ${min}`)]
  if (value > max) return [at(value, path, `Member must have value less than or equal to ${max}`)]
  return []
}

/** Longest callback timeout, in seconds. */
const CALLBACK_SECONDS = 99_999_999

const fields = (update: Protocol.OperationUpdate, index: number): ReadonlyArray<string> => {
  const path = (name: string) => `updates.${index + 1}.member.${name}`
  return [
    ...text(update.Id, path("id"), Protocol.Limits.idLength, ID),
    ...text(update.ParentId, path("parentId"), Protocol.Limits.idLength, ID),
    ...text(update.Name, path("name"), Protocol.Limits.nameLength, PRINTABLE),
    ...text(update.SubType, path("subType"), Protocol.Limits.subTypeLength, ID),
    ...whole(update.WaitOptions?.WaitSeconds, path("waitOptions.waitSeconds"), 1, Protocol.Limits.durationSeconds),
    ...whole(
      update.StepOptions?.NextAttemptDelaySeconds,
      path("stepOptions.nextAttemptDelaySeconds"),
      1,
      Protocol.Limits.durationSeconds
    ),
    ...whole(update.CallbackOptions?.TimeoutSeconds, path("callbackOptions.timeoutSeconds"), 0, CALLBACK_SECONDS),
    ...whole(
      update.CallbackOptions?.HeartbeatTimeoutSeconds,
      path("callbackOptions.heartbeatTimeoutSeconds"),
      0,
      CALLBACK_SECONDS
    ),
    ...text(update.ChainedInvokeOptions?.FunctionName, path("chainedInvokeOptions.functionName"), 256, /^.+$/),
    ...text(update.ChainedInvokeOptions?.TenantId, path("chainedInvokeOptions.tenantId"), 256, TENANT)
  ]
}

/** Checks what a start names: 1 to 64 characters of `[a-zA-Z0-9-_]`, and a tenant. */
export const checkStart = (name: string | undefined, tenantId: string | undefined): Rejection | undefined =>
  violation([...text(name, "durableExecutionName", 64, ID), ...text(tenantId, "tenantId", 256, TENANT)])

// ---- sizes ---------------------------------------------------------------------------------------

/** Bytes of a text in UTF-8. */
export const byteLength = (value: string | undefined): number => (value === undefined ? 0 : Buffer.byteLength(value))

/** Bytes that an update adds to what its execution has written. */
export const updateBytes = (update: Protocol.OperationUpdate): number =>
  byteLength(update.Payload) + (update.Error === undefined ? 0 : byteLength(JSON.stringify(update.Error)))

const checkSizes = (update: Protocol.OperationUpdate, limits: Limits): Rejection | undefined => {
  const limit = update.Type === "EXECUTION" ? limits.executionPayloadBytes : limits.payloadBytes
  if (byteLength(update.Payload) > limit) {
    const direction = update.Type === "CHAINED_INVOKE" ? "input" : "output"
    return invalid(`${update.Type} ${direction} payload size must be less than or equal to ${limit} bytes.`)
  }
  if (update.Error !== undefined && byteLength(JSON.stringify(update.Error)) > limits.errorBytes) {
    return invalid(`Error object size must be less than ${limits.errorBytes} bytes.`)
  }
  return undefined
}

// ---- the request ---------------------------------------------------------------------------------

const ACTIONS: Readonly<Record<Protocol.OperationType, ReadonlyArray<Protocol.OperationAction>>> = {
  EXECUTION: ["SUCCEED", "FAIL"],
  CONTEXT: ["START", "SUCCEED", "FAIL"],
  STEP: ["START", "SUCCEED", "FAIL", "RETRY"],
  WAIT: ["START", "CANCEL"],
  CALLBACK: ["START"],
  CHAINED_INVOKE: ["START"]
}

const checkAction = (update: Protocol.OperationUpdate): Rejection | undefined => {
  if (!Object.hasOwn(ACTIONS, update.Type)) return invalid("Unknown operation type.")
  if (ACTIONS[update.Type].includes(update.Action)) return undefined
  return invalid(
    update.Type === "EXECUTION" ? "Invalid EXECUTION action." : "Invalid action for the given operation type."
  )
}

const isPair = (first: Protocol.OperationUpdate, second: Protocol.OperationUpdate) =>
  (first.Type === "STEP" || first.Type === "CONTEXT") && first.Action === "START" && second.Action !== "START"

/** EXECUTION at most once and last; one update per id, or START and the end of a STEP or CONTEXT. */
const checkOrder = (updates: ReadonlyArray<Protocol.OperationUpdate>): Rejection | undefined => {
  const seen = new Map<string, { readonly first: Protocol.OperationUpdate; readonly count: number }>()
  const executions = updates.filter((update) => update.Type === "EXECUTION").length
  if (executions > 1) return invalid("Cannot checkpoint multiple EXECUTION updates.")
  if (executions === 1 && updates.at(-1)?.Type !== "EXECUTION") {
    return invalid("EXECUTION checkpoint must be the last update.")
  }
  for (const update of updates) {
    if (update.Type === "EXECUTION") continue // its id is ignored
    const before = seen.get(update.Id)
    if (before === undefined) {
      seen.set(update.Id, { first: update, count: 1 })
    } else if (before.first.Type !== update.Type) {
      return invalid("Cannot checkpoint multiple operations with the same ID.")
    } else if (before.count > 1 || !isPair(before.first, update)) {
      return invalid("Cannot update the same operation twice in a single request.")
    } else {
      seen.set(update.Id, { first: before.first, count: 2 })
    }
  }
  return undefined
}

/**
 * Checks a request by itself: fields, types and actions, sizes, the order of its updates. What depends on
 * the execution's state is checked update by update, by `checkUpdate`.
 */
export const checkRequest = (
  updates: ReadonlyArray<Protocol.OperationUpdate>,
  clientToken: string,
  limits: Limits
): Rejection | undefined => {
  if (limits.patterns) {
    const reasons = updates.flatMap(fields)
    const refused = violation(
      clientToken === "" ? reasons : [...reasons, ...text(clientToken, "clientToken", 64, CLIENT_TOKEN)]
    )
    if (refused !== undefined) return refused
  }
  if (updates.length > limits.requestUpdates) {
    return invalid(`A checkpoint can have at most ${limits.requestUpdates} updates.`)
  }
  for (const update of updates) {
    const refused = checkAction(update) ?? checkSizes(update, limits)
    if (refused !== undefined) return refused
  }
  return checkOrder(updates)
}

// ---- one update against the state ----------------------------------------------------------------

/** Reads the execution as the request has left it so far. */
export type Lookup = (id: string) => OperationRecord | undefined

const checkMetadata = (known: Protocol.Operation, update: Protocol.OperationUpdate): Rejection | undefined => {
  if (known.Type !== update.Type) return invalid("Inconsistent operation type.")
  if (known.SubType !== update.SubType) return invalid("Inconsistent operation subtype.")
  if (known.Name !== update.Name) return invalid("Inconsistent operation name.")
  if (known.ParentId !== update.ParentId) return invalid("Inconsistent parent operation id.")
  return undefined
}

const checkParent = (update: Protocol.OperationUpdate, lookup: Lookup, limits: Limits): Rejection | undefined => {
  if (update.ParentId === undefined) return undefined
  const parent = lookup(update.ParentId)?.operation
  const fits = parent?.Type === "CONTEXT" && !(limits.parentMustBeOpen && Protocol.isTerminal(parent.Status))
  return fits ? undefined : invalid("Invalid parent operation id.")
}

const checkOutcome = (update: Protocol.OperationUpdate): Rejection | undefined => {
  if (update.Action === "SUCCEED" && update.Error !== undefined) {
    return invalid("Cannot provide an Error for SUCCEED action.")
  }
  if (update.Action === "FAIL" && update.Payload !== undefined) {
    return invalid("Cannot provide a Payload for FAIL action.")
  }
  return undefined
}

const checkStep = (status: Protocol.OperationStatus | undefined, update: Protocol.OperationUpdate) => {
  const open = status === undefined || status === "STARTED" || status === "READY"
  switch (update.Action) {
    case "START":
      return status === undefined || status === "READY" ? undefined : invalid("Invalid current STEP state to start.")
    case "RETRY":
      if (!open) return invalid("Invalid current STEP state to re-attempt.")
      if (update.StepOptions?.NextAttemptDelaySeconds === undefined) {
        return invalid("Invalid StepOptions for the given action.")
      }
      return update.Error !== undefined && update.Payload !== undefined
        ? invalid("Cannot provide both error and payload to RETRY a STEP.")
        : undefined
    default:
      return open ? undefined : invalid("Invalid current STEP state to close.")
  }
}

const checkContext = (
  status: Protocol.OperationStatus | undefined,
  update: Protocol.OperationUpdate,
  limits: Limits
) => {
  if (update.Action === "START") {
    return status === undefined ? undefined : invalid("Cannot start a CONTEXT that already exists.")
  }
  return status === "STARTED" || (status === undefined && !limits.contextMustStart)
    ? undefined
    : invalid("Invalid current CONTEXT state to close.")
}

const checkWait = (status: Protocol.OperationStatus | undefined, update: Protocol.OperationUpdate) => {
  if (update.Action === "CANCEL") {
    return status === "STARTED"
      ? undefined
      : invalid("Cannot cancel a WAIT that does not exist or has already completed.")
  }
  if (status !== undefined) return invalid("Cannot start a WAIT that already exists.")
  return update.WaitOptions?.WaitSeconds === undefined
    ? invalid("Update for WAIT operation requires WaitOptions.")
    : undefined
}

const checkState = (
  status: Protocol.OperationStatus | undefined,
  update: Protocol.OperationUpdate,
  limits: Limits
): Rejection | undefined => {
  switch (update.Type) {
    case "STEP":
      return checkStep(status, update)
    case "CONTEXT":
      return checkContext(status, update, limits)
    case "WAIT":
      return checkWait(status, update)
    case "CALLBACK":
      return status === undefined ? undefined : invalid("Cannot start a CALLBACK that already exists.")
    case "CHAINED_INVOKE":
      if (status !== undefined) return invalid("Cannot start a CHAINED_INVOKE that already exists.")
      return update.ChainedInvokeOptions === undefined
        ? invalid("Update for CHAINED_INVOKE operation requires ChainedInvokeOptions.")
        : undefined
    case "EXECUTION":
      return undefined
  }
}

const checkQuotas = (
  execution: ExecutionRecord,
  update: Protocol.OperationUpdate,
  isNew: boolean,
  limits: Limits
): Rejection | undefined => {
  if (isNew && execution.operations >= limits.operations) {
    return invalid(`Durable execution cannot have more than ${limits.operations} operations.`)
  }
  if (execution.bytes + updateBytes(update) > limits.storageBytes) {
    return invalid(`Durable execution cannot write more than ${limits.storageBytes} bytes.`)
  }
  return undefined
}

/** Checks one update against the state that the updates before it have left. */
export const checkUpdate = (
  execution: ExecutionRecord,
  lookup: Lookup,
  update: Protocol.OperationUpdate,
  limits: Limits
): Rejection | undefined => {
  if (update.Type === "EXECUTION") return checkOutcome(update) ?? checkQuotas(execution, update, false, limits)
  const known = lookup(update.Id)?.operation
  return (
    (known === undefined ? undefined : checkMetadata(known, update)) ??
    checkParent(update, lookup, limits) ??
    checkState(known?.Status, update, limits) ??
    checkOutcome(update) ??
    checkQuotas(execution, update, known === undefined, limits)
  )
}
