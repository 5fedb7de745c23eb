/**
 * Shows: branches side by side as one operation. A struct of branches gives a struct of values; each branch waits,
 * fails and is recorded by itself. In mode "result" nothing fails, and a rule says when enough of them have ended.
 */
import { Durable, DurableFunction } from "effect-durable-lambda"
import { Context, Effect, Schema } from "effect"

export class SoldOut extends Schema.TaggedError<SoldOut>()("SoldOut", { what: Schema.String }) {}

export class Trip extends Context.Service<
  Trip,
  {
    readonly book: (what: string) => Effect.Effect<string, SoldOut>
    readonly quote: (carrier: string) => Effect.Effect<number>
  }
>()("examples/Trip") {}

export const Travel = DurableFunction.make("travel", {
  payload: Schema.String,
  success: Schema.Struct({ hotel: Schema.String, flight: Schema.String, cheapest: Schema.Number }),
  error: SoldOut
})

const book = (what: string) =>
  Durable.step(
    "book",
    Trip.use((trip) => trip.book(what)),
    { error: SoldOut, retry: Durable.noRetry }
  )

const quote = (carrier: string) =>
  Durable.step(
    "quote",
    Trip.use((trip) => trip.quote(carrier))
  )

export const travel = Effect.fnUntraced(function* (city: string) {
  // the first two answers of three; the third one is interrupted
  const quotes = yield* Durable.parallel("quotes", [quote("train"), quote("plane"), quote("ship")], {
    mode: "result",
    completion: { minSuccessful: 2 }
  })

  // all or nothing: a branch's failure keeps its class, because `error` covers it
  const { flight, hotel } = yield* Durable.parallel("book", {
    hotel: Durable.branch(book(`hotel in ${city}`), { error: SoldOut }),
    flight: Durable.branch(Effect.andThen(Durable.wait("sale", "1 hour"), book(`flight to ${city}`)), {
      error: SoldOut
    })
  })
  return { hotel, flight, cheapest: Math.min(...quotes.successes) }
})
