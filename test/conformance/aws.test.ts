/**
 * The handlers of AWS's SDK for the requirements that are not in the folder: on the engine each has the history that
 * this library's handler has. Those of the folder are run by `npm run conformance`.
 */
import { afterAll, assert, beforeAll, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { handlers as awsBatch } from "./aws/batch.ts"
import { handlers as awsCallback } from "./aws/callback.ts"
import { handlers as awsChild } from "./aws/child.ts"
import { handlers as awsInvoke } from "./aws/invoke.ts"
import { handlers as awsPlugin } from "./aws/plugin.ts"
import { handlers as awsStep } from "./aws/step.ts"
import { handlers as awsWaitForCondition } from "./aws/waitForCondition.ts"
import { handlers as callback } from "./handlers/callback.ts"
import { handlers as child } from "./handlers/child.ts"
import { handlers as invoke } from "./handlers/invoke.ts"
import { handlers as map } from "./handlers/map.ts"
import { handlers as parallel } from "./handlers/parallel.ts"
import { handlers as plugin } from "./handlers/plugin.ts"
import { handlers as step } from "./handlers/step.ts"
import { handlers as wait } from "./handlers/wait.ts"
import { handlers as waitForCallback } from "./handlers/waitForCallback.ts"
import { handlers as waitForCondition } from "./handlers/waitForCondition.ts"
import * as kit from "./kit.ts"

type Targets = Readonly<Record<string, kit.Target>>

const ours = {
  ...step,
  ...wait,
  ...child,
  ...callback,
  ...invoke,
  ...waitForCondition,
  ...waitForCallback,
  ...parallel,
  ...map,
  ...plugin
} as Targets
const aws = {
  ...awsStep,
  ...awsChild,
  ...awsCallback,
  ...awsInvoke,
  ...awsWaitForCondition,
  ...awsBatch,
  ...awsPlugin
} as Targets

kit.serve()

// plugins write their records to stdout
beforeAll(() => void vi.spyOn(console, "log").mockImplementation(() => {}))
afterAll(() => void vi.restoreAllMocks())

// ---- the outside -----------------------------------------------------------------------------------------------------

interface Answer {
  readonly text?: string
  readonly fails?: boolean
}

/** Answers the callbacks in the order of their creation, each when as many invocations have been answered. */
const answers =
  (...list: ReadonlyArray<Answer>): kit.Outside =>
  ({ arn, engine }) =>
    Effect.forEach(
      list,
      ({ fails, text }, i) =>
        Effect.gen(function* () {
          for (;;) {
            const history = yield* engine.history(arn)
            const answered = history.filter(({ EventType }) => EventType === "InvocationCompleted").length
            const created = history.filter(({ EventType }) => EventType === "CallbackStarted")
            const id = created[i]?.CallbackStartedDetails?.CallbackId
            const last = new Map(history.map((event) => [event.Id, event]))
            const retried = [...last.values()].some(
              ({ StepFailedDetails: failed }) => failed?.RetryDetails?.NextAttemptDelaySeconds !== undefined
            )
            if (id !== undefined && answered > i && answered >= attempts(history) && !retried) {
              return yield* fails === true
                ? engine.failCallback(id, { ErrorType: "RejectedError", ErrorMessage: "not approved" })
                : engine.succeedCallback(id, text)
            }
            yield* Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 1)))
          }
        }),
      { discard: true }
    )

/** Attempts of a submitter: each in an invocation of its own. */
const attempts = (history: kit.Ran["history"]) => history.filter(({ EventType }) => EventType === "StepStarted").length

interface Case {
  readonly input?: unknown
  readonly outside?: kit.Outside
  /** What the result is depends on the SDK: AWS's reads no JSON in answers by default, and has other messages. */
  readonly ownResult?: boolean
}

const cases: Readonly<Record<string, Case>> = {
  "1-3": {},
  "1-6": { input: "hello world" },
  "1-9": {},
  "1-12": {},
  "1-15": {},
  "2-3": {},
  "3-3": { input: "hello" },
  "3-6": { input: "hello" },
  "3-9": { input: "hello" },
  "3-15": {},
  "3-18": { input: "hello" },
  "4-3": { input: "approval" },
  "4-6": { input: "approval", outside: answers({ fails: true }) },
  "4-9": {
    input: "approval",
    // time is skipped only while nobody holds it, so the answer comes during the wait
    outside: (execution) => execution.engine.hold(answers({ text: '"early"' })(execution)),
    ownResult: true
  },
  "4-12": { input: "approval", outside: answers({ text: '"yes"' }), ownResult: true },
  "4-15": { input: "approval", outside: answers({ text: '{"approved":true,"by":"Ada"}' }) },
  "4-18": { input: ["a", "b"], outside: answers({ text: '"1"' }, { text: '"2"' }), ownResult: true },
  "5-3": {},
  "5-6": {},
  "5-9": {},
  "5-12": {},
  "5-15": { input: "hello" },
  "6-3": { input: 2 },
  "6-6": {},
  "6-9": {},
  "6-12": { input: 2 },
  "7-3": { input: "approval", outside: answers({ text: '"ok"' }), ownResult: true },
  "7-6": { input: "approval", outside: answers({ text: '"ok"' }), ownResult: true },
  "7-9": { input: "approval" },
  "7-12": { input: "approval", outside: answers({ fails: true }), ownResult: true },
  "7-15": { input: "approval", outside: answers({}) },
  "8-3": {},
  "8-6": {},
  "8-9": {},
  "8-12": {},
  "8-15": {},
  "8-18": {},
  "8-21": {},
  "9-3": {},
  "9-6": {},
  "9-9": {},
  "9-12": {},
  "9-15": {},
  "9-18": {},
  "10-3": {},
  "10-6": {},
  "10-12": { input: "Ada" },
  "10-15": {},
  "10-18": {},
  "10-21": {}
}

const crashes: Readonly<Record<string, unknown>> = { "1-18": null, "3-12": "hello", "10-9": null }

const told = ({ history }: Pick<kit.Ran, "history">) =>
  history.map(({ EventType, SubType }) => `${EventType} ${SubType ?? ""}`.trim())

for (const [id, { input = null, outside, ownResult }] of Object.entries(cases)) {
  it.effect(`${id}: the same history with AWS's SDK`, () =>
    Effect.gen(function* () {
      const one = yield* kit.run(id, ours[id]!, input, outside)
      const other = yield* kit.run(id, aws[id]!, input, outside)
      assert.deepStrictEqual(told(other), told(one))
      assert.strictEqual(other.description.Status, one.description.Status)
      if (ownResult !== true) assert.strictEqual(other.description.Result, one.description.Result)
    })
  )
}

for (const [id, input] of Object.entries(crashes)) {
  it.effect(`${id}: the same history with AWS's SDK, which crashes`, () =>
    Effect.gen(function* () {
      const one = yield* kit.crashable(id, ours[id] as kit.Handler, input)
      const other = yield* kit.crashable(id, aws[id] as kit.Handler, input)
      assert.deepStrictEqual(other.exits, [1])
      assert.deepStrictEqual(told(other), told(one))
      assert.strictEqual(other.description.Status, "SUCCEEDED")
      assert.strictEqual(other.description.Result, one.description.Result)
    })
  )
}
