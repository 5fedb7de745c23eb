import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as Engine from "../../src/engine/Engine.ts"
import * as Store from "../../src/engine/ExecutionStore.ts"
import * as Timers from "../../src/engine/Timers.ts"
import type * as Protocol from "../../src/Protocol.ts"
import { type Event, start } from "./raw.ts"

type Update = Protocol.OperationUpdate

/** An invocation that does nothing by itself: the test sends its requests. */
const open = Effect.fnUntraced(function* (name = "manual", payload = "{}") {
  const engine = yield* Engine.Engine
  const started = yield* Deferred.make<Event>()
  yield* engine.register(name, (event) => Effect.andThen(Deferred.succeed(started, event as Event), Effect.never))
  yield* engine.registerPlain("plain", () => Effect.never)
  const arn = yield* engine.start({ functionName: `${name}:$LATEST`, payload })
  const event = yield* Deferred.await(started)
  let token = event.CheckpointToken
  const send = (Updates: ReadonlyArray<Update>, request?: Partial<Protocol.CheckpointRequest>) =>
    engine
      .checkpoint({ DurableExecutionArn: arn, CheckpointToken: token, Updates, ClientToken: "", ...request })
      .pipe(Effect.tap((response) => Effect.sync(() => void (token = response.CheckpointToken ?? ""))))
  return { arn, engine, event, send, token: () => token }
})

const engineWith = (options: Engine.Options) =>
  Engine.layerWith(options).pipe(Layer.provide([Store.layerMemory, Timers.layer]))

const end = (
  Id: string,
  Type: Protocol.OperationType,
  Action: Protocol.OperationAction,
  more: Partial<Update> = {}
): Update => ({
  Id,
  Type,
  Action,
  ...more
})
const retry = (Id: string, more: Partial<Update> = {}) =>
  end(Id, "STEP", "RETRY", { StepOptions: { NextAttemptDelaySeconds: 1 }, ...more })
const wait = (Id: string, WaitSeconds = 1): Update => ({ ...start(Id, "WAIT"), WaitOptions: { WaitSeconds } })
const invoke = (Id: string, FunctionName = "plain"): Update => ({
  ...start(Id, "CHAINED_INVOKE"),
  ChainedInvokeOptions: { FunctionName }
})
const violation = (value: string, path: string, constraint: string) =>
  `1 validation error detected: Value '${value}' at 'updates.1.member.${path}' failed to satisfy constraint: Member must ${constraint}`

interface Refusal {
  readonly given?: ReadonlyArray<Update>
  readonly refused: ReadonlyArray<Update>
  readonly reason: string
  readonly errorName?: string
}

const big = (bytes: number) => "x".repeat(bytes)
const many = (type: string): Protocol.OperationType => type as Protocol.OperationType

