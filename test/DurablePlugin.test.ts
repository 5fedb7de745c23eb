import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableHandler, DurablePlugin } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as views from "../src/internal/views.ts"
import * as kit from "./operations/kit.ts"
import * as outside from "./operations/outside.kit.ts"
import * as FakeService from "./wire/FakeService.ts"

// ---- watching --------------------------------------------------------------------------------------------

type Seen = Array<string>

/** What a plugin is told, in words; operations by name. */
const watch = (seen: Seen, more: DurablePlugin.Hooks = {}): DurablePlugin.DurablePlugin => {
  const see = (text: string) => Effect.sync(() => void seen.push(text))
  const replay = (info: { readonly isReplay: boolean }) => (info.isReplay ? " (replay)" : "")
  return DurablePlugin.make({
    onInvocationStart: (info) => see(`invocation start${info.isFirstInvocation ? " (first)" : ""}`),
    onInvocationEnd: (info) => see(`invocation end ${info.status}`),
    onOperationStart: (info) => see(`${info.name} start${replay(info)}`),
    onOperationEnd: (info) => see(`${info.name} end ${info.status}${replay(info)}`),
    onAttemptStart: (info) => see(`${info.name} attempt ${info.attempt} start`),
    onAttemptEnd: (info) => see(`${info.name} attempt ${info.attempt} ${info.outcome}`),
    onContextStart: (info) => see(`${info.name} enter${info.isReplayingChildren ? " (replaying children)" : ""}`),
    onContextEnd: (info) => see(`${info.name} leave ${info.outcome}`),
    ...more
  })
}

/** Runs a body in memory, and gives what a plugin saw of it. */
const seenOf = (body: kit.Body, more?: DurablePlugin.Hooks) =>
  Effect.gen(function* () {
    const seen: Seen = []
    const execution = yield* kit.start(body, { plugins: [watch(seen, more)] })
    const exit = yield* Effect.exit(execution.result)
    return { seen, exit, execution }
  })

/** Collects warnings: they go to the console. */
const warnings = () => {
  const lines: Array<string> = []
  const console = new Proxy(Context.get(Context.empty(), Console.Console), {
    get: (target, key) =>
      key === "warn" || key === "log" ? (line: string) => void lines.push(line) : Reflect.get(target, key)
  })
  return { lines, layer: Layer.succeed(Console.Console, console) }
}

const greet = Durable.step("greet", Effect.succeed("hello"))

/** Every hook with the same implementation. */
const everywhere = (f: (hook: string) => Effect.Effect<unknown>): DurablePlugin.Hooks => ({
  name: "odd",
  timeout: "20 millis",
  onInvocationStart: () => f("onInvocationStart"),
  onInvocationEnd: () => f("onInvocationEnd"),
  onOperationStart: () => f("onOperationStart"),
  onOperationEnd: () => f("onOperationEnd"),
  onOperationChange: () => f("onOperationChange"),
  onAttemptStart: () => f("onAttemptStart"),
  onAttemptEnd: () => f("onAttemptEnd"),
  onContextStart: () => f("onContextStart"),
  onContextEnd: () => f("onContextEnd")
})

// ---- hooks -------------------------------------------------------------------------------------------------

