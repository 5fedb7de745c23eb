import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type * as Types from "effect/Types"
import type { CurrentExecution } from "../CurrentExecution.ts"
import type { DurableContext } from "../DurableContext.ts"
import { DeadlineExceeded, type Fatal, type StepFailed, StepInterrupted, StepTimedOut } from "../DurableError.ts"
import type { Core } from "../internal/core/Core.ts"
import {
  closing,
  halt,
  invalid,
  newScope,
  open,
  outsideAt,
  park,
  readDuration,
  withHere,
  within
} from "../internal/core/operation.ts"
import { decoder, encodeError, encodeNow, type OutcomeCodec, succeeded, transform } from "../internal/core/outcomes.ts"
import type { Attempt, Attempts, Ending, Op, Outside, Place, Run } from "../internal/core/world.ts"
import * as failures from "../internal/failure.ts"
import { uniqueKey } from "../internal/operationId.ts"
import * as retries from "../internal/retry.ts"
import { doneOf, unlayered } from "../Serdes.ts"
import type {
  CodecServices,
  CoversError,
  First,
  HasCodec,
  MaybeSchema,
  NoDurableOperations,
  StepServices,
  TakesEffect,
  TypeOf
} from "../StepServices.ts"

// ---- what a step can read ------------------------------------------------------------------------------

/**
 * The attempt that a step runs, readable inside the step.
 *
 * **Example** (An idempotency key for a payment provider)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * declare const charge: (key: string) => Effect.Effect<{ readonly id: string }>
 *
 * const program = Durable.step("charge", Effect.flatMap(Durable.CurrentStep, (step) => charge(step.idempotencyKey)))
 * ```
 */
export class CurrentStep extends Context.Service<
  CurrentStep,
  {
    /** Number of this attempt, from 1. */
    readonly attempt: number
    /** The same in every attempt and every invocation, and different for every other step: give it to what you call. */
    readonly idempotencyKey: string
    /** Wire id of the step. */
    readonly operationId: string
    /** Name of the step. */
    readonly name: string
  }
>()("effect-durable-lambda/CurrentStep") {}

// ---- types -----------------------------------------------------------------------------------------------

/**
 * A retry policy: a Schedule whose input is the step's failure, a builder of one (which infers its input), or
 * the options of `Effect.retry`. Delays are whole seconds, at least 1; between attempts nothing runs.
 */
export type Retry<In, RX = never> =
  | Schedule.Schedule<any, Types.NoInfer<In>, never, RX>
  | ((
      $: <O, SE, R>(_: Schedule.Schedule<O, Types.NoInfer<In>, SE, R>) => Schedule.Schedule<O, In, SE, R>
    ) => Schedule.Schedule<any, Types.NoInfer<In>, never, RX>)
  | {
      readonly times?: number | undefined
      readonly while?: ((error: Types.NoInfer<In>) => boolean | Effect.Effect<boolean, never, RX>) | undefined
      readonly until?: ((error: Types.NoInfer<In>) => boolean | Effect.Effect<boolean, never, RX>) | undefined
      readonly schedule?: Schedule.Schedule<any, Types.NoInfer<In>, never, RX> | undefined
    }

/** How often a step may run per attempt when an invocation dies in the middle of it. */
export type Semantics = "AtLeastOncePerRetry" | "AtMostOncePerRetry"

type Interrupted<M> = "AtMostOncePerRetry" extends M ? StepInterrupted : never
type TimedOut<T> = [T] extends [undefined] ? never : StepTimedOut
/** The members of `S` that accept a member of `E`: a schema shared by many steps does not widen their errors. */
type Accepting<S, E> = S extends unknown ? ([Extract<E, S>] extends [never] ? never : S) : never
/** Covered errors keep their class, the rest surface as the operation's own failure. */
export type Surfaced<E, SE, Wrapper = StepFailed> = SE extends { readonly Type: infer S }
  ? Accepting<S, E> | ([Exclude<E, S>] extends [never] ? never : Wrapper)
  : [E] extends [never]
    ? never
    : Wrapper
/** What a step supplies to its effect. */
type OwnOfStep = CurrentStep | CurrentExecution | Scope.Scope

