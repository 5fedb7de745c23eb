/**
 * The same workloads through AWS's SDK 2.4.0 and through this library, both on our engine. Per operation both must
 * send the same: type, subtype, actions, name, parent, options and success payloads; and the executions must end
 * alike, after as many invocations. What differs on purpose is listed, with its reason, and the list is tested too.
 */
import {
  type DurableContext,
  type DurableExecutionClient as AwsClient,
  withDurableExecution
} from "@aws/durable-execution-sdk-js"
import { assert, describe, it } from "@effect/vitest"
import {
  BatchResult,
  Durable,
  DurableExecutionClient,
  DurableFunction,
  DurableHandler,
  type Protocol
} from "effect-durable-lambda"
import { Engine } from "effect-durable-lambda/engine"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { batches } from "./batches.ts"
import {
  type Answer,
  everySecond,
  failsUntil,
  ok,
  oursFailsUntil,
  ourRetry,
  type Workload,
  workloads
} from "./workloads.ts"

const all = { ...workloads, ...batches }

// ---- running them ------------------------------------------------------------------------------------------

interface Trace {
  readonly updates: ReadonlyArray<Protocol.OperationUpdate>
  readonly batches: ReadonlyArray<number>
  readonly status: Protocol.ExecutionStatus
  readonly result: string | undefined
  readonly error: Protocol.ErrorObject | undefined
  readonly invocations: number
}

const TIMESTAMPS = new Set(["StartTimestamp", "EndTimestamp", "NextAttemptTimestamp", "ScheduledEndTimestamp"])
/** What AWS's client makes of timestamps. */
const withDates = (value: unknown): any =>
  JSON.parse(JSON.stringify(value), (key, item) => (TIMESTAMPS.has(key) ? new Date(item) : item))

const moment = Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 1)))

/** Longer than it takes either of them to answer PENDING: AWS's SDK waits 20 ms first. */
const started = <A>(run: (payload: unknown) => A) =>
  Engine.fromHandler((payload) => new Promise((resolve) => setTimeout(resolve, 60)).then(() => run(payload)))

/** Completes a callback when it is open, and nothing runs. */
const complete = Effect.fnUntraced(function* (
  arn: string,
  { callback, error, result }: Answer,
  before: number,
  started: () => number
) {
  const engine = yield* Engine.Engine
  for (;;) {
    const answered = (yield* engine.history(arn)).filter(({ EventType }) => EventType === "InvocationCompleted").length
    const open = (yield* engine.operations(arn)).find(
      ({ Name, ParentId, Status, Type }) =>
        Type === "CALLBACK" && Status === "STARTED" && (Name === callback || ParentId !== undefined)
    )
    const waits = (yield* engine.operations(arn)).some(({ Status }) => Status === "PENDING" || Status === "READY")
    const id = open?.CallbackDetails?.CallbackId
    if (id !== undefined && answered > before && answered === started() && !waits) {
      return yield* error === undefined ? engine.succeedCallback(id, result) : engine.failCallback(id, error)
    }
    yield* moment
  }
})

