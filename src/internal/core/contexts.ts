/**
 * What all contexts share: how their bodies run, and how they are closed. A body is a task of its own, so that deep
 * nesting does not deepen the stack, and nobody's child fiber: who lets go of it does not wait for it.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { DurableContext } from "../../DurableContext.ts"
import { type Fatal, NonDeterministic, SerdesFailed } from "../../DurableError.ts"
import type * as Protocol from "../../Protocol.ts"
import { doneOf, plainJsonFault, unlayered } from "../../Serdes.ts"
import * as failures from "../failure.ts"
import { logDefects } from "../warn.ts"
import { Limits } from "../wire.ts"
import { whenEnded } from "../whenEnded.ts"
import type { Task } from "./BodyScheduler.ts"
import type { Link } from "./chain.ts"
import type { Core } from "./Core.ts"
import { bodyContext, ending, type Here, newScope, outsideAt, stepContext, terminated, within } from "./operation.ts"
import { decodeNow, encodeNow, type OutcomeCodec, succeeded, transform, transformError } from "./outcomes.ts"
import { type Closing, type Decode, type Ending, isReplaying, type Op, type Place, type World } from "./world.ts"
import * as Worlds from "./worlds.ts"

type AnyEffect = Effect.Effect<unknown, unknown, any>

// ---- running -------------------------------------------------------------------------------------------

/** Called when a body has ended by itself, with what it belongs to. */
export type Ended<Of> = (exit: Exit.Exit<unknown, unknown>, world: World, of: Of) => void

/** A body that runs, and before that the task of beginning it. A class: there may be ten thousand at a time. */
export class Running implements Link<Running>, Task {
  readonly priority = 0
  declare readonly world: World
  declare private readonly core: Core
  declare private readonly place: Place
  /** Of the fiber that has asked for it. */
  declare private readonly context: Context.Context<never>
  /** What it is a body of, if that has a record. */
  declare private readonly op: Op | undefined
  declare private body: AnyEffect | undefined
  declare private readonly ended: Ended<any> // any: it knows what it is called with
  declare private readonly of: unknown
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  before: Running | undefined
  after: Running | undefined
  private interrupted: ReadonlyArray<() => void> | undefined

  constructor(
    { core, fiber, place }: Here,
    op: Op | undefined,
    world: World,
    body: AnyEffect,
    ended: Ended<any>, // any: as above
    of: unknown
  ) {
    this.core = core
    this.place = place
    this.context = fiber.context as Context.Context<never>
    this.op = op
    this.world = world
    this.body = body
    this.ended = ended
    this.of = of
  }
  /** It begins. Observers are told of those that have a record. */
  run(): void {
    const { context, core, op, place, world } = this
    if (core.closed || world.state !== "open") return
    const scope = newScope()
    const whole = ending(world.place, this.body!, scope)
    this.body = undefined
    const observed = (op === undefined ? op : core.host.observer?.context(op, isReplaying(world), whole)) ?? whole
    const services = bodyContext(context, core, world.place, place, scope)
    const fiber = Effect.runForkWith(services)(observed as Effect.Effect<unknown, unknown, DurableContext>)
    this.fiber = fiber
    core.bodies.add(this)
    whenEnded(fiber, (exit) => this.end(exit))
  }
  private end(exit: Exit.Exit<unknown, unknown>): void {
    const { core, world } = this
    core.bodies.delete(this)
    if (this.interrupted !== undefined) {
      Worlds.of(core).end(world)
      for (const done of this.interrupted) done()
    } else if ((world.rebuilding && Exit.isFailure(exit)) || core.complete(world, exit)) {
      this.ended(exit, world, this.of) // (a rebuilt body that fails says more than what it has not asked for)
    }
    if (world.parked > 0) core.release(world) // fibers that would outlive it
    world.forget()
  }
  /** Its parent lets go of it: nothing of it goes on record any more. */
  lose(): void {
    Worlds.of(this.core).lose(this.world)
    this.fiber?.interruptUnsafe()
    this.core.release(this.world)
  }
  /** Its parent lets go of it, but its cleanup is done. `done` is called when it has ended by that. */
  interrupt(done: () => void): void {
    const { interrupted } = this
    this.interrupted = interrupted === undefined ? [done] : [...interrupted, done]
    if (interrupted === undefined) this.fiber?.interruptUnsafe()
  }
  /** That has happened before. */
  get isInterrupted(): boolean {
    return this.interrupted !== undefined
  }
}

