import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as FakeService from "./FakeService.ts"

const Anything = DurableFunction.make("order", { payload: Schema.Unknown, success: Schema.Any })

const twoSteps = (service: FakeService.FakeService, ran: Array<string> = []) =>
  DurableHandler.make(
    Anything,
    () =>
      Effect.gen(function* () {
        const a = yield* Durable.step(
          "a",
          Effect.sync(() => ran.push("a"))
        )
        const b = yield* Durable.step(
          "b",
          Effect.sync(() => ran.push("b"))
        )
        return [a, b]
      }).pipe(Effect.catchCause(() => Effect.succeed("swallowed"))),
    service.handlerOptions
  )

describe("wire-protocol section 10: missing token in a response", () => {
  it.effect("ends the invocation with PENDING, and neither it nor the consumed token is used again", () =>
    Effect.gen(function* () {
      const ran: Array<string> = []
      const service = FakeService.make({ replies: [FakeService.withoutToken] })
      assert.deepStrictEqual(yield* service.invoke(twoSteps(service, ran)), { Status: "PENDING" })
      assert.deepStrictEqual(service.trace, [["START STEP a", "SUCCEED STEP a"]])
      assert.deepStrictEqual(ran, ["a"])
      // what was recorded is there for the next invocation
      assert.deepStrictEqual(yield* service.invoke(twoSteps(service, ran)), { Status: "SUCCEEDED", Result: "[1,2]" })
      assert.deepStrictEqual(ran, ["a", "b"])
    })
  )

  for (const token of ["", null]) {
    it.effect(`the same for ${JSON.stringify(token)}: an empty token is never sent`, () =>
      Effect.gen(function* () {
        const service = FakeService.make({ replies: [(ordinary) => ({ ...ordinary(), CheckpointToken: token })] })
        assert.deepStrictEqual(yield* service.invoke(twoSteps(service)), { Status: "PENDING" })
        assert.strictEqual(service.requests.length, 1)
      })
    )
  }

  it.effect("after our own EXECUTION update it is how the service says that all is done", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ replies: [FakeService.withoutToken] })
      const large = DurableHandler.make(
        Anything,
        () => Effect.succeed("x".repeat(6 * 1024 * 1024)),
        service.handlerOptions
      )
      assert.deepStrictEqual(yield* service.invoke(large), { Status: "SUCCEEDED", Result: "" })
      assert.deepStrictEqual(service.trace, [["SUCCEED EXECUTION"]])
    })
  )
})

describe("wire-protocol section 10: NextMarker of a checkpoint response ignored", () => {
  it.effect("all pages are read, with the new token, before anyone is woken", () =>
    Effect.gen(function* () {
      const service = FakeService.make({
        replies: [FakeService.paged("more")],
        pages: {
          more: (service) => ({ Operations: [service.record("a")], NextMarker: "rest" }),
          rest: () => ({ Operations: [], NextMarker: "" })
        }
      })
      assert.deepStrictEqual(yield* service.invoke(twoSteps(service)), { Status: "SUCCEEDED", Result: "[1,2]" })
      assert.deepStrictEqual(
        service.stateRequests.map(({ CheckpointToken, Marker, MaxItems }) => [CheckpointToken, Marker, MaxItems]),
        [
          ["token1", "more", 1000],
          ["token1", "rest", 1000]
        ]
      )
      // reading pages does not use the token up
      assert.strictEqual(service.requests[1]?.CheckpointToken, "token1")
    })
  )

  it.effect("an outside completion on a later page is not lost", () =>
    Effect.gen(function* () {
      const slow = Promise.withResolvers<void>()
      const service = FakeService.make({
        replies: [
          undefined,
          (ordinary) => {
            ordinary()
            service.pass(60)
            return { CheckpointToken: "token-of-page", NewExecutionState: { Operations: [], NextMarker: "page" } }
          }
        ],
        pages: { page: (service) => ({ Operations: [service.record("pause"), service.record("slow")] }) }
      })
      const handler = DurableHandler.make(
        Anything,
        () =>
          Effect.all(
            [
              Durable.wait("pause", "1 minute"),
              Durable.step(
                "slow",
                Effect.promise(() => slow.promise)
              )
            ],
            { concurrency: 2 }
          ).pipe(Effect.as("both")),
        service.handlerOptions
      )
      setImmediate(() => setImmediate(() => slow.resolve()))
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: '"both"' })
    })
  )
})

describe("wire-protocol section 10: request rules", () => {
  it.effect("each token is used once, each request has a ClientToken of its own", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Anything,
        () => Effect.forEach(["a", "b", "c"], (name) => Durable.step(name, Effect.succeed(name))),
        service.handlerOptions
      )
      yield* service.invoke(handler)
      const tokens = service.requests.map(({ CheckpointToken }) => CheckpointToken)
      assert.deepStrictEqual(tokens, ["token0", "token1", "token2"])
      const clientTokens = service.requests.map(({ ClientToken }) => ClientToken)
      assert.strictEqual(new Set(clientTokens).size, 3)
      for (const token of clientTokens) assert.match(token, /^[\x21-\x7E]{1,64}$/)
      assert.isTrue(service.requests.every(({ DurableExecutionArn }) => DurableExecutionArn === FakeService.ARN))
    })
  )

  it.effect("every update of an operation repeats its metadata, parents come before their children", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Anything,
        () =>
          Effect.all(
            ["x", "y"].map((name) =>
              Durable.childContext(name, Durable.step("s", Effect.succeed(name))).pipe(Durable.childContext("outer"))
            ),
            { concurrency: "unbounded" }
          ),
        service.handlerOptions
      )
      yield* service.invoke(handler)
      const seen = new Map<string, string>()
      for (const { Id, Name, ParentId, SubType, Type } of service.updates) {
        const metadata = JSON.stringify([Type, SubType, Name, ParentId])
        assert.strictEqual(seen.get(Id) ?? metadata, metadata)
        if (ParentId !== undefined) assert.isTrue(seen.has(ParentId), `${Name} before its parent`)
        seen.set(Id, metadata)
      }
      assert.strictEqual(seen.size, 6)
    })
  )
})
