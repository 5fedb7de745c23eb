/**
 * The same workloads through AWS's SDK 2.4.0 and through this library, both on our engine. Per operation both must
 * send the same: type, subtype, actions, name, parent, options and success payloads; and the executions must end
 * alike, after as many invocations. What differs on purpose is listed, with its reason, and the list is tested too.
 */
import {
  type DurableContext,
  type DurableExecutionClient as AwsClient,
  NestingType,
  StepSemantics,
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
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"

// ---- workloads ---------------------------------------------------------------------------------------------

interface Workload {
  readonly input?: unknown
  readonly aws: (context: DurableContext, input: any) => Promise<unknown>
  readonly ours: (input: any) => Effect.Effect<unknown, unknown, Durable.Requires>
  /** What the outside does, in this order: each when that callback is open and nothing runs. */
  readonly answers?: ReadonlyArray<Answer>
  /** No time is skipped before the last answer: it has a timeout. */
  readonly hold?: boolean
}

interface Answer {
  readonly callback: string
  readonly result?: string
  readonly error?: Protocol.ErrorObject
}

class Declined extends Error {
  override readonly name = "Declined"
}

const noRetry = { retryStrategy: () => ({ shouldRetry: false }) }
const everySecond = (times: number) => ({
  retryStrategy: (_: Error, attempt: number) =>
    attempt <= times ? { shouldRetry: true, delay: { seconds: 1 } } : { shouldRetry: false }
})
const ourRetry = (times: number) => ({ times, schedule: Schedule.spaced("1 second") })

/** Works from the given attempt on; the same for both, who count their attempts themselves. */
const failsUntil = (attempt: number, current: number) => {
  if (current < attempt) throw new Declined(`attempt ${current}`)
  return `attempt ${current}`
}
const oursFailsUntil = (attempt: number) =>
  Effect.flatMap(Durable.CurrentStep, (step) =>
    Effect.try({ try: () => failsUntil(attempt, step.attempt), catch: (error) => error as Declined })
  )

const ok = Effect.succeed
let submits = 0

const workloads: Readonly<Record<string, Workload>> = {
  "sequential steps": {
    input: { user: "Ann" },
    aws: async (context, { user }) => {
      const a = await context.step("a", async () => ({ user, tags: ["x", null, 1.5] }))
      const b = await context.step("b", async () => `${a.user}!`)
      return [a, b, await context.step("c", async () => true)]
    },
    ours: ({ user }) =>
      Effect.gen(function* () {
        const a = yield* Durable.step("a", ok({ user: user as string, tags: ["x", null, 1.5] }))
        const b = yield* Durable.step("b", ok(`${a.user}!`))
        return [a, b, yield* Durable.step("c", ok(true))]
      })
  },
  "many steps of one name": {
    aws: async (context) => {
      let sum = 0
      for (let i = 0; i < 30; i++) sum += await context.step("s", async () => i)
      return sum
    },
    ours: () =>
      Effect.gen(function* () {
        let sum = 0
        for (let i = 0; i < 30; i++) sum += yield* Durable.step("s", ok(i))
        return sum
      })
  },
  "concurrent steps": {
    aws: (context) => Promise.all(["a", "b", "c"].map((name) => context.step(name, async () => name))),
    ours: () => Effect.forEach(["a", "b", "c"], (name) => Durable.step(name, ok(name)), { concurrency: "unbounded" })
  },
  retries: {
    aws: (context) => context.step("r", async ({ attempt }) => failsUntil(3, attempt), everySecond(4)),
    ours: () => Durable.step("r", oursFailsUntil(3), { retry: ourRetry(4) })
  },
  "retries that are used up, caught": {
    aws: async (context) => {
      const message = await context
        .step("r", async ({ attempt }) => failsUntil(9, attempt), everySecond(2))
        .catch((error: unknown) => (error as Error).message)
      return context.step("after", async () => message)
    },
    ours: () =>
      Durable.step("r", oursFailsUntil(9), { retry: ourRetry(2) }).pipe(
        Effect.catchTag("StepFailed", ({ message }) => ok(message)),
        Effect.flatMap((message) => Durable.step("after", ok(message)))
      )
  },
  "at-most-once steps": {
    aws: (context) =>
      context.step("m", async ({ attempt }) => failsUntil(2, attempt), {
        ...everySecond(3),
        semantics: StepSemantics.AtMostOncePerRetry
      }),
    ours: () => Durable.step("m", oursFailsUntil(2), { semantics: "AtMostOncePerRetry", retry: ourRetry(3) })
  },
  waits: {
    aws: async (context) => {
      await context.wait("short", { seconds: 1 })
      const a = await context.step("between", async () => 1)
      await context.wait("long", { days: 3, hours: 2 })
      return a
    },
    ours: () =>
      Effect.gen(function* () {
        yield* Durable.wait("short", "1 second")
        const a = yield* Durable.step("between", ok(1))
        yield* Durable.wait("long", "74 hours")
        return a
      })
  },
  "a wait beside a step": {
    aws: async (context) => {
      const [, a] = await Promise.all([context.wait("w", { seconds: 5 }), context.step("s", async () => 1)])
      return a
    },
    ours: () =>
      Effect.map(
        Effect.all([Durable.wait("w", "5 seconds"), Durable.step("s", ok(1))], { concurrency: 2 }),
        ([, a]) => a
      )
  },
  "nested child contexts": {
    input: "hello",
    aws: (context, input) =>
      context.runInChildContext("outer", async (outer) => {
        const a = await outer.step("s", async () => input)
        return outer.runInChildContext("inner", async (inner) => {
          const b = await inner.step("s", async () => `${a}!`)
          await inner.wait("w", { seconds: 2 })
          return `${b}!`
        })
      }),
    ours: (input: string) =>
      Effect.gen(function* () {
        const a = yield* Durable.step("s", ok(input))
        return yield* Effect.gen(function* () {
          const b = yield* Durable.step("s", ok(`${a}!`))
          yield* Durable.wait("w", "2 seconds")
          return `${b}!`
        }).pipe(Durable.childContext("inner"))
      }).pipe(Durable.childContext("outer"))
  },
  "concurrent child contexts": {
    aws: (context) =>
      Promise.all(
        ["x", "y"].map((name) =>
          context.runInChildContext(name, async (child) => {
            await child.wait("w", { seconds: 1 })
            return child.step("s", async () => name)
          })
        )
      ),
    ours: () =>
      Effect.forEach(
        ["x", "y"],
        (name) =>
          Durable.childContext(name, Effect.andThen(Durable.wait("w", "1 second"), Durable.step("s", ok(name)))),
        { concurrency: "unbounded" }
      )
  },
  "a context of another subtype": {
    aws: (context) => context.runInChildContext("c", async () => 1, { subType: "Saga" }),
    ours: () => Durable.childContext("c", ok(1), { subType: "Saga" })
  },
  "a retry inside a context": {
    aws: (context) =>
      context.runInChildContext("c", (child) =>
        child.step("r", async ({ attempt }) => failsUntil(2, attempt), everySecond(2))
      ),
    ours: () => Durable.childContext("c", Durable.step("r", oursFailsUntil(2), { retry: ourRetry(2) }))
  },
  "a failed context, caught": {
    aws: async (context) => {
      await context
        .runInChildContext("c", (child) => child.step("f", async () => failsUntil(2, 1), noRetry))
        .catch(() => undefined)
      return context.step("recover", async () => "recovered")
    },
    ours: () =>
      Durable.childContext("c", Durable.step("f", oursFailsUntil(2), { retry: Durable.noRetry })).pipe(
        Effect.catch(() => Effect.void),
        Effect.andThen(Durable.step("recover", ok("recovered")))
      )
  },
  "a failed step, uncaught": {
    aws: (context) => context.step("f", async () => failsUntil(2, 1), noRetry),
    ours: () => Durable.step("f", oursFailsUntil(2), { retry: Durable.noRetry })
  },
  "a large child result": {
    aws: async (context) => {
      const text = await context.runInChildContext("large", async (child) => {
        const small = await child.step("small", async () => "x")
        return small.repeat(300_000)
      })
      await context.wait("w", { seconds: 1 })
      return text.length
    },
    ours: () =>
      Effect.gen(function* () {
        const text = yield* Durable.step("small", ok("x")).pipe(
          Effect.map((small) => small.repeat(300_000)),
          Durable.childContext("large")
        )
        yield* Durable.wait("w", "1 second")
        return text.length
      })
  },
  "null and no results": {
    aws: async (context) => {
      const none = await context.step("null", async () => null)
      await context.step("nothing", async () => {})
      await context.runInChildContext("child-nothing", async () => {})
      const child = await context.runInChildContext("child-null", async () => null)
      await context.wait("w", { seconds: 1 })
      return [none, child]
    },
    ours: () =>
      Effect.gen(function* () {
        const none = yield* Durable.step("null", ok(null))
        yield* Durable.step("nothing", Effect.void)
        yield* Durable.childContext("child-nothing", Effect.void)
        const child = yield* Durable.childContext("child-null", ok(null))
        yield* Durable.wait("w", "1 second")
        return [none, child]
      })
  },
  "a callback, with a step before it is awaited": {
    aws: async (context) => {
      const [answer] = await context.createCallback("c", { timeout: { hours: 1 }, heartbeatTimeout: { minutes: 5 } })
      await context.step("between", async () => 1)
      return answer
    },
    ours: () =>
      Effect.gen(function* () {
        const callback = yield* Durable.callback("c", { timeout: "1 hour", heartbeatTimeout: "5 minutes" })
        yield* Durable.step("between", ok(1))
        return yield* callback.await
      }),
    answers: [{ callback: "c", result: "not JSON" }],
    hold: true
  },
  "two callbacks, awaited in the other order": {
    aws: async (context) => {
      const [first] = await context.createCallback("a")
      const [second] = await context.createCallback("b")
      const two = await second
      return [await first, two]
    },
    ours: () =>
      Effect.gen(function* () {
        const first = yield* Durable.callback("a")
        const second = yield* Durable.callback("b")
        const two = yield* second.await
        return [yield* first.await, two]
      }),
    answers: [
      { callback: "a", result: '"1"' },
      { callback: "b", result: '"2"' }
    ]
  },
  "a failed callback, caught": {
    aws: async (context) => {
      const [answer] = await context.createCallback("c")
      const message = await answer.catch((error: unknown) => (error as Error).message)
      return context.step("after", async () => message)
    },
    ours: () =>
      Effect.gen(function* () {
        const callback = yield* Durable.callback("c")
        const message = yield* Effect.catchTag(callback.await, "CallbackFailed", (error) => ok(error.message))
        return yield* Durable.step("after", ok(message ?? ""))
      }),
    answers: [{ callback: "c", error: { ErrorType: "Rejected", ErrorMessage: "no" } }]
  },
  "a callback that times out, caught": {
    aws: async (context) => {
      const [answer] = await context.createCallback("c", { timeout: { seconds: 5 } })
      const kind = await answer.then(
        () => "none",
        () => "timeout"
      )
      return context.step("after", async () => kind)
    },
    ours: () =>
      Effect.gen(function* () {
        const callback = yield* Durable.callback("c", { timeout: "5 seconds" })
        const kind = yield* callback.await.pipe(
          Effect.as("none"),
          Effect.catchTag("CallbackTimedOut", (error) => ok(error.kind))
        )
        return yield* Durable.step("after", ok(kind))
      })
  },
  waitForCallback: {
    aws: (context) => context.waitForCallback("approval", async () => {}, { timeout: { days: 3 } }),
    ours: () => Durable.waitForCallback("approval", () => Effect.void, { timeout: "3 days" }),
    answers: [{ callback: "approval", result: '"yes"' }],
    hold: true
  },
  "waitForCallback, whose submitter is retried": {
    // its submitter does not know its attempt
    aws: (context) => context.waitForCallback("approval", async () => void failsUntil(2, ++submits), everySecond(3)),
    ours: () => {
      const submit = oursFailsUntil(2)
      return Durable.waitForCallback("approval", () => submit, { retry: ourRetry(3) })
    },
    answers: [{ callback: "approval", result: "yes" }]
  },
  "waitForCallback that fails, caught": {
    aws: async (context) => {
      const message = await context
        .waitForCallback("approval", async () => {})
        .catch((error: unknown) => (error as Error).message)
      return context.step("after", async () => message)
    },
    ours: () =>
      Durable.waitForCallback("approval", () => Effect.void).pipe(
        Effect.catchTag("CallbackFailed", ({ message }) => ok(message)),
        Effect.flatMap((message) => Durable.step("after", ok(message ?? "")))
      ),
    answers: [{ callback: "approval", error: { ErrorType: "Rejected", ErrorMessage: "no" } }]
  },
  waitForCondition: {
    aws: (context) =>
      context.waitForCondition("poll", async (n: number) => n + 1, {
        initialState: 0,
        waitStrategy: (n) => (n >= 3 ? { shouldContinue: false } : { shouldContinue: true, delay: { seconds: 2 } })
      }),
    ours: () =>
      Durable.waitForCondition("poll", (n) => ok(n + 1), {
        initial: 0,
        state: Schema.Number,
        until: (n) => n >= 3,
        schedule: Schedule.spaced("2 seconds")
      })
  },
  "waitForCondition with objects and null": {
    aws: async (context) => {
      const job = await context.waitForCondition("job", async (state: any) => ({ ...state, done: true }), {
        initialState: { id: "j", done: false },
        waitStrategy: () => ({ shouldContinue: false })
      })
      const nothing = await context.waitForCondition("null", async () => null, {
        initialState: null,
        waitStrategy: () => ({ shouldContinue: false })
      })
      return [job, nothing]
    },
    ours: () =>
      Effect.gen(function* () {
        const job = yield* Durable.waitForCondition("job", (state) => ok({ ...state, done: true }), {
          initial: { id: "j", done: false },
          state: Schema.Struct({ id: Schema.String, done: Schema.Boolean }),
          until: () => true
        })
        const nothing = yield* Durable.waitForCondition("null", () => ok(null), {
          initial: null,
          state: Schema.Null,
          until: () => true
        })
        return [job, nothing]
      })
  },
  "a failing check, caught": {
    aws: async (context) => {
      const message = await context
        .waitForCondition("poll", async (n: number) => (failsUntil(9, 1), n), {
          initialState: 0,
          waitStrategy: () => ({ shouldContinue: false })
        })
        .catch((error: unknown) => (error as Error).message)
      return context.step("after", async () => message)
    },
    ours: () =>
      Durable.waitForCondition("poll", (n) => Effect.as(oursFailsUntil(9), n), {
        initial: 0,
        state: Schema.Number,
        until: () => true
      }).pipe(
        Effect.map(String),
        Effect.catchTag("ConditionFailed", ({ message }) => ok(message)),
        Effect.flatMap((message) => Durable.step("after", ok(message)))
      )
  },
  "chained invokes": {
    input: { n: 1 },
    aws: async (context, input) => {
      const first = await context.invoke("first", "echo", input)
      const second = await context.invoke("second", "echo", [first, null])
      return [first, second]
    },
    ours: (input: unknown) =>
      Effect.gen(function* () {
        const echo = { payload: Schema.Any, success: Schema.Any }
        const first: unknown = yield* Durable.invoke("first", echo, input, { functionName: "echo" })
        const second: unknown = yield* Durable.invoke("second", echo, [first, null], { functionName: "echo" })
        return [first, second]
      })
  },
  "a failed invoke, caught, in a context": {
    aws: (context) =>
      context.runInChildContext("c", async (child) => {
        const message = await child
          .invoke("fails", "fails", null, { tenantId: "t-1" })
          .catch((error: unknown) => (error as Error).message)
        return child.step("after", async () => message)
      }),
    ours: () =>
      Durable.invoke("fails", { payload: Schema.Null }, null, { functionName: "fails", tenantId: "t-1" }).pipe(
        Effect.as(""),
        Effect.catchTag("InvokeFailed", ({ message }) => ok(message)),
        Effect.flatMap((message) => Durable.step("after", ok(message))),
        Durable.childContext("c")
      )
  },
  "map, one step each": {
    aws: async (context) => {
      const batch = await context.map("m", ["a", "b", "c"], (child, item) => child.step("s", async () => item))
      return batch.getResults()
    },
    ours: () => Durable.map("m", ["a", "b", "c"], (item) => Durable.step("s", ok(item)))
  },
  "map, two at a time, over a wait": {
    aws: async (context) => {
      const batch = await context.map(
        "m",
        [1, 2, 3],
        async (child, n) => {
          await child.wait("w", { seconds: n })
          return child.step("s", async () => n * 2)
        },
        { maxConcurrency: 2, itemNamer: (n: number) => `item ${n}` }
      )
      return batch.getResults()
    },
    ours: () =>
      Durable.map(
        "m",
        [1, 2, 3],
        (n) => Effect.andThen(Durable.wait("w", `${n} seconds`), Durable.step("s", ok(n * 2))),
        {
          concurrency: 2,
          itemName: (n) => `item ${n}`
        }
      )
  },
  "an empty map": {
    aws: async (context) => (await context.map("m", [], async () => 1)).getResults(),
    ours: () => Durable.map("m", [], () => ok(1))
  },
  "parallel, named branches of different types": {
    aws: async (context) => {
      const batch = await context.parallel("p", [
        { name: "a", func: (child) => child.step("s", async () => "x") },
        { name: "b", func: async () => ({ k: [1, null] }) }
      ])
      return { a: batch.all[0]?.result, b: batch.all[1]?.result }
    },
    ours: () => Durable.parallel("p", { a: Durable.step("s", ok("x")), b: ok({ k: [1, null] }) })
  },
  "parallel, flat": {
    aws: async (context) => {
      const batch = await context.parallel(
        "p",
        [(child) => child.step("s", async () => 1), (child) => child.step("t", async () => 2)],
        { nesting: NestingType.FLAT }
      )
      return batch.getResults()
    },
    ours: () => Durable.parallel("p", [Durable.step("s", ok(1)), Durable.step("t", ok(2))], { nesting: "flat" })
  },
  "a map that ends early": {
    aws: async (context) => {
      const batch = await context.map("m", [1, 2, 3, 4], async (_, n) => n, {
        maxConcurrency: 1,
        completionConfig: { minSuccessful: 2 }
      })
      await context.wait("w", { seconds: 1 })
      return [batch.completionReason, batch.status, batch.totalCount, batch.successCount]
    },
    ours: () =>
      Effect.gen(function* () {
        const batch = yield* Durable.map("m", [1, 2, 3, 4], (n) => ok(n), {
          concurrency: 1,
          mode: "result",
          completion: { minSuccessful: 2 }
        })
        yield* Durable.wait("w", "1 second")
        return [batch.completionReason, batch.status, batch.counts.total, batch.counts.success]
      })
  },
  "a large map": {
    aws: async (context) => {
      const batch = await context.map("m", [1, 2, 3], (child, n) => child.step("s", async () => `${n}`.repeat(100_000)))
      await context.wait("w", { seconds: 1 })
      return batch.getResults().map((text) => (text as string).length)
    },
    ours: () =>
      Effect.gen(function* () {
        const texts = yield* Durable.map("m", [1, 2, 3], (n) => Durable.step("s", ok(`${n}`.repeat(100_000))))
        yield* Durable.wait("w", "1 second")
        return texts.map((text) => text.length)
      })
  },
  "a large parallel": {
    aws: async (context) => {
      const batch = await context.parallel("p", [async () => "x".repeat(200_000), async () => "y".repeat(200_000)])
      await context.wait("w", { seconds: 1 })
      return batch.totalCount
    },
    ours: () =>
      Effect.gen(function* () {
        const both = yield* Durable.parallel("p", [ok("x".repeat(200_000)), ok("y".repeat(200_000))])
        yield* Durable.wait("w", "1 second")
        return both.length
      })
  },
  "nothing at all": { aws: async () => {}, ours: () => Effect.void }
}

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
const complete = Effect.fnUntraced(function* (arn: string, { callback, error, result }: Answer, before: number) {
  const engine = yield* Engine.Engine
  for (;;) {
    const answered = (yield* engine.history(arn)).filter(({ EventType }) => EventType === "InvocationCompleted").length
    const open = (yield* engine.operations(arn)).find(
      ({ Name, ParentId, Status, Type }) =>
        Type === "CALLBACK" && Status === "STARTED" && (Name === callback || ParentId !== undefined)
    )
    const waits = (yield* engine.operations(arn)).some(({ Status }) => Status === "PENDING" || Status === "READY")
    const id = open?.CallbackDetails?.CallbackId
    if (id !== undefined && answered > before && !waits) {
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
    for (const [i, answer] of answers.entries()) yield* complete(arn, answer, i)
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
  for (const [name, workload] of Object.entries(workloads)) {
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
    "names inside of waitForCallback": "waitForCallback"
  }
  for (const { reason, what } of onPurpose) {
    it.effect(`${what}: ${reason}`, () =>
      Effect.gen(function* () {
        const [aws, ours] = yield* both(workloads[showing[what]!]!)
        const others = onPurpose.filter((one) => one.what !== what)
        assert.notDeepEqual(sentBy(ours.updates, others), sentBy(aws.updates, others))
      })
    )
  }

  it.effect("START batching: the START of a slow step waits for another reason to send, or for `startDelay`", () =>
    Effect.gen(function* () {
      const pause = () => new Promise<number>((resolve) => setTimeout(() => resolve(1), 5))
      const [aws, ours] = yield* both({
        aws: (context) => context.step("slow", pause),
        ours: () => Durable.step("slow", Effect.promise(pause))
      })
      assert.deepStrictEqual(aws.batches, [1, 1])
      assert.deepStrictEqual(ours.batches, [2])
    })
  )

  it.effect("errors of an execution: ours is the declared error with its data, AWS's a wrapper's name", () =>
    Effect.gen(function* () {
      const [aws, ours] = yield* both(workloads["a failed step, uncaught"]!)
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
