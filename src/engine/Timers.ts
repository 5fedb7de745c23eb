/**
 * The engine's time: what it is, and what is to happen later. `layer` follows Effect's `Clock`, so that
 * `TestClock.adjust` fires what is due; `layerSkipping` has a time of its own that jumps to the next timer
 * as soon as nothing runs.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"

/** Time and timers. All methods are synchronous: the engine uses them inside its transactions. */
export class Timers extends Context.Service<
  Timers,
  {
    /** Epoch milliseconds. */
    readonly now: () => number
    /** Milliseconds that a second of a wait, a delay or a timeout takes: 1,000, times the scale. */
    readonly second: number
    /** Runs `action` in a fiber of its own at `at` (epoch milliseconds, past = at once). Gives the way to cancel it. */
    readonly schedule: (at: number, action: Effect.Effect<void>) => () => void
    /** Something runs until the returned function is called: virtual time does not jump meanwhile. Call it once. */
    readonly hold: () => () => void
    /** The clock for what runs inside: it tells this time, and its sleeps take as long as they say. */
    readonly clock: Clock.Clock
  }
>()("effect-durable-lambda/engine/Timers") {}

// ---- on the Clock --------------------------------------------------------------------------------

/** Settings of the `Clock`-based layer. */
export interface Options {
  /**
   * Multiplies every wait, delay and timeout: 0.1 runs ten times faster. Timestamps stay those of the
   * clock, so that everybody who looks at a clock agrees with the engine. Default 1.
   */
  readonly timeScale?: number | undefined
}

const makeClock = Effect.fnUntraced(function* (options?: Options) {
  // Taken here, not where a timer is set: a caller may be a workflow with a clock of its own.
  const clock = yield* Clock.Clock
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  const now = () => clock.currentTimeMillisUnsafe()
  const sleepUntil = (at: number): Effect.Effect<void> =>
    Effect.suspend(() => (at > now() ? clock.sleep(Duration.millis(at - now())) : Effect.void))
  return Timers.of({
    now,
    second: 1000 * (options?.timeScale ?? 1),
    schedule: (at, action) => {
      let fired = false
      const fiber = run(
        Effect.andThen(
          sleepUntil(at),
          Effect.suspend(() => {
            fired = true
            return action
          })
        )
      )
      return () => {
        if (!fired) fiber.interruptUnsafe()
      }
    },
    hold: () => () => {},
    clock
  })
})

/** Time is the `Clock` of the place where the layer is built: real time, or a `TestClock`. */
export const layer: Layer.Layer<Timers> = Layer.effect(Timers, makeClock())

/** As `layer`, with time scaled. */
export const layerScaled = (options: Options): Layer.Layer<Timers> => Layer.effect(Timers, makeClock(options))

// ---- skipping ------------------------------------------------------------------------------------

interface Entry {
  readonly at: number
  /** Equal times fire in the order in which they were set. */
  readonly order: number
  readonly action: Effect.Effect<void>
  cancelled: boolean
}

const isBefore = (left: Entry, right: Entry) => left.at < right.at || (left.at === right.at && left.order < right.order)

/** A binary heap: setting and firing a timer costs the logarithm of how many there are. */
const makeHeap = () => {
  const entries: Array<Entry> = []
  const swap = (i: number, j: number) => {
    const entry = entries[i]!
    entries[i] = entries[j]!
    entries[j] = entry
  }
  const push = (entry: Entry) => {
    let i = entries.push(entry) - 1
    while (i > 0 && isBefore(entries[i]!, entries[(i - 1) >> 1]!)) {
      swap(i, (i - 1) >> 1)
      i = (i - 1) >> 1
    }
  }
  const pop = () => {
    swap(0, entries.length - 1)
    const entry = entries.pop()
    for (let i = 0; ;) {
      let least = i
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < entries.length && isBefore(entries[child]!, entries[least]!)) least = child
      }
      if (least === i) return entry
      swap(i, least)
      i = least
    }
  }
  const peek = (): Entry | undefined => {
    while (entries[0]?.cancelled) pop()
    return entries[0]
  }
  return { push, pop, peek }
}

/** The real clock, also where tests have put another in its place. */
const live: Clock.Clock = Context.get(Context.empty(), Clock.Clock)

/** One turn of the event loop: what was woken by the last thing that ran has had its chance to go on. */
const turn: Effect.Effect<void> = Effect.callback((resume) => {
  const handle = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(handle))
})

const makeSkipping = Effect.gen(function* () {
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  const heap = makeHeap()
  let skipped = 0
  let running = 0
  let order = 0
  let alarm: { readonly at: number; readonly fiber: Fiber.Fiber<void> } | undefined
  const now = () => live.currentTimeMillisUnsafe() + skipped

  // Everything that is due at one instant is taken at once, as with any other clock.
  const fire = Effect.suspend(() => {
    alarm = undefined
    const first = heap.peek()
    if (first === undefined) return Effect.void
    if (first.at > now()) {
      if (running > 0) {
        arm()
        return Effect.void
      }
      skipped += first.at - now()
    }
    for (let next: Entry | undefined = first; next !== undefined && next.at <= first.at; next = heap.peek()) {
      heap.pop()
      const release = hold()
      run(Effect.ensuring(next.action, Effect.sync(release)))
    }
    arm()
    return Effect.void
  })

  /** Waits for the next timer: in real time while something runs, one turn of the event loop otherwise. */
  const arm = () => {
    const first = heap.peek()
    if (first === undefined) {
      alarm?.fiber.interruptUnsafe()
      alarm = undefined
      return
    }
    const at = running > 0 ? first.at : -Infinity
    if (alarm?.at === at) return
    alarm?.fiber.interruptUnsafe()
    const pause = running > 0 ? Effect.suspend(() => live.sleep(Duration.millis(Math.max(first.at - now(), 0)))) : turn
    alarm = { at, fiber: run(Effect.andThen(pause, fire)) }
  }

  const hold = () => {
    running += 1
    if (running === 1) arm()
    return () => {
      running -= 1
      if (running === 0) arm()
    }
  }

  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: now,
    currentTimeMillis: Effect.sync(now),
    currentTimeNanosUnsafe: () => live.currentTimeNanosUnsafe() + BigInt(skipped) * BigInt(1_000_000),
    currentTimeNanos: Effect.sync(() => live.currentTimeNanosUnsafe() + BigInt(skipped) * BigInt(1_000_000)),
    monotonicTimeNanosUnsafe: () => live.monotonicTimeNanosUnsafe(),
    monotonicTimeNanos: live.monotonicTimeNanos,
    sleep: (duration) => live.sleep(duration)
  }

  return Timers.of({
    now,
    second: 1000,
    schedule: (at, action) => {
      const entry: Entry = { at, order: order++, action, cancelled: false }
      heap.push(entry)
      arm()
      return () => {
        entry.cancelled = true
        arm()
      }
    },
    hold,
    clock
  })
})

/**
 * Time of this engine's own that jumps to the next timer as soon as nothing runs, so that a wait of three
 * days takes milliseconds. It starts at the real time and runs with it while an invocation runs. Engines do
 * not share it: any number of tests may skip at the same time.
 */
export const layerSkipping: Layer.Layer<Timers> = Layer.effect(Timers, makeSkipping)
