// @effect-diagnostics globalDateInEffect:off
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableHandler } from "effect-durable-lambda"
import { ConditionExhausted, ConditionFailed } from "effect-durable-lambda/DurableError"
import { Serdes } from "effect-durable-lambda/Serdes"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as FakeService from "../wire/FakeService.ts"
import * as kit from "./kit.ts"
import { CardDeclined, Unavailable } from "./kit.ts"

const { layerMemory, layerMemoryClock } = TestRunner

const every = (seconds: number, times = 100) => Schedule.spaced(`${seconds} seconds`).pipe(Schedule.upTo({ times }))

/** Counts up to a number. */
const countTo = (limit: number, options?: { readonly schedule?: Schedule.Schedule<unknown, number> }) => {
  const seen: Array<number> = []
  const condition = Durable.waitForCondition("count", (n) => Effect.sync(() => (seen.push(n), n + 1)), {
    initial: 0,
    state: Schema.Number,
    until: (n) => n >= limit,
    ...options
  })
  return { seen, condition }
}

const delaysOf = (execution: TestRunner.TestExecution<unknown, unknown>) =>
  Effect.map(execution.history, (events) =>
    events.flatMap((event) => event.StepSucceededDetails?.RetryDetails?.NextAttemptDelaySeconds ?? [])
  )

