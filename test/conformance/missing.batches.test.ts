/**
 * What AWS's requirements in `.conformance` do not tell of parallel and map: the requirements whose YAML is not there
 * (what they ask is our reading of the suites), and the pair that AWS's matcher cannot tell apart.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { decide, type Thresholds } from "../../src/internal/completion.ts"
import { handlers as map } from "./handlers/map.ts"
import { handlers as parallel } from "./handlers/parallel.ts"
import * as kit from "./kit.ts"
import { events, find, parentOf } from "./kit.ts"

kit.serve()

const handlers = { ...parallel, ...map }
const run = (id: keyof typeof handlers) => kit.run(id, handlers[id])

/** The result of an execution, as data. */
const resultOf = ({ Result }: { readonly Result?: string | undefined }) => JSON.parse(Result ?? "null")

const started = (name: string, ...inside: ReadonlyArray<string>) => [
  `ContextStarted ${name}`,
  ...inside,
  `ContextSucceeded ${name}`
]
const failed = (name: string) => [`ContextStarted ${name}`, `ContextFailed ${name}`]
const ran = (name: string) => [`StepStarted ${name}`, `StepSucceeded ${name}`]
const paused = ["WaitStarted pause", "InvocationCompleted", "WaitSucceeded pause"]

describe("requirements that are not in the folder: parallel", () => {
  it.effect("8-3: named branches", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("8-3")
      assert.deepStrictEqual(resultOf(description), ["one", "two"])
      assert.deepStrictEqual(events(history), [
        ...started("named", ...started("first", ...ran("task")), ...started("second", ...ran("task"))),
        "InvocationCompleted"
      ])
      const branch = find(history, "ContextStarted", "second")
      assert.strictEqual(branch.SubType, "ParallelBranch")
      assert.strictEqual(parentOf(history, branch), "named")
    })
  )

  it.effect("8-6: the first failure stops it, and the third branch never starts", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("8-6")
      assert.deepStrictEqual(resultOf(description), {
        completionReason: "FAILURE_TOLERANCE_EXCEEDED",
        successCount: 1,
        failureCount: 1,
        totalCount: 2,
        status: "FAILED"
      })
      assert.deepStrictEqual(events(history), [
        ...started("failfast", ...started("parallel-branch-0"), ...failed("parallel-branch-1")),
        "InvocationCompleted"
      ])
    })
  )

  it.effect("8-9: as many failures as tolerated", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("8-9")
      assert.deepStrictEqual(resultOf(description), {
        completionReason: "ALL_COMPLETED",
        successCount: 2,
        failureCount: 1,
        totalCount: 3,
        status: "FAILED"
      })
      assert.deepStrictEqual(events(history), [
        ...started(
          "tolerated",
          ...started("parallel-branch-0"),
          ...failed("parallel-branch-1"),
          ...started("parallel-branch-2")
        ),
        "InvocationCompleted"
      ])
    })
  )

  it.effect("8-12: flat: no contexts of branches, steps of the same name with different ids", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("8-12")
      assert.deepStrictEqual(resultOf(description), ["task-1", "task-2"])
      assert.deepStrictEqual(events(history), [
        ...started("flat", ...ran("task"), ...ran("task")),
        "InvocationCompleted"
      ])
      const steps = history.filter(({ EventType }) => EventType === "StepStarted")
      assert.strictEqual(new Set(steps.map(({ Id }) => Id)).size, 2)
      for (const event of steps) assert.strictEqual(parentOf(history, event), "flat")
    })
  )

  it.effect("8-15: counts and reason behind a replay, and no branch runs again", () =>
    Effect.gen(function* () {
      const { description, history, invocations } = yield* run("8-15")
      assert.strictEqual(invocations, 2)
      assert.deepStrictEqual(resultOf(description), {
        completionReason: "ALL_COMPLETED",
        successCount: 1,
        failureCount: 1,
        totalCount: 2,
        status: "FAILED"
      })
      assert.deepStrictEqual(events(history), [
        ...started("then-wait", ...started("parallel-branch-0"), ...failed("parallel-branch-1")),
        ...paused,
        "InvocationCompleted"
      ])
    })
  )

  it.effect("8-18: two rules together: the one that is met first ends it", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("8-18")
      assert.deepStrictEqual(resultOf(description), {
        completionReason: "MIN_SUCCESSFUL_REACHED",
        successCount: 2,
        failureCount: 1,
        totalCount: 3,
        status: "FAILED"
      })
      assert.isUndefined(find(history, "ContextStarted", "parallel-branch-3"))
    })
  )

  it.effect("8-21: a parallel in a branch of a parallel", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("8-21")
      assert.deepStrictEqual(resultOf(description), ["inner-0", "inner-1", "outer-1"])
      const branches = [0, 1].map((i) => started(`parallel-branch-${i}`, ...ran("task")))
      assert.deepStrictEqual(events(history), [
        ...started(
          "outer",
          ...started("parallel-branch-0", ...started("inner", ...branches.flat())),
          ...(branches[1] ?? [])
        ),
        "InvocationCompleted"
      ])
    })
  )
})

