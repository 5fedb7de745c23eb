/**
 * What all durable operations share: finding the workflow they run in, parking on an outcome, and the services of
 * bodies and steps. What an outcome is on record: core/outcomes.ts.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Scheduler from "effect/Scheduler"
import * as Scope from "effect/Scope"
import { DurableContext } from "../../DurableContext.ts"
import { InvalidOperation } from "../../DurableError.ts"
import type * as Protocol from "../../Protocol.ts"
import { clip, isTerminal, Limits } from "../wire.ts"
import { Serdes } from "../../Serdes.ts"
import { SeededRandom } from "../random.ts"
import type { Core } from "./Core.ts"
import { type Decode, type Op, type Outside, type Place, Spec, type Waiter } from "./world.ts"

/** Interruptible even inside `Effect.uninterruptible`; ends at once in an interrupted fiber. */
export const halt: Effect.Effect<never> = Effect.interruptible(Effect.never)

/** Ends the fiber. Who would interrupt it may be waiting for it in an uninterruptible region. */
export const leave: Effect.Effect<never> = Effect.withFiber((fiber) => {
  fiber.interruptUnsafe()
  return halt
})

/** Where an operation finds itself. */
export class Here {
  declare readonly core: Core
  declare readonly place: Place
  declare readonly fiber: Fiber.Fiber<unknown, unknown>
  constructor(core: Core, place: Place, fiber: Fiber.Fiber<unknown, unknown>) {
    this.core = core
    this.place = place
    this.fiber = fiber
  }
}

/** Runs an operation where it stands, or says why it cannot run there. */
export const withHere = <A, E>(
  call: string,
  name: string,
  f: (here: Here) => Effect.Effect<A, E, any>
): Effect.Effect<A, E, DurableContext> =>
  Effect.withFiber((fiber) => {
    const current = Context.getOrUndefined(fiber.context as Context.Context<DurableContext>, DurableContext)
    if (current === undefined) {
      return Effect.die(
        new InvalidOperation({
          message:
            `Durable.${call}("${name}") was run outside of a workflow. Durable operations work in the body that ` +
            "DurableHandler.make, or TestRunner in a test, runs."
        })
      )
    }
    const { core, inStep, place } = current
    if (inStep) {
      return invalid(
        core,
        `Durable.${call}("${name}") was run inside a step. What a step does is not replayed, so no durable ` +
          "operation can work in it. Move it out of the step, or use Durable.childContext instead of Durable.step."
      )
    }
    const here = new Here(core, place, fiber)
    if (place.world.state === "open" && !core.tornDown) return f(here)
    // The end of its context has let go of the fibers that were parked, and one of those has moved it: it ends as they
    // do. One that is interrupted already is in a finalizer or an uninterruptible region.
    return Effect.flatMap(Effect.exit(Effect.interruptible(Effect.void)), (exit) =>
      Exit.isFailure(exit) ? f(here) : leave
    )
  }) as Effect.Effect<A, E, DurableContext> // what else f needs, its operation declares

/** Ends the execution: the program is wrong, and user code cannot catch it. */
export const invalid = (core: Core, reason: string): Effect.Effect<never> => {
  core.fail(new InvalidOperation({ message: reason }))
  return halt
}

const NOT_IN_NAMES = /[^\x20-\x7E]/u

/** What is wrong with a name, after "the name". */
export const nameFault = (name: string): string | undefined => {
  const isText = typeof name === "string"
  const bad = isText ? NOT_IN_NAMES.exec(name) : null
  if (isText && bad === null && name.length > 0 && name.length <= Limits.nameLength) return undefined
  const shown = isText ? `"${clip(name)}"` : String(name)
  const why = bad === null ? `this one has ${name?.length ?? 0}` : `this one has "${bad[0]}" at ${bad.index + 1}`
  return (
    `${shown} is not usable. The service takes names of 1 to ${Limits.nameLength} printable ASCII characters; ${why}. ` +
    "Of what varies take an id or an index."
  )
}

/** Opens an operation. `undefined`: nothing durable can happen here any more (the caller halts). */
export const open = (
  { core, fiber, place }: Here,
  call: string,
  type: Spec["type"],
  subType: string,
  name: string
): Op | undefined => {
  const spec = new Spec(type, subType, name)
  const fault = nameFault(name)
  const contradiction = place.changes?.fault(spec)
  if (fault !== undefined) void invalid(core, `Durable.${call}: the name ${fault}`)
  else if (contradiction !== undefined) void invalid(core, `Durable.${call}("${name}"): ${contradiction}`)
  else return core.open(place, spec, fiber)
  return undefined
}

