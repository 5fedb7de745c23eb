import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableHandler, DurableLogger } from "effect-durable-lambda"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as kit from "./operations/kit.ts"
import { places } from "./places.kit.ts"
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
      if (answer.Status !== "PENDING") return { answer, service, lines: lines.map((line) => JSON.parse(line) as Line) }
      service.pass(60)
    }
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

  it.effect("log spans: how long they have lasted, in the body by its own clock", () =>
    Effect.gen(function* () {
      const { lines } = yield* linesOf(
        Effect.gen(function* () {
          const inside = Effect.andThen(Effect.sleep("20 millis"), Effect.log("in the step"))
          yield* Durable.step("s", inside.pipe(Effect.withLogSpan("inner"), Effect.withLogSpan("outer")))
          yield* Effect.andThen(Durable.wait("w", "5 seconds"), Effect.log("in the body")).pipe(Effect.withLogSpan("w"))
          yield* Effect.log("outside")
        })
      )
      const [step, body, outside] = lines.map(({ spans }) => spans as Readonly<Record<string, number>> | undefined)
      assert.deepStrictEqual(Object.keys(step!).sort(), ["inner", "outer"])
      assert.isAtLeast(step!.inner!, 19)
      assert.isBelow(step!.inner!, 5_000)
      assert.isAtLeast(body!.w!, 4_999)
      assert.isUndefined(outside)
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

  it.effect("a defect is logged once, where it has happened, with its stack", () =>
    Effect.gen(function* () {
      const thrower = (where: string) =>
        Effect.sync((): void => {
          throw new TypeError(`thrown in ${where}`)
        })
      const died = (lines: ReadonlyArray<Line>) =>
        lines.map(({ errorMessage, errorType, level, message, operationName, stackTrace }) => ({
          said: `${level} ${String(message).replace(/ \([\w-]+\)/, "")}: ${String(errorType)} ${String(errorMessage)}`,
          operationName,
          here: String(stackTrace).includes("DurableLogger.test.ts")
        }))
      const inStep = yield* linesOf(Effect.andThen(Durable.wait("w", "1 second"), Durable.step("s", thrower("a step"))))
      assert.deepStrictEqual(died(inStep.lines), [
        { said: 'ERROR A defect in STEP "s": TypeError thrown in a step', operationName: "s", here: true }
      ])
      const inContext = yield* linesOf(Durable.childContext("c", thrower("a context")))
      assert.deepStrictEqual(died(inContext.lines), [
        { said: 'ERROR A defect in CONTEXT "c": TypeError thrown in a context', operationName: undefined, here: true }
      ])
      const inBody = yield* linesOf(Effect.andThen(Durable.wait("w", "1 second"), thrower("the body")))
      assert.deepStrictEqual(died(inBody.lines), [
        {
          said: 'ERROR A defect in the body of "workflow": TypeError thrown in the body',
          operationName: undefined,
          here: true
        }
      ])
      const inCheck = yield* linesOf(
        Durable.waitForCondition("p", () => Effect.as(thrower("a check"), 1), {
          initial: 0,
          state: Schema.Int,
          until: () => true
        })
      )
      assert.strictEqual(died(inCheck.lines)[0]?.said, 'ERROR A defect in STEP "p": TypeError thrown in a check')
      // what has no stack is on record as it is, and a logger that fails changes nothing
      assert.deepStrictEqual((yield* linesOf(Durable.step("s", Effect.die("text")))).lines, [])
      const failing = Logger.make(() => {
        throw new Error("the logger")
      })
      const { answer } = yield* linesOf(thrower("the body"), Logger.layer([failing]))
      assert.strictEqual(answer.Status, "FAILED")
      // a failure is on record with all that is known of it
      const failure = yield* linesOf(Durable.step("s", Effect.fail("no"), { retry: Durable.noRetry }))
      assert.deepStrictEqual(failure.lines, [])
      const silent = Layer.succeed(References.MinimumLogLevel, "None")
      assert.deepStrictEqual((yield* linesOf(Durable.step("s", thrower("a step")), silent)).lines, [])
    })
  )

  it.effect("what cannot be JSON does not stop a workflow", () =>
    Effect.gen(function* () {
      const circular: { self?: unknown } = {}
      circular.self = circular
      const unspeakable = yield* linesOf(
        Effect.logError("died", Cause.die({ toString: () => undefined, [Symbol.toPrimitive]: () => ({}) }))
      )
      assert.strictEqual(unspeakable.lines[0]?.errorMessage, "a value that cannot be shown")
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

  it.effect("what throws when it is looked at does not stop a workflow: the line says what it can", () =>
    Effect.gen(function* () {
      class Unreadable extends Error {
        override get message(): string {
          throw new Error("unreadable")
        }
      }
      const revoked = Proxy.revocable({}, {})
      revoked.revoke()
      const thrown = {
        get field() {
          // a value that has no text
          throw Object.create(null)
        }
      }
      const odd: ReadonlyArray<unknown> = [
        Object.create(null),
        new Unreadable(),
        Object.assign(new Error("odd"), { stack: 5 }),
        Object.assign(new Error("odd"), { name: Symbol("s") }),
        revoked.proxy,
        thrown
      ]
      for (const value of odd) {
        const body = Effect.gen(function* () {
          yield* Effect.logError("as a cause", Cause.fail(value))
          yield* Effect.logError("as a defect", Cause.die(value))
          if (value !== revoked.proxy) yield* Effect.log("as an argument", value) // Effect itself looks at it
          yield* Effect.log("as an annotation").pipe(Effect.annotateLogs({ value }))
          yield* Effect.log("after")
        })
        const { lines } = yield* linesOf(body)
        for (const line of lines) {
          assert.isString(line.level)
          assert.isString(line.executionArn)
          assert.isTrue(!("logFault" in line) || /could not be written as JSON: /.test(String(line.logFault)))
        }
        assert.deepStrictEqual(
          lines.map(({ message }) => [message].flat()[0]),
          [
            "as a cause",
            "as a defect",
            ...(value === revoked.proxy ? [] : ["as an argument"]),
            "as an annotation",
            "after"
          ]
        )
      }
    })
  )

  it.effect("the causes of an error are in its stack, also those that go in circles", () =>
    Effect.gen(function* () {
      const inner = new TypeError("connection refused")
      const outer = new Error("the charge failed", { cause: new RangeError("between", { cause: inner }) })
      const circle: Error & { cause?: unknown } = new Error("round")
      circle.cause = circle
      const bare = Object.assign(new Error("bare"), { cause: Object.assign(new Error("inside"), { stack: undefined }) })
      const { lines } = yield* linesOf(
        Effect.gen(function* () {
          yield* Effect.logError("failed", Cause.fail(outer))
          yield* Effect.logError("round", circle)
          yield* Effect.logError("bare", bare)
          yield* Effect.logError("data", new Error("x", { cause: { card: "4111" } }))
        })
      )
      const [failed, round, without, data] = lines.map(({ stackTrace }) => stackTrace as ReadonlyArray<string>)
      assert.deepStrictEqual(
        failed!.filter((line) => !line.startsWith("    at ")),
        ["Error: the charge failed", "Caused by: RangeError: between", "Caused by: TypeError: connection refused"]
      )
      assert.strictEqual(round!.filter((line) => line === "Caused by: Error: round").length, 4)
      assert.strictEqual(without!.at(-1), "Caused by: Error: inside")
      assert.notInclude(data!.join(), "4111")
    })
  )

  it.effect("errors inside of what is logged are shown, not lost", () =>
    Effect.gen(function* () {
      const failure = new RangeError("too far")
      const { lines } = yield* linesOf(Effect.log({ failure }).pipe(Effect.annotateLogs({ failure })))
      assert.deepStrictEqual(lines[0]!.message, { failure: "RangeError: too far" })
      assert.strictEqual(lines[0]!.failure, "RangeError: too far")
    })
  )

  it.effect("a line is one line, whatever is in it", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const logger = Logger.map(DurableLogger.make(), (line) => line !== undefined && lines.push(line))
      const odd = "a\nb\r\n\u2028\u0000\uD800{}"
      yield* kit
        .run(Effect.logError(odd, Cause.fail(new Error(odd))).pipe(Effect.annotateLogs({ [odd]: odd })))
        .pipe(Effect.provide([Logger.layer([logger]), TestRunner.layerMemory]))
      assert.strictEqual(lines.length, 1)
      assert.notMatch(lines[0]!, /[\n\r]/)
      assert.strictEqual((JSON.parse(lines[0]!) as Line).message, odd)
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

  for (const [name, body, expected] of places((text) => Effect.log(text))) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const { invocations, seen } = yield* bodyLines(body)
        assert.isAtLeast(invocations, 2, "nothing was replayed")
        assert.deepStrictEqual(seen, expected)
      })
    )
  }
})