const trace = Effect.fnUntraced(function* (side: "aws" | "ours", { answers = [], aws, hold, input, ours }: Workload) {
  const engine = yield* Engine.Engine
  yield* engine.registerPlain(
    "echo",
    started((payload) => payload)
  )
  yield* engine.registerPlain(
    "fails",
    started(() => failsUntil(2, 1))
  )
  const updates: Array<Protocol.OperationUpdate> = []
  const batches: Array<number> = []
  let invocations = 0
  const checkpoint = (request: Protocol.CheckpointRequest) => {
    updates.push(...JSON.parse(JSON.stringify(request.Updates))) // as it goes to the wire
    batches.push(request.Updates.length)
    return engine.client.checkpoint(request)
  }
  const awsClient: AwsClient = {
    checkpoint: (request) =>
      Effect.runPromise(
        // its ClientToken is filled in by AWS's client
        checkpoint({
          ClientToken: `aws-${batches.length}`,
          ...(request as Omit<Protocol.CheckpointRequest, "ClientToken">)
        })
      ).then(withDates),
    getExecutionState: (request) =>
      Effect.runPromise(engine.client.getExecutionState(request as Protocol.ExecutionStateRequest)).then(withDates)
  }
  const handler =
    side === "aws"
      ? withDurableExecution((event: unknown, context: DurableContext) => aws(context, event), {
          durableExecutionClient: awsClient
        })
      : DurableHandler.make(
          DurableFunction.make("workload", { payload: Schema.Any, success: Schema.Any, error: Schema.Any }),
          ours,
          { client: Layer.succeed(DurableExecutionClient.DurableExecutionClient, { ...engine.client, checkpoint }) }
        )
  yield* engine.register(
    "workload",
    Engine.fromHandler((event, context) => {
      invocations++
      return (handler as (event: unknown, context: unknown) => unknown)(event, context)
    })
  )
  const payload = input === undefined ? undefined : JSON.stringify(input)
  const answered = Effect.gen(function* () {
    const arn = yield* engine.start({ functionName: "workload:$LATEST", payload })
    for (const [i, answer] of answers.entries()) yield* complete(arn, answer, i, () => invocations)
    return arn
  })
  const arn = yield* hold === true ? engine.hold(answered) : answered
  const { Error: error, Result: result, Status: status } = yield* engine.await(arn)
  return { updates, batches, status, result, error, invocations } satisfies Trace
}, Effect.provide(Engine.layerSkipping))

// ---- comparing ---------------------------------------------------------------------------------------------

/** What is sent for one operation, without what differs on purpose. */
type Sent = Record<string, unknown>

interface Difference {
  readonly what: string
  readonly reason: string
  readonly ignore: (sent: Sent) => Sent
}

interface Item {
  readonly result?: unknown
  readonly error?: Protocol.ErrorObject
}

/** Without something of each item in the record of a batch. */
const inBatch =
  (ignore: (item: Item) => unknown) =>
  (sent: Sent): Sent => {
    if (!/^(Map|Parallel)$/.test(String(sent.SubType)) || typeof sent.Payload !== "string") return sent
    const { all, ...rest } = JSON.parse(sent.Payload)
    return { ...sent, Payload: JSON.stringify({ all: all?.map(ignore), ...rest }) }
  }

const onPurpose: ReadonlyArray<Difference> = [
  {
    what: "ids",
    reason:
      "Ours are a hash of context, kind, name and occurrence, AWS's count calls: reordering concurrent operations is " +
      "harmless with ours (design.md, section 6). Here operations are known by their names and parents.",
    ignore: ({ Id: _, ...rest }) => rest
  },
  {
    what: "ErrorData",
    reason:
      "Ours carries the encoded error, so that a failure keeps its class and its fields; AWS's loses them (wire-protocol 18).",
    ignore: ({ ErrorData: _, ...rest }) => rest
  },
  {
    what: "ErrorType of a failed context",
    reason:
      "Ours is the type of what failed, AWS's that of its wrapper: one level up only `StepError` is left (wire-protocol 18.1).",
    ignore: (sent) => (sent.Type === "CONTEXT" ? { ...sent, ErrorType: undefined } : sent)
  },
  {
    what: "errors in the record of a batch",
    reason: "As above, and for the same reasons: the type of what failed, and the encoded error.",
    ignore: inBatch(({ error, ...item }) => ({ ...item, error: error?.ErrorMessage }))
  },
  {
    what: "values with a codec in the record of a batch",
    reason: "Ours are what the codec has written, AWS's what it was given: only plain JSON survives there.",
    ignore: inBatch(({ result, ...item }) => ({
      ...item,
      result: typeof result === "string" ? result.replace(/^<(.*)>$/, "$1") : result
    }))
  },
  {
    what: "message of a callback that timed out",
    reason: "Ours says which callback it is, AWS's says that one did.",
    ignore: (sent) =>
      /timed out|in time/.test(String(sent.ErrorMessage)) ? { ...sent, ErrorMessage: undefined } : sent
  },
  {
    what: "names inside of waitForCallback",
    reason:
      "Ours are those of the whole: a name is what makes an operation the same in every run, and what its errors say " +
      "(design.md, section 3). AWS's are none.",
    ignore: (sent) => (/WaitForCallback:[^/]*$/.test(String(sent.Parent)) ? { ...sent, Name: undefined } : sent)
  }
]