describe("hooks", () => {
  it.effect("of a step: each once, in order", () =>
    Effect.gen(function* () {
      const { seen } = yield* seenOf(greet)
      assert.deepStrictEqual(seen, [
        "invocation start (first)",
        "greet start",
        "greet attempt 1 start",
        "greet attempt 1 SUCCEEDED",
        "greet end SUCCEEDED",
        "invocation end SUCCEEDED"
      ])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of a retried step: attempts, a replayed start, one end", () =>
    Effect.gen(function* () {
      const step = Durable.step(
        "flaky",
        Effect.flatMap(Durable.CurrentStep, ({ attempt }) => (attempt < 3 ? Effect.fail("no") : Effect.succeed(1))),
        { retry: Schedule.spaced("1 second") }
      )
      const { seen } = yield* seenOf(Effect.andThen(greet, step))
      assert.deepStrictEqual(seen.slice(4), [
        "greet end SUCCEEDED",
        "flaky start",
        "flaky attempt 1 start",
        "flaky attempt 1 FAILED",
        "invocation end PENDING",
        "invocation start",
        "flaky start (replay)",
        "flaky attempt 2 start",
        "flaky attempt 2 FAILED",
        "invocation end PENDING",
        "invocation start",
        "flaky start (replay)",
        "flaky attempt 3 start",
        "flaky attempt 3 SUCCEEDED",
        "flaky end SUCCEEDED",
        "invocation end SUCCEEDED"
      ])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of a failing step and execution", () =>
    Effect.gen(function* () {
      const { exit, seen } = yield* seenOf(Durable.step("bad", Effect.fail("no"), { retry: Durable.noRetry }))
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(seen.slice(2), [
        "bad attempt 1 start",
        "bad attempt 1 FAILED",
        "bad end FAILED",
        "invocation end FAILED"
      ])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of waits: an end once, also in later invocations that replay it", () =>
    Effect.gen(function* () {
      const { seen } = yield* seenOf(Effect.andThen(Durable.wait("w1", "1 second"), Durable.wait("w2", "1 second")))
      assert.deepStrictEqual(seen, [
        "invocation start (first)",
        "w1 start",
        "invocation end PENDING",
        "invocation start",
        "w1 end SUCCEEDED",
        "w2 start",
        "invocation end PENDING",
        "invocation start",
        "w2 end SUCCEEDED",
        "invocation end SUCCEEDED"
      ])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of contexts: their body each time it runs, with its parent; the operation once", () =>
    Effect.gen(function* () {
      const parents: Record<string, string | undefined> = {}
      const body = Effect.andThen(
        greet,
        Effect.andThen(Durable.wait("w", "1 second"), Durable.step("last", Effect.void)).pipe(
          Durable.childContext("inner")
        )
      ).pipe(Durable.childContext("outer"))
      const { execution, seen } = yield* seenOf(Effect.andThen(body, Durable.wait("end", "1 second")), {
        onOperationEnd: ({ name = "", parentId }) => Effect.sync(() => void (parents[name] = parentId))
      })
      assert.deepStrictEqual(
        seen.filter((line) => /^(outer|inner|invocation)/.test(line)),
        [
          "invocation start (first)",
          "outer start",
          "outer enter",
          "inner start",
          "inner enter",
          "inner leave INTERRUPTED",
          "outer leave INTERRUPTED",
          "invocation end PENDING",
          "invocation start",
          "outer start (replay)",
          "inner start (replay)",
          "outer enter (replaying children)",
          "inner enter (replaying children)",
          "inner leave SUCCEEDED",
          "outer leave SUCCEEDED",
          "invocation end PENDING",
          "invocation start",
          "invocation end SUCCEEDED"
        ]
      )
      const idOf = (name: string) => Effect.map(execution.operation(name), ({ Id }) => Id)
      const [outer, inner] = [yield* idOf("outer"), yield* idOf("inner")]
      assert.deepStrictEqual(parents, {
        greet: outer,
        w: inner,
        last: inner,
        inner: outer,
        outer: undefined,
        end: undefined
      })
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of a context that is rebuilt: its body enters again, replaying; no operation is told again", () =>
    Effect.gen(function* () {
      const big = Effect.as(greet, "x".repeat(300_000)).pipe(Durable.childContext("big"))
      const { seen } = yield* seenOf(Effect.andThen(big, Durable.wait("w", "1 second")))
      assert.deepStrictEqual(seen.slice(seen.lastIndexOf("invocation start")), [
        "invocation start",
        "w end SUCCEEDED",
        "big enter (replaying children)",
        "big leave SUCCEEDED",
        "invocation end SUCCEEDED"
      ])
      assert.strictEqual(seen.filter((line) => line === "big end SUCCEEDED").length, 1)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of a lost race: the attempt was interrupted, the operation has no end", () =>
    Effect.gen(function* () {
      const { seen } = yield* seenOf(
        Effect.raceFirst(Durable.step("slow", Effect.never), Durable.step("fast", Effect.sleep("5 millis")))
      )
      assert.includeMembers(seen, ["slow start", "slow attempt 1 start", "slow attempt 1 INTERRUPTED"])
      assert.strictEqual(seen.filter((line) => line.startsWith("slow")).length, 3)
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of a step that interrupts itself: one end of its attempt", () =>
    Effect.gen(function* () {
      const { seen } = yield* seenOf(Durable.step("s", Effect.interrupt, { retry: Durable.noRetry }))
      assert.deepStrictEqual(
        seen.filter((line) => line.startsWith("s attempt")),
        ["s attempt 1 start", "s attempt 1 FAILED"]
      )
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("a payload that nothing accepts fails the execution before anything runs, and is told", () =>
    Effect.gen(function* () {
      const { seen } = yield* seenOf(Durable.step("no", Effect.succeed(Number.NaN as never)))
      assert.deepStrictEqual(seen.slice(-2), ["no attempt 1 FAILED", "invocation end FAILED"])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of a batch: the whole, and each item in it, in order; a flat one has no items of its own", () =>
    Effect.gen(function* () {
      const body = (nesting: "nested" | "flat") =>
        Durable.map(nesting, [1, 2], (n) => Durable.step(`s${n}`, Effect.succeed(n)), { concurrency: 1, nesting })
      const nested = (yield* seenOf(body("nested"))).seen.filter((line) => !line.includes("attempt"))
      const names = nested.map((line) => line.replace(/^(?!s\d|nested|invocation)\S+/, "item"))
      assert.deepStrictEqual(names, [
        "invocation start (first)",
        "nested start",
        "item start",
        "item enter",
        "s1 start",
        "s1 end SUCCEEDED",
        "item leave SUCCEEDED",
        "item start",
        "item enter",
        "s2 start",
        "item end SUCCEEDED",
        "s2 end SUCCEEDED",
        "item leave SUCCEEDED",
        "item end SUCCEEDED",
        "nested end SUCCEEDED",
        "invocation end SUCCEEDED"
      ])
      const flat = (yield* seenOf(body("flat"))).seen
      assert.isFalse(flat.some((line) => /enter|leave/.test(line)))
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of a condition: each check is an attempt that has succeeded, and the operation ends once", () =>
    Effect.gen(function* () {
      const results: Array<string | undefined> = []
      const condition = Durable.waitForCondition("ready", (n: number) => Effect.succeed(n + 1), {
        initial: 0,
        state: Schema.Number,
        until: (n) => n >= 2,
        schedule: Schedule.spaced("1 second")
      })
      const { seen } = yield* seenOf(condition, {
        onAttemptEnd: ({ outcome, result }) => Effect.sync(() => void results.push(`${outcome} ${result}`))
      })
      assert.deepStrictEqual(results, ["SUCCEEDED 1", "SUCCEEDED 2"])
      assert.deepStrictEqual(
        seen.filter((line) => line.startsWith("ready")),
        ["ready start", "ready attempt 1 start", "ready start (replay)", "ready attempt 2 start", "ready end SUCCEEDED"]
      )
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of a callback that is waited for: context, callback and submitter, each with its parent", () =>
    Effect.gen(function* () {
      const seen: Seen = []
      const see = (hook: string) => (info: DurablePlugin.OperationInfo) =>
        Effect.sync(() => {
          const parent = info.parentId === undefined ? "" : " inside"
          seen.push(`${info.subType}${parent} ${hook}${hook === "end" ? ` ${info.status} ${info.result}` : ""}`)
        })
      const execution = yield* kit.start(
        Durable.waitForCallback("approval", () => Effect.void),
        {
          plugins: [
            DurablePlugin.make({
              onOperationStart: (info) => (info.isReplay ? Effect.void : see("start")(info)),
              onOperationEnd: see("end"),
              onContextStart: see("enter"),
              onAttemptStart: see("attempt")
            })
          ]
        }
      )
      yield* outside.until(execution, "approval", "STEP", "SUCCEEDED")
      yield* outside.succeed(execution, "approval", "yes")
      assert.strictEqual(yield* execution.result, "yes")
      assert.deepStrictEqual(seen, [
        "WaitForCallback start",
        "WaitForCallback enter",
        "Callback inside start",
        "Step inside start",
        "Step inside attempt",
        "Step inside end SUCCEEDED undefined",
        "Callback inside end SUCCEEDED yes",
        "WaitForCallback enter",
        'WaitForCallback end SUCCEEDED "yes"'
      ])
    }).pipe(Effect.provide(outside.layerSkipping))
  )

  it.effect("an invocation that throws has ended RETRYING, with its error", () =>
    Effect.gen(function* () {
      const ends: Array<DurablePlugin.InvocationEndInfo> = []
      const service = FakeService.make()
      service.next(FakeService.fails(FakeService.awsError(500, "ServiceException", "no service")))
      service.next(FakeService.fails(FakeService.awsError(500, "ServiceException", "no service")))
      service.next(FakeService.fails(FakeService.awsError(500, "ServiceException", "no service")))
      const handler = DurableHandler.make(kit.Anything, () => greet, {
        ...service.handlerOptions,
        plugins: [DurablePlugin.make({ onInvocationEnd: (info) => Effect.sync(() => void ends.push(info)) })]
      })
      const thrown = yield* Effect.flip(service.invoke(handler))
      assert.deepStrictEqual(
        ends.map(({ executionError, status }) => [status, executionError?.ErrorMessage]),
        [["RETRYING", thrown.error.message]]
      )
    })
  )

  it.effect(
    "an attempt that an invocation did not survive ends where it is found, and its operation's start is a replay",
    () =>
      Effect.gen(function* () {
        const seen: Seen = []
        const service = FakeService.make()
        const body = Durable.step("once", Effect.never, { semantics: "AtMostOncePerRetry", retry: Durable.noRetry })
        const handler = DurableHandler.make(kit.Anything, () => body, {
          ...service.handlerOptions,
          plugins: [watch(seen)]
        })
        const first = yield* Effect.forkChild(service.invoke(handler))
        while (!seen.includes("once attempt 1 start")) yield* kit.turn
        yield* service.invoke(handler) // the first one never answers
        assert.deepStrictEqual(seen, [
          "invocation start (first)",
          "once start",
          "once attempt 1 start",
          "invocation start",
          "once start (replay)",
          "once attempt 1 FAILED",
          "once end FAILED",
          "invocation end FAILED"
        ])
        yield* Fiber.interrupt(first)
      })
  )
})

// ---- infos -------------------------------------------------------------------------------------------------

describe("infos", () => {
  it.effect("of an operation: all that is on record", () =>
    Effect.gen(function* () {
      const ends: Array<DurablePlugin.OperationInfo> = []
      const body = Effect.ignore(Durable.step("bad", Effect.fail("no"), { retry: Durable.noRetry })).pipe(
        Effect.andThen(greet)
      )
      const { execution } = yield* seenOf(body, { onOperationEnd: (info) => Effect.sync(() => void ends.push(info)) })
      const [bad, good] = [yield* execution.operation("bad"), yield* execution.operation("greet")]
      const common = (record: typeof bad) => ({
        executionArn: execution.arn,
        requestId: ends[0]!.requestId,
        id: record.Id,
        name: record.Name,
        type: "STEP",
        subType: "Step",
        parentId: undefined,
        status: record.Status,
        startTimestamp: record.StartTimestamp,
        endTimestamp: record.EndTimestamp,
        attempt: 1,
        isReplay: false
      })
      assert.notStrictEqual(ends[0]!.requestId, "")
      assert.deepStrictEqual(ends, [
        { ...common(bad), result: undefined, error: bad.StepDetails!.Error } as never,
        { ...common(good), result: '"hello"', error: undefined } as never
      ])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of an attempt that is retried: outcome, error, and both of its timestamps", () =>
    Effect.gen(function* () {
      const ends: Array<DurablePlugin.AttemptEndInfo> = []
      const step = Durable.step(
        "flaky",
        Effect.flatMap(Durable.CurrentStep, ({ attempt }) => (attempt < 2 ? Effect.fail("no") : Effect.succeed(1))),
        { retry: Schedule.spaced("1 second") }
      )
      yield* seenOf(step, { onAttemptEnd: (info) => Effect.sync(() => void ends.push(info)) })
      assert.deepStrictEqual(
        ends.map(({ attempt, error, outcome, result, status }) => ({
          attempt,
          outcome,
          status,
          result,
          error: error?.ErrorMessage
        })),
        [
          { attempt: 1, outcome: "FAILED", status: "STARTED", result: undefined, error: "no" },
          { attempt: 2, outcome: "SUCCEEDED", status: "STARTED", result: "1", error: undefined }
        ]
      )
      for (const { endTimestamp, startTimestamp } of ends) {
        assert.isAtLeast(startTimestamp!, 0)
        assert.isAtLeast(endTimestamp, startTimestamp!)
      }
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of an invocation: input, operations, what changed meanwhile; at its end also the result", () =>
    Effect.gen(function* () {
      const infos: Array<unknown> = []
      const names = (operations: DurablePlugin.Operations) => [...operations.values()].map(({ name }) => name)
      const { execution } = yield* seenOf(Effect.andThen(greet, Effect.as(Durable.wait("w", "1 second"), 7)), {
        onInvocationStart: (info) =>
          Effect.sync(() =>
            infos.push([
              info.isFirstInvocation,
              names(info.operations),
              names(info.updatedOperations),
              info.executionInput
            ])
          ),
        onInvocationEnd: (info) =>
          Effect.sync(() =>
            infos.push([
              info.isFirstInvocation,
              names(info.operations),
              info.status,
              info.executionResult,
              info.executionError
            ])
          )
      })
      assert.strictEqual(yield* execution.status, "SUCCEEDED")
      assert.deepStrictEqual(infos, [
        [true, [], [], "null"],
        [true, ["greet", "w"], "PENDING", undefined, undefined],
        [false, ["greet", "w"], ["w"], "null"],
        [false, ["greet", "w"], "SUCCEEDED", "7", undefined]
      ])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("of a change: what changed is a part of the whole, each change once", () =>
    Effect.gen(function* () {
      const changes: Array<unknown> = []
      yield* seenOf(Effect.andThen(greet, Durable.wait("w", "1 second")), {
        onOperationChange: ({ executionArn, operations, updatedOperations }) =>
          Effect.sync(() => {
            for (const [id, { name, status }] of updatedOperations) {
              assert.match(executionArn, /^arn:/)
              assert.strictEqual(operations.get(id)?.status, status)
              changes.push(`${name} ${status}`)
            }
          })
      })
      assert.deepStrictEqual(changes, ["greet SUCCEEDED", "w STARTED"])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("an answer without the records that it should carry: what our updates must have done", () =>
    Effect.gen(function* () {
      const seen: Seen = []
      const service = FakeService.make()
      service.next((ordinary) => ({ ...ordinary(), NewExecutionState: { Operations: [] } }))
      const handler = DurableHandler.make(kit.Anything, () => greet, {
        ...service.handlerOptions,
        plugins: [watch(seen)]
      })
      yield* service.invoke(handler)
      assert.includeMembers(seen, ["greet start", "greet end SUCCEEDED"])
    })
  )
})

// ---- harm ---------------------------------------------------------------------------------------------------

const wf = Effect.gen(function* () {
  const word = yield* greet
  yield* Durable.wait("w", "1 second")
  return yield* Durable.step("s", Effect.succeed(`${word}!`)).pipe(Durable.childContext("c"))
})

/** What a healthy plugin sees of it, whatever another does. */
const healthy = (seen: Seen) => {
  assert.deepStrictEqual(seen, [
    "invocation start (first)",
    "greet start",
    "greet attempt 1 start",
    "greet attempt 1 SUCCEEDED",
    "greet end SUCCEEDED",
    "w start",
    "invocation end PENDING",
    "invocation start",
    "w end SUCCEEDED",
    "c start",
    "c enter",
    "s start",
    "s attempt 1 start",
    "s attempt 1 SUCCEEDED",
    "s end SUCCEEDED",
    "c leave SUCCEEDED",
    "c end SUCCEEDED",
    "invocation end SUCCEEDED"
  ])
}

const HOOKS = Object.keys(everywhere(() => Effect.void)).filter((key) => key.startsWith("on"))

/** Runs `wf` over a fake service, in real time, between two healthy plugins. */
const beside = (odd: DurablePlugin.Hooks) =>
  Effect.gen(function* () {
    const before: Seen = []
    const after: Seen = []
    const { layer, lines } = warnings()
    const service = FakeService.make()
    const handler = DurableHandler.make(kit.Anything, () => wf, {
      ...service.handlerOptions,
      layer,
      plugins: [watch(before), DurablePlugin.make(odd), watch(after)]
    })
    // as the service does, it tells what has changed since
    const event = (updated: ReadonlyArray<string>) => ({ ...(service.event() as object), UpdatedOperationIds: updated })
    assert.deepStrictEqual(yield* service.invoke(handler), { Status: "PENDING" })
    service.pass(1)
    assert.deepStrictEqual(yield* service.invoke(handler, event([service.record("w").Id])), {
      Status: "SUCCEEDED",
      Result: '"hello!"'
    })
    healthy(before)
    healthy(after)
    return { lines, trace: service.trace.flat() }
  })

describe("a plugin does no harm", () => {
  it.effect("that throws instead of giving an Effect; it is warned of once", () =>
    Effect.gen(function* () {
      const told: Seen = []
      const { lines, trace } = yield* beside(
        everywhere((hook) => {
          told.push(hook)
          throw new Error("thrown")
        })
      )
      assert.deepStrictEqual(new Set(told), new Set(HOOKS))
      assert.strictEqual(told.filter((hook) => hook === "onOperationStart").length, 4) // greet, w, c, s
      for (const hook of HOOKS)
        assert.isAtLeast(lines.filter((line) => line.includes(`odd: ${hook} failed: Error: thrown`)).length, 1, hook)
      assert.strictEqual(lines.length, HOOKS.length + HOOKS.filter((hook) => !/Context/.test(hook)).length)
      assert.deepStrictEqual(trace, (yield* beside({})).trace)
    })
  )

  it.effect("that dies, fails, or interrupts itself", () =>
    Effect.gen(function* () {
      const untyped = Effect.fail("typed") as unknown as Effect.Effect<never> // from JavaScript
      const all = [Effect.die("x"), Effect.interrupt, untyped]
      for (const effect of all) {
        const { lines } = yield* beside(everywhere(() => effect))
        assert.isAbove(lines.length, 0)
      }
    })
  )

  it.effect("that fails with what cannot be shown, or sees such a failure", () =>
    Effect.gen(function* () {
      const dark: unknown = Object.create(null)
      class Unreadable extends Error {
        override get message(): string {
          throw new Error("unreadable")
        }
      }
      const { layer, lines } = warnings()
      const hooks: DurablePlugin.Hooks = {
        ...everywhere(() => Effect.die(dark)),
        aroundAttempt: () => {
          throw dark
        },
        aroundContext: () => {
          throw dark
        },
        aroundInvocation: () => {
          throw dark
        }
      }
      for (const failure of [dark, new Unreadable()]) {
        for (const fails of [Effect.fail(failure), Effect.die(failure)]) {
          const bodies: ReadonlyArray<kit.Body> = [
            Durable.step("s", fails, { retry: Durable.noRetry }),
            Durable.childContext("c", fails),
            Durable.map("m", [1], () => fails),
            fails
          ]
          for (const body of bodies) {
            const endOf = (plugins: ReadonlyArray<DurablePlugin.DurablePlugin>) =>
              Effect.gen(function* () {
                const execution = yield* kit.start(body, { plugins })
                yield* Effect.exit(execution.result)
                const [ended] = (yield* execution.history).filter(({ EventType }) => EventType === "ExecutionFailed")
                return ended?.ExecutionFailedDetails
              }).pipe(Effect.provide([TestRunner.layerMemory, layer]))
            const plain = yield* endOf([])
            assert.isDefined(plain)
            assert.deepStrictEqual(yield* endOf([DurablePlugin.make(hooks), watch([])]), plain)
          }
        }
      }
      // (what was thrown in the workflow itself is logged, too)
      const complaints = lines.filter((line) => !/ ERROR /.test(line))
      assert.isAbove(complaints.length, 0)
      for (const line of complaints) assert.match(line, /failed: a value that cannot be shown\. The execution goes on/)
    })
  )

  it.effect("that hangs: each hook for its time-out at most", () =>
    Effect.gen(function* () {
      const { lines } = yield* beside(everywhere(() => Effect.never))
      assert.include(lines.join("\n"), "odd: onInvocationStart did not end in time")
      assert.include(lines.join("\n"), "odd: onInvocationEnd did not end in time")
    })
  )

  it.effect("that hangs and cannot be interrupted", () =>
    Effect.gen(function* () {
      const { lines } = yield* beside(everywhere(() => Effect.uninterruptible(Effect.never)))
      assert.include(lines.join("\n"), "did not end in time")
    })
  )

  it.effect("that is slow: it misses nothing, and holds up the end only", () =>
    Effect.gen(function* () {
      const told: Seen = []
      yield* beside({
        ...everywhere((hook) =>
          Effect.andThen(
            Effect.promise(() => FakeService.later(1, 0)),
            Effect.sync(() => told.push(hook))
          )
        ),
        timeout: "1 minute"
      })
      assert.deepStrictEqual(new Set(told), new Set(HOOKS))
      assert.deepStrictEqual([told[0], told.at(-1)], ["onInvocationStart", "onInvocationEnd"])
    })
  )

  it.effect.each([520, 100, 0])("that has no time before Lambda's deadline, %s ms away", (remaining) =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const { layer, lines } = warnings()
      const hooks = everywhere(() => Effect.never)
      const handler = DurableHandler.make(kit.Anything, () => greet, {
        ...service.handlerOptions,
        layer,
        plugins: [DurablePlugin.make({ ...hooks, timeout: "1 hour" })]
      })
      const answer = yield* service.invoke(handler, service.event(), { getRemainingTimeInMillis: () => remaining })
      assert.strictEqual(answer.Status, "SUCCEEDED")
      assert.include(lines.join("\n"), "did not end in time")
    })
  )

  it.effect("whose around-hooks throw, run nothing, wait first, run it twice, stop it, or change its outcome", () =>
    Effect.gen(function* () {
      type Wrap = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
      const odd: Readonly<Record<string, Wrap>> = {
        throws: () => {
          throw new Error("thrown")
        },
        dies: () => Effect.die("dies"),
        "runs nothing": () => Effect.succeed(0 as never),
        "waits first": (effect) =>
          Effect.andThen(
            Effect.promise(() => FakeService.later(1, 0)),
            effect
          ),
        never: () => Effect.never,
        "runs it twice": (effect) => Effect.andThen(effect, effect),
        "stops it": (effect) => Effect.timeoutOrElse(effect, { duration: 0, orElse: () => Effect.die("too late") }),
        "does not end": (effect) => Effect.andThen(effect, Effect.never),
        "changes it": (effect) => Effect.andThen(effect, Effect.succeed("changed" as never)),
        "fails after it": (effect) => Effect.andThen(effect, Effect.die("after"))
      }
      const plain = (yield* beside({})).trace
      for (const [what, wrap] of Object.entries(odd)) {
        const around = (_: unknown, effect: Effect.Effect<any, any, any>) => wrap(effect)
        const { trace } = yield* beside({
          timeout: "10 millis",
          aroundInvocation: around,
          aroundContext: around,
          aroundAttempt: around
        })
        assert.deepStrictEqual(trace, plain, what)
      }
    })
  )

  it.effect("whose context wrapper does I/O, beside parked operations", () =>
    Effect.gen(function* () {
      const io = Effect.promise(() => FakeService.later(1, 0))
      const { exit } = yield* seenOf(
        Effect.all([Durable.step("busy", io).pipe(Durable.childContext("a")), Durable.step("more", io)], {
          concurrency: 2
        }),
        { aroundContext: (_, effect) => Effect.ensuring(Effect.ensuring(effect, io), io) }
      )
      assert.isTrue(Exit.isSuccess(exit), String(exit))
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})

// ---- around -----------------------------------------------------------------------

class Span extends Context.Service<Span, string>()("test/Span") {}

describe("a plugin of a class", () => {
  it.effect("has its methods, with the state of its instance", () =>
    Effect.gen(function* () {
      class Counting implements DurablePlugin.Hooks {
        readonly name = "counting"
        #count = 0
        onOperationEnd(): Effect.Effect<void> {
          return Effect.sync(() => void this.#count++)
        }
        aroundAttempt<A, E, R>(_: DurablePlugin.AttemptInfo, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
          return Effect.tap(effect, () => Effect.sync(() => void (this.#count += 10)))
        }
        logFields(): { readonly count: number } {
          return { count: this.#count }
        }
      }
      const counting = new Counting()
      yield* kit.run(greet, { plugins: [DurablePlugin.make(counting)] })
      assert.deepStrictEqual(counting.logFields(), { count: 11 })
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})

describe("around-hooks", () => {
  it.effect("enclose their effect and give it services, the first plugin outermost", () =>
    Effect.gen(function* () {
      const seen: Seen = []
      const spans: Array<string | undefined> = []
      const plugin = (name: string) => {
        const around =
          (what: string) =>
          <A, E, R>(info: object, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
            Effect.withFiber((fiber) => {
              const outer = Context.getOrUndefined(fiber.context as Context.Context<Span>, Span) ?? ""
              const span = `${outer}/${name}:${"name" in info ? String(info.name) : what}`
              seen.push(`+${span}`)
              return Effect.onExit(Effect.provideService(effect, Span, span), (exit) =>
                Effect.sync(() => void seen.push(`-${span} ${exit._tag}`))
              )
            })
        return DurablePlugin.make({
          aroundInvocation: around("invocation"),
          aroundContext: around("context"),
          aroundAttempt: around("attempt")
        })
      }
      const note = Effect.withFiber((fiber) =>
        Effect.sync(() => void spans.push(Context.getOrUndefined(fiber.context as Context.Context<Span>, Span)))
      )
      const body = Effect.andThen(note, Durable.step("s", note)).pipe(Durable.childContext("c"))
      const execution = yield* kit.start(body, { plugins: [plugin("a"), plugin("b")] })
      yield* execution.result
      const [i, c, s] = ["/a:invocation/b:invocation", "/a:c/b:c", "/a:s/b:s"]
      assert.deepStrictEqual(spans, [i + c, i + c + s])
      assert.deepStrictEqual(seen, [
        "+/a:invocation",
        `+${i}`,
        `+${i}/a:c`,
        `+${i}${c}`,
        `+${i}${c}/a:s`,
        `+${i}${c}${s}`,
        `-${i}${c}${s} Success`,
        `-${i}${c}/a:s Success`,
        `-${i}${c} Success`,
        `-${i}/a:c Success`,
        `-${i} Success`,
        "-/a:invocation Success"
      ])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )

  it.effect("see failures and suspensions; the body keeps its own clock", () =>
    Effect.gen(function* () {
      const exits: Array<string> = []
      const look = <A, E, R>(what: string, effect: Effect.Effect<A, E, R>) =>
        Effect.onExit(effect, (exit) => Effect.sync(() => void exits.push(`${what} ${exit._tag}`)))
      const { exit } = yield* seenOf(
        Effect.gen(function* () {
          yield* Effect.ignore(Durable.step("bad", Effect.fail("no"), { retry: Durable.noRetry }))
          yield* Effect.sleep("1 minute") // the body's: a durable wait
        }).pipe(Durable.childContext("c")),
        {
          aroundContext: (info, effect) => look(info.name ?? "", effect),
          aroundAttempt: (info, effect) => look(info.name ?? "", effect)
        }
      )
      assert.isTrue(Exit.isSuccess(exit), String(exit))
      assert.deepStrictEqual(exits, ["bad Failure", "c Failure", "c Success"])
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})

// ---- cost, and logs ---------------------------------------------------------------------------------------------

describe("without a plugin there is no cost", () => {
  it.effect("operations are shown when they are asked for, and not before", () =>
    Effect.gen(function* () {
      let reads = 0
      const source = new Map([...Array(1_000).keys()].map((n) => [String(n), n]))
      const view = new views.View(source, (n) => {
        reads++
        return { n }
      })
      assert.deepStrictEqual(
        [view.size, view.has("7"), view.has("x"), [...view.keys()].length],
        [1_000, true, false, 1_000]
      )
      assert.strictEqual(reads, 0)
      assert.deepStrictEqual([view.get("7"), view.get("x"), reads], [{ n: 7 }, undefined, 1])
      let sum = 0
      view.forEach(({ n }) => (sum += n))
      for (const [, { n }] of view.entries()) sum += n
      for (const { n } of view.values()) sum += n
      for (const [, { n }] of view) sum += n
      assert.strictEqual(sum, 4 * 499_500)
    })
  )

  it.effect("the core has no observer: the queue, attempts and bodies are the ones of the workflow itself", () =>
    Effect.gen(function* () {
      const observers: Array<unknown> = []
      const body = Effect.flatMap(Effect.context<never>(), (context) =>
        Effect.sync(() => {
          for (const value of context.mapUnsafe.values())
            if (typeof value === "object" && value !== null && "core" in value && "place" in value)
              observers.push((value.core as { host: { observer: unknown } }).host.observer)
        })
      )
      // not on a TestRunner, which is an observer itself
      for (const options of [{}, { plugins: [] }, { plugins: [DurablePlugin.make({})] }]) {
        const service = FakeService.make()
        const handler = DurableHandler.make(kit.Anything, () => body, { ...service.handlerOptions, ...options })
        yield* service.invoke(handler, service.event(), { awsRequestId: "r1" })
      }
      assert.deepStrictEqual(
        observers.map((observer) => observer === undefined),
        [true, true, false]
      )
    })
  )
})

describe("log fields", () => {
  it.effect("stand in the lines of body and steps; a failing one costs its own fields only", () =>
    Effect.gen(function* () {
      const { layer, lines } = warnings()
      const service = FakeService.make()
      const infos: Array<DurablePlugin.LogLineInfo> = []
      const handler = DurableHandler.make(
        kit.Anything,
        () => Effect.andThen(Effect.log("body"), Durable.step("s", Effect.log("step"))),
        {
          ...service.handlerOptions,
          layer,
          plugins: [
            DurablePlugin.make({
              name: "bad",
              logFields: () => {
                throw new Error("thrown")
              }
            }),
            DurablePlugin.make({ logFields: () => undefined }),
            DurablePlugin.make({
              logFields: (info) => {
                infos.push(info)
                return { traceId: "t-1", spanId: info.operationName ?? "root" }
              }
            })
          ]
        }
      )
      yield* service.invoke(handler, service.event(), { awsRequestId: "r1" })
      const records = lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line))
      assert.deepStrictEqual(
        records.map(({ message, spanId, traceId }) => [message, traceId, spanId]),
        [
          ["body", "t-1", "root"],
          ["step", "t-1", "s"]
        ]
      )
      assert.deepStrictEqual(infos, [
        {
          executionArn: FakeService.ARN,
          requestId: "r1",
          operationId: undefined,
          operationName: undefined,
          attempt: undefined,
          parentId: undefined
        },
        {
          executionArn: FakeService.ARN,
          requestId: "r1",
          operationId: service.record("s").Id,
          operationName: "s",
          attempt: 1,
          parentId: undefined
        }
      ])
      assert.strictEqual(lines.filter((line) => line.includes("bad: logFields failed: Error: thrown")).length, 1)
    })
  )

  it.effect("a hook can log: its line has execution and request", () =>
    Effect.gen(function* () {
      const { layer, lines } = warnings()
      const service = FakeService.make()
      const handler = DurableHandler.make(kit.Anything, () => greet, {
        ...service.handlerOptions,
        layer,
        plugins: [DurablePlugin.make({ onOperationEnd: (info) => Effect.log(`ended ${info.name}`) })]
      })
      yield* service.invoke(handler, service.event(), { awsRequestId: "r1" })
      const { executionArn, message, requestId } = JSON.parse(lines[0]!)
      assert.deepStrictEqual([message, executionArn, requestId], ["ended greet", FakeService.ARN, "r1"])
    })
  )
})
