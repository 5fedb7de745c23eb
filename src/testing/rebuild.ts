/**
 * From a history back to the operations that it tells of: what an invocation would be given to replay.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as util from "node:util"
import * as History from "../History.ts"
import type * as Protocol from "../Protocol.ts"

/**
 * This is no history, or only a part of one.
 * @see [Troubleshooting](../../docs/troubleshooting.md#historyunreadable)
 */
export class HistoryUnreadable extends Schema.TaggedError<HistoryUnreadable>()("HistoryUnreadable", {
  reason: Schema.String
}) {
  override get message() {
    return `This is not the history of a durable execution: ${this.reason}`
  }
}

/** What of a history is needed to replay it. */
export interface Rebuilt {
  /** As `GetDurableExecutionState` gives them, the EXECUTION operation first. */
  readonly operations: ReadonlyArray<Protocol.Operation>
  /** Operations whose payload or error the history does not hold, the EXECUTION operation for its input. */
  readonly unknown: ReadonlySet<string>
  /** How it has ended, if it has. */
  readonly end:
    | {
        readonly status: Protocol.ExecutionStatus
        readonly result?: string | undefined
        readonly error?: Protocol.ErrorObject | undefined
        /** The result, or the error, is not in the history. */
        readonly unknown: boolean
      }
    | undefined
}

const isMembers = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

/** The events of a page, or of several; of those that go on, why they cannot be read. */
const eventsOf = (history: unknown): Effect.Effect<ReadonlyArray<unknown>, HistoryUnreadable> => {
  const pages = Array.isArray(history) && history.every((page) => isMembers(page) && Array.isArray(page["Events"]))
  if (pages && history.length > 0) {
    const all = history as ReadonlyArray<Readonly<Record<string, unknown>>>
    const { NextMarker } = all.at(-1)!
    return eventsOf({ Events: all.flatMap(({ Events }) => Events), NextMarker })
  }
  const { Events = history, NextMarker } = isMembers(history) ? history : {}
  if (typeof NextMarker === "string" && NextMarker !== "") {
    return Effect.fail(
      new HistoryUnreadable({ reason: "it goes on (NextMarker): put the events of all pages together" })
    )
  }
  return Array.isArray(Events)
    ? Effect.succeed(Events)
    : Effect.fail(new HistoryUnreadable({ reason: "it is neither a list of events nor has it one (Events)" }))
}

/**
 * The events in what `GetDurableExecutionHistory` returns, in a list of its pages, or a list of them. Types of events that
 * are not known here are left out: they are nothing of what is replayed.
 */
export const readEvents = (history: unknown): Effect.Effect<ReadonlyArray<History.KnownEvent>, HistoryUnreadable> =>
  Effect.gen(function* () {
    const events = yield* Effect.mapError(
      History.decodeEvents(yield* eventsOf(history)),
      ({ message }) => new HistoryUnreadable({ reason: message })
    )
    const byId = new Map<number, History.Event>()
    for (const event of events) {
      const before = byId.get(event.EventId)
      if (before !== undefined && !util.isDeepStrictEqual(before, event)) {
        return yield* new HistoryUnreadable({
          reason: `there are two events ${event.EventId}: is it of one execution?`
        })
      }
      byId.set(event.EventId, event)
    }
    const ordered = [...byId.values()].sort((left, right) => left.EventId - right.EventId)
    const known = ordered.filter(History.isKnown)
    if (known[0]?.EventType !== "ExecutionStarted") {
      return yield* new HistoryUnreadable({ reason: "it does not begin with ExecutionStarted" })
    }
    for (let id = 1; id <= ordered.at(-1)!.EventId; id++) {
      if (!byId.has(id)) return yield* new HistoryUnreadable({ reason: `event ${id} is missing` })
    }
    return known
  })

interface Held {
  readonly Payload?: unknown
  readonly Truncated?: boolean
}

/** What an event says of an outcome. */
const outcomeOf = (event: History.KnownEvent): { readonly Result?: Held; readonly Error?: Held } =>
  History.detailsOf(event) ?? {}

const TYPES = {
  Step: "STEP",
  Context: "CONTEXT",
  Wait: "WAIT",
  Callback: "CALLBACK",
  ChainedInvoke: "CHAINED_INVOKE"
} as const
const EVENT = /^(Step|Context|Wait|Callback|ChainedInvoke)(Started|Succeeded|Failed|TimedOut|Stopped|Cancelled)$/
const STATUSES = {
  Started: "STARTED",
  Succeeded: "SUCCEEDED",
  Failed: "FAILED",
  TimedOut: "TIMED_OUT",
  Stopped: "STOPPED",
  Cancelled: "CANCELLED"
} as const
const DETAILS = {
  STEP: "StepDetails",
  CONTEXT: "ContextDetails",
  CALLBACK: "CallbackDetails",
  CHAINED_INVOKE: "ChainedInvokeDetails"
} as const