describe("waitForCondition: polling", () => {
  it.effect("hands the state from check to check, and runs none of them again on replay", () =>
    Effect.gen(function* () {
      const { condition, seen } = countTo(3, { schedule: every(2) })
      const execution = yield* kit.sees(condition, Exit.succeed(3))
      assert.deepStrictEqual(seen, [0, 1, 2])
      assert.deepStrictEqual(yield* delaysOf(execution), [2, 2])
      const record = yield* execution.operation("count")
      assert.deepStrictEqual([record.Type, record.SubType, record.Status], ["STEP", "WaitForCondition", "SUCCEEDED"])
      assert.deepStrictEqual(record.StepDetails, { Result: "3", Attempt: 3 })
      assert.strictEqual((yield* execution.operations).length, 2) // with the wait of the replay
      assert.deepStrictEqual(
        (yield* kit.operationsOf(execution)).filter((line) => line.includes("count")),
        [
          'StepStarted "count"',
          'StepSucceeded "count" 1',
          'StepStarted "count"',
          'StepSucceeded "count" 2',
          'StepStarted "count"',
          'StepSucceeded "count" 3'
        ]
      )
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a condition that is met at once suspends nothing", () =>
    Effect.gen(function* () {
      const { condition, seen } = countTo(1)
      const execution = yield* kit.start(condition)
      assert.strictEqual(yield* execution.result, 1)
      assert.strictEqual(yield* execution.invocations, 1)
      assert.deepStrictEqual(seen, [0])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("nothing runs between two checks", () =>
    Effect.gen(function* () {
      const { condition, seen } = countTo(2, { schedule: every(3600) })
      const execution = yield* kit.start(condition)
      yield* TestRunner.advance("59 minutes")
      assert.deepStrictEqual(seen, [0])
      assert.strictEqual(yield* execution.invocations, 1)
      yield* TestRunner.advance("1 minute")
      assert.strictEqual(yield* execution.result, 2)
      assert.strictEqual(yield* execution.invocations, 2)
    }).pipe(Effect.provide(layerMemoryClock))
  )

  it.effect("until is asked first: a schedule that would end is not asked when the condition is met", () =>
    Effect.gen(function* () {
      const { condition } = countTo(3, { schedule: every(1, 2) }) // two further checks, and no more
      yield* kit.sees(condition, Exit.succeed(3))
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("until may be an effect, with services of the step", () =>
    Effect.gen(function* () {
      const condition = Durable.waitForCondition("count", (n) => Effect.succeed(n + 1), {
        initial: 0,
        state: Schema.Number,
        until: (n) => Effect.as(kit.turn, n === 2),
        schedule: every(1)
      })
      yield* kit.sees(condition, Exit.succeed(2))
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a check knows its attempt, and has one key for all of them", () =>
    Effect.gen(function* () {
      const seen: Array<readonly [attempt: number, key: string]> = []
      const condition = Durable.waitForCondition(
        "count",
        (n) =>
          Effect.map(Durable.CurrentStep, (step) => {
            assert.strictEqual(step.name, "count")
            seen.push([step.attempt, step.idempotencyKey])
            return n + 1
          }),
        { initial: 0, state: Schema.Number, until: (n) => n === 3, schedule: every(1) }
      )
      yield* kit.run(condition)
      assert.deepStrictEqual(
        seen.map(([attempt]) => attempt),
        [1, 2, 3]
      )
      assert.strictEqual(new Set(seen.map(([, key]) => key)).size, 1)
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("waitForCondition: states", () => {
  /** Runs three checks and gives what each was given. */
  const given = <S extends Schema.Codec<any, any>>(state: S, initial: S["Type"], next: S["Type"]) =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      let result: unknown = "none"
      const condition = Durable.waitForCondition("c", (now) => Effect.sync(() => (seen.push(now), next)), {
        initial,
        state,
        until: () => seen.length === 3,
        schedule: every(1)
      })
      yield* kit.run(
        Effect.map(condition, (value) => {
          result = value // as the body sees it
        })
      )
      return [...seen, result]
    })

  it.effect("null", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* given(Schema.NullOr(Schema.String), "x", null), ["x", null, null, null])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("nothing", () =>
    Effect.gen(function* () {
      const state = Schema.UndefinedOr(Schema.String)
      assert.deepStrictEqual(yield* given(state, "x", undefined), ["x", undefined, undefined, undefined])
      assert.deepStrictEqual(yield* given(Schema.Void, undefined, undefined), Array(4).fill(undefined))
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("objects, with what their schema makes of them", () =>
    Effect.gen(function* () {
      const state = Schema.Struct({ at: Schema.DateFromString, tags: Schema.Array(Schema.String) })
      const next = { at: new Date(5), tags: ["a"] }
      const initial = { at: new Date(0), tags: [] }
      assert.deepStrictEqual(yield* given(state, initial, next), [initial, next, next, next])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("text, verbatim in the record (6-11)", () =>
    Effect.gen(function* () {
      const execution = yield* kit.start(
        Durable.waitForCondition("c", (n) => Effect.succeed(n + 1), {
          initial: 7,
          state: Durable.text(Schema.NumberFromString),
          until: (n) => n === 9,
          schedule: every(1)
        })
      )
      assert.strictEqual(yield* execution.result, 9)
      const payloads = (yield* execution.history).flatMap((event) => event.StepSucceededDetails?.Result.Payload ?? [])
      assert.deepStrictEqual(payloads, ["8", "9"])
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("pass through the Serdes layer, there and back", () =>
    Effect.gen(function* () {
      const { condition, seen } = countTo(3, { schedule: every(1) })
      const execution = yield* kit.start(condition).pipe(
        Effect.provideService(Serdes, {
          encode: (text) => Effect.succeed(`<${text}>`),
          decode: (text) => Effect.succeed(text.slice(1, -1))
        })
      )
      assert.strictEqual(yield* execution.result, 3)
      assert.deepStrictEqual(seen, [0, 1, 2])
      assert.strictEqual((yield* execution.operation("count")).StepDetails?.Result, "<3>")
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a state that its schema refuses ends the execution", () =>
    Effect.gen(function* () {
      const fault = yield* kit.faultOf(
        Durable.waitForCondition("c", () => Effect.succeed("two" as never), {
          initial: 1,
          state: Schema.Number,
          until: () => true
        })
      )
      assert.strictEqual(fault.type, "SerdesFailed")
      assert.match(fault.message, /^STEP "c" \(.*\): cannot encode its payload: Expected number/)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a state over the limit ends the execution with PayloadTooLarge", () =>
    Effect.gen(function* () {
      const fault = yield* kit.faultOf(
        Durable.waitForCondition("c", () => Effect.succeed("x".repeat(1024 * 1024)), {
          initial: "",
          state: Schema.String,
          until: () => false
        })
      )
      assert.strictEqual(fault.type, "PayloadTooLarge")
      assert.match(fault.message, /^STEP "c" \(.*\): its payload has 1048578 bytes/)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a recorded state that the schema of today cannot read ends the execution, not the check", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const make = (state: Schema.Codec<any, any>) =>
        DurableHandler.make(
          kit.Anything,
          () =>
            Effect.ignore(
              Durable.waitForCondition("c", (now) => Effect.succeed(now), {
                initial: 1,
                state,
                until: () => false,
                schedule: every(1)
              })
            ),
          service.handlerOptions
        )
      yield* service.invoke(make(Schema.Number))
      service.pass(1)
      const answer = yield* service.invoke(make(Schema.Struct({ id: Schema.String })))
      assert(answer.Status === "FAILED")
      assert.strictEqual(answer.Error?.ErrorType, "SerdesFailed")
      assert.match(answer.Error?.ErrorMessage ?? "", /^STEP "c" \(.*\): cannot decode its payload/)
    })
  )
})

describe("waitForCondition: when it gives up", () => {
  it.effect("the end of its schedule is ConditionExhausted", () =>
    Effect.gen(function* () {
      const { condition, seen } = countTo(10, { schedule: every(1, 2) })
      const exhausted = new ConditionExhausted({ operation: "count", attempts: 3 })
      yield* kit.sees(condition, Exit.fail(exhausted))
      assert.deepStrictEqual(seen, [0, 1, 2])
      assert.strictEqual(exhausted.message, 'Condition "count" was not met in 3 checks, and its schedule has ended.')
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("by default after AWS's 60 checks, with AWS's delays and full jitter", () =>
    Effect.gen(function* () {
      const { condition, seen } = countTo(1000)
      const execution = yield* kit.start(condition)
      const error = yield* Effect.flip(execution.result)
      assert(error instanceof ConditionExhausted)
      assert.strictEqual(error.attempts, 60)
      assert.strictEqual(seen.length, 60)
      const delays = yield* delaysOf(execution)
      assert.strictEqual(delays.length, 59)
      delays.forEach((delay, i) => {
        assert.isAtLeast(delay, 1)
        assert.isAtMost(delay, Math.ceil(Math.min(5 * 1.5 ** i, 300)))
      })
      assert.isAbove(Math.max(...delays), 200) // up to 300, and jittered
      assert.isAbove(new Set(delays).size, 20)
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("the schedule sees the state, in all three forms", () =>
    Effect.gen(function* () {
      const forms: ReadonlyArray<Durable.Retry<number>> = [
        Schedule.identity<number>().pipe(
          Schedule.while(({ input }) => input < 3),
          Schedule.addDelay(() => Effect.succeed("1 second"))
        ),
        ($) => $(Schedule.spaced("1 second")).pipe(Schedule.while(({ input }) => input < 3)),
        { while: (n) => n < 3 },
        { until: (n) => Effect.succeed(n >= 3) },
        { times: 2, schedule: Schedule.spaced("1 second") }
      ]
      for (const schedule of forms) {
        const condition = Durable.waitForCondition("c", (n: number) => Effect.succeed(n + 1), {
          initial: 0,
          state: Schema.Number,
          until: () => false,
          schedule
        })
        const error = yield* Effect.flip(kit.run(condition))
        assert(error instanceof ConditionExhausted)
        assert.strictEqual(error.attempts, 3)
      }
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("delays are whole seconds, at least one", () =>
    Effect.gen(function* () {
      const { condition } = countTo(3, { schedule: Schedule.spaced("1200 millis") })
      const execution = yield* kit.start(condition)
      yield* execution.result
      assert.deepStrictEqual(yield* delaysOf(execution), [2, 2])
      const soon = countTo(3, { schedule: Schedule.recurs(5) })
      const second = yield* kit.start(soon.condition)
      yield* second.result
      assert.deepStrictEqual(yield* delaysOf(second), [1, 1])
    }).pipe(Effect.provide(layerMemory))
  )
})

describe("waitForCondition: failures", () => {
  const Both = Schema.Union([CardDeclined, Unavailable])
  const failing = (
    attempt: number,
    effect: Effect.Effect<never, CardDeclined | Unavailable>,
    error?: typeof CardDeclined | typeof Both
  ) => {
    let runs = 0
    const condition = Durable.waitForCondition(
      "c",
      (n) =>
        Effect.flatMap(Durable.CurrentStep, (step) => (runs++, step.attempt === attempt ? effect : Effect.succeed(n))),
      { initial: 0, state: Schema.Number, until: () => false, schedule: every(1), error }
    )
    return { condition, runs: () => runs }
  }

  for (const attempt of [1, 2, 3]) {
    // AWS's JS SDK 2.4.0 gets this wrong (section 20): a throw in a later poll sends a second FAIL, and the whole
    // execution fails; and (section 18.2) the failure is thrown as StepError, never WaitForConditionError
    it.effect(`a failure in check ${attempt} is exactly one FAIL, is not retried, and can be caught`, () =>
      Effect.gen(function* () {
        const { condition, runs } = failing(attempt, Effect.fail(new Unavailable({ retryable: true })))
        const failed = new ConditionFailed({
          operation: "c",
          type: "Unavailable",
          message: "",
          data: { retryable: true }
        })
        const execution = yield* kit.sees(condition, Exit.fail(failed))
        assert.strictEqual(runs(), attempt)
        const fails = (yield* execution.history).filter(({ EventType }) => EventType === "StepFailed")
        assert.strictEqual(fails.length, 1)
        assert.strictEqual((yield* execution.operation("c")).Status, "FAILED")
      }).pipe(Effect.provide(layerMemory))
    )
  }

  it.effect("what the error schema covers keeps its class", () =>
    Effect.gen(function* () {
      const declined = new CardDeclined({ reason: "limit" })
      yield* kit.sees(failing(1, Effect.fail(declined), CardDeclined).condition, Exit.fail(declined))
      yield* kit.sees(failing(2, Effect.fail(declined), Both).condition, Exit.fail(declined))
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("a defect dies, as the same defect on replay", () =>
    kit
      .sees(failing(2, Effect.die(new RangeError("boom"))).condition, Exit.die(namedError("RangeError", "boom")))
      .pipe(Effect.provide(layerMemory))
  )

  it.effect("a check, an `until` and a schedule that throw are defects", () =>
    Effect.gen(function* () {
      const boom = (): never => {
        throw new RangeError("boom")
      }
      const options = { initial: 0, state: Schema.Number, until: () => false, schedule: every(1) }
      const bodies: ReadonlyArray<kit.Body> = [
        Durable.waitForCondition("c", boom, options),
        Durable.waitForCondition("c", Effect.succeed, { ...options, until: boom }),
        Durable.waitForCondition("c", Effect.succeed, { ...options, schedule: { while: boom } })
      ]
      for (const body of bodies) yield* kit.sees(body, Exit.die(namedError("RangeError", "boom")))
    }).pipe(Effect.provide(layerMemory))
  )

  it.effect("ConditionFailed and ConditionExhausted keep their class through a child context", () =>
    Effect.gen(function* () {
      const failed = yield* Effect.flip(
        kit.run(Durable.childContext("child", failing(1, Effect.fail(new CardDeclined({ reason: "x" }))).condition))
      )
      assert(failed instanceof ConditionFailed)
      assert.deepStrictEqual([failed.type, failed.data], ["CardDeclined", { reason: "x" }])
      const exhausted = yield* Effect.flip(
        kit.run(Durable.childContext("child", countTo(9, { schedule: every(1, 1) }).condition))
      )
      assert(exhausted instanceof ConditionExhausted)
      assert.strictEqual(exhausted.attempts, 2)
    }).pipe(Effect.provide(layerMemory))
  )
})

const namedError = (name: string, message: string) => Object.assign(new Error(message), { name })

describe("waitForCondition: racing and crashing", () => {
  it.effect("one that loses a race is not checked again", () =>
    Effect.gen(function* () {
      const { condition, seen } = countTo(100, { schedule: every(10) })
      const execution = yield* kit.start(
        Effect.gen(function* () {
          const result = yield* Effect.timeoutOption(condition, "15 seconds")
          yield* Durable.wait("after", "1 hour")
          return Option.isNone(result)
        })
      )
      for (let i = 0; i < 8; i++) yield* TestRunner.advance("10 minutes")
      assert.isTrue(yield* execution.result)
      assert.deepStrictEqual(seen, [0, 1])
    }).pipe(Effect.provide(layerMemoryClock))
  )

  it.effect("the check of one that loses a race is interrupted", () =>
    Effect.gen(function* () {
      let interrupted = 0
      const condition = Durable.waitForCondition(
        "c",
        () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted++)),
        { initial: 0, state: Schema.Number, until: () => true }
      )
      const execution = yield* kit.start(Effect.raceFirst(condition, Durable.step("s", Effect.succeed("won"))))
      assert.strictEqual(yield* execution.result, "won")
      assert.strictEqual(interrupted, 1)
    }).pipe(Effect.provide(layerMemory))
  )

  for (const fault of ["CrashBefore", "CrashAfter", "DropResponse", "StaleToken"] as const) {
    for (const call of [1, 2, 3]) {
      it.effect(`${fault} at call ${call}: no check is skipped, no state is lost`, () =>
        Effect.gen(function* () {
          const { condition, seen } = countTo(4, { schedule: every(1) })
          assert.strictEqual(yield* kit.run(condition), 4)
          // a check whose outcome was not recorded ran again, on the same state
          assert.deepStrictEqual([...new Set(seen)], [0, 1, 2, 3])
          assert.deepStrictEqual([...seen].sort(), seen)
        }).pipe(Effect.provide(kit.layerFaulty((at) => (at.call === call && at.updates > 0 ? fault : undefined))))
      )
    }
  }

  for (const startDelay of [0, 50]) {
    it.effect(`an invocation that dies in the middle of a later check loses no state (startDelay ${startDelay})`, () =>
      Effect.gen(function* () {
        const seen: Array<number> = []
        const condition = Durable.waitForCondition(
          "c",
          (n) =>
            Effect.suspend(() => {
              seen.push(n)
              // longer than any START waits; the second one never comes to its end
              return seen.length === 2 ? Effect.andThen(Effect.sleep("1 minute"), Effect.never) : Effect.succeed(n + 1)
            }),
          { initial: 5, state: Schema.Number, until: (n) => n === 8, schedule: every(1) }
        )
        const service = FakeService.make()
        const handler = DurableHandler.make(kit.Anything, () => condition, { ...service.handlerOptions, startDelay })
        yield* service.invoke(handler)
        service.pass(1)
        const dying = handler(service.event()) // it is never heard of again
        void dying
        while (seen.length < 2) yield* kit.turn
        yield* Effect.promise(() => FakeService.later(80, undefined)) // real time: START would have been sent by now
        const again = yield* service.invoke(handler)
        assert.deepStrictEqual(again, { Status: "PENDING" })
        assert.deepStrictEqual(seen, [5, 6, 6])
        service.pass(1)
        assert.deepStrictEqual(yield* service.invoke(handler), { Status: "SUCCEEDED", Result: "8" })
        // every attempt has its START, also in the service's view
        assert.deepStrictEqual(
          service.updates.map(({ Action }) => Action),
          ["START", "RETRY", "START", "RETRY", "START", "SUCCEED"]
        )
      })
    )
  }

  it.effect("a state that another SDK's START has wiped out begins anew", () =>
    Effect.gen(function* () {
      const { condition, seen } = countTo(3, { schedule: every(1) })
      const service = FakeService.make()
      const handler = DurableHandler.make(kit.Anything, () => condition, service.handlerOptions)
      yield* service.invoke(handler)
      service.change("count", { Status: "STARTED", StepDetails: { Attempt: 1 } })
      yield* service.invoke(handler)
      assert.deepStrictEqual(seen, [0, 0])
    })
  )
})
