/**
 * Shows: a plugin, which sees what happens and changes nothing. It counts attempts, measures operations, opens a span
 * around each attempt, and gives every log line a field.
 */
import { Durable, DurableFunction, DurableHandler, DurablePlugin } from "effect-durable-lambda"
import { Effect, Metric, Schedule, Schema } from "effect"

export const attempts = Metric.counter("attempts", { incremental: true })
export const durations = Metric.histogram("operation_seconds", {
  boundaries: Metric.boundariesFromIterable([1, 60, 3600, 86_400])
})

export const metrics = DurablePlugin.make({
  name: "metrics",
  onAttemptEnd: ({ name = "", outcome }) => Metric.update(Metric.withAttributes(attempts, { name, outcome }), 1),
  onOperationEnd: ({ endTimestamp = 0, startTimestamp = 0, type }) =>
    Metric.update(Metric.withAttributes(durations, { type }), (endTimestamp - startTimestamp) / 1000),
  aroundAttempt: ({ attempt, name }, effect) => Effect.withSpan(effect, `${name} attempt ${attempt}`),
  logFields: ({ operationName }) => ({ service: "reports", span: operationName ?? "workflow" })
})

export const Weekly = DurableFunction.make("weekly", { payload: Schema.String, success: Schema.Int })

export const weekly = Effect.fnUntraced(function* (team: string) {
  const rows = yield* Durable.step(
    "collect",
    Effect.gen(function* () {
      const { attempt } = yield* Durable.CurrentStep
      yield* Effect.logInfo(`asking ${team}`)
      return attempt === 1 ? yield* Effect.fail("busy" as const) : 42
    }),
    { retry: { times: 3, schedule: Schedule.spaced("1 minute") } }
  )
  yield* Durable.wait("until-monday", "3 days")
  return rows
})

export const handler = DurableHandler.make(Weekly, weekly, { plugins: [metrics] })
