import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as FakeService from "./FakeService.ts"

const Anything = DurableFunction.make("order", { payload: Schema.Unknown, success: Schema.Any })

const refused = FakeService.awsError(400, "InvalidParameterValueException", "Invalid parent operation id.")
const down = FakeService.awsError(500, "ServiceException", "down")

describe("wire-protocol section 14: checkpoint failure after the handler settled -> SUCCEEDED", () => {
  /** The context's SUCCEED is not waited for: the body has long ended when it fails. */
  const contextOnly = (service: FakeService.FakeService) =>
    DurableHandler.make(Anything, () => Durable.childContext("c", Effect.succeed("done")), service.handlerOptions)

  it.effect("refused: FAILED, not SUCCEEDED", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ replies: [FakeService.fails(refused)] })
      const answer = yield* service.invoke(contextOnly(service))
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "CheckpointFailed")
      assert.match(answer.Error?.ErrorMessage ?? "", /Invalid parent operation id\./)
    })
  )

  it.effect("unavailable: thrown, and the next invocation records it", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ replies: [1, 2, 3].map(() => FakeService.fails(down)) })
      const { error } = yield* Effect.flip(service.invoke(contextOnly(service)))
      assert.strictEqual(error._tag, "CheckpointFailed")
      assert.strictEqual(error.scope, "invocation")
      assert.deepStrictEqual(yield* service.invoke(contextOnly(service)), { Status: "SUCCEEDED", Result: '"done"' })
      assert.strictEqual(service.record("c").Status, "SUCCEEDED")
    })
  )

  it.effect("no token: PENDING, and the next invocation ends it", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ replies: [FakeService.withoutToken] })
      assert.deepStrictEqual(yield* service.invoke(contextOnly(service)), { Status: "PENDING" })
      assert.deepStrictEqual(yield* service.invoke(contextOnly(service)), { Status: "SUCCEEDED", Result: '"done"' })
      assert.strictEqual(service.requests.length, 1)
    })
  )

  it.effect("the answer waits for the request: nothing is answered while it hangs", () =>
    Effect.gen(function* () {
      const hanging = FakeService.held()
      const service = FakeService.make({ replies: [hanging.reply] })
      let answered = false
      const answer = contextOnly(service)(service.event()).finally(() => {
        answered = true
      })
      yield* hanging.asked
      for (let i = 0; i < 20; i++) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      assert.isFalse(answered)
      hanging.release()
      assert.deepStrictEqual(yield* Effect.promise(() => answer), { Status: "SUCCEEDED", Result: '"done"' })
    })
  )

  it.effect("a failed body does not hide it either: what ends the invocation decides", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ replies: [1, 2, 3].map(() => FakeService.fails(down)) })
      const handler = DurableHandler.make(
        Anything,
        () => Effect.andThen(Durable.childContext("c", Effect.void), Effect.die(new Error("the body's own"))),
        service.handlerOptions
      )
      const { error } = yield* Effect.flip(service.invoke(handler))
      assert.strictEqual(error._tag, "CheckpointFailed")
    })
  )
})

describe("wire-protocol section 14: unsettled promises of dropped updates", () => {
  const everywhere = (service: FakeService.FakeService, ran: Array<string>) =>
    DurableHandler.make(
      Anything,
      () =>
        Effect.all(
          ["a", "b", "c"].map((name) =>
            Durable.step(
              name,
              Effect.sync(() => ran.push(name))
            ).pipe(
              Effect.exit,
              Effect.andThen(Effect.sync(() => ran.push(`after ${name}`))),
              Effect.catchCause(() => Effect.sync(() => ran.push(`caught ${name}`))),
              Effect.ensuring(Effect.sync(() => ran.push(`finalizer ${name}`)))
            )
          ),
          { concurrency: "unbounded" }
        ),
      service.handlerOptions
    )

  it.effect("the invocation ends, user code cannot catch it, its finalizers run", () =>
    Effect.gen(function* () {
      const ran: Array<string> = []
      const service = FakeService.make({ replies: [FakeService.fails(refused)] })
      const answer = yield* service.invoke(everywhere(service, ran))
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "CheckpointFailed")
      assert.deepStrictEqual(ran.slice(0, 3), ["a", "b", "c"])
      assert.deepStrictEqual(ran.slice(3).sort(), ["finalizer a", "finalizer b", "finalizer c"])
      assert.strictEqual(service.requests.length, 1) // nothing more is sent
    })
  )

  it.effect("a lost response is asked for again, with the same updates, token and ClientToken", () =>
    Effect.gen(function* () {
      const service = FakeService.make({ replies: [FakeService.lost(FakeService.awsError(undefined, "TimeoutError"))] })
      const ran: Array<string> = []
      assert.strictEqual((yield* service.invoke(everywhere(service, ran))).Status, "SUCCEEDED")
      assert.deepStrictEqual(service.requests[1], service.requests[0])
      assert.deepStrictEqual(
        ran.filter((what) => what.length === 1),
        ["a", "b", "c"]
      )
    })
  )
})

