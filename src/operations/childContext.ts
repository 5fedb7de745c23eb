import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type { DurableContext } from "../DurableContext.ts"
import { ChildContextFailed, type Fatal, NonDeterministic, type Operation, SerdesFailed } from "../DurableError.ts"
import type { Core } from "../internal/core/Core.ts"
import {
  bodyContext,
  decoder,
  decodeValue,
  encodePlain,
  encodeValue,
  halt,
  type Here,
  invalid,
  open,
  type OutcomeCodec,
  park,
  stepContext,
  succeeded,
  transform,
  transformError,
  withHere
} from "../internal/core/operation.ts"
import { type Closing, type Ending, isReplaying, type Op, Place, type World } from "../internal/core/world.ts"
import * as failures from "../internal/failure.ts"
import { Limits } from "../internal/wire.ts"
import { plainJsonFault, readPlainJson } from "../Serdes.ts"
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
  readonly virtual?: V
  /** How the console classifies it: up to 32 of `[a-zA-Z0-9-_]`. Default: `RunInChildContext`. */
  readonly subType?: string | undefined
  /** What the console shows in place of a value that is too large to record. */
  readonly summary?: ((value: A) => string) | undefined
}

/** The schemas of a context must cover its value. */
export type HasContextCodec<A, SA> = [A] extends [TypeOf<SA, unknown>]
  ? unknown
  : "The `success` schema does not accept every value of this context."

/** Covered failures and operation failures keep their class, others surface as ChildContextFailed. */
type Surfaced<E, SE> = SE extends { readonly Type: infer S }
  ? Extract<E, Operation> | Extract<E, S> | ([Exclude<E, S | Operation>] extends [never] ? never : ChildContextFailed)
  : Extract<E, Operation> | ([Exclude<E, Operation>] extends [never] ? never : ChildContextFailed)

/** A child context as its parent sees it. */
export type ChildContext<A, E, R, SA, SE, V = false> = Effect.Effect<
  V extends true ? A : TypeOf<SA, A>,
  V extends true ? E : Surfaced<E, SE>,
  DurableContext | R | StepServices<CodecServices<SA> | CodecServices<SE>>
>

/**
 * Runs durable operations in a context of their own: with its own names, its own order, and one record for
 * the whole, which answers on replay without running the body again.
 *
 * **Gotchas**
 *
 * A child context must not write memory that others read (a Ref, Deferred, Queue or variable of the parent): a
 * finished context does not run again, so the write is not repeated. Return the value instead. Its own clock
 * starts with its parent's and moves with its own operations; its end does not move the parent's clock.
 *
 * A context that is interrupted (it lost a race, timed out, or a sibling failed) can do nothing durable any
 * more: put durable cleanup around it, for example with `Effect.onInterrupt`.
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
  const op = open(here, call, { type: "CONTEXT", subType: options.subType, name })
  if (op === undefined) return halt
  const { core, fiber } = here
  const context = fiber.context
  const codec: OutcomeCodec = {
    success: options.success,
    failure: { operation: name, schema: options.error, Wrapper: ChildContextFailed }
  }
  const services = () => stepContext(here)
  return park(core, op, "ended", decoder(core, context, codec, services), () => {
    if (!core.mustRun(op)) return undefined
    const world = core.child(op, `child context "${name}"`)
    const child = start(core, op, world, context, services, body, options, codec)
    return () => {
      core.lose(world)
      child.interrupt()
      core.release(halt, world)
    }
  })
}

/** Ids of its own, in the world it stands in: no record, so no outcome of its own either. */
const runVirtual = ({ core, fiber, place }: Here, name: string, subType: string, body: AnyEffect): AnyEffect => {
  const id = place.nextId({ type: "CONTEXT", subType: `virtual-${subType}`, name })
  const inner = new Place(`${place.path}/${id}`, place.parentId, place.world)
  return Effect.provideContext(body, bodyContext(fiber.context, core, inner))
}

