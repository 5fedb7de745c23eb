/**
 * What AWS's requirements in `.conformance` do not tell: the requirements whose YAML is not there, and the pairs
 * that AWS's matcher cannot tell apart (it ignores extra events, and never requires a name to be absent or
 * payloads to differ). The handlers run as they are, with a real `LambdaClient`, on the engine.
 */
import { afterAll, assert, beforeAll, describe, it, vi } from "@effect/vitest"
import type { History } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import { handlers as child } from "./handlers/child.ts"
import { handlers as plugin } from "./handlers/plugin.ts"
import { handlers as step } from "./handlers/step.ts"
import { handlers as wait } from "./handlers/wait.ts"
import * as kit from "./kit.ts"
import { delays, events, find, parentOf } from "./kit.ts"

const handlers = { ...step, ...wait, ...child, ...plugin }
type Id = keyof typeof handlers

kit.serve()

const run = (id: Id, input: unknown = null) => kit.run(id, handlers[id], input)

// ---- steps -----------------------------------------------------------------------------------------------------

describe("requirements that are not in the folder: step", () => {
  it.effect("1-3: steps in sequence, each with the result of the one before", () =>
    Effect.gen(function* () {
      const { description, history, invocations } = yield* run("1-3")
      assert.strictEqual(description.Result, "[1,2,3]")
      assert.strictEqual(invocations, 1)
      assert.deepStrictEqual(events(history), [
        "StepStarted first",
        "StepSucceeded first",
        "StepStarted second",
        "StepSucceeded second",
        "StepStarted third",
        "StepSucceeded third",
        "InvocationCompleted"
      ])
      assert.strictEqual(new Set(history.flatMap(({ Id }) => Id ?? [])).size, 4) // with the execution's own
    })
  )

  it.effect("1-6: custom serdes: the raw text on the wire, and what it decodes to in the workflow", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("1-6", "hello world")
      assert.strictEqual(find(history, "StepSucceeded").StepSucceededDetails?.Result.Payload, "HELLO WORLD")
      assert.strictEqual(description.Result, '"HELLO WORLD"')
    })
  )

  it.effect("1-9: a step before a wait is not run again behind it", () =>
    Effect.gen(function* () {
      const { description, history, invocations } = yield* run("1-9")
      assert.strictEqual(description.Result, '"before after"')
      assert.strictEqual(invocations, 2)
      assert.deepStrictEqual(events(history), [
        "StepStarted before",
        "StepSucceeded before",
        "WaitStarted pause",
        "InvocationCompleted",
        "WaitSucceeded pause",
        "StepStarted after",
        "StepSucceeded after",
        "InvocationCompleted"
      ])
    })
  )

  it.effect("1-12: 4 attempts, 3 delays of 1 second, then the execution fails with the step's error", () =>
    Effect.gen(function* () {
      const { description, history, invocations } = yield* run("1-12")
      assert.strictEqual(description.Status, "FAILED")
      assert.strictEqual(description.Error?.ErrorType, "TransientError")
      assert.strictEqual(invocations, 4)
      assert.deepStrictEqual(delays(history), [1, 1, 1, undefined])
      assert.deepStrictEqual(
        history.flatMap(({ StepFailedDetails: details }) => details?.RetryDetails?.CurrentAttempt ?? []),
        [1, 2, 3, 4]
      )
      assert.strictEqual(history.filter(({ EventType }) => EventType === "StepStarted").length, 4)
    })
  )

  it.effect("1-15: a retryable error type is retried, and its tag is the ErrorType", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("1-15")
      assert.strictEqual(description.Result, '"Operation succeeded"')
      const { Error: error, RetryDetails: retry } = find(history, "StepFailed").StepFailedDetails!
      assert.match(error.Payload?.ErrorType ?? "", /.*TransientError$/)
      assert.deepStrictEqual(retry, { CurrentAttempt: 1, NextAttemptDelaySeconds: 1 })
      assert.strictEqual(find(history, "StepSucceeded").StepSucceededDetails?.RetryDetails.CurrentAttempt, 2)
    })
  )
})

// ---- waits -------------------------------------------------------------------------------------------------------

describe("requirements that are not in the folder: wait", () => {
  it.effect("2-3: two waits, one after the other, three invocations", () =>
    Effect.gen(function* () {
      const { description, history, invocations } = yield* run("2-3")
      assert.strictEqual(description.Status, "SUCCEEDED")
      assert.strictEqual(invocations, 3)
      assert.deepStrictEqual(events(history), [
        "WaitStarted first",
        "InvocationCompleted",
        "WaitSucceeded first",
        "WaitStarted second",
        "InvocationCompleted",
        "WaitSucceeded second",
        "InvocationCompleted"
      ])
      assert.strictEqual(find(history, "WaitStarted", "first").WaitStartedDetails?.Duration, 1)
      assert.strictEqual(find(history, "WaitStarted", "second").WaitStartedDetails?.Duration, 2)
    })
  )
})

