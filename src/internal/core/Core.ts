/**
 * Deterministic delivery.
 *
 * An invocation of a durable execution is a discrete-event simulation. The body (all fibers of the workflow)
 * moves only because the core *delivers* one completion; then every fiber runs until all of them are parked
 * and the microtask queue is empty, and only then the next completion is picked. The pick depends on nothing
 * but what the service has recorded, so every replay makes the same picks and the body the same moves.
 * Nothing is delivered before the service has recorded it. Side effects (steps, requests) happen only when
 * nothing known is left to deliver.
 *
 * What it asks of the service: requests are atomic and applied in order; what was acknowledged is in every
 * later snapshot; an old token is refused once a new invocation has its snapshot; terminal operations never
 * change; timestamps of our own successive requests increase when they are at least `pace` apart.
 */
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { Checkpoints } from "../../CheckpointService.ts"
import { type Fatal, InvalidOperation, NonDeterministic, UntrackedAsync } from "../../DurableError.ts"
import type * as Protocol from "../../Protocol.ts"
import { isTerminal } from "../wire.ts"
import { BodyScheduler } from "./BodyScheduler.ts"
import * as explain from "./explain.ts"
import { Heap } from "./heap.ts"
import * as Order from "./order.ts"
import {
  type Closing,
  type Decode,
  earlier,
  type Ending,
  isOutside,
  Op,
  type Place,
  type Spec,
  top,
  type Waiter,
  waitsForService,
  World
} from "./world.ts"

/** How an invocation is run. */
export interface Options {
  readonly order: Order.OrderPolicy
  /** Milliseconds between a response and the next request, where an equal timestamp would matter. */
  readonly pace: number
  /** Milliseconds that the START of an at-least-once step may wait for another reason to send. */
  readonly startDelay: number
  /** Recorded operations that the body does not ask for again: an error, or tolerated with a warning. */
  readonly unvisited: "fail" | "ignore"
}

/** What the core needs of the world outside the body. */
export interface Host {
  readonly clock: Clock.Clock
  /** What steps see in place of the body's clock, scheduler and random numbers. */
  readonly outside: Context.Context<never>
  /** Runs an effect outside the body: on the real scheduler and clock, with the invocation's services or others. */
  readonly fork: <A, E>(effect: Effect.Effect<A, E, any>, context?: Context.Context<never>) => Fiber.Fiber<A, E>
  readonly warn: (message: string) => void
  /** Calls `f` when all microtasks have run. */
  readonly settle: (f: () => void) => void
}

/** How an invocation ends. */
export type Outcome =
  | { readonly _tag: "Completed"; readonly exit: Exit.Exit<any, any> }
  | { readonly _tag: "Suspended" }
  | { readonly _tag: "Fatal"; readonly error: Fatal }

/** While steps keep the invocation alive: first look at the service after this long, then ever less often. */
const POLL_FIRST = 1_000
const POLL_LONGEST = 10_000

/** The core of one invocation, as operations and the handler see it. */
export interface Core {
  readonly executionArn: string
  /** The execution's own world. */
  readonly root: World
  readonly scheduler: BodyScheduler
  readonly host: Host
  /** Fibers that run outside the body on its behalf (attempts of steps), awaited before the answer. */
  readonly working: ReadonlySet<Fiber.Fiber<unknown, unknown>>
  /** Root fibers of child contexts. */
  readonly bodies: Set<Fiber.Fiber<unknown, unknown>>
  /** What steps see, by what the fibers that ask for them see. */
  readonly stepContexts: WeakMap<Context.Context<never>, Context.Context<never>>
  /** The invocation has ended: nothing durable happens any more. */
  readonly closed: boolean
  /** A durable operation begins: takes its id. `undefined`: nothing durable can happen here any more. */
  readonly open: (place: Place, spec: Spec, fiber: Fiber.Fiber<unknown, unknown>) => Op | undefined
  /** Parks a fiber on an operation until its event is delivered. */
  readonly park: (op: Op, event: Waiter["event"], resume: Waiter["resume"], decode: Decode) => Waiter
  /** The fiber was interrupted: it lets go at once, its work is cancelled in the background. */
  readonly unpark: (waiter: Waiter) => void
  /** Whether the body of this context must run: it has no outcome yet, or only its children have one. */
  readonly mustRun: (op: Op) => boolean
  /** The world of a child context. Its clock starts with its parent's. */
  readonly child: (op: Op, title: string) => World
  /** The body of a context has returned: how to record it, and what its parent goes on with. */
  readonly finish: (op: Op, world: World, encode: () => Closing | Effect.Effect<Closing, Fatal>) => void
  /** A context is interrupted: what it has seen is not recorded, so nothing durable can follow in it. */
  readonly lose: (world: World) => void
  /** Starts the body; `done` is called once, when the invocation's outcome is decided. */
  readonly start: (fork: () => Fiber.Fiber<unknown, unknown>, done: (outcome: Outcome) => void) => void
  /** Ends the invocation: user code cannot catch it. */
  readonly fail: (error: Fatal) => void
  /** Nobody waits for the outcome any more. */
  readonly abort: () => void
  /** Lets go of the fibers that still wait (in uninterruptible regions), so that interruption can reach them. */
  readonly release: (effect: Effect.Effect<never>, world?: World) => void
}

