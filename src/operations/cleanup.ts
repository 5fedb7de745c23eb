/**
 * Durable cleanup: what a part of a workflow leaves to do for when it has truly ended. Ordinary finalizers run at every
 * suspension; these run once, as operations on record, at the end of the scope that they were registered in.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { DurableContext } from "../DurableContext.ts"
import { ChildContextFailed } from "../DurableError.ts"
import { type Here, invalid, nameFault, withHere } from "../internal/core/operation.ts"
import type { Place, World } from "../internal/core/world.ts"
import * as failures from "../internal/failure.ts"
import { contextHere } from "./childContext.ts"

type AnyExit = Exit.Exit<unknown, unknown>
type AnyEffect = Effect.Effect<unknown, unknown, any>

// ---- the scopes ----------------------------------------------------------------------------------------

/** What to do at the end of a scope. It is not on record: a replay registers it again. */
interface Registration {
  readonly call: string
  readonly name: string
  /** Runs only if its scope does not succeed, or the fiber that registered it has not. */
  readonly compensates: boolean
  readonly run: (exit: AnyExit) => AnyEffect
  readonly fiber: Fiber.Fiber<unknown, unknown>
  /** The services of where it was registered. */
  readonly context: Context.Context<never>
}

/** The body of an execution or a context, or an effect in it. */
interface Scope {
  readonly registered: Array<Registration>
  /** How it has ended. */
  exit: AnyExit | undefined
}

const SUB_TYPES: Readonly<Record<string, string>> = {
  addFinalizer: "Finalizer",
  withCompensation: "Compensation",
  acquireRelease: "Release"
}

const makeScope = (): Scope => ({ registered: [], exit: undefined })

/** The scopes of bodies that have registered something. */
const scopes = new WeakMap<Place, Scope>()

/** The nearest scope around an operation. */
const scopeOf = ({ core, fiber, place }: Here): Scope => {
  const { scope } = Context.get(fiber.context as Context.Context<DurableContext>, DurableContext)
  if (scope !== undefined) return scope as Scope
  const known = scopes.get(place)
  if (known !== undefined) return known
  const made = makeScope()
  if (place.exit !== undefined) made.exit = withoutFibers(place.exit)
  scopes.set(place, made)
  place.atEnd = (exit) => Effect.withFiber((fiber) => close({ core, place, fiber }, made, exit))
  return made
}

/** Which fibers were interrupted by which others differs from run to run. */
const withoutFibers = (exit: AnyExit): AnyExit => {
  if (Exit.isSuccess(exit)) return exit
  const { reasons } = exit.cause
  const others = reasons.filter((reason) => reason._tag !== "Interrupt")
  return Exit.failCause(
    Cause.fromReasons(others.length === reasons.length ? others : [...others, ...Cause.interrupt().reasons])
  )
}

/** Runs what was registered, the last one first. Each runs whatever becomes of the others. */
const close = /*#__PURE__*/ Effect.fnUntraced(function* (
  here: Here,
  scope: Scope,
  exit: AnyExit
): Effect.fn.Return<void, ChildContextFailed> {
  const { place } = here
  const ended = withoutFibers(exit)
  scope.exit = ended
  const failed: Array<ChildContextFailed> = []
  for (let next = scope.registered.pop(); next !== undefined; next = scope.registered.pop()) {
    if (isGone(here)) return
    const failure = yield* clean(here, next, ended)
    if (isGone(here)) return
    count(place, -1)
    if (failure !== undefined) failed.push(failure)
  }
  if (failed.length === 0) return
  // beside a failure of the scope itself, which is the first, they are failures; the types know of no other
  const typed = Exit.isFailure(ended) && !Cause.hasDies(ended.cause) && Cause.hasFails(ended.cause)
  return yield* Effect.failCause(
    Cause.fromReasons(failed.map((error) => (typed ? Cause.makeFailReason(error) : Cause.makeDieReason(error))))
  )
})

/** Suspended, not ended; or lost, and by its parent's record there is nothing more to do. */
const isGone = ({ core, place }: Here): boolean => core.closed || place.world.state === "lost"

