/**
 * One trace per execution, over all of its invocations: spans of the workflow, its invocations, operations and
 * attempts, and around and inside of them the spans of your own code. They go to Effect's `Tracer`, so to
 * whatever exports from there: `effect/observability`, `@effect/opentelemetry`, or a tracer of your own.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import { CurrentExecution } from "./CurrentExecution.ts"
import * as DurablePlugin from "./DurablePlugin.ts"
import { flush } from "./internal/tracing/flush.ts"
import * as ids from "./internal/tracing/ids.ts"
import * as traces from "./internal/tracing/trace.ts"
import { warn } from "./internal/warn.ts"

/**
 * Which tree the spans of operations make. `"execution"`: one of the whole execution, below the span `Workflow`; an
 * operation has one span, which is exported when it has ended. `"invocation"`: one of each invocation, below its
 * span `Invocation`; an operation has a span in every invocation that finds it open, so that an execution
 * that waits can be seen waiting. Both are in the execution's one trace.
 */
export type View = traces.View

/** Options of `make` and `layer`. */
export interface Options {
  /** Default: `"execution"`. */
  readonly view?: View | undefined
  /**
   * Which executions are traced: a part of them, from 0 to 1, the same in all invocations; or `"xray"`, those that
   * X-Ray samples (all, where there is no header that says so). Default: the environment variable
   * `OTEL_DURABLE_SAMPLING_RATIO`, as for AWS's plugins, or else 1.
   */
  readonly sampling?: number | "xray" | undefined
  /**
   * `"parent"` (default): where Lambda gives an X-Ray trace header, the execution belongs to that trace, and spans of
   * invocations to Lambda's own. `"ignore"`: the trace's id is always made of the execution's ARN and start.
   */
  readonly xray?: "parent" | "ignore" | undefined
  /**
   * What else to flush before an invocation answers. Effect's OTLP exporter and the provider of
   * `@effect/opentelemetry` are found, and need not be named.
   */
  readonly flush?: Effect.Effect<unknown, unknown> | undefined
  /** How long an invocation may wait for the flush, at most. Default: 1 second. */
  readonly timeout?: Duration.Input | undefined
}

/** Lambda's context object has the header where one sandbox serves several invocations, the environment elsewhere. */
const headerOf = (execution: CurrentExecution["Service"] | undefined): string | undefined => {
  const context = execution?.lambdaContext as { readonly xRayTraceId?: unknown } | undefined
  return typeof context?.xRayTraceId === "string" ? context.xRayTraceId : process.env._X_AMZN_TRACE_ID
}

const samplingOf = ({ sampling }: Options): number | "xray" => {
  const ratio = sampling ?? Number(process.env.OTEL_DURABLE_SAMPLING_RATIO?.trim() || 1)
  return ratio === "xray" || (ratio >= 0 && ratio <= 1) ? ratio : 1
}

/** By the end of the trace's id, which is as good as random, and the same in every invocation. */
const isSampled = (traceId: string, sampling: number | "xray", header: ids.TraceHeader | undefined): boolean =>
  sampling === "xray" ? header?.sampled !== false : Number.parseInt(traceId.slice(-8), 16) < sampling * 0x1_0000_0000

/** An execution that is not traced: nothing below it is. */
interface Unsampled {
  readonly requestId: string
  readonly parent: Tracer.AnySpan
}

/**
 * Traces executions, as a plugin of a handler or test.
 *
 * **Details**
 *
 * Spans: `Workflow`, `Invocation`, each operation by its name, each attempt of a step as `<name> attempt <n>`; with
 * the attributes `durable.*` of AWS's OpenTelemetry plugins. Spans of your own code (`Effect.withSpan`, `Effect.fn`)
 * inside of a step are children of its attempt. In the body they stand between the workflow and the operations
 * that they enclose, and are exported once, by the invocation that ends them, whatever is replayed.
 *
 * Ids are hashes of the ARN and of what the span stands for: the same in every invocation. What exporters hold is
 * flushed before the invocation answers, for `timeout` at most. Log lines get `traceId` and `spanId`.
 *
 * **Gotchas**
 *
 * An invocation that dies takes the spans with it that were not exported. A stopped or timed-out execution runs no
 * code any more, so it has no `Workflow` span.
 *
 * **Example** (Traces by OTLP)
 *
 * ```ts
 * import { Durable, DurableFunction, DurableHandler, DurableTracer } from "effect-durable-lambda"
 * import { Effect, Layer, Schema } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { Otlp } from "effect/observability"
 *
 * const Greet = DurableFunction.make("greet", { payload: Schema.String, success: Schema.String })
 *
 * export const handler = DurableHandler.make(Greet, (name) => Durable.step("greet", Effect.succeed(`Hello, ${name}!`)), {
 *   layer: Otlp.layerJson({ baseUrl: "http://localhost:4318", resource: { serviceName: "greet" } }).pipe(
 *     Layer.provide(FetchHttpClient.layer)
 *   ),
 *   plugins: [DurableTracer.make()]
 * })
 * ```
 */
