/**
 * Durable cleanup. The names of the first tests are the acceptance criteria of aws-durable-execution-sdk-java#646, in its
 * words: what it calls a terminal action is a finalizer or a compensation here.
 */
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction, DurableHandler } from "effect-durable-lambda"
import { ChildContextFailed, StepFailed } from "effect-durable-lambda/DurableError"
import { crashEverywhere, TestRunner } from "effect-durable-lambda/testing"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as fs from "node:fs"
import * as path from "node:path"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"
import { CardDeclined } from "./kit.ts"
import * as outside from "./outside.kit.ts"

const { layerMemory } = TestRunner
const declined = new CardDeclined({ reason: "limit" })
/** The same as an execution's failure, which no schema reads here. */
const DECLINED = { _tag: "CardDeclined", reason: "limit" }
const noRetry = { retry: Durable.noRetry }

/** Steps that write down what they did, in the order in which they did it. */
const ledger = () => {
  const done: Array<string> = []
  const did = (what: string) =>
    Durable.step(
      what,
      Effect.sync(() => void done.push(what))
    )
  /** Does something, and undoes it if the rest fails. */
  const undoable = (what: string) => did(what).pipe(Durable.withCompensation(`un-${what}`, () => did(`undo ${what}`)))
  const finalizer = (what: string) => Durable.addFinalizer(what, () => did(what))
  return { done, did, undoable, finalizer }
}

const fails = (name: string) => Durable.step(name, Effect.fail(declined), { error: CardDeclined, ...noRetry })

const SUSPENDING: Readonly<Record<string, kit.Body>> = {
  "Durable.wait": Durable.wait("w", "1 hour"),
  "Effect.sleep": Effect.sleep("1 hour"),
  "a step that will be retried": Durable.step("s", Effect.fail("x"), { retry: Schedule.spaced("1 hour") }),
  "Durable.callback": Effect.flatMap(Durable.callback("c"), (made) => made.await),
  "Durable.waitForCallback": Durable.waitForCallback("c", () => Effect.void),
  "Durable.waitForCondition": Durable.waitForCondition("c", (n) => Effect.succeed(n + 1), {
    initial: 0,
    state: Schema.Finite,
    until: () => false
  }),
  "Durable.invoke": Durable.invoke("i", { payload: kit.Anything.payload, success: kit.Anything.success }, null, {
    functionName: "other:1"
  }),
  "Durable.childContext": Durable.childContext("k", Durable.wait("w", "1 hour")),
  "Durable.parallel": Durable.parallel("p", [Durable.wait("w", "1 hour"), Durable.wait("v", "2 hours")]),
  "Durable.map": Durable.map("m", [1, 2], () => Durable.wait("w", "1 hour"), { nesting: "flat" }),
  "a race": Effect.raceFirst(Durable.wait("w", "1 hour"), Effect.sleep("2 hours")),
  "an uninterruptible wait": Effect.uninterruptible(Durable.wait("w", "1 hour"))
}

describe("cleanup: suspension from each suspending operation type runs no registered terminal action", () => {
  for (const [name, suspending] of Object.entries(SUSPENDING)) {
    for (const [where, around] of [
      ["", (body: kit.Body) => body],
      [", in Durable.scoped", Durable.scoped],
      [
        ", in a child context",
        (body: kit.Body) => Durable.childContext("outer", body, { success: kit.Anything.success })
      ],
      [", in a virtual context", (body: kit.Body) => Durable.childContext("outer", body, { virtual: true })]
    ] as ReadonlyArray<readonly [string, (body: kit.Body) => kit.Body]>) {
      it.effect(`${name}${where}`, () =>
        Effect.gen(function* () {
          const service = FakeService.make()
          const { did, done, finalizer, undoable } = ledger()
          let plain = 0
          const body = around(
            Effect.gen(function* () {
              yield* undoable("charge")
              yield* finalizer("log out")
              yield* Durable.acquireRelease("machine", did("launch"), () => did("terminate"))
              yield* Durable.addFinalizer("plain", () => Effect.sync(() => void plain++))
              return yield* suspending
            })
          )
          const handler = DurableHandler.make(kit.Anything, () => body, service.handlerOptions)
          for (let i = 0; i < 3; i++) {
            const { Status } = yield* service.invoke(handler)
            assert.strictEqual(Status, "PENDING")
          }
          assert.deepStrictEqual(done, ["charge", "launch"])
          assert.strictEqual(plain, 0, "code of a finalizer has run, if only its memory")
          assert.notInclude(service.trace.flat().join(), "log out")
        })
      )
    }
  }
})

