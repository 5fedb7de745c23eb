import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableError, DurableHandler, DurablePlugin } from "effect-durable-lambda"
import * as Serdes from "effect-durable-lambda/Serdes"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"

/** A function of 100 seconds, whose invocations are brought to their end 5 seconds before. */
const limited = { functionTimeout: "100 seconds" } as const

/** What the library warns of. */
const warnings: Array<string> = []
const silent: Console.Console = { ...console, warn: (line: string) => void warnings.push(line) }
const quiet = Layer.succeed(Console.Console, silent)
const layerMemory = Layer.mergeAll(TestRunner.layerMemory, quiet)

const cutOff = (exit: Exit.Exit<unknown, unknown>) => {
  assert(Exit.isFailure(exit))
  const defect = Cause.squash(exit.cause)
  assert(defect instanceof DurableError.DeadlineExceeded, `no DeadlineExceeded: ${String(defect)}`)
  return defect
}

/** An attempt that takes so long, and tells that it has begun. */
const takes = (duration: Effect.Effect<unknown>, began: Array<number> = []) =>
  Effect.flatMap(Durable.CurrentStep, ({ attempt }) => {
    began.push(attempt)
    return Effect.as(duration, attempt)
  })
const hour = Effect.sleep("1 hour")
const minute = Effect.sleep("1 minute")

/** Why invocations failed. */
const failuresOf = (execution: TestRunner.TestExecution<unknown, unknown>) =>
  Effect.map(execution.history, (events) =>
    events.flatMap(({ InvocationCompletedDetails }) => InvocationCompletedDetails?.Error?.Payload ?? [])
  )

