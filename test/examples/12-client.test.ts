import { assert, describe, it } from "@effect/vitest"
import { Effect, Queue } from "effect"
import { DurableClient } from "effect-durable-lambda"
import { approve, layer, outcome, refuse, submit } from "../../examples/12-client.ts"

const inbox = Effect.map(Queue.unbounded<string>(), (letters) => ({
  next: Queue.take(letters),
  service: { put: (_: string, callbackId: string) => Effect.asVoid(Queue.offer(letters, callbackId)) }
}))

describe("examples/12-client", () => {
  it.live("starts once, is answered, gives its result", () =>
    Effect.gen(function* () {
      const { next, service } = yield* inbox
      yield* Effect.gen(function* () {
        const { executionArn } = yield* submit("7", 1999)
        assert.strictEqual((yield* submit("7", 1999)).executionArn, executionArn)
        assert.strictEqual((yield* Effect.flip(submit("7", 2000)))._tag, "ExecutionAlreadyStarted")
        yield* approve(yield* next, "Ada")
        assert.strictEqual(yield* outcome(executionArn), "paid, approved by Ada")
        assert.strictEqual((yield* DurableClient.get(executionArn)).Status, "SUCCEEDED")
      }).pipe(Effect.provide(layer(service)))
    })
  )

  it.live("a refusal keeps its class all the way", () =>
    Effect.gen(function* () {
      const { next, service } = yield* inbox
      yield* Effect.gen(function* () {
        const { executionArn } = yield* submit("8", 1999)
        yield* refuse(yield* next, "no receipt")
        assert.strictEqual(yield* outcome(executionArn), "not paid: no receipt")
      }).pipe(Effect.provide(layer(service)))
    })
  )
})
