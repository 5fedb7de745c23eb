/**
 * Running what observers bring along, so that it can do no harm: hooks one after the other beside the workflow,
 * for a bounded time; wrappers around an effect whose outcome they cannot change.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"
import { textOf } from "./failure.ts"

/** What went wrong in which hook. */
export type Complain = (hook: string, problem: string) => void

const because = (cause: Cause.Cause<unknown>): string => `failed: ${textOf(Cause.squash(cause))}`

// ---- hooks -----------------------------------------------------------------------------------------------

interface Hook {
  readonly name: string
  readonly run: () => Effect.Effect<unknown>
}

/** The hooks of one observer. They run one after the other, each at once if those before have ended. */
export interface Queue {
  readonly add: (name: string, run: () => Effect.Effect<unknown>) => void
  /** Waits until all have run, or this long. Those that have not ended then are given up. */
  readonly settle: (limit: Duration.Duration) => Effect.Effect<void>
  /** Nobody waits any more. */
  readonly close: () => void
}

/** A queue whose hooks run with these services, each for `limit` at most. */
export const makeQueue = (context: Context.Context<never>, limit: Duration.Duration, complain: Complain): Queue => {
  const clock = Context.get(context, Clock.Clock)
  let waiting: Array<Hook> = []
  let next = 0
  let busy = false
  let giveUp: (() => void) | undefined
  let settled: Array<() => void> = []

  const pump = (): void => {
    while (!busy && next < waiting.length) {
      const hook = waiting[next++]!
      busy = true
      const fiber = Effect.runForkWith(context)(Effect.suspend(hook.run))
      const exit = fiber.pollUnsafe()
      if (exit === undefined) return follow(hook, fiber)
      ended(hook, exit)
    }
    if (busy) return
    waiting = []
    next = 0
    const resume = settled
    settled = []
    for (const f of resume) f()
  }

  const ended = (hook: Hook, exit: Exit.Exit<unknown, unknown>): void => {
    busy = false
    if (Exit.isFailure(exit)) complain(hook.name, because(exit.cause))
  }

  /** It has not ended at once. One that cannot be interrupted is not waited for either. */
  const follow = (hook: Hook, fiber: Fiber.Fiber<unknown, unknown>): void => {
    const stop = () => {
      if (giveUp !== stop) return
      giveUp = undefined
      timer.interruptUnsafe()
      complain(hook.name, "did not end in time")
      fiber.interruptUnsafe()
      busy = false
      pump()
    }
    giveUp = stop
    const timer = Effect.runForkWith(context)(Effect.flatMap(clock.sleep(limit), () => Effect.sync(stop)))
    fiber.addObserver((exit) => {
      if (giveUp !== stop) return
      giveUp = undefined
      timer.interruptUnsafe()
      ended(hook, exit)
      pump()
    })
  }

  const close = (): void => {
    const missed = waiting.slice(next)
    waiting = []
    next = 0
    giveUp?.()
    for (const { name } of missed) complain(name, "was left out: there was no time left for it")
  }

  return {
    add: (name, run) => {
      waiting.push({ name, run })
      pump()
    },
    settle: (limit) =>
      Effect.suspend(() =>
        busy
          ? Effect.callback<void>((resume) => {
              settled.push(() => resume(Effect.void))
            }).pipe(Effect.timeoutOrElse({ duration: limit, orElse: () => Effect.sync(close) }))
          : Effect.void
      ),
    close
  }
}

// ---- wrappers ----------------------------------------------------------------------------------------------

/** What tells the time, the chance and the order of fibers apart, inside and outside of a workflow's body. */
const realm = (context: Context.Context<never>): Context.Context<never> =>
  Context.empty().pipe(
    Context.add(Scheduler.Scheduler, Context.get(context, Scheduler.Scheduler)),
    Context.add(Clock.Clock, Context.get(context, Clock.Clock)),
    Context.add(Random.Random, Context.get(context, Random.Random))
  )

/**
 * Runs an effect inside of a wrapper that can provide services to it and see its exit, but change nothing of it.
 *
 * The wrapper runs in a fiber of its own, outside of the body. Where it runs its effect, it waits; the effect runs in
 * the fiber that asked, with the services that the wrapper has at this place. A wrapper that does not get there at
 * once is left out: in a body nobody could wait for it.
 */
export const around = <A, E, R>(
  name: string,
  wrap: (effect: Effect.Effect<A, E, R>) => Effect.Effect<unknown, unknown, unknown>,
  effect: Effect.Effect<A, E, R>,
  outside: Context.Context<never>,
  complain: Complain,
  /** Told of wrappers that have not ended with their effect. */
  linger: (fiber: Fiber.Fiber<unknown, unknown>) => void
): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => {
    const inside = fiber.context as Context.Context<never>
    let entered: Context.Context<never> | undefined
    let known: Exit.Exit<A, E> | undefined
    const waiting: Array<(exit: Exit.Exit<A, E>) => void> = []
    const place = Effect.withFiber<A, E>((wrapper) => {
      entered ??= wrapper.context as Context.Context<never>
      return known ?? Effect.callback<A, E>((resume) => void waiting.push(resume))
    })
    const wrapper = Effect.runForkWith(Context.merge(inside, realm(outside)))(
      Effect.suspend(() => wrap(place)) as Effect.Effect<unknown, unknown>
    )
    if (entered === undefined) {
      const exit = wrapper.pollUnsafe()
      wrapper.interruptUnsafe()
      complain(
        name,
        exit !== undefined && Exit.isFailure(exit)
          ? because(exit.cause)
          : "was left out: it did not run its effect at once"
      )
      return effect
    }
    return Effect.onExit(
      Effect.provideContext(effect, Context.merge(entered, realm(inside)) as Context.Context<R>),
      (exit) =>
        Effect.sync(() => {
          known = exit
          for (const resume of waiting) resume(exit)
          if (wrapper.pollUnsafe() === undefined) linger(wrapper)
        })
    )
  })
