/**
 * The state machine of the service: what an update, a timer or an outside call makes of an operation, which
 * events it writes, and what has to happen next, as data. Pure: no clock, no randomness, no storage.
 * Updates are expected to have passed `validate`.
 */
import * as Base64 from "effect/encoding/Base64"
import type * as History from "../History.ts"
import type * as Protocol from "../Protocol.ts"
import type { CallbackDeadlines, ExecutionRecord, OperationRecord } from "./ExecutionStore.ts"

// ---- words ---------------------------------------------------------------------------------------

/** When something happens. All updates of one request share one instant. */
export interface Instant {
  /** What is recorded: epoch milliseconds, later than any stamp of this execution before. */
  readonly stamp: number
  /** What deadlines are counted from: the clock's epoch milliseconds. */
  readonly clock: number
  /** Milliseconds that a second takes: 1,000 unless time is scaled. */
  readonly second: number
}

/** An event before it has its number and its time. */
export type EventBody = Omit<History.KnownEvent, "EventId" | "EventTimestamp">

/** How an execution, a callback or a chained invoke ended. */
export interface Outcome {
  readonly status: Exclude<Protocol.ExecutionStatus, "RUNNING">
  readonly result?: string | undefined
  readonly error?: Protocol.ErrorObject | undefined
}

/** What a chained invoke starts: found out by the engine before the transition. */
export type Target =
  | { readonly _tag: "Durable"; readonly functionName: string; readonly version: string; readonly arn: string }
  | { readonly _tag: "Plain"; readonly functionName: string; readonly version: string }
  | { readonly _tag: "Unknown"; readonly error: Protocol.ErrorObject }

/** What a chained invoke sends along. */
export interface Request {
  readonly payload?: string | undefined
  readonly tenantId?: string | undefined
}

/** What the engine has to do once a transition is recorded. */
export type Consequence =
  | { readonly _tag: "StartTimer"; readonly id: string; readonly at: number }
  | { readonly _tag: "StopTimer"; readonly id: string; readonly at: number }
  | { readonly _tag: "StartInvoke"; readonly id: string; readonly target: Target; readonly request: Request }

/** The outcome of one transition. */
export interface Transition {
  readonly record: OperationRecord
  readonly events: ReadonlyArray<EventBody>
  readonly consequences: ReadonlyArray<Consequence>
}

/** Leaves out the keys without a value: absent is how this wire says "none". */
export const compact = <T extends object>(value: { readonly [K in keyof T]: T[K] | undefined }): T => {
  const result: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value)) if (item !== undefined) result[key] = item
  return result as T // only keys without a value are gone
}

// ---- derived facts -------------------------------------------------------------------------------

/** When the operation's own timer is due, if it has one running. */
export const due = ({ callback, operation }: OperationRecord): number | undefined => {
  switch (operation.Type) {
    case "WAIT":
      return operation.Status === "STARTED" ? operation.WaitDetails?.ScheduledEndTimestamp : undefined
    case "STEP":
      return operation.Status === "PENDING" ? operation.StepDetails?.NextAttemptTimestamp : undefined
    case "CALLBACK": {
      if (operation.Status !== "STARTED") return undefined
      const earliest = Math.min(callback?.timeoutAt ?? Infinity, callback?.heartbeatAt ?? Infinity)
      return earliest === Infinity ? undefined : earliest
    }
    default:
      return undefined
  }
}

/** Whether the service will complete this operation some day, so that PENDING makes sense. */
export const isOutstanding = (operation: Protocol.Operation): boolean => {
  switch (operation.Type) {
    case "STEP":
      return operation.Status === "PENDING"
    case "WAIT":
    case "CALLBACK":
    case "CHAINED_INVOKE":
      return operation.Status === "STARTED"
    default:
      return false
  }
}

/** A callback's id: where it leads, in the alphabet that the service uses. */
export const callbackId = (arn: string, operationId: string): string => Base64.encode(`${arn}#${operationId}`)

/** The numbers of an operation that is not recorded yet. */
const unplaced = { position: -1, changed: -1 }

