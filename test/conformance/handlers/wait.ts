/**
 * AWS's requirements for waits (suite 2).
 */
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

const waits = DurableFunction.make("waits", { payload: Schema.Unknown })

export const handlers = {
  "2-1": DurableHandler.make(waits, () => Durable.wait("pause", "2 seconds")),
  "2-2": DurableHandler.make(waits, () => Durable.wait("custom_wait_name", "2 seconds")),
  // 2-3: one after the other, each ends an invocation
  "2-3": DurableHandler.make(waits, () =>
    Effect.gen(function* () {
      yield* Durable.wait("first", "1 second")
      yield* Durable.wait("second", "2 seconds")
    })
  ),
  "2-4": DurableHandler.make(waits, () => Durable.wait("pause", "1 minute")),
  "2-5": DurableHandler.make(waits, () => Durable.wait("pause", "1 hour"))
}
