/**
 * Programs that are written twice: with AWS's SDK, and with this library. They are compared on the engine
 * (sdk.test.ts), and on AWS's checkpoint server (history.ts).
 */
import {
  createRetryStrategy,
  createWaitStrategy,
  type DurableContext,
  JitterStrategy,
  StepSemantics
} from "@aws/durable-execution-sdk-js"
import { Durable, type Protocol } from "effect-durable-lambda"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

export interface Workload {
  readonly input?: unknown
  readonly aws: (context: DurableContext, input: any) => Promise<unknown>
  readonly ours: (input: any) => Effect.Effect<unknown, unknown, Durable.Requires>
  /** What the outside does, in this order: each when that callback is open and nothing runs. */
  readonly answers?: ReadonlyArray<Answer>
  /** Some of its operations run side by side. */
  readonly sideBySide?: boolean
  /** Takes days: not for a service whose time passes. */
  readonly days?: boolean
  /** No time is skipped before the last answer: it has a timeout. */
  readonly hold?: boolean
}

export interface Answer {
  readonly callback: string
  readonly result?: string
  readonly error?: Protocol.ErrorObject
}

export class Declined extends Error {
  override readonly name = "Declined"
}

export const noRetry = { retryStrategy: () => ({ shouldRetry: false }) }
export const everySecond = (times: number) => ({
  retryStrategy: (_: Error, attempt: number) =>
    attempt <= times ? { shouldRetry: true, delay: { seconds: 1 } } : { shouldRetry: false }
})
export const ourRetry = (times: number) => ({ times, schedule: Schedule.spaced("1 second") })

/** Works from the given attempt on; the same for both, who count their attempts themselves. */
export const failsUntil = (attempt: number, current: number) => {
  if (current < attempt) throw new Declined(`attempt ${current}`)
  return `attempt ${current}`
}
export const oursFailsUntil = (attempt: number) =>
  Effect.flatMap(Durable.CurrentStep, (step) =>
    Effect.try({ try: () => failsUntil(attempt, step.attempt), catch: (error) => error as Declined })
  )

export const ok = Effect.succeed
/** In quotes more than an answer can have (6 MiB less 50 bytes), and no more than an execution's result can (6 MiB). */
const LARGEST = 6 * 1024 * 1024 - 20

let submits = 0

/** Writes upper case, and reads what is there. */
const shouting = {
  serialize: async (value: string | undefined) => value?.toUpperCase(),
  deserialize: async (text: string | undefined) => text
}
export const Shouted = Durable.text(
  Schema.String.pipe(
    Schema.decodeTo(Schema.String, {
      decode: SchemaGetter.passthrough(),
      encode: SchemaGetter.transform((text: string) => text.toUpperCase())
    })
  )
)

/** 2 s, 6 s, then 10 s each. */
const growing = {
  initialDelay: { seconds: 2 },
  backoffRate: 3,
  maxDelay: { seconds: 10 },
  jitter: JitterStrategy.NONE
}
const ourGrowing = Schedule.exponential("2 seconds", 3).pipe(
  Schedule.modifyDelay(({ duration }) => Effect.succeed(Duration.min(duration, Duration.seconds(10))))
)

