/**
 * What every execution store must do: run it against a layer that starts empty.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as History from "../../src/History.ts"
import * as Store from "../../src/engine/ExecutionStore.ts"

export const execution = (name: string, change: Partial<Store.ExecutionRecord> = {}): Store.ExecutionRecord => ({
  arn: `arn:aws:lambda:us-east-1:123456789012:function:order:$LATEST/durable-execution/${name}/id-${name}`,
  id: `id-${name}`,
  functionName: "order",
  version: "$LATEST",
  name,
  status: "RUNNING",
  input: "{}",
  startedAt: 1_767_356_934_930.001,
  timeoutSeconds: 60,
  timeoutAt: 1_767_356_994_930,
  stamp: 1_767_356_934_930.001,
  events: 0,
  operations: 0,
  bytes: 2,
  changes: 0,
  outstanding: 0,
  failures: 0,
  invocation: { number: 0, requestId: "", startedAt: 0, open: false, token: 0, seen: 0 },
  ...change
})

export const operation = (Id: string, position: number, Result?: string): Store.OperationRecord => ({
  operation: {
    Id,
    Type: "STEP",
    Status: Result === undefined ? "STARTED" : "SUCCEEDED",
    ...(Result === undefined ? undefined : { StepDetails: { Attempt: 1, Result } })
  },
  position,
  changed: position,
  external: false
})

const commit = (change: Partial<Store.Commit> & Pick<Store.Commit, "execution">) =>
  Store.ExecutionStore.use((store) => store.commit({ operations: [], events: [], ...change }))

const load = (arn: string) => Store.ExecutionStore.use((store) => store.load(arn))

export const suite = <E>(name: string, layer: Layer.Layer<Store.ExecutionStore, E>) =>
  describe(`ExecutionStore: ${name}`, () => {
    const test = (title: string, effect: Effect.Effect<void, Store.ExecutionStoreError, Store.ExecutionStore>) =>
      it.effect(title, () => Effect.provide(effect, layer, { local: true }))

    test(
      "knows nothing of what was never stored",
      Effect.gen(function* () {
        const store = yield* Store.ExecutionStore
        assert.isTrue(Option.isNone(yield* store.load("arn:none")))
        assert.deepStrictEqual(yield* store.history("arn:none"), [])
        assert.deepStrictEqual(yield* store.list({}), [])
        assert.deepStrictEqual(yield* store.running, [])
      })
    )

    test(
      "gives back what was committed, operations in the order of starting",
      Effect.gen(function* () {
        const first = execution("one")
        yield* commit({ execution: first, operations: [operation("a", 2), operation("b", 1)] })
        yield* commit({ execution: { ...first, changes: 3 }, operations: [operation("c", 3), operation("a", 2, "1")] })
        const snapshot = Option.getOrThrow(yield* load(first.arn))
        assert.deepStrictEqual(snapshot.execution, { ...first, changes: 3 })
        assert.deepStrictEqual(snapshot.operations, [operation("b", 1), operation("a", 2, "1"), operation("c", 3)])
      })
    )

    test(
      "finds one execution alone",
      Effect.gen(function* () {
        const store = yield* Store.ExecutionStore
        const one = execution("one", { result: "1", error: { ErrorType: "E", StackTrace: ["at a"] } })
        yield* commit({ execution: one, operations: [operation("a", 1)] })
        yield* commit({ execution: execution("two") })
        assert.deepStrictEqual(yield* store.execution(one.arn), Option.some(one))
        assert.isTrue(Option.isNone(yield* store.execution("arn:none")))
      })
    )

    test(
      "keeps every text as it is",
      Effect.gen(function* () {
        const text = "quote ' and \" and \\, NUL \u0000 inside, a lone \ud800, 🦄, \u2028"
        const one = execution("one", { input: text, result: text, error: { ErrorMessage: text } })
        const event: History.Event = {
          EventType: "StepSucceeded",
          EventId: 1,
          EventTimestamp: 1.001,
          StepSucceededDetails: { Result: { Payload: text, Truncated: false }, RetryDetails: {} }
        }
        const answered = { clientToken: "c", at: 1, response: { NewExecutionState: { NextMarker: text } } }
        yield* commit({ execution: one, operations: [operation("a", 1, text)], events: [event], answered })
        assert.deepStrictEqual(Option.getOrThrow(yield* load(one.arn)), {
          execution: one,
          operations: [operation("a", 1, text)],
          answered: [answered]
        })
        assert.deepStrictEqual(yield* Store.ExecutionStore.use((store) => store.history(one.arn)), [event])
      })
    )

    test(
      "keeps executions apart",
      Effect.gen(function* () {
        const [one, two] = [execution("one"), execution("two")]
        const answered = (at: number) => ({ clientToken: "c", at, response: { CheckpointToken: `${at}` } })
        const event: History.Event = { EventType: "ContextStarted", EventId: 1, ContextStartedDetails: {} }
        yield* commit({ execution: one, operations: [operation("a", 1, "1")], events: [event], answered: answered(1) })
        yield* commit({ execution: two, operations: [operation("a", 1, "2")], events: [event], answered: answered(2) })
        const snapshot = Option.getOrThrow(yield* load(one.arn))
        assert.deepStrictEqual(snapshot.operations, [operation("a", 1, "1")])
        assert.deepStrictEqual(snapshot.answered, [answered(1)])
        assert.lengthOf(yield* Store.ExecutionStore.use((store) => store.history(one.arn)), 1)
      })
    )

    test(
      "keeps optional fields absent",
      Effect.gen(function* () {
        const { input: _, ...bare } = execution("bare")
        yield* commit({ execution: bare })
        assert.strictEqual(Option.getOrThrow(yield* load(bare.arn)).execution.input, undefined)
      })
    )

    test(
      "appends events",
      Effect.gen(function* () {
        const one = execution("one")
        yield* commit({
          execution: one,
          events: [{ EventType: "StepStarted", EventId: 1, Id: "a", StepStartedDetails: {} }]
        })
        yield* commit({
          execution: one,
          events: [{ EventType: "ContextStarted", EventId: 2, Id: "b", ContextStartedDetails: {} }]
        })
        const events = yield* Store.ExecutionStore.use((store) => store.history(one.arn))
        assert.deepStrictEqual(
          events.map(({ EventId, EventType }) => [EventId, EventType]),
          [
            [1, "StepStarted"],
            [2, "ContextStarted"]
          ]
        )
      })
    )

    test(
      "reads a history page by page, from either end",
      Effect.gen(function* () {
        const one = execution("one")
        const event = (EventId: number): History.Event => ({
          EventType: "ContextStarted",
          EventId,
          ContextStartedDetails: {}
        })
        yield* commit({ execution: one, events: [1, 2, 3, 4, 5].map(event) })
        const ids = (page: Store.EventPage) =>
          Store.ExecutionStore.use((store) =>
            Effect.map(store.history(one.arn, page), (events) => events.map(({ EventId }) => EventId))
          )
        assert.deepStrictEqual(yield* ids({ limit: 2 }), [1, 2])
        assert.deepStrictEqual(yield* ids({ limit: 2, after: 2 }), [3, 4])
        assert.deepStrictEqual(yield* ids({ after: 4 }), [5])
        assert.deepStrictEqual(yield* ids({ after: 5 }), [])
        assert.deepStrictEqual(yield* ids({ reverse: true, limit: 2 }), [5, 4])
        assert.deepStrictEqual(yield* ids({ reverse: true, after: 4 }), [3, 2, 1])
      })
    )

    test(
      "lists by function, name and status, newest first",
      Effect.gen(function* () {
        const store = yield* Store.ExecutionStore
        yield* commit({ execution: execution("one", { startedAt: 1 }) })
        yield* commit({ execution: execution("two", { startedAt: 2, status: "SUCCEEDED" }) })
        yield* commit({ execution: execution("three", { startedAt: 3, functionName: "other" }) })
        const names = (filter: Store.ListFilter) =>
          Effect.map(store.list(filter), (list) => list.map(({ name }) => name))
        assert.deepStrictEqual(yield* names({}), ["three", "two", "one"])
        assert.deepStrictEqual(yield* names({ functionName: "order" }), ["two", "one"])
        assert.deepStrictEqual(yield* names({ functionName: "order", name: "two" }), ["two"])
        assert.deepStrictEqual(yield* names({ status: "SUCCEEDED" }), ["two"])
        assert.deepStrictEqual(yield* store.running, [execution("one").arn, execution("three").arn])
      })
    )

    test(
      "lists by version, time and a part of the ARN, and counts what it lists",
      Effect.gen(function* () {
        const store = yield* Store.ExecutionStore
        const first = execution("first", { startedAt: 1_000.5, version: "7" })
        const second = execution("SECOND", { startedAt: 2_000 })
        const third = execution("third-100%", { startedAt: 3_000, status: "FAILED" })
        for (const one of [first, second, third]) yield* commit({ execution: one })
        const listed = (filter: Store.ListFilter) =>
          Effect.gen(function* () {
            const names = (yield* store.list(filter)).map(({ name }) => name)
            assert.strictEqual(yield* store.count(filter), names.length)
            return names
          })
        assert.deepStrictEqual(yield* listed({ version: "7" }), ["first"])
        assert.deepStrictEqual(yield* listed({ startedAfter: 1_000.5 }), ["third-100%", "SECOND"])
        assert.deepStrictEqual(yield* listed({ startedAfter: 1_000, startedBefore: 3_000 }), ["SECOND", "first"])
        assert.deepStrictEqual(yield* listed({ search: "second" }), ["SECOND"])
        assert.deepStrictEqual(yield* listed({ search: "DURABLE-execution/f" }), ["first"])
        assert.deepStrictEqual(yield* listed({ search: "%" }), ["third-100%"])
        assert.deepStrictEqual(yield* listed({ search: "' OR 1 --" }), [])
        assert.deepStrictEqual(yield* listed({ search: "d", status: "FAILED" }), ["third-100%"])
        assert.deepStrictEqual(yield* listed({ status: "STOPPED" }), [])
        // what has changed since is found as it is now
        yield* commit({ execution: { ...first, status: "STOPPED" } })
        assert.deepStrictEqual(yield* listed({ status: "STOPPED", version: "7", startedBefore: 1_001 }), ["first"])
      })
    )

    test(
      "lists page by page, from either end, also when a page has changed meanwhile",
      Effect.gen(function* () {
        const store = yield* Store.ExecutionStore
        const all = ["a", "b", "c", "d", "e"].map((name) => execution(name))
        for (const one of all) yield* commit({ execution: one })
        const names = (page: Store.ListPage, filter: Store.ListFilter = {}) =>
          Effect.map(store.list(filter, page), (found) => found.map(({ name }) => name).join(""))
        const { arn } = execution("c")
        assert.strictEqual(yield* names({ limit: 2 }), "ed")
        assert.strictEqual(yield* names({ limit: 1, after: arn }), "b")
        assert.strictEqual(yield* names({ after: arn }), "ba")
        assert.strictEqual(yield* names({ reverse: true, limit: 2 }), "ab")
        assert.strictEqual(yield* names({ reverse: true, after: arn }), "de")
        assert.strictEqual(yield* names({ after: execution("a").arn }), "")
        assert.strictEqual(yield* names({ after: "arn:none" }), "")
        assert.strictEqual(yield* names({ reverse: true, after: "arn:none" }), "")
        assert.strictEqual(yield* names({ limit: 0 }), "")
        assert.strictEqual(yield* names({ after: arn }, { functionName: "order", name: "a" }), "a")
        assert.strictEqual(yield* names({ after: arn }, { functionName: "order", name: "e" }), "")
        yield* commit({ execution: execution("c", { status: "SUCCEEDED" }) })
        assert.strictEqual(yield* names({ after: arn, limit: 2 }, { status: "RUNNING" }), "ba")
      })
    )

    test(
      "remembers answered requests for fifteen minutes",
      Effect.gen(function* () {
        const one = execution("one")
        const answer = (clientToken: string, at: number) =>
          commit({ execution: one, answered: { clientToken, at, response: { CheckpointToken: clientToken } } })
        const known = Effect.map(load(one.arn), (snapshot) =>
          Option.getOrThrow(snapshot).answered.map(({ clientToken }) => clientToken)
        )
        yield* answer("a", 0)
        yield* answer("b", Store.CLIENT_TOKEN_MILLIS)
        assert.deepStrictEqual(yield* known, ["a", "b"])
        yield* answer("c", Store.CLIENT_TOKEN_MILLIS + 1)
        assert.deepStrictEqual(yield* known, ["b", "c"])
      })
    )
  })
