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
import { type Fatal, InvalidOperation, isFatal, NonDeterministic, UntrackedAsync } from "../../DurableError.ts"
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

export class Core {
  readonly executionArn: string
  readonly root: World
  readonly scheduler = new BodyScheduler((fiber) => this.moved(fiber))
  /** The invocation has ended: nothing durable happens any more. */
  closed = false
  /** Fibers that run outside the body on its behalf (attempts of steps), awaited before the answer. */
  readonly working = new Set<Fiber.Fiber<unknown, unknown>>()
  /** What steps see, by what the fibers that ask for them see. */
  readonly stepContexts = new WeakMap<Context.Context<never>, Context.Context<never>>()
  /** Root fibers of child contexts. */
  readonly bodies = new Set<Fiber.Fiber<unknown, unknown>>()

  readonly host: Host
  private readonly options: Options
  private readonly checkpoints: Checkpoints
  private readonly records = new Map<string, Protocol.Operation>()
  /** Recorded operations by parent, for the check that all of them are asked for again. */
  private readonly recorded = new Map<string | undefined, Set<string>>()
  private readonly opened = new Map<string, Op>()
  private unvisited = 0
  /** Those whose bodies run. */
  private readonly worlds = new Set<World>()

  // the body
  private seq = 0
  private delivery = 0
  private phase: "idle" | "running" | "waiting" = "idle"
  /** Nothing has moved since the microtask queue was last seen empty. */
  private settled = false
  private pumpSoon = false
  /** The body moved by itself while nothing durable was in flight, so any of its worlds may move. */
  private unguarded = true
  private exit: Exit.Exit<unknown, unknown> | undefined
  private readonly parked = new Set<Waiter>()
  /** For messages: which operation a fiber asked for last. */
  private readonly lastAsked = new WeakMap<Fiber.Fiber<unknown, unknown>, Op>()

  // the gate
  private readonly ready: Array<World> = []
  /** Waits whose scheduled end the service's clock may not have reached. */
  private readonly timers = new Heap<Waiter>(earlier)
  /** Worlds that wait for another look at the service: an outside completion of the same instant may exist. */
  private readonly held = new Set<World>()
  /** Largest timestamp seen: the service's clock has reached it. */
  private maxSeen: number
  private readonly horizon: { policy: Order.OrderPolicy; complete: number; opened: ReadonlyMap<string, Op> }

  // work and wire
  /** What to do at the next live edge, in the order in which the body asked for it. */
  private fresh: Array<Fresh> = []
  private running = 0
  private ambiguous = false
  /** When a delivery with a choice last made the order of timestamps matter; when the last response came. */
  private lastChoice = 0
  private lastReceived = 0
  private readonly unwritten = new Set<World>()

  // one timer for all needs, armed for the earliest
  private readonly needs = { start: Infinity, pace: Infinity, poll: Infinity }
  private armedFor = Infinity
  private disarm: (() => void) | undefined
  private polls = 0

  private outcome: ((outcome: Outcome) => void) | undefined

  constructor(
    host: Host,
    options: Options,
    checkpoints: Checkpoints,
    execution: { readonly arn: string; readonly startTimestamp: number }
  ) {
    this.host = host
    this.options = options
    this.checkpoints = checkpoints
    this.executionArn = execution.arn
    this.maxSeen = execution.startTimestamp
    for (const record of checkpoints.operations) {
      if (record.Type === "EXECUTION") continue
      this.records.set(record.Id, record)
      this.see(record)
    }
    for (const record of this.records.values()) {
      const siblings = this.recorded.get(record.ParentId)
      if (siblings === undefined) this.recorded.set(record.ParentId, new Set([record.Id]))
      else siblings.add(record.Id)
    }
    this.horizon = { policy: options.order, complete: this.maxSeen - 1, opened: this.opened }
    this.root = this.openWorld("the workflow", "", undefined, undefined, execution.startTimestamp, false)
    checkpoints.listen({
      responded: (operations, acknowledged) => this.responded(operations, acknowledged),
      failed: (error) => this.fail(error)
    })
  }

