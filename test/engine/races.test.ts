/**
 * Everything at once, on stores that take their time: whatever happens when, histories stay what the service would
 * write, and every execution ends.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Engine from "../../src/engine/Engine.ts"
import * as Store from "../../src/engine/ExecutionStore.ts"
import * as Timers from "../../src/engine/Timers.ts"
import type * as History from "../../src/History.ts"
import type * as Protocol from "../../src/Protocol.ts"
import { rebuild } from "../../src/testing/rebuild.ts"
import { stores } from "./kit.ts"
import * as raw from "./raw.ts"

const EXECUTIONS = 60

const turn = Effect.callback<void>((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** Between none and three turns of the event loop. */
const pause = Effect.flatMap(Random.nextIntBetween(0, 4), (turns) => Effect.repeat(turn, { times: turns }))

const terminal = (operation: Protocol.Operation | undefined) =>
  operation !== undefined && !["STARTED", "PENDING", "READY"].includes(operation.Status)

const oneOf = <A>(values: ReadonlyArray<A>) => Effect.map(Random.nextIntBetween(0, values.length), (i) => values[i]!)

/** Starts one of everything, goes on until all of it has ended, and fails on the way now and then. */
const busy = raw.register(
  "busy",
  (durable) =>
    Effect.gen(function* () {
      const ids = ["wait", "callback", "beating", "child", "plain", "step"]
      const missing = ids.filter((id) => !durable.operations.has(id))
      const start: Readonly<Record<string, Protocol.OperationUpdate>> = {
        wait: { ...raw.start("wait", "WAIT"), WaitOptions: { WaitSeconds: 1 } },
        callback: { ...raw.start("callback", "CALLBACK"), CallbackOptions: { TimeoutSeconds: 2 } },
        beating: {
          ...raw.start("beating", "CALLBACK"),
          CallbackOptions: { TimeoutSeconds: 3, HeartbeatTimeoutSeconds: 1 }
        },
        child: { ...raw.start("child", "CHAINED_INVOKE"), ChainedInvokeOptions: { FunctionName: "child:1" } },
        plain: { ...raw.start("plain", "CHAINED_INVOKE"), ChainedInvokeOptions: { FunctionName: "plain" } }
      }
      for (const id of missing) {
        if (start[id] !== undefined) yield* durable.send([start[id]])
        yield* pause
      }
      const step = durable.operations.get("step")
      if (step === undefined || step.Status === "READY") {
        const last = (step?.StepDetails?.Attempt ?? 0) >= 2
        yield* durable.send([
          raw.start("step", "STEP"),
          last
            ? { Id: "step", Type: "STEP", Action: "SUCCEED", Payload: "1" }
            : { Id: "step", Type: "STEP", Action: "RETRY", Error: {}, StepOptions: { NextAttemptDelaySeconds: 1 } }
        ])
      }
      yield* pause
      const fault = yield* Random.nextIntBetween(0, 25)
      if (fault === 0)
        return yield* Effect.fail(new Engine.InvocationError({ errorType: "TypeError", reason: "chance" }))
      if (fault === 1) return yield* Effect.fail(Engine.exited())
      yield* durable.send([])
      if (!ids.every((id) => terminal(durable.operations.get(id)))) return yield* new raw.Suspended()
      return "all"
    }),
  { executionTimeoutSeconds: 300 }
)

const child = raw.register("child", (durable) => durable.wait("w", 1))

/** What may be true of no history. */
const faultsOf = (
  description: Engine.Description,
  events: ReadonlyArray<History.Event>,
  operations: ReadonlyArray<Protocol.Operation>
): ReadonlyArray<string> => {
  const found: Array<string> = []
  const types = raw.types(events)
  if (events.some(({ EventId }, i) => EventId !== i + 1)) found.push("numbers of events")
  if (events.some(({ EventTimestamp = 0 }, i) => EventTimestamp < (events[i - 1]?.EventTimestamp ?? 0))) {
    found.push("times of events go back")
  }
  const ends = types.flatMap((type, i) => (/^Execution(?!Started)/.test(type) ? [i] : []))
  if (ends.length !== 1) found.push(`${ends.length} ends`)
  const after = types.slice(ends[0]! + 1)
  if (after.length > 1 || after.some((type) => type !== "InvocationCompleted")) found.push(`after the end: ${after}`)
  const invocations = events.flatMap(({ InvocationCompletedDetails: details }) => details ?? [])
  for (const [i, { EndTimestamp = 0, StartTimestamp = 0 }] of invocations.entries()) {
    if (StartTimestamp > EndTimestamp) found.push("an invocation ends before it begins")
    if (StartTimestamp < (invocations[i - 1]?.EndTimestamp ?? 0)) found.push("two invocations at a time")
    if (StartTimestamp > (description.EndTimestamp ?? Infinity)) found.push("an invocation after the end")
  }
  for (const { Id, Type } of operations) {
    const own = types.filter((type, i) => events[i]!.Id === Id && Type !== "EXECUTION" && !type.endsWith("Started"))
    if (Type !== "STEP" && own.length > 1) found.push(`${Type} ended ${own.length} times: ${own}`)
  }
  const told = rebuild(events).operations.map(({ Id, Status }) => `${Id} ${Status}`)
  const kept = operations
    // a history does not tell that a delay is over, and the state tells how the execution has ended
    .map(({ Id, Status, Type }) =>
      Type === "EXECUTION" ? `${Id} STARTED` : `${Id} ${Status === "READY" ? "PENDING" : Status}`
    )
  if (told.sort().join() !== kept.sort().join()) found.push(`told ${told.join()}, kept ${kept.join()}`)
  return found
}

