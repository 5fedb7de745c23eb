/**
 * Responses carry the records that our own updates led to. Should one not, the record is what the update must
 * have done: nothing waits for ever for an answer that the service does not give.
 */
import type * as Protocol from "../Protocol.ts"
import { isTerminal } from "./wire.ts"

/** Whether the record already shows what this update of ours did. */
export const reflects = (record: Protocol.Operation, update: Protocol.OperationUpdate): boolean =>
  update.Action === "START" || (update.Action === "RETRY" ? record.Status !== "STARTED" : isTerminal(record.Status))

const STATUS = {
  START: "STARTED",
  RETRY: "PENDING",
  SUCCEED: "SUCCEEDED",
  FAIL: "FAILED",
  CANCEL: "CANCELLED"
} as const

/** The record that an update of ours must have led to, from the one before. */
export const recordOf = (
  before: Protocol.Operation | undefined,
  update: Protocol.OperationUpdate,
  now: number
): Protocol.Operation => {
  const Status = STATUS[update.Action]
  const outcome = {
    ...(update.Payload === undefined ? undefined : { Result: update.Payload }),
    ...(update.Error === undefined ? undefined : { Error: update.Error })
  }
  const attempt = (before?.StepDetails?.Attempt ?? 0) + (update.Action === "START" ? 0 : 1)
  return {
    ...before,
    Id: update.Id,
    Type: update.Type,
    Status,
    StartTimestamp: before?.StartTimestamp ?? now,
    ...(isTerminal(Status) ? { EndTimestamp: now } : undefined),
    ...(update.Type === "STEP" ? { StepDetails: { ...outcome, Attempt: attempt } } : undefined),
    ...(update.Type === "CONTEXT" ? { ContextDetails: { ...outcome, ...update.ContextOptions } } : undefined)
  }
}
