import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { DurableContext } from "../DurableContext.ts"
import * as core from "../internal/core/operation.ts"

/**
 * Waits without running: the service wakes the workflow when the time has come.
 *
 * **Details**
 *
 * 1 second to 366 days; a fraction of a second rounds up. In the body `Effect.sleep`, and with it `timeout`,
 * `delay`, `retry(Schedule)` and `repeat(Schedule)`, is the same operation under the name `sleep`.
 *
 * Suspends. Billed: one operation; no compute while it waits. A wait cannot be cancelled at the service: one
 * that lost a race stays open, may cause one further invocation, and delays nothing.
 *
 * Zero, negative, `NaN` and longer durations end the execution with `InvalidOperation`, before anything is sent.
 *
 * **Example** (A cooling-off period)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 *
 * const program = Durable.wait("cooling-off", "14 days")
 * ```
 */
export const wait = (name: string, duration: Duration.Input): Effect.Effect<void, never, DurableContext> =>
  core.withHere("wait", name, (here) => {
    const parsed = core.readDuration(duration)
    return parsed !== undefined
      ? core.waitHere(here, "wait", name, parsed)
      : core.invalid(
          here.core,
          `Durable.wait("${name}"): ${String(duration)} is not a duration. Write "3 days", or Duration.days(3).`
        )
  })

/**
 * Waits until an instant. One that is not in the future, by the workflow's own clock, is no wait and records
 * nothing. One that has passed only by now, while a context ran that did not move that clock, is a wait of a second.
 *
 * Suspends. Billed: one operation.
 *
 * **Example** (The first of the month)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { DateTime, Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const now = yield* DateTime.now // the workflow's clock: the same in every replay
 *   yield* Durable.waitUntil("first-of-month", DateTime.add(DateTime.startOf(now, "month"), { months: 1 }))
 * })
 * ```
 */
export const waitUntil = (name: string, dateTime: DateTime.DateTime): Effect.Effect<void, never, DurableContext> =>
  core.withHere("waitUntil", name, (here) => {
    const at = DateTime.toEpochMillis(dateTime)
    const millis = at - here.place.world.time
    if (millis <= 0) return Effect.void
    // the service counts from when it is asked: behind a context that took long, the body's clock stands before that
    const secondsLeft = () => Math.ceil((at - here.core.host.clock.currentTimeMillisUnsafe()) / 1000)
    return core.waitHere(here, "waitUntil", name, Duration.millis(millis), secondsLeft)
  })
