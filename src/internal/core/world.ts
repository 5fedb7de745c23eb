/**
 * The things the core moves: operations, the fibers parked on them, and the worlds they happen in.
 *
 * A *world* is a context with its own order of deliveries, clock and random numbers: the execution's root,
 * a child context, a branch. Worlds exchange values, not memory, so the order of deliveries matters only
 * within one. A *place* is where operations get their ids: each world has one, a virtual context adds one
 * to the world it stands in.
 */
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as Random from "effect/Random"
import type * as Types from "effect/Types"
import type { Fatal } from "../../DurableError.ts"
import type { Sent } from "../../CheckpointService.ts"
import type * as Protocol from "../../Protocol.ts"
import { isTerminal } from "../wire.ts"
import { digestOf, idAt, prefixOf } from "../operationId.ts"
import type { Link } from "./chain.ts"
import { Heap, type Node } from "./heap.ts"

/** What an operation is, and what it is called. */
export class Spec {
  declare readonly type: Protocol.OperationType
  declare readonly subType: string
  declare readonly name: string
  constructor(type: Protocol.OperationType, subType: string, name: string) {
    this.type = type
    this.subType = subType
    this.name = name
  }
}

/** What a body says of how its code has changed while executions ran. */
export interface Changes {
  /** Names of operations that came into the code later. */
  readonly added: ReadonlySet<string>
  /** Why an operation contradicts what was said. */
  readonly fault: (spec: Spec) => string | undefined
}

/** A context that has no record of its own, and stands in the world of the one around it. */
export interface Virtual {
  readonly title: string
  /** It came into the code later, by what the body around it says, and so did all in it. */
  readonly added: boolean
}

/** What runs outside of the body sees. */
export interface Outside {
  readonly context: Context.Context<never>
  /** Whether a `Serdes` layer has a word in what is recorded. */
  readonly transforms: boolean
}

/** Where operations get their ids. */
export class Place {
  /** The context that it is, as in ids; empty for the workflow itself. */
  declare readonly path: string
  /** `ParentId` of the operations: the nearest context that has a record. */
  declare readonly parentId: string | undefined
  declare readonly world: World
  /** What the steps see that a fiber with these services asked for here: the last ones, which are mostly the only ones. */
  steps: (Outside & { readonly of: Context.Context<never> }) | undefined
  /** The random numbers of that body, once it has asked for one. */
  random: Random.Random | undefined
  /** How the body that stands here has ended. */
  exit: Exit.Exit<unknown, unknown> | undefined
  /** What is left to do then, if anything was registered (operations/cleanup.ts). */
  atEnd: ((exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void, unknown>) | undefined
  /** The last services of a fiber here that were seen to have the clock and the random numbers of bodies. */
  shared: Context.Context<never> | undefined
  /** Services of the body that stands here, without those that are its own, and of the body around it, which stands `above`. */
  inner: Context.Context<never> | undefined
  bare: Context.Context<never> | undefined
  around: Context.Context<never> | undefined
  above: Place | undefined
  changes: Changes | undefined
  /** A virtual context that stands here, for messages. None: the world's own body does. */
  declare readonly virtual: Virtual | undefined
  /** What the ids of its operations begin with. */
  declare private readonly prefix: string
  /** How often each kind and name was asked for, by their digest; of most places only one ever is. */
  private first: string | undefined
  private occurrences: Map<string, number> | undefined

  constructor(path: string, parentId: string | undefined, world: World, virtual?: Virtual) {
    this.path = path
    this.prefix = prefixOf(path)
    this.parentId = parentId
    this.world = world
    this.virtual = virtual
  }

  /** For messages. */
  get title(): string {
    return this.virtual?.title ?? this.world.title
  }

  /** The id of the next operation of this kind and name. Taken when the operation is asked for. */
  nextId({ name, subType }: Spec): string {
    const digest = digestOf(subType, name)
    const occurrence = this.count(digest) + 1
    if (this.first === undefined) this.first = digest
    else (this.occurrences ??= new Map().set(this.first, 1)).set(digest, occurrence)
    return idAt(this.prefix, digest, occurrence)
  }

  /** How often this kind and name was asked for. */
  asked({ name, subType }: Spec): number {
    return this.count(digestOf(subType, name))
  }

  private count(digest: string): number {
    return this.occurrences?.get(digest) ?? (digest === this.first ? 1 : 0)
  }
}

/**
 * What all updates of an operation begin with. A plain object as far as anybody sees, but no literal: V8 puts literals, of
 * which thousands wait to be sent, among its old objects, and what those hold lives as long.
 */
const Update = function (
  this: Types.Mutable<Protocol.OperationUpdate>,
  id: string,
  name: string,
  type: Spec["type"],
  subType: string,
  action: Protocol.OperationAction,
  parentId: string | undefined
) {
  this.Id = id
  this.Name = name
  this.Type = type
  this.SubType = subType
  this.Action = action
  if (parentId !== undefined) this.ParentId = parentId
} as unknown as new (
  ...fields: [string, string, Spec["type"], string, Protocol.OperationAction, string | undefined]
) => Types.Mutable<Protocol.OperationUpdate> & Record<string, unknown>
Update.prototype = Object.prototype

/** A durable operation that the body has asked for in this invocation. */
export class Op implements Sent {
  declare readonly id: string
  declare readonly place: Place
  declare readonly spec: Spec
  /** The how-manieth request of the body: breaks ties, the same in every replay. */
  declare readonly seq: number
  declare record: Protocol.Operation | undefined
  /** (these are the queue's) */
  declare counted: boolean
  sentIn = 0
  sentMore = false
  /** The fibers parked on it: one, which knows the next, and how many. */
  waiter: Waiter | undefined
  waiters = 0
  waits = 0
  /** Who asked for it. */
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  /** What its START carries besides the common fields; a payload may have to be encoded first. */
  start: Partial<Protocol.OperationUpdate> | Effect.Effect<Partial<Protocol.OperationUpdate>, Fatal> | undefined
  /** Each attempt runs once at most. */
  atMostOnce = false
  /** START is acknowledged before the attempt begins. */
  startsFirst = false
  /** Its record hands a state from attempt to attempt. START wipes it out, so it is sent with what replaces it. */
  carriesState = false
  launched = false
  /** Last attempt begun in this invocation. */
  attempt = 0
  /** The attempts of a step. */
  attempts: Attempts | undefined
  /** Interrupts the attempt that runs. */
  cancel: (() => void) | undefined
  /** Lets go of what runs in it, without cleanup: a context's own body, or those of its items. */
  lose: (() => void) | undefined
  /** What this invocation has written down for it: the record that says the same need not be read. */
  written: Written | undefined
  /** The outcome of a context that is known before its record: its body has just ended. */
  outcome: Exit.Exit<unknown, unknown> | undefined

