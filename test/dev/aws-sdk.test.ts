/**
 * AWS's own durable SDK, as it is, over HTTP: its handlers run in this process and reach the engine through a
 * real `LambdaClient`; executions are started, answered and read by real ones too, and by AWS's cloud test runner.
 */
import { InvokeCommand } from "@aws-sdk/client-lambda"
import {
  type DurableContext,
  type DurableLambdaHandler,
  StepSemantics,
  withDurableExecution
} from "@aws/durable-execution-sdk-js"
import { CloudDurableTestRunner, WaitingOperationStatus } from "@aws/durable-execution-sdk-js-testing"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Engine from "../../src/engine/Engine.ts"
import * as Timers from "../../src/engine/Timers.ts"
import * as kit from "./kit.ts"

// ---- patterns ------------------------------------------------------------------------------------

interface Pattern {
  readonly input?: unknown
  readonly body: (context: DurableContext, input: any) => Promise<unknown>
  /** What the execution gives. */
  readonly gives?: unknown
  /** The error that it ends with instead. */
  readonly fails?: { readonly type: string; readonly message: RegExp }
  readonly invocations: number | "some"
  /** Answers a callback of the execution. */
  readonly answer?: (engine: Engine.Engine["Service"], callbackId: string) => Effect.Effect<unknown, Engine.Rejection>
}

class Busy extends Error {
  override readonly name = "Busy"
}

const retrying = (times: number) => ({
  retryStrategy: (_: Error, attempt: number) => ({ shouldRetry: attempt <= times, delay: { seconds: 1 } })
})
const until = (attempt: number, current: number) => {
  if (current < attempt) throw new Busy(`attempt ${current}`)
  return `attempt ${current}`
}
const messageOf = (error: unknown) => (error as Error).message
const text = (kilobytes: number) => "x".repeat(kilobytes * 1024)

