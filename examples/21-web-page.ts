/**
 * Shows: the local engine's web page. Run it, open the URL that it prints, choose the execution, and answer its
 * callback there, with `{ "by": "Ada" }`: the workflow goes on, and the program ends.
 *
 *     node --conditions=@effect-durable-lambda/source examples/21-web-page.ts 4600
 */
import { Durable, DurableExecutionClient, DurableFunction, DurableHandler } from "effect-durable-lambda"
import { Server } from "effect-durable-lambda/dev"
import { Engine } from "effect-durable-lambda/engine"
import { Console, Effect, Layer, Schema } from "effect"

const Approval = Schema.Struct({ by: Schema.String })
const Publish = DurableFunction.make("publish", { payload: Schema.String, success: Schema.String })

const publish = Effect.fnUntraced(function* (title: string) {
  yield* Durable.step("typeset", Effect.delay(Effect.void, "200 millis"))
  yield* Durable.wait("let-it-rest", "2 seconds")
  const { by } = yield* Durable.waitForCallback("approval", () => Console.log(`who approves "${title}"?`), {
    success: Approval,
    timeout: "1 day"
  })
  return `"${title}" is out, thanks to ${by}`
})

const program = Effect.gen(function* () {
  const engine = yield* Engine.Engine
  const { url } = yield* Server.Server
  const client = Layer.succeed(DurableExecutionClient.DurableExecutionClient, engine.client)
  yield* engine.register("publish", Engine.fromHandler(DurableHandler.make(Publish, publish, { client })))
  const arn = yield* engine.start({ functionName: "publish:$LATEST", payload: JSON.stringify("Walden") })
  yield* Console.log(`open ${url}`)
  const end = yield* engine.await(arn)
  yield* Console.log(end.Result ?? end.Status)
})

const [, , port = "0"] = process.argv
const layer = Server.layerWith({ port: Number(port) }).pipe(Layer.provideMerge(Engine.layerMemory))

Effect.runPromise(Effect.provide(program, layer)).catch((error: unknown) => {
  process.stderr.write(`${String(error)}\n`)
  process.exitCode = 1
})
