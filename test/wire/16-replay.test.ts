import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import type * as Protocol from "effect-durable-lambda/Protocol"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as FakeService from "./FakeService.ts"

// Left to the issue that brings Durable.waitForCondition, since nothing here could run it:
//   waitForCondition is not checked

const Anything = DurableFunction.make("order", { payload: Schema.Unknown, success: Schema.Any, error: Schema.Any })

const EPOCH = new Date(0)

type Body = Effect.Effect<unknown, unknown, Durable.Requires>

describe("wire-protocol section 16: mismatch does not stop the operation", () => {
  const changed: ReadonlyArray<
    readonly [what: string, before: Body, after: (ran: Array<string>) => Body, message: RegExp]
  > = [
    [
      "another name",
      Durable.step("charge", Effect.succeed(1)),
      (ran) =>
        Durable.step(
          "refund",
          Effect.sync(() => ran.push("refund"))
        ),
      /expected STEP "charge" .*got STEP "refund"/
    ],
    [
      "another type",
      Durable.wait("x", "1 second"),
      (ran) =>
        Durable.step(
          "x",
          Effect.sync(() => ran.push("x"))
        ),
      /expected WAIT "x" .*got STEP "x"/
    ],
    [
      "another subtype",
      Durable.childContext("x", Effect.succeed(1)),
      (ran) =>
        Durable.childContext(
          "x",
          Durable.step(
            "inside",
            Effect.sync(() => ran.push("x"))
          ),
          { subType: "Other" }
        ),
      /expected CONTEXT "x" .*got CONTEXT "x"/
    ],
    [
      "an operation in front",
      Durable.step("charge", Effect.succeed(1)),
      (ran) =>
        Effect.andThen(
          Durable.step(
            "new",
            Effect.sync(() => ran.push("new"))
          ),
          Durable.step(
            "charge",
            Effect.sync(() => ran.push("charge"))
          )
        ),
      /expected STEP "charge" .*got STEP "new"/
    ],
    [
      "two of a name become one",
      Effect.andThen(Durable.step("x", Effect.succeed(1)), Durable.step("x", Effect.succeed(2))),
      (ran) =>
        Effect.andThen(
          Durable.step("x", Effect.succeed(1)),
          Durable.step(
            "y",
            Effect.sync(() => ran.push("y"))
          )
        ),
      /expected STEP "x" .*got STEP "y"/
    ],
    [
      "inside a child context that was not finished",
      Durable.childContext("c", Effect.andThen(Durable.step("s", Effect.succeed(1)), Durable.wait("inside", "1 hour"))),
      (ran) =>
        Durable.childContext(
          "c",
          Durable.step(
            "other",
            Effect.sync(() => ran.push("other"))
          )
        ),
      /expected STEP "s" .*got STEP "other"/
    ]
  ]
  for (const [what, before, after, message] of changed) {
    it.effect(`${what}: the new step does not run, nothing is sent, FAILED says what was expected`, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        const make = (body: Body) =>
          DurableHandler.make(
            Anything,
            () =>
              Effect.gen(function* () {
                // user code cannot catch it
                const exit = yield* Effect.exit(body)
                yield* Durable.wait("end", "1 hour")
                return exit._tag
              }),
            service.handlerOptions
          )
        assert.deepStrictEqual(yield* service.invoke(make(before)), { Status: "PENDING" })
        const sent = service.requests.length
        const ran: Array<string> = []
        const answer = yield* service.invoke(make(after(ran)))
        assert(answer.Status === "FAILED", JSON.stringify(answer))
        assert.strictEqual(answer.Error?.ErrorType, "NonDeterministic")
        // the requirement general/11-1 wants this in type or message
        assert.match(`${answer.Error?.ErrorType} ${answer.Error?.ErrorMessage}`, /non-?determin/i)
        assert.match(answer.Error?.ErrorMessage ?? "", message)
        assert.deepStrictEqual(ran, [])
        assert.strictEqual(service.requests.length, sent)
      })
    )
  }
  it.effect("a record of another type under the very id is a mismatch, too", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(
        Anything,
        () => Effect.andThen(Durable.step("s", Effect.succeed(1)), Durable.wait("pause", "1 hour")),
        service.handlerOptions
      )
      yield* service.invoke(handler)
      service.change("s", { Type: "CHAINED_INVOKE" })
      const answer = yield* service.invoke(handler)
      assert(answer.Status === "FAILED")
      assert.match(answer.Error?.ErrorMessage ?? "", /expected CHAINED_INVOKE "s" .*got STEP "s"/)
    })
  )

  it.effect("recorded operations that are never reached are found at the end", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const step = Durable.step("s", Effect.succeed(1))
      const before = DurableHandler.make(
        Anything,
        () => Effect.andThen(step, Durable.wait("pause", "1 second")),
        service.handlerOptions
      )
      yield* service.invoke(before)
      const after = DurableHandler.make(Anything, () => step, service.handlerOptions)
      const answer = yield* service.invoke(after)
      assert(answer.Status === "FAILED")
      assert.match(answer.Error?.ErrorMessage ?? "", /expected WAIT "pause" .*got nothing/)
    })
  )

  it.effect("reordered operations of different names are no mismatch", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const make = (names: ReadonlyArray<string>) =>
        DurableHandler.make(
          Anything,
          () =>
            Effect.all(
              names.map((name) => Durable.step(name, Effect.succeed(name))),
              { concurrency: "unbounded" }
            ).pipe(Effect.tap(() => Durable.wait("pause", "1 second"))),
          service.handlerOptions
        )
      assert.deepStrictEqual(yield* service.invoke(make(["a", "b"])), { Status: "PENDING" })
      service.pass(1)
      assert.deepStrictEqual(yield* service.invoke(make(["b", "a"])), { Status: "SUCCEEDED", Result: '["b","a"]' })
    })
  )
})

