/**
 * What every execution store must do: run it against a layer that starts empty.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Store from "../../src/engine/ExecutionStore.ts"

const execution = (name: string, change: Partial<Store.ExecutionRecord> = {}): Store.ExecutionRecord => ({
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

const operation = (Id: string, position: number, Result?: string): Store.OperationRecord => ({
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
