import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction, DurableHandler, Protocol } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as FakeService from "./FakeService.ts"

// Section 25.2, batches that are rebuilt: test/operations/batch.test.ts

const Anything = DurableFunction.make("order", { payload: Schema.Unknown, success: Schema.Any, error: Schema.Any })

describe("wire-protocol section 25.1: contexts over 256 KiB", () => {
  // two quotes of JSON around it
  const sizes: ReadonlyArray<readonly [what: string, text: string, inline: boolean]> = [
    ["262,144 bytes", "x".repeat(262_142), true],
    ["262,145 bytes", "x".repeat(262_143), false],
    ["262,144 bytes of two-byte characters", "é".repeat(131_071), true],
    ["262,146 bytes of two-byte characters, half as many characters", "é".repeat(131_072), false]
  ]
  for (const [what, text, inline] of sizes) {
    it.effect(`${what} ${inline ? "are recorded" : "are rebuilt from the children"}`, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        const handler = DurableHandler.make(
          Anything,
          () => Effect.map(Durable.childContext("c", Effect.succeed(text)), (value) => value === text),
          service.handlerOptions
        )
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: "true" })
        const { ContextOptions, Payload } = service.updates.find(({ Action }) => Action === "SUCCEED")!
        assert.strictEqual(ContextOptions?.ReplayChildren, inline ? undefined : true)
        assert.strictEqual(Payload, inline ? JSON.stringify(text) : "")
      })
    )
  }

  it.effect("a step's payload over the service's limit is not sent: the error names operation, bytes and limit", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Anything,
        () => Durable.step("big", Effect.succeed("x".repeat(1024 * 1024))).pipe(Effect.catchCause(() => Effect.void)),
        service.handlerOptions
      )
      const answer = yield* service.invoke(handler)
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "PayloadTooLarge")
      assert.match(answer.Error?.ErrorMessage ?? "", /STEP "big".* 1048578 bytes.* 1048576/)
      assert.isFalse(service.trace.flat().includes("SUCCEED STEP big"))
    })
  )
})

describe("wire-protocol section 25.3: the execution's result", () => {
  const result = (bytes: number) => "x".repeat(bytes - 2)
  const handlerOf = (service: FakeService.FakeService, text: string) =>
    DurableHandler.make(Anything, () => Effect.succeed(text), service.handlerOptions)

  it.effect("6,291,406 bytes are answered", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const answer = yield* service.invoke(handlerOf(service, result(Protocol.Limits.responseBytes)))
      assert(answer.Status === "SUCCEEDED")
      assert.strictEqual(answer.Result?.length, 6_291_406)
      assert.deepStrictEqual(service.requests, [])
    })
  )

  it.effect("what grows beyond 6 MB by being quoted is recorded, too", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const many = Array.from({ length: 1_200_000 }, () => "a")
      const handler = DurableHandler.make(Anything, () => Effect.succeed(many), service.handlerOptions)
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: "" })
      assert.strictEqual(service.updates[0]?.Payload?.length, 4_800_001)
    })
  )

  it.effect("one byte more is recorded by an EXECUTION update without Name, SubType or ParentId", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const text = result(Protocol.Limits.responseBytes + 1)
      assert.deepStrictEqual(yield* service.invoke(handlerOf(service, text)), { Status: "SUCCEEDED", Result: "" })
      assert.strictEqual(service.updates.length, 1)
      const { Id, ...update } = service.updates[0]!
      assert.match(Id, /^[a-zA-Z0-9-_]{1,64}$/)
      assert.deepStrictEqual(update, { Type: "EXECUTION", Action: "SUCCEED", Payload: JSON.stringify(text) })
    })
  )

  it.effect("hang while saving an oversized result: a refusal is FAILED, an outage is thrown", () =>
    Effect.gen(function* () {
      const text = result(Protocol.Limits.responseBytes + 1)
      const refusing = FakeService.make({
        replies: [FakeService.fails(FakeService.awsError(400, "InvalidParameterValueException", "too large"))]
      })
      const answer = yield* refusing.invoke(handlerOf(refusing, text))
      assert(answer.Status === "FAILED")
      assert.match(answer.Error?.ErrorMessage ?? "", /too large/)

      const down = FakeService.make({
        replies: [1, 2, 3].map(() => FakeService.fails(FakeService.awsError(500, "ServiceException")))
      })
      const { error } = yield* Effect.flip(down.invoke(handlerOf(down, text)))
      assert.strictEqual(error._tag, "CheckpointFailed")
    })
  )

  it.effect("an oversized result follows what is queued: it is the last update of its request", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Anything,
        () => Effect.as(Durable.childContext("c", Effect.void), result(Protocol.Limits.responseBytes + 1)),
        service.handlerOptions
      )
      yield* service.invoke(handler)
      assert.deepStrictEqual(service.trace.flat(), ["START CONTEXT c", "SUCCEED CONTEXT c", "SUCCEED EXECUTION"])
    })
  )
})

