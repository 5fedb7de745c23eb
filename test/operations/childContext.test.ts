// @effect-diagnostics globalDateInEffect:off missingReturnYieldStar:off
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableHandler } from "effect-durable-lambda"
import { ChildContextFailed, StepFailed, StepTimedOut } from "effect-durable-lambda/DurableError"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import { DurableContext } from "../../src/DurableContext.ts"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"
import { CardDeclined, Unavailable } from "./kit.ts"

const { layerMemory } = TestRunner
const noRetry = { retry: Durable.noRetry }
const declined = new CardDeclined({ reason: "limit" })
const unavailable = new Unavailable({ retryable: true })

/** A body that counts how often it runs. */
const counted = () => {
  const counter = { runs: 0 }
  return {
    counter,
    count: Effect.sync(() => {
      counter.runs++
    })
  }
}

describe("childContext: value", () => {
  it.effect("is recorded, and the body does not run again on replay", () =>
    Effect.gen(function* () {
      const { count, counter } = counted()
      const body = Durable.childContext(
        "shipping",
        Effect.andThen(count, Durable.step("label", Effect.succeed({ label: "L-1" })))
      )
      const execution = yield* kit.sees(body, Exit.succeed({ label: "L-1" }))
      assert.strictEqual(counter.runs, 1)
      const context = yield* execution.operation("shipping")
      assert.strictEqual(context.Type, "CONTEXT")
      assert.strictEqual(context.SubType, "RunInChildContext")
      assert.deepStrictEqual(context.ContextDetails, { Result: '{"label":"L-1"}' })
      assert.strictEqual((yield* execution.operation("label")).ParentId, context.Id)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("while it is under way, its finished steps are not run again", () =>
    Effect.gen(function* () {
      let ran = 0
      const body = Effect.gen(function* () {
        const n = yield* Durable.step(
          "s",
          Effect.sync(() => ++ran)
        )
        yield* Durable.wait("w", "1 hour")
        return n
      }).pipe(Durable.childContext("c"))
      yield* kit.sees(body, Exit.succeed(1))
      assert.strictEqual(ran, 1)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("nests, and is pipeable", () =>
    Effect.gen(function* () {
      const deep = (n: number): kit.Body<number> =>
        n === 0
          ? Durable.step("leaf", Effect.succeed(0))
          : Effect.map(deep(n - 1), (inner) => inner + 1).pipe(
              Durable.childContext(`level-${n}`, { success: Schema.Number })
            )
      const execution = yield* kit.sees(deep(5), Exit.succeed(5))
      const operations = yield* execution.operations
      const path = (id: string | undefined): ReadonlyArray<string> => {
        const operation = operations.find(({ Id }) => Id === id)
        return operation === undefined ? [] : [...path(operation.ParentId), operation.Name!]
      }
      assert.deepStrictEqual(path((yield* execution.operation("leaf")).Id), [
        "level-5",
        "level-4",
        "level-3",
        "level-2",
        "level-1",
        "leaf"
      ])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("deep nesting does not overflow the stack", () =>
    Effect.gen(function* () {
      const deep = (n: number): kit.Body<number> =>
        n === 0
          ? Effect.succeed(0)
          : Durable.childContext(
              "level",
              Effect.suspend(() => Effect.map(deep(n - 1), (inner) => inner + 1)),
              { success: Schema.Number }
            )
      assert.strictEqual(yield* kit.run(deep(300)), 300)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("by its schema, live and replayed", () =>
    Effect.gen(function* () {
      const at = new Date(86_400_000)
      const context = Durable.childContext("c", Effect.succeed({ at }), { success: Schema.Struct({ at: Schema.Date }) })
      const execution = yield* kit.sees(context, Exit.succeed({ at }))
      assert.strictEqual((yield* execution.operation("c")).ContextDetails?.Result, '{"at":"1970-01-02T00:00:00.000Z"}')
      yield* kit.sees(Durable.childContext("v", Effect.void), Exit.succeed(undefined))
      yield* kit.sees(
        Durable.childContext("t", Effect.succeed(4), { success: Durable.text(Schema.NumberFromString) }),
        Exit.succeed(4)
      )
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("codecs may take time", () =>
    Effect.gen(function* () {
      const slowly = SchemaGetter.transformEffect((text: string) => Effect.as(kit.turn, text))
      const Slow = Schema.String.pipe(Schema.decodeTo(Schema.String, { decode: slowly, encode: slowly }))
      yield* kit.sees(Durable.childContext("c", Effect.succeed("x"), { success: Slow }), Exit.succeed("x"))
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a value that its schema cannot write ends the execution", () =>
    Effect.gen(function* () {
      class Order extends Schema.Class<Order>("Order")({ id: Schema.String }) {}
      const fault = yield* kit.faultOf(Durable.childContext("c", Effect.succeed({ id: "1" }), { success: Order }))
      assert.strictEqual(fault.type, "SerdesFailed")
      assert.match(fault.message, /^CONTEXT "c" .*Expected Order/s)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("contexts run concurrently", () =>
    Effect.gen(function* () {
      const names = ["a", "b", "c", "d"]
      const branch = (name: string, i: number) =>
        Durable.childContext(
          name,
          Effect.gen(function* () {
            yield* Durable.wait("w", `${4 - i} seconds`)
            return yield* Durable.step("s", Effect.succeed(name))
          })
        )
      yield* kit.sees(Effect.all(names.map(branch), { concurrency: "unbounded" }), Exit.succeed(names))
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("childContext: failures, live and replayed alike", () => {
  const child = (error: unknown) =>
    new ChildContextFailed({
      operation: "c",
      type: (error as { readonly _tag: string })._tag,
      message: "",
      data: error instanceof CardDeclined ? { reason: error.reason } : { retryable: true }
    })
  const stepFailed = new StepFailed({
    operation: "s",
    type: "CardDeclined",
    message: "",
    data: { reason: "limit" }
  })
  const cases: ReadonlyArray<readonly [what: string, body: kit.Body, surfaces: unknown]> = [
    ["covered: the class", Durable.childContext("c", Effect.fail(declined), { error: CardDeclined }), declined],
    ["not covered: ChildContextFailed", Durable.childContext("c", Effect.fail(declined)), child(declined)],
    [
      "covered in part: what it covers",
      Durable.childContext("c", Effect.fail(declined as CardDeclined | Unavailable), { error: CardDeclined }),
      declined
    ],
    [
      "covered in part: the other",
      Durable.childContext("c", Effect.fail(unavailable as CardDeclined | Unavailable), { error: CardDeclined }),
      child(unavailable)
    ],
    [
      "across two levels that cover it",
      Effect.fail(declined).pipe(
        Durable.childContext("inner", { error: CardDeclined }),
        Durable.childContext("outer", { error: CardDeclined })
      ),
      declined
    ],
    [
      "from a step through two levels",
      Durable.step("s", Effect.fail(declined), { ...noRetry, error: CardDeclined }).pipe(
        Durable.childContext("inner", { error: CardDeclined }),
        Durable.childContext("outer", { error: CardDeclined })
      ),
      declined
    ],
    [
      "an inner level that does not cover it: its ChildContextFailed passes the outer one as it is",
      Effect.fail(declined).pipe(Durable.childContext("c"), Durable.childContext("outer", { error: CardDeclined })),
      child(declined)
    ],
    [
      "StepFailed passes every level as it is, without a schema",
      Durable.step("s", Effect.fail(declined), noRetry).pipe(
        Durable.childContext("inner"),
        Durable.childContext("outer")
      ),
      stepFailed
    ],
    [
      "StepTimedOut, too",
      Durable.step("s", Effect.never, { ...noRetry, timeout: 1 }).pipe(
        Durable.childContext("inner"),
        Durable.childContext("outer", { error: CardDeclined })
      ),
      new StepTimedOut({ operation: "s", timeoutMillis: 1 })
    ],
    [
      "a string",
      Durable.childContext("c", Effect.fail("no")),
      new ChildContextFailed({ operation: "c", type: "Failure", message: "no" })
    ]
  ]
  for (const [what, body, surfaces] of cases) {
    it.effect(what, () => kit.sees(body, Exit.fail(surfaces)).pipe(Effect.provide(layerMemory)))
  }

  it.effect("a failed context does not run again", () =>
    Effect.gen(function* () {
      const { count, counter } = counted()
      yield* kit.sees(
        Durable.childContext("c", Effect.andThen(count, Effect.fail(declined)), { error: CardDeclined }),
        Exit.fail(declined)
      )
      assert.strictEqual(counter.runs, 1)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("defects of the body, and of a step in it, die as the same defect", () =>
    Effect.gen(function* () {
      yield* kit.sees(Durable.childContext("c", Effect.die(new RangeError("odd"))), Exit.die(new RangeError("odd")))
      yield* kit.sees(
        Durable.childContext("c", Durable.childContext("d", Durable.step("s", Effect.die(new RangeError("odd"))))),
        Exit.die(new RangeError("odd"))
      )
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("an interruption of its own is one", () =>
    kit.sees(Durable.childContext("c", Effect.interrupt), Exit.interrupt()).pipe(Effect.provide(layerMemory))
  )
})

describe("childContext: names, virtual, subType", () => {
  it.effect("names are scoped per context", () =>
    Effect.gen(function* () {
      const step = (value: string) => Durable.step("same", Effect.succeed(value))
      const body = Effect.all([
        step("root"),
        Durable.childContext("a", step("in a")),
        Durable.childContext("b", step("in b")),
        Durable.childContext("a", step("in the second a"))
      ])
      const execution = yield* kit.sees(body, Exit.succeed(["root", "in a", "in b", "in the second a"]))
      const ids = (yield* execution.operations).map(({ Id }) => Id)
      assert.strictEqual(new Set(ids).size, ids.length)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("virtual: own names, and nothing is recorded of it", () =>
    Effect.gen(function* () {
      const step = (value: string) => Durable.step("same", Effect.succeed(value))
      const body = Effect.all([
        step("root"),
        Durable.childContext("v", Effect.all([step("first"), step("second")]), { virtual: true }),
        Durable.childContext("v", step("third"), { virtual: true }),
        Durable.childContext("c", Durable.childContext("v", step("fourth"), { virtual: true }))
      ])
      const execution = yield* kit.sees(body, Exit.succeed(["root", ["first", "second"], "third", "fourth"]))
      const operations = yield* execution.operations
      assert.deepStrictEqual(
        operations.flatMap((operation) => (operation.Type === "CONTEXT" ? [operation.Name] : [])),
        ["c"]
      )
      assert.strictEqual(operations.filter((operation) => operation.Name === "same").length, 5)
      const parents = operations.flatMap((operation) => (operation.Name === "same" ? [operation.ParentId] : []))
      assert.strictEqual(parents.filter((parent) => parent === undefined).length, 4)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("virtual: its body runs on every replay, with the recorded answers", () =>
    Effect.gen(function* () {
      const { count, counter } = counted()
      let ran = 0
      const step = Durable.step(
        "s",
        Effect.sync(() => ++ran)
      )
      yield* kit.sees(Durable.childContext("v", Effect.andThen(count, step), { virtual: true }), Exit.succeed(1))
      assert.strictEqual(counter.runs, 2)
      assert.strictEqual(ran, 1)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("virtual: values and failures pass as they are, and its type says so", () => {
    const failing: Effect.Effect<never, "no", Durable.Requires> = Durable.childContext(
      "v",
      Effect.fail("no" as const),
      {
        virtual: true
      }
    )
    return kit.sees(failing, Exit.fail("no")).pipe(Effect.provide(layerMemory))
  })

  it.effect("subType: how the console classifies it", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(Durable.childContext("c", Effect.void, { subType: "Saga-1_x" }))
      yield* execution.result
      assert.strictEqual((yield* execution.operation("c")).SubType, "Saga-1_x")
    }).pipe(Effect.provide(layerMemory))
  )

  for (const subType of ["", "two words", "ü", "x".repeat(33), 'quote"']) {
    for (const virtual of [false, true]) {
      it.effect(`subType ${JSON.stringify(subType)} is refused${virtual ? ", in a virtual one, too" : ""}`, () =>
        Effect.gen(function* () {
          const fault = yield* kit.faultOf(Durable.childContext("c", Effect.void, { subType, virtual }))
          assert.strictEqual(fault.type, "InvalidOperation")
          assert.match(
            fault.message,
            /^Durable\.childContext\("c"\): the subType .* up to 32 characters of \[a-zA-Z0-9-_\]/
          )
        }).pipe(Effect.provide(layerMemory))
      )
    }
  }
})

describe("childContext: rebuilt from its operations", () => {
  const large = "x".repeat(300_000)
  const values: ReadonlyArray<readonly [what: string, value: unknown]> = [
    ["over 256 KiB", large],
    ["over 256 KiB in UTF-8", "ä".repeat(140_000)],
    ["not JSON", new Map([["a", new Date(0)]])],
    ["not JSON inside", { at: new Date(5), f: undefined }],
    ["a list with a hole", [1, undefined, 2]]
  ]
  for (const [what, value] of values) {
    it.effect(`${what}: ReplayChildren, and the same on replay, with nothing written`, () =>
      Effect.gen(function* () {
        const { count, counter } = counted()
        let ran = 0
        const service = FakeService.make()
        const seen: Array<unknown> = []
        const handler = DurableHandler.make(
          kit.Anything,
          () =>
            Effect.gen(function* () {
              seen.push(
                yield* Durable.childContext(
                  "c",
                  Effect.gen(function* () {
                    yield* count
                    yield* Durable.step(
                      "s",
                      Effect.sync(() => ++ran)
                    )
                    yield* Durable.wait("inside", "1 second")
                    return value
                  }),
                  { summary: () => "in short" }
                )
              )
              yield* Durable.wait("w", "1 hour")
            }),
          service.handlerOptions
        )
        yield* service.invoke(handler)
        service.pass(1)
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
        assert.deepStrictEqual(service.record("c").ContextDetails, { Result: "in short", ReplayChildren: true })
        const sent = service.requests.length
        const runs = counter.runs
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
        service.pass(3600)
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED" })
        assert.strictEqual(service.requests.length, sent, "nothing is written")
        assert.strictEqual(counter.runs, runs + 2, "the body runs again")
        assert.strictEqual(ran, 1, "its steps do not")
        assert.deepStrictEqual(seen, [value, value, value])
      })
    )
  }

  it.effect("256 KiB exactly is recorded", () =>
    Effect.gen(function* () {
      const text = "x".repeat(256 * 1024 - 2)
      const execution = yield* kit.start(Durable.childContext("c", Effect.succeed(text)))
      yield* execution.result
      assert.deepStrictEqual((yield* execution.operation("c")).ContextDetails, { Result: JSON.stringify(text) })
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("with a schema and over the limit: decode(encode(x)), live and replayed", () =>
    Effect.gen(function* () {
      const value = { text: large, at: new Date(1), extra: 1 }
      const context = Durable.childContext("c", Effect.succeed(value), {
        success: Schema.Struct({ text: Schema.String, at: Schema.Date })
      })
      yield* kit.sees(context, Exit.succeed({ text: large, at: new Date(1) }))
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("without a summary the record is empty", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(Durable.childContext("c", Effect.succeed(large)))
      yield* execution.result
      const { ContextDetails } = yield* execution.operation("c")
      assert.strictEqual(ContextDetails?.ReplayChildren, true)
      assert.strictEqual(ContextDetails?.Result ?? "", "")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("nested contexts inside are rebuilt with it", () =>
    Effect.gen(function* () {
      let ran = 0
      const inner = Durable.childContext(
        "inner",
        Effect.as(
          Durable.step(
            "s",
            Effect.sync(() => ++ran)
          ),
          new Set([1])
        )
      )
      const outer = Durable.childContext(
        "outer",
        Effect.map(inner, (set) => [set, large] as const)
      )
      yield* kit.sees(outer, Exit.succeed([new Set([1]), large]))
      assert.strictEqual(ran, 1)
    }).pipe(Effect.provide(layerMemory))
  )

  const changes: ReadonlyArray<readonly [what: string, after: kit.Body, message: RegExp]> = [
    ["asks for another operation", Effect.as(Durable.step("b", Effect.succeed(1)), large), /(got|asks for) STEP "b"/],
    [
      "asks for one more",
      Effect.as(Effect.andThen(Durable.step("a", Effect.succeed(1)), Durable.step("a", Effect.succeed(2))), large),
      /(got|asks for) STEP "a"/
    ],
    [
      "fails",
      Effect.fail("now it fails"),
      /CONTEXT "c" .* is recorded as succeeded, but its body fails when it runs again/
    ]
  ]
  for (const [what, after, message] of changes) {
    it.effect(`a changed body that ${what}: NonDeterministic`, () =>
      Effect.gen(function* () {
        const service = FakeService.make()
        const make = (body: kit.Body) =>
          DurableHandler.make(
            kit.Anything,
            () => Effect.andThen(Effect.exit(Durable.childContext("c", body)), Durable.wait("w", "1 hour")),
            service.handlerOptions
          )
        assert.deepStrictEqual(yield* service.invoke(make(Effect.as(Durable.step("a", Effect.succeed(1)), large))), {
          Status: "PENDING"
        })
        const sent = service.requests.length
        const answer = yield* service.invoke(make(after))
        assert(answer.Status === "FAILED", JSON.stringify(answer))
        assert.strictEqual(answer.Error?.ErrorType, "NonDeterministic")
        assert.match(answer.Error?.ErrorMessage ?? "", message)
        assert.strictEqual(service.requests.length, sent)
      })
    )
  }

  it.effect("a codec that takes time does not hide what follows a large value", () =>
    Effect.gen(function* () {
      const slowly = SchemaGetter.transformEffect((text: string) => Effect.as(kit.turn, text))
      const Slow = Schema.String.pipe(Schema.decodeTo(Schema.String, { decode: slowly, encode: slowly }))
      const big = "x".repeat(257 * 1024)
      const large = Durable.childContext("c", Durable.step("s", Effect.succeed(1)).pipe(Effect.as(big)), {
        success: Slow
      })
      yield* kit.sees(Effect.andThen(large, Durable.step("after", Effect.succeed(2))), Exit.succeed(2))
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("childContext: a world of its own", () => {
  it.effect("its clock starts with its parent's, and its end does not move it", () =>
    Effect.gen(function* () {
      const now = Clock.currentTimeMillis
      const body = Effect.gen(function* () {
        yield* Durable.wait("w", "1 second")
        const before = yield* now
        const inside = yield* Durable.childContext(
          "c",
          Effect.gen(function* () {
            const first = yield* now
            yield* Durable.wait("inside", "1 hour")
            return [first, yield* now]
          })
        )
        const after = yield* now
        yield* Durable.wait("v", "1 second")
        return {
          inside: inside.map((time) => time - before),
          after: after - before,
          later: (yield* now) - before > 3_600_000
        }
      })
      const { live, replayed } = yield* kit.observe(body)
      const seen = (yield* live) as {
        readonly inside: ReadonlyArray<number>
        readonly after: number
        readonly later: boolean
      }
      assert.strictEqual(seen.inside[0], 0)
      assert.isAtLeast(seen.inside[1]!, 3_600_000)
      assert.strictEqual(seen.after, 0)
      assert.isTrue(seen.later)
      for (const exit of replayed) assert.deepStrictEqual(exit, live)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("its random numbers are its own, in every context others", () =>
    Effect.gen(function* () {
      const roll = Random.next
      const body = Effect.all([
        roll,
        Durable.childContext("a", roll),
        Durable.childContext("b", roll),
        Durable.childContext("a", roll),
        Durable.childContext("a", roll, { virtual: true }),
        Durable.childContext("a", roll, { virtual: true }),
        roll
      ])
      const { live, replayed } = yield* kit.observe(body)
      const numbers = (yield* live) as ReadonlyArray<number>
      assert.strictEqual(new Set(numbers).size, 7)
      assert.deepStrictEqual(replayed[0], live)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("concurrent contexts do not wait for each other's steps to be recorded", () =>
    Effect.gen(function* () {
      const branch = (name: string) =>
        Durable.childContext(
          name,
          Effect.andThen(Durable.step("s", Effect.as(kit.turn, name)), Durable.step("t", Effect.succeed(name)))
        )
      yield* kit.sees(Effect.all([branch("a"), branch("b")], { concurrency: 2 }), Exit.succeed(["a", "b"]))
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("childContext: what it leaves running", () => {
  const detached = (stopped: Array<string>) => {
    const slow = (name: string) =>
      Durable.step(
        name,
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => stopped.push(name)))
      )
    return Effect.gen(function* () {
      yield* Effect.forkDetach(Effect.andThen(Effect.exit(slow("step")), Durable.step("more", Effect.void)))
      yield* Effect.forkDetach(Durable.childContext("nested", slow("nested-step")))
      yield* Effect.forkDetach(Durable.map("items", [1], () => slow("item-step")))
      return yield* Durable.step("own", Effect.as(kit.turn, 1))
    })
  }

  it.effect("whoever keeps the services of a body keeps nothing of what was done in it", () =>
    Effect.gen(function* () {
      const kept: Array<DurableContext["Service"]> = []
      const ids: Array<string> = []
      const keeping = Effect.gen(function* () {
        kept.push(yield* DurableContext)
        return yield* Durable.step(
          "s",
          Effect.map(Durable.CurrentStep, ({ operationId }) => ids.push(operationId))
        )
      })
      const body = Effect.gen(function* () {
        yield* keeping
        yield* Durable.childContext("c", keeping)
        yield* Durable.map("m", [1, 2], () => keeping, { nesting: "flat" })
        yield* Durable.wait("w", "1 hour")
      })
      yield* kit.sees(Effect.asVoid(body), Exit.void)
      assert.lengthOf(new Set(ids), 4)
      assert.isAbove(new Set(kept.map(({ core }) => core)).size, 1)
      for (const { core, place } of kept) {
        assert.deepStrictEqual(
          ids.flatMap((id) => core.recordOf(id) ?? []),
          []
        )
        assert.deepStrictEqual(place.world.lastAsked(), [])
        assert.deepStrictEqual(
          [place.steps, place.inner, place.around, place.above, place.shared],
          [undefined, undefined, undefined, undefined, undefined]
        )
      }
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("detached fibers that interrupt each other end with their context, and what waits beside it goes on", () =>
    Effect.gen(function* () {
      const inner = Effect.gen(function* () {
        const waits = ["a", "b", "c"].map((name) => Durable.wait(name, "1 day"))
        yield* Effect.forkDetach(Effect.all(waits, { concurrency: "unbounded" }))
        yield* Effect.forkDetach(Effect.raceAll(waits.map((wait, i) => Durable.childContext(`race-${i}`, wait))))
        yield* Durable.step("begin", Effect.void)
        return 1
      })
      const beside = Effect.as(Durable.wait("beside", "1 hour"), 2)
      const body = Effect.map(
        Effect.all([Durable.childContext("c", inner), beside], { concurrency: 2 }),
        ([a, b]) => a + b
      )
      yield* kit.sees(body, Exit.succeed(3))
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a detached fiber ends with its context: its steps stop, and nothing of it is recorded any more", () =>
    Effect.gen(function* () {
      const stopped: Array<string> = []
      const execution = yield* kit.sees(Durable.childContext("c", detached(stopped)), Exit.succeed(1))
      assert.sameMembers(stopped, ["step", "nested-step", "item-step"])
      const lines = yield* kit.operationsOf(execution)
      const end = lines.findIndex((line) => line.startsWith('ContextSucceeded "c"'))
      assert.deepStrictEqual(
        lines.slice(end + 1).filter((line) => !line.includes('"replay"')),
        []
      )
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("so does one of an item", () =>
    Effect.gen(function* () {
      for (const nesting of ["nested", "flat"] as const) {
        const stopped: Array<string> = []
        yield* kit.sees(
          Durable.map("m", [1, 2], () => detached(stopped), { nesting }),
          Exit.succeed([1, 1])
        )
        assert.strictEqual(stopped.length, 6)
      }
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("one that lost a race, in an uninterruptible region: what is nested in it stops, too", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const say = (text: string) => Effect.sync(() => void log.push(text))
      const inner = Effect.andThen(
        Durable.step(
          "slow",
          Effect.onInterrupt(Effect.never, () => say("stopped"))
        ),
        Durable.step("more", say("went on"))
      )
      const nested = Effect.all(
        [Durable.childContext("inner", inner), Durable.map("items", [1], () => inner), Durable.wait("w", "1 day")],
        { concurrency: "unbounded" }
      )
      const loser = Durable.childContext("loser", Effect.uninterruptible(nested))
      const winner = Durable.step("winner", Effect.as(kit.turn, "won"))
      yield* kit.sees(Effect.raceFirst(loser, winner), Exit.succeed("won"))
      assert.deepStrictEqual(log, ["stopped", "stopped"])
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("childContext: interrupted", () => {
  const winner = Durable.step("winner", Effect.as(kit.turn, "won"))

  it.effect("one that lost a race records nothing more, and its steps stop", () =>
    Effect.gen(function* () {
      let stopped = 0
      const loser = Durable.childContext(
        "loser",
        Effect.gen(function* () {
          yield* Durable.step(
            "slow",
            Effect.onInterrupt(Effect.never, () => Effect.sync(() => stopped++))
          )
          return yield* Durable.step("never", Effect.succeed("lost"))
        })
      )
      const execution = yield* kit.sees(Effect.raceFirst(loser, winner), Exit.succeed("won"), { startDelay: 0 })
      assert.strictEqual(stopped, 1)
      assert.strictEqual((yield* execution.operation("loser")).Status, "STARTED")
      assert.deepStrictEqual(
        (yield* kit.operationsOf(execution)).filter((line) => /loser|slow|never/.test(line)),
        ['ContextStarted "loser"', 'StepStarted "slow"']
      )
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("its ordinary finalizers run", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const loser = Durable.childContext(
        "loser",
        Effect.ensuring(
          Durable.wait("w", "1 hour"),
          Effect.sync(() => log.push("released"))
        )
      )
      assert.strictEqual(yield* kit.run(Effect.raceFirst(loser, winner)), "won")
      assert.deepStrictEqual(log, ["released"])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a durable operation in its finalizer: InvalidOperation, which says where to put it", () =>
    Effect.gen(function* () {
      let ran = 0
      const loser = Durable.childContext(
        "loser",
        Effect.onInterrupt(Durable.wait("w", "1 hour"), () =>
          Durable.step(
            "cleanup",
            Effect.sync(() => ++ran)
          )
        )
      )
      const fault = yield* kit.faultOf(Effect.raceFirst(loser, winner))
      assert.strictEqual(fault.type, "InvalidOperation")
      assert.match(
        fault.message,
        /^STEP "cleanup" was reached in child context "loser", in a finalizer or an uninterruptible part of it, after that context had been interrupted /
      )
      assert.include(
        fault.message,
        'Durable.childContext("name", body).pipe(Effect.onInterrupt(() => Durable.step("cleanup", ...)))'
      )
      assert.strictEqual(ran, 0)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("around the context, as that message says, it works, live and replayed", () =>
    Effect.gen(function* () {
      let ran = 0
      const loser = Durable.childContext("loser", Durable.wait("w", "1 hour")).pipe(
        Effect.onInterrupt(() =>
          Durable.step(
            "cleanup",
            Effect.sync(() => ++ran)
          )
        )
      )
      const execution = yield* kit.sees(Effect.raceFirst(loser, winner), Exit.succeed("won"))
      assert.strictEqual(ran, 1)
      assert.strictEqual((yield* execution.operation("cleanup")).Status, "SUCCEEDED")
    }).pipe(Effect.provide(layerMemory))
  )
})