const patterns: Readonly<Record<string, Pattern>> = {
  "steps in a row": {
    input: { user: "Ann" },
    body: async (context, { user }) => {
      const a = await context.step("a", async () => ({ user, tags: ["x", null, 1.5] }))
      return [await context.step("b", async () => `${a.user}!`), await context.step("c", async () => 7)]
    },
    gives: ["Ann!", 7],
    invocations: 1
  },
  "steps at the same time": {
    body: (context) => Promise.all(["a", "b", "c"].map((name) => context.step(name, async () => name))),
    gives: ["a", "b", "c"],
    invocations: 1
  },
  retries: {
    body: (context) => context.step("r", async ({ attempt }) => until(3, attempt), retrying(4)),
    gives: "attempt 3",
    invocations: "some"
  },
  "retries that are used up": {
    body: (context) =>
      context
        .step("r", async ({ attempt }) => until(9, attempt), retrying(1))
        .catch((error: unknown) => `caught ${messageOf(error)}`),
    gives: "caught attempt 2",
    invocations: "some"
  },
  "at most once": {
    body: (context) =>
      context.step("m", async ({ attempt }) => until(2, attempt), {
        ...retrying(2),
        semantics: StepSemantics.AtMostOncePerRetry
      }),
    gives: "attempt 2",
    invocations: "some"
  },
  "a failure of the whole": {
    body: async (context) => {
      await context.step("a", async () => 1)
      throw new Busy("too many orders")
    },
    fails: { type: "Busy", message: /too many orders/ },
    invocations: 1
  },
  waits: {
    body: async (context) => {
      await context.wait("first", { seconds: 20 })
      const a = await context.step("between", async () => 1)
      await context.wait({ seconds: 20 })
      return a
    },
    gives: 1,
    invocations: 3
  },
  "child contexts in child contexts": {
    body: (context) =>
      context.runInChildContext("outer", async (outer) => {
        const a = await outer.step("a", async () => 1)
        return (
          a +
          (await outer.runInChildContext("inner", async (inner) => {
            await inner.wait("w", { seconds: 20 })
            return inner.step("b", async () => 2)
          }))
        )
      }),
    gives: 3,
    invocations: 2
  },
  parallel: {
    body: async (context) => {
      const all = await context.parallel("p", [
        { name: "left", func: (branch) => branch.step("s", async () => "l") },
        {
          name: "right",
          func: async (branch) => {
            await branch.wait({ seconds: 20 })
            return "r"
          }
        }
      ])
      return [all.getResults(), all.completionReason]
    },
    gives: [["l", "r"], "ALL_COMPLETED"],
    invocations: 2
  },
  "parallel, the first one wins": {
    body: async (context) => {
      const all = await context.parallel<string>(
        "p",
        [
          async (branch) => branch.step(async () => "fast"),
          async (branch) => branch.wait({ seconds: 6_000 }).then(() => "slow")
        ],
        { completionConfig: { minSuccessful: 1 } }
      )
      return [all.getResults(), all.completionReason]
    },
    gives: [["fast"], "MIN_SUCCESSFUL_REACHED"],
    invocations: 1
  },
  map: {
    input: [1, 2, 3, 4, 5],
    body: async (context, items: Array<number>) => {
      const all = await context.map("m", items, (item, n, i) => item.step(`item ${i}`, async () => n * 10), {
        maxConcurrency: 2
      })
      return all.getResults()
    },
    gives: [10, 20, 30, 40, 50],
    invocations: 1
  },
  "map with failures that are tolerated": {
    input: [1, 2, 3],
    body: async (context, items: Array<number>) => {
      const all = await context.map(
        "m",
        items,
        (item, n) =>
          item.step(
            "s",
            async () => {
              if (n === 2) throw new Busy("two")
              return n
            },
            retrying(0)
          ),
        { completionConfig: { toleratedFailureCount: 1 } }
      )
      return [all.getResults(), all.failureCount]
    },
    gives: [[1, 3], 1],
    invocations: 1
  },
  "a callback": {
    body: async (context) => {
      const [answer, id] = await context.createCallback("c")
      await context.step("send", async () => id.length > 0)
      return answer
    },
    answer: (engine, id) => engine.succeedCallback(id, "yes"),
    gives: "yes",
    invocations: "some"
  },
  "waitForCallback, with heartbeats": {
    body: (context) => context.waitForCallback("w", async () => {}, { heartbeatTimeout: { seconds: 600 } }),
    answer: (engine, id) => Effect.andThen(engine.heartbeatCallback(id), engine.succeedCallback(id, "approved")),
    gives: "approved",
    invocations: "some"
  },
  "waitForCallback that is refused": {
    body: (context) =>
      context.waitForCallback("w", async () => {}).catch((error: unknown) => `refused: ${messageOf(error)}`),
    answer: (engine, id) => engine.failCallback(id, { ErrorType: "Refused", ErrorMessage: "not today" }),
    gives: "refused: not today",
    invocations: "some"
  },
  "a callback that nobody answers": {
    body: (context) =>
      context
        .waitForCallback("w", async () => {}, { timeout: { seconds: 2 } })
        .catch((error: unknown) => (error as Error).name),
    gives: "CallbackTimeoutError",
    invocations: "some"
  },
  waitForCondition: {
    body: (context) =>
      context.waitForCondition("poll", async (n: number) => n + 1, {
        initialState: 0,
        waitStrategy: (n: number) =>
          n < 3 ? { shouldContinue: true, delay: { seconds: 20 } } : { shouldContinue: false }
      }),
    gives: 3,
    invocations: 3
  },
  "invoke of a durable function": {
    body: async (context) => (await context.invoke<number, number>("i", "double:$LATEST", 21)) + 0,
    gives: 42,
    invocations: "some"
  },
  "invoke of a plain function, and of one that fails": {
    body: async (context) => [
      await context.invoke("good", "plain", { n: 1 }),
      await context.invoke("bad", "plain", "throw").catch(messageOf)
    ],
    gives: [{ got: { n: 1 } }, "too far"],
    invocations: "some"
  },
  "promise combinators": {
    body: async (context) => [
      await context.promise.all("all", [context.step("a", async () => 1), context.step("b", async () => 2)]),
      await context.promise.race<unknown>("race", [
        context.step("c", async () => 3),
        context.wait("never", { seconds: 6_000 })
      ])
    ],
    gives: [[1, 2], 3],
    invocations: 1
  },
  "a context whose result is too large to record": {
    body: async (context) => {
      const large = await context.runInChildContext("large", async (child) => {
        const parts = []
        for (let i = 0; i < 5; i++) parts.push(await child.step(`part ${i}`, async () => text(100)))
        return parts.join("")
      })
      await context.wait({ seconds: 20 })
      return large.length
    },
    gives: 500 * 1024,
    invocations: 2
  },
  "a state of many pages": {
    body: async (context) => {
      let sum = 0
      for (let i = 0; i < 40; i++) sum += await context.step(`s${i}`, async () => i)
      await context.wait({ seconds: 20 })
      return sum
    },
    gives: 780,
    invocations: 2
  },
  "a result of 5 MB": {
    body: async (context) => text(await context.step("size", async () => 5 * 1024)),
    gives: text(5 * 1024),
    invocations: 1
  }
}

// ---- running them --------------------------------------------------------------------------------

/** Small pages, so that everything that pages has to. No wait ends before AWS's SDK has answered PENDING, however long that takes. */
const layer = kit.layer({ eventPage: { items: 7 }, responsePage: { items: 7 } }, {}, Timers.layerSkipping)

const registered = Effect.fnUntraced(function* (body: Pattern["body"]) {
  const engine = yield* Engine.Engine
  const client = yield* kit.client
  const make = (run: Pattern["body"]): DurableLambdaHandler =>
    withDurableExecution((input: unknown, context: DurableContext) => run(context, input), { client })
  yield* engine.register("function", Engine.fromHandler(make(body) as never))
  yield* engine.register(
    "double",
    Engine.fromHandler(make((context, n: number) => context.step(async () => 2 * n)) as never)
  )
  yield* engine.registerPlain(
    "plain",
    Engine.fromHandler((event) => {
      if (event === "throw") throw new RangeError("too far")
      return { got: event }
    })
  )
  return { client, engine }
})

