/**
 * Requirements for OpenTelemetry that are not in the folder: every third of the views, and the long-running one. And
 * those of the long-running suite in the view that the runner does not look at.
 */
import { assert, describe, it } from "@effect/vitest"
import type { DurableTracer } from "effect-durable-lambda"
import * as Effect from "effect/Effect"
import { handlers, inExecutionView } from "./handlers/otel.ts"
import * as kit from "./kit.ts"
import { faultsOf, invokedBy, spansOf, tree } from "./spans.ts"

kit.serve()

/** Answers a callback as soon as the execution has suspended. */
const answer =
  (name: string): kit.Outside =>
  (execution) =>
    Effect.flatMap(kit.callbackId(execution, name), (id) => execution.engine.succeedCallback(id, "complete"))

interface Case {
  readonly title: string
  readonly input?: unknown
  readonly outside?: kit.Outside
  readonly crashes?: boolean
  readonly execution: ReadonlyArray<string>
  readonly invocation: ReadonlyArray<string>
}

/** By name in the handlers' module. Spans as a tree, in the order of their export. */
const cases: Readonly<Record<string, Case>> = {
  "3": {
    title: "a step that is retried",
    execution: [
      "Workflow OK SUCCEEDED",
      "  Invocation OK first PENDING",
      "  otel-retry OK Step SUCCEEDED attempt 2 -> 2",
      "    otel-retry attempt 1 ERROR Step FAILED !OtelError -> 1",
      "    otel-retry attempt 2 OK Step SUCCEEDED -> 2",
      "  Invocation OK SUCCEEDED"
    ],
    invocation: [
      "Workflow OK SUCCEEDED",
      "  Invocation OK first PENDING",
      "    otel-retry UNSET Step PENDING attempt 1 -> Workflow",
      "      otel-retry attempt 1 ERROR Step FAILED !OtelError -> Workflow",
      "  Invocation OK SUCCEEDED",
      "    otel-retry OK Step SUCCEEDED attempt 2 -> Workflow",
      "      otel-retry attempt 2 OK Step SUCCEEDED -> Workflow"
    ]
  },
  "6": {
    title: "parallel branches",
    execution: [
      "Workflow OK SUCCEEDED",
      "  otel-parallel OK Parallel SUCCEEDED -> 1",
      "    otel-parallel-branch-a OK ParallelBranch SUCCEEDED -> 1",
      "      otel-step-a OK Step SUCCEEDED attempt 1 -> 1",
      "        otel-step-a attempt 1 OK Step SUCCEEDED -> 1",
      "    otel-parallel-branch-b OK ParallelBranch SUCCEEDED -> 1",
      "      otel-step-b OK Step SUCCEEDED attempt 1 -> 1",
      "        otel-step-b attempt 1 OK Step SUCCEEDED -> 1",
      "  Invocation OK first SUCCEEDED"
    ],
    invocation: [
      "Workflow OK SUCCEEDED",
      "  Invocation OK first SUCCEEDED",
      "    otel-parallel OK Parallel SUCCEEDED -> Workflow",
      "      otel-parallel-branch-a OK ParallelBranch SUCCEEDED -> Workflow",
      "        otel-step-a OK Step SUCCEEDED attempt 1 -> Workflow",
      "          otel-step-a attempt 1 OK Step SUCCEEDED -> Workflow",
      "      otel-parallel-branch-b OK ParallelBranch SUCCEEDED -> Workflow",
      "        otel-step-b OK Step SUCCEEDED attempt 1 -> Workflow",
      "          otel-step-b attempt 1 OK Step SUCCEEDED -> Workflow"
    ]
  },
  "9": {
    title: "a condition that is met at the second check",
    execution: [
      "Workflow OK SUCCEEDED",
      "  Invocation OK first PENDING",
      "  otel-condition OK WaitForCondition SUCCEEDED attempt 2 -> 2",
      "    otel-condition attempt 1 OK WaitForCondition SUCCEEDED -> 1",
      "    otel-condition attempt 2 OK WaitForCondition SUCCEEDED -> 2",
      "  Invocation OK SUCCEEDED"
    ],
    invocation: [
      "Workflow OK SUCCEEDED",
      "  Invocation OK first PENDING",
      "    otel-condition UNSET WaitForCondition PENDING attempt 1 -> Workflow",
      "      otel-condition attempt 1 OK WaitForCondition SUCCEEDED -> Workflow",
      "  Invocation OK SUCCEEDED",
      "    otel-condition OK WaitForCondition SUCCEEDED attempt 2 -> Workflow",
      "      otel-condition attempt 2 OK WaitForCondition SUCCEEDED -> Workflow"
    ]
  },
  "12": {
    title: "an invoke that fails",
    execution: [
      "Workflow ERROR FAILED !OtelError",
      "  Invocation ERROR first FAILED !OtelError",
      "Workflow ERROR FAILED !OtelError",
      "  Invocation OK first PENDING",
      "  otel-failed-invoke ERROR ChainedInvoke FAILED !OtelError -> 3",
      "  Invocation ERROR FAILED !OtelError"
    ],
    invocation: [
      "Workflow ERROR FAILED !OtelError",
      "  Invocation ERROR first FAILED !OtelError",
      "Workflow ERROR FAILED !OtelError",
      "  Invocation OK first PENDING",
      "    otel-failed-invoke UNSET ChainedInvoke STARTED -> Workflow",
      "  Invocation ERROR FAILED !OtelError",
      "    otel-failed-invoke ERROR ChainedInvoke FAILED !OtelError -> Workflow"
    ]
  },
  "15": {
    title: "a step in which the process dies",
    crashes: true,
    execution: [
      "Workflow OK SUCCEEDED",
      "  otel-before-crash OK Step SUCCEEDED attempt 1 -> undefined",
      "    otel-before-crash attempt 1 OK Step SUCCEEDED -> undefined",
      "  otel-interrupted OK Step SUCCEEDED attempt 1 -> 1",
      "    otel-interrupted attempt 1 OK Step SUCCEEDED -> 1",
      "  Invocation OK SUCCEEDED"
    ],
    invocation: [
      "otel-before-crash OK Step SUCCEEDED attempt 1 -> Workflow",
      "  otel-before-crash attempt 1 OK Step SUCCEEDED -> Workflow",
      "Workflow OK SUCCEEDED",
      "  Invocation OK SUCCEEDED",
      "    otel-interrupted OK Step SUCCEEDED attempt 1 -> Workflow",
      "      otel-interrupted attempt 1 OK Step SUCCEEDED -> Workflow"
    ]
  },
  "18": {
    title: "a callback that times out",
    execution: [
      "Workflow ERROR FAILED !CallbackTimedOut",
      "  Invocation OK first PENDING",
      "  otel-callback-timeout ERROR WaitForCallback FAILED !CallbackTimedOut -> 2",
      "    otel-callback-timeout-submitter OK Step SUCCEEDED attempt 1 -> 1",
      "      otel-callback-timeout-submitter attempt 1 OK Step SUCCEEDED -> 1",
      "    otel-callback-timeout-callback ERROR Callback TIMED_OUT !Callback.Timeout -> 2",
      "  Invocation ERROR FAILED !CallbackTimedOut"
    ],
    invocation: [
      "Workflow ERROR FAILED !CallbackTimedOut",
      "  Invocation OK first PENDING",
      "    otel-callback-timeout UNSET WaitForCallback STARTED -> Workflow",
      "      otel-callback-timeout-submitter OK Step SUCCEEDED attempt 1 -> Workflow",
      "        otel-callback-timeout-submitter attempt 1 OK Step SUCCEEDED -> Workflow",
      "      otel-callback-timeout-callback UNSET Callback STARTED -> Workflow",
      "  Invocation ERROR FAILED !CallbackTimedOut",
      "    otel-callback-timeout ERROR WaitForCallback FAILED !CallbackTimedOut -> Workflow",
      "      otel-callback-timeout-callback ERROR Callback TIMED_OUT !Callback.Timeout -> Workflow"
    ]
  }
}

