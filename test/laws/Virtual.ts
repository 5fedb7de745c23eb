/**
 * A world without real time: seeded random numbers, an event loop whose clock jumps to the next event, and
 * the Clock and Scheduler that live on it. A whole execution runs in it within one synchronous call.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scheduler from "effect/Scheduler"

/** Numbers from 0 (inclusive) to 1 (exclusive). */
export type Rng = () => number

/** mulberry32: the same numbers from the same seed, in every version of everything. */
export const rng = (seed: number): Rng => {
  let a = Math.imul(seed, 2654435761) >>> 0
  return () => {
    a = (a + 0x6d2b79f5) >>> 0
    let t = a
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** A whole number from 0 to n - 1. */
export const int = (r: Rng, n: number): number => Math.floor(r() * n)

interface Event {
  readonly at: number
  readonly n: number
  readonly run: () => void
  dead: boolean
}

const before = (a: Event, b: Event) => (a.at !== b.at ? a.at < b.at : a.n < b.n)

/** An event loop in virtual milliseconds. Events of one instant run in the order in which they were asked for. */
export class Loop {
  now = 0
  private n = 0
  private readonly heap: Array<Event> = []

  /** Runs `run` after so many milliseconds, unless it is cancelled by what this returns. */
  after(delay: number, run: () => void): () => void {
    const event: Event = { at: this.now + Math.max(0, delay), n: ++this.n, run, dead: false }
    const { heap } = this
    let i = heap.push(event) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!before(event, heap[parent]!)) break
      heap[i] = heap[parent]!
      i = parent
    }
    heap[i] = event
    return () => {
      event.dead = true
    }
  }

  /** Runs the next event. `false`: there is none, and nothing will ever happen again. */
  step(): boolean {
    const event = this.pop()
    if (event === undefined) return false
    if (event.dead) return true // a cancelled timer does not move the clock
    if (event.at > this.now) this.now = event.at
    event.run()
    return true
  }

  private pop(): Event | undefined {
    const { heap } = this
    const first = heap[0]
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return first
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (!before(heap[child]!, last)) break
      heap[i] = heap[child]!
      i = child
    }
    heap[i] = last
    return first
  }
}

/** The wall clock of a process on this loop, `offset` away from the loop's time. */
export const clockOf = (loop: Loop, offset: number, alive: () => boolean): Clock.Clock => {
  const millis = () => Math.floor(loop.now + offset)
  const nanos = () => BigInt(Math.round(loop.now * 1e6))
  return {
    currentTimeMillisUnsafe: millis,
    currentTimeMillis: Effect.sync(millis),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: (duration) =>
      Effect.callback<void>((resume) => {
        // no timer is so exact that it could go off a nanosecond too early over and over
        const stop = loop.after(Math.max(Duration.toMillis(duration), 0.001), () => {
          if (alive()) resume(Effect.void)
        })
        return Effect.sync(stop)
      })
  }
}

/** The scheduler of a process on this loop. */
export const schedulerOf = (loop: Loop, alive: () => boolean): Scheduler.Scheduler => {
  const dispatcher: Scheduler.SchedulerDispatcher = {
    scheduleTask: (task) => {
      loop.after(0, () => {
        if (alive()) task()
      })
    },
    flush: () => {}
  }
  return { executionMode: "async", shouldYield: () => false, makeDispatcher: () => dispatcher }
}
