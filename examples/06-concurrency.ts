/**
 * Shows: Effect's own combinators over durable operations. Whatever order things end in, every replay sees the same one.
 */
import { Durable, DurableFunction } from "effect-durable-lambda"
import { Context, Effect, Schema } from "effect"

export class Quotes extends Context.Service<Quotes, { readonly from: (carrier: string) => Effect.Effect<number> }>()(
  "examples/Quotes"
) {}

export const Compare = DurableFunction.make("compare", {
  payload: Schema.Void,
  success: Schema.Struct({ sea: Schema.Number, air: Schema.Number, hedged: Schema.Number, late: Schema.Boolean })
})

const quote = (carrier: string) =>
  Durable.step(
    carrier,
    Quotes.use((quotes) => quotes.from(carrier))
  )

export const compare = Effect.fnUntraced(function* () {
  const { air, sea } = yield* Effect.all({ sea: quote("sea"), air: quote("air") }, { concurrency: "unbounded" })

  // the second one starts only if the first takes longer than 5 seconds
  const hedged = yield* Effect.raceFirst(quote("main"), Effect.delay(quote("backup"), "5 seconds"))

  // a race against a durable timer
  const late = yield* Effect.raceFirst(
    Effect.as(quote("slow"), false),
    Effect.as(Durable.wait("deadline", "10 minutes"), true)
  )
  return { sea, air, hedged, late }
})