describe("AWS's SDK over HTTP", () => {
  for (const [name, pattern] of Object.entries(patterns)) {
    it.live(name, () =>
      Effect.gen(function* () {
        const { client, engine } = yield* registered(pattern.body)
        const context = yield* Effect.context<never>()
        const answered = new Set<string>()
        yield* engine.subscribe(({ operations }) => {
          for (const { operation } of operations) {
            const id = operation.CallbackDetails?.CallbackId
            if (id === undefined || pattern.answer === undefined || answered.has(id)) continue
            answered.add(id)
            Effect.runForkWith(context)(engine.hold(Effect.delay(pattern.answer(engine, id), "10 millis")))
          }
        })
        const response = yield* Effect.promise(() =>
          client.send(
            new InvokeCommand({
              FunctionName: "function:$LATEST",
              ...(pattern.input === undefined
                ? {}
                : { Payload: new TextEncoder().encode(JSON.stringify(pattern.input)) })
            })
          )
        )
        const answer = JSON.parse(new TextDecoder().decode(response.Payload))
        if (pattern.fails === undefined) {
          assert.isUndefined(response.FunctionError, JSON.stringify(answer))
          assert.deepStrictEqual(answer, pattern.gives)
        } else {
          assert.strictEqual(response.FunctionError, "Unhandled")
          assert.strictEqual(answer.errorType, pattern.fails.type)
          assert.match(answer.errorMessage, pattern.fails.message)
        }
        const history = yield* engine.history(response.DurableExecutionArn ?? "")
        const invocations = history.filter(({ EventType }) => EventType === "InvocationCompleted")
        if (pattern.invocations === "some") assert.isAtLeast(invocations.length, 1)
        else assert.lengthOf(invocations, pattern.invocations)
        const errors = invocations.flatMap(({ InvocationCompletedDetails: details }) => details?.Error?.Payload ?? [])
        assert.deepStrictEqual(errors, [])
      }).pipe(Effect.provide(layer))
    )
  }
})

describe("AWS's CloudDurableTestRunner", () => {
  it.live("runs a function, reads its operations and invocations", () =>
    Effect.gen(function* () {
      const { client } = yield* registered(async (context, input: { n: number }) => {
        const doubled = await context.step("double", async () => input.n * 2)
        await context.wait("rest", { seconds: 20 })
        return doubled
      })
      const runner = new CloudDurableTestRunner<number>({
        functionName: "function:$LATEST",
        client,
        config: { pollInterval: 5 }
      })
      const result = yield* Effect.promise(() => runner.run({ payload: { n: 21 } }))
      assert.deepStrictEqual([result.getStatus(), result.getResult()], ["SUCCEEDED", 42])
      assert.strictEqual(runner.getOperation("double").getStepDetails()?.result, 42)
      assert.strictEqual(runner.getOperation("rest").getStatus(), "SUCCEEDED")
      assert.strictEqual(runner.getOperation("rest").getWaitDetails()?.waitSeconds, 20)
      assert.lengthOf(result.getInvocations(), 2)
      assert.deepStrictEqual(
        result.getHistoryEvents().map(({ EventId }) => EventId),
        result.getHistoryEvents().map((_, index) => index + 1)
      )
    }).pipe(Effect.provide(layer))
  )

  it.live("answers a callback while the function runs", () =>
    Effect.gen(function* () {
      const { client } = yield* registered((context) => context.waitForCallback("approval", async () => {}))
      const runner = new CloudDurableTestRunner<string>({
        functionName: "function:$LATEST",
        client,
        config: { pollInterval: 5, invocationType: "Event" }
      })
      const running = runner.run()
      const approval = runner.getOperation("approval")
      yield* Effect.promise(() => approval.waitForData(WaitingOperationStatus.SUBMITTED))
      yield* Effect.promise(() => approval.sendCallbackHeartbeat())
      yield* Effect.promise(() => approval.sendCallbackSuccess("granted"))
      const result = yield* Effect.promise(() => running)
      assert.strictEqual(result.getResult(), "granted")
    }).pipe(Effect.provide(layer))
  )

  it.live("tells why a function failed", () =>
    Effect.gen(function* () {
      const { client } = yield* registered(async () => {
        throw new Busy("too many orders")
      })
      const runner = new CloudDurableTestRunner({
        functionName: "function:$LATEST",
        client,
        config: { pollInterval: 5 }
      })
      const result = yield* Effect.promise(() => runner.run())
      assert.strictEqual(result.getStatus(), "FAILED")
      assert.deepInclude(result.getError(), { errorType: "Busy", errorMessage: "too many orders" })
    }).pipe(Effect.provide(layer))
  )
})
