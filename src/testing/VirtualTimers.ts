/**
 * Time for tests that jumps to the next timer whenever nothing else can happen, also while steps sleep. It takes
 * only the values of its timers, so that two runs that do the same see the same times.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import { Timers } from "../engine/Timers.ts"
import { Heap, type Node } from "../internal/core/heap.ts"
import { limitedFibers } from "../operations/step.ts"

/** Time, and what may sleep in it. */
export interface VirtualTimers {
  readonly timers: Timers["Service"]
  /** Something that holds the time is asleep until the returned function is called. Call it once. */
  readonly doze: () => () => void
  /** Takes that long, whoever sleeps. The sleeps of `timers.clock` may be patient ones. */
  readonly sleep: Clock.Clock["sleep"]
  /** Told when nothing runs and nothing is to come: what goes on from here must come from outside. */
  readonly onStandstill: (listener: () => void) => () => void
}

interface Entry extends Node<Entry> {
  readonly at: number
  readonly order: number
  readonly action: Effect.Effect<void>
  cancelled: boolean
}

/** The real clock, also where tests have put another in its place. */
export const real: Clock.Clock = Context.get(Context.empty(), Clock.Clock)

/**
 * Turns of the event loop without anything new before time jumps: what was woken has had its chance to go on, and
 * what that has woken too.
 */
const QUIET_TURNS = 2

const isBefore = (left: Entry, right: Entry) => left.at < right.at || (left.at === right.at && left.order < right.order)

/**
 * Makes a time that begins at `start` (epoch milliseconds). Everything ends with the scope. `patient`: what looks at
 * the service from time to time, while steps keep an invocation alive, looks when there is something to see, and not
 * every ten seconds of a year.
 */