const longRunning: Readonly<Record<string, Case>> = {
  "1": {
    title: "a long wait",
    execution: [
      "Workflow OK SUCCEEDED",
      "  Invocation OK first PENDING",
      "  otel-long-wait OK Wait SUCCEEDED -> 2",
      "  otel-after-long-wait OK Step SUCCEEDED attempt 1 -> 2",
      "    otel-after-long-wait attempt 1 OK Step SUCCEEDED -> 2",
      "  Invocation OK SUCCEEDED"
    ],
    invocation: [
      "Workflow OK SUCCEEDED",
      "  Invocation OK first PENDING",
      "    otel-long-wait UNSET Wait STARTED -> Workflow",
      "  Invocation OK SUCCEEDED",
      "    otel-long-wait OK Wait SUCCEEDED -> Workflow",
      "    otel-after-long-wait OK Step SUCCEEDED attempt 1 -> Workflow",
      "      otel-after-long-wait attempt 1 OK Step SUCCEEDED -> Workflow"
    ]
  },
  "2": {
    title: "a long back-off",
    execution: [
      "Workflow OK SUCCEEDED",
      "  Invocation OK first PENDING",
      "  otel-long-retry OK Step SUCCEEDED attempt 2 -> 2",
      "    otel-long-retry attempt 1 ERROR Step FAILED !OtelError -> 1",
      "    otel-long-retry attempt 2 OK Step SUCCEEDED -> 2",
      "  Invocation OK SUCCEEDED"
    ],
    invocation: [
      "Workflow OK SUCCEEDED",
      "  Invocation OK first PENDING",
      "    otel-long-retry UNSET Step PENDING attempt 1 -> Workflow",
      "      otel-long-retry attempt 1 ERROR Step FAILED !OtelError -> Workflow",
      "  Invocation OK SUCCEEDED",
      "    otel-long-retry OK Step SUCCEEDED attempt 2 -> Workflow",
      "      otel-long-retry attempt 2 OK Step SUCCEEDED -> Workflow"
    ]
  },
  "3": {
    title: "a long callback",
    outside: answer("otel-long-callback"),
    execution: [
      "Workflow OK SUCCEEDED",
      "  Invocation OK first PENDING",
      "  otel-long-callback OK WaitForCallback SUCCEEDED -> 2",
      "    otel-long-callback-submitter OK Step SUCCEEDED attempt 1 -> 1",
      "      otel-long-callback-submitter attempt 1 OK Step SUCCEEDED -> 1",
      "    otel-long-callback-callback OK Callback SUCCEEDED -> 2",
      "  Invocation OK SUCCEEDED"
    ],
    invocation: [
      "Workflow OK SUCCEEDED",
      "  Invocation OK first PENDING",
      "    otel-long-callback UNSET WaitForCallback STARTED -> Workflow",
      "      otel-long-callback-submitter OK Step SUCCEEDED attempt 1 -> Workflow",
      "        otel-long-callback-submitter attempt 1 OK Step SUCCEEDED -> Workflow",
      "      otel-long-callback-callback UNSET Callback STARTED -> Workflow",
      "  Invocation OK SUCCEEDED",
      "    otel-long-callback OK WaitForCallback SUCCEEDED -> Workflow",
      "      otel-long-callback-callback OK Callback SUCCEEDED -> Workflow"
    ]
  },
  "4": {
    title: "an invoke of what waits long",
    execution: [
      "Workflow OK SUCCEEDED",
      "  Invocation OK first PENDING",
      "  otel-long-invoke-target-wait OK Wait SUCCEEDED -> 3",
      "  Invocation OK SUCCEEDED",
      "Workflow OK SUCCEEDED",
      "  Invocation OK first PENDING",
      "  otel-long-invoke OK ChainedInvoke SUCCEEDED -> 4",
      "  Invocation OK SUCCEEDED"
    ],
    invocation: [
      "Workflow OK SUCCEEDED",
      "  Invocation OK first PENDING",
      "    otel-long-invoke-target-wait UNSET Wait STARTED -> Workflow",
      "  Invocation OK SUCCEEDED",
      "    otel-long-invoke-target-wait OK Wait SUCCEEDED -> Workflow",
      "Workflow OK SUCCEEDED",
      "  Invocation OK first PENDING",
      "    otel-long-invoke UNSET ChainedInvoke STARTED -> Workflow",
      "  Invocation OK SUCCEEDED",
      "    otel-long-invoke OK ChainedInvoke SUCCEEDED -> Workflow"
    ]
  }
}