/** `outer/inner/s#2`: names, not ids. */
const pathsOf = (updates: ReadonlyArray<Protocol.OperationUpdate>) => {
  const paths = new Map<string, string>()
  const counts = new Map<string, number>()
  for (const { Id, Name, ParentId, SubType } of updates) {
    if (paths.has(Id)) continue
    const parent = ParentId === undefined ? "" : paths.get(ParentId)!
    const name = /WaitForCallback:[^/]*$/.test(parent) ? "" : `:${Name}`
    const path = `${parent === "" ? "" : `${parent}/`}${SubType}${name}`
    const count = (counts.get(path) ?? 0) + 1
    counts.set(path, count)
    paths.set(Id, `${path}#${count}`)
  }
  return paths
}

const sentBy = (updates: ReadonlyArray<Protocol.OperationUpdate>, differences: ReadonlyArray<Difference>) => {
  const paths = pathsOf(updates)
  const operations: Record<string, Array<Sent>> = {}
  for (const { Error: error, ParentId, ...update } of updates) {
    const sent: Sent = {
      ...update,
      Parent: ParentId === undefined ? undefined : paths.get(ParentId),
      ErrorType: error?.ErrorType,
      ErrorMessage: error?.ErrorMessage,
      ErrorData: error?.ErrorData,
      StackTrace: error?.StackTrace
    }
    const kept = differences.reduce((sent, { ignore }) => ignore(sent), sent)
    const present = Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined))
    ;(operations[paths.get(update.Id)!] ??= []).push(present)
  }
  return operations
}

const both = (workload: Workload) => Effect.all([trace("aws", workload), trace("ours", workload)], { concurrency: 2 })

describe("AWS's SDK and this library send the same, operation by operation", () => {
  for (const [name, workload] of Object.entries(all)) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const [aws, ours] = yield* both(workload)
        assert.deepStrictEqual(sentBy(ours.updates, onPurpose), sentBy(aws.updates, onPurpose))
        assert.strictEqual(ours.status, aws.status)
        assert.strictEqual(ours.result, aws.result)
        assert.strictEqual(ours.error?.ErrorMessage, aws.error?.ErrorMessage)
        assert.strictEqual(ours.invocations, aws.invocations)
        // never more requests than AWS's SDK
        assert.isAtMost(ours.batches.length, aws.batches.length)
      })
    )
  }
})

