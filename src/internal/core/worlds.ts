/**
 * How the worlds within the execution's own begin and end: the contexts, batches and items of the body, what goes on
 * record when one has ended, and what its parent goes on with. A bundle without them does without this module: the core
 * gets it from the first of them, by `of`.
 */
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import { type Fatal, InvalidOperation, UntrackedAsync } from "../../DurableError.ts"
import * as explain from "./explain.ts"
import type { Gate } from "./gate.ts"
import type { Host } from "./host.ts"
import type { Visits } from "./visits.ts"
import type { Work } from "./work.ts"
import { type Closing, type Ending, hasEnded, isPart, type Op, rebuilds, type Spec, type World } from "./world.ts"

export interface Worlds {
  /** The world of a child context. Its clock starts with its parent's. */
  readonly child: (op: Op) => World
  /** The world of a batch. What of it is on record and not asked for again is the batch's own business while it rebuilds. */
  readonly batch: (op: Op) => World
  /** The world of a part of this one that has no record of its own. Its operations get their ids below that of `item`. */
  readonly part: (world: World, item: Op) => World
  /**
   * The body of a context has returned: how to record it, and what its parent goes on with. `parts` are its worlds
   * without records.
   */
  readonly finish: (
    op: Op,
    world: World,
    encode: () => Closing | Effect.Effect<Closing, Fatal>,
    parts?: ReadonlyArray<World>
  ) => void
  /** The body of an item has returned. It is recorded if it is to be, and its batch goes on at once. */
  readonly finishItem: <C extends Closing, Of>(
    op: Op,
    world: World,
    exit: Exit.Exit<unknown, unknown>,
    item: Of,
    how: ItemEnd<C, Of>
  ) => void
  /** The body of a context that its parent lets go of has returned: it has done its cleanup. */
  readonly end: (world: World) => void
  /** A context is interrupted: what it has seen is not recorded, so nothing durable can follow in it. */
  readonly lose: (world: World) => void
  /**
   * The body is quiescent: contexts that have ended go on record. Where nothing else of the parent is parked there is
   * no order to get wrong, so nobody waits for the service. (Before, another fiber might still have asked for something.)
   */
  readonly settleEnded: () => void
  /** Whether the outcome of a body that had ended before is being made again: what follows it is not new. */
  readonly remaking: () => boolean
  /** The order of this world, as far as it is not on record, is recorded with the next request. */
  readonly keepOrder: (world: World) => void
  /** Fibers of this world are about to be moved, although nothing was delivered to them. */
  readonly stir: (world: World) => void
  /** Why nothing durable can be asked for in this world, which is lost, or was moved by another one. */
  readonly refusal: (world: World, spec: Spec) => Fatal
}

/** How the items of a batch end. */
export interface ItemEnd<C extends Closing, Of> {
  /** Whether they have records of their own. */
  readonly recorded: boolean
  readonly encode: (exit: Exit.Exit<unknown, unknown>, item: Of, op: Op) => C | Effect.Effect<C, Fatal>
  readonly done: (closing: C, world: World, item: Of, op: Op) => void
}

/** What it asks of the core. */
export interface Surroundings {
  readonly host: Host
  readonly gate: Gate
  readonly visits: Visits
  readonly work: Work
  readonly closed: () => boolean
  /** A world of this invocation begins. */
  readonly enter: (...args: ConstructorParameters<typeof World>) => World
  /** The delivery that is under way, or was last. */
  readonly delivery: () => number
  /** What is done in it moves the body. */
  readonly moving: (move: () => void) => void
}

/** Who has worlds: the core. */
export interface Owner {
  /** The worlds within the execution's own, made when they are first asked for. */
  readonly worlds: (make: (surroundings: Surroundings) => Worlds) => Worlds
}

/** The worlds of this core. */
export const of = (core: Owner): Worlds => core.worlds(make)

