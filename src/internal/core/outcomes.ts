/**
 * Outcomes as they are on record: written and read by the codecs of an operation, through the transform that a `Serdes`
 * layer applies to payloads.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import { type Fatal, PayloadFailed, type SerdesFailed, serdesFailed } from "../../DurableError.ts"
import type * as Protocol from "../../Protocol.ts"
import { doneOf, payloadCodec, type PayloadContext, Serdes, unlayered } from "../../Serdes.ts"
import * as failures from "../failure.ts"
import type { Core } from "./Core.ts"
import { detailsOf, isTerminated, standingIn, terminated, within } from "./operation.ts"
import { type Decode, type Ending, type Op, type Outside, Written } from "./world.ts"

// ---- the Serdes layer --------------------------------------------------------------------------------------

/** Applies the `Serdes` layer, if there is one, to a payload of this operation. */
export const transform = (
  action: "encode" | "decode",
  core: Core,
  op: Op,
  text: string | undefined,
  kind: PayloadContext["kind"] = op.carriesState ? "state" : "result"
): Effect.Effect<string | undefined, SerdesFailed> =>
  text === undefined
    ? Effect.succeed(text)
    : Effect.withFiber((fiber) => {
        const layer = fiber.getRef(Serdes)
        const failed = serdesFailed(op, action)
        if (layer === undefined) {
          const fault = unlayered(text)
          return fault === undefined
            ? Effect.succeed(text)
            : Effect.fail(failed(action === "decode" ? fault : "it begins as what Serdes layers write."))
        }
        const context = { executionArn: core.executionArn, operationId: op.id, operation: op.spec.name, kind }
        // whatever it ends with, also by interrupting itself: what is thrown on looks like a fault of the core
        return Effect.catchCause(
          Effect.suspend(() => layer[action](text, context)),
          (cause) => {
            const reason = Cause.squash(cause)
            const said = typeof reason === "string" ? reason : `it died: ${failures.textOf(reason)}`
            return Effect.fail(failed(reason instanceof PayloadFailed ? reason : `the Serdes layer failed: ${said}`))
          }
        )
      })

/** Applies the `Serdes` layer to the data of an error. */
export const transformError = (
  action: "encode" | "decode",
  core: Core,
  op: Op,
  error: Protocol.ErrorObject | undefined
): Effect.Effect<Protocol.ErrorObject | undefined, SerdesFailed> =>
  error?.ErrorData === undefined
    ? Effect.succeed(error)
    : Effect.map(transform(action, core, op, error.ErrorData, "error"), (data) => ({
        ...error,
        ...(data === undefined ? undefined : { ErrorData: data })
      }))

// ---- codecs ------------------------------------------------------------------------------------------------

/** How an operation writes and reads its value and its failures. */
export interface OutcomeCodec {
  readonly success: Schema.Constraint | undefined
  readonly failure: failures.FailureReader
}

/** The error object of a failure, as it is recorded. */
export const encodeError = (
  core: Core,
  op: Op,
  codec: OutcomeCodec,
  cause: Cause.Cause<unknown>
): Effect.Effect<Protocol.ErrorObject | undefined, SerdesFailed, any> =>
  Effect.flatMap(failures.encodeFailure(cause, codec.failure, op), (error) => transformError("encode", core, op, error))

/** The text of a value, before the `Serdes` layer, at once where that can be (`doneOf`). */
export const encodeNow = (
  op: Op,
  codec: OutcomeCodec,
  value: unknown
): Effect.Effect<string | undefined, SerdesFailed, any> => {
  const encoded = Effect.mapErrorEager(payloadCodec(codec.success).encodeNow(value), serdesFailed(op, "encode"))
  // what cannot change need not be read back (but -0 is written as 0)
  if (codec.success === undefined && typeof value !== "object" && !Object.is(value, -0)) {
    const done = doneOf(encoded)
    if (done !== undefined && Exit.isSuccess(done)) op.written = new Written(done.value, value)
  }
  return encoded
}

/** The value of a text, after the `Serdes` layer, at once where that can be. */
export const decodeNow = (
  op: Op,
  codec: OutcomeCodec,
  text: string | undefined
): Effect.Effect<unknown, SerdesFailed, any> =>
  Effect.mapErrorEager(payloadCodec(codec.success).decodeNow(text), serdesFailed(op, "decode"))

/**
 * A decoder of finished records, for the core. What runs, runs outside of the body, like a step, or its time and its
 * turns would be the body's.
 */
export const decoder =
  (core: Core, { context, transforms }: Outside, codec: OutcomeCodec): Decode =>
  (op, record) => {
    if (isTerminated(record)) return terminated(op, record)
    const { Error: error, Result: result } = detailsOf(record)
    if (record.Status === "SUCCEEDED" && !transforms) {
      const { written } = op
      op.written = undefined
      if (written !== undefined && written.text === result) return Exit.succeed(written.value)
      const fault = unlayered(result)
      const value = fault === undefined ? decodeNow(op, codec, result) : Exit.fail(serdesFailed(op, "decode")(fault))
      const done = doneOf(value)
      if (done === undefined) return within(Effect.map(value, Exit.succeed), standingIn(core, op.place, context))
      // suspended, because a bare failure is an Exit, which would be given to the body
      return Exit.isSuccess(done) ? done : Effect.suspend(() => Exit.failCause(done.cause))
    }
    const read: Effect.Effect<Exit.Exit<unknown, unknown>, Fatal, any> = record.Status === "FAILED"
      ? Effect.flatMap(transformError("decode", core, op, error), (error) =>
          failures.decodeFailure(error, codec.failure, op)
        )
      : Effect.flatMap(transform("decode", core, op, result), (text) =>
          Effect.map(decodeNow(op, codec, text), Exit.succeed)
        )
    return within(read, standingIn(core, op.place, context)) // services of codecs are in the handler's layer
  }

/** What to record of a success. */
export const succeeded = (payload: string | undefined): Ending =>
  payload === undefined ? { Action: "SUCCEED" } : { Action: "SUCCEED", Payload: payload }
