/**
 * The history of an execution, as `GetDurableExecutionHistory` returns it: one event per thing that
 * happened, numbered from 1. The local engine writes it, tests and tools read it.
 *
 * Who reads it must not break when AWS adds types of events: they are kept as they are (`decodeEvents`).
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { readable } from "./internal/envelope.ts"
import * as Protocol from "./Protocol.ts"

const key = Schema.optionalKey

/** A payload in the history; `Truncated` when the service kept only a part of it, or data was not asked for. */
export const EventInput = Schema.Struct({ Payload: key(Schema.String), Truncated: key(Schema.Boolean) })
/** A result in the history. */
export const EventResult = Schema.Struct({ Payload: key(Schema.String), Truncated: key(Schema.Boolean) })
/** An error in the history. */
export const EventError = Schema.Struct({ Payload: key(Protocol.ErrorObject), Truncated: key(Schema.Boolean) })

/** Which attempt this was (from 1) and, when another follows, after how many seconds. */
const RetryDetails = Schema.Struct({ CurrentAttempt: key(Schema.Number), NextAttemptDelaySeconds: key(Schema.Number) })

/** The details of each type of event. The key of an event is its type with `Details` behind it. */
const details = {
  ExecutionStarted: Schema.Struct({ Input: EventInput, ExecutionTimeout: Schema.Number }),
  ExecutionSucceeded: Schema.Struct({ Result: EventResult }),
  ExecutionFailed: Schema.Struct({ Error: EventError }),
  ExecutionTimedOut: Schema.Struct({ Error: key(EventError) }),
  ExecutionStopped: Schema.Struct({ Error: EventError }),
  ContextStarted: Schema.Struct({}),
  ContextSucceeded: Schema.Struct({ Result: EventResult }),
  ContextFailed: Schema.Struct({ Error: EventError }),
  WaitStarted: Schema.Struct({ Duration: Schema.Number, ScheduledEndTimestamp: Protocol.Timestamp }),
  WaitSucceeded: Schema.Struct({ Duration: key(Schema.Number) }),
  WaitCancelled: Schema.Struct({ Error: key(EventError) }),
  StepStarted: Schema.Struct({}),
  StepSucceeded: Schema.Struct({ Result: EventResult, RetryDetails }),
  StepFailed: Schema.Struct({ Error: EventError, RetryDetails }),
  ChainedInvokeStarted: Schema.Struct({
    FunctionName: Schema.String,
    TenantId: key(Schema.String),
    Input: key(EventInput),
    ExecutedVersion: key(Schema.String),
    DurableExecutionArn: key(Schema.String)
  }),
  ChainedInvokeSucceeded: Schema.Struct({ Result: EventResult }),
  ChainedInvokeFailed: Schema.Struct({ Error: EventError }),
  ChainedInvokeTimedOut: Schema.Struct({ Error: EventError }),
  ChainedInvokeStopped: Schema.Struct({ Error: EventError }),
  CallbackStarted: Schema.Struct({
    CallbackId: Schema.String,
    HeartbeatTimeout: key(Schema.Number),
    Timeout: key(Schema.Number)
  }),
  CallbackSucceeded: Schema.Struct({ Result: EventResult }),
  CallbackFailed: Schema.Struct({ Error: EventError }),
  CallbackTimedOut: Schema.Struct({ Error: EventError }),
  InvocationCompleted: Schema.Struct({
    StartTimestamp: Protocol.Timestamp,
    EndTimestamp: Protocol.Timestamp,
    RequestId: Schema.String,
    Error: key(EventError)
  })
} as const

type Details = typeof details

/** The 24 types of events. */
export type EventType = keyof Details
export const EventType = Schema.Literals(Object.keys(details) as Array<EventType>)

/** The type of an event, as the service says it: one that AWS has added since is any other text. */
export type AnyEventType = EventType | (string & {}) // `string` alone would swallow the others

/** The types of events, with what each carries under `<EventType>Details`. */
type DetailFields = { readonly [K in EventType as `${K}Details`]: Schema.optionalKey<Details[K]> }

const detailFields = Object.fromEntries(
  Object.entries(details).map(([type, schema]) => [`${type}Details`, key(schema as Schema.Constraint)])
) as unknown as DetailFields

/** One event of the history. */
export const Event = Schema.Struct({
  EventType: Schema.String as Schema.Codec<AnyEventType, string>,
  EventId: Schema.Number,
  EventTimestamp: Protocol.Timestamp,
  Id: key(Schema.String),
  ParentId: key(Schema.String),
  Name: key(Schema.String),
  SubType: key(Schema.String),
  ...detailFields
})
export interface Event extends Schema.Schema.Type<typeof Event> {}

/** An event of one of the 24 types. */
export interface KnownEvent extends Event {
  readonly EventType: EventType
}

const TYPES: ReadonlySet<string> = new Set(EventType.literals)

/** Whether this version knows the type of an event: of another one it knows only what all events have. */
export const isKnown = (event: Event): event is KnownEvent => TYPES.has(event.EventType)

/** What an event carries under `<EventType>Details`, also one of a type that is not known here; `undefined`: nothing. */
export const detailsOf = (event: Event): unknown => Reflect.get(event, `${event.EventType}Details`)

// ---- reading -------------------------------------------------------------------------------------------

type Members = Readonly<Record<string, unknown>>

const isMembers = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date)