/** Does what was registered, if it is for this end. Gives what has failed. */
const clean = /*#__PURE__*/ Effect.fnUntraced(function* (
  here: Here,
  registration: Registration,
  exit: AnyExit
): Effect.fn.Return<ChildContextFailed | undefined> {
  const end = endOf(registration, exit)
  if (end === undefined) return undefined
  const done = yield* Effect.exit(Effect.provideContext(runOne(here, registration, end), registration.context))
  if (Exit.isSuccess(done) || isGone(here)) return undefined
  const failure = failureOf(registration, done.cause)
  yield* Effect.logError(`${failure.message}. What it should have undone or released may need a look.`, done.cause)
  return failure
})

/** Its context, and those around it, cannot be lost without cleanup. */
const count = ({ world }: Place, n: 1 | -1): void => {
  for (let at: World | undefined = world; at !== undefined; at = at.parent) at.cleanups += n
}

/** The end that a registration is for; none: it has nothing to do. */
const endOf = ({ compensates, fiber }: Registration, exit: AnyExit): AnyExit | undefined => {
  if (!compensates || Exit.isFailure(exit)) return exit
  const own = fiber.pollUnsafe()
  return own === undefined || Exit.isSuccess(own) ? undefined : withoutFibers(own)
}

const runOne = (
  { core, place }: Here,
  { call, name, run }: Registration,
  exit: AnyExit
): Effect.Effect<unknown, unknown> =>
  Effect.withFiber((fiber) =>
    contextHere({ core, place, fiber }, call, name, Effect.scoped(Effect.asVoid(Effect.suspend(() => run(exit)))), {
      subType: SUB_TYPES[call]!
    })
  )

const failureOf = ({ call, name }: Registration, cause: Cause.Cause<unknown>): ChildContextFailed => {
  const reason = failures.reasonOf(cause)
  const failure =
    reason === undefined
      ? { _tag: "Interrupted", message: "it interrupted itself" }
      : reason._tag === "Fail"
        ? reason.error
        : reason.defect
  const { message, type } =
    failure instanceof ChildContextFailed && failure.operation === name
      ? failure
      : { type: failures.typeOf(failure), message: failures.messageOf(failure) }
  return new ChildContextFailed({ operation: name, type, message: `Durable.${call}("${name}") has failed: ${message}` })
}

const registrationOf = ({ fiber }: Here, call: string, name: string, run: Registration["run"]): Registration => ({
  call,
  name,
  compensates: call === "withCompensation",
  run,
  fiber,
  context: fiber.context
})

const register = (here: Here, registration: Registration): Effect.Effect<void> => {
  const scope = scopeOf(here)
  const { exit } = scope
  if (exit === undefined || scope.registered.length > 0) {
    scope.registered.push(registration)
    count(here.place, 1)
    return Effect.void
  }
  // in a fiber that outlives the scope, as with Effect's own: at once
  count(here.place, 1)
  return Effect.flatMap(clean(here, registration, exit), (failure) => {
    count(here.place, -1)
    return failure === undefined ? Effect.void : Effect.die(failure)
  })
}

/** Looks at the name, and at the place, before anything is done that would have to be undone. */
const withName = (call: string, name: string, f: (here: Here) => AnyEffect) =>
  withHere(call, name, (here) => {
    const fault = nameFault(name)
    if (fault !== undefined) return invalid(here.core, `Durable.${call}: the name ${fault}`)
    for (let { world } = here.place; world.parent !== undefined; world = world.parent) {
      if (world.place.parentId !== world.parent.place.parentId) continue
      return invalid(
        here.core,
        `Durable.${call}("${name}") was reached in ${world.title}, which is flat: it has no record of its own, so after a ` +
          'crash nobody could tell whether it was interrupted before or after this. Leave `nesting: "flat"` out.'
      )
    }
    return f(here)
  })

// ---- what is registered --------------------------------------------------------------------------------

