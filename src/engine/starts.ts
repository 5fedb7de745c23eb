/**
 * What the service refuses when an execution is to be started, with its own texts.
 */
import * as functions from "./functions.ts"
import type { Settings } from "./settings.ts"
import * as validate from "./validate.ts"

/** What of a start is checked. */
export interface Request {
  readonly payload?: string | undefined
  readonly executionName?: string | undefined
  readonly tenantId?: string | undefined
  readonly executionTimeoutSeconds?: number | undefined
  readonly invocationType?: "RequestResponse" | "Event" | undefined
}

/** Checks the size of what a function is invoked with. */
export const checkPayload = (
  payload: string | undefined,
  invocationType: Request["invocationType"],
  { limits }: Settings
): validate.Rejection | undefined => {
  const bytes = validate.byteLength(payload)
  const type = invocationType ?? "RequestResponse"
  const limit = type === "Event" ? limits.eventPayloadBytes : limits.executionPayloadBytes
  return bytes <= limit
    ? undefined
    : new validate.Rejection({
        errorName: "RequestTooLargeException",
        status: 413,
        reason: `${bytes} byte payload is too large for the ${type} invocation type (limit ${limit} bytes)`
      })
}

/** Checks a start against the function that it names. */
export const check = (
  reference: functions.FunctionReference,
  registered: functions.Registered,
  request: Request,
  settings: Settings
): validate.Rejection | undefined => {
  const { limits, place } = settings
  if (!registered.durable) {
    const arn = functions.functionArn(place, reference.name, reference.qualifier)
    return validate.invalid(`Function is not a durable function: ${arn}`)
  }
  if (limits.qualifiedNames && reference.qualifier === undefined) return validate.invalid(functions.UNQUALIFIED)
  const seconds = request.executionTimeoutSeconds ?? registered.options.executionTimeoutSeconds ?? 0
  if (request.invocationType === "RequestResponse" && seconds > limits.synchronousSeconds) {
    return validate.invalid(
      "You cannot synchronously invoke a durable function with an executionTimeout greater than 15 minutes."
    )
  }
  const tooLarge = checkPayload(request.payload, request.invocationType, settings)
  return tooLarge ?? validate.checkStart(request.executionName, request.tenantId)
}
