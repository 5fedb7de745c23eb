/**
 * An execution that this engine carries, and the transactions on it. A `Draft` collects what one request,
 * timer or outside call changes; nothing of it is visible before it has been committed to the store.
 */
import * as Deferred from "effect/Deferred"
import * as Semaphore from "effect/Semaphore"
import type * as History from "../History.ts"
import type * as Protocol from "../Protocol.ts"
import type { AnsweredRequest, Commit, ExecutionRecord, OperationRecord, Snapshot } from "./ExecutionStore.ts"
import type { InvocationError } from "./functions.ts"
import * as transition from "./transition.ts"
import * as validate from "./validate.ts"

/** Operations whose timers are due at one instant: they are completed together. */
interface Alarm {
  readonly ids: Set<string>
  readonly cancel: () => void
}

/** The invocation that runs right now. */
export interface Running {
  /** Ends it at once, whatever the handler still does. */
  readonly crash: (error: InvocationError) => void
}

/** An execution that this engine carries. */
export interface Live {
  execution: ExecutionRecord
  /** By id, in the order of starting. */
  readonly operations: Map<string, OperationRecord>
  /** The ids of the changed operations, by the number of the change. */
  readonly changes: Array<string | undefined>
  readonly answered: Map<string, AnsweredRequest>
  readonly alarms: Map<number, Alarm>
  /** One transaction at a time. */
  readonly lock: Semaphore.Semaphore
  /** Done when the execution has ended. */
  readonly ended: Deferred.Deferred<void>
  /** Calls made by its invocations, for fault injection. */
  calls: number
  running: Running | undefined
  cancelRetry: () => void
  cancelTimeout: () => void
}

const idle = () => {}

/** An execution as it was stored. */
export const fromSnapshot = ({ answered, execution, operations }: Snapshot): Live => {
  const changes: Array<string | undefined> = new Array(execution.changes).fill(undefined)
  for (const record of operations) changes[record.changed] = record.operation.Id
  return {
    execution,
    operations: new Map(operations.map((record) => [record.operation.Id, record])),
    changes,
    answered: new Map(answered.map((request) => [request.clientToken, request])),
    alarms: new Map(),
    lock: Semaphore.makeUnsafe(1),
    ended: Deferred.makeUnsafe(),
    calls: 0,
    running: undefined,
    cancelRetry: idle,
    cancelTimeout: idle
  }
}

// ---- drafts --------------------------------------------------------------------------------------

/** What a transaction is about to change. */
export interface Draft {
  readonly live: Live
  readonly instant: transition.Instant
  execution: ExecutionRecord
  readonly operations: Map<string, OperationRecord>
  readonly changes: Array<string>
  readonly events: Array<History.Event>
  readonly consequences: Array<transition.Consequence>
  answered: AnsweredRequest | undefined
}

/** The smallest step between two stamps of one execution, in milliseconds, when the clock stands still. */
const STAMP_STEP = 0.001

/** Begins a transaction. */
export const begin = (live: Live, clock: number, second: number): Draft => {
  const stamp = Math.max(clock, live.execution.stamp + STAMP_STEP)
  return {
    live,
    instant: { clock, stamp, second },
    execution: { ...live.execution, stamp },
    operations: new Map(),
    changes: [],
    events: [],
    consequences: [],
    answered: undefined
  }
}

/** An operation as the draft leaves it. */
export const lookup = (draft: Draft, id: string): OperationRecord | undefined =>
  draft.operations.get(id) ?? draft.live.operations.get(id)

/** Appends events. */
export const record = (draft: Draft, events: ReadonlyArray<transition.EventBody>): void => {
  for (const event of events) {
    const EventId = draft.execution.events + 1
    draft.execution = { ...draft.execution, events: EventId }
    draft.events.push({ ...event, EventId, EventTimestamp: draft.instant.stamp })
  }
}