const timers = (before: OperationRecord | undefined, after: OperationRecord): ReadonlyArray<Consequence> => {
  const id = after.operation.Id
  const old = before === undefined ? undefined : due(before)
  const next = due(after)
  if (old === next) return []
  const consequences: Array<Consequence> = []
  if (old !== undefined) consequences.push({ _tag: "StopTimer", id, at: old })
  if (next !== undefined) consequences.push({ _tag: "StartTimer", id, at: next })
  return consequences
}

// ---- events --------------------------------------------------------------------------------------

const meta = (operation: Protocol.Operation) =>
  compact<Pick<EventBody, "Id" | "ParentId" | "Name" | "SubType">>({
    Id: operation.Id,
    ParentId: operation.ParentId,
    Name: operation.Name,
    SubType: operation.SubType
  })

/** A payload as the history shows it: nothing is ever truncated here. */
const payload = (text: string | undefined) =>
  compact<{ readonly Payload?: string; readonly Truncated: boolean }>({ Payload: text, Truncated: false })

const failure = (error: Protocol.ErrorObject | undefined) => ({ Payload: error ?? {}, Truncated: false })

/** ExecutionStarted, the first event of every history. */
export const executionStarted = (execution: ExecutionRecord): EventBody => ({
  EventType: "ExecutionStarted",
  Id: execution.id,
  Name: execution.name,
  ExecutionStartedDetails: { Input: payload(execution.input), ExecutionTimeout: execution.timeoutSeconds }
})

const executionEvents: Readonly<Record<Outcome["status"], (outcome: Outcome) => EventBody>> = {
  SUCCEEDED: ({ result }) => ({
    EventType: "ExecutionSucceeded",
    ExecutionSucceededDetails: { Result: payload(result) }
  }),
  FAILED: ({ error }) => ({ EventType: "ExecutionFailed", ExecutionFailedDetails: { Error: failure(error) } }),
  TIMED_OUT: ({ error }) => ({ EventType: "ExecutionTimedOut", ExecutionTimedOutDetails: { Error: failure(error) } }),
  STOPPED: ({ error }) => ({ EventType: "ExecutionStopped", ExecutionStoppedDetails: { Error: failure(error) } })
}

/** InvocationCompleted: every invocation ends with one, whether it answered or crashed. */
export const invocationCompleted = (
  invocation: { readonly requestId: string; readonly startedAt: number },
  endedAt: number,
  error: Protocol.ErrorObject | undefined
): EventBody => ({
  EventType: "InvocationCompleted",
  InvocationCompletedDetails: {
    StartTimestamp: invocation.startedAt,
    EndTimestamp: endedAt,
    RequestId: invocation.requestId,
    ...(error === undefined ? undefined : { Error: failure(error) })
  }
})

// ---- updates of an execution ---------------------------------------------------------------------

const create = (update: Protocol.OperationUpdate, instant: Instant): Protocol.Operation =>
  compact<Protocol.Operation>({
    Id: update.Id,
    ParentId: update.ParentId,
    Name: update.Name,
    Type: update.Type,
    SubType: update.SubType,
    Status: "STARTED",
    StartTimestamp: instant.stamp
  })

const result = (update: Protocol.OperationUpdate) =>
  compact<{ readonly Result?: string; readonly Error?: Protocol.ErrorObject }>({
    Result: update.Payload,
    Error: update.Error
  })

