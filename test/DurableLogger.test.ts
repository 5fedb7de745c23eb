import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableHandler, DurableLogger } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as kit from "./operations/kit.ts"
import * as FakeService from "./wire/FakeService.ts"

interface Line {
  readonly level: string
  readonly timestamp: string
  readonly message: unknown
  readonly [field: string]: unknown
}

/** Runs a body until it has ended, and gives the lines that its logger wrote. */
const linesOf = (body: kit.Body, layer: Layer.Layer<never> = Layer.empty, lambda: DurableHandler.LambdaContext = {}) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const console = new Proxy(Context.get(Context.empty(), Console.Console), {
      get: (target, key) => (key === "log" ? (line: string) => void lines.push(line) : Reflect.get(target, key))
    })
    const service = FakeService.make()
    const handler = DurableHandler.make(kit.Anything, () => body, {
      ...service.handlerOptions,
      layer: Layer.merge(Layer.succeed(Console.Console, console), layer)
    })
    for (let invocation = 1; ; invocation++) {
      const answer = yield* service.invoke(handler, service.event(), { awsRequestId: `r${invocation}`, ...lambda })
      if (answer.Status !== "PENDING") break
      service.pass(60)
    }
    return { service, lines: lines.map((line) => JSON.parse(line) as Line) }
  })

const messages = (lines: ReadonlyArray<Line>) => lines.map(({ message }) => message)

/** Logs in the body, in steps, in a context, and around waits. */
const talkative = Effect.gen(function* () {
  yield* Effect.log("start")
  yield* Durable.step("s", Effect.log("in the step"))
  yield* Effect.log("between")
  yield* Durable.wait("w", "1 second")
  yield* Effect.log("after the wait")
  yield* Effect.gen(function* () {
    yield* Effect.log("in the context")
    yield* Durable.wait("inside", "1 second")
    yield* Durable.step("t", Effect.log("in the step of the context"))
  }).pipe(Durable.childContext("c"))
  yield* Durable.wait("v", "1 second")
  yield* Effect.log("end")
})

const once = [
  "start",
  "in the step",
  "between",
  "after the wait",
  "in the context",
  "in the step of the context",
  "end"
]

