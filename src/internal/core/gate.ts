/**
 * The gate of the body: which operations fibers are parked on, which of those are known to have happened, and
 * what comes next. It moves nothing by itself.
 */
import { type Fatal, NonDeterministic } from "../../DurableError.ts"
import type * as Protocol from "../../Protocol.ts"
import { isTerminal } from "../wire.ts"
import { Chain } from "./chain.ts"
import { Heap } from "./heap.ts"
import * as Order from "./order.ts"
import {
  arrives,
  type Decode,
  earlier,
  hasEnded,
  isAdded,
  isOutside,
  Op,
  type Place,
  rebuilds,
  type Spec,
  top,
  Waiter,
  type World
} from "./world.ts"

export interface Gate {
  /** Operations that the body has asked for in this invocation. */
  readonly opened: ReadonlyMap<string, Op>
  readonly parked: Chain<Waiter>
  /** Worlds that wait for another look at the service: an outside completion of the same instant may exist. */
  readonly held: Set<World>
  /** Worlds with deliveries whose order goes on record with the next request. */
  readonly unwritten: Set<World>
  /** Largest timestamp seen: the service's clock has reached it. */
  readonly maxSeen: () => number
  /** Takes note of an operation that the body asks for. */
  readonly enter: (id: string, place: Place, spec: Spec, record: Protocol.Operation | undefined) => Op
  /** Parks a fiber on an operation until its event is delivered. */
  readonly park: (op: Op, event: Waiter["event"], resume: Waiter["resume"], decode: Decode) => Waiter
  /** Takes a waiter out: it is delivered, or its fiber was interrupted. */
  readonly forget: (waiter: Waiter) => void
  /** Nobody waits for an operation: it need not be kept, if it has ended. */
  readonly release: (op: Op) => void
  /** Something of this world may be deliverable now. */
  readonly wake: (world: World) => void
  /** Takes note of a record's timestamps. */
  readonly see: (record: Protocol.Operation) => void
  /** The record of an operation has changed. */
  readonly update: (op: Op, record: Protocol.Operation) => void
  /** The outcome of a context is known before its record: those who wait for it may go on. */
  readonly settle: (op: Op) => void
  /** The service has answered; everything up to and including this instant is known. */
  readonly advance: (complete: number) => void
  /**
   * A body that has more on record has been past a wait that ends within so many milliseconds, when stamps were seen that
   * are none of this invocation's (of what a finished context pruned, by a clock that was ahead). Gives whether there was one.
   */
  readonly outrun: (skew: number, isBehind: (world: World) => boolean) => boolean
  /** The invocation is over: nothing leads to its operations any more. */
  readonly dispose: () => void
  /**
   * The completion that comes next in some world. Between worlds any order will do, so they take turns; one that
   * `turn`, the first delivery since all were at rest, or a later one has moved must come to rest before it is given more.
   */
  readonly next: (turn?: number) => Waiter | undefined
}