describe("what differs on purpose", () => {
  const showing: Readonly<Record<string, string>> = {
    ids: "sequential steps",
    ErrorData: "retries",
    "ErrorType of a failed context": "a failed context, caught",
    "errors in the record of a batch": "a failing map that is caught",
    "values with a codec in the record of a batch": "items with texts of their own",
    "message of a callback that timed out": "waitForCallback that times out, caught, in a context",
    "names inside of waitForCallback": "waitForCallback"
  }
  for (const { reason, what } of onPurpose) {
    it.effect(`${what}: ${reason}`, () =>
      Effect.gen(function* () {
        const [aws, ours] = yield* both(all[showing[what]!]!)
        const others = onPurpose.filter((one) => one.what !== what)
        assert.notDeepEqual(sentBy(ours.updates, others), sentBy(aws.updates, others))
      })
    )
  }

  it.effect("START batching: the START of a slow step waits for another reason to send, or for `startDelay`", () =>
    Effect.gen(function* () {
      const pause = (millis: number) => () => new Promise<number>((resolve) => setTimeout(() => resolve(1), millis))
      const [aws, ours] = yield* both({
        aws: (context) => context.step("slow", pause(200)), // until a busy machine has sent its START
        ours: () => Durable.step("slow", Effect.promise(pause(5)))
      })
      assert.deepStrictEqual(aws.batches, [1, 1])
      assert.deepStrictEqual(ours.batches, [2])
    })
  )

  it.effect("errors of an execution: ours is the declared error with its data, AWS's a wrapper's name", () =>
    Effect.gen(function* () {
      const [aws, ours] = yield* both(all["a failed step, uncaught"]!)
      assert.strictEqual(aws.error?.ErrorType, "StepError")
      assert.strictEqual(ours.error?.ErrorType, "StepFailed")
      assert.include(ours.error?.ErrorData, '"type":"Declined"')
    })
  )

  it.effect("a callback that times out: ours says which one, AWS's that one did", () =>
    Effect.gen(function* () {
      const [aws, ours] = yield* both({
        aws: async (context) => (await context.createCallback("c", { timeout: { seconds: 5 } }))[0],
        ours: () => Effect.flatMap(Durable.callback("c", { timeout: "5 seconds" }), (callback) => callback.await)
      })
      assert.strictEqual(aws.error?.ErrorMessage, "Callback timed out")
      assert.strictEqual(ours.error?.ErrorMessage, 'Callback "c" got no answer in time.')
    })
  )

  it.effect("a failed condition: AWS's SDK calls it StepError, ours ConditionFailed with the type of the failure", () =>
    Effect.gen(function* () {
      const [aws, ours] = yield* both({
        aws: (context) =>
          context.waitForCondition("poll", async (n: number) => (failsUntil(9, 1), n), {
            initialState: 0,
            waitStrategy: () => ({ shouldContinue: false })
          }),
        ours: () =>
          Durable.waitForCondition("poll", (n) => Effect.as(oursFailsUntil(9), n), {
            initial: 0,
            state: Schema.Number,
            until: () => true
          })
      })
      assert.strictEqual(aws.error?.ErrorType, "StepError")
      assert.strictEqual(ours.error?.ErrorType, "ConditionFailed")
      assert.include(ours.error?.ErrorData, '"type":"Declined"')
    })
  )

  it.effect("a string payload: AWS's SDK takes two strings for a name and a function, and sends no payload", () =>
    Effect.gen(function* () {
      const [aws, ours] = yield* both({
        aws: (context) => (context.invoke as any)("echo", "text").catch(() => "failed"),
        ours: () =>
          Durable.invoke("echo", { payload: Schema.String, success: Schema.String }, "text", { functionName: "echo" })
      })
      assert.strictEqual(ours.result, '"text"')
      assert.strictEqual(ours.updates[0]?.Payload, '"text"')
      assert.strictEqual(aws.updates[0]?.ChainedInvokeOptions?.FunctionName, "text")
      assert.isUndefined(aws.updates[0]?.Payload)
    })
  )

  it.effect("a thrown exception: AWS's SDK retries it, here it is a defect and fails the step at once", () =>
    Effect.gen(function* () {
      const [aws, ours] = yield* both({
        aws: (context) => context.step("t", async ({ attempt }) => failsUntil(2, attempt), everySecond(2)),
        ours: () =>
          Durable.step(
            "t",
            Effect.map(Durable.CurrentStep, ({ attempt }) => failsUntil(2, attempt)),
            { retry: ourRetry(2) }
          )
      })
      assert.strictEqual(aws.status, "SUCCEEDED")
      assert.strictEqual(ours.status, "FAILED")
      assert.deepStrictEqual(
        ours.updates.map(({ Action }) => Action),
        ["START", "FAIL"]
      )
      assert.strictEqual(ours.error?.ErrorType, "Declined")
    })
  )

  it.effect("values of undefined: AWS's JS SDK 2.4.0 gets this wrong (section 24), and drops them", () =>
    Effect.gen(function* () {
      const [aws, ours] = yield* both({
        aws: async (context) => {
          const batch = await context.map("m", [1, 2], async (_, n) => (n === 1 ? undefined : n))
          return [batch.successCount, batch.getResults().length, batch.succeeded().length]
        },
        ours: () =>
          Effect.map(
            Durable.map("m", [1, 2], (n) => ok(n === 1 ? undefined : n), { mode: "result" }),
            (batch) => [batch.counts.success, batch.successes.length, BatchResult.succeeded(batch).length]
          )
      })
      assert.strictEqual(aws.result, "[2,1,1]")
      assert.strictEqual(ours.result, "[2,2,2]")
    })
  )

  it.effect("minSuccessful > total: AWS's JS SDK 2.4.0 gets this wrong (section 24), and does not refuse it", () =>
    Effect.gen(function* () {
      const [aws, ours] = yield* both({
        aws: async (context) => {
          const batch = await context.map("m", [1, 2], async (_, n) => n, { completionConfig: { minSuccessful: 5 } })
          return batch.completionReason
        },
        ours: () => Durable.map("m", [1, 2], (n) => ok(n), { mode: "result", completion: { minSuccessful: 5 } })
      })
      assert.strictEqual(aws.result, '"ALL_COMPLETED"')
      assert.strictEqual(ours.error?.ErrorType, "InvalidOperation")
      assert.deepStrictEqual(ours.updates, [])
    })
  )

  it.effect("started items of a large batch: AWS's JS SDK 2.4.0 gets this wrong (section 25), and loses them", () =>
    Effect.gen(function* () {
      const big = "x".repeat(150_000)
      const seen: Record<"aws" | "ours", Array<ReadonlyArray<number>>> = { aws: [], ours: [] }
      yield* both({
        aws: async (context) => {
          const batch = await context.parallel(
            "p",
            [
              async () => big,
              async () => big,
              async (child) => {
                await child.wait("slow", { seconds: 100 })
                return ""
              }
            ],
            { completionConfig: { minSuccessful: 2 } }
          )
          seen.aws.push([batch.totalCount, batch.startedCount])
          await context.wait("w", { seconds: 1 })
        },
        ours: () =>
          Effect.gen(function* () {
            const { counts } = yield* Durable.parallel(
              "p",
              [Effect.as(Durable.wait("slow", "100 seconds"), ""), ok(big), ok(big)],
              { mode: "result", completion: { minSuccessful: 2 } }
            )
            seen.ours.push([counts.total, counts.started])
            yield* Durable.wait("w", "1 second")
          })
      })
      assert.deepStrictEqual(seen.aws[0], [3, 1])
      assert.deepStrictEqual(seen.aws.at(-1), [2, 0])
      for (const counts of seen.ours) assert.deepStrictEqual(counts, [3, 1])
      assert.isAbove(seen.ours.length, 1)
    })
  )

  it.effect("order of completions: where an outside completion meets other waiters, ours writes a marker", () =>
    Effect.gen(function* () {
      const [aws, ours] = yield* both({
        aws: (context) =>
          Promise.all([
            context.wait("w", { seconds: 1 }).then(() => context.step("behind", async () => 1)),
            context.wait("longer", { seconds: 100 })
          ]),
        ours: () =>
          Effect.all(
            [
              Effect.andThen(Durable.wait("w", "1 second"), Durable.step("behind", ok(1))),
              Durable.wait("longer", "100 seconds")
            ],
            { concurrency: 2 }
          )
      })
      const names = ({ updates }: Trace) => [...new Set(updates.map(({ Name }) => Name))]
      assert.sameMembers(names(ours), [...names(aws), "order-of-completions"])
      assert.strictEqual(ours.status, "SUCCEEDED")
    })
  )
})
