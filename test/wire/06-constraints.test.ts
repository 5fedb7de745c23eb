import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as FakeService from "./FakeService.ts"

const Anything = DurableFunction.make("order", { payload: Schema.Unknown, success: Schema.Any, error: Schema.Any })

const waiting = (service: FakeService.FakeService, duration: Duration.Input) =>
  DurableHandler.make(
    Anything,
    () =>
      Effect.gen(function* () {
        yield* Durable.wait("pause", duration).pipe(Effect.catchCause(() => Effect.void))
        return "user code must not see this"
      }),
    service.handlerOptions
  )

describe("wire-protocol section 6: durations 0, negative, fractional are sent", () => {
  const refused: ReadonlyArray<readonly [what: string, duration: Duration.Input]> = [
    ["0", 0],
    ["-5 s", Duration.seconds(-5)],
    ["-5", -5000],
    ["NaN", NaN],
    ["Infinity", Infinity],
    ["-Infinity", -Infinity],
    ["367 days", "367 days"],
    ["31,622,400.001 s", Duration.millis(31_622_400_001)],
    ["nonsense", "soon" as Duration.Input]
  ]
  for (const [what, duration] of refused) {
    it.effect(`a wait of ${what} is refused before anything is sent, and no handler sees it`, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        const answer = yield* service.invoke(waiting(service, duration))
        assert.strictEqual(answer.Status, "FAILED")
        assert(answer.Status === "FAILED")
        assert.strictEqual(answer.Error?.ErrorType, "InvalidOperation")
        assert.match(answer.Error?.ErrorMessage ?? "", /^Durable\.wait\("pause"\): /)
        assert.deepStrictEqual(service.requests, [])
      })
    )
  }

  const accepted: ReadonlyArray<readonly [what: string, duration: Duration.Input, seconds: number]> = [
    ["1.5 s", "1500 millis", 2],
    ["1 ms", 1, 1],
    ["1 s", "1 second", 1],
    ["366 days", "366 days", 31_622_400],
    ["2 hours", "2 hours", 7200]
  ]
  for (const [what, duration, seconds] of accepted) {
    it.effect(`a wait of ${what} is sent as ${seconds} seconds`, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        assert.deepStrictEqual(yield* service.invoke(waiting(service, duration)), { Status: "PENDING" })
        assert.deepStrictEqual(
          service.updates.map(({ WaitOptions }) => WaitOptions),
          [{ WaitSeconds: seconds }]
        )
      })
    )
  }

  it.effect("Effect.sleep in the body follows the same rules; zero or less records nothing", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Anything,
        () =>
          Effect.gen(function* () {
            yield* Effect.sleep(0)
            yield* Effect.sleep(Duration.millis(-5))
            yield* Effect.sleep("1500 millis")
          }),
        service.handlerOptions
      )
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
      assert.deepStrictEqual(service.trace, [["START WAIT sleep"]])
      assert.deepStrictEqual(service.updates[0]?.WaitOptions, { WaitSeconds: 2 })
    })
  )

  const delays: ReadonlyArray<readonly [what: string, delay: Duration.Input, seconds: number]> = [
    ["0", 0, 1],
    ["0.2 s", 200, 1],
    ["1.5 s", 1500, 2],
    ["400 days", "400 days", 31_622_400]
  ]
  for (const [what, delay, seconds] of delays) {
    it.effect(`a retry delay of ${what} is sent as ${seconds} seconds`, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        const handler = DurableHandler.make(
          Anything,
          () => Durable.step("fail", Effect.fail("no"), { retry: Schedule.spaced(delay) }),
          service.handlerOptions
        )
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
        assert.deepStrictEqual(service.trace, [["START STEP fail", "RETRY STEP fail"]])
        assert.deepStrictEqual(service.updates[1]?.StepOptions, { NextAttemptDelaySeconds: seconds })
      })
    )
  }
})

describe("wire-protocol section 6: names are validated on our side, before anything is sent", () => {
  const names = ["", "a".repeat(257), "café", "line\nbreak", "tab\t", "日本"]
  for (const name of names) {
    it.effect(`the name ${JSON.stringify(name.slice(0, 12))} (${name.length} characters)`, () =>
      Effect.gen(function* () {
        const operations: ReadonlyArray<Effect.Effect<unknown, never, Durable.Requires>> = [
          Durable.step(name, Effect.succeed(1)),
          Durable.wait(name, "1 second"),
          Durable.childContext(name, Effect.succeed(1))
        ]
        for (const operation of operations) {
          const service = FakeService.make()
          const handler = DurableHandler.make(Anything, () => operation, service.handlerOptions)
          const answer = yield* service.invoke(handler)
          assert(answer.Status === "FAILED")
          assert.strictEqual(answer.Error?.ErrorType, "InvalidOperation")
          assert.deepStrictEqual(service.requests, [])
        }
      })
    )
  }

  it.effect("256 printable characters, quotes and slashes among them, are a name", () =>
    Effect.gen(function* () {
      const name = `/"' ~\\`.padEnd(256, "x")
      const service = FakeService.make()
      const handler = DurableHandler.make(Anything, () => Durable.step(name, Effect.succeed(1)), service.handlerOptions)
      assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: "1" })
      assert.strictEqual(service.updates[0]?.Name, name)
    })
  )

  it.effect("ids of operations are at most 64 of [a-zA-Z0-9-_], whatever their names", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Anything,
        () =>
          Effect.gen(function* () {
            yield* Durable.step("/+=?".repeat(60), Effect.succeed(1))
            yield* Durable.childContext("c", Durable.childContext("c", Durable.step("s", Effect.succeed(1))))
          }),
        service.handlerOptions
      )
      yield* service.invoke(handler)
      for (const { Id, ParentId } of service.updates) {
        assert.match(Id, /^[a-zA-Z0-9-_]{1,64}$/)
        if (ParentId !== undefined) assert.match(ParentId, /^[a-zA-Z0-9-_]{1,64}$/)
      }
      assert.strictEqual(new Set(service.updates.map(({ Id }) => Id)).size, 4)
    })
  )
})