export const make = Effect.fnUntraced(function* (start: number, patient = false) {
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  const entries = new Heap<Entry>(isBefore)
  const patientEntries = new Heap<Entry>(isBefore)
  const standstill = new Set<() => void>()
  let now = start
  /** Since when, in real time, it is `now`. */
  let since = real.currentTimeMillisUnsafe()
  let order = 0
  let running = 0
  let dozing = 0
  let waiting: { readonly forReal: boolean; readonly at: number; readonly cancel: () => void } | undefined
  let changes = 0
  let closed = false
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      closed = true
      waiting?.cancel()
    })
  )

  const isFree = () => running - dozing <= 0

  const top = (heap: Heap<Entry>): Entry | undefined => {
    while (heap.peek()?.cancelled === true) heap.pop()
    return heap.peek()
  }
  /** Where to look next. Whoever is patient looks when something has happened, and before anything else does. */
  const nextHeap = (): Heap<Entry> => {
    const patient = top(patientEntries)
    return (patient !== undefined && patient.at <= now) || top(entries) === undefined ? patientEntries : entries
  }
  const earliest = (): Entry | undefined => top(nextHeap())

  /** All that is due at one instant goes off at once, in the order of setting. */
  const fire = (): void => {
    waiting = undefined
    const heap = nextHeap()
    const first = top(heap)
    if (first === undefined) {
      for (const listener of standstill) listener()
      return
    }
    const at = Math.max(now, first.at)
    // a look at the service takes no time of its own: what it finds must not be later than in a run that did not look
    if (heap === entries) now = at
    since = real.currentTimeMillisUnsafe()
    for (let entry = top(heap); entry !== undefined && entry.at <= at; entry = top(heap)) {
      heap.pop()
      entry.cancelled = true
      const release = hold()
      run(Effect.ensuring(entry.action, Effect.sync(release)))
    }
    arm()
  }

  const whenQuiet = (): (() => void) => {
    let seen = changes
    let turns = 0
    let handle: NodeJS.Immediate
    const turn = () => {
      turns = seen === changes ? turns + 1 : 0
      seen = changes
      if (turns >= QUIET_TURNS) fire()
      else handle = setImmediate(turn)
    }
    handle = setImmediate(turn)
    return () => clearImmediate(handle)
  }

  /** Waits for the next timer: as long as it takes while something runs, for a quiet moment otherwise. */
  const arm = (): void => {
    changes++
    if (closed) return
    const free = isFree()
    const at = earliest()?.at
    if (waiting !== undefined && waiting.forReal === !free && (free || waiting.at === at)) return
    waiting?.cancel()
    waiting = undefined
    if (free) waiting = { forReal: false, at: 0, cancel: whenQuiet() }
    else if (at !== undefined) {
      const left = at - now - (real.currentTimeMillisUnsafe() - since)
      const handle = setTimeout(fire, Math.min(Math.max(left, 0), 2 ** 31 - 1))
      waiting = { forReal: true, at, cancel: () => clearTimeout(handle) }
    }
  }

  const hold = (): (() => void) => {
    if (isFree()) since = real.currentTimeMillisUnsafe()
    running++
    arm()
    return () => {
      running--
      arm()
    }
  }

  const schedule = (at: number, action: Effect.Effect<void>, patient = false): (() => void) => {
    const entry: Entry = { at, order: order++, action, cancelled: false, child: undefined, next: undefined }
    if (patient) patientEntries.push(entry)
    else entries.push(entry)
    arm()
    return () => {
      if (entry.cancelled) return
      entry.cancelled = true
      arm()
    }
  }

  const sleepFor = (duration: Duration.Duration, patient: boolean): Effect.Effect<void> =>
    Effect.callback<void>((resume) => {
      if (!Duration.isFinite(duration)) return
      const cancel = schedule(
        now + Math.max(Duration.toMillis(duration), 0),
        Effect.sync(() => resume(Effect.void)),
        patient
      )
      return Effect.sync(cancel)
    })

  const nanos = () => BigInt(Math.trunc(now)) * BigInt(1_000_000)
  const clock: Clock.Clock = {
    currentTimeMillisUnsafe: () => now,
    currentTimeMillis: Effect.sync(() => now),
    currentTimeNanosUnsafe: nanos,
    currentTimeNanos: Effect.sync(nanos),
    monotonicTimeNanosUnsafe: nanos,
    monotonicTimeNanos: Effect.sync(nanos),
    sleep: (duration) => sleepFor(duration, patient)
  }

  return {
    timers: Timers.of({ now: () => now, second: 1000, schedule: (at, action) => schedule(at, action), hold, clock }),
    sleep: (duration) => sleepFor(duration, false),
    doze: () => {
      dozing++
      arm()
      return () => {
        if (isFree()) since = real.currentTimeMillisUnsafe()
        dozing--
        arm()
      }
    },
    onStandstill: (listener) => {
      standstill.add(listener)
      arm()
      return () => void standstill.delete(listener)
    }
  } satisfies VirtualTimers
})

// ---- sleepers ----------------------------------------------------------------------------------------

/** Things that run, one of which alone keeps the time from jumping: an invocation and the attempts of its steps. */
export interface Party {
  /**
   * Runs one of them. It counts as asleep while the very fiber that runs it sleeps, also beside the `timeout` of its step,
   * for then nothing else is under way; where it waits for other fibers of its own, nobody can tell what those wait for, and
   * time goes on as ever.
   */
  readonly run: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** A party that dozes while all that runs in it is asleep. */
export const makeParty = ({ doze, sleep, timers }: VirtualTimers): Party => {
  let running = 0
  let asleep = 0
  let wake: (() => void) | undefined
  const update = () => {
    const dozing = running > 0 && running === asleep
    if (dozing) wake ??= doze()
    else if (wake !== undefined) {
      wake()
      wake = undefined
    }
  }
  return {
    run: <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      Effect.withFiber<A, E, R>((root) => {
        const clock: Clock.Clock = {
          ...timers.clock,
          sleep: (duration) =>
            Effect.suspend(() => {
              const fiber = Fiber.getCurrent()
              if (fiber !== root && !(fiber !== undefined && limitedFibers.has(fiber))) return sleep(duration)
              asleep++
              update()
              return Effect.ensuring(
                sleep(duration),
                Effect.sync(() => {
                  asleep--
                  update()
                })
              )
            })
        }
        running++
        update()
        return Effect.ensuring(
          Effect.provideService(effect, Clock.Clock, clock),
          Effect.sync(() => {
            running--
            update()
          })
        )
      })
  }
}