/** Puts an operation into the draft: gives it its place and, if it changed, the number of its change. */
export const put = (draft: Draft, next: OperationRecord): void => {
  const before = lookup(draft, next.operation.Id)
  const { execution } = draft
  const isNew = next.position < 0
  const changed = before?.operation !== next.operation
  draft.operations.set(next.operation.Id, {
    ...next,
    position: isNew ? execution.operations + 1 : next.position,
    changed: changed ? execution.changes : next.changed
  })
  if (changed) draft.changes.push(next.operation.Id)
  const wasOutstanding = before !== undefined && transition.isOutstanding(before.operation)
  draft.execution = {
    ...execution,
    operations: execution.operations + (isNew ? 1 : 0),
    changes: execution.changes + (changed ? 1 : 0),
    outstanding: execution.outstanding + Number(transition.isOutstanding(next.operation)) - Number(wasOutstanding)
  }
}

/** Applies a transition to the draft. */
export const apply = (draft: Draft, next: transition.Transition): void => {
  put(draft, next.record)
  record(draft, next.events)
  draft.consequences.push(...next.consequences)
}

/** Closes the execution. */
export const close = (draft: Draft, outcome: transition.Outcome): void => {
  const root = lookup(draft, draft.execution.id)
  if (root === undefined) return // every execution has one
  const closed = transition.close(draft.execution, root, outcome, draft.instant)
  draft.execution = closed.execution
  put(draft, closed.record)
  record(draft, [closed.event])
}

/** Ends an execution that has run as long as it may. */
export const timeOut = (draft: Draft): void => {
  if (draft.execution.status !== "RUNNING") return
  const ErrorMessage = `Execution timed out after ${draft.execution.timeoutSeconds} seconds.`
  close(draft, { status: "TIMED_OUT", error: { ErrorMessage } })
}

/** Applies the updates of a checkpoint, all of them or none: a draft with a rejection is thrown away. */
export const applyUpdates = (
  draft: Draft,
  updates: ReadonlyArray<Protocol.OperationUpdate>,
  limits: validate.Limits,
  resolve: (update: Protocol.OperationUpdate) => transition.Target | undefined
): validate.Rejection | undefined => {
  const find = (id: string) => lookup(draft, id)
  for (const update of updates) {
    const rejection = validate.checkUpdate(draft.execution, find, update, limits)
    if (rejection !== undefined) return rejection
    draft.execution = { ...draft.execution, bytes: draft.execution.bytes + validate.updateBytes(update) }
    if (update.Type === "EXECUTION") {
      close(
        draft,
        update.Action === "SUCCEED"
          ? { status: "SUCCEEDED", result: update.Payload }
          : { status: "FAILED", error: update.Error ?? {} }
      )
    } else {
      apply(
        draft,
        transition.update(find(update.Id), update, draft.instant, {
          arn: draft.execution.arn,
          target: resolve(update)
        })
      )
    }
  }
  return undefined
}

/** What the store is to write. */
export const toCommit = (draft: Draft): Commit => ({
  execution: draft.execution,
  operations: Array.from(draft.operations.values()),
  events: draft.events,
  answered: draft.answered
})

/** Makes the draft the state of the execution. */
export const accept = (draft: Draft): void => {
  const { live } = draft
  live.execution = draft.execution
  for (const [id, operation] of draft.operations) live.operations.set(id, operation)
  for (const id of draft.changes) live.changes.push(id)
  if (draft.answered !== undefined) live.answered.set(draft.answered.clientToken, draft.answered)
}

// ---- views ---------------------------------------------------------------------------------------

/** The ids that changed in changes `from` up to `to`, each once, in the order of their last change. */
export const changedIds = (
  changes: ReadonlyArray<string | undefined>,
  from: number,
  to: number
): ReadonlyArray<string> => {
  const ids = new Set<string>()
  for (let i = from; i < Math.min(to, changes.length); i++) {
    const id = changes[i]
    if (id === undefined) continue
    ids.delete(id)
    ids.add(id)
  }
  return Array.from(ids)
}

/** The ids that something outside changed and that the last invocation has not been told of. */
export const unseen = ({ changes, execution, operations }: Live): ReadonlyArray<string> =>
  changedIds(changes, execution.invocation.seen, execution.changes).filter((id) => operations.get(id)?.external)