  constructor(id: string, place: Place, spec: Spec, record: Protocol.Operation | undefined, seq: number) {
    this.id = id
    this.place = place
    this.spec = spec
    this.record = record
    this.counted = record !== undefined
    this.seq = seq
  }

  /** The fields that every update of this operation repeats. */
  update(action: Protocol.OperationAction, more?: Partial<Protocol.OperationUpdate>): Protocol.OperationUpdate {
    const { parentId } = this.place
    const { name, subType, type } = this.spec
    const update = new Update(this.id, name, type, subType, action, parentId)
    if (more === undefined) return update
    // most have a payload and nothing else, and spreading is slow
    if (more.Payload !== undefined) update.Payload = more.Payload
    for (const key in more) {
      if (key !== "Action" && key !== "Payload") update[key] = more[key as keyof Protocol.OperationUpdate]
    }
    return update
  }

  /** For messages: what it is, its name and its id. */
  toString(): string {
    return `${describeSpec(this.spec)} (${this.id})`
  }
}

/** A value, and its text. */
export class Written {
  declare readonly text: string | undefined
  declare readonly value: unknown
  constructor(text: string | undefined, value: unknown) {
    this.text = text
    this.value = value
  }
}

export const describeSpec = ({
  name = "",
  type
}: {
  readonly type: string
  readonly name?: string | undefined
}): string => `${type} "${name}"`

/** What an attempt of a step is told. */
export class Attempt {
  /** From 1. */
  declare readonly number: number
  /** When the first attempt started, epoch milliseconds; absent while the service has not said. */
  declare readonly startedAt: number | undefined
  /** An earlier invocation started this attempt and died; the step runs at most once per attempt. */
  declare readonly interrupted: boolean
  constructor(number: number, startedAt: number | undefined, interrupted: boolean) {
    this.number = number
    this.startedAt = startedAt
    this.interrupted = interrupted
  }
}

/** Where the attempts of a step come from. */
export interface Attempts {
  readonly begin: (attempt: Attempt) => Run
}

/** An attempt that is about to run, outside of the body. */
export interface Run {
  readonly effect: Effect.Effect<unknown, unknown, any>
  readonly context: Context.Context<never>
  /** What to record of its exit. Retry schedules and codecs may need time and services. */
  readonly ending: (exit: Exit.Exit<unknown, unknown>) => Ending | Effect.Effect<Ending, Fatal>
}

/** What an attempt of a step, or the body of a context, ends with. */
export type Ending = Pick<Protocol.OperationUpdate, "Action" | "Payload" | "Error" | "StepOptions" | "ContextOptions">

/** How the body of a context ends: what to record of it, and what its parent goes on with. */
export interface Closing {
  readonly ending: Ending
  readonly outcome: Exit.Exit<unknown, unknown>
}

/** Turns a finished record into what the waiting fiber goes on with. */
export type Decode = (
  op: Op,
  record: Protocol.Operation
) => Exit.Exit<unknown, unknown> | Effect.Effect<Exit.Exit<unknown, unknown>, Fatal>

/** A body fiber parked on an operation. */
export class Waiter implements Link<Waiter>, Node<Waiter> {
  declare readonly op: Op
  declare readonly world: World
  /** `created`: the operation exists at the service; `ended`: it has its outcome. */
  declare readonly event: "created" | "ended"
  /** The how-manieth wait for this operation. */
  declare readonly nth: number
  declare readonly seq: number
  declare readonly resume: (effect: Effect.Effect<any, any>) => void
  declare readonly decode: Decode
  parked = true
  before: Waiter | undefined
  after: Waiter | undefined
  child: Waiter | undefined
  next: Waiter | undefined
  /** Another that is parked on the same operation. */
  sibling: Waiter | undefined
  /** When the event happened is known. */
  known = false
  /** Its outcome is at hand (false while a finished context is rebuilt from its children). */
  ready = true
  time = 0
  /** 0: brought about by our own checkpoint, 1: by the outside world. Our own come first in a tie. */
  rank: 0 | 1 = 0

