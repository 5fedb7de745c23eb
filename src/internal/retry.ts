/**
 * Retries are decided by any `Schedule`, in whatever process happens to run the attempt that failed.
 *
 * A schedule is a fold over (time, error) pairs, and the service keeps only the number of the attempt. So
 * the schedule's state is rebuilt by replaying the fold from its start: attempt 1's failure is taken to have
 * happened when the step started, each later one its recorded delay after the one before. Exact for every
 * schedule that goes by attempts and delays; one that measures elapsed time does not see how long attempts took,
 * and one that counts *which* errors happened sees the current error in their place.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import { Limits } from "./wire.ts"
import { SeededRandom } from "./random.ts"

/** The three forms in which a retry policy can be given, as to `Effect.retry`. */
export type Policy =
  | Schedule.Schedule<any, any, never, any>
  | (($: <A>(schedule: A) => A) => Schedule.Schedule<any, any, never, any>)
  | Options

// any: the operation's own types say what its failures are
type Predicate = (error: any) => boolean | Effect.Effect<boolean, never, any>

/** The options form of a policy. */
export interface Options {
  readonly times?: number | undefined
  readonly while?: Predicate | undefined
  readonly until?: Predicate | undefined
  readonly schedule?: Schedule.Schedule<any, any, never, any> | undefined
}

/**
 * The policy for an attempt that was cut off by the deadline: predicates are about the step's own failures. What they
 * alone have limited goes by the default.
 */
export const withoutPredicates = (policy: Policy | undefined): Policy | undefined => {
  if (typeof policy !== "object" || isSchedule(policy)) return policy
  const { schedule, times } = policy
  return schedule === undefined && times === undefined ? undefined : { schedule, times }
}

/** Asks a predicate of the options form, which may be an effect. */
const holds = (f: Predicate, error: unknown): Effect.Effect<boolean, never, any> => {
  const result = f(error)
  return Effect.isEffect(result) ? result : Effect.succeed(result)
}

const isSchedule = (policy: Policy): policy is Schedule.Schedule<any, any, never, any> => Schedule.isSchedule(policy)

/**
 * AWS's default: 6 attempts, 5 s before the second, twice as long before each further one up to 60 s, with
 * full jitter (a random part of the delay). By hand, so that a handler without schedules does not carry them;
 * `Durable.defaultRetry` is the same as a Schedule.
 */
const DEFAULT_ATTEMPTS = 6
const defaultDelay = (attempt: number): number => Math.min(5 * 2 ** (attempt - 1), 60)

/** What is known about the attempt that has just failed. */
export interface Input {
  /** Number of the attempt, from 1. */
  readonly attempt: number
  readonly error: unknown
  /** When it failed, epoch milliseconds. */
  readonly now: number
  /** When attempt 1 started, epoch milliseconds. */
  readonly startedAt: number
  /** Makes jitter the same in every process: execution and operation. */
  readonly seed: string
}

/** Seconds until the next attempt, or `undefined`: give up. */
export type Decision = number | undefined

/** The service takes whole seconds, at least 1, at most 366 days; a fraction of a second is rounded up. */
export const toDelaySeconds = (delay: Duration.Duration): number =>
  Math.min(Math.max(1, Math.ceil(Duration.toMillis(delay) / 1000)), Limits.durationSeconds)

/** User callbacks of a schedule see the time that is being replayed. */
const frozen = (clock: Clock.Clock, millis: number): Clock.Clock => {
  const nanos = BigInt(Math.trunc(millis)) * BigInt(1_000_000)
  const frozen = {
    __proto__: clock, // its other members
    currentTimeMillisUnsafe: () => millis,
    currentTimeMillis: Effect.succeed(millis),
    currentTimeNanosUnsafe: () => nanos,
    currentTimeNanos: Effect.succeed(nanos)
  }
  return frozen as unknown as Clock.Clock // TypeScript does not know what __proto__ is
}

/** Asks a policy once, when an attempt has failed: retry after how many seconds, or give up? Absent = the default. */
export const decide: (policy: Policy | undefined, input: Input) => Effect.Effect<Decision, never, any> =
  Effect.fnUntraced(
    function* (policy: Policy | undefined, input: Input): Effect.fn.Return<Decision, never, any> {
      const { attempt, error } = input
      if (policy === undefined) {
        if (attempt >= DEFAULT_ATTEMPTS) return undefined
        const random = yield* Random.Random
        return Math.max(1, Math.ceil(defaultDelay(attempt) * random.nextDoubleUnsafe()))
      }
      const given = typeof policy === "function" ? policy((schedule) => schedule) : policy
      if (isSchedule(given)) return yield* replay(given, input)
      const { schedule, times, until, while: test } = given
      // plain JavaScript may give anything, and what says nothing would be tried for ever
      const says = schedule ?? times ?? until ?? test
      if (says === undefined ? JSON.stringify(given) !== "{}" : schedule !== undefined && !isSchedule(schedule))
        throw new TypeError(`${JSON.stringify(given)} is no Schedule and no options of Effect.retry`)
      if (times !== undefined && !(attempt <= times)) return undefined // (NaN is no number of times)
      if (test !== undefined && !(yield* holds(test, error))) return undefined
      if (until !== undefined && (yield* holds(until, error))) return undefined
      return schedule === undefined ? 1 : yield* replay(schedule, input)
    },
    (effect, _policy, input) =>
      Effect.provideService(effect, Random.Random, new SeededRandom(() => `${input.seed}#${input.attempt}`))
  )

/** Replays the schedule from its start, and asks it about the failure at hand. */
const replay = /*#__PURE__*/ Effect.fnUntraced(function* (
  schedule: Schedule.Schedule<any, any, never, any>,
  input: Input
): Effect.fn.Return<Decision, never, any> {
  const clock = yield* Clock.Clock
  const step = yield* Schedule.toStep(schedule)
  const ask = (now: number, attempt: number) =>
    step(now, input.error).pipe(
      Effect.map(([, delay]): Decision => toDelaySeconds(delay)),
      // its end is a failure of a kind of its own
      Effect.catch((error) => (Cause.isDone(error) ? Effect.succeed(undefined) : Effect.fail(error))),
      Effect.provideService(Clock.Clock, frozen(clock, now)),
      // an attempt's jitter is the same whichever process asks, and whether it asks live or again
      Effect.provideService(Random.Random, new SeededRandom(() => `${input.seed}#${attempt}`))
    )

  let failedAt = input.startedAt
  for (let attempt = 1; attempt < input.attempt; attempt++) {
    // what a schedule logs (Schedule.tap) was logged when that attempt failed
    const delay = yield* Effect.provideService(
      ask(Math.min(failedAt, input.now), attempt),
      References.MinimumLogLevel,
      "None"
    )
    if (delay === undefined) return undefined
    failedAt += delay * 1000
  }
  return yield* ask(input.now, input.attempt)
})
