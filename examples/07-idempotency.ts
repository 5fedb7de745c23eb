/**
 * Shows: a process can end between the moment a step has done its work and the moment this is recorded; then the step
 * runs again. So give the other side a key that stays the same (`CurrentStep`), or let the step run at most once.
 */
import { Durable, DurableFunction } from "effect-durable-lambda"
import { Context, Effect, Schema } from "effect"

export class Bank extends Context.Service<
  Bank,
  { readonly transfer: (cents: number, idempotencyKey: string) => Effect.Effect<string, Error> }
>()("examples/Bank") {}

export const Pay = DurableFunction.make("pay", { payload: Schema.Int, success: Schema.String })

export const pay = Effect.fnUntraced(function* (cents: number) {
  const transfer = yield* Durable.step(
    "transfer",
    Effect.gen(function* () {
      const { idempotencyKey } = yield* Durable.CurrentStep // the same in every attempt and every invocation
      return yield* Bank.use((bank) => bank.transfer(cents, idempotencyKey))
    })
  )
  // for what knows no keys: if the process ends in the middle, this fails with StepInterrupted instead
  yield* Durable.step("print", Effect.logInfo("printed"), {
    semantics: "AtMostOncePerRetry",
    retry: Durable.noRetry
  }).pipe(Effect.catchTag("StepInterrupted", () => Effect.logWarning("somebody has to look at the printer")))
  return transfer
})