// ---- child contexts ----------------------------------------------------------------------------------------------

describe("requirements that are not in the folder: child", () => {
  it.effect("3-3: steps in a context have it as their parent", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("3-3", "hello")
      assert.strictEqual(description.Result, '"hello"')
      assert.deepStrictEqual(events(history), [
        "ContextStarted child",
        "StepStarted first",
        "StepSucceeded first",
        "StepStarted second",
        "StepSucceeded second",
        "ContextSucceeded child",
        "InvocationCompleted"
      ])
      for (const event of history.filter(({ SubType }) => SubType === "Step")) {
        assert.strictEqual(parentOf(history, event), "child")
      }
      assert.isUndefined(find(history, "ContextStarted").ParentId)
      assert.strictEqual(find(history, "ContextSucceeded").ContextSucceededDetails?.Result.Payload, '"hello"')
    })
  )

  it.effect("3-6: nested contexts: each operation below the one it stands in", () =>
    Effect.gen(function* () {
      const { history } = yield* run("3-6", "hello")
      assert.deepStrictEqual(events(history), [
        "ContextStarted outer",
        "ContextStarted inner",
        "StepStarted echo",
        "StepSucceeded echo",
        "ContextSucceeded inner",
        "ContextSucceeded outer",
        "InvocationCompleted"
      ])
      assert.isUndefined(find(history, "ContextStarted", "outer").ParentId)
      assert.strictEqual(parentOf(history, find(history, "ContextStarted", "inner")), "outer")
      assert.strictEqual(parentOf(history, find(history, "ContextSucceeded", "inner")), "outer")
      assert.strictEqual(parentOf(history, find(history, "StepSucceeded", "echo")), "inner")
    })
  )

  it.effect("3-9: a finished context is not run again when a wait behind it causes a replay", () =>
    Effect.gen(function* () {
      const { description, history, invocations } = yield* run("3-9", "hello")
      assert.strictEqual(description.Result, '"hello"')
      assert.strictEqual(invocations, 2)
      assert.deepStrictEqual(events(history), [
        "ContextStarted child",
        "StepStarted echo",
        "StepSucceeded echo",
        "ContextSucceeded child",
        "WaitStarted pause",
        "InvocationCompleted",
        "WaitSucceeded pause",
        "InvocationCompleted"
      ])
    })
  )

  it.effect("3-15: a context that fails without operations: FAIL with type and message", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("3-15")
      assert.strictEqual(description.Status, "FAILED")
      assert.deepStrictEqual(events(history), ["ContextStarted child", "ContextFailed child", "InvocationCompleted"])
      const error = find(history, "ContextFailed").ContextFailedDetails?.Error.Payload
      assert.strictEqual(error?.ErrorType, "ChildError")
      assert.strictEqual(error?.ErrorMessage, "nothing durable has happened")
    })
  )

  it.effect("3-18: contexts in sequence; the same name in each is not the same operation", () =>
    Effect.gen(function* () {
      const { history } = yield* run("3-18", "hello")
      assert.deepStrictEqual(events(history), [
        "ContextStarted first",
        "StepStarted echo",
        "StepSucceeded echo",
        "ContextSucceeded first",
        "ContextStarted second",
        "StepStarted echo",
        "StepSucceeded echo",
        "ContextSucceeded second",
        "InvocationCompleted"
      ])
      const steps = history.filter(({ EventType }) => EventType === "StepStarted")
      assert.strictEqual(new Set(steps.map(({ Id }) => Id)).size, 2)
      assert.deepStrictEqual(
        steps.map((event) => parentOf(history, event)),
        ["first", "second"]
      )
    })
  )
})

// ---- crashes -----------------------------------------------------------------------------------------------------

const crashable = (id: "1-17" | "1-18" | "3-12" | "10-9", input: unknown) => kit.crashable(id, handlers[id], input)