const refusals: ReadonlyArray<Refusal> = [
  {
    refused: [end("e", "EXECUTION", "SUCCEED"), end("e", "EXECUTION", "SUCCEED")],
    reason: "Cannot checkpoint multiple EXECUTION updates."
  },
  {
    refused: [end("e", "EXECUTION", "SUCCEED"), start("a", "STEP")],
    reason: "EXECUTION checkpoint must be the last update."
  },
  {
    refused: [start("a", "STEP"), start("a", "STEP")],
    reason: "Cannot update the same operation twice in a single request."
  },
  {
    refused: [end("a", "STEP", "SUCCEED"), start("a", "STEP")],
    reason: "Cannot update the same operation twice in a single request."
  },
  {
    refused: [start("a", "STEP"), retry("a"), end("a", "STEP", "FAIL")],
    reason: "Cannot update the same operation twice in a single request."
  },
  {
    refused: [wait("a"), end("a", "WAIT", "CANCEL")],
    reason: "Cannot update the same operation twice in a single request."
  },
  {
    refused: [start("a", "STEP"), start("a", "CONTEXT")],
    reason: "Cannot checkpoint multiple operations with the same ID."
  },
  { refused: [{ ...start("a", "STEP"), ParentId: "p" }], reason: "Invalid parent operation id." },
  {
    refused: [{ ...start("a", "STEP"), ParentId: "p" }, start("p", "CONTEXT")],
    reason: "Invalid parent operation id."
  },
  { refused: [start("p", "STEP"), { ...start("a", "STEP"), ParentId: "p" }], reason: "Invalid parent operation id." },
  { refused: [start("a", many("TIMER"))], reason: "Unknown operation type." },
  { refused: [start("a", many("toString"))], reason: "Unknown operation type." },
  { refused: [end("a", "WAIT", "SUCCEED")], reason: "Invalid action for the given operation type." },
  { refused: [end("a", "CALLBACK", "CANCEL")], reason: "Invalid action for the given operation type." },
  { refused: [end("a", "CONTEXT", "RETRY")], reason: "Invalid action for the given operation type." },
  { refused: [start("e", "EXECUTION")], reason: "Invalid EXECUTION action." },
  {
    refused: [end("a", "STEP", "FAIL", { Error: { ErrorData: big(32_768) } })],
    reason: "Error object size must be less than 32768 bytes."
  },
  {
    refused: [end("a", "STEP", "SUCCEED", { Payload: big(1_048_577) })],
    reason: "STEP output payload size must be less than or equal to 1048576 bytes."
  },
  {
    refused: [end("a", "STEP", "SUCCEED", { Payload: "é".repeat(524_289) })],
    reason: "STEP output payload size must be less than or equal to 1048576 bytes."
  },
  { given: [start("a", "STEP")], refused: [start("a", "CONTEXT")], reason: "Inconsistent operation type." },
  {
    given: [start("a", "STEP")],
    refused: [end("a", "STEP", "SUCCEED", { SubType: "Step" })],
    reason: "Inconsistent operation subtype."
  },
  {
    given: [start("a", "STEP")],
    refused: [end("a", "STEP", "SUCCEED", { Name: "n" })],
    reason: "Inconsistent operation name."
  },
  {
    given: [start("p", "CONTEXT"), start("a", "STEP")],
    refused: [end("a", "STEP", "SUCCEED", { ParentId: "p" })],
    reason: "Inconsistent parent operation id."
  },
  { given: [start("a", "STEP")], refused: [start("a", "STEP")], reason: "Invalid current STEP state to start." },
  { given: [retry("a")], refused: [start("a", "STEP")], reason: "Invalid current STEP state to start." },
  {
    given: [end("a", "STEP", "SUCCEED")],
    refused: [start("a", "STEP")],
    reason: "Invalid current STEP state to start."
  },
  {
    given: [end("a", "STEP", "SUCCEED")],
    refused: [end("a", "STEP", "FAIL")],
    reason: "Invalid current STEP state to close."
  },
  { given: [retry("a")], refused: [end("a", "STEP", "SUCCEED")], reason: "Invalid current STEP state to close." },
  { given: [retry("a")], refused: [retry("a")], reason: "Invalid current STEP state to re-attempt." },
  { refused: [end("a", "STEP", "RETRY")], reason: "Invalid StepOptions for the given action." },
  {
    refused: [retry("a", { Payload: "1", Error: {} })],
    reason: "Cannot provide both error and payload to RETRY a STEP."
  },
  { refused: [end("a", "STEP", "SUCCEED", { Error: {} })], reason: "Cannot provide an Error for SUCCEED action." },
  { refused: [end("a", "STEP", "FAIL", { Payload: "1" })], reason: "Cannot provide a Payload for FAIL action." },
  { refused: [end("e", "EXECUTION", "SUCCEED", { Error: {} })], reason: "Cannot provide an Error for SUCCEED action." },
  { refused: [end("e", "EXECUTION", "FAIL", { Payload: "1" })], reason: "Cannot provide a Payload for FAIL action." },
  {
    given: [start("a", "CONTEXT")],
    refused: [end("a", "CONTEXT", "FAIL", { Payload: "1" })],
    reason: "Cannot provide a Payload for FAIL action."
  },
  {
    given: [start("a", "CONTEXT")],
    refused: [start("a", "CONTEXT")],
    reason: "Cannot start a CONTEXT that already exists."
  },
  { refused: [end("a", "CONTEXT", "SUCCEED")], reason: "Invalid current CONTEXT state to close." },
  {
    given: [start("a", "CONTEXT"), end("a", "CONTEXT", "SUCCEED")],
    refused: [end("a", "CONTEXT", "SUCCEED")],
    reason: "Invalid current CONTEXT state to close."
  },
  { given: [wait("a")], refused: [wait("a")], reason: "Cannot start a WAIT that already exists." },
  { refused: [start("a", "WAIT")], reason: "Update for WAIT operation requires WaitOptions." },
  {
    refused: [end("a", "WAIT", "CANCEL")],
    reason: "Cannot cancel a WAIT that does not exist or has already completed."
  },
  {
    given: [start("a", "CALLBACK")],
    refused: [start("a", "CALLBACK")],
    reason: "Cannot start a CALLBACK that already exists."
  },
  { given: [invoke("a")], refused: [invoke("a")], reason: "Cannot start a CHAINED_INVOKE that already exists." },
  {
    refused: [start("a", "CHAINED_INVOKE")],
    reason: "Update for CHAINED_INVOKE operation requires ChainedInvokeOptions."
  },
  {
    refused: [start("a b", "STEP")],
    errorName: "ValidationException",
    reason: violation("a b", "id", "satisfy regular expression pattern: [a-zA-Z0-9-_]+")
  },
  {
    refused: [start("", "STEP")],
    errorName: "ValidationException",
    reason: violation("", "id", "have length greater than or equal to 1")
  },
  {
    refused: [start(big(65), "STEP")],
    errorName: "ValidationException",
    reason: violation(big(65), "id", "have length less than or equal to 64")
  },
  {
    refused: [{ ...start("a", "STEP"), Name: "é" }],
    errorName: "ValidationException",
    reason: violation("é", "name", "satisfy regular expression pattern: [\\x20-\\x7E]+")
  },
  {
    refused: [{ ...start("a", "STEP"), SubType: big(33) }],
    errorName: "ValidationException",
    reason: violation(big(33), "subType", "have length less than or equal to 32")
  },
  {
    refused: [wait("a", 0)],
    errorName: "ValidationException",
    reason: violation("0", "waitOptions.waitSeconds", "have value greater than or equal to 1")
  },
  {
    refused: [wait("a", 31_622_401)],
    errorName: "ValidationException",
    reason: violation("31622401", "waitOptions.waitSeconds", "have value less than or equal to 31622400")
  },
  {
    refused: [wait("a", 1.5)],
    errorName: "ValidationException",
    reason: violation("1.5", "waitOptions.waitSeconds", "be an integer")
  },
  {
    refused: [{ ...start("a", "CALLBACK"), CallbackOptions: { TimeoutSeconds: -1 } }],
    errorName: "ValidationException",
    reason: violation("-1", "callbackOptions.timeoutSeconds", "have value greater than or equal to 0")
  }
]