/** Runs the body of a context in its world. */
export const start = <Of>(
  here: Here,
  op: Op | undefined,
  world: World,
  body: AnyEffect,
  ended: Ended<Of>,
  of: Of
): Running => {
  const running = new Running(here, op, world, body, ended, of)
  here.core.scheduler.schedule(running)
  return running
}

// ---- closing -------------------------------------------------------------------------------------------

/** How a context writes and reads its value and its failures. */
export interface ContextCodec extends OutcomeCodec {
  /** What the console shows in place of a value that is too large to record. */
  readonly summary?: ((value: any) => string) | undefined // any: the value's type belongs to the operation
  /** There is no record of this context: it is a part of its batch, and runs again whenever that does. */
  readonly unrecorded?: boolean
}

// (classes, because an execution keeps one of each for every item: V8 puts such literals among its old objects)

/** What a value, or a failure, is on record, before the `Serdes` layer. */
export class Plain {
  declare readonly text: string | undefined
  declare readonly error: Protocol.ErrorObject | undefined
  constructor(text: string | undefined, error?: Protocol.ErrorObject) {
    this.text = text
    this.error = error
  }
}

/** The outcome of a context, and what it is on record; `undefined`: it takes the body to make it. */
export class Read {
  declare readonly outcome: Exit.Exit<unknown, unknown>
  declare plain: Plain | undefined
  constructor(outcome: Exit.Exit<unknown, unknown>, plain: Plain | undefined) {
    this.outcome = outcome
    this.plain = plain
  }
}

/** How a context ends. */
export class ContextClosing extends Read implements Closing {
  declare readonly ending: Ending
  constructor(ending: Ending, outcome: Exit.Exit<unknown, unknown>, plain: Plain | undefined) {
    super(outcome, plain)
    this.ending = ending
  }
}

/** What to record of a body that has ended, and what its parent goes on with: the same as on replay. */
export const close = (
  here: Here,
  op: Op,
  exit: Exit.Exit<unknown, unknown>,
  codec: ContextCodec
): ContextClosing | Effect.Effect<ContextClosing, Fatal> =>
  closeNow(op, transforms(here), exit, codec) ?? outside(here, closeAny(here.core, op, exit, codec))

/** Codecs work outside of the body: they get the layer's services and the real clock, and may take time. */
export const outside = <A, E>(here: Here, effect: Effect.Effect<A, E, any>): Effect.Effect<A, E> =>
  within(effect, stepContext(here))

/** The common case, a small value whose codec needs no effect, at once. */
const closeNow = (
  op: Op,
  transforms: boolean,
  exit: Exit.Exit<unknown, unknown>,
  codec: ContextCodec
): ContextClosing | undefined => {
  if (Exit.isFailure(exit) || transforms) return undefined
  const encoded = doneOf(encodeNow(op, codec, exit.value))
  const { written } = op
  op.written = undefined
  if (encoded === undefined || Exit.isFailure(encoded)) return undefined
  const text = encoded.value
  if (text !== undefined && (text.length > Limits.inlineResultBytes / 4 || unlayered(text) !== undefined))
    return undefined
  const outcome = written === undefined ? doneOf(decodeNow(op, codec, text)) : Exit.succeed(written.value)
  if (outcome === undefined || Exit.isFailure(outcome)) return undefined
  return new ContextClosing(succeeded(text), outcome, new Plain(text))
}