/**
 * Registers what is to be done when the nearest scope ends, however that ends: as an operation on record, once, and
 * not at a suspension.
 *
 * **Details**
 *
 * Scopes are the body of the execution, of a child context (virtual ones, too), of a branch or item, and
 * `Durable.scoped`. What was registered runs in reverse order, one after the other, before the scope's own outcome
 * goes on record. The finalizer is given the exit of the scope, the same in every replay; interruptions in it name no
 * fibers. It is a child context of this name: it may use every durable operation, wait, suspend and go on in another
 * invocation, and a finished one does not run again. Its effects happen at least once, so they should be idempotent.
 *
 * A finalizer may fail with anything; the others still run. What a step or context in it failed with is on record and
 * logged. If its scope has failed, that failure stays the first one, and the finalizer's follows in the cause as
 * `ChildContextFailed`; if its scope has succeeded, that becomes a defect with this error.
 *
 * A context that its parent lets go of (it lost a race, timed out, a sibling failed) does its cleanup, and the parent
 * waits for it. Below a flat item of a batch there is none (`InvalidOperation`). After a stop or a timeout of the
 * execution nothing can run, finalizers neither.
 *
 * Registering neither suspends nor records. Billed when it runs: one operation, plus those inside; two more for a
 * context that is let go of.
 *
 * **Example** (A machine that must not go on running)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * declare const stop: (id: string) => Effect.Effect<void>
 *
 * const program = Effect.gen(function*() {
 *   yield* Durable.addFinalizer("stop-machine", () => Durable.step("stop", stop("m-1")))
 *   yield* Durable.wait("let-it-work", "1 hour")
 * })
 * ```
 */
export const addFinalizer = <R>(
  name: string,
  finalizer: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<unknown, unknown, R>
): Effect.Effect<void, never, DurableContext | R> =>
  withName("addFinalizer", name, (here) =>
    register(here, registrationOf(here, "addFinalizer", name, finalizer))
  ) as Effect.Effect<void, never, DurableContext | R> // nothing in it fails

/**
 * Registers how to undo an effect that has succeeded, for the case that the nearest scope does not succeed: it fails,
 * dies or is interrupted.
 *
 * **Details**
 *
 * Runs and is recorded as a finalizer is (`Durable.addFinalizer`), with the value and the cause of the scope's
 * failure. An effect that fails has nothing to undo, and one that is interrupted before its value is known cannot be
 * undone by it: what must not be left in between is acquired by `Durable.acquireRelease`.
 *
 * In a fiber of its own (a race, a fork, `Effect.all`) it belongs to the scope around, like everything else there. If
 * that fiber fails or is interrupted and the scope succeeds all the same, the compensation runs at the end of the scope.
 * For it to run before a race gives its result, put the racing effect into `Durable.scoped`, or a context.
 *
 * **Example** (Money back if the rest fails)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * declare const charge: Effect.Effect<{ readonly id: string }>
 * declare const refund: (id: string) => Effect.Effect<void>
 * declare const ship: Effect.Effect<string, Error>
 *
 * const program = Durable.step("charge", charge).pipe(
 *   Durable.withCompensation("refund", ({ id }) => Durable.step("refund", refund(id))),
 *   Effect.andThen(Durable.step("ship", ship))
 * )
 * ```
 */
export const withCompensation: {
  <A, R2>(
    name: string,
    compensation: (value: NoInfer<A>, cause: Cause.Cause<unknown>) => Effect.Effect<unknown, unknown, R2>
  ): <E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, DurableContext | R | R2>
  <A, E, R, R2>(
    self: Effect.Effect<A, E, R>,
    name: string,
    compensation: (value: NoInfer<A>, cause: Cause.Cause<unknown>) => Effect.Effect<unknown, unknown, R2>
  ): Effect.Effect<A, E, DurableContext | R | R2>
} = ((...args: ReadonlyArray<any>) =>
  // the overloads say what the arguments are
  Effect.isEffect(args[0])
    ? compensated(args[0] as AnyEffect, args[1] as string, args[2] as Undo)
    : (self: AnyEffect) => compensated(self, args[0] as string, args[1] as Undo)) as any // typed by the overloads