describe("CheckpointDurableExecution", () => {
  it.effect.each(refusals)("refuses: $reason", ({ errorName, given = [], reason, refused }) =>
    Effect.gen(function* () {
      const { arn, engine, send } = yield* open()
      if (given.length > 0) yield* send(given)
      const before = yield* engine.operations(arn)
      // All or nothing: the good update in front of the bad ones leaves no trace, and the token stays good.
      const good = refused.some(({ Type }) => Type === "EXECUTION") ? [] : [start("good", "STEP")]
      const rejection = yield* Effect.flip(send([...good, ...refused].slice(errorName === undefined ? 0 : 1)))
      assert.strictEqual(rejection.reason, reason)
      assert.strictEqual(rejection.errorName, errorName ?? "InvalidParameterValueException")
      assert.strictEqual(rejection.status, 400)
      assert.deepStrictEqual(yield* engine.operations(arn), before)
      yield* send([start("next", "STEP")])
    }).pipe(Effect.provide(Engine.layerMemory))
  )

  it.effect("enforces quotas, which can be moved or switched off", () =>
    Effect.gen(function* () {
      const { send } = yield* open()
      yield* send([start("a", "STEP"), start("b", "STEP")])
      const operations = yield* Effect.flip(send([start("c", "STEP")]))
      assert.strictEqual(operations.reason, "Durable execution cannot have more than 2 operations.")
      const storage = yield* Effect.flip(send([end("a", "STEP", "SUCCEED", { Payload: big(9) })]))
      assert.strictEqual(storage.reason, "Durable execution cannot write more than 10 bytes.")
      yield* send([end("a", "STEP", "SUCCEED", { Payload: big(8) })])
    }).pipe(Effect.provide(engineWith({ limits: { operations: 2, storageBytes: 10 } })))
  )

  it.effect("accepts each token once, of this execution and this invocation only", () =>
    Effect.gen(function* () {
      const { arn, engine, event, send, token } = yield* open()
      yield* send([])
      const refused = (CheckpointToken: string) =>
        Effect.map(Effect.flip(send([], { CheckpointToken })), ({ reason }) => reason)
      assert.strictEqual(yield* refused(event.CheckpointToken), "Invalid checkpoint token")
      assert.strictEqual(yield* refused("nonsense"), "Invalid checkpoint token")
      const other = yield* open("other")
      assert.strictEqual(
        yield* refused(other.event.CheckpointToken),
        "Checkpoint token is not valid for the durable execution ARN"
      )
      const unknown = yield* Effect.flip(send([], { DurableExecutionArn: "arn:none" }))
      assert.strictEqual(unknown.reason, "Invalid checkpoint token")
      yield* engine.crash(arn)
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* refused(token()), "Invalid checkpoint token")
      // What AWS's clients and ours make of it: the invocation ends, not the execution.
      const failure = yield* Effect.flip(
        engine.client.checkpoint({
          DurableExecutionArn: arn,
          CheckpointToken: token(),
          Updates: [],
          ClientToken: ""
        })
      )
      assert.strictEqual(failure.scope, "invocation")
      assert.isFalse(failure.transient)
    }).pipe(Effect.provide(Engine.layerMemory))
  )

  it.effect("answers the same request with the same response for fifteen minutes", () =>
    Effect.gen(function* () {
      const { arn, engine, event, send } = yield* open()
      const request = { CheckpointToken: event.CheckpointToken, ClientToken: "c" }
      const first = yield* send([start("a", "STEP")], request)
      const history = yield* engine.history(arn)
      assert.deepStrictEqual(yield* send([start("a", "STEP")], request), first)
      assert.deepStrictEqual(yield* engine.history(arn), history)
      yield* TestClock.adjust("15 minutes")
      assert.deepStrictEqual(yield* send([start("a", "STEP")], request), first)
      yield* TestClock.adjust("1 milli")
      const late = yield* Effect.flip(send([start("a", "STEP")], request))
      assert.strictEqual(late.reason, "Invalid checkpoint token")
    }).pipe(Effect.provide(Engine.layerMemory))
  )

  it.effect("tells what changed since the invocation has heard", () =>
    Effect.gen(function* () {
      const { engine, send } = yield* open()
      const ids = (response: Protocol.CheckpointResponse) =>
        response.NewExecutionState?.Operations?.map(({ Id, Status }) => `${Id} ${Status}`)
      assert.deepStrictEqual(
        ids(yield* send([start("a", "STEP"), end("a", "STEP", "SUCCEED"), wait("w"), start("c", "CALLBACK")])),
        ["a SUCCEEDED", "w STARTED", "c STARTED"]
      )
      assert.deepStrictEqual(ids(yield* send([])), [])
      const callbackId = (yield* send([start("d", "CALLBACK")])).NewExecutionState?.Operations?.[0]?.CallbackDetails
        ?.CallbackId
      yield* TestClock.adjust("1 second")
      yield* engine.succeedCallback(callbackId ?? "", "plain text")
      const response = yield* send([start("b", "STEP")])
      assert.deepStrictEqual(ids(response), ["w SUCCEEDED", "d SUCCEEDED", "b STARTED"])
      assert.strictEqual(response.NewExecutionState?.Operations?.[0]?.EndTimestamp, 1_000)
    }).pipe(Effect.provide(Engine.layerMemory))
  )

  it.effect("closes the execution and gives no further token", () =>
    Effect.gen(function* () {
      const { arn, engine, send } = yield* open()
      const response = yield* send([start("a", "STEP"), end("ignored", "EXECUTION", "SUCCEED", { Payload: "1" })])
      assert.strictEqual(response.CheckpointToken, undefined)
      const { Result, Status } = yield* engine.await(arn)
      assert.deepStrictEqual([Status, Result], ["SUCCEEDED", "1"])
    }).pipe(Effect.provide(Engine.layerMemory))
  )

  it.effect("stamps every request later than the one before, and deadlines by the clock", () =>
    Effect.gen(function* () {
      const { arn, engine, send } = yield* open()
      yield* send([wait("a"), wait("b")])
      yield* send([wait("c")])
      const [, a, b, c] = yield* engine.operations(arn)
      assert.strictEqual(a?.StartTimestamp, b?.StartTimestamp)
      assert.isTrue((c?.StartTimestamp ?? 0) > (a?.StartTimestamp ?? 0))
      assert.deepStrictEqual(
        [a, b, c].map((operation) => operation?.WaitDetails?.ScheduledEndTimestamp),
        [1000, 1000, 1000]
      )
    }).pipe(Effect.provide(Engine.layerMemory))
  )
})

