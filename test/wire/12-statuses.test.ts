import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import type * as Protocol from "effect-durable-lambda/Protocol"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as FakeService from "./FakeService.ts"

// Conditions, callbacks and invokes: 20-outside.test.ts

const Anything = DurableFunction.make("order", { payload: Schema.Unknown, success: Schema.Any })
const ended: ReadonlyArray<Protocol.OperationStatus> = ["TIMED_OUT", "STOPPED", "CANCELLED"]

describe("wire-protocol section 12: STEP / CONTEXT found TIMED_OUT, STOPPED, CANCELLED re-run", () => {
  for (const status of ended) {
    const run = Effect.fnUntraced(function* (
      service: FakeService.FakeService,
      operation: Effect.Effect<unknown, unknown, Durable.Requires>
    ) {
      const handler = DurableHandler.make(
        Anything,
        () =>
          Effect.gen(function* () {
            const outcome = yield* operation.pipe(
              Effect.orDie,
              Effect.as("succeeded"),
              Effect.catchCause((cause) => Effect.succeed(String(Cause.squash(cause))))
            )
            yield* Durable.wait("pause", "1 second")
            return outcome
          }),
        service.handlerOptions
      )
      return yield* service.invoke(handler)
    })

    it.effect(`a step found ${status} has failed: it is not run, nothing is sent for it`, () =>
      Effect.gen(function* () {
        let ran = 0
        const service = FakeService.make()
        const step = Durable.step(
          "s",
          Effect.sync(() => ++ran)
        )
        assert.deepStrictEqual(yield* run(service, step), { Status: "PENDING" })
        service.change("s", { Status: status, StepDetails: { Attempt: 1, Error: { ErrorMessage: "by hand" } } })
        service.pass(1)
        const sent = service.requests.length
        const answer = yield* run(service, step)
        assert(answer.Status === "SUCCEEDED")
        assert.match(answer.Result ?? "", new RegExp(`STEP .*ended with status ${status}: by hand`))
        assert.strictEqual(ran, 1)
        assert.strictEqual(service.requests.length, sent)
      })
    )

    it.effect(`a context found ${status} has failed: its body does not run`, () =>
      Effect.gen(function* () {
        let ran = 0
        const service = FakeService.make()
        const context = Durable.childContext(
          "c",
          Effect.as(
            Effect.sync(() => ++ran),
            1
          )
        )
        assert.deepStrictEqual(yield* run(service, context), { Status: "PENDING" })
        service.change("c", { Status: status, ContextDetails: {} })
        service.pass(1)
        const answer = yield* run(service, context)
        assert(answer.Status === "SUCCEEDED")
        assert.match(answer.Result ?? "", new RegExp(`CONTEXT .*ended with status ${status}`))
        assert.strictEqual(ran, 1)
      })
    )

    it.effect(`uncaught, a step found ${status} fails the execution`, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        const handler = DurableHandler.make(
          Anything,
          () => Effect.andThen(Durable.step("s", Effect.succeed(1)), Durable.wait("pause", "1 second")),
          service.handlerOptions
        )
        yield* service.invoke(handler)
        service.change("s", { Status: status })
        service.forget("pause")
        const answer = yield* service.invoke(handler)
        assert(answer.Status === "FAILED")
        assert.match(answer.Error?.ErrorMessage ?? "", new RegExp(status))
      })
    )
  }

  it.effect("a wait found CANCELLED is over; found TIMED_OUT or STOPPED it has failed", () =>
    Effect.gen(function* () {
      for (const status of ended) {
        const service = FakeService.make()
        const handler = DurableHandler.make(
          Anything,
          () => Effect.as(Durable.wait("pause", "1 hour"), "over"),
          service.handlerOptions
        )
        yield* service.invoke(handler)
        service.change("pause", { Status: status })
        const answer = yield* service.invoke(handler)
        assert.strictEqual(answer.Status, status === "CANCELLED" ? "SUCCEEDED" : "FAILED", status)
      }
    })
  )
})

describe("wire-protocol section 12: what to do with the status found", () => {
  it.effect("a step found STARTED runs again without a second START, as the same attempt", () =>
    Effect.gen(function* () {
      const attempts: Array<number> = []
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Anything,
        () =>
          Durable.step(
            "s",
            Effect.flatMap(Durable.CurrentStep, ({ attempt }) => Effect.sync(() => attempts.push(attempt)))
          ),
        { ...service.handlerOptions, startDelay: 0 }
      )
      yield* service.invoke(handler)
      service.change("s", { Status: "STARTED", StepDetails: {} })
      const sent = service.requests.length
      assert.strictEqual((yield* service.invoke(handler)).Status, "SUCCEEDED")
      assert.deepStrictEqual(service.trace.slice(sent), [["SUCCEED STEP s"]])
      assert.deepStrictEqual(attempts, [1, 1])
    })
  )

  it.effect("a step found PENDING is waited for; nothing is sent and it does not run", () =>
    Effect.gen(function* () {
      let ran = 0
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Anything,
        () =>
          Durable.step(
            "s",
            Effect.suspend(() => (++ran, Effect.fail("no"))),
            { retry: { times: 3 } }
          ),
        service.handlerOptions
      )
      assert.strictEqual((yield* service.invoke(handler)).Status, "PENDING")
      const sent = service.requests.length
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
      assert.strictEqual(service.requests.length, sent)
      assert.strictEqual(ran, 1)
    })
  )

  it.effect("a step found READY starts again, with the next attempt's number", () =>
    Effect.gen(function* () {
      const attempts: Array<number> = []
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Anything,
        () =>
          Durable.step(
            "s",
            Effect.flatMap(Durable.CurrentStep, ({ attempt }) => {
              attempts.push(attempt)
              return attempt < 3 ? Effect.fail("no") : Effect.succeed(attempt)
            }),
            { retry: { times: 5 } }
          ),
        service.handlerOptions
      )
      for (const _ of [1, 2]) {
        assert.strictEqual((yield* service.invoke(handler)).Status, "PENDING")
        service.pass(1)
        assert.strictEqual(service.record("s").Status, "READY")
      }
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: "3" })
      assert.deepStrictEqual(attempts, [1, 2, 3])
      assert.deepStrictEqual(service.trace, [
        ["START STEP s", "RETRY STEP s"],
        ["START STEP s", "RETRY STEP s"],
        ["START STEP s", "SUCCEED STEP s"]
      ])
    })
  )
})