/**
 * Parks the fiber until the event is delivered. `onParked` gives what is to be done if it is interrupted instead: an
 * effect, where the fiber may have to wait.
 */
export const park = <A, E>(
  core: Core,
  op: Op,
  event: "created" | "ended",
  decode: Decode,
  onParked?: () => (() => Effect.Effect<void>) | undefined
): Effect.Effect<A, E> =>
  Effect.callback<A, E>((resume) => {
    const waiter = core.park(op, event, resume, decode)
    return unparking(core, waiter, onParked?.())
  })

/** (on its own: it is kept as long as the fiber is parked, and would keep all that is around it) */
const unparking = (core: Core, waiter: Waiter, leave: (() => Effect.Effect<void>) | undefined): Effect.Effect<void> =>
  Effect.suspend(() => {
    core.unpark(waiter)
    return leave?.() ?? Effect.void
  })

// ---- outcomes ----------------------------------------------------------------------------------------

/** Result and error of a finished record, whatever its type. */
export const detailsOf = (
  record: Protocol.Operation
): {
  readonly Result?: string | undefined
  readonly Error?: Protocol.ErrorObject | undefined
} => record.StepDetails ?? record.ContextDetails ?? record.CallbackDetails ?? record.ChainedInvokeDetails ?? {}

/** An outcome that no program of ours brings about: someone stopped, cancelled or timed out the operation itself. */
export const terminated = (op: Op, record: Protocol.Operation): Exit.Exit<never> =>
  Exit.die(
    new Error(
      `${op} ended with status ${record.Status}: ${detailsOf(record).Error?.ErrorMessage ?? "no reason was given"}`
    )
  )

/** Whether the operation has ended by something else than its own success or failure. */
export const isTerminated = (record: Protocol.Operation): boolean =>
  isTerminal(record.Status) && record.Status !== "SUCCEEDED" && record.Status !== "FAILED"

// ---- services --------------------------------------------------------------------------------------------

/** What a step sees in place of the body's clock, scheduler and random numbers. */
export const outsideOf = (context: Context.Context<never>): Context.Context<never> =>
  Context.empty().pipe(
    Context.add(Scheduler.Scheduler, Context.get(context, Scheduler.Scheduler)),
    Context.add(Clock.Clock, Context.get(context, Clock.Clock)),
    Context.add(Random.Random, Context.get(context, Random.Random))
  )

/**
 * The services of the steps that a body fiber with these services asks for. Kept at its place: merging is what a
 * step costs most, so a body that has no services of its own has what the body around it has merged.
 */
export const outsideAt = ({ core, fiber, place }: Here): Outside => outsideIn(core, place, fiber.context)

/** The same for what is no step, such as a codec: it knows where it stands. (A step does by its attempt.) */
export const stepContext = (here: Here): Context.Context<never> =>
  standingIn(here.core, here.place, outsideAt(here).context)

export const standingIn = (core: Core, place: Place, context: Context.Context<never>): Context.Context<never> =>
  Context.addUnsafe(context, DurableContext.key, new Standing(core, place, true))

/**
 * Runs outside of the body, with these services: all there are, so nothing of the fiber's own is merged with them.
 * (Merging would take longer than what a codec does.)
 */
export const within = <A, E>(effect: Effect.Effect<A, E, any>, context: Context.Context<never>): Effect.Effect<A, E> =>
  Effect.updateContext(effect, () => context as Context.Context<any>)

/** Where a fiber stands. */
class Standing {
  declare readonly core: Core
  declare readonly place: Place
  declare readonly inStep: boolean
  constructor(core: Core, place: Place, inStep: boolean) {
    this.core = core
    this.place = place
    this.inStep = inStep
  }
}

/** The services of steps, and of which body fiber they were made. */
class OutsideOf implements Outside {
  declare readonly of: Context.Context<never>
  declare readonly context: Context.Context<never>
  declare readonly transforms: boolean
  constructor(of: Context.Context<never>, context: Context.Context<never>, transforms: boolean) {
    this.of = of
    this.context = context
    this.transforms = transforms
  }
}