const step = (base: Protocol.Operation, update: Protocol.OperationUpdate, instant: Instant) => {
  const attempt = base.StepDetails?.Attempt ?? 0
  if (update.Action === "START") {
    // The outcome of the attempt before is gone from here on, and with it the time of this one.
    const operation: Protocol.Operation = { ...base, Status: "STARTED", StepDetails: { Attempt: attempt } }
    return { operation, events: [{ EventType: "StepStarted", ...meta(base), StepStartedDetails: {} }] as const }
  }
  const delay = update.Action === "RETRY" ? (update.StepOptions?.NextAttemptDelaySeconds ?? 0) : undefined
  const RetryDetails = compact<{ readonly CurrentAttempt: number; readonly NextAttemptDelaySeconds?: number }>({
    CurrentAttempt: attempt + 1,
    NextAttemptDelaySeconds: delay
  })
  const failed = update.Action === "FAIL" || update.Error !== undefined
  const event: EventBody = failed
    ? { EventType: "StepFailed", ...meta(base), StepFailedDetails: { Error: failure(update.Error), RetryDetails } }
    : {
        EventType: "StepSucceeded",
        ...meta(base),
        StepSucceededDetails: { Result: payload(update.Payload), RetryDetails }
      }
  const StepDetails = { Attempt: attempt + 1, ...result(update) }
  const operation: Protocol.Operation =
    delay === undefined
      ? { ...base, Status: failed ? "FAILED" : "SUCCEEDED", EndTimestamp: instant.stamp, StepDetails }
      : {
          ...base,
          Status: "PENDING",
          StepDetails: { ...StepDetails, NextAttemptTimestamp: instant.clock + delay * instant.second }
        }
  return { operation, events: [event] }
}

const context = (base: Protocol.Operation, update: Protocol.OperationUpdate, instant: Instant) => {
  if (update.Action === "START") {
    const event: EventBody = { EventType: "ContextStarted", ...meta(base), ContextStartedDetails: {} }
    return { operation: base, events: [event] }
  }
  const ContextDetails = {
    ...result(update),
    ...(update.ContextOptions?.ReplayChildren === undefined
      ? undefined
      : { ReplayChildren: update.ContextOptions.ReplayChildren })
  }
  const ended = { ...base, EndTimestamp: instant.stamp, ContextDetails }
  return update.Action === "FAIL"
    ? {
        operation: { ...ended, Status: "FAILED" as const },
        events: [
          {
            EventType: "ContextFailed",
            ...meta(base),
            ContextFailedDetails: { Error: failure(update.Error) }
          }
        ] as const
      }
    : {
        operation: { ...ended, Status: "SUCCEEDED" as const },
        events: [
          {
            EventType: "ContextSucceeded",
            ...meta(base),
            ContextSucceededDetails: { Result: payload(update.Payload) }
          }
        ] as const
      }
}

/** The callback's deadlines from now on. Zero means none. */
const deadlines = (options: Protocol.OperationUpdate["CallbackOptions"], instant: Instant): CallbackDeadlines => {
  const timeout = options?.TimeoutSeconds || undefined
  const heartbeat = options?.HeartbeatTimeoutSeconds || undefined
  return compact<CallbackDeadlines>({
    timeoutAt: timeout === undefined ? undefined : instant.clock + timeout * instant.second,
    heartbeatAt: heartbeat === undefined ? undefined : instant.clock + heartbeat * instant.second,
    heartbeatSeconds: heartbeat
  })
}

const startInvoke = (base: Protocol.Operation, update: Protocol.OperationUpdate, target: Target, instant: Instant) => {
  const started: EventBody = {
    EventType: "ChainedInvokeStarted",
    ...meta(base),
    ChainedInvokeStartedDetails: {
      FunctionName: update.ChainedInvokeOptions?.FunctionName ?? "",
      ...(update.ChainedInvokeOptions?.TenantId === undefined
        ? undefined
        : { TenantId: update.ChainedInvokeOptions.TenantId }),
      Input: payload(update.Payload),
      ExecutedVersion: target._tag === "Unknown" ? "" : target.version,
      DurableExecutionArn: target._tag === "Durable" ? target.arn : ""
    }
  }
  if (target._tag !== "Unknown") {
    const request = { payload: update.Payload, tenantId: update.ChainedInvokeOptions?.TenantId }
    const consequence: Consequence = { _tag: "StartInvoke", id: base.Id, target, request }
    return { operation: { ...base, ChainedInvokeDetails: {} }, events: [started], consequences: [consequence] }
  }
  return {
    operation: {
      ...base,
      Status: "FAILED" as const,
      EndTimestamp: instant.stamp,
      ChainedInvokeDetails: { Error: target.error }
    },
    events: [
      started,
      {
        EventType: "ChainedInvokeFailed",
        ...meta(base),
        ChainedInvokeFailedDetails: { Error: failure(target.error) }
      } as const
    ],
    consequences: []
  }
}

