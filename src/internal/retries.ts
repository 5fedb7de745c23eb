/**
 * Ready-made retry policies. A module of their own: a handler that names none does not carry Schedule.
 */
import * as Effect from "effect/Effect"
import * as Duration from "effect/Duration"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"

/**
 * How a step is retried when it says nothing else, as AWS's SDKs do: 6 attempts, 5 s before the second, twice
 * as long before each further one, 60 s at most, with full jitter (a random part of the delay).
 */
export const defaultRetry: Schedule.Schedule<unknown, unknown> = Schedule.min([
  Schedule.exponential("5 seconds", 2),
  Schedule.spaced("60 seconds")
]).pipe(
  Schedule.modifyDelay(({ duration }) => Effect.map(Random.next, (random) => Duration.times(duration, random))),
  Schedule.upTo({ times: 5 })
)

/** No retry: the first failure fails the step. */
export const noRetry: Schedule.Schedule<unknown, unknown> = Schedule.recurs(0)

/**
 * How a `waitForCondition` polls when it says nothing else, as AWS's SDKs do: 60 checks, 5 s before the second,
 * half as long again before each further one, 300 s at most, with full jitter.
 */
export const defaultPolling: Schedule.Schedule<unknown, unknown> = Schedule.min([
  Schedule.exponential("5 seconds", 1.5),
  Schedule.spaced("300 seconds")
]).pipe(
  Schedule.modifyDelay(({ duration }) => Effect.map(Random.next, (random) => Duration.times(duration, random))),
  Schedule.upTo({ times: 59 })
)