describe("GetDurableExecutionState", () => {
  const pageAll = Effect.fnUntraced(function* (
    engine: Engine.Engine["Service"],
    request: Omit<Protocol.ExecutionStateRequest, "Marker">,
    marker: string
  ) {
    const pages: Array<ReadonlyArray<string>> = []
    for (let Marker: string | undefined = marker; Marker;) {
      const page: Protocol.ExecutionStateResponse = yield* engine.getExecutionState({ ...request, Marker })
      pages.push((page.Operations ?? []).map(({ Id }) => Id))
      Marker = page.NextMarker
    }
    return pages
  })

  it.effect("pages the changes of a checkpoint with the new token", () =>
    Effect.gen(function* () {
      const { arn, engine, send, token } = yield* open()
      const { NewExecutionState } = yield* send(["a", "b", "c", "d", "e"].map((id) => start(id, "STEP")))
      assert.deepStrictEqual(
        NewExecutionState?.Operations?.map(({ Id }) => Id),
        ["a", "b"]
      )
      assert.deepStrictEqual(
        yield* pageAll(
          engine,
          { DurableExecutionArn: arn, CheckpointToken: token(), MaxItems: 1000 },
          NewExecutionState?.NextMarker ?? ""
        ),
        [["c", "d"], ["e"]]
      )
    }).pipe(Effect.provide(engineWith({ responsePage: { items: 2 } })))
  )

  it.effect("pages by bytes: a large input is not in the event", () =>
    Effect.gen(function* () {
      const { arn, engine, event } = yield* open("manual", JSON.stringify(big(1000)))
      assert.deepStrictEqual(event.InitialExecutionState.Operations, [])
      const page = yield* engine.getExecutionState({
        DurableExecutionArn: arn,
        CheckpointToken: event.CheckpointToken,
        Marker: event.InitialExecutionState.NextMarker,
        MaxItems: 0
      })
      assert.strictEqual(page.Operations?.[0]?.Type, "EXECUTION")
      assert.strictEqual(page.NextMarker, undefined)
    }).pipe(Effect.provide(engineWith({ eventPage: { bytes: 1000 } })))
  )

  it.effect("leaves out the children of completed contexts, unless they are to be replayed", () =>
    Effect.gen(function* () {
      const { arn, engine, event, send, token } = yield* open()
      const child = (Id: string, ParentId: string): Update => ({ ...start(Id, "CONTEXT"), ParentId })
      const close = (Id: string, ParentId: string | undefined, ReplayChildren: boolean): Update => ({
        Id,
        Type: "CONTEXT",
        Action: "SUCCEED",
        ...(ParentId === undefined ? undefined : { ParentId }),
        ContextOptions: { ReplayChildren }
      })
      yield* send([
        start("a", "CONTEXT"),
        child("a1", "a"),
        child("a2", "a1"),
        start("b", "CONTEXT"),
        child("b1", "b"),
        child("b2", "b1")
      ])
      yield* send([
        close("a2", "a1", true),
        close("a", undefined, false),
        close("b", undefined, true),
        close("b1", "b", false)
      ])
      assert.strictEqual(event.InitialExecutionState.NextMarker, "")
      const pages = yield* pageAll(
        engine,
        { DurableExecutionArn: arn, CheckpointToken: token(), MaxItems: 2 },
        "x"
      ).pipe(Effect.flip)
      assert.strictEqual(pages.reason, "Invalid Marker.")
      const first = yield* engine.getExecutionState({
        DurableExecutionArn: arn,
        CheckpointToken: token(),
        Marker: "",
        MaxItems: 2
      })
      assert.deepStrictEqual(first.Operations?.map(({ Id }) => Id).slice(1), ["a"])
      assert.deepStrictEqual(
        yield* pageAll(
          engine,
          { DurableExecutionArn: arn, CheckpointToken: token(), MaxItems: 2 },
          first.NextMarker ?? ""
        ),
        [["b", "b1"]]
      )
    }).pipe(Effect.provide(Engine.layerMemory))
  )
})
