/**
 * Deterministic delivery.
 *
 * An invocation of a durable execution is a discrete-event simulation. The body (all fibers of the workflow)
 * moves only because the core *delivers* one completion; then every fiber runs until all of them are parked
 * and the microtask queue is empty, and only then the next completion is picked. The pick depends on nothing
 * but what the service has recorded, so every replay makes the same picks and the body the same moves.
 * (Contexts see nothing of each other, so each of them is given one before all come to rest together.)
 * Nothing is delivered before the service has recorded it. Side effects (steps, requests) happen only when
 * nothing known is left to deliver.
 *
 * What it asks of the service: requests are atomic and applied in order; what was acknowledged is in every
 * later snapshot; an old token is refused once a new invocation has its snapshot; terminal operations never
 * change; timestamps of our own successive requests increase when they are at least `pace` apart.
 */
import type * as Clock from "effect/Clock"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Random from "effect/Random"
import type * as Types from "effect/Types"
import type { Checkpoints } from "../../CheckpointService.ts"
import { type Fatal, NonDeterministic, UntrackedAsync } from "../../DurableError.ts"
import type * as Protocol from "../../Protocol.ts"
import { whenEnded } from "../whenEnded.ts"
import * as Alarm from "./alarm.ts"
import { BodyScheduler } from "./BodyScheduler.ts"
import { Chain, type Link } from "./chain.ts"
import * as Deadline from "./deadline.ts"
import * as Exchange from "./exchange.ts"
import * as explain from "./explain.ts"
import * as Gate from "./gate.ts"
import type { Host, Options, Outcome } from "./host.ts"
import * as Past from "./past.ts"
import * as Visits from "./visits.ts"
import * as Work from "./work.ts"
import type * as Worlds from "./worlds.ts"
import { type Decode, hasEnded, type Op, type Place, type Spec, type Waiter, waitsForService, World } from "./world.ts"

/** The body of a child context, while it runs. */
export interface Body extends Link<Body> {
  /** Once it has begun. */
  readonly fiber: Fiber.Fiber<unknown, unknown> | undefined
}

/** The core of one invocation, as operations and the handler see it. */
export interface Core extends Worlds.Owner {
  readonly executionArn: string
  /** The execution's own world. */
  readonly root: World
  readonly scheduler: BodyScheduler
  readonly host: Host
  /** The clock and the random numbers of all bodies, made for the first (core/operation.ts). */
  services: (Clock.Clock & Random.Random) | undefined
  /** Fibers that work outside the body on its behalf (attempts of steps, codecs), awaited before the answer. */
  readonly working: Work.Work["fibers"]
  readonly bodies: Chain<Body>
  /** Their root fibers. */
  readonly bodyFibers: () => ReadonlyArray<Fiber.Fiber<unknown, unknown>>
  /** What to do when nothing known is left to deliver: `true` if the body has moved by it. */
  readonly atRest: Array<() => boolean>
  /** The invocation has ended: nothing durable happens any more. */
  readonly closed: boolean
  /** Whether anything durable can happen here; ends the invocation where it must not even be tried. */
  readonly admits: (world: World, spec: Spec) => boolean
  /** Recorded operations that are not asked for again are tolerated. */
  readonly tolerant: boolean
  /** Whether the body of this context, which has ended, has asked for everything that is on record. If not, the execution has failed. */
  readonly complete: (world: World, ended: Exit.Exit<unknown, unknown>) => boolean
  /** The body says that operations of this name have gone from its code. */
  readonly retire: (world: World, name: string) => void
  /** A durable operation begins: takes its id. `undefined`: nothing durable can happen here any more. */
  readonly open: (place: Place, spec: Spec, fiber: Fiber.Fiber<unknown, unknown>) => Op | undefined
  /** An item of a batch begins, in the batch's world, under the id that its index gives it. */
  readonly openItem: (world: World, id: string, spec: Spec) => Op | undefined
  /** What is on record under this id. */
  readonly recordOf: (id: string) => Protocol.Operation | undefined
  /** Whether the body of this world has been where it is now in an earlier invocation, as far as the service tells. */
  readonly isPast: (world: World) => boolean
  /** Parks a fiber on an operation until its event is delivered. */
  readonly park: (op: Op, event: Waiter["event"], resume: Waiter["resume"], decode: Decode) => Waiter
  /** The fiber was interrupted: it lets go at once, its work is cancelled in the background. */
  readonly unpark: (waiter: Waiter) => void
  /** Starts the body; `done` is called once, when the invocation's outcome is decided. */
  readonly start: (fork: () => Fiber.Fiber<unknown, unknown>, done: (outcome: Outcome) => void) => void
  /** Ends the invocation: user code cannot catch it. */
  readonly fail: (error: Fatal) => void
  /** Nobody waits for the outcome any more. */
  readonly abort: () => void
  /** What is left of the body is being torn down (core/run.ts). */
  tornDown: boolean
  /** The invocation answers: nothing of its body may go on. */
  disposed: boolean
  /** All of it has ended: what still leads to it (services that somebody keeps) leads to nothing of it any more. */
  readonly dispose: () => void
  /** Lets go of the fibers that still wait (detached, or in uninterruptible regions), so that they can end. */
  readonly release: (world?: World) => void
}

