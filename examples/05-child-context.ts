/**
 * Shows: a part of a workflow as one record. Names inside do not clash with names outside, so the same part can be used
 * many times. It takes values and gives values: it must not write to variables or Refs of its parent.
 */
import { Durable, DurableFunction } from "effect-durable-lambda"
import { Effect, Schema } from "effect"

export const Onboard = DurableFunction.make("onboard", {
  payload: Schema.Array(Schema.String),
  success: Schema.Array(Schema.String)
})

const welcome = (name: string) =>
  Effect.gen(function* () {
    const account = yield* Durable.step("account", Effect.succeed(`account of ${name}`))
    yield* Durable.wait("first-week", "7 days")
    yield* Durable.step("tips", Effect.logInfo(`tips for ${name}`))
    return account
  }).pipe(Durable.childContext(`welcome ${name}`))

export const onboard = (names: ReadonlyArray<string>) => Effect.forEach(names, welcome, { concurrency: "unbounded" })
