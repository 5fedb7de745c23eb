/**
 * What an invocation is shown of its execution, and in which portions: the state in the order of starting,
 * what changed since it last heard, and markers for what does not fit.
 */
import * as Base64 from "effect/encoding/Base64"
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import * as Protocol from "../Protocol.ts"
import type { OperationRecord } from "./ExecutionStore.ts"
import { byteLength } from "./validate.ts"

/** How much goes into one page. */
export interface PageSize {
  readonly items: number
  /** Estimated bytes of JSON. */
  readonly bytes: number
}

/** Keys, timestamps and ids of an operation, roughly. */
const ENVELOPE_BYTES = 300

const operationBytes = (operation: Protocol.Operation): number => {
  const details =
    operation.StepDetails ?? operation.ContextDetails ?? operation.CallbackDetails ?? operation.ChainedInvokeDetails
  return (
    ENVELOPE_BYTES +
    byteLength(details?.Result) +
    byteLength(operation.ExecutionDetails?.InputPayload) +
    (details?.Error === undefined ? 0 : byteLength(JSON.stringify(details.Error)))
  )
}

/** Takes a page from `from` on. `next` is where the following one begins. */
export const cut = (
  operations: ReadonlyArray<Protocol.Operation>,
  from: number,
  size: PageSize,
  /** A page must get on; the first one of an event may be empty, as the service's is when the input is large. */
  mayBeEmpty = false
): { readonly page: ReadonlyArray<Protocol.Operation>; readonly next: number | undefined } => {
  let bytes = 0
  let to = from
  while (to < operations.length && to - from < size.items) {
    bytes += operationBytes(operations[to]!)
    if (bytes > size.bytes && (to > from || mayBeEmpty)) break
    to += 1
  }
  return { page: operations.slice(from, to), next: to < operations.length ? to : undefined }
}

/**
 * The state that an invocation is given: without the children of completed contexts, unless they are to be
 * replayed.
 */
export const visible = (records: Iterable<OperationRecord>): ReadonlyArray<Protocol.Operation> => {
  const hiding = new Set<string>()
  const operations: Array<Protocol.Operation> = []
  for (const { operation } of records) {
    const hidden = operation.ParentId !== undefined && hiding.has(operation.ParentId)
    if (!hidden) operations.push(operation)
    const closed = operation.Type === "CONTEXT" && Protocol.isTerminal(operation.Status)
    if (hidden || (closed && operation.ContextDetails?.ReplayChildren !== true)) hiding.add(operation.Id)
  }
  return operations
}

// ---- markers -------------------------------------------------------------------------------------

/** Where a page begins: in the state, or among the changes `from` up to `to`. */
export type Marker =
  | { readonly _tag: "State"; readonly offset: number }
  | { readonly _tag: "Delta"; readonly from: number; readonly to: number; readonly offset: number }

/** A marker as callers see it: opaque, and of this execution only. */
export const writeMarker = (executionId: string, marker: Marker): string =>
  Base64.encode(
    marker._tag === "State"
      ? `${executionId} state ${marker.offset}`
      : `${executionId} delta ${marker.offset} ${marker.from} ${marker.to}`
  )

const MARKER = /^(\S+) (state|delta) (\d+)(?: (\d+) (\d+))?$/

/** Reads a marker; nothing for one that is not of this execution. */
export const readMarker = (executionId: string, text: string): Marker | undefined => {
  const [, id, kind, offset, from, to] = MARKER.exec(Result.getOrElse(Base64.decodeString(text), () => "")) ?? []
  if (id !== executionId) return undefined
  return kind === "state"
    ? { _tag: "State", offset: Number(offset) }
    : { _tag: "Delta", offset: Number(offset), from: Number(from), to: Number(to) }
}

// ---- events --------------------------------------------------------------------------------------

/**
 * Below this, every reader takes a number for seconds. Only a test's clock is there (it starts in 1970);
 * its times travel as text, which is also allowed.
 */
const MILLISECONDS_FROM = 1e11

const TIMESTAMPS: ReadonlySet<string> = new Set([
  "StartTimestamp",
  "EndTimestamp",
  "NextAttemptTimestamp",
  "ScheduledEndTimestamp"
])

/** ISO text to the microsecond: successive requests of one instant differ only there. */
const toText = (millis: number): string => {
  const whole = Math.floor(millis)
  const micros = Math.round((millis - whole) * 1000)
  return DateTime.formatIso(DateTime.makeUnsafe(whole)).replace("Z", `${String(micros).padStart(3, "0")}Z`)
}

const withTextTimes = (key: string, value: unknown): unknown =>
  typeof value === "number" && TIMESTAMPS.has(key) ? toText(value) : value

/** The event of an invocation as the handler gets it: JSON and nothing else. `startedAt`: epoch milliseconds. */
export const toJson = (startedAt: number, event: unknown): unknown =>
  JSON.parse(startedAt < MILLISECONDS_FROM ? JSON.stringify(event, withTextTimes) : JSON.stringify(event))
