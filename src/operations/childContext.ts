import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { DurableContext } from "../DurableContext.ts"
import type { ChildContextFailed, Operation } from "../DurableError.ts"
import * as contexts from "../internal/core/contexts.ts"
import {
  bodyContext,
  ending,
  halt,
  type Here,
  invalid,
  newScope,
  open,
  park,
  within,
  withHere
} from "../internal/core/operation.ts"
import { leaving } from "../internal/core/losing.ts"
import { isAdded, mustRun, type Op, Place, type World } from "../internal/core/world.ts"
import * as Worlds from "../internal/core/worlds.ts"
import * as failures from "../internal/failure.ts"
import { faultOf, textual } from "../internal/options.ts"
import { Limits } from "../internal/wire.ts"
import type { CodecServices, MaybeSchema, StepServices, TypeOf } from "../StepServices.ts"

/** Options of a child context. */
export interface ChildContextOptions<A, SA, SE, V = boolean> {
  /** Codec of the value. Without it a value that is plain JSON is recorded as such, any other is rebuilt on replay. */
  readonly success?: SA
  /** Codec of failures. Failures of operations need none; what it does not cover surfaces as `ChildContextFailed`. */
  readonly error?: SE
  /**
   * Records nothing of the context itself: it only keeps the names inside apart from those outside. Value and
   * failures then pass as they are. Default: false.
   */
  readonly virtual?: V | undefined
  /** How the console classifies it: up to 32 of `[a-zA-Z0-9-_]`. Default: `RunInChildContext`. */
  readonly subType?: string | undefined
  /** What the console shows in place of a value that is too large to record. */
  readonly summary?: ((value: A) => string) | undefined
}

/** The schemas of a context must cover its value. */
export type HasContextCodec<A, SA> = [A] extends [TypeOf<SA, unknown>]
  ? unknown
  : "The `success` schema does not accept every value of this context."

/** The failures of operations among these, also where they are written as something wider, such as `Error`. */
type Kept<E> = Extract<E, Operation> | (E extends unknown ? Extract<Operation, E> : never)

/** Covered failures and operation failures keep their class, others surface as ChildContextFailed. */
export type Surfaced<E, SE> = SE extends { readonly Type: infer S }
  ? Kept<E> | Extract<E, S> | ([Exclude<E, S | Operation>] extends [never] ? never : ChildContextFailed)
  : Kept<E> | ([Exclude<E, Operation>] extends [never] ? never : ChildContextFailed)

/** A child context as its parent sees it. */
export type ChildContext<A, E, R, SA, SE, V = false> = Effect.Effect<
  V extends true ? A : TypeOf<SA, A>,
  V extends true ? E : Surfaced<E, SE>,
  DurableContext | Exclude<R, Scope.Scope> | StepServices<CodecServices<SA> | CodecServices<SE>>
>

/**
 * Runs durable operations in a context of their own: with its own names, its own order, and one record for
 * the whole, which answers on replay without running the body again.
 *
 * **Gotchas**
 *
 * A child context must not write memory that others read (a Ref, Deferred, Queue or variable of the parent): a
 * finished context does not run again, so the write is not repeated. Return the value instead. Its own clock
 * starts with its parent's and moves with its own operations; its end does not move the parent's clock. Fibers that
 * would outlive it (`Effect.forkDetach`) end with it. So do resources: it has a `Scope` of its own, which closes with it.
 *
 * A context that is interrupted (it lost a race, timed out, or a sibling failed) does its durable cleanup
 * (`Durable.addFinalizer`), for which its parent waits. Other durable operations cannot work in it any more, also not
 * in ordinary finalizers.
 *
 * **Details**
 *
 * With `success` the value is recorded by it. Without, a value that is plain JSON is recorded as such. Any
 * other value, and one over 256 KiB, is rebuilt on replay: the body runs again over its recorded operations,
 * and nothing is recorded twice. Code of the body that stands outside of operations then runs again.
 *
 * Suspends when an operation inside does. Billed: one operation for the context (none when `virtual`), plus
 * those inside.
 *
 * **Example** (A part of a workflow)
 *
 * ```ts
 * import { Durable } from "effect-durable-lambda"
 * import { Effect } from "effect"
 *
 * const shipping = Effect.gen(function*() {
 *   const label = yield* Durable.step("label", Effect.succeed("L-1"))
 *   yield* Durable.wait("pick-up", "1 day")
 *   return label
 * }).pipe(Durable.childContext("shipping"))
 * ```
 */
