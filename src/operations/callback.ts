import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { DurableContext } from "../DurableContext.ts"
import { type CallbackFailed, type CallbackTimedOut, CheckpointFailed } from "../DurableError.ts"
import { halt, invalid, open, park, stepContext, withHere } from "../internal/core/operation.ts"
import { type AnswerCodec, callbackAnswer, callbackOptions, type Timeouts } from "../internal/core/outside.ts"
import type { Decode, Op } from "../internal/core/world.ts"
import { faultOf } from "../internal/options.ts"
import type { CodecServices, MaybeSchema, StepServices, TypeOf } from "../StepServices.ts"

/** Options of a callback. */
export interface CallbackOptions<SA, SE, T, H> {
  /** Codec of what the outside completes it with. Without it that is the raw text, `undefined` when it sent none. */
  readonly success?: SA
  /** Codec of the ErrorData of a failure that the outside reports. What it does not accept is `CallbackFailed`. */
  readonly error?: SE
  /** How long to wait for the outside, from the creation on: 1 second to 366 days. Default: without end. */
  readonly timeout?: T
  /** How long the outside may go without a heartbeat: 1 second to 366 days. Default: without end. */
  readonly heartbeatTimeout?: H
}

/** What waiting for a callback can fail with: timeouts only where there is one. */
export type CallbackError<SE, T, H> =
  TypeOf<SE, never> | CallbackFailed | ([T, H] extends [undefined, undefined] ? never : CallbackTimedOut)

/** A callback that exists at the service. */
export interface Callback<A, E> {
  /** What the outside needs to complete it: hand it out in a step. The same in every replay. */
  readonly callbackId: string
  /** Waits for the outside, as often and in as many fibers as asked; in the context that created the callback. */
  readonly await: Effect.Effect<A, E, DurableContext>
}

/**
 * Creates a callback: a place where an external system (a person, a webhook, another account) puts an answer.
 * Gives its id at once, and an effect that waits for the answer.
 *
 * **Details**
 *
 * The outside completes it with the API calls `SendDurableExecutionCallbackSuccess`, `…Failure` and
 * `…Heartbeat`. Its answer need not be JSON: without `success` the text is given as it came, or `undefined`
 * when none was sent. `Durable.waitForCallback` does both halves in one, with the step that hands the id out.
 *
 * Waiting fails with `CallbackFailed` when the outside reports a failure that `error` does not read, or sends
 * what `success` does not accept, and with `CallbackTimedOut` when `timeout` or `heartbeatTimeout` is over (a
 * fraction of a second rounds up). Timeouts run from the creation on, awaited or not. An answer that comes
 * before anyone waits is kept.
 *
 * Creating takes one call to the service and does not suspend; waiting suspends. Billed: one operation. A
 * callback cannot be cancelled: one that lost a race, or is never awaited, stays open and delays nothing.
 *
 * **Example** (An approval)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect, Schema } from "effect"
 *
 * const Approval = Schema.Struct({ approvedBy: Schema.String })
 * declare const sendMail: (callbackId: string) => Effect.Effect<void>
 *
 * const program = Effect.gen(function*() {
 *   const approval = yield* Durable.callback("approval", { success: Approval, timeout: "3 days" })
 *   yield* Durable.step("send-mail", sendMail(approval.callbackId))
 *   const { approvedBy } = yield* approval.await
 *   return approvedBy
 * })
 * ```
 */
export const callback = <
  SA extends MaybeSchema = undefined,
  SE extends MaybeSchema = undefined,
  T extends Duration.Input | undefined = undefined,
  H extends Duration.Input | undefined = undefined
>(
  name: string,
  options: CallbackOptions<SA, SE, T, H> = {}
): Effect.Effect<
  Callback<TypeOf<SA, string | undefined>, CallbackError<SE, T, H>>,
  never,
  DurableContext | StepServices<CodecServices<SA> | CodecServices<SE>>
> => create(name, options) as any // typed by the options

const create = (
  name: string,
  options: AnswerCodec & Timeouts
): Effect.Effect<Callback<unknown, unknown>, never, DurableContext> =>
  withHere("callback", name, (here) => {
    const start = callbackOptions("callback", name, options)
    if (typeof start === "string") return invalid(here.core, start)
    const fault = faultOf(options)
    if (fault !== undefined) return invalid(here.core, `Durable.callback("${name}"): ${fault}`)
    const op = open(here, "callback", "CALLBACK", "Callback", name)
    if (op === undefined) return halt
    op.start = { CallbackOptions: start }
    const answer = callbackAnswer(stepContext(here), name, options)
    return Effect.map(park<string, never>(here.core, op, "created", created), (callbackId) => ({
      callbackId,
      await: awaitAnswer(op, answer)
    }))
  })

const created: Decode = (op, record) => {
  const id = record.CallbackDetails?.CallbackId
  return id !== undefined && id !== ""
    ? Exit.succeed(id)
    : // suspended, because a bare Effect.fail is an Exit, which would be given to the body
      Effect.suspend(() =>
        Effect.fail(
          new CheckpointFailed({
            scope: "execution",
            message:
              `${op}: the service created the callback but gave no CallbackId for it, so nobody could ever complete it. ` +
              "Is the service, or the emulator, one that knows callbacks?"
          })
        )
      )
}

const awaitAnswer = (op: Op, answer: Decode): Effect.Effect<unknown, unknown, DurableContext> =>
  withHere("callback", op.spec.name, ({ core, place }) => {
    const { world } = op.place
    if (place.world !== world) {
      return invalid(
        core,
        `${op} was created in ${world.title}, but is awaited in ${place.world.title}. Contexts exchange values, not ` +
          "memory, so that each can be replayed alone: await it where it was created, or create it where it is awaited."
      )
    }
    return core.admits(world, op.spec) ? park<unknown, unknown>(core, op, "ended", answer) : halt
  })