/** Operations of fibers after the end: finalizers need a few. */
const MOST_AFTER_END = 100_000

/** The core of an invocation over its recorded state. Closures, not a class: bundlers shorten their names. */
export const make = (
  host: Host,
  options: Options,
  checkpoints: Checkpoints,
  execution: { readonly arn: string; readonly startTimestamp: number }
): Core => {
  const scheduler = new BodyScheduler(
    (fiber) => moved(fiber),
    () => spins()
  )
  /** The invocation has ended: nothing durable happens any more. */
  let closed = false
  /** (no getter: objects with one of their own get a hidden class of their own, which outlives them until a full collection) */
  let core: Types.Mutable<Core> | undefined = undefined
  let report: ((outcome: Outcome) => void) | undefined
  const bodies = new Chain<Body>()
  const bodyFibers = () => Array.from(bodies, ({ fiber }) => fiber!) // (they stand in it once they have begun)
  const atRest: Array<() => boolean> = []

  // the body
  let delivery = 0
  /** The first one since all worlds were at rest. */
  let turn = 0
  /** Nothing has moved since the microtask queue was last seen empty. */
  let settled = false
  /** One world after the other is given what comes next in it, and then all of them come to rest together. */
  let turning = false
  let pumpSoon = false
  /** The body moved by itself while nothing durable was in flight, so any of its worlds may move. */
  let unguarded = true
  let body: Fiber.Fiber<unknown, unknown> | undefined
  let bodyExit: Exit.Exit<unknown, unknown> | undefined

  const isClosed = () => closed
  const fail = (error: Fatal): void => end({ _tag: "Fatal", error })

  /** What is on record of those that the body has not asked for yet; what it has asked for, `opened` knows. */
  const records = new Map<string, Protocol.Operation>()
  const past = Past.make(new Set(options.updated), (world) => moves(world))
  const gate = Gate.make(options.order, execution.startTimestamp, {
    fail,
    hold: () => {
      exchange.choice()
      checkpoints.poll()
    }
  })
  const { opened, parked } = gate
  const recordOf = (id: string) => opened.get(id)?.record ?? records.get(id)
  const visits = Visits.make(records, options.unvisited, { gate, fail, warn: host.warn })
  const alarm = Alarm.make(host, (isDue, now) => {
    if (isDue("deadline")) deadline.expire(now)
    exchange.ring(isDue, now)
    maybeSuspend()
  })
  const exchange = Exchange.make(options, checkpoints, records, {
    host,
    gate,
    alarm,
    closed: isClosed,
    idle: () => scheduler.phase === "idle",
    fail,
    running: () => work.running(),
    plan: (op, act) => work.plan(op, act),
    pump: () => pump()
  })
  const { choice, flush, isUnsettled, offer } = exchange
  const work = Work.make(options.startDelay, { host, closed: isClosed, fail, isUnsettled, offer, pump: () => pump() })
  /** Those within the execution's own world, if there are any. */
  let worlds: Worlds.Worlds | undefined
  const surroundings: Worlds.Surroundings = {
    host,
    gate,
    visits,
    work,
    closed: isClosed,
    delivery: () => delivery,
    enter: (op, path, id, parent, time, rebuilding) => {
      const world = new World(op, path, id, parent, time, rebuilding)
      world.movedAt = delivery
      past.enter(world)
      visits.enter(world)
      return world
    },
    moving: (move) => {
      const before = scheduler.phase
      scheduler.phase = "running"
      settled = false
      move()
      scheduler.phase = before
    }
  }
  const deadline = Deadline.make(options.deadline, {
    host,
    work,
    arn: execution.arn,
    fail,
    offer: (update) => checkpoints.offer(update) === undefined,
    recordOf,
    ringAt: (at) => alarm.set("deadline", at),
    inFlight: checkpoints.inFlight,
    bodies: () => (body === undefined ? [] : [body, ...bodyFibers()])
  })

  // ---- asked by operations, in body fibers --------------------------------------------------------

  const admits = (world: World, spec: Spec): boolean => {
    if (closed || bodyExit !== undefined || world.state === "ended") return false
    if (world.state !== "lost" && (moves(world) || unguarded)) return true
    fail(worlds!.refusal(world, spec)) // it is not alone
    return false
  }

  /** Whether its fibers may run: it is given something, or (promise chains) was before all come to rest. */
  const moves = (world: World): boolean => world.movedAt >= (turning ? delivery : turn)

  const open = (place: Place, spec: Spec, fiber: Fiber.Fiber<unknown, unknown>): Op | undefined => {
    if (!admits(place.world, spec)) return undefined
    const op = enter(place.nextId(spec), place, spec)
    if (op !== undefined) {
      op.fiber = fiber
      host.observer?.asked(op, fiber)
    }
    return op
  }

  const openItem = (world: World, id: string, spec: Spec): Op | undefined =>
    closed || world.state !== "open" ? undefined : enter(id, world.place, spec)

  const enter = (id: string, place: Place, spec: Spec): Op | undefined => {
    const { world } = place
    const record = records.size === 0 ? undefined : records.get(id)
    visits.visit(world, id)
    const op = gate.enter(id, place, spec, record)
    if (record !== undefined && (record.Type !== spec.type || record.Name !== spec.name)) {
      fail(new NonDeterministic({ message: explain.mismatch(op, record) }))
      return undefined
    }
    world.remember(op)
    if (!hasEnded(op)) work.plan(op, "launch")
    return op
  }

  const unpark = (waiter: Waiter): void => {
    if (!waiter.parked) return
    gate.forget(waiter)
    gate.wake(waiter.world)
    if (waiter.op.waiters === 0) waiter.op.cancel?.()
  }

  // ---- the body moves -------------------------------------------------------------------------------

  const pump = (): void => {
    if (scheduler.phase !== "idle" || closed) return
    scheduler.phase = "running"
    for (;;) {
      scheduler.drain()
      if (closed) return
      if (bodyExit !== undefined) return completed(bodyExit)
      if (settled) worlds?.settleEnded()
      const waiter = settled ? gate.next() : turning ? gate.next(turn) : undefined
      if (waiter === undefined) {
        if (!settled) {
          scheduler.phase = "waiting" // promise chains of the body belong to the same instant
          turning = false
          return host.settle(() => {
            scheduler.phase = "idle"
            settled = scheduler.idle && bodyExit === undefined
            pump()
          })
        }
        if (!atRest.some((move) => move()) && !outrun()) break
        settled = false
        continue
      }
      if (settled) turn = delivery + 1
      settled = false
      turning = true
      deliver(waiter)
      if (scheduler.phase !== "running") return
    }
    if (!closed) edge()
  }

  /** Clocks that stamp may be off by `pace`, one this way, one that. */
  const outrun = () => visits.missing() > 0 && gate.held.size === 0 && gate.outrun(2 * options.pace, visits.isBehind)

  const deliver = (waiter: Waiter): void => {
    const { op, world } = waiter
    if (world.parked > 1) choice()
    gate.forget(waiter)
    world.movedAt = ++delivery
    world.deliveries++
    unguarded = false
    past.deliver(waiter)
    const { outcome, record } = op
    // a context's end is not an instant of its parent's clock: live it is known before it is recorded
    if (op.spec.type !== "CONTEXT" && waiter.time > world.time) world.time = waiter.time
    const decoded = outcome ?? waiter.decode(op, record!)
    if (Exit.isExit(decoded)) return waiter.resume(decoded)
    // Reading the payload is work outside the body. Until it is done nothing else is delivered.
    const fiber = host.fork(decoded)
    const read = fiber.pollUnsafe()
    if (read !== undefined) return resumeWith(waiter, read)
    scheduler.phase = "waiting"
    turning = false
    work.track(op, fiber, (read) => {
      if (closed) return
      scheduler.phase = "running"
      resumeWith(waiter, read)
      scheduler.phase = "idle"
      pump()
    })
  }

  const resumeWith = (waiter: Waiter, read: Exit.Exit<Exit.Exit<unknown, unknown>, Fatal>): void => {
    if (Exit.isSuccess(read)) waiter.resume(read.value)
    else fail(Work.fatalOf(read))
  }

  /** The body is quiescent and nothing known can be delivered: only now cause side effects. */
  const edge = (): void => {
    // (nothing parked: the body is busy with async work of its own)
    if (parked.size > 0 && gate.held.size === 0 && worlds?.remaking() !== true) {
      if (!visits.complete()) return
      work.perform(visits.missing() > 0 ? visits.waits : undefined)
      if (closed) return
    }
    scheduler.phase = "idle"
    flush()
    maybeSuspend()
    alarm.arm()
  }

  /**
   * The body has ended. Contexts that ended with it go on record, work that it did not wait for does not begin.
   * What is queued is sent as ever, in its order: after a crash a replay would see it.
   */
  const completed = (exit: Exit.Exit<unknown, unknown>): void => {
    if (!visits.complete([root], exit)) return
    root.state = "ended" // what its fibers let go of now is lost, as in any context
    release(root) // fibers that would outlive it
    worlds?.settleEnded()
    work.wrapUp()
    opened.forEach(cancel)
    if (closed) return
    scheduler.phase = "idle"
    if (checkpoints.queued() === 0 && !checkpoints.inFlight()) return end({ _tag: "Completed", exit })
    flush()
    alarm.arm()
  }

  let afterEnd = 0
  /** What a fiber does that was let go of, or belongs to a body that was torn down, decides nothing: finalizers take their time. */
  const isLeft = (fiber: Fiber.Fiber<unknown, unknown> | undefined): boolean =>
    closed || (fiber !== undefined && host.worldOf(fiber)?.state === "lost")

  /** A body fiber runs or wants to run, and nothing was delivered. */
  const moved = (fiber: Fiber.Fiber<unknown, unknown> | undefined): void => {
    if (isLeft(fiber ?? Fiber.getCurrent())) {
      // in an uninterruptible region, a loop that takes its interruption for a failure and tries again
      if (closed && ++afterEnd > MOST_AFTER_END) return scheduler.stop()
      if (!scheduler.idle) host.settle(() => scheduler.drain())
      return
    }
    if (pumpSoon) return
    // It moves although nothing was delivered: it awaited something that the gate does not know.
    // That is harmless while no durable operation is in flight, otherwise the order is up to chance.
    if (parked.size > 0) {
      const waiting = [...parked].map((waiter) => waiter.op)
      const around = new Set([root, ...waiting.map((op) => op.place.world)])
      const last = [...around].flatMap((world) => world.lastAsked()).findLast((op) => op.fiber === fiber)
      return fail(new UntrackedAsync({ message: explain.untracked(root, waiting, last) }))
    }
    unguarded = true
    settled = false
    pumpSoon = true
    host.settle(() => {
      pumpSoon = false
      pump()
    })
  }

  /** A body that never comes to rest keeps the event loop to itself, so no timer goes off: look at the clock. */
  const spins = (): void => {
    if (closed || host.clock.currentTimeMillisUnsafe() < deadline.latest) return
    scheduler.stop()
    deadline.fail()
  }

  // ---- begin and end ------------------------------------------------------------------------------------

  const start = (fork: () => Fiber.Fiber<unknown, unknown>, done: (outcome: Outcome) => void): void => {
    report = done
    scheduler.phase = "running"
    body = fork()
    whenEnded(body, (exit) => {
      bodyExit = exit
    })
    scheduler.phase = "idle"
    alarm.set("deadline", deadline.at)
    alarm.arm()
    pump()
  }

  const maybeSuspend = (): void => {
    if (closed || scheduler.phase !== "idle" || checkpoints.inFlight() || alarm.isSet("pace")) return
    if (work.running() > 0) return exchange.watch()
    if (checkpoints.queued() > 0 || checkpoints.urgent()) return
    if (deadline.rest()) return flush()
    if (deadline.rests() || [...parked].some(({ op }) => waitsForService(op))) {
      if (gate.unwritten.size === 0) return end({ _tag: "Suspended" })
      checkpoints.poll() // the order of what was delivered goes on record before anything can follow from it
      return flush()
    }
    // otherwise there is nothing to wait for but untracked async work of the body
    if (deadline.isOver()) deadline.fail()
  }

  const abort = (): void => {
    report = undefined
    end({ _tag: "Suspended" })
  }

  const end = (outcome: Outcome): void => {
    if (closed) return
    closed = true
    if (core !== undefined) core.closed = true
    scheduler.phase = "idle"
    alarm.stop()
    opened.forEach(cancel)
    const done = report
    // not within the call that failed: its fiber is running
    if (outcome._tag === "Fatal") host.settle(() => done?.(outcome))
    else done?.(outcome)
  }

  const release = (world?: World): void => {
    while (closed && atRest.some((move) => move())) continue
    if (world?.parked === 0) return
    for (const waiter of Array.from(parked)) {
      // those that resume may park again, or let go of others
      if (!waiter.parked || (world !== undefined && waiter.world !== world)) continue
      gate.forget(waiter)
      waiter.op.cancel?.()
      if (world !== undefined) waiter.op.lose?.()
      waiter.resume(host.leave)
    }
  }

  for (const record of checkpoints.operations) {
    if (record.Type === "EXECUTION" || deadline.isRest(record)) continue
    records.set(record.Id, record)
    past.see(record)
    gate.see(record)
    visits.expect(record)
  }
  gate.advance(-Infinity)
  const root = surroundings.enter(undefined, "", undefined, undefined, execution.startTimestamp, false)

  core = {
    worlds: (make) => (worlds ??= make(surroundings)),
    executionArn: execution.arn,
    root,
    scheduler,
    host,
    services: undefined,
    working: work.fibers,
    bodies,
    bodyFibers,
    atRest,
    closed,
    tornDown: false,
    admits,
    isPast: past.has,
    tolerant: options.unvisited === "ignore",
    complete: (world, ended) => visits.missing() === 0 || visits.complete([world], ended),
    retire: visits.retire,
    open,
    openItem,
    recordOf,
    park: gate.park,
    unpark,
    start,
    fail,
    abort,
    disposed: false,
    dispose: () => {
      if (core !== undefined) core.disposed = true
      gate.dispose()
      records.clear()
      root.forget()
    },
    release
  }
  return core
}

const cancel = (op: Op): void => op.cancel?.()
