/**
 * How much of a request an update takes. Counting the bytes of a payload costs as much as sending it, so bounds come
 * first: they are exact enough for all but the largest.
 */
import type * as Protocol from "../Protocol.ts"

/** Room for the envelope around the updates, as AWS's SDKs reckon it. */
export const ENVELOPE_BYTES = 100

/** Bytes of the fields around payload and error: ids, names and options have limits of their own. */
const FIELDS_BYTES = 256
/** Up to this bound an update is taken at it: a full batch of such updates still fits a request. */
export const SMALL_BYTES = 2_048

/** Any text may need six bytes for a character when it is quoted. */
export const boundOf = (update: Protocol.OperationUpdate): number => {
  const { Error: error, Payload: payload } = update
  const texts = error === undefined ? "" : [error.ErrorMessage, error.ErrorData, error.ErrorType].join("")
  return FIELDS_BYTES + 6 * (texts.length + (payload?.length ?? 0))
}

/** A closer bound: JSON text, which has no control characters, doubles at most when it is quoted. */
export const jsonBoundOf = (update: Protocol.OperationUpdate): number => {
  const { Payload: payload = "" } = update
  return /[^\x20-\uFFFF]/.test(payload)
    ? Infinity
    : boundOf({ ...update, Payload: "" }) + Buffer.byteLength(payload) * 2
}

/** What a record holds of what was written, about. */
export const recordedBytes = (operation: Protocol.Operation): number =>
  (
    operation.StepDetails?.Result ??
    operation.ContextDetails?.Result ??
    operation.CallbackDetails?.Result ??
    operation.ChainedInvokeDetails?.Result ??
    operation.ExecutionDetails?.InputPayload ??
    ""
  ).length
