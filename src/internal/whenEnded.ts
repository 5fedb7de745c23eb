import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"

/**
 * Observes how a fiber ends, and lets go of the observer then. Effect keeps observers in arrays that V8, when there are
 * many, puts among its old objects: until a full collection, whatever such an array leads to counts as alive, and an
 * observer leads to the whole invocation. (It stands here because a closure also leads to all that is around it.)
 */
export const whenEnded = <A, E>(fiber: Fiber.Fiber<A, E>, observer: (exit: Exit.Exit<A, E>) => void): void => {
  let observing: typeof observer | undefined = observer
  fiber.addObserver((exit) => {
    const told = observing!
    observing = undefined
    told(exit)
  })
}
