import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Types from "effect/Types"
import type { CurrentExecution } from "../CurrentExecution.ts"
import type { DurableContext } from "../DurableContext.ts"
import {
  ConditionExhausted,
  type ConditionFailed,
  DeadlineExceeded,
  type Fatal,
  type SerdesFailed
} from "../DurableError.ts"
import type { Core } from "../internal/core/Core.ts"
import { halt, invalid, open, park, outsideAt, withHere, within } from "../internal/core/operation.ts"
import {
  decoder,
  decodeNow,
  encodeError,
  encodeNow,
  type OutcomeCodec,
  succeeded,
  transform
} from "../internal/core/outcomes.ts"
import type { Attempt, Ending, Op, Run } from "../internal/core/world.ts"
import { defaultPolling } from "../internal/retries.ts"
import * as failures from "../internal/failure.ts"
import { faultOf } from "../internal/options.ts"
import * as retries from "../internal/retry.ts"
import type {
  CodecServices,
  CoversError,
  First,
  MaybeSchema,
  NoDurableOperations,
  StepServices
} from "../StepServices.ts"
import { CurrentStep, StepAttempt, type Retry, type Surfaced } from "./step.ts"

/** Options of `waitForCondition`. `S` is the schema of the state. */
export interface WaitForConditionOptions<S extends Schema.Constraint, SE, RX> {
  /** The state that the first check is given. */
  readonly initial: Types.NoInfer<S>["Type"]
  /** Codec of the state, which is recorded after every check. */
  readonly state: S
  /** Asked after every check: `true` ends the waiting with this state. It may be an effect. */
  readonly until: (state: Types.NoInfer<S>["Type"]) => boolean | Effect.Effect<boolean, never, RX>
  /**
   * When to check again while the condition is not met; its input is the state. Default:
   * `Durable.defaultPolling` (60 checks, 5 s, x1.5, up to 300 s, full jitter).
   */
  readonly schedule?: Retry<S["Type"], RX> | undefined
  /** Codec of failures of the check. It may cover some of them: the others surface as `ConditionFailed`. */
  readonly error?: SE
}

/**
 * Polls until a condition is met: runs `check` on the state it gave the last time, with nothing running (and
 * nothing billed) in between.
 *
 * **Details**
 *
 * Every check is an attempt of one step: it runs outside of the workflow's body, may use services of the
 * handler's layer, and reads `Durable.CurrentStep`. What it gives is the new state, recorded by the `state`
 * codec. Then `until` is asked: if the condition is met, the waiting ends with that state. If not, `schedule`
 * says when to check next, in whole seconds of at least one; when it ends, the waiting fails with
 * `ConditionExhausted`. A check whose invocation dies runs again, on the same state.
 *
 * A failure of the check is not retried: put `Effect.retry` into the check for that. What `error` covers keeps
 * its class, the rest surfaces as `ConditionFailed`; a defect dies as the same defect on replay.
 *
 * Suspends between checks. Billed: one operation, and one per further check.
 *
 * **Example** (A job in another system)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect, Schedule, Schema } from "effect"
 *
 * const Job = Schema.Struct({ id: Schema.String, status: Schema.Literals(["running", "done"]) })
 * declare const describeJob: (id: string) => Effect.Effect<typeof Job.Type, Error>
 *
 * const program = Durable.waitForCondition("job", ({ id }) => describeJob(id), {
 *   initial: { id: "j-1", status: "running" },
 *   state: Job,
 *   until: ({ status }) => status === "done",
 *   schedule: Schedule.spaced("1 minute").pipe(Schedule.upTo({ times: 60 }))
 * })
 * ```
 */
export const waitForCondition = <S extends Schema.Constraint, E, R, SE extends MaybeSchema = undefined, RX = never>(
  name: string,
  check: (
    state: S["Type"]
  ) => Effect.Effect<Types.NoInfer<S>["Type"], E, R> & First<[NoDurableOperations<R>, CoversError<E, SE>]>,
  options: WaitForConditionOptions<S, SE, RX>
): Effect.Effect<
  S["Type"],
  Surfaced<E, SE, ConditionFailed> | ConditionExhausted,
  | DurableContext
  | StepServices<Exclude<R, CurrentStep | CurrentExecution | Scope.Scope> | RX | CodecServices<S> | CodecServices<SE>>
> => run(name, check as Check, options as AnyOptions) as any // typed by the options

type Check = (state: unknown) => Effect.Effect<unknown, unknown, any>

interface AnyOptions {
  readonly initial: unknown
  readonly state: Schema.Constraint
  readonly until: (state: unknown) => boolean | Effect.Effect<boolean, never, any>
  readonly schedule?: retries.Policy | undefined
  readonly error?: MaybeSchema
}