export const workloads: Readonly<Record<string, Workload>> = {
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
    sideBySide: true,
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
  "at-most-once steps that are used up, caught": {
    aws: async (context) => {
      const semantics = StepSemantics.AtMostOncePerRetry
      const message = await context
        .step("m", async ({ attempt }) => failsUntil(9, attempt), { ...everySecond(1), semantics })
        .catch((error: unknown) => (error as Error).message)
      return context.step("after", async () => message)
    },
    ours: () =>
      Durable.step("m", oursFailsUntil(9), { semantics: "AtMostOncePerRetry", retry: ourRetry(1) }).pipe(
        Effect.catchTag("StepFailed", ({ message }) => ok(message)),
        Effect.flatMap((message) => Durable.step("after", ok(message)))
      )
  },
  "growing delays": {
    aws: (context) =>
      context.step("r", async ({ attempt }) => failsUntil(5, attempt), {
        retryStrategy: createRetryStrategy({ maxAttempts: 6, ...growing })
      }),
    ours: () => Durable.step("r", oursFailsUntil(5), { retry: ourGrowing.pipe(Schedule.upTo({ times: 5 })) })
  },
  "texts of one's own": {
    input: "quiet",
    aws: async (context, input) => {
      const loud = await context.step("s", async () => input, { serdes: shouting })
      return context.runInChildContext("c", async () => `${loud} again`, { serdes: shouting })
    },
    ours: (input: string) =>
      Effect.gen(function* () {
        const loud = yield* Durable.step("s", ok(input), { success: Shouted })
        return yield* Durable.childContext("c", ok(`${loud} again`), { success: Shouted })
      })
  },
  "a large step result": {
    aws: async (context) => {
      const text = await context.step("large", async () => "x".repeat(400_000))
      await context.wait("w", { seconds: 1 })
      return text.length
    },
    ours: () =>
      Effect.gen(function* () {
        const text = yield* Durable.step("large", ok("x".repeat(400_000)))
        yield* Durable.wait("w", "1 second")
        return text.length
      })
  },
  "a large result of the execution": {
    aws: (context) => context.step("small", async () => "x").then((small) => small.repeat(LARGEST)),
    ours: () => Effect.map(Durable.step("small", ok("x")), (small) => small.repeat(LARGEST))
  },
  waits: {
    aws: async (context) => {
      await context.wait("short", { seconds: 1 })
      const a = await context.step("between", async () => 1)
      await context.wait("longer", { seconds: 3 })
      return a
    },
    ours: () =>
      Effect.gen(function* () {
        yield* Durable.wait("short", "1 second")
        const a = yield* Durable.step("between", ok(1))
        yield* Durable.wait("longer", "3 seconds")
        return a
      })
  },
  "a wait of days": {
    aws: (context) => context.wait("long", { days: 3, hours: 2 }),
    ours: () => Durable.wait("long", "74 hours"),
    days: true
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
    sideBySide: true,
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
  "a virtual context": {
    aws: (context) =>
      context.runInChildContext(
        "v",
        async (child) => {
          const a = await child.step("s", async () => 1)
          await child.wait("w", { seconds: 1 })
          return a + (await child.step("t", async () => 1))
        },
        { virtualContext: true }
      ),
    ours: () =>
      Durable.childContext(
        "v",
        Effect.gen(function* () {
          const a = yield* Durable.step("s", ok(1))
          yield* Durable.wait("w", "1 second")
          return a + (yield* Durable.step("t", ok(1)))
        }),
        { virtual: true }
      )
  },
  "a virtual context in a context": {
    aws: (context) =>
      context.runInChildContext("c", (outer) =>
        outer.runInChildContext("v", (child) => child.step("s", async () => 1), { virtualContext: true })
      ),
    ours: () => Durable.childContext("c", Durable.childContext("v", Durable.step("s", ok(1)), { virtual: true }))
  },
  "a failure in two contexts, uncaught": {
    aws: (context) =>
      context.runInChildContext("outer", (outer) =>
        outer.runInChildContext("inner", (inner) => inner.step("f", async () => failsUntil(2, 1), noRetry))
      ),
    ours: () =>
      Durable.step("f", oursFailsUntil(2), { retry: Durable.noRetry }).pipe(
        Durable.childContext("inner"),
        Durable.childContext("outer")
      )
  },
  "a failed context without operations, caught": {
    aws: async (context) => {
      const failed = context.runInChildContext("c", async () => failsUntil(2, 1))
      const message = await failed.catch((error: unknown) => (error as Error).message)
      return context.step("after", async () => message)
    },
    ours: () =>
      Durable.childContext("c", Effect.fail(new Declined("attempt 1"))).pipe(
        Effect.catchTag("ChildContextFailed", ({ message }) => ok(message)),
        Effect.flatMap((message) => Durable.step("after", ok(message)))
      )
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
  "a callback without a heartbeat, caught": {
    aws: async (context) => {
      const [answer] = await context.createCallback("c", { heartbeatTimeout: { seconds: 5 } })
      const kind = await answer.then(
        () => "none",
        () => "heartbeat"
      )
      return context.step("after", async () => kind)
    },
    ours: () =>
      Effect.gen(function* () {
        const callback = yield* Durable.callback("c", { heartbeatTimeout: "5 seconds" })
        const kind = yield* callback.await.pipe(
          Effect.as("none"),
          Effect.catchTag("CallbackTimedOut", (error) => ok(error.kind))
        )
        return yield* Durable.step("after", ok(kind))
      })
  },
  "a callback whose answer is read by its codec, in a context": {
    aws: (context) =>
      context.runInChildContext("c", async (child) => {
        const [answer] = await child.createCallback("n", {
          serdes: { deserialize: async (text) => Number(text) }
        })
        return (await answer) + 1
      }),
    ours: () =>
      Effect.gen(function* () {
        const callback = yield* Durable.callback("n", { success: Schema.Number })
        return (yield* callback.await) + 1
      }).pipe(Durable.childContext("c")),
    answers: [{ callback: "n", result: "41" }]
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
  "waitForCallback whose submitter is used up, caught": {
    aws: async (context) => {
      const failed = context.waitForCallback("approval", async () => void failsUntil(2, 1), everySecond(1))
      await failed.catch(() => undefined)
      return context.step("after", async () => "no submitter")
    },
    ours: () =>
      Durable.waitForCallback("approval", () => Effect.fail(new Declined("attempt 1")), { retry: ourRetry(1) }).pipe(
        Effect.catchTag("CallbackSubmitFailed", () => ok(undefined)),
        Effect.andThen(Durable.step("after", ok("no submitter")))
      )
  },
  "waitForCallback that times out, caught, in a context": {
    aws: (context) =>
      context.runInChildContext("c", async (child) => {
        const config = { timeout: { seconds: 5 }, heartbeatTimeout: { seconds: 4 } }
        await child.waitForCallback("approval", async () => {}, config).catch(() => undefined)
        return child.step("after", async () => "nobody")
      }),
    ours: () =>
      Durable.waitForCallback("approval", () => Effect.void, {
        timeout: "5 seconds",
        heartbeatTimeout: "4 seconds"
      }).pipe(
        Effect.catchTag("CallbackTimedOut", () => ok(undefined)),
        Effect.andThen(Durable.step("after", ok("nobody"))),
        Durable.childContext("c")
      )
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
  "waitForCondition with growing delays and texts of its own": {
    aws: (context) =>
      context.waitForCondition("poll", async (text: string) => `${text}x`, {
        initialState: "",
        waitStrategy: createWaitStrategy({ ...growing, shouldContinuePolling: (text) => text.length < 4 }),
        serdes: shouting
      }),
    ours: () =>
      Durable.waitForCondition("poll", (text) => ok(`${text}x`), {
        initial: "",
        state: Shouted,
        until: (text) => text.length >= 4,
        schedule: ourGrowing
      })
  },
  "two conditions, one after the other, in a context": {
    aws: (context) => {
      const until = (most: number) => (n: number) =>
        n >= most ? { shouldContinue: false as const } : { shouldContinue: true as const, delay: { seconds: 1 } }
      return context.runInChildContext("c", async (child) => {
        const count = async (n: number) => n + 1
        const two = await child.waitForCondition("a", count, { initialState: 0, waitStrategy: until(2) })
        return child.waitForCondition("b", count, { initialState: two, waitStrategy: until(4) })
      })
    },
    ours: () =>
      Effect.gen(function* () {
        const until = (most: number) => ({
          state: Schema.Number,
          until: (n: number) => n >= most,
          schedule: Schedule.spaced("1 second")
        })
        const two = yield* Durable.waitForCondition("a", (n) => ok(n + 1), { initial: 0, ...until(2) })
        return yield* Durable.waitForCondition("b", (n) => ok(n + 1), { initial: two, ...until(4) })
      }).pipe(Durable.childContext("c"))
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
  "an invoke beside a step, with a payload of one's own": {
    sideBySide: true,
    aws: async (context) =>
      Promise.all([
        context.invoke("loud", "echo", "quiet", {
          payloadSerdes: { ...shouting, serialize: async (text) => JSON.stringify(text?.toUpperCase()) }
        }),
        context.step("s", async () => 1)
      ]),
    ours: () =>
      Effect.all(
        [
          Durable.invoke(
            "loud",
            {
              payload: Schema.String.pipe(
                Schema.decodeTo(Schema.String, {
                  decode: SchemaGetter.passthrough(),
                  encode: SchemaGetter.transform((text: string) => text.toUpperCase())
                })
              ),
              success: Schema.String
            },
            "quiet",
            { functionName: "echo" }
          ),
          Durable.step("s", ok(1))
        ],
        { concurrency: 2 }
      )
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
  "nothing at all": { aws: async () => {}, ours: () => Effect.void }
}
