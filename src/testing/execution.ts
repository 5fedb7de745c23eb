/**
 * An execution as a test sees it, wherever it runs.
 */
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import * as assert from "node:assert"
import * as util from "node:util"
import * as DurableError from "../DurableError.ts"
import type * as DurableFunction from "../DurableFunction.ts"
import * as History from "../History.ts"
import { errorOf } from "../internal/executionEnd.ts"
import * as failures from "../internal/failure.ts"
import type * as Protocol from "../Protocol.ts"
import { payloadCodec } from "../Serdes.ts"
import type { CodecServices, MaybeSchema, TypeOf } from "../StepServices.ts"
import * as answers from "./answers.ts"
import type { Driver, End } from "./Driver.ts"
import { render } from "./timeline.ts"
import { real } from "./VirtualTimers.ts"

// ---- shapes ------------------------------------------------------------------------------------------------

/** What the end of an execution can be, besides the definition's own errors. */
export type ExecutionError =
  DurableError.Operation | DurableError.ExecutionFailed | DurableError.ExecutionTimedOut | DurableError.ExecutionStopped

/** A callback that waits for an answer of the test. */
export interface TestCallback<A, E, R = never> {
  readonly callbackId: string
  /** Completes it. */
  readonly succeed: (value: A) => Effect.Effect<void, never, R>
  /** Reports a failure: an error of the `error` schema, or a type and a message. */
  readonly fail: (error: E | answers.Failure) => Effect.Effect<void, never, R>
  /** Says that whoever is to answer is still at work. */
  readonly heartbeat: Effect.Effect<void>
}

/** What a test expects of an execution. What is absent is not looked at. */
export interface Expected<A, E> {
  /** What the execution gives. Waits for its end. */
  readonly result?: A
  /** What it fails with. Waits for its end. */
  readonly error?: E | ExecutionError
  readonly status?: Protocol.ExecutionStatus
  readonly invocations?: number
  /** The status of the first operation of each name. */
  readonly operations?: Readonly<Record<string, Protocol.OperationStatus>>
  /** Attempts of all steps of a name, as the history has them. 0: there was none. */
  readonly attempts?: Readonly<Record<string, number>>
  /** Runs of all steps of a name. */
  readonly runs?: Readonly<Record<string, number>>
}

/** An execution that a test has started. */
export interface TestExecution<A, E, R = never> {
  readonly arn: string
  /**
   * Waits for the end. Fails with the definition's error, an operation's, or what else ended the execution. Where time is
   * skipped it dies with the timeline when nothing goes on any more: after two seconds, in real time, in which the test
   * has not answered either.
   */
  readonly result: Effect.Effect<A, E | ExecutionError, R>
  /** The execution's status now. */
  readonly status: Effect.Effect<Protocol.AnyExecutionStatus>
  /** All operations, in the order of starting. */
  readonly operations: Effect.Effect<ReadonlyArray<Protocol.Operation>>
  /** The first operation of this name; dies with the names there are, and the timeline, when there is none. */
  readonly operation: (name: string) => Effect.Effect<Protocol.Operation>
  /**
   * Waits until there is a callback of this name to answer, of `Durable.callback` or `Durable.waitForCallback`. Give it
   * the schemas that the workflow waits with; without `success` the answer is text, or nothing. Skipped time stands
   * still until it is answered, or the test waits for something else. When asked again, gives the next one. Dies with the
   * timeline when the execution ends without one, or (where time is skipped) nothing goes on any more. What is answered
   * twice, or too late, dies, too.
   */
  readonly callback: <SA extends MaybeSchema = undefined, SE extends MaybeSchema = undefined>(
    name: string,
    options?: { readonly success?: SA; readonly error?: SE }
  ) => Effect.Effect<TestCallback<TypeOf<SA, string | void>, TypeOf<SE, never>, CodecServices<SA> | CodecServices<SE>>>
  /** Attempts of all steps of this name that are on record. */
  readonly attempts: (name: string) => Effect.Effect<number>
  /**
   * How often steps of this name were run. More than `attempts` where a process ended before a run was on record. Of a
   * deployed function only the history is known: there it is the same as `attempts`.
   */
  readonly runs: (name: string) => Effect.Effect<number>
  /** Stops the execution from outside. */
  readonly stop: (error?: Protocol.ErrorObject) => Effect.Effect<void>
  /** Everything that happened, as `GetDurableExecutionHistory` returns it. */
  readonly history: Effect.Effect<ReadonlyArray<History.Event>>
  /** The history in words, a line an event. */
  readonly timeline: Effect.Effect<string>
  /** How often the function was invoked. */
  readonly invocations: Effect.Effect<number>
  /** Compares with what the test expects; dies with all differences, and the timeline. */
  // a method: executions of different types can stand in one list
  expect(expected: Expected<A, E>): Effect.Effect<void, never, R>
  /** Adds the timeline to the message of whatever dies in this effect, an assertion as a rule. */
  readonly explain: <A2, E2, R2>(effect: Effect.Effect<A2, E2, R2>) => Effect.Effect<A2, E2, R2>
}

