/**
 * What the tests of the operations share: workflows in memory whose outcome is seen twice, live and replayed.
 */
import { assert } from "@effect/vitest"
import { Durable, DurableError, DurableFunction } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { type Call, type Fault, Faults } from "../../src/engine/Faults.ts"

/** Takes anything, gives anything: what the tests look at is what the body sees. */
export const Anything = DurableFunction.make("workflow", {
  payload: Schema.Unknown,
  success: Schema.Any,
  error: Schema.Any
})

export type Body<A = unknown> = Effect.Effect<A, unknown, Durable.Requires>

export class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", { reason: Schema.String }) {}
export class Unavailable extends Schema.TaggedError<Unavailable>()("Unavailable", { retryable: Schema.Boolean }) {}

/** Starts a body; what is wrong with it is seen in its end. */
export const start = (body: Body, options?: TestRunner.Options) => TestRunner.start(Anything, () => body, null, options)

/** Runs a body to its end. */
export const run = (body: Body, options?: TestRunner.Options) =>
  Effect.flatMap(start(body, options), (execution) => execution.result)

/** The library's own reason why a body could not go on: the type and message of the failed execution. */
export const faultOf = (body: Body, options?: TestRunner.Options) =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(run(body, options))
    assert(error instanceof DurableError.ExecutionFailed, `no fault of the program: ${String(error)}`)
    const help = ` (help: docs/troubleshooting.md#${error.type.toLowerCase()} in effect-durable-lambda)`
    const { message, type } = error
    return { type, message: message.endsWith(help) ? message.slice(0, -help.length) : message }
  })

/** What the body saw of an effect, the first time and when it was replayed. */
export const observe = (effect: Body, options?: TestRunner.Options) =>
  Effect.gen(function* () {
    const seen: Array<Exit.Exit<unknown, unknown>> = []
    const execution = yield* start(
      Effect.gen(function* () {
        seen.push(yield* Effect.exit(effect))
        yield* Durable.wait("replay", "1 second")
      }),
      options
    )
    yield* execution.result
    assert.isAtLeast(seen.length, 2, "the effect was not replayed")
    return { live: seen[0]!, replayed: seen.slice(1), execution }
  })

/** An exit as plain data: classes by name, defects by name and message. */
export const shown = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isSuccess(exit)
    ? { value: exit.value }
    : exit.cause.reasons.map((reason) =>
        reason._tag === "Fail"
          ? { fail: reason.error }
          : reason._tag === "Die"
            ? {
                die: reason.defect instanceof Error ? `${reason.defect.name}: ${reason.defect.message}` : reason.defect
              }
            : "interrupt"
      )

/** The body sees this exit, live and replayed alike. */
export const sees = (effect: Body, expected: Exit.Exit<unknown, unknown>, options?: TestRunner.Options) =>
  Effect.gen(function* () {
    const { execution, live, replayed } = yield* observe(effect, options)
    assert.deepStrictEqual(shown(live), shown(expected))
    for (const exit of replayed) assert.deepStrictEqual(shown(exit), shown(expected))
    // a failure keeps its class; a defect keeps its name and message
    const classOf = (exit: Exit.Exit<unknown, unknown>) =>
      Exit.isSuccess(exit) || !exit.cause.reasons.some(Cause.isDieReason)
        ? Object.getPrototypeOf(Object(Exit.isSuccess(exit) ? exit.value : Cause.squash(exit.cause)))
        : undefined
    for (const exit of [live, ...replayed]) assert.strictEqual(classOf(exit), classOf(expected), "another class")
    return execution
  })

/** The test's own memory engine, with faults. */
export const layerFaulty = (fault: (call: Call) => Fault | undefined): Layer.Layer<TestRunner.TestRunner> =>
  Layer.fresh(TestRunner.layerMemory).pipe(
    Layer.provide(Layer.succeed(Faults, (call: Call) => Effect.sync(() => fault(call))))
  )

/** Seconds between the attempts of a step, and the types of the errors of those that failed. */
export const attemptsOf = (execution: TestRunner.TestExecution<unknown, unknown>, name: string) =>
  Effect.map(execution.history, (events) => {
    const failed = events.flatMap((event) =>
      event.Name === name && event.StepFailedDetails ? [event.StepFailedDetails] : []
    )
    return {
      starts: events.filter(({ EventType, Name }) => EventType === "StepStarted" && Name === name).length,
      delays: failed.flatMap(({ RetryDetails }) => RetryDetails.NextAttemptDelaySeconds ?? []),
      errors: failed.map(({ Error: error }) => error.Payload?.ErrorType)
    }
  })

/** The lines of an execution's timeline that tell of operations. */
export const operationsOf = (execution: TestRunner.TestExecution<unknown, unknown>) =>
  Effect.map(execution.timeline, (timeline) =>
    timeline.split("\n").filter((line) => !/^(Execution|Invocation)/.test(line))
  )

/** A macrotask later. */
export const turn: Effect.Effect<void> = Effect.callback((resume) => {
  setImmediate(() => resume(Effect.void))
})

/**
 * Work that the library does not know of, finished while a step surely runs: `io` is for the body, `busy` for the
 * step that keeps the invocation alive. No timers, so it is the same on a slow machine.
 */
export const untracked = () => {
  const gate = Promise.withResolvers<void>()
  const some = Effect.andThen(turn, turn)
  return {
    io: Effect.promise(() => gate.promise),
    busy: Effect.andThen(
      some,
      Effect.andThen(
        Effect.sync(() => gate.resolve()),
        Effect.andThen(some, some)
      )
    )
  }
}