/** Options of a step. */
export interface StepOptions<E, SA, SE, M, T, RX> {
  /** Codec of the value. Without it the value must be plain JSON by its type, or nothing. */
  readonly success?: SA
  /** Codec of failures. It may cover some of them: those keep their class, the others surface as `StepFailed`. */
  readonly error?: SE
  /** When to try again. Default: `Durable.defaultRetry` (6 attempts, 5 s, x2, up to 60 s, full jitter). */
  readonly retry?: Retry<E | Interrupted<M> | TimedOut<T>, RX> | undefined
  /** Default: `"AtLeastOncePerRetry"`. `"AtMostOncePerRetry"` adds `StepInterrupted` to the errors. */
  readonly semantics?: M | undefined
  /** Interrupts an attempt that runs longer, in this invocation; adds `StepTimedOut` to the errors. */
  readonly timeout?: T
  /** Retry defects (thrown exceptions) like failures. Default: false, a defect fails the step at once. */
  readonly retryDefects?: boolean | undefined
}

/** What a generic wrapper around `Durable.step` takes instead of `Effect.Effect<A, E, R>`. */
export type StepInput<A, E, R, SA = undefined, SE = undefined> = First<
  [TakesEffect<R>, NoDurableOperations<R>, HasCodec<A, SA>, CoversError<E, SE>]
> &
  Effect.Effect<A, E, R>

/** A step as the body sees it. */
export type Step<A, E, R, SA, SE, M, T, RX> = Effect.Effect<
  TypeOf<SA, A>,
  Surfaced<E, SE> | Interrupted<M> | TimedOut<T>,
  DurableContext | StepServices<Exclude<R, OwnOfStep> | RX | CodecServices<SA> | CodecServices<SE>>
>

// ---- the operation ---------------------------------------------------------------------------------------

/**
 * Runs an effect once and records what it gives. On replay the record answers and the effect does not run.
 *
 * **Details**
 *
 * The effect runs outside of the workflow's body: it sees the real clock and random numbers, may use any
 * service of the handler's layer, promises, timers and a `Scope` (closed when the attempt ends), and reads its
 * attempt from `Durable.CurrentStep`. What the body gets is `decode(encode(value))`, live and on replay alike.
 *
 * A failure is retried by `retry`, with nothing running (and nothing billed but the next attempt) in between;
 * then it fails the step. Failures that `error` covers keep their class, others surface as `StepFailed`. A
 * defect fails the step at once, unless `retryDefects`, and dies as the same defect on replay.
 *
 * With the default semantics an attempt that an invocation did not survive runs again. With
 * `"AtMostOncePerRetry"` it does not: the retry schedule gets `StepInterrupted` as its input.
 *
 * Suspends when it waits for its next attempt. Billed: one operation, and one per retry. Interrupting it (a
 * lost race, a timeout around it) interrupts the effect, and its `AbortSignal`s, and records nothing.
 *
 * **Example** (A payment)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect, Schedule, Schema } from "effect"
 *
 * class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { reason: Schema.String }) {}
 * declare const charge: Effect.Effect<{ readonly id: string }, CardDeclined>
 *
 * const program = Durable.step("charge", charge, {
 *   error: CardDeclined,
 *   retry: Schedule.exponential("1 second").pipe(Schedule.upTo({ times: 5 }))
 * })
 * ```
 */
