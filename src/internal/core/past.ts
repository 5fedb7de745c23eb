/**
 * Which places of the body earlier invocations have been at, as far as the service tells what is new since then. The
 * body moves by deliveries only: where it is now is old if what has moved it there had ended, and was not news.
 */
import type * as Protocol from "../../Protocol.ts"
import { isTerminal } from "../wire.ts"
import { isPart, type Waiter, type World } from "./world.ts"

export interface Past {
  /** A record of the snapshot. */
  readonly see: (record: Protocol.Operation) => void
  /** This world begins. */
  readonly enter: (world: World) => void
  /** Something is delivered to a world. */
  readonly deliver: (waiter: Waiter) => void
  /** Whether an earlier invocation has been where the body of this world is now. `false` as well where nobody knows. */
  readonly has: (world: World) => boolean
}

/** `updated`: what has changed since the last invocation. Empty: nothing, or the service does not tell. */
export const make = (updated: ReadonlySet<string>, moves: (world: World) => boolean): Past => {
  /** The operations that earlier invocations knew, and whether they knew their ends. */
  const seen = new Map<string, boolean>()
  let movedLast: World | undefined

  return {
    see: ({ Id, Status }) => {
      if (updated.size > 0) seen.set(Id, isTerminal(Status) && !updated.has(Id))
    },
    enter: (world) => {
      const { parent, place } = world
      world.past =
        parent === undefined
          ? updated.size > 0
          : isPart(world)
            ? // its parent has just begun, or another part has just ended
              parent.past && (moves(parent) || movedLast?.past === true)
            : seen.has(place.parentId!)
    },
    deliver: ({ event, op, world }) => {
      // for good: behind what is new, it may await again what is old
      world.past &&= event === "created" ? seen.has(op.id) : seen.get(op.id) === true
      movedLast = world
    },
    // (what another world has moved follows from what was delivered there)
    has: (world) => world.past && moves(world)
  }
}