  constructor(
    op: Op,
    event: "created" | "ended",
    nth: number,
    seq: number,
    resume: (effect: Effect.Effect<any, any>) => void,
    decode: Decode
  ) {
    this.op = op
    this.world = op.place.world
    this.event = event
    this.nth = nth
    this.seq = seq
    this.resume = resume
    this.decode = decode
  }
}

/** One entry of the recorded order: this outside completion was delivered here. */
export interface Recorded {
  readonly id: string
  readonly nth: number
  /** When the marker that holds it was written. */
  readonly time: number
}

const TRAIL = 5

/** A root, child context or branch: its own order, clock and random numbers. */
export class World {
  /** For messages: `the workflow`, or `child context "x"`. */
  get title(): string {
    const { op, parent } = this
    if (op === undefined) return "the workflow"
    const { name, subType } = op.spec
    if (subType === "MapIteration" || subType === "ParallelBranch") return `${name} of ${parent?.title}`
    const call = subType === "Map" || subType === "Parallel" ? subType.toLowerCase() : "child context"
    return `${call} "${name}"`
  }
  /** The context, batch or item that it belongs to; none: the execution. */
  declare private readonly op: Op | undefined
  declare readonly parent: World | undefined
  declare readonly place: Place
  /** Its context is finished, and its body runs again only to rebuild the result: nothing new may be recorded. */
  declare readonly rebuilding: boolean
  /** The clock of its body: time of its last delivery. */
  declare time: number
  /** `lost`: interrupted by its parent (a race, a timeout); `ended`: its body has returned. */
  state: "open" | "lost" | "ended" = "open"
  /** Its parent let go of it before it was given its outcome, even if its body had ended by then. */
  abandoned = false
  /** How much cleanup is registered here and in what it holds (operations/cleanup.ts). */
  cleanups = 0
  /** How many of its fibers wait to be told what becomes of a context that they let go of: meanwhile it stands still. */
  holds = 0
  /** Its parent lets go of it, and its cleanup is about to begin: it stands still, and nothing is begun or recorded. */
  frozen = false
  /** The world of the execution; whether any world in it was ever frozen. */
  declare readonly root: World
  freezes = false
  /** How many completions were delivered here. */
  deliveries = 0
  /** After how many of them its parent let go of it, by its record, and it has not happened yet in this invocation. */
  endsAt: number | undefined
  /** Number of fibers parked here. */
  parked = 0
  /** Completions at hand, by who brought them about. */
  own: Heap<Waiter> | undefined
  outside: Heap<Waiter> | undefined
  /** Parked waits whose end only the service will know. */
  unknownOutside = 0
  /** Recorded operations that this invocation's body has not asked for yet. */
  unvisited: Set<string> | undefined
  /** Stands in the core's list of worlds that may have something to deliver. */
  queued = false
  /** The delivery that last allowed fibers of this world to move. */
  movedAt = 0
  /** Nothing new has been delivered to it, and an earlier invocation has begun it, if that is known (core/past.ts). */
  past = false
  /** The operation asked for here last; the last ones, in a ring, once there are more. (Most worlds ask for one.) */
  private last: Op | undefined
  private trail: Array<Op> | undefined
  private asked = 0

