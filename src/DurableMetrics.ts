/**
 * Numbers of executions, as Effect `Metric`s: what ended how, how often it was tried, how long the service and replays
 * take. Their attributes have few values: no ids, no names of operations.
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as DurablePlugin from "./DurablePlugin.ts"
import { MARKER_NAME } from "./internal/core/order.ts"
import { flush } from "./internal/tracing/flush.ts"

const counter = (name: string, description: string) => Metric.counter(name, { description, incremental: true })
const histogram = (name: string, description: string, boundaries: ReadonlyArray<number>) =>
  Metric.histogram(name, { description, boundaries })

const MILLIS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000]
const SECONDS = [0.1, 1, 10, 60, 600, 3600, 21_600, 86_400, 604_800, 2_592_000]

/** Executions that have ended, by `status`: `SUCCEEDED` or `FAILED`. What is stopped or timed out runs no code to tell. */
export const executions = /*#__PURE__*/ counter("durable.executions", "Executions that have ended")

/** From an execution's start to its end, in seconds, by `status`. */
export const executionDuration = /*#__PURE__*/ histogram(
  "durable.execution.duration",
  "From an execution's start to its end",
  SECONDS
)

/** Invocations, by `status` (`SUCCEEDED`, `FAILED`, `PENDING`, or `RETRY` for one that throws) and `first`. */
export const invocations = /*#__PURE__*/ counter("durable.invocations", "Invocations that have ended")

/** Invocations that have answered `PENDING`: the execution waits, and costs nothing meanwhile. */
export const suspensions = /*#__PURE__*/ counter("durable.suspensions", "Invocations that have suspended")

/** Operations that have ended, by `type`, `subtype` and `status`. */
export const operations = /*#__PURE__*/ counter("durable.operations", "Operations that have ended")

/** From an operation's start to its end, in seconds, by `type`, `subtype` and `status`. */
export const operationDuration = /*#__PURE__*/ histogram(
  "durable.operation.duration",
  "From an operation's start to its end",
  SECONDS
)

/** Attempts of steps and checks of conditions, by `subtype` and `outcome` (`SUCCEEDED`, `FAILED` or `INTERRUPTED`). */
export const attempts = /*#__PURE__*/ counter("durable.attempts", "Attempts of steps that have ended")

/** Attempts of steps after the first. The next check of a condition is none. */
export const retries = /*#__PURE__*/ counter("durable.retries", "Attempts of steps after the first")

/** Requests to the service, in milliseconds, by `outcome` (`SUCCEEDED` or `FAILED`), sending again included. */
export const checkpointDuration = /*#__PURE__*/ histogram(
  "durable.checkpoint.duration",
  "Requests to the service",
  MILLIS
)

/**
 * How long an invocation after the first takes, in milliseconds, to get through what is on record: until it starts
 * something new, or ends.
 */
export const replayDuration = /*#__PURE__*/ histogram(
  "durable.replay.duration",
  "From an invocation's start to its first new operation or attempt",
  MILLIS
)

/** Options of `make` and `layer`. */
export interface Options {
  /** What else to flush before an invocation answers. Effect's OTLP exporter is found, and need not be named. */
  readonly flush?: Effect.Effect<unknown, unknown> | undefined
  /** How long an invocation may wait for the flush, at most. Default: 1 second. */
  readonly timeout?: Duration.Input | undefined
}

const count = <In extends number>(metric: Metric.Metric<In, unknown>, value: In, attributes: Record<string, string>) =>
  Metric.update(Metric.withAttributes(metric, attributes), value)

/** Milliseconds in seconds, with the unit. Clocks may disagree, nothing takes less than no time. */
const seconds = (millis: number): number => Math.max(0, millis) / 1000