export const step: {
  // Data-first stands first and last: after a failed check the compiler types the call by the first overload that
  // fits its arity (so `yield*` still sees an Effect, no cascade), and explains the failure by the last one.
  <
    A,
    E,
    R,
    SA extends MaybeSchema = undefined,
    SE extends MaybeSchema = undefined,
    M extends Semantics = "AtLeastOncePerRetry",
    T extends Duration.Input | undefined = undefined,
    RX = never
  >(
    name: string,
    effect: StepInput<A, E, R, SA, SE>,
    options?: StepOptions<E, SA, SE, M, T, RX>
  ): Step<A, E, R, SA, SE, M, T, RX>
  <
    E,
    SA extends MaybeSchema = undefined,
    SE extends MaybeSchema = undefined,
    M extends Semantics = "AtLeastOncePerRetry",
    T extends Duration.Input | undefined = undefined,
    RX = never
  >(
    name: string,
    options?: StepOptions<E, SA, SE, M, T, RX>
  ): <A, R>(self: StepInput<A, E, R, SA, SE>) => Step<A, E, R, SA, SE, M, T, RX>
  <
    A,
    E,
    R,
    SA extends MaybeSchema = undefined,
    SE extends MaybeSchema = undefined,
    M extends Semantics = "AtLeastOncePerRetry",
    T extends Duration.Input | undefined = undefined,
    RX = never
  >(
    name: string,
    effect: StepInput<A, E, R, SA, SE>,
    options?: StepOptions<E, SA, SE, M, T, RX>
  ): Step<A, E, R, SA, SE, M, T, RX>
} = ((...args: ReadonlyArray<any>) =>
  // the overloads say what the arguments are
  Effect.isEffect(args[1])
    ? run(args[0] as string, args[1] as AnyEffect, (args[2] ?? {}) as AnyOptions)
    : (self: AnyEffect) => run(args[0] as string, self, (args[1] ?? {}) as AnyOptions)) as any // typed by the overloads

type AnyEffect = Effect.Effect<unknown, unknown, any>

interface AnyOptions {
  readonly success?: MaybeSchema
  readonly error?: MaybeSchema
  readonly retry?: retries.Policy | undefined
  readonly semantics?: Semantics | undefined
  readonly timeout?: Duration.Input | undefined
  readonly retryDefects?: boolean | undefined
}

const run = (name: string, effect: AnyEffect, options: AnyOptions): Effect.Effect<unknown, unknown, DurableContext> =>
  withHere("step", name, (here) => {
    const { core } = here
    const timeout = options.timeout === undefined ? undefined : readDuration(options.timeout)
    if (options.timeout !== undefined && (timeout === undefined || !(Duration.toMillis(timeout) > 0))) {
      return invalid(
        core,
        `Durable.step("${name}"): its timeout is ${String(options.timeout)}. Give it a positive one, or none.`
      )
    }
    const op = open(here, "step", "STEP", "Step", name)
    if (op === undefined) return halt
    const outside = outsideAt(here)
    const asked = new AskedStep(
      core,
      op,
      outside,
      timeout === undefined ? effect : limited(name, effect, timeout),
      options
    )
    op.atMostOnce = op.startsFirst = options.semantics === "AtMostOncePerRetry"
    op.attempts = asked
    return park(core, op, "ended", decoder(core, outside, asked))
  })

/** A step that the body has asked for. */
class AskedStep implements Attempts, OutcomeCodec {
  declare readonly core: Core
  declare readonly op: Op
  declare readonly outside: Outside
  declare readonly effect: AnyEffect
  declare readonly options: AnyOptions
  declare readonly success: MaybeSchema

  constructor(core: Core, op: Op, outside: Outside, effect: AnyEffect, options: AnyOptions) {
    this.core = core
    this.op = op
    this.outside = outside
    this.effect = effect
    this.options = options
    this.success = options.success
  }
  get failure(): failures.FailureReader {
    return { operation: this.op.spec.name, schema: this.options.error, ...failures.STEPS }
  }
  begin(attempt: Attempt): Run {
    return new StepRun(this, attempt)
  }
}

/** Fibers that run what an attempt is to do, beside its time-out. (The time of tests asks.) */
export const limitedFibers = /*#__PURE__*/ new WeakSet<object>()

const limited = (operation: string, effect: AnyEffect, timeout: Duration.Duration): AnyEffect =>
  Effect.timeoutOrElse(noted(effect), {
    duration: timeout,
    orElse: () => Effect.fail(new StepTimedOut({ operation, timeoutMillis: Duration.toMillis(timeout) }))
  })

const noted = (effect: AnyEffect): AnyEffect =>
  Effect.withFiber((fiber) => {
    limitedFibers.add(fiber)
    return effect
  })

type StepService = CurrentStep["Service"]

/** What an attempt can know of itself. */
export class StepAttempt implements StepService {
  declare readonly attempt: number
  declare readonly operationId: string
  declare readonly name: string
  /** Where the body has asked for it. (Private for the language, too: who records his attempt records no more than it shows.) */
  readonly #place: Place
  declare private readonly executionArn: string