/** What one update makes of its operation. EXECUTION updates are `close`'s. */
export const update = (
  before: OperationRecord | undefined,
  update: Protocol.OperationUpdate,
  instant: Instant,
  environment: { readonly arn: string; readonly target?: Target | undefined }
): Transition => {
  const base = before?.operation ?? create(update, instant)
  const numbers = before ?? unplaced
  const finish = (
    changed: { readonly operation: Protocol.Operation; readonly events: ReadonlyArray<EventBody> },
    extra?: Partial<OperationRecord>,
    consequences: ReadonlyArray<Consequence> = []
  ): Transition => {
    const record: OperationRecord = { ...numbers, ...extra, operation: changed.operation, external: false }
    return { record, events: changed.events, consequences: [...timers(before, record), ...consequences] }
  }
  switch (update.Type) {
    case "STEP":
      return finish(step(base, update, instant))
    case "CONTEXT":
      return finish(context(base, update, instant))
    case "WAIT": {
      if (update.Action === "CANCEL") {
        return finish({
          operation: { ...base, Status: "CANCELLED", EndTimestamp: instant.stamp },
          events: [{ EventType: "WaitCancelled", ...meta(base), WaitCancelledDetails: {} }]
        })
      }
      const waitSeconds = update.WaitOptions?.WaitSeconds ?? 0
      const ScheduledEndTimestamp = instant.clock + waitSeconds * instant.second
      return finish(
        {
          operation: { ...base, WaitDetails: { ScheduledEndTimestamp } },
          events: [
            {
              EventType: "WaitStarted",
              ...meta(base),
              WaitStartedDetails: { Duration: waitSeconds, ScheduledEndTimestamp }
            }
          ]
        },
        { waitSeconds }
      )
    }
    case "CALLBACK": {
      const CallbackId = callbackId(environment.arn, update.Id)
      return finish(
        {
          operation: { ...base, CallbackDetails: { CallbackId } },
          events: [
            {
              EventType: "CallbackStarted",
              ...meta(base),
              CallbackStartedDetails: compact<NonNullable<EventBody["CallbackStartedDetails"]>>({
                CallbackId,
                HeartbeatTimeout: update.CallbackOptions?.HeartbeatTimeoutSeconds || undefined,
                Timeout: update.CallbackOptions?.TimeoutSeconds || undefined
              })
            }
          ]
        },
        { callback: deadlines(update.CallbackOptions, instant) }
      )
    }
    case "CHAINED_INVOKE": {
      const target = environment.target ?? { _tag: "Unknown", error: {} }
      const started = startInvoke(base, update, target, instant)
      return finish(
        started,
        {
          target: compact<NonNullable<OperationRecord["target"]>>({
            functionName: update.ChainedInvokeOptions?.FunctionName ?? "",
            payload: update.Payload,
            tenantId: update.ChainedInvokeOptions?.TenantId,
            arn: target._tag === "Durable" ? target.arn : undefined
          })
        },
        started.consequences
      )
    }
    case "EXECUTION":
      return finish({ operation: base, events: [] })
  }
}

// ---- from outside --------------------------------------------------------------------------------

const external = (
  before: OperationRecord,
  operation: Protocol.Operation,
  events: ReadonlyArray<EventBody>
): Transition => {
  const record: OperationRecord = { ...before, operation, external: true }
  return { record, events, consequences: timers(before, record) }
}

