/**
 * What AWS's requirements in `.conformance` do not tell of the operations that others complete, and of polling: the
 * requirements whose YAML is not there (what they ask is our reading of the suites), and the groups that AWS's
 * matcher cannot tell apart.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Engine } from "effect-durable-lambda/engine"
import * as Effect from "effect/Effect"
import { handlers as callback } from "./handlers/callback.ts"
import { handlers as invoke } from "./handlers/invoke.ts"
import { handlers as waitForCallback, submitted } from "./handlers/waitForCallback.ts"
import { handlers as waitForCondition } from "./handlers/waitForCondition.ts"
import * as kit from "./kit.ts"
import { events, find, parentOf } from "./kit.ts"

kit.serve()

const handlers = { ...callback, ...invoke, ...waitForCondition, ...waitForCallback }
const run = (id: keyof typeof handlers, input: unknown = null, outside?: kit.Outside) =>
  kit.run(id, handlers[id], input, outside)

const succeeds =
  (name: string, text?: string, invocations?: number): kit.Outside =>
  (execution) =>
    Effect.flatMap(kit.callbackId(execution, name, invocations), (id) => execution.engine.succeedCallback(id, text))
const fails =
  (name: string): kit.Outside =>
  (execution) =>
    Effect.flatMap(kit.callbackId(execution, name), (id) =>
      execution.engine.failCallback(id, { ErrorType: "RejectedError", ErrorMessage: "not approved" })
    )

/** The execution's error, in one line. */
const errorOf = ({ Error: error }: Engine.Description) => `${error?.ErrorType}: ${error?.ErrorMessage}`

// ---- callbacks -------------------------------------------------------------------------------------------------------

describe("requirements that are not in the folder: callback", () => {
  it.effect("4-3: nobody answers in time: Callback.Timeout on the wire, and the execution fails with it", () =>
    Effect.gen(function* () {
      const { description, history, invocations } = yield* run("4-3", "approval")
      assert.strictEqual(description.Status, "FAILED")
      assert.strictEqual(errorOf(description), 'CallbackTimedOut: Callback "approval" got no answer in time.')
      assert.strictEqual(find(history, "CallbackStarted").CallbackStartedDetails?.Timeout, 5)
      assert.isUndefined(find(history, "CallbackStarted").CallbackStartedDetails?.HeartbeatTimeout)
      assert.deepStrictEqual(find(history, "CallbackTimedOut").CallbackTimedOutDetails?.Error.Payload, {
        ErrorType: "Callback.Timeout",
        ErrorMessage: "Callback timed out"
      })
      assert.strictEqual(invocations, 2)
    })
  )

  it.effect("4-6: an external failure: its message is the execution's", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("4-6", "approval", fails("approval"))
      assert.strictEqual(description.Status, "FAILED")
      assert.strictEqual(description.Error?.ErrorMessage, "not approved")
      assert.deepStrictEqual(events(history), [
        "CallbackStarted approval",
        "InvocationCompleted",
        "CallbackFailed approval",
        "InvocationCompleted"
      ])
    })
  )

  it.effect("4-9: answered during a wait: the invocation in between answers PENDING without a checkpoint", () =>
    Effect.gen(function* () {
      const { description, history, invocations } = yield* run("4-9", "approval", (execution) =>
        // time is skipped only while nobody holds it, so the answer comes during the wait
        execution.engine.hold(succeeds("approval", '"early"')(execution))
      )
      assert.strictEqual(description.Result, '"early"')
      assert.strictEqual(invocations, 3)
      assert.deepStrictEqual(events(history), [
        "CallbackStarted approval",
        "WaitStarted meanwhile",
        "InvocationCompleted",
        "CallbackSucceeded approval",
        "InvocationCompleted",
        "WaitSucceeded meanwhile",
        "InvocationCompleted"
      ])
    })
  )

  it.effect("4-12: an answer, a wait, and the same answer on replay", () =>
    Effect.gen(function* () {
      const { description, history, invocations } = yield* run("4-12", "approval", succeeds("approval", '"yes"'))
      assert.strictEqual(description.Result, '"yes"')
      assert.strictEqual(invocations, 3)
      assert.deepStrictEqual(events(history), [
        "CallbackStarted approval",
        "InvocationCompleted",
        "CallbackSucceeded approval",
        "WaitStarted pause",
        "InvocationCompleted",
        "WaitSucceeded pause",
        "InvocationCompleted"
      ])
    })
  )

  it.effect("4-15: a codec of the user's own reads the payload", () =>
    Effect.gen(function* () {
      const { description } = yield* run("4-15", "approval", succeeds("approval", '{"approved": true, "by": "Ada"}'))
      assert.strictEqual(description.Result, '{"approved":true,"by":"Ada"}')
    })
  )

  it.effect("4-18: two open callbacks, awaited in the order of their creation", () =>
    Effect.gen(function* () {
      const { description, invocations } = yield* run("4-18", ["a", "b"], (execution) =>
        Effect.andThen(succeeds("a", '"1"')(execution), succeeds("b", '"2"', 2)(execution))
      )
      assert.strictEqual(description.Result, '["1","2"]')
      assert.strictEqual(invocations, 3)
    })
  )
})

