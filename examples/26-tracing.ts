/**
 * Shows: one trace per execution. Spans of the workflow, its operations and attempts come by themselves; spans of your
 * own code stand where they belong, in steps and around operations, and are exported once, whatever is replayed. And
 * metrics.
 */
import { Durable, DurableFunction, DurableHandler, DurableMetrics, DurableTracer } from "effect-durable-lambda"
import { Context, Effect, Layer, Schema } from "effect"
import { FetchHttpClient } from "effect/http"
import { Otlp } from "effect/observability"

export class Couriers extends Context.Service<Couriers, { readonly book: (parcel: string) => Effect.Effect<string> }>()(
  "Couriers"
) {}

export const Deliver = DurableFunction.make("deliver", { payload: Schema.String, success: Schema.String })

/** A span of your own around operations. It lasts as long as they do: here, for a day. */
const dispatch = Effect.fn("dispatch")(function* (parcel: string) {
  const tracking = yield* Durable.step(
    "book",
    Couriers.use(({ book }) => book(parcel).pipe(Effect.withSpan("POST /bookings")))
  )
  yield* Durable.wait("pick-up", "1 day")
  return tracking
})

export const deliver = Effect.fnUntraced(function* (parcel: string) {
  yield* Effect.annotateCurrentSpan("parcel", parcel) // of the workflow
  const tracking = yield* dispatch(parcel)
  yield* Durable.step("notify", Effect.logInfo(`on its way: ${tracking}`)) // with traceId and spanId
  return tracking
})

/** To a collector beside the function. What it still holds is sent before an invocation answers. */
const exporter = Otlp.layerJson({ baseUrl: "http://localhost:4318", resource: { serviceName: "deliveries" } }).pipe(
  Layer.provide(FetchHttpClient.layer)
)

export const couriers = Layer.succeed(Couriers, { book: (parcel) => Effect.succeed(`T-${parcel}`) })

export const handler = DurableHandler.make(Deliver, deliver, {
  layer: Layer.merge(couriers, exporter),
  plugins: [DurableTracer.make(), DurableMetrics.make()]
})