type Undo = (value: unknown, cause: Cause.Cause<unknown>) => AnyEffect

const compensated = (self: AnyEffect, name: string, compensation: Undo) =>
  withName("withCompensation", name, (here) => {
    const undo = (value: unknown) => (exit: AnyExit) =>
      compensation(value, (exit as Exit.Failure<unknown, unknown>).cause) // it runs for failures only
    return Effect.uninterruptibleMask((restore) =>
      Effect.tap(restore(self), (value) => register(here, registrationOf(here, "withCompensation", name, undo(value))))
    )
  })

/**
 * Acquires something and registers how to release it when the nearest scope ends, however that ends.
 *
 * **Details**
 *
 * The acquisition is uninterruptible, waits and all: a race that it loses goes on when it is done and released. If it
 * fails there is nothing to release. The release runs and is recorded as a finalizer is (`Durable.addFinalizer`), with
 * the value and the exit of the scope.
 *
 * **Example** (A machine for an hour)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * declare const launch: Effect.Effect<{ readonly id: string }>
 * declare const terminate: (id: string) => Effect.Effect<void>
 *
 * const program = Effect.gen(function*() {
 *   const machine = yield* Durable.acquireRelease(
 *     "machine",
 *     Durable.step("launch", launch),
 *     ({ id }) => Durable.step("terminate", terminate(id))
 *   )
 *   yield* Durable.wait("let-it-work", "1 hour")
 *   return machine.id
 * }).pipe(Durable.scoped)
 * ```
 */
export const acquireRelease = <A, E, R, R2>(
  name: string,
  acquire: Effect.Effect<A, E, R>,
  release: (value: NoInfer<A>, exit: Exit.Exit<unknown, unknown>) => Effect.Effect<unknown, unknown, R2>
): Effect.Effect<A, E, DurableContext | R | R2> =>
  withName("acquireRelease", name, (here) => {
    const run = (value: A) => registrationOf(here, "acquireRelease", name, (exit) => release(value, exit))
    count(here.place, 1) // what is being acquired cannot be lost either
    return Effect.uninterruptible(
      Effect.tap(acquire as Effect.Effect<A, unknown, any>, (value) => register(here, run(value))).pipe(
        Effect.ensuring(Effect.sync(() => count(here.place, -1)))
      )
    )
  }) as Effect.Effect<A, E, DurableContext | R | R2> // it gives what `acquire` gives

/**
 * A scope for durable cleanup around an effect: what the effect registers is done when it ends, by success, failure or
 * interruption, and not only when the context around it does.
 *
 * **Details**
 *
 * An effect that loses a race or runs into a timeout has cleaned up before the race or timeout gives its result. Records
 * nothing itself. Names inside are those outside: two scopes may use the same.
 *
 * **Example** (A hold that does not outlive its race)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * declare const hold: Effect.Effect<string>
 * declare const release: Effect.Effect<void>
 *
 * const program = Durable.step("hold", hold).pipe(
 *   Durable.withCompensation("release-hold", () => Durable.step("release", release)),
 *   Effect.andThen(Durable.callback("confirmed")),
 *   Effect.andThen((confirmed) => confirmed.await),
 *   Durable.scoped,
 *   Effect.timeoutOption("1 day")
 * )
 * ```
 */
export const scoped = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, DurableContext | R> =>
  withHere("scoped", "", ({ core, fiber, place }) => {
    const scope = makeScope()
    const inner = { ...Context.get(fiber.context as Context.Context<DurableContext>, DurableContext), scope }
    return Effect.onExitPrimitive(Effect.provideService(self, DurableContext, inner), (exit) =>
      scope.registered.length === 0
        ? Effect.sync(() => void (scope.exit = withoutFibers(exit)))
        : Effect.withFiber((fiber) => close({ core, place, fiber }, scope, exit) as Effect.Effect<void, never>)
    )
  }) as Effect.Effect<A, E, DurableContext | R> // failures of cleanup are defects, or follow those of `self`