// ---- how it ends -------------------------------------------------------------------------------------------

/** What an execution ended with, as the definition's types have it. */
export const readEnd = (
  definition: Pick<DurableFunction.Any, "name" | "success" | "error">,
  end: End
): Effect.Effect<unknown, unknown, any> => {
  const { DurableExecutionArn: executionArn, Result, Status } = end
  const error = errorOf(end)
  const message = error?.ErrorMessage ?? ""
  switch (Status) {
    case "SUCCEEDED":
      return Effect.orDie(payloadCodec(definition.success).decode(Result))
    case "TIMED_OUT":
      return Effect.fail(new DurableError.ExecutionTimedOut({ executionArn, message }))
    case "STOPPED":
      return Effect.fail(new DurableError.ExecutionStopped({ executionArn, message }))
    default:
      return failures
        .decodeFailure(error, {
          operation: definition.name,
          schema: definition.error,
          ...failures.CONTEXTS,
          otherwise: (type, message) => new DurableError.ExecutionFailed({ executionArn, type, message })
        })
        .pipe(
          Effect.orDie,
          Effect.flatten,
          // as the client has it; other defects of the body are the test's
          Effect.catchDefect((defect) =>
            defect instanceof DurableError.DeadlineExceeded ? Effect.fail(defect) : Effect.die(defect)
          )
        )
  }
}

// ---- comparing ---------------------------------------------------------------------------------------------

const isEqual = (left: unknown, right: unknown): boolean =>
  Equal.equals(left, right) || util.isDeepStrictEqual(left, right)

/** A value on one line where it is short. Of an error its name and fields: the stack is not what it failed with. */
export const show = (value: unknown): string => {
  if (value instanceof Error) {
    const { _tag: _, ...fields } = value as Error & { readonly _tag?: string }
    const own = Object.keys(fields).length === 0 ? "" : ` ${show(fields)}`
    return `${value.name}${value.message === "" ? "" : `: ${value.message}`}${own}`
  }
  return util.inspect(value, { depth: 6, breakLength: 100, maxStringLength: 500, maxArrayLength: 20 })
}

const showExit = (exit: Exit.Exit<unknown, unknown>): string =>
  Exit.isSuccess(exit) ? show(exit.value) : show(Cause.squash(exit.cause))

/** What of an operation it takes to say why it is still open. */
const described = ({ Name, Status, Type }: Protocol.Operation) => `${Type} "${Name ?? ""}" (${Status})`

const isPending = ({ Status, Type }: Protocol.Operation) =>
  Type !== "CONTEXT" && (Status === "STARTED" || Status === "PENDING" || Status === "READY")

/** So long, in real time, a test may take for its own work before it answers. */
const PATIENCE_MILLIS = 2_000

// ---- making it ---------------------------------------------------------------------------------------------

/** A test that is interrupted after so many milliseconds has run out of time: vitest's are 5,000. */
const TOO_LONG_MILLIS = 4_000

/** Lines of a timeline that are shown of one that goes on for ever: half of them from its beginning, half from its end. */
const SHOWN_LINES = 60

