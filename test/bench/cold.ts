/**
 * The handler whose cold start `npm run bench` measures: one step, AWS's client of the environment.
 */
import * as Durable from "effect-durable-lambda/Durable"
import * as DurableFunction from "effect-durable-lambda/DurableFunction"
import * as DurableHandler from "effect-durable-lambda/DurableHandler"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

process.env.AWS_LAMBDA_RUNTIME_API = "127.0.0.1:9001" // which Lambda sets, and the harness does not

const One = DurableFunction.make("one", { payload: Schema.Void, success: Schema.Struct({ ok: Schema.Boolean }) })

export const handler = DurableHandler.make(One, () => Durable.step("one", Effect.succeed({ ok: true })))
