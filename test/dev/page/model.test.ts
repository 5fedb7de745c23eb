import { assert, describe, it } from "@effect/vitest"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import type * as History from "../../../src/History.ts"
import { kindWord, layered, readTimeline, ROOT, statusWords, visibleRows } from "../../../src/dev/page/model.js"
import * as kit from "../pageKit.ts"

type Event = Omit<History.Event, "EventId" | "EventTimestamp">

/** A history, an event every second. */
const history = (...events: ReadonlyArray<Event>) =>
  events.map((event, index) => ({ ...event, EventId: index + 1, EventTimestamp: 1_000_000 + index * 1000 }))

const seconds = (index: number) => 1_000_000 + index * 1000

const started: Event = {
  EventType: "ExecutionStarted",
  Name: "order-7",
  ExecutionStartedDetails: { Input: { Payload: '{"id":7}', Truncated: false }, ExecutionTimeout: 60 }
}
const succeeded: Event = {
  EventType: "ExecutionSucceeded",
  ExecutionSucceededDetails: { Result: { Payload: '"done"', Truncated: false } }
}
const invoked = (from: number, to: number, error?: string): Event => ({
  EventType: "InvocationCompleted",
  InvocationCompletedDetails: {
    StartTimestamp: seconds(from),
    EndTimestamp: seconds(to),
    RequestId: "r",
    ...(error === undefined ? undefined : { Error: { Payload: { ErrorType: error }, Truncated: false } })
  }
})
const step = (Id: string, what: "Started" | "Succeeded" | "Failed", delay?: number, ParentId?: string): Event => ({
  EventType: `Step${what}`,
  Id,
  Name: Id,
  SubType: "Step",
  ...(ParentId === undefined ? undefined : { ParentId }),
  ...(what === "Started"
    ? { StepStartedDetails: {} }
    : what === "Succeeded"
      ? {
          StepSucceededDetails: {
            Result: { Payload: "1", Truncated: false },
            RetryDetails: {
              CurrentAttempt: 1,
              ...(delay === undefined ? undefined : { NextAttemptDelaySeconds: delay })
            }
          }
        }
      : {
          StepFailedDetails: {
            Error: { Payload: { ErrorType: "Busy" }, Truncated: false },
            RetryDetails: {
              CurrentAttempt: 1,
              ...(delay === undefined ? undefined : { NextAttemptDelaySeconds: delay })
            }
          }
        })
})
const context = (Id: string, what: "Started" | "Succeeded", ParentId?: string): Event => ({
  EventType: `Context${what}`,
  Id,
  Name: Id,
  SubType: "RunInChildContext",
  ...(ParentId === undefined ? undefined : { ParentId }),
  ...(what === "Started" ? { ContextStartedDetails: {} } : { ContextSucceededDetails: { Result: {} } })
})
const callback = (Id: string, what: "Started" | "Succeeded" | "TimedOut", ParentId?: string): Event => ({
  EventType: `Callback${what}`,
  Id,
  Name: Id,
  ...(ParentId === undefined ? undefined : { ParentId }),
  ...(what === "Started"
    ? { CallbackStartedDetails: { CallbackId: "token", Timeout: 60, HeartbeatTimeout: 0 } }
    : what === "Succeeded"
      ? { CallbackSucceededDetails: { Result: { Payload: '"yes"', Truncated: false } } }
      : { CallbackTimedOutDetails: { Error: { Payload: {}, Truncated: false } } })
})

const operation = (timeline: ReturnType<typeof readTimeline>, id: string) => {
  const found = timeline.operations.get(id)
  assert.isDefined(found, id)
  return found!
}