const targets = handlers as Readonly<Record<string, kit.Target>>

const check = (id: string, target: kit.Target, one: Case, expected: ReadonlyArray<string>) =>
  it.effect(id, () =>
    Effect.gen(function* () {
      const input = { scenario: one.title, delay_seconds: 10_000 }
      const { arn, history } =
        one.crashes === true
          ? yield* kit.crashable(id, typeof target === "function" ? target : target.handler, input)
          : yield* kit.run(id, target, input, one.outside)
      const spans = spansOf(arn, invokedBy(history))
      assert.deepStrictEqual(tree(spans), expected)
      // nobody tells of an invocation that died
      if (one.crashes !== true) assert.deepStrictEqual(faultsOf(spans), [])
      for (const span of spans) {
        assert.strictEqual(span.kind, "INTERNAL")
        assert.property(span.attributes, "durable.execution.arn")
      }
    })
  )

const views: ReadonlyArray<DurableTracer.View> = ["execution", "invocation"]
for (const [n, one] of Object.entries(cases)) {
  describe(one.title, () => {
    for (const view of views) check(`otel-${view}-${n}`, targets[`otel-${view}-${n}`]!, one, one[view])
  })
}
for (const [n, one] of Object.entries(longRunning)) {
  describe(one.title, () => {
    const id = `otel-long-running-${n}`
    check(`${id}, view of the execution`, (inExecutionView as typeof targets)[id]!, one, one.execution)
    check(`${id}, view of invocations`, targets[id]!, one, one.invocation)
  })
}