describe("cleanup: the other criteria", () => {
  it.effect("replay reconstructs registrations deterministically", () =>
    Effect.gen(function* () {
      const { done, undoable, finalizer } = ledger()
      let runs = 0
      const body = Effect.gen(function* () {
        runs++
        for (const what of ["a", "b"]) {
          yield* undoable(what)
          yield* Durable.wait(`after ${what}`, "1 day")
        }
        yield* finalizer("last")
        yield* Durable.wait("after last", "1 day")
        return yield* fails("c")
      })
      yield* kit.run(body).pipe(Effect.flip)
      assert.isAtLeast(runs, 4)
      assert.deepStrictEqual(done, ["a", "b", "last", "undo b", "undo a"])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("success runs cleanup exactly through durable/checkpointed semantics", () =>
    Effect.gen(function* () {
      const { did, done, finalizer, undoable } = ledger()
      const body = Effect.gen(function* () {
        yield* undoable("charge")
        yield* finalizer("log out")
        yield* Durable.acquireRelease("machine", did("launch"), () => did("terminate"))
        yield* Durable.wait("w", "1 day")
        return "done"
      })
      const execution = yield* kit.start(body)
      assert.strictEqual(yield* execution.result, "done")
      assert.deepStrictEqual(done, ["charge", "launch", "terminate", "log out"])
      const operations = yield* execution.operations
      assert.deepStrictEqual(
        operations.slice(-4).map(({ Name, Status, SubType, Type }) => [Type, SubType, Name, Status]),
        [
          ["CONTEXT", "Release", "machine", "SUCCEEDED"],
          ["STEP", "Step", "terminate", "SUCCEEDED"],
          ["CONTEXT", "Finalizer", "log out", "SUCCEEDED"],
          ["STEP", "Step", "log out", "SUCCEEDED"]
        ]
      )
      assert.deepStrictEqual(
        operations.map(({ Id }) => Id).slice(-4, -1),
        [operations.at(-4)!.Id, operations.at(-4)!.Id, operations.at(-2)!.Id].map(
          (id, i) => [id, operations.at(-3)!.Id, id][i]!
        )
      )
      assert.strictEqual(operations.at(-3)!.ParentId, operations.at(-4)!.Id)
      assert.strictEqual(operations.at(-1)!.ParentId, operations.at(-2)!.Id)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("failure runs compensation and cleanup in the documented order", () =>
    Effect.gen(function* () {
      const { did, done, finalizer, undoable } = ledger()
      const seen: Array<unknown> = []
      const body = Effect.gen(function* () {
        yield* undoable("a")
        yield* finalizer("f")
        yield* Durable.acquireRelease("m", did("m"), (_, exit) => {
          seen.push(kit.shown(exit))
          return did("release m")
        })
        yield* Durable.withCompensation(Durable.step("b", Effect.succeed({ id: 7 })), "un-b", (value, cause) => {
          seen.push(value, kit.shown(Exit.failCause(cause)))
          return did("undo b")
        })
        return yield* fails("c")
      })
      assert.deepStrictEqual(yield* Effect.flip(kit.run(body)), DECLINED)
      assert.deepStrictEqual(done, ["a", "m", "undo b", "release m", "f", "undo a"])
      assert.deepStrictEqual(seen, [{ id: 7 }, [{ fail: declined }], [{ fail: declined }]])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a defect of the body is a failure like any other", () =>
    Effect.gen(function* () {
      const { done, undoable } = ledger()
      const body = Effect.andThen(undoable("a"), Effect.die(new Error("bug")))
      assert.deepStrictEqual(kit.shown(yield* Effect.exit(kit.run(body))), [{ die: "Error: bug" }])
      assert.deepStrictEqual(done, ["a", "undo a"])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect(
    "cancellation follows an explicit, tested policy: a race's loser has compensated before the race gives its result",
    () =>
      Effect.gen(function* () {
        const { did, done, undoable } = ledger()
        const loser = Effect.andThen(undoable("hold"), Durable.wait("long", "1 day")).pipe(Durable.scoped)
        const body = Effect.gen(function* () {
          yield* Effect.raceFirst(loser, Durable.wait("short", "1 hour"))
          yield* did("after the race")
          yield* Durable.wait("again", "1 hour")
          const timedOut = yield* Effect.timeoutOption(
            Effect.andThen(undoable("second"), Durable.wait("longer", "2 days")).pipe(Durable.scoped),
            "3 hours"
          )
          yield* did("after the timeout")
          return timedOut._tag
        })
        assert.strictEqual(yield* kit.run(body), "None")
        assert.deepStrictEqual(done, [
          "hold",
          "undo hold",
          "after the race",
          "second",
          "undo second",
          "after the timeout"
        ])
      }).pipe(Effect.provide(layerMemory))
  )

  it.effect(
    "a loser without a scope of its own is compensated at the end of the scope around, even if that succeeds",
    () =>
      Effect.gen(function* () {
        const { did, done, undoable } = ledger()
        const loser = Effect.andThen(undoable("hold"), Durable.wait("long", "1 day"))
        const failing = Effect.andThen(undoable("try"), fails("no"))
        const body = Effect.gen(function* () {
          yield* undoable("kept")
          yield* Effect.raceFirst(loser, Durable.wait("short", "1 hour"))
          yield* Effect.race(failing, Durable.wait("other", "1 hour"))
          yield* did("after the races")
          yield* Durable.wait("again", "1 hour")
        })
        yield* kit.run(body)
        assert.deepStrictEqual(done, ["kept", "hold", "try", "after the races", "undo try", "undo hold"])
      }).pipe(Effect.provide(layerMemory))
  )

  it.effect("an acquisition is not interrupted: the race goes on when it is done and released", () =>
    Effect.gen(function* () {
      const { did, done } = ledger()
      const slow = Effect.andThen(Durable.wait("boot", "1 day"), did("launch"))
      const loser = Durable.acquireRelease("machine", slow, () => did("terminate")).pipe(
        Effect.andThen(did("never")),
        Durable.scoped
      )
      const body = Effect.gen(function* () {
        yield* Effect.raceFirst(loser, Durable.wait("short", "1 hour"))
        yield* did("after")
      })
      yield* kit.run(body)
      assert.deepStrictEqual(done, ["launch", "terminate", "after"])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("after a stop none can run", () =>
    Effect.gen(function* () {
      const { done, finalizer, undoable } = ledger()
      const execution = yield* kit.start(
        Effect.andThen(Effect.all([undoable("a"), finalizer("f")]), Durable.wait("w", "1 day"))
      )
      yield* outside.until(execution, "w", "WAIT", "STARTED")
      yield* execution.stop()
      yield* Effect.exit(execution.result)
      assert.strictEqual(yield* execution.status, "STOPPED")
      assert.deepStrictEqual(done, ["a"])
    }).pipe(Effect.provide(outside.layerClock))
  )

  it.effect("after a timeout of the execution none can run", () =>
    Effect.gen(function* () {
      const { done, finalizer, undoable } = ledger()
      const Callee = DurableFunction.make("callee", { payload: Schema.Void })
      const body = () =>
        Effect.andThen(Effect.all([undoable("a"), finalizer("f")], { discard: true }), Durable.wait("w", "1 day"))
      yield* outside.deploy(Callee, body, { executionTimeoutSeconds: 60 })
      const error = yield* Effect.flip(
        kit.run(Durable.invoke("call", Callee, undefined, { functionName: "callee:$LATEST" }))
      )
      assert.deepInclude(error, { status: "TIMED_OUT" })
      assert.deepStrictEqual(done, ["a"])
    }).pipe(Effect.provide(outside.layerSkipping))
  )

  it.effect("a terminal action can itself suspend and resume", () =>
    Effect.gen(function* () {
      const { did, done, undoable } = ledger()
      const asked = Effect.gen(function* () {
        yield* did("ask")
        yield* Durable.wait("first", "1 hour")
        const answer = yield* Durable.waitForCallback("may-i", () => Effect.void)
        yield* did(`answer ${answer}`)
      })
      const body = Effect.gen(function* () {
        yield* undoable("a")
        yield* Durable.addFinalizer("ask", () => asked)
        yield* Durable.wait("w", "1 hour")
        return yield* fails("b")
      })
      yield* TestRunner.onCallback("may-i", Effect.delay(Effect.succeed("yes"), "1 day"))
      assert.deepStrictEqual(yield* Effect.flip(kit.run(body)), DECLINED)
      assert.deepStrictEqual(done, ["a", "ask", "answer yes", "undo a"])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("completed terminal actions are skipped on replay", () =>
    Effect.gen(function* () {
      let ran = 0
      const { did } = ledger()
      const body = Effect.gen(function* () {
        yield* Durable.addFinalizer("last", () => Effect.andThen(Durable.wait("w", "1 day"), did("x")))
        yield* Durable.addFinalizer("first", () =>
          Effect.sync(() => {
            ran++
          })
        )
      })
      yield* kit.run(body)
      assert.strictEqual(ran, 1)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("terminal-action retries do not repeat already completed actions", () =>
    Effect.gen(function* () {
      const { did, done, undoable } = ledger()
      let tries = 0
      const flaky = Durable.step(
        "flaky",
        Effect.suspend(() => (++tries < 3 ? Effect.fail("not yet") : Effect.void)),
        { retry: Schedule.spaced("1 minute") }
      )
      const body = Effect.gen(function* () {
        yield* undoable("a")
        yield* Durable.addFinalizer("retried", () => Effect.andThen(did("once"), flaky))
        yield* undoable("b")
        return yield* fails("c")
      })
      yield* Effect.flip(kit.run(body))
      assert.strictEqual(tries, 3)
      assert.deepStrictEqual(done, ["a", "b", "undo b", "once", "undo a"])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("nested terminal scopes behave deterministically", () =>
    Effect.gen(function* () {
      const { done, finalizer, undoable } = ledger()
      const level = (n: number): kit.Body =>
        Effect.gen(function* () {
          yield* undoable(`${n}`)
          yield* finalizer(`f${n}`)
          yield* Durable.wait(`w${n}`, "1 hour")
          if (n === 4) return yield* fails("deep")
          const inner = level(n + 1)
          if (n === 1) return yield* Durable.childContext("k", inner, { error: CardDeclined })
          if (n === 2) return yield* Durable.childContext("v", inner, { virtual: true })
          return yield* Durable.scoped(inner)
        })
      const body = Effect.catch(level(1), () => Durable.wait("after", "1 hour"))
      const outer = Effect.andThen(undoable("0"), body)
      yield* kit.run(outer)
      const up = ["0", "1", "2", "3", "4"]
      // what the handler has caught is no failure of the outermost scope
      const down = ["f4", "undo 4", "f3", "undo 3", "f2", "undo 2"]
      assert.deepStrictEqual(done, [...up, ...down, "f1"])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("map/parallel branches use isolated scope contexts and do not interfere", () =>
    Effect.gen(function* () {
      const { done, finalizer, undoable } = ledger()
      const branch = (name: string, end: kit.Body) =>
        Effect.gen(function* () {
          yield* undoable(name)
          yield* finalizer(`f ${name}`)
          yield* Durable.wait("w", name === "good" ? "2 hours" : "1 hour")
          return yield* end
        })
      const body = Effect.gen(function* () {
        yield* undoable("outer")
        const options = { mode: "result", completion: { toleratedFailureCount: 2 } } as const
        const result = yield* Durable.parallel(
          "p",
          {
            bad: Durable.branch(branch("bad", fails("x")), { error: CardDeclined }),
            good: branch("good", Effect.void)
          },
          options
        )
        yield* Durable.map("m", ["i1", "i2"], (item) => branch(item, item === "i1" ? fails("x") : Effect.void), options)
        return result.counts.failure
      })
      assert.strictEqual(yield* kit.run(body), 1)
      assert.deepStrictEqual(
        ["bad", "good", "outer", "i1", "i2"].map((name) => done.filter((what) => what.endsWith(name))),
        [["bad", "f bad", "undo bad"], ["good", "f good"], ["outer"], ["i1", "f i1", "undo i1"], ["i2", "f i2"]]
      )
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("multiple body/compensation/cleanup failures preserve documented error information", () =>
    Effect.gen(function* () {
      const { done, undoable } = ledger()
      const failing = Effect.gen(function* () {
        yield* undoable("a")
        yield* Durable.addFinalizer("cleanup", () => Durable.step("release", Effect.fail("leak"), noRetry))
        yield* Durable.withCompensation(Durable.step("b", Effect.void), "undo b", () => Effect.die(new Error("bug")))
        return yield* fails("c")
      })
      const both = [
        new ChildContextFailed({
          operation: "undo b",
          type: "Error",
          message: 'Durable.withCompensation("undo b") has failed: bug'
        }),
        new ChildContextFailed({
          operation: "cleanup",
          type: "StepFailed",
          message: 'Durable.addFinalizer("cleanup") has failed: leak'
        })
      ]
      const cause = Cause.fromReasons<unknown>([declined, ...both].map(Cause.makeFailReason))
      const execution = yield* kit.sees(Durable.scoped(failing), Exit.failCause(cause))
      // each is on record
      assert.strictEqual((yield* execution.operation("undo b")).Status, "FAILED")
      assert.strictEqual((yield* execution.operation("cleanup")).ContextDetails?.Error?.ErrorType, "StepFailed")
      assert.deepStrictEqual(done, ["a", "undo a"])
      // what a context, and the execution, fail with is the first
      yield* kit.sees(Durable.childContext("k", failing, { error: CardDeclined }), Exit.fail(declined))
      assert.deepStrictEqual(yield* Effect.flip(kit.run(failing)), DECLINED)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a failing cleanup of a scope that has succeeded is a defect that says which", () =>
    Effect.gen(function* () {
      const body = Effect.as(
        Durable.addFinalizer("cleanup", () => Durable.step("release", Effect.fail("leak"), noRetry)),
        1
      )
      const error = new ChildContextFailed({
        operation: "cleanup",
        type: "StepFailed",
        message: 'Durable.addFinalizer("cleanup") has failed: leak'
      })
      yield* kit.sees(Durable.scoped(body), Exit.die(error))
      assert.deepStrictEqual(kit.shown(yield* Effect.exit(kit.run(body))), [
        { die: `ChildContextFailed: ${error.message}` }
      ])
    }).pipe(Effect.provide(layerMemory))
  )

  it("API docs warn that cleanup side effects remain at-least-once and should be idempotent", () => {
    const read = (file: string) => fs.readFileSync(path.resolve(import.meta.dirname, "../..", file), "utf8")
    for (const file of ["docs/cleanup.md", "src/operations/cleanup.ts"]) {
      const text = read(file).replace(/\s+\*?\s*/g, " ")
      assert.match(text, /at least once[^.]*idempotent/)
      assert.match(text, /After a stop or a timeout of the execution/i)
    }
  })
})

describe("cleanup: misuse", () => {
  it.effect("in a step", () =>
    Effect.gen(function* () {
      const inner = Durable.addFinalizer("f", () => Effect.void) as Effect.Effect<never> // what the types forbid
      const { message, type } = yield* kit.faultOf(Durable.step("s", inner))
      assert.strictEqual(type, "InvalidOperation")
      assert.include(message, 'Durable.addFinalizer("f") was run inside a step')
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a name that the service does not take is refused before anything is done", () =>
    Effect.gen(function* () {
      const { did, done } = ledger()
      for (const body of [
        Durable.addFinalizer("", () => Effect.void),
        Durable.withCompensation(did("a"), "ü", () => Effect.void),
        Durable.acquireRelease("x".repeat(300), did("b"), () => Effect.void)
      ]) {
        const { message, type } = yield* kit.faultOf(body)
        assert.strictEqual(type, "InvalidOperation")
        assert.match(message, /^Durable\.\w+: the name ".*" is not usable/)
      }
      assert.deepStrictEqual(done, [])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("below a flat item, which has no record", () =>
    Effect.gen(function* () {
      const { did, done, undoable } = ledger()
      const item = Durable.childContext("k", undoable("a"))
      const { message, type } = yield* kit.faultOf(Durable.map("m", [1], () => item, { nesting: "flat" }))
      assert.strictEqual(type, "InvalidOperation")
      assert.match(message, /^Durable\.withCompensation\("un-a"\) was reached in map-item-0 of map "m", which is flat/)
      yield* kit.run(Durable.map("m", [1], () => did("b"), { nesting: "flat" }))
      assert.deepStrictEqual(done, ["b"])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("outside of a workflow", () =>
    Effect.gen(function* () {
      const exit = yield* Effect.exit(Durable.scoped(Effect.void) as Effect.Effect<void>)
      assert.include(JSON.stringify(kit.shown(exit)), "was run outside of a workflow")
    })
  )
})

/** Steps of cleanup, in a context of their own, before what comes after. */
const races: Readonly<Record<string, (hold: kit.Body, other: kit.Body) => kit.Body>> = {
  "a context that loses a race": (hold, other) => Effect.raceFirst(Durable.childContext("k", hold), other),
  "a context in a context": (hold, other) =>
    Effect.raceFirst(Durable.childContext("k", Durable.childContext("inner", hold)), other),
  "a timeout around a context": (hold) => Effect.timeoutOption(Durable.childContext("k", hold), "1 hour"),
  "a branch of a failing parallel": (hold, other) =>
    Effect.ignore(Durable.parallel("p", { hold, bad: Effect.andThen(other, fails("x")) })),
  "an item that is not needed any more": (hold, other) =>
    Durable.map("m", [hold, other], (item) => Effect.asVoid(item), {
      mode: "result",
      completion: { minSuccessful: 1 }
    }),
  "a timeout around a parallel": (hold) => Effect.timeoutOption(Durable.parallel("p", [hold, hold]), "1 hour"),
  "a scope in a branch of a context": (hold, other) =>
    Effect.raceFirst(Durable.childContext("k", Durable.parallel("p", [Durable.scoped(hold)])), other)
}

describe("cleanup: contexts that their parents let go of", () => {
  for (const [name, race] of Object.entries(races)) {
    it.effect(`${name} has compensated before the rest goes on, after a crash anywhere, too`, () =>
      Effect.gen(function* () {
        const { did, done, finalizer, undoable } = ledger()
        const hold = Effect.gen(function* () {
          yield* undoable("hold")
          yield* finalizer("log out")
          yield* Durable.withCompensation(did("again"), "un-again", () =>
            Effect.andThen(Durable.wait("cool-off", "1 day"), did("undo again"))
          )
          yield* Durable.wait("long", "9 days")
          yield* did("never")
        })
        const body = Effect.gen(function* () {
          yield* race(hold, Durable.wait("short", "1 hour"))
          yield* did("after")
          yield* Durable.wait("end", "1 hour")
        })
        const execution = yield* kit.start(body)
        yield* execution.result
        const times = name.includes("around a parallel") ? 2 : 1
        const count = (what: string) => done.filter((one) => one === what).length
        for (const what of ["hold", "again", "undo again", "log out", "undo hold"]) {
          assert.strictEqual(count(what), times, what)
        }
        assert.strictEqual(done.at(-1), "after")
        assert.strictEqual(count("never"), 0)
        if (times === 1) {
          assert.deepStrictEqual(done, ["hold", "again", "undo again", "log out", "undo hold", "after"])
        }
        const { boundaries, crashes } = yield* crashEverywhere(kit.Anything, () => body, null)
        assert.isAbove(boundaries, 15)
        assert.strictEqual(crashes, boundaries)
      }).pipe(Effect.provide(layerMemory))
    )
  }

  it.effect("an acquisition in a lost context is completed and released", () =>
    Effect.gen(function* () {
      const { did, done } = ledger()
      const slow = Effect.andThen(Durable.wait("boot", "1 day"), did("launch"))
      const machine = Durable.acquireRelease("machine", slow, () => did("terminate"))
      const body = Effect.gen(function* () {
        yield* Effect.raceFirst(
          Durable.childContext("k", Effect.andThen(machine, did("never"))),
          Durable.wait("short", "1 hour")
        )
        yield* did("after")
      })
      yield* kit.run(body)
      assert.deepStrictEqual(done, ["launch", "terminate", "after"])
      yield* crashEverywhere(kit.Anything, () => body, null)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a context without cleanup is let go of as ever: nothing is recorded, nothing waits", () =>
    Effect.gen(function* () {
      const { did } = ledger()
      const lost = Durable.childContext("lost", Effect.andThen(did("a"), Durable.wait("long", "1 day")))
      const kept = Durable.childContext("kept", Durable.scoped(Effect.andThen(did("b"), Effect.void)))
      const execution = yield* kit.start(
        Effect.andThen(Effect.raceFirst(lost, Durable.wait("short", "1 hour")), Effect.andThen(kept, did("c")))
      )
      yield* execution.result
      const operations = yield* execution.operations
      assert.deepStrictEqual(
        operations.map(({ Name, SubType }) => `${SubType} ${Name}`).filter((what) => /order-of|Cleanup/.test(what)),
        ["Step order-of-completions"] // the race's own
      )
      assert.strictEqual((yield* execution.operation("lost")).Status, "STARTED")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("how it reads in the history: the context stays STARTED, a context of type Cleanup ends", () =>
    Effect.gen(function* () {
      const { did, undoable } = ledger()
      const lost = Durable.childContext("hold", Effect.andThen(undoable("a"), Durable.wait("long", "1 day")))
      const execution = yield* kit.start(
        Effect.andThen(Effect.raceFirst(lost, Durable.wait("short", "1 hour")), did("b"))
      )
      yield* execution.result
      const operations = yield* execution.operations
      const of = (type: string, name: string) =>
        operations.find(({ Name, SubType }) => SubType === type && Name === name)
      assert.deepInclude(of("RunInChildContext", "hold"), { Status: "STARTED" })
      assert.deepInclude(of("Cleanup", "hold"), { Status: "SUCCEEDED" })
      assert.deepInclude(of("Compensation", "un-a"), {
        Status: "SUCCEEDED",
        ParentId: of("RunInChildContext", "hold")!.Id
      })
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("what a fiber registers that outlives its scope is done at once", () =>
    Effect.gen(function* () {
      const { did, done, finalizer, undoable } = ledger()
      const late = Effect.andThen(Durable.wait("w", "1 hour"), Effect.andThen(finalizer("late"), undoable("kept")))
      const slow = Durable.acquireRelease("m", Effect.andThen(Durable.wait("v", "2 hours"), did("launch")), () =>
        did("terminate")
      )
      const body = Effect.gen(function* () {
        yield* Durable.scoped(Effect.forkChild(late))
        yield* Effect.forkChild(slow)
        yield* Durable.wait("x", "90 minutes")
        yield* did("end")
      })
      yield* kit.run(body)
      assert.deepStrictEqual(done, ["late", "kept", "end", "launch", "terminate"])
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("cleanup: crashes", () => {
  it.effect("a saga survives a crash anywhere, at every depth", () =>
    Effect.gen(function* () {
      const { did, undoable, finalizer } = ledger()
      const body = Effect.gen(function* () {
        yield* undoable("a")
        yield* Durable.childContext(
          "k",
          Effect.gen(function* () {
            yield* undoable("b")
            yield* Durable.acquireRelease("m", did("m"), () => Effect.andThen(Durable.wait("cool", "1 hour"), did("n")))
            return yield* Effect.catch(Durable.scoped(Effect.andThen(undoable("c"), fails("x"))), () => did("d"))
          })
        )
        yield* finalizer("f")
        yield* Durable.wait("w", "1 day")
        return yield* fails("e")
      })
      const { boundaries, crashes } = yield* crashEverywhere(kit.Anything, () => body, null)
      assert.isAbove(boundaries, 30)
      assert.strictEqual(crashes, boundaries)
    })
  )

  it.effect("StepFailed of a step in a compensation is retried by its own schedule, then reported", () =>
    Effect.gen(function* () {
      let tries = 0
      const undo = Durable.step(
        "undo",
        Effect.suspend(() => Effect.fail(`no ${++tries}`)),
        { retry: Schedule.spaced("1 minute").pipe(Schedule.upTo({ times: 2 })) }
      )
      const body = Effect.andThen(
        Durable.withCompensation(Durable.step("a", Effect.void), "un-a", () => undo),
        Effect.fail(new StepFailed({ operation: "own", type: "x", message: "first" }))
      )
      const error = yield* Effect.flip(kit.run(body))
      assert.include(String((error as Error).message), "first")
      assert.strictEqual(tries, 3)
    }).pipe(Effect.provide(layerMemory))
  )
})