/** A callback or chained invoke has ended. The caller has made sure that it is STARTED. */
export const complete = (before: OperationRecord, outcome: Outcome, instant: Instant): Transition => {
  const { operation } = before
  const details = compact<{ readonly Result?: string; readonly Error?: Protocol.ErrorObject }>({
    Result: outcome.result,
    Error: outcome.error
  })
  const ended = { ...operation, Status: outcome.status, EndTimestamp: instant.stamp }
  const Result = payload(outcome.result)
  const Error = failure(outcome.error)
  const shown = meta(operation)
  if (operation.Type === "CALLBACK") {
    const event: EventBody =
      outcome.status === "SUCCEEDED"
        ? { EventType: "CallbackSucceeded", ...shown, CallbackSucceededDetails: { Result } }
        : outcome.status === "TIMED_OUT"
          ? { EventType: "CallbackTimedOut", ...shown, CallbackTimedOutDetails: { Error } }
          : { EventType: "CallbackFailed", ...shown, CallbackFailedDetails: { Error } }
    return external(before, { ...ended, CallbackDetails: { ...operation.CallbackDetails, ...details } }, [event])
  }
  const event: EventBody =
    outcome.status === "SUCCEEDED"
      ? { EventType: "ChainedInvokeSucceeded", ...shown, ChainedInvokeSucceededDetails: { Result } }
      : outcome.status === "TIMED_OUT"
        ? { EventType: "ChainedInvokeTimedOut", ...shown, ChainedInvokeTimedOutDetails: { Error } }
        : outcome.status === "STOPPED"
          ? { EventType: "ChainedInvokeStopped", ...shown, ChainedInvokeStoppedDetails: { Error } }
          : { EventType: "ChainedInvokeFailed", ...shown, ChainedInvokeFailedDetails: { Error } }
  return external(before, { ...ended, ChainedInvokeDetails: details }, [event])
}

/** A heartbeat: the callback's heartbeat deadline counts from now. Not a change that anyone is told of. */
export const heartbeat = (before: OperationRecord, instant: Instant): Transition => {
  const seconds = before.callback?.heartbeatSeconds
  if (seconds === undefined) return { record: before, events: [], consequences: [] }
  const record = { ...before, callback: { ...before.callback, heartbeatAt: instant.clock + seconds * instant.second } }
  return { record, events: [], consequences: timers(before, record) }
}

/** The operation's timer is due. Nothing when it was stopped or moved meanwhile. */
export const expire = (before: OperationRecord, at: number, instant: Instant): Transition | undefined => {
  if (due(before) !== at) return undefined
  const { callback, operation } = before
  switch (operation.Type) {
    case "WAIT":
      // It ends when it was to end, not when somebody noticed.
      return external(before, { ...operation, Status: "SUCCEEDED", EndTimestamp: at }, [
        {
          EventType: "WaitSucceeded",
          ...meta(operation),
          WaitSucceededDetails: compact<{ readonly Duration?: number }>({ Duration: before.waitSeconds })
        }
      ])
    case "STEP": {
      const { NextAttemptTimestamp: _, ...StepDetails } = operation.StepDetails ?? {}
      return external(before, { ...operation, Status: "READY", StepDetails }, [])
    }
    default:
      return complete(
        before,
        {
          status: "TIMED_OUT",
          error:
            callback?.timeoutAt === at
              ? { ErrorType: "Callback.Timeout", ErrorMessage: "Callback timed out" }
              : { ErrorType: "Callback.Heartbeat", ErrorMessage: "Callback timed out on heartbeat" }
        },
        instant
      )
  }
}

/** The execution ends, and its EXECUTION operation with it. Other operations stay as they are. */
export const close = (
  execution: ExecutionRecord,
  root: OperationRecord,
  outcome: Outcome,
  instant: Instant
): { readonly execution: ExecutionRecord; readonly record: OperationRecord; readonly event: EventBody } => ({
  execution: {
    ...execution,
    status: outcome.status,
    endedAt: instant.stamp,
    ...compact<{ readonly result?: string; readonly error?: Protocol.ErrorObject }>({
      result: outcome.result,
      error: outcome.error
    })
  },
  record: {
    ...root,
    external: false,
    operation: { ...root.operation, Status: outcome.status, EndTimestamp: instant.stamp }
  },
  event: { Id: execution.id, Name: execution.name, ...executionEvents[outcome.status](outcome) }
})