const outsideIn = (core: Core, place: Place, of: Context.Context<never>): Outside => {
  if (place.steps?.of === of) return place.steps
  const { above, around } = place
  if (place.inner === of && above !== undefined) {
    const { context, transforms } = outsideIn(core, above, around!)
    return (place.steps = new OutsideOf(of, context, transforms))
  }
  // the workflow's own body: what was around it has the services of steps
  const inStep = new Standing(core, place, true)
  const context =
    place.inner === of ? Context.addUnsafe(around!, DurableContext.key, inStep) : mergeOutside(core, of, inStep)
  return (place.steps = new OutsideOf(of, context, Context.get(of, Serdes) !== undefined))
}

const mergeOutside = (core: Core, context: Context.Context<never>, inStep: DurableContext["Service"]) => {
  const services = new Map(context.mapUnsafe)
  for (const [key, service] of core.host.outside.mapUnsafe) services.set(key, service)
  services.set(DurableContext.key, inStep)
  return Context.makeUnsafe<never>(services)
}

/** The services of a body that stands at `place`; `around` is where the fiber with these services stands. */
export const bodyContext = (
  context: Context.Context<never>,
  core: Core,
  place: Place,
  around: Place | undefined,
  scope: Scope.Scope
): Context.Context<DurableContext> => {
  const shared = around?.shared === context ? context : withBodyServices(context, core)
  if (around !== undefined && shared === context) around.shared = context
  // without what the body around has of its own, and flat: what is added to a context makes all that follow it slower
  const bare =
    around === undefined
      ? Context.makeUnsafe<never>(new Map(shared.mapUnsafe))
      : around.inner === context
        ? around.bare!
        : shared
  const scoped = Context.addUnsafe(bare, Scope.Scope.key, scope)
  const inner = Context.addUnsafe(scoped, DurableContext.key, new Standing(core, place, false))
  place.around = context
  place.above = around
  place.bare = bare
  place.inner = inner
  place.shared = inner
  return inner
}

/** What all bodies of an execution have in common, where it is not there, or was replaced. */
const withBodyServices = (context: Context.Context<never>, core: Core): Context.Context<never> => {
  const own = (core.services ??= new BodyServices(core))
  const give = (given: Context.Context<never>, tag: Context.Reference<any>, service: object): Context.Context<never> =>
    Context.get(given, tag) === service ? given : Context.addUnsafe(given, tag.key, service)
  return give(give(give(context, Scheduler.Scheduler, core.scheduler), Clock.Clock, own), Random.Random, own)
}

/**
 * What the scope of every body and attempt begins as. To make each takes as long as all the rest of an attempt, so they
 * inherit from this one: what Effect registers in a scope, or closes it with, it assigns to `state`, which is then their own.
 */
const NEW_SCOPE = /*#__PURE__*/ Scope.makeUnsafe()
export const newScope = (): Scope.Closeable => Object.create(NEW_SCOPE) as Scope.Closeable

/** What begins with a scope, which closes when it ends. (As `Effect.scoped`, which gives a fiber that runs another context.) */
export const closing = <A, E, R>(effect: Effect.Effect<A, E, R>, scope: Scope.Closeable): Effect.Effect<A, E, R> =>
  Effect.onExitPrimitive(effect, (exit) => Scope.closeUnsafe(scope, exit))

/** A body that has ended when its scope is closed, and what was registered at its place is done, too. */
export const ending = <A, E, R>(
  place: Place,
  body: Effect.Effect<A, E, R>,
  scope: Scope.Closeable
): Effect.Effect<A, E, R> =>
  Effect.onExitPrimitive(body, (exit) => {
    const closing = Scope.closeUnsafe(scope, exit)
    if (closing === undefined) return ended(place, exit)
    return Effect.onExitPrimitive(closing, (closed) => ended(place, Exit.isSuccess(closed) ? exit : closed))
  })