export const make = (options: Options = {}): DurablePlugin.DurablePlugin => {
  /** Of the executions that run here. An invocation that was given up is followed by another one of its execution. */
  const running = new Map<string, traces.Trace | Unsampled>()
  let warned = false

  const known = ({ executionArn, requestId }: DurablePlugin.InvocationBase): traces.Trace | Unsampled | undefined => {
    const trace = running.get(executionArn)
    return trace?.requestId === requestId ? trace : undefined
  }
  const traced = (info: DurablePlugin.InvocationBase): traces.Trace | undefined => {
    const trace = known(info)
    return trace !== undefined && "finish" in trace ? trace : undefined
  }
  const tell =
    <Info extends DurablePlugin.InvocationBase>(f: (trace: traces.Trace, info: Info) => void) =>
    (info: Info): Effect.Effect<void> =>
      Effect.sync(() => {
        const trace = traced(info)
        if (trace !== undefined) f(trace, info)
      })

  return DurablePlugin.make({
    name: "DurableTracer",
    timeout: options.timeout,
    onInvocationStart: (info) =>
      Effect.withFiber((fiber) => {
        const { executionArn, requestId } = info
        const context = fiber.context as Context.Context<never>
        const header =
          options.xray === "ignore" && options.sampling !== "xray"
            ? undefined
            : ids.readTraceHeader(
                headerOf(Context.getOrUndefined(context as Context.Context<CurrentExecution>, CurrentExecution))
              )
        const followed = options.xray === "ignore" ? undefined : header
        const traceId = traces.traceOf(info, followed)
        running.set(
          executionArn,
          isSampled(traceId, samplingOf(options), header)
            ? traces.make({
                info,
                view: options.view ?? "execution",
                tracer: Context.get(context, Tracer.Tracer),
                clock: Context.get(context, Clock.Clock),
                header: followed,
                complain: (problem) => {
                  if (!warned) warn(context, `DurableTracer: ${problem}`)
                  warned = true
                }
              })
            : {
                requestId,
                parent: Tracer.externalSpan({ traceId, spanId: ids.spanIdOf(executionArn, "workflow"), sampled: false })
              }
        )
        return Effect.void
      }),
    onOperationStart: tell((trace, info: DurablePlugin.OperationInfo) => trace.begin(info)),
    onOperationEnd: tell((trace, info: DurablePlugin.OperationInfo) => trace.ended(info)),
    onAttemptStart: tell((trace, info: DurablePlugin.AttemptInfo) => trace.beginAttempt(info)),
    onAttemptEnd: tell((trace, info: DurablePlugin.AttemptEndInfo) => trace.endAttempt(info)),
    onInvocationEnd: (info) =>
      Effect.suspend(() => {
        traced(info)?.finish(info)
        if (known(info) !== undefined) running.delete(info.executionArn)
        return flush(options.flush)
      }),
    aroundInvocation: (info, effect) => {
      const trace = known(info)
      return trace === undefined
        ? effect
        : "finish" in trace
          ? trace.aroundInvocation(effect)
          : Effect.provideService(effect, Tracer.ParentSpan, trace.parent)
    },
    aroundContext: (info, effect) => traced(info)?.aroundContext(info, effect) ?? effect,
    aroundAttempt: (info, effect) => traced(info)?.aroundAttempt(info, effect) ?? effect,
    logFields: (info) => {
      const trace = traced(info)
      return trace === undefined
        ? undefined
        : { traceId: trace.traceId, spanId: trace.spanOf(info.operationId, info.attempt, info.parentId) }
    },
    inBody: {
      asked: (info, op, fiber) => traced(info)?.ask(op, fiber),
      virtual: (info, op, body) => traced(info)?.virtual(op, body) ?? body
    }
  })
}

/**
 * Traces executions, as a layer: for the handler's `layer`, or for all handlers that share one.
 *
 * **Example** (Spans of each invocation)
 *
 * ```ts
 * import { DurableTracer } from "effect-durable-lambda"
 *
 * export const tracing = DurableTracer.layer({ view: "invocation" })
 * ```
 */
export const layer = (options?: Options): Layer.Layer<never> => DurablePlugin.layer([make(options)])

/**
 * For OpenTelemetry's SDK, which makes the ids of its spans itself: with this as the `idGenerator` of its provider the
 * spans of an execution get the ids that belong to it, and all other spans random ones.
 *
 * **Example** (@effect/opentelemetry)
 *
 * ```ts no-check
 * import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
 * import { DurableTracer } from "effect-durable-lambda"
 *
 * const layer = NodeSdk.layer(() => ({
 *   resource: { serviceName: "orders" },
 *   spanProcessor: new BatchSpanProcessor(new OTLPTraceExporter()),
 *   tracerConfig: { idGenerator: DurableTracer.idGenerator }
 * }))
 * ```
 */
export const idGenerator: {
  readonly generateTraceId: () => string
  readonly generateSpanId: () => string
} = ids.idGenerator

/**
 * The id of an execution's trace, of its ARN and its start in epoch milliseconds: 32 hexadecimal digits. An execution
 * that X-Ray traces belongs to X-Ray's trace instead.
 */
export const traceId = (executionArn: string, startTime: number): string => ids.traceIdOf(executionArn, startTime)
