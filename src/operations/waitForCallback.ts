import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { CurrentExecution } from "../CurrentExecution.ts"
import type { DurableContext } from "../DurableContext.ts"
import { CallbackSubmitFailed, type StepFailed } from "../DurableError.ts"
import { invalid, withHere } from "../internal/core/operation.ts"
import { callbackOptions } from "../internal/core/outside.ts"
import { faultOf } from "../internal/options.ts"
import type { CodecServices, MaybeSchema, NoDurableOperations, StepServices, TypeOf } from "../StepServices.ts"
import { callback, type CallbackError, type CallbackOptions } from "./callback.ts"
import { contextHere } from "./childContext.ts"
import { type CurrentStep, type Retry, step } from "./step.ts"

/** Options of `waitForCallback`. */
export interface WaitForCallbackOptions<E, SA, SE, T, H, RX> extends CallbackOptions<SA, SE, T, H> {
  /** When to submit again after a failure. Default: `Durable.defaultRetry`, as for any step. */
  readonly retry?: Retry<E, RX> | undefined
}

/**
 * Hands a callback's id to an external system and waits for its answer.
 *
 * **Details**
 *
 * A child context of two operations, all of this name: the callback, and a step that runs `submit` with the
 * callback's id. The step is like any other: it may use services of the handler's layer, reads
 * `Durable.CurrentStep`, and is retried by `retry`; its value is not recorded. When it fails for good, the
 * whole fails with `CallbackSubmitFailed`, and the callback stays open at the service. The other options and
 * failures are those of `Durable.callback`.
 *
 * Suspends while the answer is outstanding, and between attempts of the submitter. Billed: three operations,
 * and one per retry of the submitter.
 *
 * **Example** (An approval, by mail)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect, Schema } from "effect"
 *
 * const Approval = Schema.Struct({ approvedBy: Schema.String })
 * declare const sendMail: (callbackId: string) => Effect.Effect<void, Error>
 *
 * const program = Durable.waitForCallback("approval", (callbackId) => sendMail(callbackId), {
 *   success: Approval,
 *   timeout: "3 days"
 * }).pipe(
 *   Effect.map(({ approvedBy }) => approvedBy),
 *   Effect.catchTag("CallbackTimedOut", () => Effect.succeed("nobody"))
 * )
 * ```
 */
export const waitForCallback = <
  E,
  R,
  SA extends MaybeSchema = undefined,
  SE extends MaybeSchema = undefined,
  T extends Duration.Input | undefined = undefined,
  H extends Duration.Input | undefined = undefined,
  RX = never
>(
  name: string,
  submit: (callbackId: string) => Effect.Effect<unknown, E, R> & NoDurableOperations<R>,
  options: WaitForCallbackOptions<E, SA, SE, T, H, RX> = {}
): Effect.Effect<
  TypeOf<SA, string | undefined>,
  CallbackError<SE, T, H> | ([E] extends [never] ? never : CallbackSubmitFailed),
  | DurableContext
  | StepServices<Exclude<R, CurrentStep | CurrentExecution | Scope.Scope> | RX | CodecServices<SA> | CodecServices<SE>>
> =>
  withHere("waitForCallback", name, (here) => {
    const wrong = callbackOptions("waitForCallback", name, options)
    if (typeof wrong === "string") return invalid(here.core, wrong)
    const fault = faultOf(options)
    if (fault !== undefined) return invalid(here.core, `Durable.waitForCallback("${name}"): ${fault}`)
    const submitted = (callbackId: string) =>
      step(name, Effect.asVoid(Effect.suspend(() => submit(callbackId) as Effect.Effect<unknown, E>)), {
        retry: options.retry as Retry<E>
      })
    return contextHere(here, "waitForCallback", name, submitAndWait(name, options, submitted), {
      subType: "WaitForCallback",
      success: options.success,
      error: options.error
    })
  }) as any // typed by the options

const submitFailed = (operation: string, { data, message, type }: StepFailed) =>
  new CallbackSubmitFailed({ operation, type, message, ...(data === undefined ? undefined : { data }) })

const submitAndWait = /*#__PURE__*/ Effect.fnUntraced(function* (
  name: string,
  options: WaitForCallbackOptions<any, any, any, any, any, any>,
  submitted: (callbackId: string) => Effect.Effect<void, StepFailed, any> // any: `waitForCallback` says what it needs
) {
  const { await: answer, callbackId } = yield* callback(name, options)
  yield* Effect.mapError(submitted(callbackId), (error) => submitFailed(name, error))
  return yield* answer
})
