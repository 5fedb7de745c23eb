/**
 * Shows: a handler's file, as it would be deployed, on the local engine. Its invocations run in processes of their own,
 * which find the engine as they would find Lambda. An hour takes a second.
 *
 *     node --conditions=@effect-durable-lambda/source examples/16-functions.ts
 */
import * as path from "node:path"
import { DurableClient } from "effect-durable-lambda"
import { Functions, Server } from "effect-durable-lambda/dev"
import { Engine, ExecutionStore, Timers } from "effect-durable-lambda/engine"
import { Console, Effect, Layer } from "effect"
import { ProcessOrder } from "./order/workflow.ts"

const program = Effect.gen(function* () {
  const { url } = yield* Server.Server
  const served = yield* Functions.serveFunctions(
    [
      {
        file: path.join(import.meta.dirname, "order/handler.ts"),
        timeoutSeconds: 30,
        // only in this repository: the library is its source
        env: { NODE_OPTIONS: "--conditions=@effect-durable-lambda/source" }
      }
    ],
    { endpoint: url }
  )
  for (const { name, source } of served) yield* Console.log(`${name} is ${path.relative(process.cwd(), source)}`)

  const order = { id: "7", customer: "ada@example.com", cents: 1999, items: ["teapot", "cup"] }
  const receipt = yield* DurableClient.run(ProcessOrder, "process-order:$LATEST", order)
  yield* Console.log(receipt.label)
})

const engine = Engine.layer.pipe(
  Layer.provide([ExecutionStore.layerMemory, Timers.layerScaled({ timeScale: 1 / 3600 })])
)
const server = Layer.provideMerge(Server.layer, engine)
const client = Layer.unwrap(Effect.map(Server.Server, ({ url }) => DurableClient.layerEndpoint({ endpoint: url })))

Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(Layer.provideMerge(client, server)))).catch(
  (error: unknown) => {
    process.stderr.write(`${String(error)}\n`)
    process.exitCode = 1
  }
)
