/**
 * Shows: code that changes while executions run. What came later is `Durable.added`, what has gone is `Durable.retired`.
 * An execution that the old code began is finished by the new one; one that began with the new code does not notice.
 */
import { Durable, DurableFunction } from "effect-durable-lambda"
import { Effect, Schema } from "effect"

export const Join = DurableFunction.make("join", {
  payload: Schema.String,
  success: Schema.Struct({ member: Schema.String, checked: Schema.Boolean })
})

/** Last year's code. Executions of it are in their 30 days. */
export const joinLastYear = Effect.fnUntraced(function* (name: string) {
  yield* Durable.step("fax the office", Effect.void)
  const member = yield* Durable.step("member number", Effect.succeed(`${name}-1`))
  yield* Durable.wait("first month", "30 days")
  return { member, checked: false }
})

export const join = Effect.fnUntraced(function* (name: string) {
  yield* Durable.added("check address")
  yield* Durable.retired("fax the office")
  // also for those who are in their first month: it runs when they are replayed, before what they have on record
  const checked = yield* Durable.step("check address", Effect.succeed(true))
  const member = yield* Durable.step("member number", Effect.succeed(`${name}-2`))
  yield* Durable.wait("first month", "30 days")
  return { member, checked }
})