  /** Its code has changed, and says so, or that is tolerated: not all of the recorded order need fit. */
  changed = false
  script: Array<Recorded> | undefined
  scriptAt = 0
  markers = 0
  /** Deliveries with a choice that no marker records yet. */
  unrecorded: Array<readonly [id: string, nth: number]> | undefined

  constructor(
    op: Op | undefined,
    path: string,
    id: string | undefined,
    parent: World | undefined,
    time: number,
    rebuilding: boolean
  ) {
    this.op = op
    this.parent = parent
    this.root = parent?.root ?? this
    this.place = new Place(path, id, this)
    this.time = time
    this.rebuilding = rebuilding
  }

  remember(op: Op): void {
    const { asked, last } = this
    if (last !== undefined) (this.trail ??= [last])[asked % TRAIL] = op
    this.last = op
    this.asked++
  }

  /** Its body has ended: services that somebody keeps lead to it, and it leads nowhere any more. */
  forget(): void {
    const { place } = this
    this.last = this.trail = undefined
    this.own = this.outside = undefined
    place.steps = undefined
    place.shared = place.inner = place.bare = place.around = place.above = undefined
  }

  /** The place of a delivery in the order is to be recorded. */
  keep(id: string, nth: number): void {
    this.unrecorded ??= []
    this.unrecorded.push([id, nth])
  }

  /** The last operations asked for here, for messages. */
  lastAsked(): ReadonlyArray<Op> {
    const { asked, last } = this
    const { trail = last === undefined ? [] : [last] } = this
    return [...trail.slice(asked % TRAIL), ...trail.slice(0, asked % TRAIL)]
  }
}

/** Whether it has no record of its own: its operations are recorded beside its parent's. */
export const isPart = ({ parent, place }: World): boolean =>
  parent !== undefined && place.parentId === parent.place.parentId

/** Order of completions: earliest first; in a tie our own before the outside's, then by order of request. */
export function earlier(a: Waiter, b: Waiter): boolean {
  return a.time !== b.time ? a.time < b.time : a.rank !== b.rank ? a.rank < b.rank : a.seq < b.seq
}

/** The first waiter that is still parked; those delivered or interrupted are dropped lazily. */
export const top = (heap: Heap<Waiter> | undefined): Waiter | undefined => {
  let first = heap?.peek()
  while (first !== undefined && !first.parked) {
    heap!.pop()
    first = heap!.peek()
  }
  return first
}

/** One that the outside world has brought about is at hand. */
export const arrives = (waiter: Waiter): void => {
  const { world } = waiter
  world.outside ??= new Heap(earlier)
  world.outside.push(waiter)
}

/** Whether the body has said that this operation came into its code later. */
export const isAdded = ({ place, spec }: { readonly place: Place; readonly spec: Spec }): boolean =>
  place.virtual?.added === true || place.changes?.added.has(spec.name) === true

/** Whether it ends at an instant that only the service knows. */
export const isOutside = (waiter: Waiter): boolean =>
  waiter.event === "ended" && (waiter.op.spec.type === "CALLBACK" || waiter.op.spec.type === "CHAINED_INVOKE")

/**
 * Whether the body of this world has run before up to where it is now: it has recorded operations that it has not
 * asked for again yet, or is finished and only being rebuilt.
 */
export const isReplaying = (world: World): boolean => world.rebuilding || (world.unvisited?.size ?? 0) > 0

/** It, or what it is in. (It is asked for at every turn, and worlds may be nested deep: most invocations freeze none.) */
export const isFrozen = ({ frozen, parent, root }: World): boolean =>
  root.freezes && (frozen || (parent !== undefined && isFrozen(parent)))

/** Whether the operation has its outcome on record. */
export const hasEnded = ({ record }: Op): boolean => record !== undefined && isTerminal(record.Status)

/** Whether the operation is one that the service will bring about: what an invocation may answer PENDING for. */
export const waitsForService = (op: Op): boolean => {
  const { record } = op
  if (record === undefined || isTerminal(record.Status) || record.Type === "CONTEXT") return false
  return record.Type !== "STEP" || record.Status === "PENDING"
}

/** Whether the context is finished, but its value too large for its record: its body runs again to rebuild it. */
export const rebuilds = ({ record }: Op): boolean =>
  record?.Type === "CONTEXT" && record.Status === "SUCCEEDED" && record.ContextDetails?.ReplayChildren === true

/** Whether the body of this context must run: it has no outcome yet, or only its children have one. */
export const mustRun = (op: Op): boolean => !hasEnded(op) || rebuilds(op)
