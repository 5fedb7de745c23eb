/**
 * Shows: the engine on a file. Run it, stop it as hard as you like (Ctrl-C, `kill -9`), and run it again: it goes
 * on where it was, and what was counted is not counted again.
 *
 *     node --conditions=@effect-durable-lambda/source examples/11-restarts.ts countdown.sqlite
 */
import { Durable, DurableExecutionClient, DurableFunction, DurableHandler } from "effect-durable-lambda"
import { Engine, Timers } from "effect-durable-lambda/engine"
import * as SqliteStore from "effect-durable-lambda/engine/SqliteStore"
import { Console, Effect, Layer, Schema } from "effect"

export const CountDown = DurableFunction.make("count-down", { payload: Schema.Int, success: Schema.String })

export const countDown = Effect.fnUntraced(function* (from: number) {
  for (let i = from; i > 0; i--) {
    yield* Durable.step(`count ${i}`, Console.log(i))
    yield* Durable.wait(`after ${i}`, "1 second")
  }
  return "lift-off"
})

const program = Effect.gen(function* () {
  const engine = yield* Engine.Engine
  // the handler as for Lambda, but this engine is its service
  const handler = DurableHandler.make(CountDown, countDown, {
    client: Layer.succeed(DurableExecutionClient.DurableExecutionClient, engine.client)
  })
  yield* engine.register("count-down", Engine.fromHandler(handler))
  // with a name, a second start finds the first
  const arn = yield* engine.start({ functionName: "count-down:$LATEST", executionName: "apollo", payload: "5" })
  const end = yield* engine.await(arn)
  yield* Console.log(end.Result)
})

const [, , filename = "countdown.sqlite"] = process.argv
const layer = Engine.layerRecovering.pipe(Layer.provide([SqliteStore.layer({ filename }), Timers.layer]))

if (import.meta.main) await Effect.runPromise(Effect.provide(program, layer))