export const childContext: {
  <A, E, R, SA extends MaybeSchema = undefined, SE extends MaybeSchema = undefined, V extends boolean = false>(
    name: string,
    body: Effect.Effect<A, E, R> & HasContextCodec<A, SA>,
    options?: ChildContextOptions<A, SA, SE, V>
  ): ChildContext<A, E, R, SA, SE, V>
  <A, SA extends MaybeSchema = undefined, SE extends MaybeSchema = undefined, V extends boolean = false>(
    name: string,
    options?: ChildContextOptions<A, SA, SE, V>
  ): <E, R>(body: Effect.Effect<A, E, R> & HasContextCodec<A, SA>) => ChildContext<A, E, R, SA, SE, V>
  <A, E, R, SA extends MaybeSchema = undefined, SE extends MaybeSchema = undefined, V extends boolean = false>(
    name: string,
    body: Effect.Effect<A, E, R> & HasContextCodec<A, SA>,
    options?: ChildContextOptions<A, SA, SE, V>
  ): ChildContext<A, E, R, SA, SE, V>
} = ((...args: ReadonlyArray<any>) =>
  // the overloads say what the arguments are
  Effect.isEffect(args[1])
    ? run(args[0] as string, args[1] as AnyEffect, (args[2] ?? {}) as AnyOptions)
    : (self: AnyEffect) => run(args[0] as string, self, (args[1] ?? {}) as AnyOptions)) as any // typed by the overloads

type AnyEffect = Effect.Effect<unknown, unknown, any>
type AnyOptions = ChildContextOptions<any, MaybeSchema, MaybeSchema>

const SUB_TYPE = /^[a-zA-Z0-9-_]{1,32}$/

const run = (name: string, body: AnyEffect, options: AnyOptions): Effect.Effect<unknown, unknown, DurableContext> =>
  withHere("childContext", name, (here) => {
    const fault = faultOf(options)
    if (fault !== undefined) return invalid(here.core, `Durable.childContext("${name}"): ${fault}`)
    const subType = options.subType ?? "RunInChildContext"
    if (!SUB_TYPE.test(subType)) {
      return invalid(
        here.core,
        `Durable.childContext("${name}"): the subType "${subType}" is not usable. The service takes up to ` +
          `${Limits.subTypeLength} characters of [a-zA-Z0-9-_].`
      )
    }
    return options.virtual === true
      ? runVirtual(here, name, subType, body)
      : contextHere(here, "childContext", name, body, { ...options, subType })
  })

/** Runs a body in a recorded context of its own, below where it stands. `call` is for messages. */
export const contextHere = (
  here: Here,
  call: string,
  name: string,
  body: AnyEffect,
  options: AnyOptions & { readonly subType: string }
): Effect.Effect<unknown, unknown> => {
  const op = open(here, call, "CONTEXT", options.subType, name)
  if (op === undefined) return halt
  const { core } = here
  const codec: contexts.ContextCodec = {
    success: options.success,
    failure: { operation: name, schema: options.error, ...failures.CONTEXTS },
    summary: textual(options.summary)
  }
  return park(core, op, "ended", contexts.decoder(here, codec), () => {
    const running = mustRun(op) ? runHere(here, op, body, codec) : undefined
    const lose = () => running?.lose()
    op.lose = lose
    return () =>
      leaving(core, {
        op,
        world: running?.world,
        parent: op.place.world,
        bodies: () => (running === undefined ? [] : [running]),
        lose
      })
  })
}

const runHere = (here: Here, op: Op, body: AnyEffect, codec: contexts.ContextCodec): contexts.Running => {
  const worlds = Worlds.of(here.core)
  const ended = (exit: Exit.Exit<unknown, unknown>, world: World) =>
    worlds.finish(op, world, () => contexts.close(here, op, exit, codec))
  return contexts.start(here, op, worlds.child(op), body, ended, undefined)
}

/** Ids of its own, in the world it stands in: no record, so no outcome of its own either. */
const runVirtual = ({ core, fiber, place }: Here, name: string, subType: string, body: AnyEffect): AnyEffect => {
  const spec = { type: "CONTEXT", subType: `virtual-${subType}`, name } as const
  const contradiction = place.changes?.fault(spec)
  if (contradiction !== undefined) return invalid(core, `Durable.childContext("${name}"): ${contradiction}`)
  const id = place.nextId(spec)
  const virtual = { title: `virtual context "${name}"`, added: isAdded({ place, spec }) }
  const inner = new Place(id, place.parentId, place.world, virtual)
  const op = { id, spec: { type: "CONTEXT", subType, name }, place: inner, record: undefined } as const
  const scope = newScope()
  const whole = ending(inner, body, scope)
  const observed = core.host.observer?.virtual(op, whole) ?? whole
  return within(observed, bodyContext(fiber.context, core, inner, place, scope))
}