const closeAny = /*#__PURE__*/ Effect.fnUntraced(function* (
  core: Core,
  op: Op,
  exit: Exit.Exit<unknown, unknown>,
  codec: ContextCodec
): Effect.fn.Return<ContextClosing, Fatal, any> {
  if (Exit.isFailure(exit)) {
    yield* logDefects(op, exit.cause)
    if (op.record?.Status === "SUCCEEDED") return yield* notRebuilt(op)
    const error = yield* failures.encodeFailure(exit.cause, codec.failure, op)
    const recorded = codec.unrecorded === true ? error : yield* transformError("encode", core, op, error)
    const ending: Ending = { Action: "FAIL", ...(recorded === undefined ? undefined : { Error: recorded }) }
    const outcome = yield* failures.decodeFailure(error, codec.failure, op)
    return new ContextClosing(ending, outcome, new Plain(undefined, error))
  }
  // no codec: the value is what the body gives when it runs again over its recorded operations
  if (codec.success === undefined && plainJsonFault(exit.value) !== undefined) {
    return new ContextClosing(yield* rebuilt(op, codec, exit.value), exit, undefined)
  }
  const text = yield* encodeNow(op, codec, exit.value)
  const outcome = Exit.succeed(yield* decodeNow(op, codec, text))
  if (codec.unrecorded === true) return new ContextClosing(succeeded(text), outcome, new Plain(text))
  const payload = yield* transform("encode", core, op, text)
  const large = payload !== undefined && Buffer.byteLength(payload) > Limits.inlineResultBytes
  return large
    ? new ContextClosing(yield* rebuilt(op, codec, exit.value), outcome, undefined)
    : new ContextClosing(succeeded(payload), outcome, new Plain(text))
})

/** What a finished context gave, from its record. */
export const read = (
  here: Here,
  op: Op,
  record: Protocol.Operation,
  codec: ContextCodec
): Read | Effect.Effect<Read, Fatal> => {
  const { Result: payload } = record.ContextDetails ?? {}
  if (record.Status === "SUCCEEDED" && !transforms(here) && unlayered(payload) === undefined) {
    const outcome = doneOf(decodeNow(op, codec, payload))
    if (outcome !== undefined && Exit.isSuccess(outcome)) return new Read(outcome, new Plain(payload))
  }
  return outside(here, readSlowly(here.core, op, record, codec))
}

const readSlowly = /*#__PURE__*/ Effect.fnUntraced(function* (
  core: Core,
  op: Op,
  record: Protocol.Operation,
  codec: ContextCodec
): Effect.fn.Return<Read, Fatal, any> {
  const { Error: error, Result: payload } = record.ContextDetails ?? {}
  const { Status: status } = record
  if (status === "SUCCEEDED") {
    const text = yield* transform("decode", core, op, payload)
    return new Read(Exit.succeed(yield* decodeNow(op, codec, text)), new Plain(text))
  }
  if (status === "FAILED") {
    const read = yield* transformError("decode", core, op, error)
    return new Read(yield* failures.decodeFailure(read, codec.failure, op), new Plain(undefined, read))
  }
  const outcome = terminated(op, record)
  const written = Exit.isFailure(outcome) ? yield* failures.encodeFailure(outcome.cause, codec.failure, op) : undefined
  return new Read(outcome, new Plain(undefined, written))
})

/** A decoder of finished contexts, for the core. */
export const decoder =
  (here: Here, codec: ContextCodec): Decode =>
  (op, record) => {
    const known = read(here, op, record, codec)
    return known instanceof Read ? known.outcome : Effect.map(known, ({ outcome }) => outcome)
  }

/** Whether a `Serdes` layer has a word in what is recorded. */
export const transforms = (here: Here): boolean => outsideAt(here).transforms

/** What to record of a value that is rebuilt on replay. */
const rebuilt = (op: Op, { summary }: ContextCodec, value: unknown): Effect.Effect<Ending, SerdesFailed> =>
  Effect.map(summarise(op, summary, value), (text) => ({
    Action: "SUCCEED",
    Payload: text ?? "",
    ContextOptions: { ReplayChildren: true }
  }))

/** The user's own words for a value that is not recorded. */
export const summarise = (
  op: Op,
  summary: ((value: any) => string) | undefined, // any: the value's type belongs to the operation
  value: unknown
): Effect.Effect<string | undefined, SerdesFailed> =>
  Effect.try({
    try: () => summary?.(value),
    catch: (error) =>
      new SerdesFailed({
        operation: op.toString(),
        action: "encode",
        reason: `its \`summary\` threw: ${String(error)}`
      })
  })

/** A finished context whose body does not give again what is on record. */
export const notRebuilt = (op: Op) =>
  new NonDeterministic({
    message:
      `Non-deterministic: ${op} is recorded as succeeded, but its body fails when it runs again over its recorded ` +
      "operations. The code was changed under a running execution, or is not deterministic."
  })