  constructor(core: Core, op: Op, attempt: Attempt) {
    this.attempt = attempt.number
    this.operationId = op.id
    this.name = op.spec.name
    this.#place = op.place
    this.executionArn = core.executionArn
  }
  static placeOf(step: StepService | undefined): Place | undefined {
    return step !== undefined && #place in step ? step.#place : undefined
  }
  /** A hash, so made when it is asked for. */
  get idempotencyKey(): string {
    return uniqueKey(`${this.executionArn}#${this.operationId}`)
  }
}

/** One attempt: what to run, and what to record of how it ends. (A class: there may be ten thousand steps at a time.) */
class StepRun implements Run {
  declare readonly effect: AnyEffect
  declare readonly context: Context.Context<never>
  declare private readonly asked: AskedStep
  declare private readonly attempt: Attempt
  declare private readonly began: number
  /** What codecs and schedules see. */
  declare private readonly services: Context.Context<never>

  constructor(asked: AskedStep, attempt: Attempt) {
    const { core, effect, op, outside } = asked
    const scope = newScope()
    this.asked = asked
    this.attempt = attempt
    this.began = attempt.startedAt ?? core.host.clock.currentTimeMillisUnsafe()
    this.services = Context.addUnsafe(outside.context, CurrentStep.key, new StepAttempt(core, op, attempt))
    this.context = Context.addUnsafe(this.services, Scope.Scope.key, scope)
    this.effect = closing(
      attempt.interrupted ? Effect.fail(new StepInterrupted({ operation: op.spec.name })) : effect,
      scope
    )
  }
  ending(exit: Exit.Exit<unknown, unknown>): Ending | Effect.Effect<Ending, Fatal> {
    const { asked } = this
    if (Exit.isFailure(exit)) return this.provide(fail(asked, exit.cause, this.attempt, this.began))
    const encoded = encodeNow(asked.op, asked, exit.value)
    const done = asked.outside.transforms ? undefined : doneOf(encoded)
    return done === undefined || Exit.isFailure(done) || unlayered(done.value) !== undefined
      ? this.provide(succeed(asked, encoded))
      : succeeded(done.value)
  }
  private provide<A, E>(effect: Effect.Effect<A, E, any>): Effect.Effect<A, E> {
    return within(effect, this.services)
  }
}

const succeed = (
  { core, op }: AskedStep,
  encoded: Effect.Effect<string | undefined, Fatal, any>
): Effect.Effect<Ending, Fatal, any> =>
  Effect.map(
    Effect.flatMap(encoded, (text) => transform("encode", core, op, text)),
    succeeded
  )

/** The schedule is asked once, now: what it decides is what is recorded. */
const fail = /*#__PURE__*/ Effect.fnUntraced(function* (
  asked: AskedStep,
  cause: Cause.Cause<unknown>,
  attempt: Attempt,
  startedAt: number
): Effect.fn.Return<Ending, Fatal, any> {
  const { core, op, options } = asked
  const reason = failures.reasonOf(cause)
  const isCutOff = reason?._tag === "Die" && reason.defect instanceof DeadlineExceeded
  const retried = reason !== undefined && (reason._tag === "Fail" || isCutOff || options.retryDefects === true)
  const decided = retried
    ? yield* Effect.exit(
        retries.decide(isCutOff ? retries.withoutPredicates(options.retry) : options.retry, {
          attempt: attempt.number,
          error: reason._tag === "Fail" ? reason.error : reason.defect,
          now: yield* Clock.currentTimeMillis,
          startedAt,
          seed: `${core.executionArn}#${op.id}`
        })
      )
    : Exit.succeed(undefined)
  // a schedule that fails itself fails the step, with its own reason
  const final = Exit.isSuccess(decided) || isCutOff ? cause : decided.cause
  const error = yield* encodeError(core, op, asked, final)
  const delay = Exit.isSuccess(decided) ? decided.value : undefined
  return {
    Action: delay === undefined ? "FAIL" : "RETRY",
    ...(error === undefined ? undefined : { Error: error }),
    ...(delay === undefined ? undefined : { StepOptions: { NextAttemptDelaySeconds: delay } })
  } satisfies Ending
})