const ended = (place: Place, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> | undefined => {
  place.exit = exit
  // it may fail, but with defects where the body's type knows of no failure
  return place.atEnd?.(exit) as Effect.Effect<void> | undefined
}

const nanosOf = (millis: number) => BigInt(millis) * BigInt(1_000_000)

/** Where the fiber that runs stands. */
const currentPlace = (core: Core): Place => {
  const fiber = Fiber.getCurrent()
  const here = fiber && Context.getOrUndefined(fiber.context as Context.Context<DurableContext>, DurableContext)
  return here?.core === core ? here.place : core.root.place
}

/**
 * Clock and random numbers of all bodies. The clock stands still between the deliveries to a world, and its sleep is
 * a durable wait, but for finalizers of what was let go of, whose time is nobody's; each place has a row of numbers of its own.
 */
class BodyServices implements Clock.Clock, Random.Random {
  declare private readonly core: Core

  constructor(core: Core) {
    this.core = core
  }
  currentTimeMillisUnsafe(): number {
    return Math.trunc(currentPlace(this.core).world.time)
  }
  currentTimeNanosUnsafe(): bigint {
    return nanosOf(this.currentTimeMillisUnsafe())
  }
  monotonicTimeNanosUnsafe(): bigint {
    return this.currentTimeNanosUnsafe()
  }
  get currentTimeMillis(): Effect.Effect<number> {
    return Effect.sync(() => this.currentTimeMillisUnsafe())
  }
  get currentTimeNanos(): Effect.Effect<bigint> {
    return Effect.sync(() => this.currentTimeNanosUnsafe())
  }
  get monotonicTimeNanos(): Effect.Effect<bigint> {
    return this.currentTimeNanos
  }
  sleep(duration: Duration.Duration): Effect.Effect<void> {
    return Duration.toMillis(duration) <= 0
      ? Effect.yieldNow // records nothing, so retry({ times }) costs nothing extra
      : Duration.isFinite(duration)
        ? Effect.suspend(() => {
            const { core } = this
            if (core.disposed) return halt
            if (core.closed || currentPlace(core).world.state === "lost") return core.host.clock.sleep(duration)
            // the fibers that see this clock have a DurableContext
            return withHere("sleep", "sleep", (here) =>
              waitHere(here, "sleep", "sleep", duration)
            ) as Effect.Effect<void>
          })
        : halt
  }
  private numbers(): Random.Random {
    const place = currentPlace(this.core)
    return (place.random ??= new SeededRandom(() => `${this.core.executionArn}#${place.path}`))
  }
  nextDoubleUnsafe(): number {
    return this.numbers().nextDoubleUnsafe()
  }
  nextIntUnsafe(): number {
    return this.numbers().nextIntUnsafe()
  }
}

/** What was read last: what stands in a loop, or in every item of a map, reads the same text each time. */
let lastInput: Duration.Input | undefined
let lastRead: Duration.Duration | undefined

/** Reads a duration; nothing for what is none, and for NaN, of which Duration makes a zero. */
export const readDuration = (input: Duration.Input): Duration.Duration | undefined => {
  if (typeof input === "string" && input === lastInput) return lastRead
  lastInput = input
  return (lastRead = Number.isNaN(input)
    ? undefined
    : Result.getOrUndefined(Result.try(() => Duration.fromInputUnsafe(input))))
}

/** A durable wait. A fraction of a second rounds up. `secondsLeft`: what to ask the service for then, which is not more. */
export const waitHere = (
  here: Here,
  call: string,
  name: string,
  duration: Duration.Duration,
  secondsLeft?: () => number
): Effect.Effect<void> => {
  const seconds = Math.ceil(Duration.toMillis(duration) / 1000)
  if (!(seconds >= 1 && seconds <= Limits.durationSeconds)) {
    return invalid(
      here.core,
      `Durable.${call}("${name}"): the service waits 1 second to 366 days (${Limits.durationSeconds} seconds), not ` +
        `${Duration.toMillis(duration)} ms. ` +
        (seconds > 0 ? "Split it into several." : "Leave the wait out when there is nothing to wait for.")
    )
  }
  const op = open(here, call, "WAIT", "Wait", name)
  if (op === undefined) return halt
  op.start =
    secondsLeft === undefined
      ? startOfWait(seconds)
      : Effect.sync(() => startOfWait(Math.min(Math.max(secondsLeft(), 1), seconds)))
  return park<void, never>(here.core, op, "ended", endOfWait)
}

const startOfWait = (WaitSeconds: number) => ({ WaitOptions: { WaitSeconds } })

/** A cancelled wait has ended like any other. */
const endOfWait: Decode = (op, record) =>
  isTerminated(record) && record.Status !== "CANCELLED" ? terminated(op, record) : Exit.void
