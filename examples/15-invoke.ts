/**
 * Shows: workflows that call other functions. A definition types both ways and brings the other one's error back as its
 * class; a function that is not durable needs schemas only. While they run, this one does not.
 */
import { Durable, DurableFunction } from "effect-durable-lambda"
import { Effect, Schema } from "effect"

export class OutOfStock extends Schema.TaggedError<OutOfStock>()("OutOfStock", { item: Schema.String }) {}

/** A workflow of its own, deployed as the function "ship" with an alias "live". */
export const Ship = DurableFunction.make("ship", {
  payload: Schema.Struct({ item: Schema.String }),
  success: Schema.Struct({ label: Schema.String }),
  error: OutOfStock
})

export const ship = Effect.fnUntraced(function* ({ item }: typeof Ship.payload.Type) {
  if (item === "unicorn") return yield* new OutOfStock({ item })
  yield* Durable.wait("pick-up", "1 day")
  return { label: `L-${item}` }
})

/** Somebody else's function, not a durable one. */
export const Tax = { payload: Schema.Struct({ cents: Schema.Int }), success: Schema.Int }

export const Sell = DurableFunction.make("sell", {
  payload: Schema.Struct({ item: Schema.String, cents: Schema.Int }),
  success: Schema.String
})

export const sell = Effect.fnUntraced(function* ({ cents, item }: typeof Sell.payload.Type) {
  const tax = yield* Durable.invoke("tax", Tax, { cents }, { functionName: "tax" })
  return yield* Durable.invoke("ship", Ship, { item }, { functionName: "ship:live" }).pipe(
    Effect.map(({ label }) => `${label}, ${cents + tax} cents`),
    Effect.catchTag("OutOfStock", (error) => Effect.succeed(`no ${error.item}`)),
    // everything else: a failed operation over there, its time is over, it was stopped, it does not exist
    Effect.catchTag("InvokeFailed", ({ message, status }) => Effect.succeed(`${status}: ${message}`))
  )
})
