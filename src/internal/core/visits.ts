/** Which recorded operations the body has not asked for again: a faithful replay asks for all of them. */
import { type Fatal, NonDeterministic } from "../../DurableError.ts"
import type * as Protocol from "../../Protocol.ts"
import * as explain from "./explain.ts"
import * as Order from "./order.ts"
import type { Op, World } from "./world.ts"

export interface Visits {
  /** A record of the snapshot. */
  readonly expect: (record: Protocol.Operation) => void
  /** The body of this context begins. */
  readonly enter: (world: World) => void
  /** It has ended, or was interrupted: how far it came is nobody's business any more. */
  readonly leave: (world: World) => void
  /** How many recorded operations the bodies that run have not asked for yet. */
  readonly missing: () => number
  /** The body asks for an operation. */
  readonly visit: (world: World, id: string) => void
  /** Before anything new is done: whether everything recorded was asked for. If not, the execution has failed. */
  readonly complete: (opened: Iterable<Op>, root: World) => boolean
}

export const make = (
  records: ReadonlyMap<string, Protocol.Operation>,
  policy: "fail" | "ignore",
  { fail, warn }: { readonly fail: (error: Fatal) => void; readonly warn: (message: string) => void }
): Visits => {
  const expected = new Map<string | undefined, Set<string>>()
  /** Those whose bodies run. */
  const worlds = new Set<World>()
  let missingCount = 0

  const complete = (opened: Iterable<Op>, root: World): boolean => {
    if (missingCount === 0) return true
    const missing: Array<Protocol.Operation> = []
    for (const world of worlds) for (const id of world.unvisited ?? []) missing.push(records.get(id)!)
    const asked = [...opened].filter((op) => op.record === undefined)
    const stray = asked.find((op) => op.place.world.rebuilding && op.waiters.length > 0)
    if (stray !== undefined) {
      fail(new NonDeterministic({ message: explain.inFinishedContext(stray) }))
      return false
    }
    const reason = explain.unvisited(missing, asked, root.trail)
    // a second one of a recorded name may have taken the result of the first: no policy can tolerate that
    const taken = asked.some((op) => op.place.repeats(op.spec) && (op.place.world.unvisited?.size ?? 0) > 0)
    if (policy === "ignore" && !taken) {
      missingCount = 0
      for (const world of worlds) {
        world.unvisited?.clear() // its parts see the same set
        world.unvisited = undefined
      }
      warn(reason)
      return true
    }
    fail(new NonDeterministic({ message: reason }))
    return false
  }

  return {
    expect: ({ Id, ParentId }) => {
      const siblings = expected.get(ParentId)
      if (siblings === undefined) expected.set(ParentId, new Set([Id]))
      else siblings.add(Id)
    },
    enter: (world) => {
      if (world.parent !== undefined && world.place.parentId === world.parent.place.parentId) {
        // a part without a record of its own: what is on record below both is asked for by either
        world.unvisited = world.parent.unvisited
        const before = world.unvisited?.size ?? 0
        if (expected.has(world.place.parentId)) Order.readMarkers(world, records)
        missingCount -= before - (world.unvisited?.size ?? 0)
        return
      }
      worlds.add(world)
      world.unvisited = expected.get(world.place.parentId)
      if (world.unvisited === undefined) return // nothing of it is on record, no marker either
      Order.readMarkers(world, records)
      missingCount += world.unvisited.size
    },
    leave: (world) => {
      if (worlds.delete(world)) missingCount -= world.unvisited?.size ?? 0
      world.unvisited = undefined
    },
    missing: () => missingCount,
    visit: (world, id) => {
      if (world.unvisited?.delete(id) === true) missingCount--
    },
    complete
  }
}