/**
 * Starts the body as a task of its own, so that deep nesting does not deepen the stack. It is nobody's child
 * fiber: a parent that lets go of it does not wait for it.
 */
const start = (
  core: Core,
  op: Op,
  world: World,
  context: Context.Context<never>,
  services: () => Context.Context<never>,
  body: AnyEffect,
  options: AnyOptions,
  codec: OutcomeCodec
): { readonly interrupt: () => void } => {
  let fiber: Fiber.Fiber<unknown, unknown> | undefined
  core.scheduler.schedule(() => {
    if (core.closed || world.state !== "open") return
    const observed = core.host.observer?.context(op, isReplaying(world), body) ?? body
    fiber = Effect.runForkWith(bodyContext(context, core, world.place))(observed)
    core.bodies.add(fiber)
    fiber.addObserver((exit) => {
      core.bodies.delete(fiber!)
      core.finish(
        op,
        world,
        () =>
          closePlain(op, context, exit, codec) ??
          Effect.provideContext(close(core, op, exit, options, codec), services() as Context.Context<any>)
      )
    })
  }, 0)
  return { interrupt: () => fiber?.interruptUnsafe() }
}

/** The common case, a small plain value, without running an effect. */
const closePlain = (
  op: Op,
  context: Context.Context<never>,
  exit: Exit.Exit<unknown, unknown>,
  codec: OutcomeCodec
): Closing | undefined => {
  if (Exit.isFailure(exit)) return undefined
  const text = encodePlain(op, context, codec, exit.value)
  if (text === undefined || Result.isFailure(text)) return undefined
  const payload = text.success
  if (payload !== undefined && payload.length > Limits.inlineResultBytes / 4) return undefined
  return { ending: succeeded(payload), outcome: Result.getOrThrow(Result.map(readPlainJson(payload), Exit.succeed)) }
}

/** What to record of a body that has ended, and what its parent goes on with: the same as on replay. */
const close = (
  core: Core,
  op: Op,
  exit: Exit.Exit<unknown, unknown>,
  options: AnyOptions,
  codec: OutcomeCodec
): Effect.Effect<Closing, Fatal, any> =>
  Effect.gen(function* () {
    if (Exit.isFailure(exit)) {
      if (op.record?.Status === "SUCCEEDED") return yield* notRebuilt(op)
      const error = yield* failures.encodeFailure(exit.cause, codec.failure)
      const recorded = yield* transformError("encode", core, op, error)
      return {
        ending: { Action: "FAIL", ...(recorded === undefined ? undefined : { Error: recorded }) } satisfies Ending,
        outcome: yield* failures.decodeFailure(error, codec.failure)
      }
    }
    const rebuilt = (outcome: Exit.Exit<unknown, unknown>): Effect.Effect<Closing, SerdesFailed> =>
      Effect.try({
        try: (): Closing => ({
          ending: {
            Action: "SUCCEED",
            Payload: options.summary?.(exit.value) ?? "",
            ContextOptions: { ReplayChildren: true }
          },
          outcome
        }),
        catch: (error) =>
          new SerdesFailed({
            operation: op.toString(),
            action: "encode",
            reason: `its \`summary\` threw: ${String(error)}`
          })
      })
    // no codec: the value is what the body gives when it runs again over its recorded operations
    if (options.success === undefined && plainJsonFault(exit.value) !== undefined) return yield* rebuilt(exit)
    const text = yield* encodeValue(op, codec, exit.value)
    const outcome = Exit.succeed(yield* decodeValue(op, codec, text))
    const payload = yield* transform("encode", core, op, text)
    if (payload !== undefined && Buffer.byteLength(payload) > Limits.inlineResultBytes) return yield* rebuilt(outcome)
    return { ending: succeeded(payload), outcome }
  })

const notRebuilt = (op: Op) =>
  new NonDeterministic({
    message:
      `Non-deterministic: ${op} is recorded as succeeded, but its body fails when it runs again over its recorded ` +
      "operations. The code was changed under a running execution, or is not deterministic."
  })