describe("wire-protocol section 25.3: FAILED size unchecked", () => {
  const bytes = (value: unknown) => Buffer.byteLength(JSON.stringify(value))

  it.effect("an error over the limit loses its data first, and keeps type and message", () =>
    Effect.gen(function* () {
      class Huge extends Schema.TaggedError<Huge>()("Huge", { text: Schema.String }) {
        override get message() {
          return "what happened"
        }
      }
      const service = FakeService.make()
      const handler = DurableHandler.make(
        DurableFunction.make("order", { payload: Schema.Unknown, error: Huge }),
        () => new Huge({ text: "x".repeat(7 * 1024 * 1024) }),
        service.handlerOptions
      )
      const answer = yield* service.invoke(handler)
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "Huge")
      assert.match(answer.Error?.ErrorMessage ?? "", /^what happened/)
      assert.isAtMost(bytes(answer), Protocol.Limits.payloadBytes)
    })
  )

  it.effect("a message over the limit is cut, in bytes", () =>
    Effect.gen(function* () {
      for (const character of ["x", "é", "\u0001", "😀"]) {
        const service = FakeService.make()
        const handler = DurableHandler.make(
          Anything,
          () => Effect.die(new Error(character.repeat(4 * 1024 * 1024))),
          service.handlerOptions
        )
        const answer = yield* service.invoke(handler)
        assert(answer.Status === "FAILED")
        assert.isAtMost(bytes(answer), Protocol.Limits.payloadBytes, JSON.stringify(character))
        assert.isAbove(answer.Error?.ErrorMessage?.length ?? 0, 500)
      }
    })
  )

  it.effect("the recorded error of an operation fits what every version of the service takes", () =>
    Effect.gen(function* () {
      for (const failure of [
        new Error("x".repeat(1024 * 1024)),
        new Error("\u0001".repeat(1024 * 1024)),
        Object.assign(new Error("short"), { data: "x".repeat(1024 * 1024) }),
        Object.assign(new Error("short"), { data: '"\\'.repeat(7_000) }),
        { code: "y".repeat(1024 * 1024) },
        "z".repeat(1024 * 1024)
      ]) {
        for (const operation of [
          Durable.step("s", Effect.fail(failure), { retry: Durable.noRetry }),
          Durable.step("s", Effect.die(failure)),
          Durable.childContext("s", Effect.fail(failure))
        ]) {
          const service = FakeService.make()
          const body: Effect.Effect<unknown, unknown, Durable.Requires> = operation
          const handler = DurableHandler.make(
            Anything,
            () => Effect.andThen(Effect.exit(body), Durable.wait("pause", "1 second")),
            service.handlerOptions
          )
          assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
          const { Error: error } = service.updates.find(({ Action }) => Action === "FAIL")!
          assert.isAtMost(bytes(error), Protocol.Limits.errorBytes, JSON.stringify(error).slice(0, 200))
        }
      }
    })
  )
})