export const make = (
  policy: Order.OrderPolicy,
  /** Epoch milliseconds. */
  startedAt: number,
  { fail, hold }: { readonly fail: (error: Fatal) => void; readonly hold: () => void }
): Gate => {
  const opened = new Map<string, Op>()
  const parked = new Chain<Waiter>()
  const held = new Set<World>()
  const unwritten = new Set<World>()
  /** Worlds that may have something to deliver. */
  const ready: Array<World> = []
  /** Waits whose scheduled end the service's clock may not have reached. */
  const timers = new Heap<Waiter>(earlier)
  const horizon = { policy, complete: 0, opened }
  let maxSeen = startedAt
  let seq = 0

  const enter = (id: string, place: Place, spec: Spec, record: Protocol.Operation | undefined): Op => {
    const op = new Op(id, place, spec, record, ++seq)
    opened.set(id, op)
    return op
  }

  const park = (op: Op, event: Waiter["event"], resume: Waiter["resume"], decode: Decode): Waiter => {
    const { world } = op.place
    const nth = ++op.waits
    const order = nth === 1 ? op.seq : ++seq
    const waiter = new Waiter(op, event, nth, order, resume, decode)
    waiter.sibling = op.waiter
    op.waiter = waiter
    op.waiters++
    parked.add(waiter)
    world.parked++
    if (isOutside(waiter)) world.unknownOutside++
    refresh(waiter)
    return waiter
  }

  const forget = (waiter: Waiter): void => {
    const { op, world } = waiter
    waiter.parked = false
    parked.delete(waiter)
    world.parked--
    op.waiters--
    if (op.waiter === waiter) op.waiter = waiter.sibling
    else {
      let before = op.waiter!
      while (before.sibling !== waiter) before = before.sibling!
      before.sibling = waiter.sibling
    }
    waiter.sibling = undefined
    if (isOutside(waiter) && !waiter.known) world.unknownOutside--
    if (op.waiters > 0) return
    op.attempts = undefined // no attempt begins without a waiter
    release(op)
  }

  /** What has ended, and nobody will wait for, is not kept: a step, an item. (The code may await again what a callback gave.) */
  const release = (op: Op): void => {
    if ((op.spec.type === "STEP" || op.waits === 0) && hasEnded(op) && !isAdded(op)) opened.delete(op.id)
  }

  const wake = (world: World): void => {
    if (world.queued) return
    world.queued = true
    ready.push(world)
  }

  /** When the service has told that the awaited event happened, makes it deliverable. */
  const refresh = (waiter: Waiter): void => {
    const { op } = waiter
    const { record } = op
    if (waiter.known || record === undefined) return
    const ended = isTerminal(record.Status)
    const start = record.StartTimestamp ?? startedAt
    if (waiter.event === "created") return know(waiter, start, 0)
    if (record.Type === "WAIT") {
      // A wait ends at its scheduled instant, whenever the service gets round to say so.
      const scheduled = record.WaitDetails?.ScheduledEndTimestamp
      const time =
        scheduled !== undefined && (!ended || record.Status === "SUCCEEDED") ? scheduled : record.EndTimestamp
      if (time !== undefined) know(waiter, time, 1)
      else if (ended) know(waiter, start, 1)
    } else if (ended) {
      waiter.ready = !rebuilds(op) || op.outcome !== undefined
      know(waiter, record.EndTimestamp ?? start, record.Type === "STEP" || record.Type === "CONTEXT" ? 0 : 1)
    }
  }

  const know = (waiter: Waiter, time: number, rank: 0 | 1): void => {
    const { world } = waiter
    waiter.known = true
    waiter.time = time
    waiter.rank = rank
    if (isOutside(waiter)) world.unknownOutside--
    if (rank === 0) (world.own ??= new Heap(earlier)).push(waiter)
    else if (!isTerminal(waiter.op.record!.Status) && time > maxSeen) return timers.push(waiter)
    else arrives(waiter)
    wake(world)
  }

  const settle = (op: Op): void => {
    for (let waiter = op.waiter; waiter !== undefined; waiter = waiter.sibling) {
      waiter.ready = true
      if (!waiter.known) know(waiter, maxSeen, 0)
    }
    wake(op.place.world)
  }

  const see = (record: Protocol.Operation): void => {
    const due = record.Type === "WAIT" && record.Status === "SUCCEEDED" ? record.WaitDetails?.ScheduledEndTimestamp : 0
    maxSeen = Math.max(maxSeen, record.StartTimestamp ?? 0, record.EndTimestamp ?? 0, due ?? 0)
  }

  const update = (op: Op, record: Protocol.Operation): void => {
    op.record = record
    for (let waiter = op.waiter; waiter !== undefined; waiter = waiter.sibling) refresh(waiter)
  }

  const advance = (complete: number): void => {
    horizon.complete = Math.max(horizon.complete, maxSeen - 1, complete)
    for (const world of held) wake(world)
    for (let first = top(timers); first !== undefined && first.time <= maxSeen; first = top(timers)) {
      timers.pop()
      arrives(first)
      wake(first.world)
    }
  }

  const outrun: Gate["outrun"] = (skew, isBehind) => {
    const others: Array<Waiter> = []
    let found: Waiter | undefined
    for (let first = top(timers); found === undefined && first !== undefined && first.time <= maxSeen + skew;) {
      timers.pop()
      if (isBehind(first.world)) arrives((found = first))
      else others.push(first)
      first = top(timers)
    }
    for (const waiter of others) timers.push(waiter)
    if (found !== undefined) wake(found.world)
    return found !== undefined
  }

  const next = (turn = Infinity): Waiter | undefined => {
    while (ready.length > 0) {
      const world = ready[0]!
      if (world.movedAt >= turn) return undefined
      const chosen = Order.next(world, horizon)
      if (chosen instanceof NonDeterministic) {
        fail(chosen)
        return undefined
      }
      ready.shift()
      if (chosen === "hold") {
        held.add(world)
        hold()
      } else {
        held.delete(world)
        if (chosen !== undefined) {
          if (world.unrecorded !== undefined) unwritten.add(world)
          ready.push(world)
          return chosen
        }
      }
      world.queued = false
    }
    return undefined
  }

  return {
    opened,
    parked,
    held,
    unwritten,
    maxSeen: () => maxSeen,
    enter,
    park,
    forget,
    release,
    wake,
    see,
    update,
    settle,
    advance,
    outrun,
    dispose: () => {
      opened.clear()
      timers.clear()
      ready.length = 0
    },
    next
  }
}