/** The core of an invocation over its recorded state. Closures, not a class: bundlers shorten their names. */
export const make = (
  host: Host,
  options: Options,
  checkpoints: Checkpoints,
  execution: { readonly arn: string; readonly startTimestamp: number }
): Core => {
  const scheduler = new BodyScheduler((fiber) => moved(fiber))
  /** The invocation has ended: nothing durable happens any more. */
  let closed = false
  /** Fibers that run outside the body on its behalf (attempts of steps), awaited before the answer. */
  const working = new Set<Fiber.Fiber<unknown, unknown>>()
  /** What steps see, by what the fibers that ask for them see. */
  const stepContexts = new WeakMap<Context.Context<never>, Context.Context<never>>()
  /** Root fibers of child contexts. */
  const bodies = new Set<Fiber.Fiber<unknown, unknown>>()

  const records = new Map<string, Protocol.Operation>()
  /** Recorded operations by parent, for the check that all of them are asked for again. */
  const recordedBy = new Map<string | undefined, Set<string>>()
  const opened = new Map<string, Op>()
  let unvisitedCount = 0
  /** Those whose bodies run. */
  const worlds = new Set<World>()

  // the body
  let seq = 0
  let delivery = 0
  let phase: "idle" | "running" | "waiting" = "idle"
  /** Nothing has moved since the microtask queue was last seen empty. */
  let settled = false
  let pumpSoon = false
  /** The body moved by itself while nothing durable was in flight, so any of its worlds may move. */
  let unguarded = true
  let bodyExit: Exit.Exit<unknown, unknown> | undefined
  const parked = new Set<Waiter>()
  /** For messages: which operation a fiber asked for last. */
  const lastAsked = new WeakMap<Fiber.Fiber<unknown, unknown>, Op>()

  // the gate
  const ready: Array<World> = []
  /** Waits whose scheduled end the service's clock may not have reached. */
  const timers = new Heap<Waiter>(earlier)
  /** Worlds that wait for another look at the service: an outside completion of the same instant may exist. */
  const held = new Set<World>()
  /** Largest timestamp seen: the service's clock has reached it. */
  let maxSeen = execution.startTimestamp
  const horizon: { policy: Order.OrderPolicy; complete: number; opened: ReadonlyMap<string, Op> } = {
    policy: options.order,
    complete: 0,
    opened
  }

  // work and wire
  /** What to do at the next live edge, in the order in which the body asked for it. */
  let fresh: Array<Fresh> = []
  let running = 0
  let ambiguous = false
  /** When a delivery with a choice last made the order of timestamps matter; when the last response came. */
  let lastChoice = 0
  let lastReceived = 0
  const unwritten = new Set<World>()

  // one timer for all needs, armed for the earliest
  const needs = { start: Infinity, pace: Infinity, poll: Infinity }
  let armedFor = Infinity
  let disarm: (() => void) | undefined
  let polls = 0

  let report: ((outcome: Outcome) => void) | undefined

  /** Milliseconds of a clock that never runs backwards, with fractions. */
  const monotonic = (): number => {
    return Number(host.clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  // ---- asked by operations, in body fibers --------------------------------------------------------

  /** A durable operation begins: takes its id. `undefined`: nothing durable can happen here any more. */
  const open = (place: Place, spec: Spec, fiber: Fiber.Fiber<unknown, unknown>): Op | undefined => {
    const { world } = place
    if (closed || bodyExit !== undefined || world.state === "ended") return undefined
    if (world.state === "lost") {
      fail(new InvalidOperation({ message: explain.inLostContext(world, spec) }))
      return undefined
    }
    if (world.movedAt !== delivery && !unguarded) {
      fail(new UntrackedAsync({ message: explain.movedByAnotherWorld(world, spec) }))
      return undefined
    }
    const id = place.nextId(spec)
    const record = records.get(id)
    if (world.unvisited?.delete(id) === true) unvisitedCount--
    const op = new Op(id, place, spec, record, ++seq)
    if (record !== undefined && (record.Type !== spec.type || record.Name !== spec.name)) {
      fail(new NonDeterministic({ message: explain.mismatch(op, record) }))
      return undefined
    }
    opened.set(id, op)
    world.remember(op)
    lastAsked.set(fiber, op)
    if (record === undefined || !isTerminal(record.Status)) fresh.push({ op, act: "launch" })
    return op
  }

  /** Parks a fiber on an operation until its event is delivered. */
  const park = (op: Op, event: Waiter["event"], resume: Waiter["resume"], decode: Decode): Waiter => {
    const { world } = op.place
    const nth = ++op.waits
    const order = nth === 1 ? op.seq : ++seq
    const waiter: Waiter = { op, world, event, nth, seq: order, resume, decode, parked: true, known: false, ready: true, time: 0, rank: 0 }
    op.waiters.push(waiter)
    parked.add(waiter)
    world.parked++
    if (isOutside(waiter)) world.unknownOutside++
    refresh(waiter)
    return waiter
  }

  /** The fiber was interrupted: it lets go at once, its work is cancelled in the background. */
  const unpark = (waiter: Waiter): void => {
    if (!waiter.parked) return
    forget(waiter)
    wake(waiter.world)
    if (waiter.op.waiters.length === 0) waiter.op.cancel?.()
  }

  /** Whether the body of this context must run: it has no outcome yet, or only its children have one. */
  const mustRun = (op: Op): boolean => {
    const { record } = op
    return record === undefined || !isTerminal(record.Status) || rebuilds(op)
  }

  const rebuilds = (op: Op): boolean => {
    const { record } = op
    return record?.Type === "CONTEXT" && record.Status === "SUCCEEDED" && record.ContextDetails?.ReplayChildren === true
  }

  /** The world of a child context. Its clock starts with its parent's. */
  const child = (op: Op, title: string): World => {
    const { place } = op
    const rebuilding = place.world.rebuilding || rebuilds(op)
    return openWorld(title, op.id, op.id, place.world, place.world.time, rebuilding)
  }

  /**
   * The body of a context has returned. `encode` says how to record it, and what its parent goes on with. No
   * operation of the context is sent any more, not even while its result is being encoded.
   */
  const finish = (op: Op, world: World, encode: () => Closing | Effect.Effect<Closing, Fatal>): void => {
    leave(world, "ended")
    if (closed || op.waiters.length === 0) return
    const closing = encode()
    if (!Effect.isEffect(closing)) return finished(op, world, closing)
    const fiber = host.fork(closing)
    const encoded = fiber.pollUnsafe()
    if (encoded !== undefined) return afterEncoding(op, world, encoded)
    running++
    working.add(fiber)
    fiber.addObserver((encoded) => {
      running--
      working.delete(fiber)
      if (closed) return
      afterEncoding(op, world, encoded)
      pump()
    })
  }

  const afterEncoding = (op: Op, world: World, encoded: Exit.Exit<Closing, Fatal>): void => {
    if (Exit.isSuccess(encoded)) finished(op, world, encoded.value)
    else fail(fatalOf(encoded))
  }

  const finished = (op: Op, world: World, { ending, outcome }: Closing): void => {
    const parent = op.place.world
    const recorded = op.record !== undefined && isTerminal(op.record.Status)
    // it will be rebuilt by the order in which its completions came
    if (!recorded && ending.ContextOptions?.ReplayChildren === true && world.unrecorded.length > 0) unwritten.add(world)
    op.outcome = outcome
    if (recorded || parent.parked === op.waiters.length) {
      // Rebuilt, or nothing else of the parent is parked: no order to get wrong, so nobody waits for the service.
      for (const waiter of op.waiters) {
        waiter.ready = true
        if (!waiter.known) know(waiter, maxSeen, 0)
      }
      wake(parent)
      if (!recorded) fresh.push({ op, act: "record", ending })
    } else {
      fresh.push({ op, act: "recordIfAwaited", ending })
    }
  }

  /** A context is interrupted: what it has seen is not recorded, so nothing durable can follow in it. */
  const lose = (world: World): void => {
    world.abandoned = true
    if (world.state !== "open") return
    leave(world, "lost")
  }

  const leave = (world: World, state: "lost" | "ended"): void => {
    if (world.state !== "open") return
    world.state = state
    world.movedAt = delivery
    unvisitedCount -= world.unvisited?.size ?? 0
    world.unvisited = undefined
    worlds.delete(world)
    unwritten.delete(world)
    held.delete(world)
  }

  const openWorld = (
    title: string,
    path: string,
    id: string | undefined,
    parent: World | undefined,
    time: number,
    rebuilding: boolean
  ): World => {
    const world = new World(title, path, id, parent, time, rebuilding)
    world.movedAt = delivery
    worlds.add(world)
    world.unvisited = recordedBy.get(id)
    Order.readMarkers(world, records)
    unvisitedCount += world.unvisited?.size ?? 0
    return world
  }

  // ---- the gate -------------------------------------------------------------------------------------

  /** When the service has told that the awaited event happened, makes it deliverable. */
  const refresh = (waiter: Waiter): void => {
    const { op } = waiter
    const { record } = op
    if (waiter.known || record === undefined) return
    const ended = isTerminal(record.Status)
    const start = record.StartTimestamp ?? root.time
    if (waiter.event === "created") return know(waiter, start, 0)
    if (record.Type === "WAIT") {
      // A wait ends at its scheduled instant, whenever the service gets round to say so.
      const scheduled = record.WaitDetails?.ScheduledEndTimestamp
      const time = scheduled !== undefined && (!ended || record.Status === "SUCCEEDED") ? scheduled : record.EndTimestamp
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
    if (rank === 0) world.own.push(waiter)
    else if (!isTerminal(waiter.op.record!.Status) && time > maxSeen) return timers.push(waiter)
    else world.outside.push(waiter)
    wake(world)
  }

  const wake = (world: World): void => {
    if (world.queued) return
    world.queued = true
    ready.push(world)
  }

  const forget = (waiter: Waiter): void => {
    const { op, world } = waiter
    waiter.parked = false
    parked.delete(waiter)
    world.parked--
    op.waiters.splice(op.waiters.indexOf(waiter), 1)
    if (isOutside(waiter) && !waiter.known) world.unknownOutside--
  }

  /** The completion that comes next in some world. Between worlds any order will do. */
  const next = (): Waiter | undefined => {
    while (ready.length > 0) {
      const world = ready[0]!
      const chosen = Order.next(world, horizon)
      if (chosen instanceof NonDeterministic) {
        fail(chosen)
        return undefined
      }
      if (chosen !== "hold") held.delete(world)
      if (chosen !== undefined && chosen !== "hold") {
        if (world.unrecorded.length > 0) unwritten.add(world)
        return chosen
      }
      if (chosen === "hold") {
        held.add(world)
        choice()
        checkpoints.poll()
      }
      ready.shift()
      world.queued = false
    }
    return undefined
  }

  /** The next request must be stamped later than what has just been delivered. */
  const choice = (): void => {
    ambiguous = true
    lastChoice = monotonic()
  }

  const deliver = (waiter: Waiter): void => {
    const { op, world } = waiter
    if (world.parked > 1) choice()
    forget(waiter)
    world.movedAt = ++delivery
    unguarded = false
    const { outcome, record } = op
    // a context's end is not an instant of its parent's clock: live it is known before it is recorded
    if (op.spec.type !== "CONTEXT" && waiter.time > world.time) world.time = waiter.time
    const decoded = outcome ?? waiter.decode(op, record!)
    if (Exit.isExit(decoded)) return waiter.resume(decoded)
    // Reading the payload is work outside the body. Until it is done nothing else is delivered.
    const fiber = host.fork(decoded)
    const read = fiber.pollUnsafe()
    if (read !== undefined) return resumeWith(waiter, read)
    phase = "waiting"
    fiber.addObserver((read) => {
      if (closed) return
      phase = "running"
      resumeWith(waiter, read)
      phase = "idle"
      pump()
    })
  }

  const resumeWith = (waiter: Waiter, read: Exit.Exit<Exit.Exit<unknown, unknown>, Fatal>): void => {
    if (Exit.isSuccess(read)) waiter.resume(read.value)
    else fail(fatalOf(read))
  }

  const pump = (): void => {
    if (phase !== "idle" || closed) return
    phase = "running"
    for (;;) {
      scheduler.drain()
      if (closed) return
      if (bodyExit !== undefined) return completed(bodyExit)
      if (!settled) {
        phase = "waiting" // promise chains of the body belong to the same instant
        return host.settle(() => {
          phase = "idle"
          settled = scheduler.idle && bodyExit === undefined
          pump()
        })
      }
      const waiter = next()
      if (waiter === undefined) break
      settled = false
      deliver(waiter)
      if (phase !== "running") return
    }
    if (!closed) edge()
  }

  /** The body is quiescent and nothing known can be delivered: only now cause side effects. */
  const edge = (): void => {
    // (nothing parked: the body is busy with async work of its own)
    if (parked.size > 0 && held.size === 0) {
      if (!allVisited()) return
      const items = fresh
      fresh = []
      for (const item of items) {
        perform(item)
        if (closed) return
      }
    }
    phase = "idle"
    flush()
    maybeSuspend()
  }

  /** A faithful replay has asked for everything recorded before it does anything new. */
  const allVisited = (): boolean => {
    if (unvisitedCount === 0) return true
    const missing: Array<Protocol.Operation> = []
    for (const world of worlds) for (const id of world.unvisited ?? []) missing.push(records.get(id)!)
    const asked = [...opened.values()].filter((op) => op.record === undefined)
    const stray = asked.find((op) => op.place.world.rebuilding && op.waiters.length > 0)
    if (stray !== undefined) {
      fail(new NonDeterministic({ message: explain.inFinishedContext(stray) }))
      return false
    }
    const reason = explain.unvisited(missing, asked, root.trail)
    // a second one of a recorded name may have taken the result of the first: no policy can tolerate that
    const taken = asked.some((op) => op.place.repeats(op.spec) && (op.place.world.unvisited?.size ?? 0) > 0)
    if (options.unvisited === "ignore" && !taken) {
      unvisitedCount = 0
      for (const world of worlds) world.unvisited = undefined
      host.warn(reason)
      return true
    }
    fail(new NonDeterministic({ message: reason }))
    return false
  }

  /**
   * The body has ended. Contexts that ended with it go on record, work that it did not wait for does not begin.
   * What is queued is sent as ever, in its order: after a crash a replay would see it.
   */
  const completed = (exit: Exit.Exit<unknown, unknown>): void => {
    if ((root.unvisited?.size ?? 0) > 0 && !allVisited()) return
    const items = fresh
    fresh = []
    for (const item of items) if (item.op.spec.type === "CONTEXT") perform(item)
    for (const op of opened.values()) op.cancel?.()
    if (closed) return
    phase = "idle"
    if (checkpoints.queued() === 0 && !checkpoints.inFlight()) return end({ _tag: "Completed", exit })
    flush()
  }

  /** A body fiber runs or wants to run. */
  const moved = (fiber: Fiber.Fiber<unknown, unknown> | undefined): void => {
    if (phase !== "idle") return
    if (closed) {
      // finalizers of a body that was torn down
      if (!scheduler.idle) host.settle(() => scheduler.drain())
      return
    }
    if (pumpSoon) return
    // It moves although nothing was delivered: it awaited something that the gate does not know.
    // That is harmless while no durable operation is in flight, otherwise the order is up to chance.
    if (parked.size > 0) {
      const waiting = [...parked].map((waiter) => waiter.op)
      const last = fiber === undefined ? undefined : lastAsked.get(fiber)
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

  // ---- work -------------------------------------------------------------------------------------------

  const perform = ({ act, ending, op }: Fresh): void => {
    if (isLost(op.place.world)) return // nothing more of it goes on record
    switch (act) {
      case "launch":
        return launch(op)
      case "attempt":
        return attempt(op)
      case "begin":
        return op.waiters.length > 0 ? begin(op, false) : undefined
      case "record":
        return offer(op, ending!)
      case "recordIfAwaited":
        return op.waiters.length > 0 ? offer(op, ending!) : undefined
    }
  }

  const launch = (op: Op): void => {
    if (op.launched || (op.waiters.length === 0 && op.spec.type !== "CONTEXT")) return // lost a race before it began
    op.launched = true
    const isStep = op.spec.type === "STEP"
    if (op.record === undefined) {
      if (op.place.world.rebuilding) {
        return fail(new NonDeterministic({ message: explain.inFinishedContext(op) }))
      }
      if (!isStep) offerUpdate(op.update("START", op.start))
      else if (op.atMostOnce || options.startDelay === 0) offerUpdate(op.update("START"))
      else offerLazily(op)
    }
    if (isStep && op.record?.Status !== "PENDING" && !(op.atMostOnce && op.record === undefined)) attempt(op)
  }

  /** START of an at-least-once step rides with the next request; alone it is sent only when the body takes long. */
  const offerLazily = (op: Op): void => {
    offerUpdate(op.update("START"), true)
    if (needs.start === Infinity) need("start", host.clock.currentTimeMillisUnsafe() + options.startDelay)
  }

  const attempt = (op: Op): void => {
    const number = (op.record?.StepDetails?.Attempt ?? 0) + 1
    if (number <= op.attempt || op.waiters.length === 0) return
    op.attempt = number
    const status = op.record?.Status
    if (status === "READY") {
      if (op.atMostOnce) return offerUpdate(op.update("START")) // the body runs when it is acknowledged
      offerLazily(op)
    }
    begin(op, op.atMostOnce && status === "STARTED")
  }

  const begin = (op: Op, interrupted: boolean): void => {
    if (closed) return // its START was refused, for a limit
    const number = (op.record?.StepDetails?.Attempt ?? 0) + 1
    op.attempt = number
    const { context, effect, ending } = op.run!({ number, startedAt: op.record?.StartTimestamp, interrupted })
    running++
    work(op, host.fork(effect, context), (exit) => {
      const end = ending(exit)
      if (!Effect.isEffect(end)) return ended(op, end)
      work(op, host.fork(end), (exit) => Exit.isSuccess(exit) ? ended(op, exit.value) : fail(fatalOf(exit)))
    })
  }

  /** Follows a fiber that works for an attempt. What a cancelled one still produces: its place in the race is lost. */
  const work = <A, E>(op: Op, fiber: Fiber.Fiber<A, E>, done: (exit: Exit.Exit<A, E>) => void): void => {
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return done(exit)
    let cancelled = false
    op.cancel = () => {
      if (cancelled) return
      cancelled = true
      running-- // at once: one that ignores its interruption must not hold up a suspension
      fiber.interruptUnsafe()
    }
    working.add(fiber)
    fiber.addObserver((exit) => {
      working.delete(fiber)
      op.cancel = undefined
      if (!closed && !cancelled) done(exit)
    })
  }

  const ended = (op: Op, ending: Ending): void => {
    running--
    offer(op, ending)
    pump()
  }

  // ---- wire -------------------------------------------------------------------------------------------

  const offer = (op: Op, ending: Ending): void => {
    offerUpdate(op.update(ending.Action, ending))
  }

  const offerUpdate = (update: Protocol.OperationUpdate, lazy = false): void => {
    const refused = checkpoints.offer(update, { lazy })
    if (refused !== undefined) fail(refused)
  }

  /** Sends what is queued, unless it must wait so that its timestamp is later than the last one. */
  const flush = (): void => {
    if (closed || checkpoints.inFlight()) return
    if (!checkpoints.urgent()) {
      if (running > 0 || checkpoints.queued() === 0) return
    }
    if (ambiguous) {
      const early = options.pace - (monotonic() - lastChoice)
      if (early > 0) return need("pace", host.clock.currentTimeMillisUnsafe() + early)
    }
    needs.pace = Infinity
    needs.start = Infinity
    const marked = unwritten.size > 0
    writeMarkers()
    const paced = options.order === "timestamps" && monotonic() - lastReceived >= options.pace
    beforeResponse = { marked, complete: paced ? maxSeen : -Infinity }
    checkpoints.send({ force: true })
  }

  const writeMarkers = (): void => {
    for (const world of unwritten) {
      // (under `log` a world may have a choice before its context is on record: then behind its START)
      const { parentId } = world.place
      const first = parentId === undefined || records.has(parentId)
      for (const update of Order.writeMarker(world)) checkpoints.offer(update, { first })
    }
    unwritten.clear()
  }

  /** What to conclude from the response to the request in flight. */
  let beforeResponse = { marked: false, complete: -Infinity }

  const responded = (operations: ReadonlyArray<Protocol.Operation>, acknowledged: ReadonlyArray<Protocol.OperationUpdate>): void => {
    if (closed) return
    const { complete, marked } = beforeResponse
    if (options.order === "timestamps") lastReceived = monotonic()
    ambiguous = false
    if (marked) choice() // what follows a marker must be stamped later than the marker
    for (const record of operations) merge(record)
    for (const update of acknowledged) acknowledge(update)
    horizon.complete = Math.max(horizon.complete, maxSeen - 1, complete)
    for (const world of held) wake(world)
    for (let first = top(timers); first !== undefined && first.time <= maxSeen; first = top(timers)) {
      timers.pop()
      first.world.outside.push(first)
      wake(first.world)
    }
    pump()
  }

  const see = (record: Protocol.Operation): void => {
    const due = record.Type === "WAIT" && record.Status === "SUCCEEDED" ? record.WaitDetails?.ScheduledEndTimestamp : 0
    maxSeen = Math.max(maxSeen, record.StartTimestamp ?? 0, record.EndTimestamp ?? 0, due ?? 0)
  }

  const merge = (record: Protocol.Operation): void => {
    records.set(record.Id, record)
    see(record)
    const op = opened.get(record.Id)
    if (op === undefined) return
    op.record = record
    for (const waiter of op.waiters) refresh(waiter)
    if (record.Status === "READY") fresh.push({ op, act: "attempt" })
  }

  /** Our own update is durable. */
  const acknowledge = (update: Protocol.OperationUpdate): void => {
    const op = opened.get(update.Id)
    if (op === undefined) return
    if (op.record === undefined || !reflects(op.record, update)) merge(recordOf(op, update, maxSeen))
    if (update.Action === "START" && op.atMostOnce && op.waiters.length > 0) {
      fresh.push({ op, act: "begin" })
    }
  }

  // ---- time -------------------------------------------------------------------------------------------

  /** One timer serves all needs. It stays armed when a need goes away and then finds nothing to do. */
  const need = (what: "start" | "pace" | "poll", at: number): void => {
    needs[what] = at
    if (at < armedFor) arm()
  }

  const arm = (): void => {
    disarm?.()
    disarm = undefined
    armedFor = Math.min(needs.start, needs.pace, needs.poll)
    if (armedFor === Infinity || closed) return
    const fiber = host.fork(host.clock.sleep(Duration.millis(Math.max(0, armedFor - host.clock.currentTimeMillisUnsafe()))))
    disarm = () => fiber.interruptUnsafe()
    fiber.addObserver((exit) => {
      if (closed || Exit.isFailure(exit)) return
      disarm = undefined
      armedFor = Infinity
      alarm()
    })
  }

  const alarm = (): void => {
    const now = host.clock.currentTimeMillisUnsafe()
    const due = (what: "start" | "pace" | "poll") => {
      if (needs[what] > now) return false
      needs[what] = Infinity
      return true
    }
    if (due("start") && checkpoints.queued() > 0) checkpoints.poll()
    if (due("poll")) look(now)
    due("pace")
    flush()
    arm()
    maybeSuspend()
  }

  /** Steps keep the invocation alive: look whether something that the body waits for is due by now. */
  const look = (now: number): void => {
    if (running === 0) return
    let due = false
    let earliest = Infinity
    for (const { op } of parked) {
      if (!waitsForService(op)) continue
      const at = op.record?.WaitDetails?.ScheduledEndTimestamp ?? op.record?.StepDetails?.NextAttemptTimestamp
      if (at === undefined || at <= now) due = true
      else earliest = Math.min(earliest, at - now)
    }
    if (due) {
      polls++
      checkpoints.poll()
    }
    need("poll", now + Math.min(Math.max(earliest, 1), Math.min((polls + 1) * POLL_FIRST, POLL_LONGEST)))
  }

  // ---- begin and end ------------------------------------------------------------------------------------

  /** Starts the body; `done` is called once, when the invocation's outcome is decided. */
  const start = (fork: () => Fiber.Fiber<unknown, unknown>, done: (outcome: Outcome) => void): void => {
    report = done
    phase = "running"
    fork().addObserver((exit) => {
      bodyExit = exit
    })
    phase = "idle"
    pump()
  }

  const maybeSuspend = (): void => {
    if (closed || phase !== "idle" || checkpoints.inFlight() || needs.pace !== Infinity) return
    if (running > 0) {
      if (parked.size > running && needs.poll === Infinity) need("poll", host.clock.currentTimeMillisUnsafe() + POLL_FIRST)
      return
    }
    if (checkpoints.queued() > 0 || checkpoints.urgent()) return
    for (const { op } of parked) {
      if (!waitsForService(op)) continue
      if (unwritten.size === 0) return end({ _tag: "Suspended" })
      checkpoints.poll() // the order of what was delivered goes on record before anything can follow from it
      return flush()
    }
    // otherwise there is nothing to wait for but untracked async work of the body
  }

  /** Ends the invocation: user code cannot catch it. */
  const fail = (error: Fatal): void => {
    end({ _tag: "Fatal", error })
  }

  /** Nobody waits for the outcome any more. */
  const abort = (): void => {
    report = undefined
    end({ _tag: "Suspended" })
  }

  const end = (outcome: Outcome): void => {
    if (closed) return
    closed = true
    phase = "idle"
    disarm?.()
    for (const op of opened.values()) op.cancel?.()
    const done = report
    // not within the call that failed: its fiber is running
    if (outcome._tag === "Fatal") host.settle(() => done?.(outcome))
    else done?.(outcome)
  }

  /** Lets go of the fibers that still wait (in uninterruptible regions), so that interruption can reach them. */
  const release = (effect: Effect.Effect<never>, world?: World): void => {
    for (const waiter of [...parked]) {
      if (world !== undefined && waiter.world !== world) continue
      forget(waiter)
      waiter.op.cancel?.()
      waiter.resume(effect)
    }
  }

  for (const record of checkpoints.operations) {
    if (record.Type === "EXECUTION") continue
    records.set(record.Id, record)
    see(record)
    const siblings = recordedBy.get(record.ParentId)
    if (siblings === undefined) recordedBy.set(record.ParentId, new Set([record.Id]))
    else siblings.add(record.Id)
  }
  horizon.complete = maxSeen - 1
  if (options.order === "timestamps") lastReceived = monotonic() // the snapshot may be of this very instant
  const root = openWorld("the workflow", "", undefined, undefined, execution.startTimestamp, false)
  checkpoints.listen({ responded, failed: fail })

  return {
    executionArn: execution.arn,
    root,
    scheduler,
    host,
    working,
    bodies,
    stepContexts,
    get closed() {
      return closed
    },
    open,
    park,
    unpark,
    mustRun,
    child,
    finish,
    lose,
    start,
    fail,
    abort,
    release
  }
}

const isLost = (world: World): boolean => world.abandoned || (world.parent !== undefined && isLost(world.parent))

/** What to do for an operation at the next live edge. */
interface Fresh {
  readonly op: Op
  readonly act: "launch" | "attempt" | "begin" | "record" | "recordIfAwaited"
  readonly ending?: Ending
}

/** Whether the record already shows what this update of ours did. */
const reflects = (record: Protocol.Operation, update: Protocol.OperationUpdate): boolean =>
  update.Action === "START"
    ? true
    : update.Action === "RETRY"
    ? record.Status !== "STARTED"
    : isTerminal(record.Status)

/** The record that an update of ours must have led to, where a response does not show it. */
const recordOf = (op: Op, update: Protocol.OperationUpdate, now: number): Protocol.Operation => {
  const before = op.record
  const outcome = {
    ...(update.Payload === undefined ? undefined : { Result: update.Payload }),
    ...(update.Error === undefined ? undefined : { Error: update.Error })
  }
  const attempt = before?.StepDetails?.Attempt ?? 0
  const ends = update.Action !== "START"
  return {
    ...before,
    Id: update.Id,
    Type: update.Type,
    Status: update.Action === "SUCCEED" ? "SUCCEEDED" : update.Action === "FAIL" ? "FAILED" : update.Action === "RETRY" ? "PENDING" : "STARTED",
    StartTimestamp: before?.StartTimestamp ?? now,
    ...(update.Action === "SUCCEED" || update.Action === "FAIL" ? { EndTimestamp: now } : undefined),
    ...(update.Type === "STEP" ? { StepDetails: { ...outcome, Attempt: ends ? attempt + 1 : attempt } } : undefined),
    ...(update.Type === "CONTEXT" ? { ContextDetails: { ...outcome, ...update.ContextOptions } } : undefined)
  }
}

const fatalOf = (exit: Exit.Failure<unknown, Fatal>): Fatal => {
  const reason = exit.cause.reasons.find((reason) => reason._tag === "Fail")
  return reason?.error ??
    new InvalidOperation({ message: `This is a bug of effect-durable-lambda, please report it: ${String(Cause.squash(exit.cause))}` })
}
