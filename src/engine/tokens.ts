/**
 * Checkpoint tokens and callback ids: what they name, in the service's alphabet. Opaque to callers.
 */
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import type { Caller, ExecutionRecord } from "./ExecutionStore.ts"

/** The current token of an execution. It names execution, invocation and request: any other is refused. */
export const write = ({ id, invocation }: ExecutionRecord): string =>
  Base64.encode(`${id} ${invocation.number} ${invocation.token}`)

const read = (text: string): string => Result.getOrElse(Base64.decodeString(text), () => "")

/** Whether a token is one of another execution. */
export const isForeign = ({ id }: ExecutionRecord, token: string): boolean => {
  const [, owner] = /^(\S+) \d+ \d+$/.exec(read(token)) ?? []
  return owner !== undefined && owner !== id
}

/** Where a callback's id leads. */
export const readCallbackId = (callbackId: string): Caller | undefined => {
  const [, arn, operationId] = /^(arn:[^#]+)#(.+)$/.exec(read(callbackId)) ?? []
  return arn === undefined || operationId === undefined ? undefined : { arn, operationId }
}