describe("requirements that are not in the folder: crashes", () => {
  const exitError = (event: History.Event) => event.InvocationCompletedDetails?.Error?.Payload?.ErrorType

  it.effect("1-18: at most once with a retry: the interrupted attempt fails, the second one succeeds", () =>
    Effect.gen(function* () {
      const { description, exits, history } = yield* crashable("1-18", null)
      assert.deepStrictEqual(exits, [1])
      assert.strictEqual(description.Result, '"Operation succeeded"')
      assert.deepStrictEqual(events(history), [
        "StepStarted at_most_once_flaky_step",
        "InvocationCompleted",
        "StepFailed at_most_once_flaky_step",
        "InvocationCompleted",
        "StepStarted at_most_once_flaky_step",
        "StepSucceeded at_most_once_flaky_step",
        "InvocationCompleted"
      ])
      assert.strictEqual(exitError(history[2]!), "Runtime.ExitError")
      const { Error: error, RetryDetails: retry } = find(history, "StepFailed").StepFailedDetails!
      assert.strictEqual(error.Payload?.ErrorType, "StepInterrupted")
      assert.deepStrictEqual(retry, { CurrentAttempt: 1, NextAttemptDelaySeconds: 1 })
      assert.strictEqual(find(history, "StepSucceeded").StepSucceededDetails?.RetryDetails.CurrentAttempt, 2)
    })
  )

  it.effect("3-12: at least once: the step runs again and succeeds, without a second START", () =>
    Effect.gen(function* () {
      const { description, exits, history } = yield* crashable("3-12", "hello")
      assert.deepStrictEqual(exits, [1])
      assert.strictEqual(description.Result, '"hello"')
      assert.deepStrictEqual(events(history), [
        "ContextStarted child",
        "StepStarted crash-once",
        "InvocationCompleted",
        "StepSucceeded crash-once",
        "ContextSucceeded child",
        "InvocationCompleted"
      ])
      assert.strictEqual(exitError(history[3]!), "Runtime.ExitError")
      assert.strictEqual(find(history, "StepSucceeded").StepSucceededDetails?.RetryDetails.CurrentAttempt, 1)
    })
  )
})

// ---- pairs -------------------------------------------------------------------------------------------------------

describe("pairs that AWS's matcher cannot tell apart", () => {
  it.effect("1-1 and 1-2: the name that the code gives is on every event of the step, and no other", () =>
    Effect.gen(function* () {
      for (const [id, name] of [
        ["1-1", "greet"],
        ["1-2", "custom_step_name"]
      ] as const) {
        const { history } = yield* run(id, "World")
        assert.deepStrictEqual(
          history.filter(({ SubType }) => SubType === "Step").map(({ Name }) => Name),
          [name, name]
        )
      }
    })
  )

  it.effect("1-5 and 1-6: no value is no payload at all, a text is the very text", () =>
    Effect.gen(function* () {
      const none = yield* run("1-5")
      assert.isUndefined(find(none.history, "StepSucceeded").StepSucceededDetails?.Result.Payload)
      assert.include([undefined, "null"], none.description.Result)
      const text = yield* run("1-6", "hello world")
      assert.strictEqual(find(text.history, "StepSucceeded").StepSucceededDetails?.Result.Payload, "HELLO WORLD")
    })
  )

  it.effect(
    "1-13 and 1-14: the default has jitter and stays within 5 and 10 s, the custom one is exactly 2 and 6 s",
    () =>
      Effect.gen(function* () {
        const defaults = yield* Effect.forEach(
          Array.from({ length: 12 }),
          () => Effect.map(run("1-13"), ({ history }) => delays(history)),
          { concurrency: 6 }
        )
        for (const [first = 0, second = 0, ...rest] of defaults) {
          assert.isTrue(Number.isInteger(first) && first >= 1 && first <= 5, `${first}`)
          assert.isTrue(Number.isInteger(second) && second >= 1 && second <= 10, `${second}`)
          assert.deepStrictEqual(rest, [])
        }
        assert.isAbove(new Set(defaults.map(([first]) => first)).size, 1)
        assert.isAbove(new Set(defaults.map(([, second]) => second)).size, 1)
        assert.deepStrictEqual(delays((yield* run("1-14")).history), [2, 6])
      })
  )

  it.effect("2-1 and 2-2: the name of the wait", () =>
    Effect.gen(function* () {
      for (const [id, name] of [
        ["2-1", "pause"],
        ["2-2", "custom_wait_name"]
      ] as const) {
        const { history } = yield* run(id)
        assert.deepStrictEqual(events(history), [
          `WaitStarted ${name}`,
          "InvocationCompleted",
          `WaitSucceeded ${name}`,
          "InvocationCompleted"
        ])
      }
    })
  )
})

// ---- plugins -----------------------------------------------------------------------------------------------------

/** What plugins have written, by execution. */
const written: Array<Record<string, unknown>> = []

beforeAll(() => {
  const { log } = console
  vi.spyOn(console, "log").mockImplementation((...args) => {
    const record = typeof args[0] === "string" && args[0].startsWith("{") ? JSON.parse(args[0]) : undefined
    if (record?.durableExecutionArn === undefined) log(...args)
    else written.push(record)
  })
})

afterAll(() => {
  vi.restoreAllMocks()
})

/** The records of an execution, without what all of them carry. */
const recordsOf = (arn: string) =>
  written.flatMap(({ durableExecutionArn, plugin: _, ...record }) => (durableExecutionArn === arn ? [record] : []))

