/**
 * What the operations share that others complete: an external system, or another function.
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import { CallbackFailed, CallbackTimedOut, type SerdesFailed, type Uncovered } from "../../DurableError.ts"
import type * as Protocol from "../../Protocol.ts"
import { payloadCodec } from "../../Serdes.ts"
import * as failures from "../failure.ts"
import { Limits } from "../wire.ts"
import { detailsOf, readDuration, within } from "./operation.ts"
import type { Decode } from "./world.ts"

/** What others answer with, as far as this workflow knows: text that no codec of ours has written. */
export interface AnswerCodec {
  readonly success?: Schema.Constraint | undefined
  readonly error?: Schema.Constraint | undefined
}

/** `type` of a failure where the other side succeeded, with what this side cannot read. */
export const INVALID_RESULT = "InvalidResult"

/**
 * Reads an answer by a schema, whose services are in the handler's layer; `refuse` says what it is otherwise. Who
 * expects nothing is content with anything.
 */
export const readAnswer = (
  operation: string,
  context: Context.Context<never>,
  schema: Schema.Constraint,
  text: string | undefined,
  refuse: (reason: string) => unknown
): Exit.Exit<unknown, unknown> | Effect.Effect<Exit.Exit<unknown, unknown>, SerdesFailed> =>
  schema.ast._tag === "Void"
    ? Exit.void
    : within(
        Effect.catch(
          Effect.map(payloadCodec(schema).decode(text), (value): Exit.Exit<unknown, unknown> => Exit.succeed(value)),
          failures.refused(operation, refuse)
        ),
        context
      )

/** Reads a failure by a schema, whose services are in the handler's layer; `otherwise` makes an error of the rest. */
export const readFailure = (
  operation: string,
  context: Context.Context<never>,
  schema: Schema.Constraint | undefined,
  error: Protocol.ErrorObject | undefined,
  otherwise: (known: Omit<Uncovered, "operation">) => unknown
): Exit.Exit<never, unknown> | Effect.Effect<Exit.Exit<never, unknown>, SerdesFailed> => {
  const decoded = failures.decodeForeign(operation, error, schema, otherwise)
  return Exit.isExit(decoded) ? decoded : within(decoded, context)
}

/** What the outside completed a callback with. Nothing that it can send is a fault of the program. */
export const callbackAnswer =
  (context: Context.Context<never>, operation: string, { error: errorSchema, success }: AnswerCodec): Decode =>
  (op, record) => {
    const { Error: error, Result: result } = detailsOf(record)
    const failed = (known: Omit<Uncovered, "operation">) => new CallbackFailed({ operation, ...known })
    switch (record.Status) {
      case "SUCCEEDED":
        return success === undefined
          ? Exit.succeed(result)
          : readAnswer(op.toString(), context, success, result, (reason) =>
              failed({
                type: INVALID_RESULT,
                message: `Callback "${operation}" was completed with what its \`success\` schema does not accept: ${reason}`
              })
            )
      case "TIMED_OUT":
        return Exit.fail(
          new CallbackTimedOut({ operation, kind: error?.ErrorType === "Callback.Heartbeat" ? "heartbeat" : "timeout" })
        )
      default:
        return readFailure(op.toString(), context, errorSchema, error, failed)
    }
  }

/** When a callback gives up on the outside. */
export interface Timeouts {
  readonly timeout?: Duration.Input | undefined
  readonly heartbeatTimeout?: Duration.Input | undefined
}

/** What the START of a callback carries, or what is wrong with its options. A fraction of a second rounds up. */
export const callbackOptions = (
  call: string,
  name: string,
  { heartbeatTimeout, timeout }: Timeouts
): NonNullable<Protocol.OperationUpdate["CallbackOptions"]> | string => {
  const seconds = (option: string, input: Duration.Input | undefined): number | string | undefined => {
    if (input === undefined) return undefined
    const duration = readDuration(input)
    if (duration === undefined) {
      return `Durable.${call}("${name}"): its ${option} is ${String(input)}, which is no duration. Write "3 days", or Duration.days(3).`
    }
    const rounded = Math.ceil(Duration.toSeconds(duration))
    return rounded >= 1 && rounded <= Limits.durationSeconds
      ? rounded
      : `Durable.${call}("${name}"): its ${option} is ${Duration.toMillis(duration)} ms; it can be 1 second to 366 days ` +
          `(${Limits.durationSeconds} seconds). Leave it out to wait without end.`
  }
  const TimeoutSeconds = seconds("timeout", timeout)
  const HeartbeatTimeoutSeconds = seconds("heartbeatTimeout", heartbeatTimeout)
  if (typeof TimeoutSeconds === "string") return TimeoutSeconds
  if (typeof HeartbeatTimeoutSeconds === "string") return HeartbeatTimeoutSeconds
  return {
    ...(TimeoutSeconds === undefined ? undefined : { TimeoutSeconds }),
    ...(HeartbeatTimeoutSeconds === undefined ? undefined : { HeartbeatTimeoutSeconds })
  }
}