describe("readTimeline", () => {
  it("a step that is tried again", () => {
    const timeline = readTimeline(
      history(
        started,
        step("s", "Started"),
        step("s", "Failed", 5),
        invoked(0, 2),
        step("s", "Started"),
        step("s", "Succeeded"),
        invoked(4, 6),
        succeeded
      )
    )
    const found = operation(timeline, "s")
    assert.deepStrictEqual(
      [found.status, found.tone, found.startedAt, found.endedAt],
      ["SUCCEEDED", "succeeded", seconds(1), seconds(5)]
    )
    assert.deepStrictEqual(
      found.attempts.map(({ delaySeconds, from, number, outcome, to }) => [number, from, to, outcome, delaySeconds]),
      [
        [1, seconds(1), seconds(2), "failed", 5],
        [2, seconds(4), seconds(5), "succeeded", undefined]
      ]
    )
    assert.deepStrictEqual(
      found.spans.map(({ kind, to, tone }) => [kind, tone, to]),
      [
        ["run", "failed", seconds(2)],
        ["delay", "waiting", seconds(4)],
        ["run", "succeeded", seconds(5)]
      ]
    )
    assert.deepStrictEqual(found.attempts[0]?.data?.error, { ErrorType: "Busy" })
    assert.deepStrictEqual(
      timeline.invocations.map(({ from, number, to }) => [number, from, to]),
      [
        [1, seconds(0), seconds(2)],
        [2, seconds(4), seconds(6)]
      ]
    )
    assert.strictEqual(timeline.root.outcome?.text, '"done"')
    assert.strictEqual(timeline.root.input?.text, '{"id":7}')
    assert.deepStrictEqual([timeline.from, timeline.to, timeline.lastEventId], [seconds(0), seconds(7), 8])
  })

  it("a step that waits for its next attempt says when that is", () => {
    const found = operation(readTimeline(history(started, step("s", "Started"), step("s", "Failed", 5))), "s")
    assert.deepStrictEqual([found.status, found.tone, found.dueAt], ["PENDING", "waiting", seconds(7)])
    assert.strictEqual(statusWords(found), "waiting to retry")
  })

  it("a success with a next attempt is a check that said: not yet", () => {
    const found = operation(
      readTimeline(
        history(
          started,
          step("poll", "Started"),
          step("poll", "Succeeded", 5),
          step("poll", "Started"),
          step("poll", "Succeeded")
        )
      ),
      "poll"
    )
    assert.deepStrictEqual(
      found.attempts.map(({ outcome }) => outcome),
      ["checked", "succeeded"]
    )
    assert.strictEqual(found.status, "SUCCEEDED")
  })

  it("an attempt that a crash cut off ends with its invocation", () => {
    const events = history(started, step("s", "Started"), invoked(0, 2, "Runtime.ExitError"))
    const cut = operation(readTimeline(events), "s")
    assert.deepStrictEqual(
      cut.attempts.map(({ outcome, to }) => [outcome, to]),
      [["interrupted", seconds(2)]]
    )
    assert.strictEqual(statusWords(cut), "interrupted")
    const again = readTimeline([
      ...events,
      ...history(started, started, started, step("s", "Started"), step("s", "Succeeded")).slice(3)
    ])
    assert.deepStrictEqual(
      operation(again, "s").attempts.map(({ from, outcome, to }) => [outcome, from, to]),
      [
        ["interrupted", seconds(1), seconds(2)],
        ["succeeded", seconds(3), seconds(4)]
      ]
    )
    assert.deepStrictEqual(again.invocations[0]?.error, { ErrorType: "Runtime.ExitError" })
  })

  it("a failure without a start is an attempt of no duration", () => {
    const found = operation(readTimeline(history(started, step("s", "Failed"))), "s")
    assert.deepStrictEqual(
      found.attempts.map(({ from, outcome, to }) => [outcome, from, to]),
      [["failed", seconds(1), seconds(1)]]
    )
  })

  it("a context waits while all that is open in it waits", () => {
    const waiting = readTimeline(
      history(
        started,
        context("outer", "Started"),
        context("inner", "Started", "outer"),
        callback("c", "Started", "inner"),
        step("s", "Started", undefined, "outer")
      )
    )
    assert.strictEqual(operation(waiting, "inner").tone, "waiting")
    assert.strictEqual(operation(waiting, "outer").tone, "running")
    assert.strictEqual(statusWords(operation(waiting, "c")), "waiting for an answer")
    assert.strictEqual(operation(waiting, "c").callbackId, "token")
    assert.strictEqual(operation(waiting, "c").timeoutSeconds, 60)
    assert.notProperty(operation(waiting, "c"), "heartbeatSeconds")
  })

  it("what is open at the end was left open", () => {
    const timeline = readTimeline(history(started, callback("c", "Started"), step("s", "Started"), succeeded))
    for (const id of ["c", "s"]) {
      const left = operation(timeline, id)
      assert.deepStrictEqual([left.tone, left.endedAt, left.spans[0]?.to], ["ended", undefined, seconds(3)])
      assert.strictEqual(statusWords(left), "left open")
    }
  })

  it("shows the invocation that runs now, until the history tells of it", () => {
    const running = { number: 1, from: seconds(0) }
    assert.deepStrictEqual(readTimeline(history(started), running).invocations, [running])
    assert.strictEqual(readTimeline(history(started, invoked(0, 1)), running).invocations.length, 1)
    assert.strictEqual(readTimeline(history(started, succeeded), running).invocations.length, 0)
  })

  it("a history that nobody would write is shown as far as it goes", () => {
    const timeline = readTimeline([
      ...history(started),
      { EventType: "StepStarted", EventId: 2, Id: "own", ParentId: "own", StepStartedDetails: {} },
      { EventType: "StepSucceeded", EventId: 3, Id: "orphan", ParentId: "nowhere", StepSucceededDetails: null },
      { EventType: "WaitCancelled", EventId: 4, Id: "w" },
      { EventType: "SomethingNew", EventId: 5, Id: "new" },
      { EventType: "CallbackStarted", EventId: 6 }
    ])
    assert.deepStrictEqual(
      timeline.root.children.map(({ id, status }) => [id, status]),
      [
        ["own", "STARTED"],
        ["orphan", "SUCCEEDED"],
        ["w", "CANCELLED"],
        ["event 6", "STARTED"]
      ]
    )
    assert.strictEqual(visibleRows(timeline, { collapsed: new Set(), search: "own" }).length, 2)
    assert.strictEqual(readTimeline([]).root.status, "RUNNING")
  })

  it.effect("tells of every operation what the engine does", () =>
    Effect.gen(function* () {
      const execution = yield* TestRunner.start(kit.Import, kit.importAll, 2)
      yield* execution.result
      const events = yield* execution.history
      const operations = yield* execution.operations
      const timeline = readTimeline(events)
      assert.strictEqual(timeline.operations.size, operations.length + 1)
      assert.strictEqual(timeline.invocations.length, yield* execution.invocations)
      for (const { Id, ParentId, StartTimestamp, Status } of operations) {
        const found = operation(timeline, Id)
        assert.deepStrictEqual([found.status, found.parentId, found.startedAt], [Status, ParentId, StartTimestamp])
      }
    }).pipe(Effect.provide(TestRunner.layerMemory))
  )
})

