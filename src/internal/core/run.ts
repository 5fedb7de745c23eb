/**
 * Runs one invocation: the body until its outcome is decided, then the teardown of what is left of it.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Checkpoints } from "../../CheckpointService.ts"
import { DurableContext } from "../../DurableContext.ts"
import type { Observer } from "../observer.ts"
import { warn } from "../warn.ts"
import { type Core, make as makeCore } from "./Core.ts"
import type { Options, Outcome } from "./host.ts"
import { bodyContext, ending, leave, newScope, outsideOf } from "./operation.ts"

/**
 * Calls back when every microtask has run. What a microtask hands to `nextTick` comes when that queue is empty, and
 * without a turn of the event loop, of which a replay would need one per operation. The simulations of the test
 * suite replace it by a step of their own event loop.
 */
export const Settle: Context.Reference<(f: () => void) => void> = Context.Reference(
  "effect-durable-lambda/internal/Settle",
  {
    defaultValue: () => {
      // not queueMicrotask: Node.js makes an AsyncResource for each
      const resolved = Promise.resolve()
      return (f: () => void) => {
        void resolved.then(() => process.nextTick(f))
      }
    }
  }
)

export interface RunOptions extends Options {
  /** Milliseconds that finalizers of a body that was torn down may take before the invocation answers without them. */
  readonly finalizerGrace: number
  readonly observer?: Observer | undefined
}

/**
 * Runs a body, with a scope of its own, over the recorded state, up to the outcome of this invocation. Nothing of it runs
 * afterwards. (No generator: what one yields is handed on in an object that V8, when there are many, puts among its old
 * ones. It would lead to the core.)
 */
export const run = <A, E, R>(
  body: Effect.Effect<A, E, R>,
  checkpoints: Checkpoints,
  execution: { readonly arn: string; readonly startTimestamp: number },
  options: RunOptions
): Effect.Effect<Outcome, never, Exclude<R, DurableContext | Scope.Scope>> =>
  Effect.withFiber((fiber) => {
    const context = fiber.context as Context.Context<never>
    const clock = Context.get(context, Clock.Clock)
    const core = makeCore(
      {
        clock,
        outside: outsideOf(context),
        fork: (effect, other) => Effect.runForkWith((other ?? context) as Context.Context<any>)(effect),
        warn: (message) => warn(context, message),
        observer: options.observer,
        worldOf: (fiber) =>
          Context.getOrUndefined(fiber.context as Context.Context<DurableContext>, DurableContext)?.place.world,
        leave,
        settle: Context.get(context, Settle)
      },
      options,
      checkpoints,
      execution
    )
    const endsAt = clock.currentTimeMillisUnsafe() + (options.deadline?.left ?? Infinity)
    let root: Fiber.Fiber<A, E> | undefined
    const end = Effect.suspend(() => {
      const grace = Math.max(0, endsAt - clock.currentTimeMillisUnsafe()) / 2
      return Effect.map(tearDown(core, root, Math.min(options.finalizerGrace, grace)), core.dispose)
    })
    const outcome = Effect.callback<Outcome>((resume) => {
      core.start(
        () => {
          const { place } = core.root
          const scope = newScope()
          const services = bodyContext(context, core, place, undefined, scope)
          root = Effect.runForkWith(services)(ending(place, body as Effect.Effect<A, E, DurableContext>, scope)) // R is in `context`
          return root
        },
        (outcome) => resume(Effect.succeed(outcome))
      )
      return Effect.suspend(() => {
        core.abort()
        return end
      })
    })
    return Effect.flatMap(outcome, (outcome) => Effect.as(end, outcome))
  })

/** (by hand: `Effect.forEach` is 1 KB of a bundle) */
const allEnded = /*#__PURE__*/ Effect.fnUntraced(function* (
  fibers: ReadonlyArray<Fiber.Fiber<unknown, unknown>>
): Effect.fn.Return<void> {
  for (const fiber of fibers) yield* Fiber.await(fiber)
})

/**
 * Interrupts what still runs and waits a bounded time for its finalizers. Ordinary finalizers release
 * resources; durable operations reached from them do nothing any more.
 */
const tearDown = (core: Core, root: Fiber.Fiber<unknown, unknown> | undefined, grace: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    core.tornDown = true
    const fibers = [...core.working.keys(), ...core.bodyFibers()]
    if (root !== undefined) fibers.push(root)
    for (const fiber of fibers) fiber.interruptUnsafe()
    core.release()
    core.scheduler.drain()
    const left = fibers.filter((fiber) => fiber.pollUnsafe() === undefined)
    return left.length === 0 ? Effect.void : Effect.asVoid(Effect.timeoutOption(allEnded(left), grace))
  })