describe("requirements that are not in the folder: map", () => {
  it.effect("9-3: the function gets the index", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("9-3")
      assert.deepStrictEqual(resultOf(description), ["a-0", "b-1", "c-2"])
      const items = [0, 1, 2].flatMap((i) => started(`map-item-${i}`))
      assert.deepStrictEqual(events(history), [...started("indexed", ...items), "InvocationCompleted"])
      assert.strictEqual(find(history, "ContextStarted", "map-item-1").SubType, "MapIteration")
    })
  )

  it.effect("9-6: the result rethrows the first failure, and the execution fails with it", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("9-6")
      assert.strictEqual(description.Status, "FAILED")
      assert.strictEqual(description.Error?.ErrorType, "ItemError")
      assert.deepStrictEqual(events(history), [...started("rethrow", ...failed("map-item-0")), "InvocationCompleted"])
    })
  )

  it.effect("9-9 and 9-10: by number, and by percentage; in both the rest never starts", () =>
    Effect.gen(function* () {
      for (const [id, name, total] of [
        ["9-9", "tolerated-exceeded", 3],
        ["9-10", "tolerated-pct", 4]
      ] as const) {
        const { description, history } = yield* run(id)
        assert.deepStrictEqual(resultOf(description), {
          completionReason: "FAILURE_TOLERANCE_EXCEEDED",
          successCount: 0,
          failureCount: 2,
          totalCount: 2
        })
        assert.deepStrictEqual(events(history), [
          ...started(name, ...failed("map-item-0"), ...failed("map-item-1")),
          "InvocationCompleted"
        ])
        assert.isAbove(total, 2)
      }
      // what tells them apart: 1 of 3 is more than 25 %, and not more than 1
      const one = (rule: Thresholds, total: number) => decide(rule, { total, success: 0, failure: 1 })
      assert.isUndefined(one({ toleratedFailureCount: 1 }, 3))
      assert.strictEqual(one({ toleratedFailurePercentage: 25 }, 3), "FAILURE_TOLERANCE_EXCEEDED")
      assert.isUndefined(one({ toleratedFailurePercentage: 25 }, 4))
    })
  )

  it.effect("9-12: flat: no contexts of items", () =>
    Effect.gen(function* () {
      const { description, history } = yield* run("9-12")
      assert.deepStrictEqual(resultOf(description), ["A", "B"])
      assert.deepStrictEqual(events(history), [
        ...started("flat", ...ran("upper"), ...ran("upper")),
        "InvocationCompleted"
      ])
    })
  )

  it.effect("9-15: one item suspends; the one that is done is not run again", () =>
    Effect.gen(function* () {
      const { description, history, invocations } = yield* run("9-15")
      assert.strictEqual(invocations, 2)
      assert.deepStrictEqual(resultOf(description), ["A", "B"])
      assert.deepStrictEqual(events(history), [
        ...started("replay", ...started("map-item-0", ...ran("upper")), ...started("map-item-1", ...paused)),
        "InvocationCompleted"
      ])
    })
  )

  it.effect("9-18: counts and reason of an early end, behind a replay", () =>
    Effect.gen(function* () {
      const { description, history, invocations } = yield* run("9-18")
      assert.strictEqual(invocations, 2)
      assert.deepStrictEqual(resultOf(description), {
        completionReason: "MIN_SUCCESSFUL_REACHED",
        successCount: 2,
        failureCount: 1,
        totalCount: 3,
        status: "FAILED"
      })
      const items = [...started("map-item-0"), ...failed("map-item-1"), ...started("map-item-2")]
      assert.deepStrictEqual(events(history), [...started("then-wait", ...items), ...paused, "InvocationCompleted"])
    })
  )
})