describe.each(stores)("at once, on %s that takes its time", (_, store) => {
  it.live("histories are whole, and everything ends", () =>
    Effect.gen(function* () {
      const seed = yield* Random.nextInt
      const opened = Context.get(yield* Effect.flatMap(store, (open) => Layer.build(open())), Store.ExecutionStore)
      const late = <A, E>(effect: Effect.Effect<A, E>) =>
        Effect.andThen(
          pause,
          Effect.tap(effect, () => pause)
        )
      const slow: Store.ExecutionStore["Service"] = {
        ...opened,
        commit: (commit) => late(opened.commit(commit)),
        execution: (arn) => late(opened.execution(arn))
      }
      yield* Effect.gen(function* () {
        const engine = yield* Engine.Engine
        yield* Effect.all([busy, child])
        yield* engine.registerPlain("plain", () => Effect.as(pause, 1))

        /** Somebody outside, who knows nothing of the others. */
        const bother = Effect.fnUntraced(function* (arn: string) {
          for (;;) {
            yield* Effect.sleep(`${yield* Random.nextIntBetween(0, 10)} millis`)
            if ((yield* engine.describe(arn)).Status !== "RUNNING") return
            const callbacks = (yield* engine.operations(arn)).flatMap(
              ({ CallbackDetails }) => CallbackDetails?.CallbackId ?? []
            )
            const id = callbacks.length === 0 ? undefined : yield* oneOf(callbacks)
            const what = yield* Random.nextIntBetween(0, 120)
            const acts: ReadonlyArray<Effect.Effect<unknown, unknown>> =
              what === 0
                ? [engine.stop(arn, { ErrorType: "Bored" }), engine.stop(arn)]
                : what < 4
                  ? [engine.crash(arn)]
                  : id === undefined
                    ? []
                    : what < 16
                      ? [engine.succeedCallback(id, "1"), engine.succeedCallback(id, "2"), engine.failCallback(id)]
                      : [engine.heartbeatCallback(id)]
            yield* Effect.all(acts.map(Effect.exit), { concurrency: "unbounded" })
          }
        })
        const arns = yield* Effect.forEach(
          Array.from({ length: EXECUTIONS }),
          () => engine.start({ functionName: "busy:1" }),
          { concurrency: "unbounded" }
        )
        yield* Effect.forEach(arns, bother, { concurrency: "unbounded" })
        const statuses = new Set<string>()
        const all = yield* engine.list()
        yield* Effect.forEach(all, ({ DurableExecutionArn: arn }) => engine.await(arn), { concurrency: "unbounded" })
        yield* Effect.sleep("50 millis") // the last invocations of those that were stopped
        for (const { DurableExecutionArn: arn } of all) {
          const description = yield* engine.describe(arn)
          statuses.add(description.Status)
          const events = yield* engine.history(arn)
          const faults = faultsOf(description, events, yield* engine.operations(arn))
          assert.deepStrictEqual(
            faults,
            [],
            `${description.Status} ${arn} (seed ${seed})\n${raw.types(events).join("\n")}`
          )
        }
        assert.includeMembers([...statuses], ["SUCCEEDED", "STOPPED"])
        assert.strictEqual(yield* engine.recover, 0)
      }).pipe(
        Random.withSeed(seed),
        Effect.provide(
          Layer.fresh(
            Layer.provide(Engine.layer, [
              Layer.succeed(Store.ExecutionStore, slow),
              Timers.layerScaled({ timeScale: 0.02 })
            ])
          )
        )
      )
    })
  )
})
