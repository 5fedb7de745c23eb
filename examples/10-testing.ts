/**
 * Shows: a workflow that is worth testing; its test is test/examples/10-testing.test.ts. Time is skipped
 * (`layerMemory`) or moved by the test (`layerMemoryClock`); services are those of the test.
 */
import { Durable, DurableFunction } from "effect-durable-lambda"
import { Context, Effect, Schema } from "effect"

export class Accounts extends Context.Service<
  Accounts,
  {
    readonly isPaying: (user: string) => Effect.Effect<boolean>
    readonly close: (user: string) => Effect.Effect<void, Error>
  }
>()("examples/Accounts") {}

export const Trial = DurableFunction.make("trial", {
  payload: Schema.String,
  success: Schema.Literals(["kept", "closed"])
})

export const trial = Effect.fnUntraced(function* (user: string) {
  yield* Durable.wait("trial", "14 days")
  const isPaying = yield* Durable.step(
    "is-paying",
    Accounts.use((accounts) => accounts.isPaying(user))
  )
  if (isPaying) return "kept" as const
  yield* Durable.step(
    "close",
    Accounts.use((accounts) => accounts.close(user))
  )
  return "closed" as const
})