/**
 * Counts and measures, as a plugin of a handler or test.
 *
 * **Details**
 *
 * Each metric is exported by this module, under its name. What an exporter of Effect's `observability` holds is flushed
 * before the invocation answers, together with the spans of `DurableTracer`, if that is there too.
 *
 * **Example** (Metrics by OTLP)
 *
 * ```ts
 * import { Durable, DurableFunction, DurableHandler, DurableMetrics } from "effect-durable-lambda"
 * import { Effect, Layer, Schema } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { OtlpMetrics, OtlpSerialization } from "effect/observability"
 *
 * const Greet = DurableFunction.make("greet", { payload: Schema.String, success: Schema.String })
 *
 * export const handler = DurableHandler.make(Greet, (name) => Durable.step("greet", Effect.succeed(`Hello, ${name}!`)), {
 *   layer: OtlpMetrics.layer({ url: "http://localhost:4318/v1/metrics" }).pipe(
 *     Layer.provide([FetchHttpClient.layer, OtlpSerialization.layerJson])
 *   ),
 *   plugins: [DurableMetrics.make()]
 * })
 * ```
 */
export const make = (options: Options = {}): DurablePlugin.DurablePlugin => {
  /** When the replays that are under way began. */
  const replays = new Map<string, number>()
  const replayed = ({ executionArn }: DurablePlugin.InvocationBase) =>
    Effect.suspend(() => {
      const began = replays.get(executionArn)
      if (began === undefined) return Effect.void
      replays.delete(executionArn)
      return Effect.flatMap(Clock.currentTimeMillis, (now) =>
        count(replayDuration, Math.max(0, now - began), { unit: "ms" })
      )
    })

  return DurablePlugin.make({
    name: "DurableMetrics",
    timeout: options.timeout,
    onInvocationStart: ({ executionArn, isFirstInvocation }) =>
      isFirstInvocation
        ? Effect.void
        : Effect.map(Clock.currentTimeMillis, (now) => void replays.set(executionArn, now)),
    onOperationStart: (info) => (info.isReplay ? Effect.void : replayed(info)),
    onAttemptStart: (info) =>
      Effect.andThen(
        replayed(info),
        info.attempt > 1 && info.subType !== "WaitForCondition"
          ? count(retries, 1, { subtype: info.subType ?? "" })
          : Effect.void
      ),
    onAttemptEnd: ({ outcome, subType = "" }) => count(attempts, 1, { subtype: subType, outcome }),
    onOperationEnd: ({ endTimestamp, name, startTimestamp, status, subType = "", type }) => {
      if (type === "STEP" && name === MARKER_NAME) return Effect.void // it is of the library itself
      const attributes = { type, subtype: subType, status }
      const counted = count(operations, 1, attributes)
      return startTimestamp === undefined || endTimestamp === undefined
        ? counted
        : Effect.andThen(
            counted,
            count(operationDuration, seconds(endTimestamp - startTimestamp), { ...attributes, unit: "s" })
          )
    },
    onCheckpoint: ({ durationMillis, failure }) =>
      count(checkpointDuration, durationMillis, {
        outcome: failure === undefined ? "SUCCEEDED" : "FAILED",
        unit: "ms"
      }),
    onInvocationEnd: Effect.fnUntraced(function* (info: DurablePlugin.InvocationEndInfo) {
      const { executionStartTimestamp, isFirstInvocation, status } = info
      yield* replayed(info)
      yield* count(invocations, 1, {
        status: status === "RETRYING" ? "RETRY" : status,
        first: String(isFirstInvocation)
      })
      if (status === "PENDING") yield* Metric.update(suspensions, 1)
      if (status === "SUCCEEDED" || status === "FAILED") {
        yield* count(executions, 1, { status })
        if (executionStartTimestamp !== undefined) {
          const now = yield* Clock.currentTimeMillis
          yield* count(executionDuration, seconds(now - executionStartTimestamp), { status, unit: "s" })
        }
      }
      yield* flush(options.flush)
    })
  })
}

/** Counts and measures, as a layer: for the handler's `layer`, or for all handlers that share one. */
export const layer = (options?: Options): Layer.Layer<never> => DurablePlugin.layer([make(options)])
