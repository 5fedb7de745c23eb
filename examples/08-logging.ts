/**
 * Shows: Effect's logger. The body runs again in every invocation, but each of its lines is written once. The handler
 * writes one JSON line per entry, with the execution, and in steps the operation and the attempt.
 */
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import { Effect, Schema } from "effect"

export const Report = DurableFunction.make("report", { payload: Schema.String })

export const report = (month: string) =>
  Effect.gen(function* () {
    yield* Effect.logInfo("collecting")
    const rows = yield* Durable.step("collect", Effect.as(Effect.logInfo("reading the database"), 42))
    yield* Durable.wait("until-night", "8 hours")
    yield* Effect.logInfo(`sending ${rows} rows`)
    yield* Durable.step("send", Effect.void)
  }).pipe(Effect.annotateLogs({ month }))

/** To see the replays as well: `layer: DurableLogger.layerWith({ replay: true })`. */
export const handler = DurableHandler.make(Report, report)
