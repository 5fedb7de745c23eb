/**
 * What hangs before or after the body: the invocation says what it was, shortly before Lambda would kill it.
 */
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableError, DurableExecutionClient, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as FakeService from "./wire/FakeService.ts"

const invoke = (
  service: FakeService.FakeService,
  handler: DurableHandler.LambdaHandler,
  millis: number,
  event: unknown = service.event()
) => {
  const end = performance.now() + millis
  return service.invoke(handler, event, { getRemainingTimeInMillis: () => Math.max(0, end - performance.now()) })
}

/** The message of the invocation that ran out of time; it must come before Lambda's own end. */
const outOfTime = (...call: Parameters<typeof invoke>) =>
  Effect.gen(function* () {
    const began = performance.now()
    const { error } = yield* Effect.flip(invoke(...call))
    assert(error instanceof DurableError.OutOfTime, String(error))
    assert.isBelow(performance.now() - began, call[2], "Lambda would have killed it before")
    return error.message
  })

/** A text whose reading or writing never ends. */
const stuck = (side: "encode" | "decode") => {
  const through = SchemaGetter.passthrough<string>()
  const never = SchemaGetter.transformEffect((_: string) => Effect.never)
  return Schema.String.pipe(
    Schema.decodeTo(Schema.String, {
      decode: side === "decode" ? never : through,
      encode: side === "encode" ? never : through
    })
  )
}

const step = Durable.step("s", Effect.succeed("done"))

describe("DurableHandler, near Lambda's deadline", () => {
  it.live("a layer that hangs is named, and the next invocation goes on waiting for the same", () =>
    Effect.gen(function* () {
      class Database extends Context.Service<Database, string>()("Database") {}
      const connected = Promise.withResolvers<string>()
      let builds = 0
      const layer = Layer.effect(Database)(
        Effect.suspend(() => {
          builds++
          return Effect.promise(() => connected.promise)
        })
      )
      const service = FakeService.make()
      const Query = DurableFunction.make("query", { payload: Schema.Unknown, success: Schema.String })
      const handler = DurableHandler.make(Query, () => Durable.step("s", Effect.map(Database, String)), {
        ...service.handlerOptions,
        layer
      })
      for (const _ of ["first", "second"]) {
        const message = yield* outOfTime(service, handler, 400)
        assert.match(
          message,
          /^The layer of the handler of "query" was still being built near Lambda's deadline\. What it waits for does not come/
        )
      }
      connected.resolve("rows")
      assert.deepStrictEqual(yield* invoke(service, handler, 5_000), { Status: "SUCCEEDED", Result: '"rows"' })
      assert.strictEqual(builds, 1)
    })
  )

  it.live("codecs of the payload, of the result and of the error", () =>
    Effect.gen(function* () {
      const parts = { payload: Schema.String, success: Schema.String, error: Schema.String }
      const cases: ReadonlyArray<readonly [string, typeof parts, Effect.Effect<string, string, Durable.Requires>]> = [
        ["The payload of", { ...parts, payload: stuck("decode") }, step],
        ["The result of", { ...parts, success: stuck("encode") }, step],
        ["The error of", { ...parts, error: stuck("encode") }, Effect.andThen(step, Effect.fail("no"))]
      ]
      for (const [what, schemas, body] of cases) {
        const service = FakeService.make({ input: '"in"' })
        const handler = DurableHandler.make(DurableFunction.make("f", schemas), () => body, service.handlerOptions)
        const message = yield* outOfTime(service, handler, 400)
        assert.match(message, new RegExp(`^${what} "f" was still being (en|de)coded near Lambda's deadline\\. What`))
        // what is on record stays, and the function works again once its codec does
        const mended = DurableHandler.make(DurableFunction.make("f", parts), () => body, service.handlerOptions)
        assert.strictEqual(
          (yield* invoke(service, mended, 5_000)).Status,
          what === "The error of" ? "FAILED" : "SUCCEEDED"
        )
        assert.strictEqual(service.updates.filter(({ Action }) => Action === "SUCCEED").length, 1)
      }
    })
  )

  it.live("a service that answers no page of the state, or does not answer the last checkpoint", () =>
    Effect.gen(function* () {
      const Large = DurableFunction.make("large", { payload: Schema.Unknown, success: Schema.String })
      const service = FakeService.make()
      const client = Layer.succeed(DurableExecutionClient.DurableExecutionClient, {
        ...DurableExecutionClient.fromCalls(service.calls),
        getExecutionState: () => Effect.never
      })
      const handler = DurableHandler.make(Large, () => step, { ...service.handlerOptions, client })
      assert.strictEqual(
        yield* outOfTime(service, handler, 400, service.event({ Operations: [], NextMarker: "more" })),
        `The state of ${FakeService.ARN} was still being loaded near Lambda's deadline. What is not on record is done again by the ` +
          "next invocation; if this is no passing fault, raise the function's timeout."
      )

      // a result of more than 6 MB is recorded by a checkpoint
      const held = FakeService.held()
      const silent = FakeService.make({ replies: [held.reply] })
      const large = DurableHandler.make(Large, () => Effect.succeed("x".repeat(6_500_000)), silent.handlerOptions)
      assert.match(
        yield* outOfTime(silent, large, 1_500),
        /^The service had not answered the last checkpoint near Lambda's deadline\. What is not on record is done again/
      )
      held.release()

      // a body that is wrong ends the execution, once what was begun is on record
      const unheard = FakeService.held()
      const busy = FakeService.make({ replies: [unheard.reply] })
      const inside = Durable.wait("w", "1 second") as Effect.Effect<void> // the types would not let it in
      const inStep = Durable.step("in step", Effect.andThen(Effect.sleep(20), inside))
      const wrong = Effect.andThen(Effect.forkChild(Durable.wait("begun", "1 hour")), inStep)
      const handling = DurableHandler.make(Large, () => Effect.as(wrong, ""), busy.handlerOptions)
      assert.match(yield* outOfTime(busy, handling, 400), /^The service had not answered the last checkpoint near/)
      unheard.release()
      const answer = yield* invoke(busy, handling, 5_000)
      assert(answer.Status === "FAILED")
      assert.match(answer.Error?.ErrorMessage ?? "", /Durable\.wait\("w"\) was run inside a step/)
    })
  )

  it.live("what is done in time leaves no timer, and a margin of 0 switches it off", () =>
    Effect.gen(function* () {
      const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length
      const before = timers()
      const late = Layer.effectDiscard(Effect.promise(() => FakeService.later(150, undefined)))
      const service = FakeService.make()
      const Soon = DurableFunction.make("soon", { payload: Schema.Unknown, success: Schema.String })
      const handler = (options: Partial<DurableHandler.RunOptions>) =>
        DurableHandler.make(Soon, () => step, { ...service.handlerOptions, ...options, layer: late })
      assert.strictEqual((yield* invoke(service, handler({}), 60_000)).Status, "SUCCEEDED")
      assert.isAtMost(timers(), before)
      assert.strictEqual((yield* invoke(service, handler({ deadlineMargin: 0 }), 100)).Status, "SUCCEEDED")
      assert.strictEqual((yield* service.invoke(handler({}))).Status, "SUCCEEDED") // no deadline is known
    })
  )
})