/** Rebuilds the state at the end of the history. Events of types that are not known here are nothing of what is replayed. */
export const rebuild = (history: ReadonlyArray<History.Event>): Rebuilt => {
  const events = history.filter(History.isKnown)
  const operations = new Map<string, Protocol.Operation>()
  const unknown = new Set<string>()
  let end: Rebuilt["end"]
  // an absent payload is none where the history holds payloads at all
  const holdsData = events.some((event) => {
    const { Error, Result } = outcomeOf(event)
    const held = event.ExecutionStartedDetails?.Input
    return [Error, Result, held].some((one) => one?.Payload !== undefined || one?.Truncated === false)
  })
  const isUnknown = (held: Held | undefined): boolean =>
    held?.Truncated === true || (!holdsData && held?.Payload === undefined)

  for (const event of events) {
    const id = event.Id ?? ""
    const at = event.EventTimestamp === undefined ? {} : { StartTimestamp: event.EventTimestamp }
    const { Error: error, Result: result } = outcomeOf(event)
    if (event.EventType === "ExecutionStarted") {
      const input = event.ExecutionStartedDetails?.Input
      if (isUnknown(input)) unknown.add(id)
      operations.set(id, {
        Id: id,
        Type: "EXECUTION",
        ...(event.Name === undefined ? undefined : { Name: event.Name }),
        Status: "STARTED",
        ...at,
        ExecutionDetails: input?.Payload === undefined ? {} : { InputPayload: input.Payload }
      })
      continue
    }
    if (event.EventType.startsWith("Execution")) {
      const status = event.EventType.slice("Execution".length)
      end = {
        status: status === "TimedOut" ? "TIMED_OUT" : (status.toUpperCase() as Protocol.ExecutionStatus),
        result: result?.Payload as string | undefined,
        error: error?.Payload as Protocol.ErrorObject | undefined,
        unknown: isUnknown(status === "Succeeded" ? result : error)
      }
      continue
    }
    const [, family, what] = EVENT.exec(event.EventType) ?? []
    if (family === undefined || what === undefined) continue
    const type = TYPES[family as keyof typeof TYPES]
    const before = operations.get(id)
    const base: Protocol.Operation = before ?? {
      Id: id,
      Type: type,
      ...(event.Name === undefined ? undefined : { Name: event.Name }),
      ...(event.ParentId === undefined ? undefined : { ParentId: event.ParentId }),
      ...(event.SubType === undefined ? undefined : { SubType: event.SubType }),
      Status: "STARTED",
      ...at
    }
    if (what === "Started") {
      unknown.delete(id) // of the attempt before
      operations.set(id, started(base, event))
      continue
    }
    const status = STATUSES[what as keyof typeof STATUSES]
    const retry = event.StepFailedDetails?.RetryDetails ?? event.StepSucceededDetails?.RetryDetails
    const delay = retry?.NextAttemptDelaySeconds
    const outcome = {
      ...(result?.Payload === undefined ? undefined : { Result: result.Payload as string }),
      ...(error?.Payload === undefined ? undefined : { Error: error.Payload as Protocol.ErrorObject })
    }
    if (type !== "WAIT" && isUnknown(result ?? error)) unknown.add(id)
    const detailsKey = type === "WAIT" ? undefined : DETAILS[type]
    const details = {
      ...(detailsKey === undefined ? undefined : base[detailsKey]),
      ...outcome,
      ...(type === "STEP" ? { Attempt: retry?.CurrentAttempt ?? (base.StepDetails?.Attempt ?? 0) + 1 } : undefined),
      ...(delay === undefined ? undefined : { NextAttemptTimestamp: (event.EventTimestamp ?? 0) + delay * 1000 })
    }
    operations.set(id, {
      ...base,
      Status: delay === undefined ? status : "PENDING",
      ...(delay !== undefined || event.EventTimestamp === undefined
        ? undefined
        : { EndTimestamp: event.EventTimestamp }),
      ...(detailsKey === undefined ? undefined : { [detailsKey]: details })
    })
  }
  return { operations: [...operations.values()], unknown, end }
}

const started = (base: Protocol.Operation, event: History.Event): Protocol.Operation => {
  switch (base.Type) {
    case "STEP":
      return { ...base, Status: "STARTED", StepDetails: { Attempt: base.StepDetails?.Attempt ?? 0 } }
    case "WAIT": {
      const at = event.WaitStartedDetails?.ScheduledEndTimestamp
      return { ...base, WaitDetails: at === undefined ? {} : { ScheduledEndTimestamp: at } }
    }
    case "CALLBACK":
      return { ...base, CallbackDetails: { CallbackId: event.CallbackStartedDetails?.CallbackId ?? "" } }
    case "CHAINED_INVOKE":
      return { ...base, ChainedInvokeDetails: {} }
    default:
      return base
  }
}

/** The contexts that might be rebuilt from their children: the history does not say of which that is true. */
export const withRebuilding = (
  operations: ReadonlyArray<Protocol.Operation>,
  which: (context: Protocol.Operation) => boolean
): ReadonlyArray<Protocol.Operation> => {
  const parents = new Set(operations.map(({ ParentId }) => ParentId))
  return operations.map((operation) =>
    operation.Type === "CONTEXT" && operation.Status === "SUCCEEDED" && parents.has(operation.Id) && which(operation)
      ? { ...operation, ContextDetails: { ...operation.ContextDetails, ReplayChildren: true } }
      : operation
  )
}