// ---- invokes ---------------------------------------------------------------------------------------------------------

describe("requirements that are not in the folder: invoke", () => {
  it.effect("5-3: a nested object, as plain JSON in both directions", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("5-3")
      const text = '{"id":1,"tags":["a","b"],"inner":{"flag":true,"nothing":null}}'
      const started = find(history, "ChainedInvokeStarted").ChainedInvokeStartedDetails
      assert.strictEqual(started?.Input?.Payload, text)
      assert.strictEqual(find(history, "ChainedInvokeSucceeded").ChainedInvokeSucceededDetails?.Result?.Payload, text)
      assert.strictEqual(description.Result, text)
    })
  )

  it.effect("5-6: the target's error is caught, as its class", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("5-6")
      assert.strictEqual(description.Result, '"recovered from: the target always fails"')
      const error = find(history, "ChainedInvokeFailed").ChainedInvokeFailedDetails?.Error?.Payload
      assert.strictEqual(error?.ErrorType, "TargetError")
    })
  )

  it.effect("5-9: a finished invoke is not repeated when a wait behind it causes a replay", () =>
    Effect.gen(function* () {
      const { description, history, invocations } = yield* run("5-9")
      assert.strictEqual(description.Result, '"Hello, Ada!"')
      assert.strictEqual(invocations, 3)
      assert.deepStrictEqual(events(history), [
        "ChainedInvokeStarted greet",
        "InvocationCompleted",
        "ChainedInvokeSucceeded greet",
        "WaitStarted pause",
        "InvocationCompleted",
        "WaitSucceeded pause",
        "InvocationCompleted"
      ])
    })
  )

  it.effect("5-12: a step works with the result of an invoke", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("5-12")
      assert.strictEqual(description.Result, '"HELLO, ADA!"')
      assert.deepStrictEqual(events(history), [
        "ChainedInvokeStarted greet",
        "InvocationCompleted",
        "ChainedInvokeSucceeded greet",
        "StepStarted shout",
        "StepSucceeded shout",
        "InvocationCompleted"
      ])
    })
  )

  it.effect("5-15: the payload's codec is the caller's own: what it writes is what the target gets", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("5-15", "hello")
      const started = find(history, "ChainedInvokeStarted").ChainedInvokeStartedDetails
      assert.strictEqual(started?.Input?.Payload, '"HELLO"')
      assert.strictEqual(description.Result, '"HELLO"')
    })
  )
})

// ---- conditions ------------------------------------------------------------------------------------------------------

/** Name and subtype of the events of polls. */
const polls = (history: kit.Ran["history"]) =>
  history.flatMap(({ EventType, Name, SubType }) => (SubType === "WaitForCondition" ? [`${EventType} ${Name}`] : []))

