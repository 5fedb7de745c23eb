/**
 * The one timer of an invocation. It is armed for the earliest need, lazily, and stays armed when that need goes
 * away; it then rings for nothing. So an ordinary step arms no timer of its own.
 */
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import { whenEnded } from "../whenEnded.ts"
import type { Host } from "./host.ts"

/**
 * `start`: a START has waited long enough for another reason to send; `pace`: a request may be sent whose
 * timestamp must be later than the last one; `poll`: time to look at the service; `deadline`: Lambda's is near.
 */
export type Need = "start" | "pace" | "poll" | "deadline"

export interface Alarm {
  /** Rings at this time of the clock (epoch milliseconds), or soon after, once armed. */
  readonly set: (need: Need, at: number) => void
  /** The same, unless it rings before. */
  readonly sooner: (need: Need, at: number) => void
  /** Nothing more happens by itself for now: what is still needed needs the timer. */
  readonly arm: () => void
  readonly clear: (need: Need) => void
  readonly isSet: (need: Need) => boolean
  readonly stop: () => void
}

/** `ring` asks which needs are due; what it asks for is then no longer set. */
export const make = ({ clock, fork }: Host, ring: (isDue: (need: Need) => boolean, now: number) => void): Alarm => {
  const needs = { start: Infinity, pace: Infinity, poll: Infinity, deadline: Infinity }
  const earliest = () => Math.min(needs.start, needs.pace, needs.poll, needs.deadline)
  let armedFor = Infinity
  let disarm: (() => void) | undefined
  let stopped = false

  const arm = (): void => {
    disarm?.()
    disarm = undefined
    armedFor = earliest()
    if (armedFor === Infinity || stopped) return
    const fiber = fork(clock.sleep(Duration.millis(Math.max(0, armedFor - clock.currentTimeMillisUnsafe()))))
    disarm = () => fiber.interruptUnsafe()
    whenEnded(fiber, (exit) => {
      if (stopped || Exit.isFailure(exit)) return
      disarm = undefined
      const now = clock.currentTimeMillisUnsafe()
      const rung = Math.max(now, armedFor) // the time of tests is patient: it looks when there is something to see
      armedFor = Infinity
      ring((need) => {
        if (needs[need] > (need === "deadline" ? now : rung)) return false
        needs[need] = Infinity
        return true
      }, rung)
      arm()
    })
  }

  return {
    set: (need, at) => {
      needs[need] = at
    },
    sooner: (need, at) => {
      needs[need] = Math.min(needs[need], at)
    },
    arm: () => {
      if (earliest() < armedFor) arm()
    },
    clear: (need) => {
      needs[need] = Infinity
    },
    isSet: (need) => needs[need] !== Infinity,
    stop: () => {
      stopped = true
      disarm?.()
    }
  }
}