describe("DurableLogger", () => {
  it.effect("one line per log, however often the body is replayed", () =>
    Effect.gen(function* () {
      const { lines } = yield* linesOf(talkative)
      assert.deepStrictEqual(messages(lines), once)
      assert.deepStrictEqual(
        lines.map(({ requestId }) => requestId),
        ["r1", "r1", "r1", "r2", "r2", "r3", "r4"]
      )
    })
  )

  it.effect("replay: true logs the body again, steps still once", () =>
    Effect.gen(function* () {
      const { lines } = yield* linesOf(talkative, DurableLogger.layerWith({ replay: true }))
      const count = (text: string) => messages(lines).filter((message) => message === text).length
      assert.deepStrictEqual(once.map(count), [4, 1, 4, 3, 2, 1, 1])
    })
  )

  it.effect("a context that is rebuilt on replay is silent", () =>
    Effect.gen(function* () {
      const body = Effect.gen(function* () {
        yield* Effect.gen(function* () {
          yield* Effect.log("in the large context")
          yield* Durable.step("s", Effect.void)
          yield* Effect.log("still in it")
          return "x".repeat(300_000)
        }).pipe(Durable.childContext("large"))
        yield* Durable.wait("w", "1 second")
        yield* Effect.log("end")
      })
      const { lines } = yield* linesOf(body)
      assert.deepStrictEqual(messages(lines), ["in the large context", "still in it", "end"])
    })
  )

  it.effect("steps always log: a second attempt in a later invocation, too", () =>
    Effect.gen(function* () {
      const body = Effect.gen(function* () {
        yield* Effect.log("before")
        yield* Durable.step(
          "s",
          Effect.gen(function* () {
            const { attempt } = yield* Durable.CurrentStep
            yield* Effect.log(`attempt ${attempt}`)
            if (attempt < 3) return yield* Effect.fail("again")
          }),
          { retry: { times: 5 } }
        )
        yield* Effect.log("after")
      })
      const { lines } = yield* linesOf(body)
      assert.deepStrictEqual(messages(lines), ["before", "attempt 1", "attempt 2", "attempt 3", "after"])
      assert.deepStrictEqual(
        lines.map(({ attempt }) => attempt),
        [undefined, 1, 2, 3, undefined]
      )
    })
  )

  it.effect("fields: execution, request, tenant; of a step its operation and attempt; of a context its id", () =>
    Effect.gen(function* () {
      const { lines, service } = yield* linesOf(talkative, Layer.empty, { awsRequestId: "r", tenantId: "t" })
      const [start, step, , , context, inner] = lines
      const all = { level: "INFO", executionArn: FakeService.ARN, requestId: "r", tenantId: "t" }
      const without = ({ timestamp, ...line }: Line) => {
        assert.match(timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
        assert.isBelow(Math.abs(new Date(timestamp).getTime() - new Date().getTime()), 60_000, "the real time")
        return line
      }
      assert.deepStrictEqual(without(start!), { ...all, message: "start" })
      assert.deepStrictEqual(without(step!), {
        ...all,
        operationId: service.record("s").Id,
        operationName: "s",
        attempt: 1,
        message: "in the step"
      })
      assert.deepStrictEqual(without(context!), { ...all, parentId: service.record("c").Id, message: "in the context" })
      assert.deepStrictEqual(without(inner!), {
        ...all,
        parentId: service.record("c").Id,
        operationId: service.record("t").Id,
        operationName: "t",
        attempt: 1,
        message: "in the step of the context"
      })
    })
  )

  it.effect("levels and annotations", () =>
    Effect.gen(function* () {
      const { lines } = yield* linesOf(
        Effect.gen(function* () {
          yield* Effect.logWarning("warn")
          yield* Effect.logError("error")
          yield* Effect.logDebug("debug")
          yield* Effect.log("annotated").pipe(Effect.annotateLogs({ orderId: 7 }))
        }).pipe(Effect.provideService(References.MinimumLogLevel, "Debug"))
      )
      assert.deepStrictEqual(
        lines.map(({ level, message, orderId }) => [level, message, orderId]),
        [
          ["WARN", "warn", undefined],
          ["ERROR", "error", undefined],
          ["DEBUG", "debug", undefined],
          ["INFO", "annotated", 7]
        ]
      )
    })
  )

  it.effect("error fields: type, message and stack, never its data", () =>
    Effect.gen(function* () {
      const declined = Object.assign(new RangeError("too far"), { card: "4111-1111" })
      const { lines } = yield* linesOf(
        Effect.gen(function* () {
          yield* Effect.logError("failed", Cause.fail(declined))
          yield* Effect.logError("died", Cause.die("text"))
          yield* Effect.logError("an error as an argument", declined, new TypeError("not the first"))
        })
      )
      assert.strictEqual(lines[0]!.errorType, "RangeError")
      assert.strictEqual(lines[0]!.errorMessage, "too far")
      assert.isTrue(
        Array.isArray(lines[0]!.stackTrace) && String(lines[0]!.stackTrace).includes("DurableLogger.test.ts")
      )
      assert.deepStrictEqual([lines[1]!.errorType, lines[1]!.errorMessage], ["string", "text"])
      assert.deepStrictEqual(lines[2]!.message, [
        "an error as an argument",
        "RangeError: too far",
        "TypeError: not the first"
      ])
      assert.deepStrictEqual([lines[2]!.errorType, lines[2]!.errorMessage], ["RangeError", "too far"])
      assert.isTrue(Array.isArray(lines[2]!.stackTrace))
      assert.notInclude(JSON.stringify(lines), "4111")
    })
  )

  it.effect("what cannot be JSON does not stop a workflow", () =>
    Effect.gen(function* () {
      const circular: { self?: unknown } = {}
      circular.self = circular
      const odd: ReadonlyArray<unknown> = [
        BigInt(1),
        Symbol("s"),
        () => 1,
        new Map([["a", 1]]),
        circular,
        {
          toJSON: () => {
            throw new Error("no")
          }
        }
      ]
      for (const value of odd) {
        const { lines } = yield* linesOf(
          Effect.andThen(Effect.log("odd", value), Effect.log("more").pipe(Effect.annotateLogs({ value })))
        )
        assert.strictEqual(lines.length, 2, String(value))
      }
    })
  )

  it.effect("replayAware keeps another logger silent while replaying", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const always: Array<unknown> = []
      const layer = Logger.layer([
        DurableLogger.replayAware(Logger.make(({ message }) => void seen.push(message))),
        Logger.make(({ message }) => void always.push(message))
      ])
      const { lines } = yield* linesOf(talkative, layer)
      assert.deepStrictEqual(lines, [])
      assert.deepStrictEqual(seen.flat(), once)
      assert.isAbove(always.length, once.length)
    })
  )

  it.effect("outside of a workflow it logs like any other", () =>
    Effect.gen(function* () {
      const lines: Array<string | undefined> = []
      const inner = DurableLogger.make()
      const logger = Logger.make((entry) => void lines.push(inner.log(entry)))
      yield* Effect.provide(Effect.log("outside"), Logger.layer([logger]))
      assert.strictEqual((JSON.parse(lines[0]!) as Line).message, "outside")
    })
  )
})