describe("layered", () => {
  it("what Serdes layers have written: which, and what they have left readable", () => {
    const cases: ReadonlyArray<readonly [payload: string, read: ReturnType<typeof layered>]> = [
      ['{"a":1}', undefined],
      ['{"~serdes":', undefined],
      ['{"~serdes":"gzip","sum', undefined], // cut short by the service
      ['{"~serdes":"","sum":"0","json":{"a":1}}', { layers: "", shown: '{"a":1}' }],
      ['{"~serdes":"","sum":"0","text":"2026/7"}', { layers: "", shown: "2026/7" }],
      ['{"~serdes":"gzip aes-256-gcm","sum":"0","bytes":"AA=="}', { layers: "gzip, aes-256-gcm", shown: undefined }],
      [
        '{"~serdes":"gzip claim-check","sum":"0","preview":{"id":7},"json":{"key":"a"}}',
        { layers: "gzip, claim-check", shown: '{"id":7}' }
      ]
    ]
    for (const [payload, read] of cases) assert.deepStrictEqual(layered(payload), read)
  })
})

describe("visibleRows", () => {
  const timeline = readTimeline(
    history(
      started,
      context("batch", "Started"),
      step("apple", "Started", undefined, "batch"),
      step("pear", "Started", undefined, "batch"),
      step("pear", "Failed", undefined, "batch"),
      step("plum", "Started")
    )
  )
  const names = (view: Parameters<typeof visibleRows>[1]) => visibleRows(timeline, view).map((row) => row.operation.id)
  const none = new Set<string>()

  it("the tree, in the order of starting", () => {
    assert.deepStrictEqual(
      visibleRows(timeline, { collapsed: none }).map((row) => [
        row.operation.id,
        row.level,
        row.expanded,
        `${row.position}/${row.siblings}`
      ]),
      [
        [ROOT, 1, true, "1/1"],
        ["batch", 2, true, "1/2"],
        ["apple", 3, undefined, "1/2"],
        ["pear", 3, undefined, "2/2"],
        ["plum", 2, undefined, "2/2"]
      ]
    )
  })
  it("without what is collapsed", () => {
    assert.deepStrictEqual(names({ collapsed: new Set(["batch"]) }), [ROOT, "batch", "plum"])
    assert.deepStrictEqual(names({ collapsed: new Set([ROOT]) }), [ROOT])
  })
  it("what is found, and what it is in, collapsed or not", () => {
    assert.deepStrictEqual(names({ collapsed: new Set(["batch"]), search: " PEAR " }), [ROOT, "batch", "pear"])
    assert.deepStrictEqual(names({ collapsed: none, tone: "failed" }), [ROOT, "batch", "pear"])
    assert.deepStrictEqual(names({ collapsed: none, search: "apple", tone: "failed" }), [ROOT])
  })
  it("as deep as it goes", () => {
    const depth = 20_000
    const deep = readTimeline(
      history(
        started,
        ...Array.from({ length: depth }, (_, i) => context(`c${i}`, "Started", i === 0 ? undefined : `c${i - 1}`))
      )
    )
    assert.strictEqual(visibleRows(deep, { collapsed: none }).length, depth + 1)
  })
})

describe("words", () => {
  it("kinds", () => {
    assert.deepStrictEqual(
      [
        kindWord({ kind: "step", subType: "WaitForCondition" }),
        kindWord({ kind: "context", subType: "MapIteration" }),
        kindWord({ kind: "invoke", subType: "ChainedInvoke" }),
        kindWord({ kind: "context", subType: "constructor" }),
        kindWord({ kind: "context", subType: "__proto__" }),
        kindWord({ kind: "wait" })
      ],
      ["condition", "item", "invoke", "context", "context", "wait"]
    )
  })
})