describe("requirements that are not in the folder: plugins", () => {
  it.effect("10-3: attempts, with number and outcome", () =>
    Effect.gen(function* () {
      const { arn, history } = yield* run("10-3")
      const op = find(history, "StepStarted").Id
      assert.deepStrictEqual(recordsOf(arn), [
        { hook: "attempt-start", op, attempt: 1 },
        { hook: "attempt-end", op, attempt: 1, outcome: "FAILED" },
        { hook: "attempt-start", op, attempt: 2 },
        { hook: "attempt-end", op, attempt: 2, outcome: "SUCCEEDED" }
      ])
    })
  )

  it.effect("10-6: the second invocation is not the first", () =>
    Effect.gen(function* () {
      const { arn } = yield* run("10-6")
      assert.deepStrictEqual(recordsOf(arn), [
        { hook: "invocation-start", first: true },
        { hook: "invocation-end", first: true, terminal: false, status: "PENDING" },
        { hook: "invocation-start", first: false },
        { hook: "invocation-end", first: false, terminal: true, status: "SUCCEEDED" }
      ])
    })
  )

  it.effect(
    "10-9: a crash: the invocation has no end, the operation's start is a replay, its attempt begins again",
    () =>
      Effect.gen(function* () {
        const { arn, description, history } = yield* crashable("10-9", null)
        assert.strictEqual(description.Result, '"recovered"')
        const op = find(history, "StepStarted").Id
        // this process lives on, unlike Lambda's: what is left of the crashed invocation still tells its end
        const records = recordsOf(arn).filter(({ status }) => status !== "RETRYING")
        assert.deepStrictEqual(records, [
          { hook: "invocation-start", first: true },
          { hook: "operation-start", op, replay: false },
          { hook: "attempt-start", op, attempt: 1 },
          { hook: "invocation-start", first: false },
          { hook: "operation-start", op, replay: true },
          { hook: "attempt-start", op, attempt: 1 },
          { hook: "operation-end", op, status: "SUCCEEDED" },
          { hook: "invocation-end", first: false, terminal: true, status: "SUCCEEDED" }
        ])
      })
  )

  it.effect("10-12: bodies of nested contexts, each with its parent", () =>
    Effect.gen(function* () {
      const { arn, history } = yield* run("10-12", "Ada")
      const outer = find(history, "ContextStarted", "outer").Id
      const inner = find(history, "ContextStarted", "inner").Id
      assert.deepStrictEqual(recordsOf(arn), [
        { hook: "fn-start", op: outer, parent: "NONE" },
        { hook: "fn-start", op: inner, parent: outer },
        { hook: "fn-end", op: inner, parent: outer, outcome: "SUCCEEDED" },
        { hook: "fn-end", op: outer, parent: "NONE", outcome: "SUCCEEDED" }
      ])
    })
  )

  it.effect("10-15: exhausted retries: each attempt has failed, the operation once", () =>
    Effect.gen(function* () {
      const { arn, history } = yield* run("10-15")
      const op = find(history, "StepStarted").Id
      assert.deepStrictEqual(recordsOf(arn), [
        { hook: "attempt-end", op, attempt: 1, outcome: "FAILED" },
        { hook: "attempt-end", op, attempt: 2, outcome: "FAILED" },
        { hook: "operation-end", op, status: "FAILED" }
      ])
    })
  )

  it.effect("10-18: branches side by side, one of which suspends: each end once, terminal ones not again", () =>
    Effect.gen(function* () {
      const { arn } = yield* run("10-18")
      const lines = recordsOf(arn).map(({ hook, name, replay, status }) => `${name} ${hook} ${replay ?? status}`)
      assert.deepStrictEqual(lines.toSorted(), [
        "both operation-end SUCCEEDED",
        "both operation-start false",
        "both operation-start true",
        "pause operation-end SUCCEEDED",
        "pause operation-start false",
        "quick operation-end SUCCEEDED",
        "quick operation-start false",
        "waits operation-end SUCCEEDED",
        "waits operation-start false",
        "waits operation-start true",
        "works operation-end SUCCEEDED",
        "works operation-start false"
      ])
    })
  )

  it.effect("10-21: a retried attempt has both timestamps and its error", () =>
    Effect.gen(function* () {
      const { arn } = yield* run("10-21")
      const ends = recordsOf(arn).filter(({ hook }) => hook === "attempt-end")
      assert.deepStrictEqual(
        ends.map(({ attempt, error, outcome }) => [attempt, outcome, error]),
        [
          [1, "FAILED", "boom"],
          [2, "SUCCEEDED", undefined]
        ]
      )
      for (const { endTimestamp, startTimestamp } of ends) {
        assert.match(String(startTimestamp), /^\d{4}-/)
        assert.match(String(endTimestamp), /^\d{4}-/)
      }
    })
  )
})
