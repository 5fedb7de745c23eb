/**
 * Shows: errors with a schema keep their class and their data through every replay; others become `StepFailed`. What the
 * definition declares reaches whoever waits for the result.
 */
import { Durable, DurableFunction } from "effect-durable-lambda"
import { Context, Effect, Schema } from "effect"

export class SoldOut extends Schema.TaggedError<SoldOut>()("SoldOut", { left: Schema.Int }) {}

export class Theatre extends Context.Service<
  Theatre,
  { readonly book: (seats: number) => Effect.Effect<string, SoldOut | Error> }
>()("examples/Theatre") {}

export const Book = DurableFunction.make("book", { payload: Schema.Int, success: Schema.String, error: SoldOut })

const book = (name: string, seats: number) =>
  Durable.step(
    name,
    Theatre.use((theatre) => theatre.book(seats)),
    { error: SoldOut, retry: Durable.noRetry } // covers SoldOut; any other Error surfaces as StepFailed
  )

export const bookSeats = (seats: number) =>
  book("book", seats).pipe(
    Effect.catchTag("SoldOut", (error) => (error.left > 0 ? book("book fewer", error.left) : Effect.fail(error))),
    Effect.catchTag("StepFailed", (error) => Effect.succeed(`${error.operation} failed: ${error.message}`))
  )
