import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as transition from "../../src/engine/transition.ts"
import type { OperationRecord } from "../../src/engine/ExecutionStore.ts"
import type * as Protocol from "../../src/Protocol.ts"

const at = (clock: number): transition.Instant => ({ clock, stamp: clock + 0.001, second: 1000 })

/** Runs updates of one operation, each a second after the other; gives the records and all events. */
const fold = (
  updates: ReadonlyArray<Partial<Protocol.OperationUpdate> & Pick<Protocol.OperationUpdate, "Type" | "Action">>
) => {
  const records: Array<OperationRecord> = []
  const steps = updates.map((update, i) => {
    const next = transition.update(records.at(-1), { Id: "a", ...update }, at(1000 * (i + 1)), { arn: "arn" })
    records.push(next.record)
    return next
  })
  return {
    operations: records.map(({ operation }) => operation),
    records,
    events: steps.flatMap(({ events }) => events),
    consequences: steps.map(({ consequences }) => consequences)
  }
}

const retry = { Type: "STEP", Action: "RETRY", StepOptions: { NextAttemptDelaySeconds: 5 } } as const

describe("transition", () => {
  it.effect("counts attempts", () =>
    Effect.sync(() => {
      const attempts = (...actions: ReadonlyArray<Protocol.OperationAction>) =>
        fold(actions.map((Action) => ({ ...retry, Action }))).operations.map(({ StepDetails, Status }) => [
          Status,
          StepDetails?.Attempt
        ])
      assert.deepStrictEqual(attempts("START"), [["STARTED", 0]])
      assert.deepStrictEqual(attempts("START", "SUCCEED"), [
        ["STARTED", 0],
        ["SUCCEEDED", 1]
      ])
      assert.deepStrictEqual(attempts("SUCCEED"), [["SUCCEEDED", 1]])
      assert.deepStrictEqual(attempts("START", "FAIL"), [
        ["STARTED", 0],
        ["FAILED", 1]
      ])
      assert.deepStrictEqual(attempts("START", "RETRY"), [
        ["STARTED", 0],
        ["PENDING", 1]
      ])
      const { records } = fold([
        { ...retry, Action: "START" },
        { ...retry, Error: { ErrorType: "E" } }
      ])
      const ready = transition.expire(records[1]!, 7000, at(7000))?.record
      assert.deepStrictEqual(ready?.operation.StepDetails, { Attempt: 1, Error: { ErrorType: "E" } })
      assert.deepStrictEqual([ready?.operation.Status, ready?.external], ["READY", true])
      const again = transition.update(ready, { Id: "a", Type: "STEP", Action: "START" }, at(8000), {
        arn: "arn"
      }).record
      assert.deepStrictEqual([again.operation.StepDetails, again.external], [{ Attempt: 1 }, false])
      assert.strictEqual(again.operation.StartTimestamp, 1000.001)
    })
  )

  it.effect("starts and stops the timer of an operation", () =>
    Effect.sync(() => {
      assert.deepStrictEqual(fold([{ ...retry, Action: "START" }, retry]).consequences, [
        [],
        [{ _tag: "StartTimer", id: "a", at: 7000 }]
      ])
      assert.deepStrictEqual(
        fold([
          { Type: "WAIT", Action: "START", WaitOptions: { WaitSeconds: 3 } },
          { Type: "WAIT", Action: "CANCEL" }
        ]).consequences,
        [[{ _tag: "StartTimer", id: "a", at: 4000 }], [{ _tag: "StopTimer", id: "a", at: 4000 }]]
      )
      const { records } = fold([
        {
          Type: "CALLBACK",
          Action: "START",
          CallbackOptions: { TimeoutSeconds: 60, HeartbeatTimeoutSeconds: 10 }
        }
      ])
      assert.strictEqual(transition.due(records[0]!), 11_000)
      const beaten = transition.heartbeat(records[0]!, at(6000))
      assert.deepStrictEqual(beaten.consequences, [
        { _tag: "StopTimer", id: "a", at: 11_000 },
        { _tag: "StartTimer", id: "a", at: 16_000 }
      ])
      // A timer that was moved meanwhile does nothing; the timeout wins over a heartbeat of the same instant.
      assert.strictEqual(transition.expire(beaten.record, 11_000, at(11_000)), undefined)
      const late = transition.heartbeat(records[0]!, at(51_000)).record
      assert.strictEqual(
        transition.expire(late, 61_000, at(61_000))?.record.operation.CallbackDetails?.Error?.ErrorType,
        "Callback.Timeout"
      )
    })
  )

  it.effect("sets EndTimestamp on every terminal operation; a wait ends when it was to end", () =>
    Effect.sync(() => {
      const wait = fold([{ Type: "WAIT", Action: "START", WaitOptions: { WaitSeconds: 3 } }]).records[0]!
      assert.strictEqual(transition.expire(wait, 4000, at(9000))?.record.operation.EndTimestamp, 4000)
      const ends = [
        fold([{ ...retry, Action: "SUCCEED" }]),
        fold([
          { Type: "CONTEXT", Action: "START" },
          { Type: "CONTEXT", Action: "FAIL" }
        ]),
        fold([
          { Type: "WAIT", Action: "START", WaitOptions: { WaitSeconds: 3 } },
          { Type: "WAIT", Action: "CANCEL" }
        ]),
        fold([{ Type: "CHAINED_INVOKE", Action: "START", ChainedInvokeOptions: { FunctionName: "f" } }])
      ]
      assert.deepStrictEqual(
        ends.map(({ operations }) => operations.at(-1)?.EndTimestamp),
        [1000.001, 2000.001, 2000.001, 1000.001]
      )
    })
  )

  it.effect("carries the operation's names on all of its events, and the attempt only where it belongs", () =>
    Effect.sync(() => {
      const named = { Name: "n", ParentId: "p", SubType: "RunInChildContext", Type: "CONTEXT" } as const
      const { events, operations } = fold([
        { ...named, Action: "START" },
        { ...named, Action: "SUCCEED", Payload: "1", ContextOptions: { ReplayChildren: true } }
      ])
      const meta = { Id: "a", Name: "n", ParentId: "p", SubType: "RunInChildContext" }
      assert.deepStrictEqual(events, [
        { EventType: "ContextStarted", ...meta, ContextStartedDetails: {} },
        {
          EventType: "ContextSucceeded",
          ...meta,
          ContextSucceededDetails: { Result: { Payload: "1", Truncated: false } }
        }
      ])
      assert.deepStrictEqual(operations[1]?.ContextDetails, { Result: "1", ReplayChildren: true })
      assert.deepStrictEqual(
        fold([{ ...retry, Action: "FAIL", Error: { ErrorType: "E" } }]).events[0]?.StepFailedDetails,
        {
          Error: { Payload: { ErrorType: "E" }, Truncated: false },
          RetryDetails: { CurrentAttempt: 1 }
        }
      )
    })
  )
})
