/**
 * Which recorded operations the body has not asked for again: a faithful replay asks for all of them, but for those
 * that it says have gone, before it does anything new, but what it says has come.
 */
import * as Exit from "effect/Exit"
import { type Fatal, NonDeterministic } from "../../DurableError.ts"
import type * as Protocol from "../../Protocol.ts"
import * as explain from "./explain.ts"
import type { Gate } from "./gate.ts"
import * as Order from "./order.ts"
import { isAdded, isPart, type Op, type World } from "./world.ts"

export interface Visits {
  /** A record of the snapshot. */
  readonly expect: (record: Protocol.Operation) => void
  /** The body of this context begins. */
  readonly enter: (world: World) => void
  /** It has ended, or was interrupted: how far it came is nobody's business any more. */
  readonly leave: (world: World) => void
  /** How many recorded operations the bodies that run have not asked for yet. */
  readonly missing: () => number
  /** Whether the body of this world has not come to all of its records, and waits for nothing that was added. */
  readonly isBehind: (world: World) => boolean
  /** The body asks for an operation. */
  readonly visit: (world: World, id: string) => void
  /** The body says that operations have gone from its code. */
  readonly retire: (world: World, name: string) => void
  /**
   * Before anything new is done, and when bodies have ended: whether everything recorded was asked for, may yet follow
   * something that was added, or is left because something that was added has ended the body. If not, the execution has failed.
   */
  readonly complete: (which?: Iterable<World>, ended?: Exit.Exit<unknown, unknown>) => boolean
  /** Whether it is new where something added comes first: until what is on record was asked for, it may be a mistake. */
  readonly waits: (op: Op) => boolean
}

/** What it asks of the core. */
export interface Surroundings {
  readonly gate: Gate
  readonly fail: (error: Fatal) => void
  readonly warn: (message: string) => void
}

/** How much of what is on record in this world its body has not asked for yet. */
const leftOf = ({ unvisited }: World): number => unvisited?.size ?? 0

export const make = (
  records: ReadonlyMap<string, Protocol.Operation>,
  policy: "fail" | "ignore",
  { fail, gate: { opened, parked }, warn }: Surroundings
): Visits => {
  const expected = new Map<string | undefined, Set<string>>()
  /** Those whose bodies run, and of which something is on record. */
  const worlds = new Set<World>()
  /** Operations that wait, and of which that was said. */
  const told = new Set<Op>()
  let missingCount = 0

  const isBehind = (world: World): boolean => {
    if (!worlds.has(world) || leftOf(world) === 0) return false
    for (const { op } of parked) if (op.place.world.unvisited === world.unvisited && isAdded(op)) return false
    return true
  }

  /** Whether something was added on top of what is left: that has decided how the body ends. */
  const isDecided = ({ unvisited }: World): boolean => {
    const last = Math.max(...[...unvisited!].map((id) => records.get(id)!.StartTimestamp ?? 0))
    return [...opened.values()].some(
      (op) => op.place.world.unvisited === unvisited && isAdded(op) && (op.record?.StartTimestamp ?? Infinity) >= last
    )
  }

  const complete = (which: Iterable<World> = worlds, ended?: Exit.Exit<unknown, unknown>): boolean => {
    if (missingCount === 0) return true
    const behind = [...which].filter(isBehind)
    const [world] = behind
    if (world === undefined) return true
    const asked = [...opened.values()].filter((op) => op.record === undefined)
    const stray = asked.find((op) => op.place.world.rebuilding && op.waiters > 0)
    if (stray !== undefined) {
      fail(new NonDeterministic({ message: explain.inFinishedContext(stray) }))
      return false
    }
    // a second one of a recorded name may have taken the result of the first: no policy can tolerate that
    const taken = asked.find((op) => op.place.asked(op.spec) > 1 && leftOf(op.place.world) > 0)
    const missing = behind.flatMap(({ unvisited }) => [...unvisited!].map((id) => records.get(id)!))
    const waiting = [...parked].find(({ op }) => op.place.world === world && op.record !== undefined)?.op
    const message = explain.unvisited({ world, missing, asked, taken, waiting })
    if (ended !== undefined && isDecided(world)) {
      if (Exit.isSuccess(ended)) warn(message)
      return true
    }
    if (policy === "ignore" && taken === undefined) {
      for (const { unvisited } of behind) {
        missingCount -= unvisited!.size
        unvisited!.clear() // its parts see the same set
      }
      warn(message)
      return true
    }
    fail(new NonDeterministic({ message }))
    return false
  }

  const waits = (op: Op | undefined): boolean =>
    missingCount > 0 &&
    op !== undefined &&
    ((op.record === undefined && !op.launched && leftOf(op.place.world) > 0 && !isAdded(op)) ||
      waits(opened.get(op.place.parentId!)))

  return {
    expect: ({ Id, ParentId }) => {
      const siblings = expected.get(ParentId)
      if (siblings === undefined) expected.set(ParentId, new Set([Id]))
      else siblings.add(Id)
    },
    enter: (world) => {
      world.changed = policy === "ignore"
      if (isPart(world)) {
        // what is on record below both is asked for by either
        world.unvisited = world.parent!.unvisited
        const before = leftOf(world)
        if (expected.has(world.place.parentId)) Order.readMarkers(world, records)
        missingCount -= before - leftOf(world)
        return
      }
      world.unvisited = expected.get(world.place.parentId)
      if (world.unvisited === undefined) return // nothing of it is on record, no marker either
      worlds.add(world)
      Order.readMarkers(world, records)
      missingCount += world.unvisited.size
    },
    leave: (world) => {
      if (world.unvisited === undefined) return
      if (worlds.delete(world)) missingCount -= world.unvisited.size
      world.unvisited = undefined
    },
    missing: () => missingCount,
    isBehind,
    visit: (world, id) => {
      if (world.unvisited?.delete(id) === true) missingCount--
    },
    retire: ({ unvisited = new Set() }, name) => {
      for (const id of unvisited) if (records.get(id)!.Name === name && unvisited.delete(id)) missingCount--
    },
    complete,
    waits: (op) => {
      const held = waits(op)
      if (held && op.waiters > 0 && !told.has(op)) {
        told.add(op)
        warn(explain.waits(op))
      }
      return held
    }
  }
}
