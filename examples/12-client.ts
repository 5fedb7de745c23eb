/**
 * Shows: what happens around a workflow. A web server starts it, hands out its callback, takes the answer and waits
 * for the result, all by `DurableClient`; only the layer knows whether that is AWS or the local engine over HTTP, as
 * here:
 *
 *     node --conditions=@effect-durable-lambda/source examples/12-client.ts
 */
import { Durable, DurableClient, DurableExecutionClient, DurableFunction, DurableHandler } from "effect-durable-lambda"
import { Server } from "effect-durable-lambda/dev"
import { Engine } from "effect-durable-lambda/engine"
import { Console, Context, Effect, Layer, Queue, Schema, Stream } from "effect"

// ---- what all sides know ---------------------------------------------------------------------------------

export class Refused extends Schema.TaggedError<Refused>()("Refused", { why: Schema.String }) {}

export const Reimburse = DurableFunction.make("reimburse", {
  payload: Schema.Struct({ id: Schema.String, cents: Schema.Int }),
  success: Schema.Struct({ transfer: Schema.String, approvedBy: Schema.String }),
  error: Refused
})

/** The same schemas for who waits and for who answers. */
export const Approval = { success: Schema.Struct({ by: Schema.String }), error: Refused }

// ---- the workflow ----------------------------------------------------------------------------------------

export class Inbox extends Context.Service<
  Inbox,
  { readonly put: (text: string, callbackId: string) => Effect.Effect<void> }
>()("examples/Inbox") {}

export const reimburse = Effect.fnUntraced(function* (expense: { readonly id: string; readonly cents: number }) {
  const { by } = yield* Durable.waitForCallback(
    "approval",
    (callbackId) => Inbox.use((inbox) => inbox.put(`Reimburse ${expense.id}?`, callbackId)),
    { ...Approval, timeout: "7 days" }
  )
  const transfer = yield* Durable.step("transfer", Effect.succeed(`transfer-${expense.id}`))
  return { transfer, approvedBy: by }
})

// ---- the web server --------------------------------------------------------------------------------------

/** Named after the expense: a second click starts nothing. */
export const submit = (id: string, cents: number) =>
  DurableClient.start(Reimburse, "reimburse:$LATEST", { id, cents }, { name: `expense-${id}` })

export const approve = (callbackId: string, by: string) =>
  DurableClient.succeed(DurableClient.callback(callbackId, Approval), { by })

export const refuse = (callbackId: string, why: string) =>
  DurableClient.fail(DurableClient.callback(callbackId, Approval), new Refused({ why }))

export const outcome = (executionArn: string) =>
  DurableClient.result(DurableClient.execution(Reimburse, executionArn)).pipe(
    Effect.map(({ approvedBy }) => `paid, approved by ${approvedBy}`),
    Effect.catchTag("Refused", ({ why }) => Effect.succeed(`not paid: ${why}`))
  )

// ---- the local engine ------------------------------------------------------------------------------------

/** The engine behind HTTP, with the function, and a client for it. */
export const layer = (inbox: Inbox["Service"]) =>
  Layer.effectDiscard(
    Effect.gen(function* () {
      const engine = yield* Engine.Engine
      const handler = DurableHandler.make(Reimburse, reimburse, {
        layer: Layer.succeed(Inbox, inbox),
        client: Layer.succeed(DurableExecutionClient.DurableExecutionClient, engine.client)
      })
      yield* engine.register("reimburse", Engine.fromHandler(handler))
    })
  ).pipe(
    Layer.provideMerge(
      Layer.unwrap(Effect.map(Server.Server, ({ url }) => DurableClient.layerEndpoint({ endpoint: url })))
    ),
    Layer.provide(Server.layer),
    Layer.provide(Engine.layerMemory)
  )

const program = Effect.gen(function* () {
  const letters = yield* Queue.unbounded<string>()
  const inbox = { put: (_: string, callbackId: string) => Effect.asVoid(Queue.offer(letters, callbackId)) }
  yield* Effect.gen(function* () {
    const { executionArn } = yield* submit("7", 1999)
    const again = yield* submit("7", 1999)
    yield* Console.log(`started once: ${executionArn === again.executionArn}`)
    yield* approve(yield* Queue.take(letters), "Ada")
    yield* Console.log(yield* outcome(executionArn))
    yield* Console.log(`${yield* Stream.runCount(DurableClient.history(executionArn))} events`)
  }).pipe(Effect.provide(layer(inbox)))
})

if (import.meta.main) await Effect.runPromise(program)
