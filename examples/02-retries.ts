/**
 * Shows: when a step is tried again, given as a Schedule, as options, or as a builder that sees the error. Between two
 * attempts nothing runs. `Effect.retry` in the body repeats more than one step; its delays are durable waits.
 */
import { Durable, DurableFunction } from "effect-durable-lambda"
import { Context, Effect, Schedule, Schema } from "effect"

export class RateLimited extends Schema.TaggedError<RateLimited>()("RateLimited", {}) {}
export class NoSuchStock extends Schema.TaggedError<NoSuchStock>()("NoSuchStock", { symbol: Schema.String }) {}

export class Exchange extends Context.Service<
  Exchange,
  {
    readonly price: (symbol: string) => Effect.Effect<number, RateLimited | NoSuchStock>
    readonly buy: (symbol: string, price: number) => Effect.Effect<void, RateLimited>
    readonly confirm: (symbol: string) => Effect.Effect<void, RateLimited>
  }
>()("examples/Exchange") {}

export const Buy = DurableFunction.make("buy", { payload: Schema.String, success: Schema.Number, error: NoSuchStock })

export const buy = Effect.fnUntraced(function* (symbol: string) {
  const price = yield* Durable.step(
    "price",
    Exchange.use((exchange) => exchange.price(symbol)),
    {
      error: NoSuchStock,
      // a builder: the error has its type
      retry: ($) =>
        $(Schedule.exponential("2 seconds")).pipe(
          Schedule.upTo({ times: 4 }),
          Schedule.while(({ input }) => input._tag === "RateLimited")
        )
    }
  )
  yield* Effect.gen(function* () {
    yield* Durable.step(
      "buy",
      Exchange.use((exchange) => exchange.buy(symbol, price)),
      { retry: { times: 2 } } // options, as those of Effect.retry
    )
    yield* Durable.step(
      "confirm",
      Exchange.use((exchange) => exchange.confirm(symbol)),
      { retry: Durable.noRetry }
    )
  }).pipe(Effect.retry(Schedule.spaced("1 hour").pipe(Schedule.upTo({ times: 1 })))) // both again, an hour later
  return price
})