const make = ({ closed, delivery, enter, gate, host, moving, visits, work }: Surroundings): Worlds => {
  /** Contexts whose bodies have ended since the body was last quiescent. */
  let ended: Array<{ readonly op: Op; readonly ending: Ending }> = []
  let remade = 0

  const child = (op: Op): World => {
    const { world } = op.place
    host.observer?.begin(op) // its START follows when the body has come to rest
    return enter(op, op.id, op.id, world, world.time, world.rebuilding || rebuilds(op))
  }

  const batch = (op: Op): World => {
    const world = child(op)
    if (world.rebuilding) visits.leave(world)
    return world
  }

  const part = (world: World, item: Op): World =>
    enter(item, item.id, world.place.parentId, world, world.time, world.rebuilding)

  const finish: Worlds["finish"] = (op, world, encode, parts = []) => {
    leave(world, "ended")
    const isLost = () => op.waiters === 0
    if (closed() || isLost()) return
    const closing = encode()
    const done = (closing: Closing) => finished(op, [world, ...parts], closing)
    if ("ending" in closing) done(closing)
    else conclude(op, world, closing, isLost, done, parts)
  }

  const finishItem: Worlds["finishItem"] = (op, world, exit, item, how) => {
    leave(world, "ended")
    if (closed() || world.abandoned) return
    const closing = how.encode(exit, item, op)
    if ("ending" in closing) return itemFinished(op, world, item, how, closing)
    const isLost = () => world.abandoned
    conclude(op, world, closing, isLost, (closing) => itemFinished(op, world, item, how, closing))
  }

  // The order in which items end decides nothing but how their batch ends, and that is on its own record.
  const itemFinished = <C extends Closing, Of>(
    op: Op,
    world: World,
    item: Of,
    how: ItemEnd<C, Of>,
    closing: C
  ): void => {
    if (!how.recorded) {
      // its body will run again, by the same order: what follows its end must not go on record without that
      if (world.unrecorded !== undefined) gate.unwritten.add(world)
    } else if (!hasEnded(op)) {
      keepRebuilt(world, closing)
      work.plan(op, "record", closing.ending)
    }
    how.done(closing, world, item, op)
  }

  /** Its result takes time to be encoded. (Nothing that it has asked for is sent meanwhile: it has left.) */
  const conclude = <C extends Closing>(
    op: Op,
    world: World,
    closing: Effect.Effect<C, Fatal>,
    isLost: () => boolean,
    done: (closing: C) => void,
    parts: ReadonlyArray<World> = []
  ): void => {
    const again = world.rebuilding || visits.missing() > 0
    if (again) remade++
    // what was queued in it may be sent before it is known whether it will be rebuilt: not without its order
    for (const one of [world, ...parts]) if (one.unrecorded !== undefined) gate.unwritten.add(one)
    work.encode(op, closing, (closing: C) => {
      if (again) remade--
      if (isLost()) return
      moving(() => done(closing))
    })
  }

  /** What is rebuilt on replay is rebuilt by the order in which its completions came. */
  const keepRebuilt = (world: World, { ending }: Closing): void => {
    if (ending.ContextOptions?.ReplayChildren === true && world.unrecorded !== undefined) gate.unwritten.add(world)
  }

  const finished = (op: Op, worlds: ReadonlyArray<World>, closing: Closing): void => {
    const { ending, outcome } = closing
    const recorded = hasEnded(op)
    if (!recorded) for (const world of worlds) keepRebuilt(world, closing)
    op.outcome = outcome
    if (recorded) gate.settle(op)
    else ended.push({ op, ending })
  }

  const settleEnded = (): void => {
    if (ended.length === 0) return
    const later: typeof ended = []
    for (const one of ended) {
      const { ending, op } = one
      if (op.place.world.holds > 0) {
        later.push(one) // its parent is about to move by something else
        continue
      }
      const isAlone = op.waiters > 0 && op.place.world.parked === op.waiters
      if (isAlone) gate.settle(op)
      work.plan(op, isAlone ? "record" : "recordIfAwaited", ending)
    }
    ended = later
  }

  const lose = (world: World): void => {
    world.abandoned = true
    work.lose()
    leave(world, "lost")
  }

  const leave = (world: World, state: "lost" | "ended"): void => {
    if (world.state !== "open") return
    world.state = state
    world.movedAt = delivery()
    visits.leave(world)
    gate.held.delete(world)
    if (gate.unwritten.size === 0) return
    gate.unwritten.delete(world)
    // (its parts without a record of their own, too)
    gate.unwritten.forEach((part) => {
      if (part.parent === world && isPart(part)) gate.unwritten.delete(part)
    })
  }

  const end = (world: World): void => {
    leave(world, "ended")
    // where it was interrupted defines what is on record of it, as long as its parent waits
    if (world.unrecorded !== undefined) gate.unwritten.add(world)
  }

  return {
    child,
    batch,
    part,
    finish,
    finishItem,
    end,
    lose,
    settleEnded,
    remaking: () => remade > 0,
    keepOrder: (world) => {
      gate.unwritten.delete(world) // behind those that it depends on
      gate.unwritten.add(world)
    },
    stir: (world) => {
      world.movedAt = delivery()
      for (const waiter of gate.parked) gate.wake(waiter.world) // it, or what is in it, may have stood still
    },
    refusal: (world, spec) =>
      world.state === "lost"
        ? new InvalidOperation({ message: explain.inLostContext(world, spec) })
        : new UntrackedAsync({ message: explain.movedByAnotherWorld(world, spec) })
  }
}
