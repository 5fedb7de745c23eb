/**
 * Shows: a definition, a body with one step, and the handler that Lambda runs.
 */
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import { Effect, Schema } from "effect"

export const Hello = DurableFunction.make("hello", { payload: Schema.String, success: Schema.String })

export const hello = (name: string) => Durable.step("greet", Effect.succeed(`Hello, ${name}!`))

export const handler = DurableHandler.make(Hello, hello)
