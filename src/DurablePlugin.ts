/**
 * Observers of workflows: told what happens to invocations, operations, attempts and context functions, for traces,
 * metrics and audits. Whatever an observer does, it cannot change what the workflow does.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { observe } from "./internal/observe.ts"
import type { Hooks, Observe } from "./internal/observer.ts"

export type {
  AttemptEndInfo,
  AttemptInfo,
  CheckpointInfo,
  ContextEndInfo,
  ContextInfo,
  Hooks,
  InvocationBase,
  InvocationEndInfo,
  InvocationInfo,
  LogLineInfo,
  OperationChangeInfo,
  OperationInfo,
  Operations,
  Outcome
} from "./internal/observer.ts"

const TypeId = "~effect-durable-lambda/DurablePlugin"

/** An observer, made by `make`. */
export interface DurablePlugin {
  readonly hooks: Hooks
  /**
   * How observers are run. It comes along with each of them, so that a handler without any need not carry it.
   *
   * @internal
   */
  readonly [TypeId]: Observe
}

/** Whether this is an observer that `make` has made. */
export const isDurablePlugin = (u: unknown): u is DurablePlugin => typeof u === "object" && u !== null && TypeId in u

// ---- making and providing them -------------------------------------------------------------------------------

/**
 * Makes an observer of its hooks: an object, or an instance of a class.
 *
 * **Details**
 *
 * Hooks run beside the workflow, those of one plugin one after the other, with the real clock and the handler's
 * loggers. Only `onInvocationStart` and `onInvocationEnd` hold an invocation up, by `timeout` at most. A hook that
 * fails, dies or takes too long costs a warning. Nothing of it reaches the workflow, or another plugin.
 *
 * An around-hook gives its effect services (a span, say) and sees how it ends. It must run the effect at once:
 * what comes asynchronously before it belongs into a start hook. What it returns is ignored. It runs outside of the
 * body's clock, and the effect sees none of the wrapper's interruptions.
 *
 * **Example** (Counts attempts)
 *
 * ```ts
 * import { DurablePlugin } from "effect-durable-lambda"
 * import { Effect, Metric } from "effect"
 *
 * const attempts = Metric.counter("attempts")
 *
 * export const metrics = DurablePlugin.make({
 *   name: "metrics",
 *   onAttemptEnd: ({ name = "", outcome }) => Metric.update(Metric.withAttributes(attempts, { name, outcome }), 1)
 * })
 * ```
 */
export const make = (hooks: Hooks): DurablePlugin => ({ hooks, [TypeId]: observe })

/** The observers of a handler or test, besides those of its options. Default: none. */
export const Plugins: Context.Reference<ReadonlyArray<DurablePlugin>> = /*#__PURE__*/ Context.Reference(
  "effect-durable-lambda/DurablePlugin/Plugins",
  { defaultValue: (): ReadonlyArray<DurablePlugin> => [] }
)

/**
 * Observers that need services of their own to be made, for the handler's `layer`. They come after those that were
 * there before. What they acquire is released with the layer.
 *
 * **Example** (An exporter)
 *
 * ```ts
 * import { DurablePlugin } from "effect-durable-lambda"
 * import { Context, Effect } from "effect"
 *
 * class Exporter extends Context.Service<Exporter, { readonly send: (line: string) => Effect.Effect<void> }>()(
 *   "Exporter"
 * ) {}
 *
 * export const audit = DurablePlugin.layer([
 *   Effect.map(Exporter, (exporter) =>
 *     DurablePlugin.make({ onOperationEnd: ({ name, status }) => exporter.send(`${name}: ${status}`) })
 *   )
 * ])
 * ```
 */
export const layer = <const Ps extends ReadonlyArray<DurablePlugin | Effect.Effect<DurablePlugin, any, any>>>(
  plugins: Ps
): Layer.Layer<
  never,
  Ps extends ReadonlyArray<infer P> ? (P extends Effect.Effect<any, infer E, any> ? E : never) : never,
  Exclude<
    Ps extends ReadonlyArray<infer P> ? (P extends Effect.Effect<any, any, infer R> ? R : never) : never,
    Scope.Scope
  >
> =>
  Layer.effect(
    Plugins,
    Effect.gen(function* (): Effect.fn.Return<ReadonlyArray<DurablePlugin>, any, any> {
      const made: Array<DurablePlugin> = [...(yield* Plugins)]
      for (const plugin of plugins) made.push(Effect.isEffect(plugin) ? yield* plugin : plugin)
      return made
    })
  ) as any // typed by the signature