  /** Milliseconds of a clock that never runs backwards, with fractions. */
  private monotonic(): number {
    return Number(this.host.clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  // ---- asked by operations, in body fibers --------------------------------------------------------

  /** A durable operation begins: takes its id. `undefined`: nothing durable can happen here any more. */
  open(place: Place, spec: Spec, fiber: Fiber.Fiber<unknown, unknown>): Op | undefined {
    const { world } = place
    if (this.closed || world.state === "ended") return undefined
    if (world.state === "lost") {
      this.fail(new InvalidOperation({ reason: explain.inLostContext(world, spec) }))
      return undefined
    }
    if (world.movedAt !== this.delivery && !this.unguarded) {
      this.fail(new UntrackedAsync({ reason: explain.movedByAnotherWorld(world, spec) }))
      return undefined
    }
    const id = place.nextId(spec)
    const record = this.records.get(id)
    if (world.unvisited?.delete(id) === true) this.unvisited--
    const op = new Op(id, place, spec, record, ++this.seq)
    if (record !== undefined && (record.Type !== spec.type || record.Name !== spec.name)) {
      this.fail(new NonDeterministic({ reason: explain.mismatch(op, record) }))
      return undefined
    }
    this.opened.set(id, op)
    world.remember(op)
    this.lastAsked.set(fiber, op)
    if (record === undefined || !isTerminal(record.Status)) this.fresh.push({ op, act: "launch" })
    return op
  }

  /** Parks a fiber on an operation until its event is delivered. */
  park(op: Op, event: Waiter["event"], resume: Waiter["resume"], decode: Decode): Waiter {
    const { world } = op.place
    const nth = ++op.waits
    const seq = nth === 1 ? op.seq : ++this.seq
    const waiter: Waiter = { op, world, event, nth, seq, resume, decode, parked: true, known: false, ready: true, time: 0, rank: 0 }
    op.waiters.push(waiter)
    this.parked.add(waiter)
    world.parked++
    if (isOutside(waiter)) world.unknownOutside++
    this.refresh(waiter)
    return waiter
  }

  /** The fiber was interrupted: it lets go at once, its work is cancelled in the background. */
  unpark(waiter: Waiter): void {
    if (!waiter.parked) return
    this.forget(waiter)
    this.wake(waiter.world)
    if (waiter.op.waiters.length === 0) waiter.op.cancel?.()
  }

  /** Whether the body of this context must run: it has no outcome yet, or only its children have one. */
  mustRun(op: Op): boolean {
    const { record } = op
    return record === undefined || !isTerminal(record.Status) || this.rebuilds(op)
  }

  private rebuilds(op: Op): boolean {
    const { record } = op
    return record?.Type === "CONTEXT" && record.Status === "SUCCEEDED" && record.ContextDetails?.ReplayChildren === true
  }

  /** The world of a child context. Its clock starts with its parent's. */
  child(op: Op, title: string): World {
    const { place } = op
    const rebuilding = place.world.rebuilding || this.rebuilds(op)
    return this.openWorld(title, op.id, op.id, place.world, place.world.time, rebuilding)
  }

  /**
   * The body of a context has returned. `encode` says how to record it, and what its parent goes on with. No
   * operation of the context is sent any more, not even while its result is being encoded.
   */
  finish(op: Op, world: World, encode: () => Closing | Effect.Effect<Closing, Fatal>): void {
    this.leave(world, "ended")
    if (this.closed || op.waiters.length === 0) return
    const closing = encode()
    if (!Effect.isEffect(closing)) return this.finished(op, world, closing)
    const fiber = this.host.fork(closing)
    const encoded = fiber.pollUnsafe()
    if (encoded !== undefined) return this.encoded(op, world, encoded)
    this.running++
    this.working.add(fiber)
    fiber.addObserver((encoded) => {
      this.running--
      this.working.delete(fiber)
      if (this.closed) return
      this.encoded(op, world, encoded)
      this.pump()
    })
  }

  private encoded(op: Op, world: World, encoded: Exit.Exit<Closing, Fatal>): void {
    if (Exit.isSuccess(encoded)) this.finished(op, world, encoded.value)
    else this.fail(fatalOf(encoded))
  }

  private finished(op: Op, world: World, { ending, outcome }: Closing): void {
    const parent = op.place.world
    const recorded = op.record !== undefined && isTerminal(op.record.Status)
    // it will be rebuilt by the order in which its completions came
    if (!recorded && ending.ContextOptions?.ReplayChildren === true && world.unrecorded.length > 0) this.unwritten.add(world)
    op.outcome = outcome
    if (recorded || parent.parked === op.waiters.length) {
      // Rebuilt, or nothing else of the parent is parked: no order to get wrong, so nobody waits for the service.
      for (const waiter of op.waiters) {
        waiter.ready = true
        if (!waiter.known) this.know(waiter, this.maxSeen, 0)
      }
      this.wake(parent)
      if (!recorded) this.fresh.push({ op, act: "record", ending })
    } else {
      this.fresh.push({ op, act: "recordIfAwaited", ending })
    }
  }

  /** A context is interrupted: what it has seen is not recorded, so nothing durable can follow in it. */
  lose(world: World): void {
    if (world.state !== "open") return
    this.leave(world, "lost")
  }

  private leave(world: World, state: "lost" | "ended"): void {
    if (world.state !== "open") return
    world.state = state
    world.movedAt = this.delivery
    this.unvisited -= world.unvisited?.size ?? 0
    world.unvisited = undefined
    this.worlds.delete(world)
    this.unwritten.delete(world)
    this.held.delete(world)
  }

  private openWorld(
    title: string,
    path: string,
    id: string | undefined,
    parent: World | undefined,
    time: number,
    rebuilding: boolean
  ): World {
    const world = new World(title, path, id, parent, time, rebuilding)
    world.movedAt = this.delivery
    this.worlds.add(world)
    world.unvisited = this.recorded.get(id)
    Order.readMarkers(world, this.records)
    this.unvisited += world.unvisited?.size ?? 0
    return world
  }

  // ---- the gate -------------------------------------------------------------------------------------

  /** When the service has told that the awaited event happened, makes it deliverable. */
  private refresh(waiter: Waiter): void {
    const { op } = waiter
    const { record } = op
    if (waiter.known || record === undefined) return
    const ended = isTerminal(record.Status)
    const start = record.StartTimestamp ?? this.root.time
    if (waiter.event === "created") return this.know(waiter, start, 0)
    if (record.Type === "WAIT") {
      // A wait ends at its scheduled instant, whenever the service gets round to say so.
      const scheduled = record.WaitDetails?.ScheduledEndTimestamp
      const time = scheduled !== undefined && (!ended || record.Status === "SUCCEEDED") ? scheduled : record.EndTimestamp
      if (time !== undefined) this.know(waiter, time, 1)
      else if (ended) this.know(waiter, start, 1)
    } else if (ended) {
      waiter.ready = !this.rebuilds(op) || op.outcome !== undefined
      this.know(waiter, record.EndTimestamp ?? start, record.Type === "STEP" || record.Type === "CONTEXT" ? 0 : 1)
    }
  }

  private know(waiter: Waiter, time: number, rank: 0 | 1): void {
    const { world } = waiter
    waiter.known = true
    waiter.time = time
    waiter.rank = rank
    if (isOutside(waiter)) world.unknownOutside--
    if (rank === 0) world.own.push(waiter)
    else if (!isTerminal(waiter.op.record!.Status) && time > this.maxSeen) return this.timers.push(waiter)
    else world.outside.push(waiter)
    this.wake(world)
  }

  private wake(world: World): void {
    if (world.queued) return
    world.queued = true
    this.ready.push(world)
  }

  private forget(waiter: Waiter): void {
    const { op, world } = waiter
    waiter.parked = false
    this.parked.delete(waiter)
    world.parked--
    op.waiters.splice(op.waiters.indexOf(waiter), 1)
    if (isOutside(waiter) && !waiter.known) world.unknownOutside--
  }

  /** The completion that comes next in some world. Between worlds any order will do. */
  private next(): Waiter | undefined {
    while (this.ready.length > 0) {
      const world = this.ready[0]!
      const chosen = Order.next(world, this.horizon)
      if (chosen instanceof NonDeterministic) {
        this.fail(chosen)
        return undefined
      }
      if (chosen !== "hold") this.held.delete(world)
      if (chosen !== undefined && chosen !== "hold") {
        if (world.unrecorded.length > 0) this.unwritten.add(world)
        return chosen
      }
      if (chosen === "hold") {
        this.held.add(world)
        this.choice()
        this.checkpoints.poll()
      }
      this.ready.shift()
      world.queued = false
    }
    return undefined
  }

  /** The next request must be stamped later than what has just been delivered. */
  private choice(): void {
    this.ambiguous = true
    this.lastChoice = this.monotonic()
  }

  private deliver(waiter: Waiter): void {
    const { op, world } = waiter
    if (world.parked > 1) this.choice()
    this.forget(waiter)
    world.movedAt = ++this.delivery
    this.unguarded = false
    const { outcome, record } = op
    // a context's end is not an instant of its parent's clock: live it is known before it is recorded
    if (op.spec.type !== "CONTEXT" && waiter.time > world.time) world.time = waiter.time
    const decoded = outcome ?? waiter.decode(op, record!)
    if (Exit.isExit(decoded)) return waiter.resume(decoded)
    // Reading the payload is work outside the body. Until it is done nothing else is delivered.
    const fiber = this.host.fork(decoded)
    const read = fiber.pollUnsafe()
    if (read !== undefined) return this.resume(waiter, read)
    this.phase = "waiting"
    fiber.addObserver((read) => {
      if (this.closed) return
      this.phase = "running"
      this.resume(waiter, read)
      this.phase = "idle"
      this.pump()
    })
  }

  private resume(waiter: Waiter, read: Exit.Exit<Exit.Exit<unknown, unknown>, Fatal>): void {
    if (Exit.isSuccess(read)) waiter.resume(read.value)
    else this.fail(fatalOf(read))
  }

  private pump(): void {
    if (this.phase !== "idle" || this.closed) return
    this.phase = "running"
    for (;;) {
      this.scheduler.drain()
      if (this.closed) return
      if (this.exit !== undefined) return this.completed(this.exit)
      if (!this.settled) {
        this.phase = "waiting" // promise chains of the body belong to the same instant
        return this.host.settle(() => {
          this.phase = "idle"
          this.settled = this.scheduler.idle && this.exit === undefined
          this.pump()
        })
      }
      const waiter = this.next()
      if (waiter === undefined) break
      this.settled = false
      this.deliver(waiter)
      if (this.phase !== "running") return
    }
    if (!this.closed) this.edge()
  }

  /** The body is quiescent and nothing known can be delivered: only now cause side effects. */
  private edge(): void {
    // (nothing parked: the body is busy with async work of its own)
    if (this.parked.size > 0 && this.held.size === 0) {
      if (!this.allVisited()) return
      const { fresh } = this
      this.fresh = []
      for (const item of fresh) {
        this.act(item)
        if (this.closed) return
      }
    }
    this.phase = "idle"
    this.flush()
    this.maybeSuspend()
  }

  /** A faithful replay has asked for everything recorded before it does anything new. */
  private allVisited(): boolean {
    if (this.unvisited === 0) return true
    const missing: Array<Protocol.Operation> = []
    for (const world of this.worlds) for (const id of world.unvisited ?? []) missing.push(this.records.get(id)!)
    const asked = [...this.opened.values()].filter((op) => op.record === undefined)
    const reason = explain.unvisited(missing, asked, this.root.trail)
    if (this.options.unvisited === "ignore") {
      this.unvisited = 0
      for (const world of this.worlds) world.unvisited = undefined
      this.host.warn(reason)
      return true
    }
    this.fail(new NonDeterministic({ reason }))
    return false
  }

  /** The body has ended. Contexts that ended with it go on record, work that it did not wait for does not begin. */
  private completed(exit: Exit.Exit<unknown, unknown>): void {
    if ((this.root.unvisited?.size ?? 0) > 0 && !this.allVisited()) return
    for (const item of this.fresh) if (item.op.spec.type === "CONTEXT") this.act(item)
    if (this.checkpoints.queued() > 0) this.writeMarkers() // a replay of the finished history sees what is sent now
    this.end({ _tag: "Completed", exit })
  }

  /** A body fiber runs or wants to run. */
  private moved(fiber: Fiber.Fiber<unknown, unknown> | undefined): void {
    if (this.phase !== "idle") return
    if (this.closed) {
      // finalizers of a body that was torn down
      if (!this.scheduler.idle) this.host.settle(() => this.scheduler.drain())
      return
    }
    if (this.pumpSoon) return
    // It moves although nothing was delivered: it awaited something that the gate does not know.
    // That is harmless while no durable operation is in flight, otherwise the order is up to chance.
    if (this.parked.size > 0) {
      const waiting = [...this.parked].map((waiter) => waiter.op)
      const last = fiber === undefined ? undefined : this.lastAsked.get(fiber)
      return this.fail(new UntrackedAsync({ reason: explain.untracked(this.root, waiting, last) }))
    }
    this.unguarded = true
    this.settled = false
    this.pumpSoon = true
    this.host.settle(() => {
      this.pumpSoon = false
      this.pump()
    })
  }

  // ---- work -------------------------------------------------------------------------------------------

  private act({ act, ending, op }: Fresh): void {
    switch (act) {
      case "launch":
        return this.launch(op)
      case "attempt":
        return this.attempt(op)
      case "begin":
        return op.waiters.length > 0 ? this.begin(op, false) : undefined
      case "record":
        return this.offer(op, ending!)
      case "recordIfAwaited":
        return op.waiters.length > 0 ? this.offer(op, ending!) : undefined
    }
  }

  private launch(op: Op): void {
    if (op.launched || (op.waiters.length === 0 && op.spec.type !== "CONTEXT")) return // lost a race before it began
    op.launched = true
    const isStep = op.spec.type === "STEP"
    if (op.record === undefined) {
      if (op.place.world.rebuilding) {
        return this.fail(new NonDeterministic({ reason: explain.inFinishedContext(op) }))
      }
      if (!isStep) this.offerUpdate(op.update("START", op.start))
      else if (op.atMostOnce || this.options.startDelay === 0) this.offerUpdate(op.update("START"))
      else this.offerLazily(op)
    }
    if (isStep && op.record?.Status !== "PENDING" && !(op.atMostOnce && op.record === undefined)) this.attempt(op)
  }

  /** START of an at-least-once step rides with the next request; alone it is sent only when the body takes long. */
  private offerLazily(op: Op): void {
    this.offerUpdate(op.update("START"), true)
    if (this.needs.start === Infinity) this.need("start", this.host.clock.currentTimeMillisUnsafe() + this.options.startDelay)
  }

  private attempt(op: Op): void {
    const number = (op.record?.StepDetails?.Attempt ?? 0) + 1
    if (number <= op.attempt || op.waiters.length === 0) return
    op.attempt = number
    const status = op.record?.Status
    if (status === "READY") {
      if (op.atMostOnce) return this.offerUpdate(op.update("START")) // the body runs when it is acknowledged
      this.offerLazily(op)
    }
    this.begin(op, op.atMostOnce && status === "STARTED")
  }

  private begin(op: Op, interrupted: boolean): void {
    if (this.closed) return // its START was refused, for a limit
    const number = (op.record?.StepDetails?.Attempt ?? 0) + 1
    op.attempt = number
    const { context, effect, ending } = op.run!({ number, startedAt: op.record?.StartTimestamp, interrupted })
    this.running++
    this.work(op, this.host.fork(effect, context), (exit) => {
      const ended = ending(exit)
      if (!Effect.isEffect(ended)) return this.ended(op, ended)
      this.work(op, this.host.fork(ended), (exit) => Exit.isSuccess(exit) ? this.ended(op, exit.value) : this.fail(fatalOf(exit)))
    })
  }

  /** Follows a fiber that works for an attempt. What a cancelled one still produces: its place in the race is lost. */
  private work<A, E>(op: Op, fiber: Fiber.Fiber<A, E>, done: (exit: Exit.Exit<A, E>) => void): void {
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return done(exit)
    let cancelled = false
    op.cancel = () => {
      if (cancelled) return
      cancelled = true
      this.running-- // at once: one that ignores its interruption must not hold up a suspension
      fiber.interruptUnsafe()
    }
    this.working.add(fiber)
    fiber.addObserver((exit) => {
      this.working.delete(fiber)
      op.cancel = undefined
      if (!this.closed && !cancelled) done(exit)
    })
  }

  private ended(op: Op, ending: Ending): void {
    this.running--
    this.offer(op, ending)
    this.pump()
  }

  // ---- wire -------------------------------------------------------------------------------------------

  private offer(op: Op, ending: Ending): void {
    this.offerUpdate(op.update(ending.Action, ending))
  }

  private offerUpdate(update: Protocol.OperationUpdate, lazy = false): void {
    const refused = this.checkpoints.offer(update, { lazy })
    if (refused !== undefined) this.fail(refused)
  }

  /** Sends what is queued, unless it must wait so that its timestamp is later than the last one. */
  private flush(): void {
    const { checkpoints } = this
    if (this.closed || checkpoints.inFlight()) return
    if (!checkpoints.urgent()) {
      if (this.running > 0 || checkpoints.queued() === 0) return
    }
    if (this.ambiguous) {
      const early = this.options.pace - (this.monotonic() - this.lastChoice)
      if (early > 0) return this.need("pace", this.host.clock.currentTimeMillisUnsafe() + early)
    }
    this.needs.pace = Infinity
    this.needs.start = Infinity
    const marked = this.unwritten.size > 0
    this.writeMarkers()
    const paced = this.options.order === "timestamps" && this.monotonic() - this.lastReceived >= this.options.pace
    this.beforeResponse = { marked, complete: paced ? this.maxSeen : -Infinity }
    checkpoints.send({ force: true })
  }

  private writeMarkers(): void {
    for (const world of this.unwritten) {
      for (const update of [...Order.writeMarker(world)].reverse()) this.checkpoints.offer(update, { first: true })
    }
    this.unwritten.clear()
  }

  /** What to conclude from the response to the request in flight. */
  private beforeResponse = { marked: false, complete: -Infinity }

  private responded(operations: ReadonlyArray<Protocol.Operation>, acknowledged: ReadonlyArray<Protocol.OperationUpdate>): void {
    if (this.closed) return
    const { complete, marked } = this.beforeResponse
    if (this.options.order === "timestamps") this.lastReceived = this.monotonic()
    this.ambiguous = false
    if (marked) this.choice() // what follows a marker must be stamped later than the marker
    for (const record of operations) this.merge(record)
    for (const update of acknowledged) this.acknowledged(update)
    this.horizon.complete = Math.max(this.horizon.complete, this.maxSeen - 1, complete)
    for (const world of this.held) this.wake(world)
    for (let first = top(this.timers); first !== undefined && first.time <= this.maxSeen; first = top(this.timers)) {
      this.timers.pop()
      first.world.outside.push(first)
      this.wake(first.world)
    }
    this.pump()
  }

  private see(record: Protocol.Operation): void {
    const due = record.Type === "WAIT" && record.Status === "SUCCEEDED" ? record.WaitDetails?.ScheduledEndTimestamp : 0
    this.maxSeen = Math.max(this.maxSeen, record.StartTimestamp ?? 0, record.EndTimestamp ?? 0, due ?? 0)
  }

  private merge(record: Protocol.Operation): void {
    this.records.set(record.Id, record)
    this.see(record)
    const op = this.opened.get(record.Id)
    if (op === undefined) return
    op.record = record
    for (const waiter of op.waiters) this.refresh(waiter)
    if (record.Status === "READY") this.fresh.push({ op, act: "attempt" })
  }

  /** Our own update is durable. */
  private acknowledged(update: Protocol.OperationUpdate): void {
    const op = this.opened.get(update.Id)
    if (op === undefined) return
    if (op.record === undefined || !reflects(op.record, update)) this.merge(recordOf(op, update, this.maxSeen))
    if (update.Action === "START" && op.atMostOnce && op.waiters.length > 0) {
      this.fresh.push({ op, act: "begin" })
    }
  }

  // ---- time -------------------------------------------------------------------------------------------

  /** One timer serves all needs. It stays armed when a need goes away and then finds nothing to do. */
  private need(what: "start" | "pace" | "poll", at: number): void {
    this.needs[what] = at
    if (at < this.armedFor) this.arm()
  }

  private arm(): void {
    this.disarm?.()
    this.disarm = undefined
    this.armedFor = Math.min(this.needs.start, this.needs.pace, this.needs.poll)
    if (this.armedFor === Infinity || this.closed) return
    const fiber = this.host.fork(this.host.clock.sleep(Duration.millis(Math.max(0, this.armedFor - this.host.clock.currentTimeMillisUnsafe()))))
    this.disarm = () => fiber.interruptUnsafe()
    fiber.addObserver((exit) => {
      if (this.closed || Exit.isFailure(exit)) return
      this.disarm = undefined
      this.armedFor = Infinity
      this.alarm()
    })
  }

  private alarm(): void {
    const now = this.host.clock.currentTimeMillisUnsafe()
    const due = (what: "start" | "pace" | "poll") => {
      if (this.needs[what] > now) return false
      this.needs[what] = Infinity
      return true
    }
    if (due("start") && this.checkpoints.queued() > 0) this.checkpoints.poll()
    if (due("poll")) this.look(now)
    due("pace")
    this.flush()
    this.arm()
    this.maybeSuspend()
  }

  /** Steps keep the invocation alive: look whether something that the body waits for is due by now. */
  private look(now: number): void {
    if (this.running === 0) return
    let due = false
    let earliest = Infinity
    for (const { op } of this.parked) {
      if (!waitsForService(op)) continue
      const at = op.record?.WaitDetails?.ScheduledEndTimestamp ?? op.record?.StepDetails?.NextAttemptTimestamp
      if (at === undefined || at <= now) due = true
      else earliest = Math.min(earliest, at - now)
    }
    if (due) {
      this.polls++
      this.checkpoints.poll()
    }
    this.need("poll", now + Math.min(Math.max(earliest, 1), Math.min((this.polls + 1) * POLL_FIRST, POLL_LONGEST)))
  }

  // ---- begin and end ------------------------------------------------------------------------------------

  /** Starts the body; `done` is called once, when the invocation's outcome is decided. */
  start(fork: () => Fiber.Fiber<unknown, unknown>, done: (outcome: Outcome) => void): void {
    this.outcome = done
    this.phase = "running"
    fork().addObserver((exit) => {
      this.exit = exit
    })
    this.phase = "idle"
    this.pump()
  }

  private maybeSuspend(): void {
    const { checkpoints } = this
    if (this.closed || this.phase !== "idle" || checkpoints.inFlight() || this.needs.pace !== Infinity) return
    if (this.running > 0) {
      if (this.parked.size > this.running && this.needs.poll === Infinity) this.need("poll", this.host.clock.currentTimeMillisUnsafe() + POLL_FIRST)
      return
    }
    if (checkpoints.queued() > 0 || checkpoints.urgent()) return
    for (const { op } of this.parked) {
      if (!waitsForService(op)) continue
      if (this.unwritten.size === 0) return this.end({ _tag: "Suspended" })
      checkpoints.poll() // the order of what was delivered goes on record before anything can follow from it
      return this.flush()
    }
    // otherwise there is nothing to wait for but untracked async work of the body
  }

  /** Ends the invocation: user code cannot catch it. */
  fail(error: Fatal): void {
    this.end({ _tag: "Fatal", error })
  }

  /** Nobody waits for the outcome any more. */
  abort(): void {
    this.outcome = undefined
    this.end({ _tag: "Suspended" })
  }

  private end(outcome: Outcome): void {
    if (this.closed) return
    this.closed = true
    this.phase = "idle"
    this.disarm?.()
    for (const op of this.opened.values()) op.cancel?.()
    const { outcome: done } = this
    // not within the call that failed: its fiber is running
    if (outcome._tag === "Fatal") this.host.settle(() => done?.(outcome))
    else done?.(outcome)
  }

  /** Lets go of the fibers that still wait (in uninterruptible regions), so that interruption can reach them. */
  release(effect: Effect.Effect<never>, world?: World): void {
    for (const waiter of [...this.parked]) {
      if (world !== undefined && waiter.world !== world) continue
      this.forget(waiter)
      waiter.op.cancel?.()
      waiter.resume(effect)
    }
  }
}

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
  const error = Cause.squash(exit.cause)
  return isFatal(error) ? error : new InvalidOperation({ reason: `The library failed: ${String(error)}. This is a bug of effect-durable-lambda: please report it.` })
}