const clipped = (text: string): string => {
  const lines = text.split("\n")
  if (lines.length <= SHOWN_LINES) return text
  const half = SHOWN_LINES / 2
  return [...lines.slice(0, half), `… ${lines.length - SHOWN_LINES} lines …`, ...lines.slice(-half)].join("\n")
}

/** Makes an execution of a driver. Its types are those of the definition. */
export const make = (
  driver: Driver,
  definition: DurableFunction.Any,
  arn: string
): TestExecution<unknown, unknown, any> => {
  const operations = Effect.map(driver.operations(arn), (all) => all.filter(({ Type }) => Type !== "EXECUTION"))
  const history = driver.history(arn)
  const invocations = Effect.map(
    history,
    (events) => events.filter(({ EventType }) => EventType === "InvocationCompleted").length
  )
  const end = Effect.flatMap(driver.end(arn), (end) => readEnd(definition, end)).pipe(
    Effect.tapCause((cause) => Effect.sync(() => driver.restore?.(arn, cause)))
  )
  const attempts = (name: string) =>
    Effect.map(
      history,
      (events) => events.filter(({ EventType, Name }) => EventType === "StepStarted" && Name === name).length
    )
  const runs = (name: string) => driver.runs?.(arn, name) ?? attempts(name)

  const timeline = Effect.gen(function* () {
    return render(`Timeline of ${definition.name} (${yield* driver.status(arn)})`, yield* history)
  })

  const missing = (name: string, all: ReadonlyArray<Protocol.Operation>) => {
    const names = [...new Set(all.map(({ Name }) => `"${Name ?? ""}"`))].join(", ")
    return `There is no operation "${name}" yet. There are: ${names === "" ? "none" : names}.`
  }

  const waitsFor = Effect.map(operations, (all) => {
    const pending = all.filter(isPending).map(described).join(", ")
    return `it waits for ${pending === "" ? "nothing that is on record" : pending}`
  })

  /** How it ended; where nothing will go on by itself, what it waits for. */
  const ended = Effect.raceFirst(
    Effect.exit(end),
    Effect.andThen(
      driver.standstill(),
      Effect.map(waitsFor, (waits) => `it does not end: ${waits}`)
    )
  )

  /** Waits for something, and dies with the timeline instead of hanging, where one can know. */
  const orStuck = <A, E, R>(effect: Effect.Effect<A, E, R>, what: string): Effect.Effect<A, E, R> =>
    Effect.suspend(() => {
      const began = real.currentTimeMillisUnsafe()
      const tell = Effect.gen(function* () {
        // (not the console of the test, which may keep what it is told)
        Context.get(Context.empty(), Console.Console).error(
          `${what}, and ${yield* waitsFor}:\n\n${clipped(yield* timeline)}`
        )
      })
      const stuck = Effect.gen(function* () {
        yield* driver.standstill(PATIENCE_MILLIS)
        const message = `${what}: nothing goes on any more, and ${yield* waitsFor}. Answer it, or declare an answer.`
        return yield* Effect.die(new Error(`${message}\n\n${yield* timeline}`))
      })
      return Effect.onInterrupt(Effect.raceFirst(effect, stuck), () =>
        real.currentTimeMillisUnsafe() - began < TOO_LONG_MILLIS ? Effect.void : tell
      )
    })
  const result = orStuck(end, `${definition.name} does not end`)

  const differences = (expected: Expected<unknown, unknown>) =>
    Effect.gen(function* () {
      const found: Array<readonly [what: string, expected: string, got: string]> = []
      let cause: unknown
      const compare = (what: string, expected: unknown, got: unknown) => {
        if (!isEqual(expected, got)) found.push([what, show(expected), show(got)])
      }
      if ("result" in expected || "error" in expected) {
        const exit = yield* ended
        if (typeof exit !== "string" && Exit.isFailure(exit)) cause = Cause.squash(exit.cause)
        if (typeof exit === "string") {
          if ("result" in expected) found.push(["result", show(expected.result), exit])
          else found.push(["error", show(expected.error), exit])
        } else if ("result" in expected) {
          if (!Exit.isSuccess(exit) || !isEqual(exit.value, expected.result)) {
            found.push(["result", show(expected.result), `${Exit.isSuccess(exit) ? "" : "failure "}${showExit(exit)}`])
          }
        } else if (Exit.isSuccess(exit) || !isEqual(cause, expected.error)) {
          found.push(["error", show(expected.error), `${Exit.isSuccess(exit) ? "result " : ""}${showExit(exit)}`])
        }
      }
      if (expected.status !== undefined) compare("status", expected.status, yield* driver.status(arn))
      if (expected.invocations !== undefined) compare("invocations", expected.invocations, yield* invocations)
      const all = yield* operations
      for (const [name, status] of Object.entries(expected.operations ?? {})) {
        const operation = all.find(({ Name }) => Name === name)
        if (operation === undefined) found.push([`operation "${name}"`, status, missing(name, all)])
        else compare(`operation "${name}"`, status, operation.Status)
      }
      for (const [name, count] of Object.entries(expected.attempts ?? {})) {
        compare(`attempts of "${name}"`, count, yield* attempts(name))
      }
      for (const [name, count] of Object.entries(expected.runs ?? {})) {
        compare(`runs of "${name}"`, count, yield* runs(name))
      }
      return { found, cause }
    })

  const expect = (expected: Expected<unknown, unknown>): Effect.Effect<void, never, any> =>
    Effect.gen(function* () {
      const { cause, found } = yield* differences(expected)
      if (found.length === 0) return
      const message = [
        `${definition.name} is not as expected:`,
        ...found.map(([what, expected, got]) => `  ${what}: expected ${expected}, got ${got}`),
        "",
        yield* timeline
      ].join("\n")
      const pick = (index: 1 | 2) => Object.fromEntries(found.map((row) => [row[0], row[index]]))
      const error = new assert.AssertionError({ message, expected: pick(1), actual: pick(2), operator: "expect" })
      if (cause !== undefined) error.cause = cause
      return yield* Effect.die(error)
    })

  const explain = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.catchDefect(effect, (defect) =>
      Effect.flatMap(timeline, (text) =>
        Effect.sync(() => {
          if (defect instanceof Error && !defect.message.includes(text)) defect.message += `\n\n${text}`
          throw defect
        })
      )
    )

  return {
    arn,
    result,
    status: driver.status(arn),
    operations,
    operation: (name) =>
      Effect.flatMap(operations, (all) => {
        const found = all.find(({ Name }) => Name === name)
        return found === undefined
          ? Effect.flatMap(timeline, (text) => Effect.die(new Error(`${missing(name, all)}\n\n${text}`)))
          : Effect.succeed(found)
      }),
    callback: (name, options = {}) =>
      Effect.map(
        explain(orStuck(driver.callback(arn, name), `There is no callback "${name}"`)),
        ({ callbackId }): TestCallback<any, any, any> => {
          const what = `callback "${name}"`
          const send = (effect: Effect.Effect<void>) =>
            explain(
              Effect.catchDefect(effect, (defect) =>
                Effect.die(
                  new Error(
                    `The ${what} cannot be answered (any more): ${defect instanceof Error ? defect.message : String(defect)}. ` +
                      "It is answered once, before it times out and before the execution ends."
                  )
                )
              )
            )
          const answer = (effect: Effect.Effect<answers.Written, never, any>) =>
            Effect.flatMap(effect, (written) => send(driver.answer(callbackId, written)))
          return {
            callbackId,
            succeed: (value) => answer(answers.write(what, options, Effect.succeed(value))),
            fail: (error) => answer(answers.write(what, options, Effect.fail(error))),
            heartbeat: send(driver.heartbeat(callbackId))
          }
        }
      ),
    attempts,
    runs,
    stop: (error = {}) => driver.stop(arn, error),
    history,
    timeline: Effect.map(history, (events) => events.map(History.describe).join("\n")),
    invocations,
    expect,
    explain
  }
}

/** The typed form of what `make` gives. */
export type Of<SA extends Schema.Constraint, SE extends Schema.Constraint> = TestExecution<
  SA["Type"],
  SE["Type"],
  CodecServices<SA> | CodecServices<SE>
>