describe("requirements that are not in the folder: wait_for_condition", () => {
  it.effect("6-3: the name is on every event", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("6-3", 2)
      assert.strictEqual(description.Result, "2")
      assert.deepStrictEqual(polls(history), [
        "StepStarted custom_condition_name",
        "StepSucceeded custom_condition_name",
        "StepStarted custom_condition_name",
        "StepSucceeded custom_condition_name"
      ])
    })
  )

  it.effect("6-6: the third of three checks ends in FAIL", () =>
    Effect.gen(function* () {
      const { description, history, invocations } = yield* run("6-6")
      assert.strictEqual(
        errorOf(description),
        'ConditionExhausted: Condition "never" was not met in 3 checks, and its schedule has ended.'
      )
      assert.strictEqual(invocations, 3)
      assert.deepStrictEqual(polls(history), [
        "StepStarted never",
        "StepSucceeded never",
        "StepStarted never",
        "StepSucceeded never",
        "StepStarted never",
        "StepFailed never"
      ])
    })
  )

  it.effect("6-9: an object is the state, in every poll's payload", () =>
    Effect.gen(function* () {
      const { history } = yield* run("6-9")
      assert.deepStrictEqual(
        history.flatMap((event) => event.StepSucceededDetails?.Result.Payload ?? []),
        ['{"id":"j-1","polls":1,"status":"running"}', '{"id":"j-1","polls":2,"status":"done"}']
      )
    })
  )

  it.effect("6-12: in a child context, which is the parent of every poll", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("6-12", 2)
      assert.strictEqual(description.Result, "2")
      for (const event of history.filter(({ SubType }) => SubType === "WaitForCondition")) {
        assert.strictEqual(parentOf(history, event), "child")
      }
    })
  )

  it.effect("6-11: the payload of every poll is the codec's text", () =>
    Effect.gen(function* () {
      const { history } = yield* run("6-11")
      assert.deepStrictEqual(
        history.flatMap((event) => event.StepSucceededDetails?.Result.Payload ?? []),
        ["<x>", "<xx>"]
      )
    })
  )
})

// ---- waitForCallback -------------------------------------------------------------------------------------------------

describe("requirements that are not in the folder: wait_for_callback", () => {
  it.effect("7-3: the submitter gets the id of the very callback", () =>
    Effect.gen(function* () {
      submitted.length = 0
      const { history } = yield* run("7-3", "approval", succeeds("approval", '"ok"'))
      assert.deepStrictEqual(submitted, [find(history, "CallbackStarted").CallbackStartedDetails?.CallbackId])
      assert.isUndefined(find(history, "StepSucceeded").StepSucceededDetails?.Result.Payload)
    })
  )

  it.effect("7-6: a submitter that fails once is retried", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("7-6", "approval", succeeds("approval", '"ok"', 2))
      assert.strictEqual(description.Result, '"ok"')
      assert.deepStrictEqual(events(history), [
        "ContextStarted approval",
        "CallbackStarted approval",
        "StepStarted approval",
        "StepFailed approval",
        "InvocationCompleted",
        "StepStarted approval",
        "StepSucceeded approval",
        "InvocationCompleted",
        "CallbackSucceeded approval",
        "ContextSucceeded approval",
        "InvocationCompleted"
      ])
    })
  )

  it.effect("7-9: no heartbeat comes in time", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("7-9", "approval")
      assert.strictEqual(errorOf(description), 'CallbackTimedOut: Callback "approval" got no heartbeat in time.')
      assert.strictEqual(
        find(history, "ContextFailed").ContextFailedDetails?.Error.Payload?.ErrorType,
        "CallbackTimedOut"
      )
    })
  )

  it.effect("7-12: the failure that the outside reports is caught", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("7-12", "approval", fails("approval"))
      assert.strictEqual(description.Result, '"RejectedError: not approved"')
      assert.strictEqual(
        find(history, "ContextFailed").ContextFailedDetails?.Error.Payload?.ErrorMessage,
        "not approved"
      )
    })
  )

  it.effect("7-15: the outside sends nothing: no value, and no failure", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("7-15", "approval", succeeds("approval"))
      assert.strictEqual(description.Status, "SUCCEEDED")
      assert.isUndefined(find(history, "ContextSucceeded").ContextSucceededDetails?.Result.Payload)
    })
  )
})

// ---- groups ----------------------------------------------------------------------------------------------------------