const run = (name: string, check: Check, options: AnyOptions): Effect.Effect<unknown, unknown, DurableContext> =>
  withHere("waitForCondition", name, (here) => {
    const { core } = here
    const fault = faultOf(options)
    if (fault !== undefined) return invalid(core, `Durable.waitForCondition("${name}"): ${fault}`)
    const op = open(here, "waitForCondition", "STEP", "WaitForCondition", name)
    if (op === undefined) return halt
    const outside = outsideAt(here)
    const codec: OutcomeCodec = {
      success: options.state,
      failure: { operation: name, schema: options.error, ...failures.CONDITIONS }
    }
    op.carriesState = true
    op.attempts = { begin: (attempt) => checkOf(core, op, outside.context, check, options, codec, attempt) }
    return park(core, op, "ended", decoder(core, outside, codec))
  })

/** One check: what to run, and what to record of how it ends. */
const checkOf = (
  core: Core,
  op: Op,
  services: Context.Context<never>,
  check: Check,
  options: AnyOptions,
  codec: OutcomeCodec,
  attempt: Attempt
): Run => {
  const context = Context.addUnsafe(services, CurrentStep.key, new StepAttempt(core, op, attempt))
  const began = attempt.startedAt ?? core.host.clock.currentTimeMillisUnsafe()
  /** A recorded state that cannot be read is no failure of the check. */
  let unreadable: SerdesFailed | undefined
  const state = Effect.tapError(readState(core, op, options, codec, attempt), (error) =>
    Effect.sync(() => {
      unreadable = error
    })
  )
  return {
    effect: Effect.scoped(Effect.flatMap(state, check)),
    context,
    ending: (exit) =>
      unreadable !== undefined
        ? Effect.fail(unreadable)
        : within(
            Exit.isSuccess(exit)
              ? decide(core, op, exit.value, options, codec, attempt, began)
              : exit.cause.reasons[0]?._tag === "Die" && exit.cause.reasons[0].defect instanceof DeadlineExceeded
                ? // it counts, and has found nothing new
                  Effect.flatMap(readState(core, op, options, codec, attempt), (state) =>
                    decide(core, op, state, { ...options, until: () => false }, codec, attempt, began)
                  )
                : fail(core, op, codec, exit.cause),
            context // services of codecs and schedules are in the handler's layer
          )
  }
}

/** The state that the check before has left in the record; where there is none, the initial one. */
const readState = (
  core: Core,
  op: Op,
  { initial }: AnyOptions,
  codec: OutcomeCodec,
  attempt: Attempt
): Effect.Effect<unknown, SerdesFailed, any> => {
  const text = op.record?.StepDetails?.Result
  if (attempt.number === 1 || (text === undefined && op.record?.Status === "STARTED")) return Effect.succeed(initial)
  return Effect.flatMap(transform("decode", core, op, text), (text) => decodeNow(op, codec, text))
}

/** The schedule is asked once, now: what it decides is what is recorded. */
const decide = /*#__PURE__*/ Effect.fnUntraced(function* (
  core: Core,
  op: Op,
  state: unknown,
  options: AnyOptions,
  codec: OutcomeCodec,
  attempt: Attempt,
  startedAt: number
): Effect.fn.Return<Ending, Fatal, any> {
  const payload = yield* transform("encode", core, op, yield* encodeNow(op, codec, state))
  const met = yield* Effect.exit(Effect.suspend(() => asEffect(options.until(state))))
  if (Exit.isFailure(met)) return yield* fail(core, op, codec, met.cause)
  if (met.value) return succeeded(payload)
  const decided = yield* Effect.exit(
    retries.decide(options.schedule ?? defaultPolling, {
      attempt: attempt.number,
      error: state,
      now: yield* Clock.currentTimeMillis,
      startedAt,
      seed: `${core.executionArn}#${op.id}`
    })
  )
  // a schedule that fails itself fails the operation, with its own reason
  if (Exit.isFailure(decided)) return yield* fail(core, op, codec, decided.cause)
  if (decided.value === undefined) {
    const exhausted = new ConditionExhausted({ operation: op.spec.name, attempts: attempt.number })
    return yield* fail(core, op, codec, Cause.fail(exhausted))
  }
  return {
    Action: "RETRY",
    ...(payload === undefined ? undefined : { Payload: payload }),
    StepOptions: { NextAttemptDelaySeconds: decided.value }
  } satisfies Ending
})

const asEffect = (answer: boolean | Effect.Effect<boolean, never, any>): Effect.Effect<boolean, never, any> =>
  Effect.isEffect(answer) ? answer : Effect.succeed(answer)

const fail = (
  core: Core,
  op: Op,
  codec: OutcomeCodec,
  cause: Cause.Cause<unknown>
): Effect.Effect<Ending, Fatal, any> =>
  Effect.map(encodeError(core, op, codec, cause), (error) => ({
    Action: "FAIL",
    ...(error === undefined ? undefined : { Error: error })
  }))