describe("deadline: a step that is stuck", () => {
  it.effect("uses up its retries, and dies with DeadlineExceeded, live and on replay", () =>
    Effect.gen(function* () {
      const attempts: Array<number> = []
      const step = Durable.step("stuck", takes(hour, attempts), { retry: { times: 2 } })
      const { execution, live, replayed } = yield* kit.observe(step, limited)
      assert.deepStrictEqual(attempts, [1, 2, 3])
      const { operationId, ...rest } = cutOff(live)
      assert.deepInclude(rest, { operation: "stuck", attempt: 3, elapsedMillis: 95_000 })
      assert.strictEqual((yield* execution.operation("stuck")).Id, operationId)
      for (const exit of replayed) assert.deepStrictEqual({ ...cutOff(exit) }, { ...cutOff(live) })
      assert.include(
        cutOff(live).message,
        `Step "stuck" (${operationId}): attempt 3 had run for 95000 ms when Lambda's deadline came near.`
      )
      assert.include(warnings.at(-1), `interrupted near Lambda's deadline: STEP "stuck" (${operationId})`)
      const { delays, errors } = yield* kit.attemptsOf(execution, "stuck")
      assert.deepStrictEqual(errors, ["DeadlineExceeded", "DeadlineExceeded", "DeadlineExceeded"])
      assert.deepStrictEqual(delays, [1, 1])
      assert.deepStrictEqual(yield* failuresOf(execution), [])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("its AbortSignal fires, and one that ignores that is not waited for", () =>
    Effect.gen(function* () {
      const aborted: Array<string> = []
      const promise = (name: string) =>
        Effect.promise((signal) => {
          signal.addEventListener("abort", () => aborted.push(name))
          return new Promise<never>(() => {})
        })
      const deaf = Effect.uninterruptible(promise("deaf"))
      const service = FakeService.make()
      const handler = DurableHandler.make(
        kit.Anything,
        () => Effect.all([Durable.step("hears", promise("hears")), Durable.step("deaf", deaf)], { concurrency: 2 }),
        { ...service.handlerOptions, finalizerGrace: "1 hour", layer: quiet }
      )
      assert.deepStrictEqual(yield* invoke(service, handler, 1_000), { Status: "PENDING" })
      assert.deepStrictEqual(aborted, ["hears"])
      assert.deepStrictEqual(service.trace.flat().toSorted(), [
        "RETRY STEP deaf",
        "RETRY STEP hears",
        "START STEP deaf",
        "START STEP hears"
      ])
    })
  )

  it.effect("a body that handles it ends in the same invocation; one that does not is FAILED", () =>
    Effect.gen(function* () {
      const step = Durable.step("stuck", hour, { retry: Durable.noRetry })
      const handled = yield* kit.start(
        Effect.catchDefect(step, (defect) => Effect.succeed(defect instanceof DurableError.DeadlineExceeded)),
        limited
      )
      yield* handled.expect({ result: true, invocations: 1 })
      const failed = yield* kit.start(step, limited)
      assert(cutOff(Exit.die(yield* Effect.flip(failed.result))).attempt === 1)
      assert.strictEqual(yield* failed.invocations, 1)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("what the body goes on with is left to the next invocation, which comes at once", () =>
    Effect.gen(function* () {
      const began: Array<number> = []
      const body = Effect.exit(Durable.step("stuck", hour, { retry: Durable.noRetry })).pipe(
        Effect.andThen(Durable.step("next", takes(minute, began))),
        Effect.andThen(Durable.wait("pause", "1 day")),
        Effect.andThen(Durable.step("last", Effect.succeed("done")))
      )
      const execution = yield* kit.start(body, limited)
      yield* execution.expect({ result: "done", invocations: 3 })
      assert.deepStrictEqual(began, [1])
      assert.deepStrictEqual(
        (yield* execution.operations).map(({ Name }) => Name),
        ["stuck", "rest-of-invocation", "next", "pause", "last"]
      )
      assert.deepStrictEqual(yield* failuresOf(execution), [])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("in child contexts, branches, items and submitters", () =>
    Effect.gen(function* () {
      const stuck = Durable.step("stuck", hour, { retry: Durable.noRetry })
      const die = { retry: Durable.noRetry }
      const bodies: Record<string, kit.Body> = {
        child: Durable.childContext("child", stuck),
        deeper: Durable.childContext("deeper", Durable.childContext("child", stuck, { virtual: true })),
        branch: Durable.parallel("branches", [stuck, Durable.step("quick", Effect.succeed(1))]),
        item: Durable.map("items", [1, 2], () => stuck, { nesting: "flat" }),
        submitter: Durable.waitForCallback("asks", () => hour, die)
      }
      for (const [name, body] of Object.entries(bodies)) {
        const { live, replayed } = yield* kit.observe(body, limited)
        assert.strictEqual(cutOff(live).operation, name === "submitter" ? "asks" : "stuck", name)
        for (const exit of replayed) assert.deepStrictEqual({ ...cutOff(exit) }, { ...cutOff(live) })
      }
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("many in a batch, each by its own schedule", () =>
    Effect.gen(function* () {
      const items = Array.from({ length: 60 }, (_, i) => i)
      const item = (i: number) =>
        Durable.step(
          "work",
          i % 3 === 0 ? takes(hour) : takes(i % 3 === 1 ? Effect.void : Effect.sleep("200 seconds")),
          {
            retry: { times: i % 2 }
          }
        )
      const execution = yield* kit.start(
        Effect.map(
          Durable.map("batch", items, item, { mode: "result", completion: { toleratedFailureCount: 60 } }),
          (result) => [result.counts.success, result.items.flatMap(({ _tag }, i) => (_tag === "Failure" ? [i] : []))]
        ),
        limited
      )
      const stuck = items.filter((i) => i % 3 !== 1)
      yield* execution.expect({ result: [20, stuck], invocations: 2 })
      for (const { Name, StepDetails, ParentId } of yield* execution.operations) {
        if (Name !== "work") continue
        const i = Number((yield* execution.operations).find(({ Id }) => Id === ParentId)?.Name?.replace(/\D/g, ""))
        assert.strictEqual(StepDetails?.Attempt, i % 3 === 1 ? 1 : (i % 2) + 1)
      }
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("compensations run, in invocations of their own", () =>
    Effect.gen(function* () {
      const did: Array<string> = []
      const does = (what: string) =>
        Durable.step(
          what,
          Effect.sync(() => did.push(what))
        )
      const body = Effect.andThen(
        Durable.withCompensation(does("reserve"), "release", () =>
          Effect.andThen(Durable.wait("settlement", "1 hour"), does("release"))
        ),
        Durable.step("stuck", hour, { retry: { times: 1 } })
      )
      const execution = yield* kit.start(body, limited)
      assert.strictEqual(cutOff(Exit.die(yield* Effect.flip(execution.result))).attempt, 2)
      assert.deepStrictEqual(did, ["reserve", "release"])
      assert.deepStrictEqual(yield* failuresOf(execution), [])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("the failure reaches the client as its class", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(Durable.step("stuck", hour, { retry: Durable.noRetry }), limited)
      const error = yield* Effect.flip(execution.result)
      assert.instanceOf(error, DurableError.DeadlineExceeded)
      const written = yield* Schema.encodeEffect(DurableError.Operation)(error as DurableError.DeadlineExceeded)
      assert.deepStrictEqual(yield* Schema.decodeUnknownEffect(DurableError.Operation)(written), error as never)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("plugins see the attempt fail", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const plugin = DurablePlugin.make({
        onAttemptEnd: ({ attempt, error, outcome }) =>
          Effect.sync(() => seen.push(`${attempt} ${outcome} ${error?.ErrorType}`))
      })
      const step = Durable.step("stuck", hour, { retry: { times: 1 } })
      yield* Effect.exit(kit.run(step, { ...limited, plugins: [plugin] }))
      assert.deepStrictEqual(seen, ["1 FAILED DeadlineExceeded", "2 FAILED DeadlineExceeded"])
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("deadline: schedules", () => {
  const attemptsWith = (retry: Durable.Retry<string>) =>
    Effect.gen(function* () {
      const began: Array<number> = []
      const step = Durable.step("stuck", Effect.andThen(takes(hour, began), Effect.fail("no")), { retry })
      const { live } = yield* kit.observe(step, limited)
      cutOff(live)
      return began.length
    }).pipe(Effect.provide(layerMemory))

  it.effect("count, and are given DeadlineExceeded", () =>
    Effect.gen(function* () {
      const inputs: Array<unknown> = []
      const schedule = Schedule.recurs(3).pipe(Schedule.tap(({ input }) => Effect.sync(() => inputs.push(input))))
      assert.strictEqual(yield* attemptsWith(schedule), 4)
      assert.isTrue(inputs.length > 0 && inputs.every((input) => input instanceof DurableError.DeadlineExceeded))
      assert.strictEqual(yield* attemptsWith({ times: 1, schedule: Schedule.spaced("1 hour") }), 2)
      assert.strictEqual(yield* attemptsWith(Durable.defaultRetry), 6)
    })
  )

  it.effect("predicates are about the step's own failures, and are not asked", () =>
    Effect.gen(function* () {
      const startsWith = (error: string) => error.startsWith("x")
      assert.strictEqual(yield* attemptsWith({ times: 2, while: startsWith }), 3)
      assert.strictEqual(yield* attemptsWith({ times: 2, until: startsWith }), 3)
      assert.strictEqual(yield* attemptsWith({ while: startsWith }), 6) // as the default: nothing goes on for ever
    })
  )

  it.effect("a schedule that cannot take it gives up", () =>
    Effect.gen(function* () {
      const broken: Durable.Retry<string> = ($) =>
        $(Schedule.forever).pipe(Schedule.while(({ input }) => Effect.sync(() => input.startsWith("x"))))
      assert.strictEqual(yield* attemptsWith(broken), 1)
    })
  )
})

describe("deadline: who is to blame", () => {
  it.effect("an attempt that began late runs again as the same attempt, in an invocation of its own", () =>
    Effect.gen(function* () {
      const began: Array<string> = []
      const work = (name: string) =>
        Durable.step(
          name,
          Effect.suspend(() => {
            began.push(name)
            return minute
          }),
          { retry: Durable.noRetry }
        )
      const execution = yield* kit.start(Effect.all([work("a"), work("b"), work("c"), work("d")]), limited)
      yield* execution.result
      assert.deepStrictEqual(began, ["a", "b", "b", "c", "c", "d", "d"])
      assert.strictEqual(yield* execution.invocations, 4)
      for (const { Name, StepDetails, Type } of yield* execution.operations) {
        if (Type === "STEP") assert.strictEqual(StepDetails?.Attempt, 1, Name)
      }
      assert.deepStrictEqual(yield* failuresOf(execution), [])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("but one that never gets more than a part of an invocation counts, where nothing else has ended", () =>
    Effect.gen(function* () {
      const began: Array<number> = []
      const service = FakeService.make()
      const slowly = Effect.promise(() => FakeService.later(700, undefined))
      const handler = DurableHandler.make(
        kit.Anything,
        () => Effect.andThen(slowly, Durable.step("stuck", takes(Effect.never, began), { retry: { times: 1 } })),
        { ...service.handlerOptions, layer: quiet, deadlineMargin: 100 }
      )
      assert.deepStrictEqual(yield* invoke(service, handler, 1_500), { Status: "PENDING" })
      service.pass(5)
      assert.strictEqual((yield* invoke(service, handler, 1_500)).Status, "FAILED")
      assert.deepStrictEqual(began, [1, 2])
    })
  )

  it.effect("of one that has had the whole invocation and one that began late, the first counts", () =>
    Effect.gen(function* () {
      const began: Array<number> = []
      const late: Array<number> = []
      const body = Effect.all(
        [
          Effect.exit(Durable.step("stuck", takes(hour, began), { retry: { times: 1 } })),
          // the wait ends while the step keeps the invocation alive
          Effect.andThen(
            Durable.wait("pause", "1 minute"),
            Durable.step("late", takes(minute, late), { retry: Durable.noRetry })
          )
        ],
        { concurrency: 2 }
      )
      const execution = yield* kit.start(body, limited)
      yield* execution.result
      assert.deepStrictEqual(
        [began, late],
        [
          [1, 2],
          [1, 1]
        ]
      )
      assert.deepStrictEqual(yield* failuresOf(execution), [])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a long workflow of short steps goes through many invocations, and none of them fails", () =>
    Effect.gen(function* () {
      const items = Array.from({ length: 40 }, (_, i) => i)
      const execution = yield* kit.start(
        Effect.forEach(
          items,
          (i) => Durable.step(`s${i}`, Effect.as(Effect.sleep("30 seconds"), i), { retry: Durable.noRetry }),
          {
            concurrency: 2
          }
        ),
        limited
      )
      yield* execution.expect({ result: items, invocations: 7 })
      assert.deepStrictEqual(yield* failuresOf(execution), [])
      const rests = (yield* execution.operations).filter(({ Name }) => Name === "rest-of-invocation")
      assert.strictEqual(rests.length, 6)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("while another branch waits for a day, the next invocation still comes at once", () =>
    Effect.gen(function* () {
      const ends: Array<number> = []
      const steps = Effect.forEach([1, 2, 3], (i) =>
        Durable.step(
          `s${i}`,
          Effect.map(
            Effect.andThen(
              minute,
              Effect.clockWith((clock) => clock.currentTimeMillis)
            ),
            (at) => ends.push(at)
          )
        )
      )
      const execution = yield* kit.start(
        Effect.all([Durable.wait("day", "1 day"), Durable.childContext("steps", steps)], { concurrency: 2 }),
        limited
      )
      yield* execution.result
      assert.isBelow(ends.at(-1)! - ends[0]!, 300_000)
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("deadline: at most once", () => {
  const atMostOnce = { semantics: "AtMostOncePerRetry" } as const

  it.effect("the schedule is given StepInterrupted, and nothing runs twice without its consent", () =>
    Effect.gen(function* () {
      const began: Array<number> = []
      const once = Durable.step("once", takes(hour, began), { ...atMostOnce, retry: Durable.noRetry })
      yield* kit.sees(once, Exit.fail(new DurableError.StepInterrupted({ operation: "once" })), limited)
      assert.deepStrictEqual(began, [1])
      const inputs: Array<string> = []
      const again = Durable.step("again", takes(hour, began), {
        ...atMostOnce,
        retry: { times: 1, while: (error) => (inputs.push(error._tag), true) }
      })
      yield* kit.sees(again, Exit.fail(new DurableError.StepInterrupted({ operation: "again" })), limited)
      assert.deepStrictEqual(began, [1, 1, 2])
      assert.strictEqual(inputs[0], "StepInterrupted")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("also one that began late", () =>
    Effect.gen(function* () {
      const began: Array<number> = []
      const body = Effect.andThen(
        Durable.step("a", minute),
        Durable.step("b", takes(hour, began), { ...atMostOnce, retry: Durable.noRetry })
      )
      yield* kit.sees(body, Exit.fail(new DurableError.StepInterrupted({ operation: "b" })), limited)
      assert.deepStrictEqual(began, [1])
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("deadline: waitForCondition", () => {
  it.effect("a check that is stuck counts, keeps the state, and uses up the schedule", () =>
    Effect.gen(function* () {
      const states: Array<number> = []
      const condition = Durable.waitForCondition(
        "job",
        (state) => {
          states.push(state)
          return states.length === 2 || states.length > 3 ? Effect.as(hour, 99) : Effect.succeed(state + 1)
        },
        {
          initial: 0,
          state: Schema.Int,
          until: () => false,
          schedule: Schedule.spaced("1 minute").pipe(Schedule.upTo({ times: 4 }))
        }
      )
      const failure = new DurableError.ConditionExhausted({ operation: "job", attempts: 5 })
      const execution = yield* kit.sees(condition, Exit.fail(failure), limited)
      assert.deepStrictEqual(states, [0, 1, 1, 2, 2])
      assert.deepStrictEqual((yield* kit.attemptsOf(execution, "job")).errors.slice(-1), ["ConditionExhausted"])
    }).pipe(Effect.provide(layerMemory))
  )
})

// ---- the wire, and what is not a step ------------------------------------------------------------------------

/** One invocation that has so many milliseconds, on the real clock. */
const invoke = (service: FakeService.FakeService, handler: DurableHandler.LambdaHandler, millis: number) => {
  const end = Date.now() + millis
  return service.invoke(handler, service.event(), { getRemainingTimeInMillis: () => Math.max(0, end - Date.now()) })
}

describe("deadline: requests", () => {
  it.effect("a START that was never sent travels with the end of its attempt", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(kit.Anything, () => Durable.step("s", Effect.never), {
        ...service.handlerOptions,
        layer: quiet,
        startDelay: "1 hour"
      })
      assert.deepStrictEqual(yield* invoke(service, handler, 200), { Status: "PENDING" })
      assert.deepStrictEqual(service.trace, [["START STEP s", "RETRY STEP s"]])
    })
  )

  it.effect("nothing runs, and a request is in flight: its answer is waited for", () =>
    Effect.gen(function* () {
      const held = FakeService.held()
      const service = FakeService.make({ replies: [held.reply] })
      const ran: Array<number> = []
      const handler = DurableHandler.make(
        kit.Anything,
        () => Effect.andThen(Durable.step("a", Effect.succeed(1)), Durable.step("b", takes(Effect.void, ran))),
        { ...service.handlerOptions, layer: quiet, deadlineMargin: "2 seconds" }
      )
      void FakeService.later(2_300, undefined).then(held.release) // after the first two seconds nothing more begins
      assert.deepStrictEqual(yield* invoke(service, handler, 4_000), { Status: "PENDING" })
      assert.deepStrictEqual(service.trace, [["START STEP a", "SUCCEED STEP a"], ["START WAIT rest-of-invocation"]])
      assert.deepStrictEqual(ran, [])
      service.pass(1)
      assert.deepStrictEqual(yield* invoke(service, handler, 60_000), { Status: "SUCCEEDED", Result: "1" })
    })
  )

  it.effect("an answer that does not come is given up while the invocation can still say so", () =>
    Effect.gen(function* () {
      const held = FakeService.held()
      const service = FakeService.make({ replies: [held.reply] })
      const handler = DurableHandler.make(kit.Anything, () => Durable.step("a", Effect.succeed(1)), {
        ...service.handlerOptions,
        layer: quiet
      })
      const { error } = yield* Effect.flip(invoke(service, handler, 1_000))
      assert.strictEqual(error._tag, "OutOfTime")
      assert.include(error.message, "the service has not answered the workflow's last checkpoint")
      assert.include(error.message, 'Its fibers asked last for STEP "a"')
      held.release()
    })
  )

  it.effect("at the limit of operations there is no wait to rest in: it is thrown, and goes on", () =>
    Effect.gen(function* () {
      const minutes = (name: string) => Durable.step(name, Effect.sleep("3 minutes"))
      const many = Array.from({ length: 2_998 }, () => Durable.step("s", Effect.void))
      const body = Effect.gen(function* () {
        yield* Effect.all(many, { discard: true, concurrency: "unbounded" })
        yield* minutes("first")
        yield* minutes("long")
        return "done"
      })
      const execution = yield* kit.start(body, { functionTimeout: "5 minutes" })
      assert.strictEqual(yield* execution.result, "done")
      assert.deepStrictEqual(
        (yield* failuresOf(execution)).map(({ ErrorType }) => ErrorType),
        ["OutOfTime"]
      )
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("what reads a result for the body is stopped with it", () =>
    Effect.gen(function* () {
      const reads: Array<string> = []
      const read = Effect.onInterrupt(Effect.as(Effect.never, ""), () => Effect.sync(() => void reads.push("stopped")))
      const stuck = Layer.succeed(Serdes.Serdes, {
        encode: (text) => Effect.succeed(text),
        decode: () => Effect.suspend(() => (reads.push("began"), read))
      })
      const service = FakeService.make()
      const handler = DurableHandler.make(kit.Anything, () => Durable.step("a", Effect.succeed(1)), {
        ...service.handlerOptions,
        layer: Layer.merge(quiet, stuck)
      })
      const { error } = yield* Effect.flip(invoke(service, handler, 1_000))
      assert.strictEqual(error._tag, "OutOfTime")
      assert.match(
        error.message,
        /near, and a codec, a Serdes layer or the schedule of a retry has not ended for STEP "a" \([\w-]+\)/
      )
      assert.deepStrictEqual(reads, ["began", "stopped"])
    })
  )

  it.effect("what writes a payload, or decides a retry, and does not end is named by its operation", () =>
    Effect.gen(function* () {
      const stuck = Layer.succeed(Serdes.Serdes, { encode: () => Effect.never, decode: (text) => Effect.succeed(text) })
      const retry = { while: () => Effect.never }
      const bodies: Readonly<Record<string, readonly [kit.Body, Layer.Layer<never>]>> = {
        'STEP "a"': [Durable.step("a", Effect.succeed(1)), stuck],
        'STEP "b"': [Durable.step("b", Effect.fail("no"), { retry }), Layer.empty],
        'CONTEXT "c"': [Durable.childContext("c", Effect.succeed(1)), stuck],
        'CONTEXT "map-item-1"': [
          Durable.map("m", [1, 2], (n) => (n === 1 ? Durable.wait("w", "1 hour") : Effect.succeed(n))),
          stuck
        ]
      }
      for (const [name, [body, layer]] of Object.entries(bodies)) {
        const service = FakeService.make()
        const handler = DurableHandler.make(kit.Anything, () => body, {
          ...service.handlerOptions,
          layer: Layer.merge(quiet, layer)
        })
        const { error } = yield* Effect.flip(invoke(service, handler, 200))
        assert.strictEqual(error._tag, "OutOfTime")
        assert.include(error.message, `has not ended for ${name} (`)
        assert.notInclude(error.message, "the workflow computes")
      }
    })
  )

  it.effect("a short wait beside a step that is stuck", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(
        kit.Anything,
        () => Effect.all([Durable.wait("short", "1 second"), Durable.step("s", Effect.never)], { concurrency: 2 }),
        { ...service.handlerOptions, layer: quiet }
      )
      assert.deepStrictEqual(yield* invoke(service, handler, 1_000), { Status: "PENDING" })
      assert.deepStrictEqual(service.trace.flat().toSorted(), ["RETRY STEP s", "START STEP s", "START WAIT short"])
    })
  )

  it.effect("0 switches it off; a margin of one's own counts", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const step = Durable.step(
        "s",
        Effect.promise(() => FakeService.later(150, "in time"))
      )
      const make = (deadlineMargin: number) =>
        DurableHandler.make(kit.Anything, () => step, { ...service.handlerOptions, layer: quiet, deadlineMargin })
      assert.deepStrictEqual(yield* invoke(service, make(150), 200), { Status: "PENDING" })
      service.pass(60)
      assert.strictEqual((yield* invoke(service, make(0), 100)).Status, "SUCCEEDED")
    })
  )
})

describe("deadline: a body that nothing can go on with", () => {
  const outOfTime = (body: kit.Body, millis = 1_000) =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(kit.Anything, () => body, { ...service.handlerOptions, layer: quiet })
      const { error } = yield* Effect.flip(invoke(service, handler, millis))
      assert.strictEqual(error._tag, "OutOfTime", String(error))
      return error.message
    })

  it.effect("waits for nothing: it is told what its fibers asked for last", () =>
    Effect.gen(function* () {
      const message = yield* outOfTime(
        Effect.gen(function* () {
          const never = yield* Deferred.make<void>()
          yield* Durable.step("first", Effect.succeed(1))
          yield* Effect.forkChild(Effect.andThen(Durable.step("second", Effect.succeed(2)), Deferred.await(never)))
          return yield* Effect.never
        })
      )
      assert.match(
        message,
        /^Lambda's deadline is near, and the service has nothing to go on with: the workflow computes/
      )
      assert.match(message, /Its fibers asked last for STEP "first" \([\w-]+\), STEP "second" \([\w-]+\)\./)
      assert.include(message, "Move such work into Durable.step")
    })
  )

  it.effect("is at work of its own", () =>
    Effect.gen(function* () {
      const message = yield* outOfTime(Effect.promise(() => FakeService.later(4_000, "late")))
      assert.include(message, "Its fibers asked last for no operation.")
    })
  )

  it.effect("never comes to rest", () =>
    Effect.gen(function* () {
      const spins: ReadonlyArray<Effect.Effect<unknown>> = [
        Effect.forever(Effect.void),
        Effect.forever(Effect.yieldNow),
        Effect.uninterruptible(Effect.forever(Effect.sleep(0))),
        Effect.gen(function* () {
          for (;;) yield* Effect.sync(() => {})
        })
      ]
      for (const spin of spins) {
        const message = yield* outOfTime(Effect.andThen(Durable.step("before", Effect.succeed(1)), spin))
        assert.match(message, /Its fibers asked last for STEP "before" \([\w-]+\)\./)
      }
    })
  )
})