describe("groups that AWS's matcher cannot tell apart: outside", () => {
  it.effect("4-7 and 4-8: the failure, and the timeout", () =>
    Effect.gen(function* () {
      const failed = yield* run("4-7", "approval", fails("approval"))
      assert.strictEqual(errorOf(failed.description), "CallbackFailed: not approved")
      assert.isUndefined(find(failed.history, "CallbackStarted").CallbackStartedDetails?.Timeout)
      const timedOut = yield* run("4-8", "approval")
      assert.strictEqual(timedOut.description.Error?.ErrorType, "CallbackTimedOut")
      assert.strictEqual(find(timedOut.history, "CallbackStarted").CallbackStartedDetails?.Timeout, 5)
      // the step between ran once in both, in the first invocation
      for (const { history } of [failed, timedOut]) {
        assert.deepStrictEqual(events(history).slice(0, 4), [
          "CallbackStarted approval",
          "StepStarted between",
          "StepSucceeded between",
          "InvocationCompleted"
        ])
      }
    })
  )

  it.effect("4-9 and 4-10: success and failure during a wait; either is raised only when the wait is over", () =>
    Effect.gen(function* () {
      const failed = yield* run("4-10", "approval", (execution) => execution.engine.hold(fails("approval")(execution)))
      assert.strictEqual(errorOf(failed.description), "CallbackFailed: not approved")
      assert.deepStrictEqual(events(failed.history), [
        "CallbackStarted approval",
        "WaitStarted meanwhile",
        "InvocationCompleted",
        "CallbackFailed approval",
        "InvocationCompleted",
        "WaitSucceeded meanwhile",
        "InvocationCompleted"
      ])
    })
  )

  it.effect("4-12, 4-13 and 4-14: what was caught differs, and is the same after the wait", () =>
    Effect.gen(function* () {
      const failed = yield* run("4-13", "approval", fails("approval"))
      assert.strictEqual(failed.description.Result, '"caught: not approved"')
      const timedOut = yield* run("4-14", "approval")
      assert.strictEqual(timedOut.description.Result, '"caught: Callback \\"approval\\" got no answer in time."')
      for (const { invocations } of [failed, timedOut]) assert.strictEqual(invocations, 3)
    })
  )

  it.effect("4-18 and 4-19: whichever is answered first, the workflow goes on only with the one it awaits", () =>
    Effect.gen(function* () {
      const first = yield* run("4-18", ["a", "b"], (execution) =>
        Effect.andThen(succeeds("b", '"2"')(execution), succeeds("a", '"1"', 2)(execution))
      )
      const second = yield* run("4-19", ["a", "b"], (execution) =>
        Effect.andThen(succeeds("a", '"1"')(execution), succeeds("b", '"2"', 2)(execution))
      )
      for (const { description, invocations } of [first, second]) {
        assert.strictEqual(description.Result, '["1","2"]')
        assert.strictEqual(invocations, 3)
      }
    })
  )

  it.effect("5-3 and 5-4: an object and null, as payload and as result", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("5-4")
      assert.strictEqual(find(history, "ChainedInvokeStarted").ChainedInvokeStartedDetails?.Input?.Payload, "null")
      assert.strictEqual(description.Result, "null")
    })
  )

  it.effect("5-15 and 5-16: the codec of the payload, and that of the result", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("5-16", "hello")
      assert.strictEqual(find(history, "ChainedInvokeStarted").ChainedInvokeStartedDetails?.Input?.Payload, '"hello"')
      // the raw text of the result, with its quotes, was what the codec read
      assert.strictEqual(description.Result, '"\\"HELLO\\""')
    })
  )

  it.effect("7-4 and 7-5: the failure, and the timeout", () =>
    Effect.gen(function* () {
      const failed = yield* run("7-4", "approval", fails("approval"))
      assert.strictEqual(errorOf(failed.description), "CallbackFailed: not approved")
      const timedOut = yield* run("7-5", "approval")
      assert.strictEqual(timedOut.description.Error?.ErrorType, "CallbackTimedOut")
      assert.strictEqual(find(timedOut.history, "CallbackStarted").CallbackStartedDetails?.Timeout, 3)
    })
  )

  it.effect("7-1 and 7-15: with a payload its value, without one none", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("7-1", "approval", succeeds("approval", '"yes"'))
      assert.strictEqual(description.Result, '"yes"')
      assert.strictEqual(find(history, "ContextSucceeded").ContextSucceededDetails?.Result.Payload, '"yes"')
    })
  )
})
