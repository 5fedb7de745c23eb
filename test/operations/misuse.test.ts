import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableError, DurableFunction } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Queue from "effect/Queue"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as kit from "./kit.ts"

const { layerMemory } = TestRunner

const timer = (millis: number) => Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, millis)))

/** Every operation, as it would be used where it cannot work. */
const operations: ReadonlyArray<readonly [call: string, operation: Effect.Effect<unknown, unknown, Durable.Requires>]> =
  [
    ["Durable.step", Durable.step("x", Effect.succeed(1))],
    ["Durable.wait", Durable.wait("x", "1 second")],
    ["Durable.childContext", Durable.childContext("x", Effect.succeed(1))],
    ["Durable.childContext", Durable.childContext("x", Effect.succeed(1), { virtual: true })],
    ["Durable.callback", Durable.callback("x")],
    ["Durable.waitForCallback", Durable.waitForCallback("x", () => Effect.void)],
    [
      "Durable.waitForCondition",
      Durable.waitForCondition("x", Effect.succeed, { initial: 1, state: Schema.Number, until: () => true })
    ],
    ["Durable.invoke", Durable.invoke("x", { payload: Schema.Null }, null, { functionName: "x" })]
  ]

describe("misuse: where operations work", () => {
  for (const [call, operation] of operations) {
    it.effect(`${call} outside of a workflow`, () =>
      Effect.gen(function* () {
        const exit = yield* Effect.exit(operation as unknown as Effect.Effect<unknown, unknown>)
        const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        assert(error instanceof DurableError.InvalidOperation)
        assert.match(
          error.message,
          new RegExp(`^${call.replace(".", "\\.")}\\("x"\\) was run outside of a workflow\\.`)
        )
        assert.match(error.message, /DurableHandler\.make, or TestRunner/)
      })
    )

    it.effect(`${call} inside a step`, () =>
      Effect.gen(function* () {
        const after: Array<string> = []
        const fault = yield* kit.faultOf(
          Effect.andThen(
            // what the types refuse
            Effect.catchCause(
              Durable.step("outer", Effect.asVoid(operation as unknown as Effect.Effect<unknown, never>)),
              () => Effect.void
            ),
            Effect.sync(() => after.push("went on"))
          )
        )
        assert.strictEqual(fault.type, "InvalidOperation")
        assert.match(fault.message, new RegExp(`^${call.replace(".", "\\.")}\\("x"\\) was run inside a step\\.`))
        assert.match(fault.message, /Move it out of the step, or use Durable\.childContext/)
        assert.deepStrictEqual(after, [])
      }).pipe(Effect.provide(layerMemory))
    )
  }
})