describe("wire-protocol section 16: context misuse", () => {
  it.effect("a durable operation inside a step is FAILED, and does not run", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const ran: Array<string> = []
      const inner = Durable.step(
        "inner",
        Effect.sync(() => ran.push("inner"))
      )
      const handler = DurableHandler.make(
        Anything,
        () =>
          // what the types refuse
          Durable.step("outer", inner as unknown as Effect.Effect<number>).pipe(
            Effect.catchCause(() => Effect.succeed("caught"))
          ),
        service.handlerOptions
      )
      const answer = yield* service.invoke(handler)
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "InvalidOperation")
      assert.match(answer.Error?.ErrorMessage ?? "", /^Durable\.step\("inner"\) was run inside a step\. /)
      assert.deepStrictEqual(ran, [])
    })
  )
})

describe("wire-protocol section 16: ReplayChildren with a TIMED_OUT / STOPPED / CANCELLED child hangs", () => {
  const statuses: ReadonlyArray<Protocol.OperationStatus> = ["FAILED", "TIMED_OUT", "STOPPED", "CANCELLED"]
  for (const status of statuses) {
    it.effect(`a child found ${status} resolves, and the context is rebuilt`, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        let ran = 0
        const handler = DurableHandler.make(
          Anything,
          () =>
            Effect.gen(function* () {
              const text = yield* Effect.gen(function* () {
                yield* Durable.step(
                  "child",
                  Effect.suspend(() => (++ran, Effect.fail("no"))),
                  {
                    retry: Durable.noRetry
                  }
                ).pipe(Effect.catchCause(() => Effect.void))
                return "x".repeat(300_000)
              }).pipe(Durable.childContext("large"))
              yield* Durable.wait("pause", "1 second")
              return text.length
            }),
          service.handlerOptions
        )
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
        assert.strictEqual(service.record("large").ContextDetails?.ReplayChildren, true)
        service.change("child", { Status: status })
        service.pass(1)
        const sent = service.requests.length
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: "300000" })
        assert.strictEqual(ran, 1)
        assert.strictEqual(service.requests.length, sent) // nothing is recorded again
      })
    )
  }

  it.effect("an operation that the finished context does not hold is NonDeterministic, not run", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const ran: Array<string> = []
      const make = (name: string) =>
        DurableHandler.make(
          Anything,
          () =>
            Effect.gen(function* () {
              const text = yield* Effect.as(
                Durable.step(
                  name,
                  Effect.sync(() => ran.push(name))
                ),
                "x".repeat(300_000)
              ).pipe(Durable.childContext("large"))
              yield* Durable.wait("pause", "1 second")
              return text.length
            }),
          service.handlerOptions
        )
      yield* service.invoke(make("a"))
      service.pass(1)
      const answer = yield* service.invoke(make("b"))
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "NonDeterministic")
      assert.deepStrictEqual(ran, ["a"])
    })
  )
})

describe("wire-protocol section 16: live and replayed values are equal", () => {
  it.effect("a step gives decode(encode(x)) live, too", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const service = FakeService.make()
      const Order = Schema.Struct({ at: Schema.Date, note: Schema.optionalKey(Schema.String) })
      const value = { at: EPOCH, extra: "not in the schema" }
      const handler = DurableHandler.make(
        Anything,
        () =>
          Effect.gen(function* () {
            seen.push(yield* Durable.step("typed", Effect.succeed(value), { success: Order }))
            seen.push(yield* Durable.step("plain", Effect.succeed({ a: 1, b: [null, "x"] })))
            seen.push(yield* Durable.childContext("context", Effect.succeed(value), { success: Order }))
            seen.push(yield* Durable.step("none", Effect.void))
            yield* Durable.wait("pause", "1 second")
          }),
        service.handlerOptions
      )
      yield* service.invoke(handler)
      const live = seen.splice(0)
      service.pass(1)
      yield* service.invoke(handler)
      assert.deepStrictEqual(seen, live)
      assert.deepStrictEqual(live[0], { at: EPOCH })
      assert.notStrictEqual(live[1], value)
    })
  )
})