describe("DurableLogger beside what still waits", () => {
  /** The body's lines, in the order they were written, over all invocations. */
  const bodyLines = (body: kit.Body) =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const recorder = Logger.make(({ message }) => void seen.push(String(message)))
      const invocations = yield* Effect.gen(function* () {
        const execution = yield* kit.start(body)
        yield* execution.result
        return yield* execution.invocations
      }).pipe(Effect.provide(Logger.layer([DurableLogger.replayAware(recorder)])))
      return { seen, invocations }
    }).pipe(Effect.provide(TestRunner.layerMemory))

  const all = (...branches: ReadonlyArray<kit.Body>) => Effect.all(branches, { concurrency: "unbounded" })

  const cases: ReadonlyArray<readonly [name: string, body: kit.Body, lines: ReadonlyArray<string>]> = [
    [
      "lines before waits of different length",
      all(
        Effect.andThen(Effect.log("a"), Durable.wait("w1", "1 day")),
        Effect.andThen(Effect.log("b"), Durable.wait("w2", "2 days"))
      ),
      ["a", "b"]
    ],
    [
      "lines behind the operations that are asked for at once",
      all(Durable.wait("w1", "1 day"), Durable.wait("w2", "2 days"), Effect.log("third branch")),
      ["third branch"]
    ],
    [
      "a branch that has ended while another waits",
      all(
        Effect.andThen(Durable.wait("w1", "1 day"), Effect.log("after one day")),
        Effect.andThen(Durable.wait("w2", "2 days"), Effect.log("after two days")),
        Effect.andThen(Durable.wait("w3", "3 days"), Effect.log("after three days"))
      ),
      ["after one day", "after two days", "after three days"]
    ],
    [
      "a step that has ended while another branch waits",
      all(
        Effect.andThen(Durable.step("s", Effect.void), Effect.log("after the step")),
        Durable.wait("w1", "1 day"),
        Durable.wait("w2", "2 days")
      ),
      ["after the step"]
    ],
    [
      "contexts: one that waits behind its last line, one that begins late, one without operations on record",
      all(
        Effect.gen(function* () {
          const fiber = yield* Effect.forkChild(Durable.wait("long", "3 days"))
          yield* Effect.log("in c")
          yield* Fiber.join(fiber)
          yield* Effect.log("c ends")
        }).pipe(Durable.childContext("c")),
        Effect.gen(function* () {
          yield* Durable.wait("w1", "1 day")
          yield* Effect.gen(function* () {
            yield* Effect.log("in d")
            yield* Durable.wait("inside", "1 day")
            yield* Effect.log("d ends")
          }).pipe(Durable.childContext("d"))
          yield* Effect.log("after d")
        })
      ),
      ["in c", "in d", "d ends", "after d", "c ends"]
    ],
    [
      "a new context that begins while other contexts are replayed",
      all(
        Effect.gen(function* () {
          yield* Durable.wait("w2", "2 days")
          yield* Effect.log("late").pipe(Durable.childContext("inner"))
        }).pipe(Durable.childContext("first")),
        Effect.gen(function* () {
          yield* Durable.wait("w1", "1 day")
          yield* Effect.log("early")
          yield* Durable.wait("w3", "2 days")
        }).pipe(Durable.childContext("second"))
      ),
      ["early", "late"]
    ],
    [
      "what is awaited again behind what is new",
      Effect.gen(function* () {
        const callback = yield* Durable.callback("cb", { timeout: "1 day" })
        const answer = Effect.exit(callback.await)
        yield* answer
        yield* Effect.log("timed out")
        yield* Durable.wait("w", "1 day")
        yield* answer
        yield* Effect.log("again")
        yield* Durable.wait("v", "1 day")
      }),
      ["timed out", "again"]
    ],
    [
      "a branch that another one wakes",
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        yield* all(
          Effect.andThen(Durable.wait("w1", "1 day"), Effect.log("first")),
          Effect.andThen(Effect.andThen(Deferred.await(gate), Effect.log("woken")), Durable.wait("w3", "1 day")),
          Effect.andThen(Durable.wait("w2", "2 days"), Deferred.succeed(gate, undefined))
        )
      }),
      ["first", "woken"]
    ],
    [
      "items of a batch without contexts, one after the other",
      Durable.map(
        "items",
        [1, 2, 3, 4],
        (n) =>
          Effect.gen(function* () {
            yield* Effect.log(`begin ${n}`)
            yield* Durable.wait("w", `${n} days`)
            yield* Effect.log(`end ${n}`)
          }),
        { concurrency: 2, nesting: "flat" }
      ),
      ["begin 1", "begin 2", "end 1", "begin 3", "end 2", "begin 4", "end 3", "end 4"]
    ]
  ]

  for (const [name, body, expected] of cases) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const { invocations, seen } = yield* bodyLines(body)
        assert.isAtLeast(invocations, 2, "nothing was replayed")
        assert.deepStrictEqual(seen, expected)
      })
    )
  }
})