/** Without the members that are null: some clients and emulators write what is absent so. */
const withoutNulls = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(withoutNulls)
  if (!isMembers(value)) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, member]) => (member === null ? [] : [[key, withoutNulls(member)]]))
  )
}

/** What the details of an event must have, and what AWS's own emulator leaves out. */
const REQUIRED: ReadonlyArray<readonly [type: RegExp, member: string]> = [
  [/^ExecutionStarted$/, "Input"],
  [/Succeeded$/, "Result"],
  [/Failed$|^ExecutionStopped$|^ChainedInvoke(?:TimedOut|Stopped)$|^CallbackTimedOut$/, "Error"],
  [/^Step(?:Succeeded|Failed)$/, "RetryDetails"]
]

const completed = (event: Members): Members => {
  const { EventType: type } = event
  const key = `${String(type)}Details`
  const details = event[key]
  if (typeof type !== "string" || !TYPES.has(type) || !isMembers(details) || type === "WaitSucceeded") return event
  const missing = REQUIRED.flatMap(([of, member]) => (of.test(type) && details[member] === undefined ? [member] : []))
  return missing.length === 0
    ? event
    : { ...event, [key]: { ...details, ...Object.fromEntries(missing.map((member) => [member, {}])) } }
}

const decode = Schema.decodeUnknownEffect(Schema.Array(Event))

/**
 * Reads events as the service gives them, of a page or of several. Those of types that are not known here are kept with
 * all of their fields: `isKnown` tells them apart, `detailsOf` gives what they carry. Timestamps become epoch
 * milliseconds (but for what those carry), members that are null are left out.
 *
 * Fails with a `SchemaError` where something is no list of events, or an event has no number, or lacks what its type must
 * have.
 *
 * **Example** (What this version does not know)
 *
 * ```ts
 * import { History } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * const news = (answer: { readonly Events: unknown }) =>
 *   Effect.map(History.decodeEvents(answer.Events), (events) =>
 *     events.filter((event) => !History.isKnown(event)).map((event) => [event.EventType, History.detailsOf(event)])
 *   )
 * ```
 */
export const decodeEvents = (events: unknown): Effect.Effect<ReadonlyArray<Event>, Schema.SchemaError> => {
  const given = withoutNulls(events)
  const whole = Array.isArray(given) ? given.map((event) => (isMembers(event) ? completed(event) : event)) : given
  return Effect.map(decode(whole), (decoded) =>
    decoded.map((event, index) => {
      if (isKnown(event)) return event
      const { EventTimestamp: _, ...fields } = (whole as ReadonlyArray<Members>)[index]!
      return { ...fields, ...event }
    })
  )
}

// ---- in words ------------------------------------------------------------------------------------------

const shorten = (payload: string | undefined) => {
  if (payload === undefined) return ""
  const text = readable(payload)
  return text.length > 60 ? ` ${text.slice(0, 57)}...` : ` ${text}`
}

const failed = (error: typeof EventError.Type | undefined) =>
  [error?.Payload?.ErrorType ?? "Error", error?.Payload?.ErrorMessage]
    .filter((text) => text !== undefined && text !== "")
    .join(": ")

/** What an event adds to its type and name. */
export const outcome = (event: Event): string => {
  if (!isKnown(event)) return shorten(JSON.stringify(detailsOf(event)))
  const { StepFailedDetails: stepFailed } = event
  if (stepFailed !== undefined) {
    const delay = stepFailed.RetryDetails.NextAttemptDelaySeconds
    return ` ${failed(stepFailed.Error)}${delay === undefined ? "" : ` (next attempt in ${delay} s)`}`
  }
  if (event.WaitStartedDetails !== undefined) return ` ${event.WaitStartedDetails.Duration} s`
  if (event.InvocationCompletedDetails !== undefined) {
    const { Error: error } = event.InvocationCompletedDetails
    return error === undefined ? "" : ` ${failed(error)}`
  }
  const error =
    event.ExecutionFailedDetails?.Error ??
    event.ContextFailedDetails?.Error ??
    event.CallbackFailedDetails?.Error ??
    event.ChainedInvokeFailedDetails?.Error
  if (error !== undefined) return ` ${failed(error)}`
  const result =
    event.ExecutionStartedDetails?.Input ??
    event.ExecutionSucceededDetails?.Result ??
    event.StepSucceededDetails?.Result ??
    event.ContextSucceededDetails?.Result ??
    event.CallbackSucceededDetails?.Result ??
    event.ChainedInvokeSucceededDetails?.Result
  return shorten(result?.Payload)
}

/** One event as a line of text, payloads cut short: for timelines and failed assertions. */
export const describe = (event: Event): string =>
  `${event.EventType}${event.Name === undefined || event.EventType.startsWith("Execution") ? "" : ` "${event.Name}"`}${outcome(event)}`

// ---- as text -------------------------------------------------------------------------------------------

/** ISO text to the microsecond, by which the service tells requests of one millisecond apart. */
const toText = (millis: number): string => {
  const whole = Math.floor(millis)
  const micros = Math.round((millis - whole) * 1000)
  return new Date(whole).toISOString().replace("Z", micros === 0 ? "Z" : `${String(micros).padStart(3, "0")}Z`)
}

/** JSON of what the service has answered, decoded: timestamps become ISO text, as AWS's own command line writes them. */
export const toJson = (value: unknown, indent?: number): string =>
  JSON.stringify(
    value,
    (key, member: unknown) => (typeof member === "number" && key.endsWith("Timestamp") ? toText(member) : member),
    indent
  )