describe("misuse: names", () => {
  const names: ReadonlyArray<readonly [what: string, name: string, has: number | string]> = [
    ["an empty one", "", 0],
    ["one of 257 characters", "n".repeat(257), 257],
    ["one with a line break", "two\nlines", '"\n" at 4'],
    ["one beyond ASCII", "grün", '"ü" at 3'],
    ["one with a control character", "a\u0000b", '"\u0000" at 2'],
    ["none", undefined as never, 0]
  ]
  for (const [what, name, has] of names) {
    it.effect(what, () =>
      Effect.gen(function* () {
        const bodies: ReadonlyArray<readonly [call: string, body: kit.Body]> = [
          ["step", Durable.step(name, Effect.succeed(1))],
          ["wait", Durable.wait(name, "1 second")],
          ["childContext", Durable.childContext(name, Effect.succeed(1))],
          ["callback", Durable.callback(name)],
          ["waitForCallback", Durable.waitForCallback(name, () => Effect.void)],
          [
            "waitForCondition",
            Durable.waitForCondition(name, Effect.succeed, { initial: 1, state: Schema.Number, until: () => true })
          ],
          ["invoke", Durable.invoke(name, { payload: Schema.Null }, null, { functionName: "x" })]
        ]
        for (const [call, body] of bodies) {
          const fault = yield* kit.faultOf(body)
          assert.strictEqual(fault.type, "InvalidOperation")
          assert.match(fault.message, new RegExp(`^Durable\\.${call}: the name .* is not usable\\.`, "s"))
          assert.include(fault.message, `names of 1 to 256 printable ASCII characters; this one has ${has}.`)
          assert.isBelow(fault.message.length, 400)
        }
      }).pipe(Effect.provide(layerMemory))
    )
  }

  it.effect("any printable name works: quotes, slashes, the separators of ids", () =>
    Effect.gen(function* () {
      const names = [" ", '"', "/", ":", "a:1", "a:", "a", "~".repeat(256), "../..", "{}", "__proto__", "constructor"]
      const body = Effect.forEach(names, (name) => Durable.step(name, Effect.succeed(name)))
      yield* kit.sees(body, Exit.succeed(names))
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("misuse: UntrackedAsync", () => {
  it.effect("real I/O beside durable work is named by the last operation of its fiber", () =>
    Effect.gen(function* () {
      const { busy, io } = kit.untracked()
      const fault = yield* kit.faultOf(
        Effect.gen(function* () {
          yield* Durable.step("before", Effect.succeed(1))
          yield* Effect.forkChild(Durable.step("slow", busy))
          yield* Effect.andThen(Effect.yieldNow, io)
          yield* Durable.step("after", Effect.succeed(1))
        })
      )
      assert.strictEqual(fault.type, "UntrackedAsync")
      assert.match(fault.message, /^Asynchronous work outside of a step \(a promise, a timer, fetch,/)
      assert.match(fault.message, /while durable operations were in flight: STEP "slow" \(/)
      assert.match(fault.message, /The fiber that moved asked last for STEP "before" \(/)
      assert.match(fault.message, /Move the work into Durable\.step/)
      assert.match(fault.message, /Last operations of the workflow: .*STEP "before"/)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("even a continuation that only touches memory is found", () =>
    Effect.gen(function* () {
      const fault = yield* kit.faultOf(
        Effect.gen(function* () {
          const ref = yield* Ref.make(0)
          const { busy, io } = kit.untracked()
          yield* Effect.all([Durable.step("slow", busy), Effect.andThen(io, Ref.set(ref, 1))], { concurrency: 2 })
          return yield* Ref.get(ref)
        })
      )
      assert.strictEqual(fault.type, "UntrackedAsync")
      assert.match(fault.message, /asked last for no operation/)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("user code cannot catch it", () =>
    Effect.gen(function* () {
      const { busy, io } = kit.untracked()
      const fault = yield* kit.faultOf(
        Effect.all([Durable.step("slow", busy), io], { concurrency: 2 }).pipe(
          Effect.catchCause(() => Effect.succeed("caught"))
        )
      )
      assert.strictEqual(fault.type, "UntrackedAsync")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("alone it is allowed: nothing can overtake it", () =>
    Effect.gen(function* () {
      const body = Effect.gen(function* () {
        yield* timer(2)
        const a = yield* Durable.step("a", Effect.succeed("a"))
        yield* timer(2)
        return a + (yield* Durable.step("b", Effect.succeed("b")))
      })
      yield* kit.sees(body, Exit.succeed("ab"))
    }).pipe(Effect.provide(layerMemory))
  )

  const shared: ReadonlyArray<readonly [what: string, body: kit.Body]> = [
    [
      "a Deferred",
      Effect.gen(function* () {
        const deferred = yield* Deferred.make<string>()
        yield* Effect.all(
          [
            Durable.childContext(
              "reader",
              Effect.flatMap(Deferred.await(deferred), () => Durable.step("read", Effect.succeed(1)))
            ),
            Durable.childContext(
              "writer",
              Effect.andThen(Durable.step("write", Effect.as(kit.turn, 1)), Deferred.succeed(deferred, "x"))
            )
          ],
          { concurrency: 2 }
        )
      })
    ],
    [
      "a Queue",
      Effect.gen(function* () {
        const queue = yield* Queue.unbounded<number>()
        yield* Effect.all(
          [
            Durable.childContext(
              "reader",
              Effect.flatMap(Queue.take(queue), () => Durable.step("read", Effect.succeed(1)))
            ),
            Durable.childContext("writer", Effect.andThen(Durable.wait("write", "1 second"), Queue.offer(queue, 1)))
          ],
          { concurrency: 2 }
        )
      })
    ]
  ]
  for (const [what, body] of shared) {
    it.effect(`${what} shared between contexts`, () =>
      Effect.gen(function* () {
        const fault = yield* kit.faultOf(body)
        assert.strictEqual(fault.type, "UntrackedAsync")
        assert.match(
          fault.message,
          /^child context "reader" was moved to STEP "read" by something that happened in another context: they share memory/
        )
        assert.match(fault.message, /Return values from contexts instead/)
      }).pipe(Effect.provide(layerMemory))
    )
  }

  it.effect("memory within one context is free to use", () =>
    Effect.gen(function* () {
      const body = Effect.gen(function* () {
        const queue = yield* Queue.unbounded<string>()
        const reader = Effect.flatMap(Queue.take(queue), (value) => Durable.step("read", Effect.succeed(value)))
        const writer = Effect.flatMap(Durable.step("write", Effect.as(kit.turn, "x")), (value) =>
          Queue.offer(queue, value)
        )
        const [value] = yield* Effect.all([reader, writer], { concurrency: 2 })
        return value
      })
      yield* kit.sees(body, Exit.succeed("x"))
    }).pipe(Effect.provide(layerMemory))
  )
})

/** The library as plain JavaScript sees it. */
const Plain = Durable as unknown as Readonly<Record<string, (...args: ReadonlyArray<unknown>) => kit.Body>>
const fields = { id: Schema.String }

describe("misuse: options that no compiler has seen", () => {
  const NO_SCHEMA = "is no Schema. Write Schema.Struct({ ... }) around fields."
  const value = Effect.succeed("x")
  const state = { initial: "x", state: Schema.String, until: () => true }
  const fn = { functionName: "x:live" }

  /** Bodies that are refused where they stand: nothing is recorded, and nothing runs. */
  const refused: ReadonlyArray<readonly [call: string, says: string, body: kit.Body]> = [
    ['Durable.childContext("x")', `its \`success\` ${NO_SCHEMA}`, Plain.childContext("x", value, { success: fields })],
    ['Durable.childContext("x")', `its \`error\` ${NO_SCHEMA}`, Plain.childContext("x", value, { error: fields })],
    ['Durable.callback("x")', `its \`success\` ${NO_SCHEMA}`, Plain.callback("x", { success: fields })],
    [
      'Durable.waitForCallback("x")',
      `its \`error\` ${NO_SCHEMA}`,
      Plain.waitForCallback("x", () => Effect.void, { error: fields })
    ],
    [
      'Durable.waitForCallback("x")',
      "its `retry` is 5. Give it a Schedule, or an object with some of `times` (a number),",
      Plain.waitForCallback("x", () => Effect.void, { retry: 5 })
    ],
    [
      'Durable.waitForCondition("x")',
      `its \`state\` ${NO_SCHEMA}`,
      Plain.waitForCondition("x", () => value, { ...state, state: fields })
    ],
    ...[{ times: "3" }, { attempts: 3 }, { schedule: 5 }, { while: true }, []].map(
      (schedule) =>
        [
          'Durable.waitForCondition("x")',
          "its `schedule` is an object of other fields. Give it a Schedule, or",
          Plain.waitForCondition("x", () => value, { ...state, schedule })
        ] as const
    ),
    ['Durable.invoke("x")', `its \`payload\` ${NO_SCHEMA}`, Plain.invoke("x", { payload: fields }, {}, fn)],
    [
      'Durable.invoke("x")',
      `its \`error\` ${NO_SCHEMA}`,
      Plain.invoke("x", { payload: Schema.Null, success: Schema.Null, error: fields }, null, fn)
    ],
    ['Durable.map("x")', `its \`success\` ${NO_SCHEMA}`, Plain.map("x", [1], () => value, { success: fields })],
    [
      'Durable.map("x")',
      `its \`result\` ${NO_SCHEMA}`,
      Plain.map("x", [], () => value, { mode: "result", result: fields })
    ],
    [
      'Durable.parallel("x")',
      `number 1 of its branches: its \`error\` ${NO_SCHEMA}`,
      Plain.parallel("x", [value, Plain.branch(value, { error: fields })])
    ]
  ]
  for (const [call, says, body] of refused) {
    it.effect(`${call}: ${says}`, () =>
      Effect.gen(function* () {
        const execution = yield* kit.start(body)
        const fault = yield* Effect.flip(execution.result)
        assert(fault instanceof DurableError.ExecutionFailed, String(fault))
        assert.strictEqual(fault.type, "InvalidOperation")
        assert.isTrue(fault.message.startsWith(`${call}: ${says}`), fault.message)
        assert.deepStrictEqual(yield* execution.operations, [])
      }).pipe(Effect.provide(layerMemory))
    )
  }

  for (const retry of [5, "3", true, { attempts: 3 }, { schedule: 5 }, () => 5] as ReadonlyArray<unknown>) {
    it.effect(`a step whose retry is ${typeof retry} ${JSON.stringify(retry)} is not tried for ever`, () =>
      Effect.gen(function* () {
        let runs = 0
        const step = Plain.step(
          "s",
          Effect.suspend(() => (runs++, Effect.fail(new kit.CardDeclined({ reason: "poor" })))),
          { retry }
        )
        const { live } = yield* kit.observe(step)
        assert(Exit.isFailure(live))
        assert.match(String(Cause.squash(live.cause)), /^TypeError: .* is no Schedule and no options of Effect\.retry$/)
        assert.strictEqual(runs, 1)
      }).pipe(Effect.provide(layerMemory))
    )
  }

  it.effect("a step whose schemas are none ends the execution, not the process", () =>
    Effect.gen(function* () {
      const failing = Effect.fail(new kit.CardDeclined({ reason: "poor" }))
      const bodies: ReadonlyArray<readonly [action: string, body: kit.Body]> = [
        ["encode", Plain.step("s", value, { success: fields })],
        ["encode", Plain.step("s", failing, { error: fields, retry: Durable.noRetry })]
      ]
      for (const [action, body] of bodies) {
        const fault = yield* kit.faultOf(body)
        assert.strictEqual(fault.type, "SerdesFailed")
        assert.match(
          fault.message,
          new RegExp(`^STEP "s" \\([\\w-]+\\): cannot ${action} its payload: its schema is no Schema\\. Write`)
        )
      }
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a definition whose schemas are none", () =>
    Effect.gen(function* () {
      const make = DurableFunction.make as unknown as (name: string, options: object) => typeof kit.Anything
      const messageOf = (options: object) =>
        Effect.gen(function* () {
          const execution = yield* TestRunner.start(make("odd", options), () => Effect.succeed("x"), null)
          return (yield* Effect.flip(execution.result)).message
        })
      const { error, payload } = kit.Anything
      const none = "its schema is no Schema. Write Schema.Struct({ ... }) around fields."
      assert.include(
        yield* messageOf({ payload, error, success: fields }),
        `The result of "odd": cannot encode its payload: ${none}`
      )
    }).pipe(Effect.provide(layerMemory))
  )

  for (const [what, summary, says] of [
    ["a number", () => 5, "it must give a string, not Number"],
    ["a promise", () => Promise.resolve("x"), "it must give a string, not Promise"],
    ["what JSON cannot hold", () => BigInt(1), "it must give a string, not BigInt"],
    ["no function", "in short", "summary is not a function"]
  ] as ReadonlyArray<readonly [string, unknown, string]>) {
    it.effect(`a summary that is ${what}`, () =>
      Effect.gen(function* () {
        const large = Effect.succeed("x".repeat(300_000))
        const bodies: ReadonlyArray<kit.Body> = [
          Plain.childContext("c", large, { summary }),
          Plain.map("c", [1], () => large, { summary }),
          Plain.parallel("c", [large], { summary })
        ]
        for (const body of bodies) {
          const fault = yield* kit.faultOf(body)
          assert.strictEqual(fault.type, "SerdesFailed")
          assert.match(fault.message, /^CONTEXT "c" \([\w-]+\): cannot encode its payload: its `summary` threw: /)
          assert.include(fault.message, `TypeError: ${says}`)
        }
      }).pipe(Effect.provide(layerMemory))
    )
  }
})

describe("misuse: schemas that interrupt themselves", () => {
  const through = (how: { readonly encode?: boolean; readonly decode?: boolean }) => {
    const getter = (interrupts = false) =>
      SchemaGetter.transformEffect((text: string) => (interrupts ? Effect.interrupt : Effect.succeed(text)))
    return Schema.String.pipe(
      Schema.decodeTo(Schema.String, { decode: getter(how.decode), encode: getter(how.encode) })
    )
  }

  for (const action of ["encode", "decode"] as const) {
    const schema = through({ [action]: true })
    const bodies: ReadonlyArray<readonly [operation: string, body: kit.Body]> = [
      ['STEP "s"', Durable.step("s", Effect.succeed("x"), { success: schema })],
      ['CONTEXT "c"', Durable.childContext("c", Effect.succeed("x"), { success: schema })],
      ['STEP "p"', Durable.waitForCondition("p", Effect.succeed, { initial: "x", state: schema, until: () => true })]
    ]
    for (const [operation, body] of bodies) {
      it.effect(`${operation} that cannot ${action}: it is the schema's doing, and is said to be`, () =>
        Effect.gen(function* () {
          const fault = yield* kit.faultOf(body)
          assert.strictEqual(fault.type, "SerdesFailed")
          assert.match(
            fault.message,
            new RegExp(
              `^${operation} \\([\\w-]+\\): cannot ${action} its payload: its schema died: Error: All fibers interrupted`
            )
          )
        }).pipe(Effect.provide(layerMemory))
      )
    }
  }

  it.effect("that of a definition's payload", () =>
    Effect.gen(function* () {
      const Odd = DurableFunction.make("odd", { payload: through({ decode: true }) })
      const execution = yield* TestRunner.start(Odd, () => Effect.void, "x")
      const error = yield* Effect.flip(execution.result)
      assert.deepInclude(error, { _tag: "ExecutionFailed", type: "InvalidPayload" })
      assert.match(
        error.message,
        /^The payload of "odd" is not what .* declares: its schema died: Error: All fibers interrupted/
      )
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("an interruption from outside stays one", () =>
    Effect.gen(function* () {
      let interrupted = false
      const slow = Schema.String.pipe(
        Schema.decodeTo(Schema.String, {
          decode: SchemaGetter.passthrough<string>(),
          encode: SchemaGetter.transformEffect((text: string) =>
            Effect.onInterrupt(Effect.as(timer(1000), text), () => Effect.sync(() => (interrupted = true)))
          )
        })
      )
      yield* kit.sees(
        Effect.timeoutOrElse(Durable.step("slow", Effect.succeed("x"), { success: slow }), {
          duration: "1 second",
          orElse: () => Effect.succeed("too slow")
        }),
        Exit.succeed("too slow")
      )
      assert.isTrue(interrupted)
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("misuse: a schema that has no JSON", () => {
  it.effect("is said to have none, wherever it stands", () =>
    Effect.gen(function* () {
      const symbols = Schema.Struct({ [Symbol.for("k")]: Schema.String })
      const value = { [Symbol.for("k")]: "x" }
      const bodies: ReadonlyArray<kit.Body> = [
        Durable.step("s", Effect.succeed(value), { success: symbols }),
        Durable.childContext("c", Effect.succeed(value), { success: symbols }),
        Durable.map("m", [1], () => Effect.succeed(value), { success: symbols })
      ]
      for (const body of bodies) {
        const fault = yield* kit.faultOf(body)
        assert.strictEqual(fault.type, "SerdesFailed")
        assert.match(fault.message, /its schema has no JSON: Error: Objects property names must be strings/)
      }
    }).pipe(Effect.provide(layerMemory))
  )
})