describe("wire-protocol section 14.1: rules of the queue", () => {
  it.effect("one request in flight: what comes up meanwhile travels together in the next one, in order", () =>
    Effect.gen(function* () {
      const hanging = FakeService.held()
      const gates = new Map(["a", "b", "c"].map((name) => [name, Promise.withResolvers<void>()]))
      const service = FakeService.make({ replies: [hanging.reply] })
      const handler = DurableHandler.make(
        Anything,
        () =>
          Effect.all(
            ["a", "b", "c"].map((name) =>
              Durable.step(
                name,
                Effect.promise(() => gates.get(name)!.promise)
              )
            ),
            { concurrency: "unbounded" }
          ),
        service.handlerOptions
      )
      const answer = handler(service.event())
      gates.get("b")!.resolve()
      yield* hanging.asked
      gates.get("c")!.resolve()
      gates.get("a")!.resolve()
      for (let i = 0; i < 20; i++) yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      assert.strictEqual(service.requests.length, 1)
      hanging.release()
      assert.strictEqual((yield* Effect.promise(() => answer)).Status, "SUCCEEDED")
      assert.deepStrictEqual(service.trace, [
        ["START STEP a", "START STEP b", "START STEP c", "SUCCEED STEP b"],
        ["SUCCEED STEP c", "SUCCEED STEP a"]
      ])
    })
  )

  it.effect("600 concurrent steps take 5 requests of at most 250 updates, START before SUCCEED", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Anything,
        () =>
          Effect.forEach(
            Array.from({ length: 600 }, (_, i) => i),
            (i) => Durable.step(`s${i}`, Effect.succeed(i)),
            { concurrency: "unbounded", discard: true }
          ),
        service.handlerOptions
      )
      assert.strictEqual((yield* service.invoke(handler)).Status, "SUCCEEDED")
      const sizes = service.requests.map(({ Updates }) => Updates.length)
      assert.strictEqual(
        sizes.reduce((sum, size) => sum + size),
        1200
      )
      assert.isTrue(
        sizes.every((size) => size <= 250),
        sizes.join()
      )
      assert.isAtMost(sizes.length, 5)
      const started = new Set<string>()
      for (const { Action, Id } of service.updates) {
        if (Action === "START") started.add(Id)
        else assert.isTrue(started.has(Id))
      }
    })
  )

  it.effect("50 sequential instant steps take 50 requests of [START, SUCCEED]", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Anything,
        () =>
          Effect.forEach(Array.from({ length: 50 }), (_, i) => Durable.step("s", Effect.succeed(i)), { discard: true }),
        service.handlerOptions
      )
      yield* service.invoke(handler)
      assert.strictEqual(service.trace.length, 50)
      assert.isTrue(service.trace.every((batch) => batch.join() === "START STEP s,SUCCEED STEP s"))
    })
  )

  it.effect("section 14.2: a context that has ended sends nothing of what still ran in it", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const interrupted: Array<string> = []
      const handler = DurableHandler.make(
        Anything,
        () =>
          Durable.childContext(
            "c",
            Effect.gen(function* () {
              yield* Effect.forkChild(
                Durable.step(
                  "late",
                  Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted.push("late")))
                )
              )
              yield* Durable.step("first", Effect.succeed(1))
              return "ended"
            })
          ).pipe(Effect.tap(() => Durable.step("behind", Effect.succeed(1)))),
        service.handlerOptions
      )
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: '"ended"' })
      const trace = service.trace.flat()
      const closed = trace.indexOf("SUCCEED CONTEXT c")
      assert.isAbove(closed, 0)
      assert.isFalse(trace.slice(closed).some((line) => line.includes("late")))
      assert.isFalse(trace.includes("SUCCEED STEP late"))
      assert.deepStrictEqual(interrupted, ["late"])
    })
  )
})
