/**
 * What the logger takes from its surroundings: Lambda's log level, and stdout. A file of its own: both belong to a
 * whole process, so these tests wait for each other.
 */
import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableHandler, DurableLogger } from "effect-durable-lambda"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Semaphore from "effect/Semaphore"
import * as kit from "./operations/kit.ts"
import * as FakeService from "./wire/FakeService.ts"

const process_ = Semaphore.makeUnsafe(1)

const withLevel = <A, E>(level: string | undefined, effect: Effect.Effect<A, E>) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      if (level !== undefined) process.env.AWS_LAMBDA_LOG_LEVEL = level
    }),
    () => effect,
    () => Effect.sync(() => void delete process.env.AWS_LAMBDA_LOG_LEVEL)
  ).pipe(process_.withPermits(1))

const everyLevel = Effect.gen(function* () {
  yield* Effect.logTrace("trace")
  yield* Durable.step("s", Effect.logDebug("debug in a step"))
  yield* Effect.logDebug("debug")
  yield* Effect.logInfo("info")
  yield* Effect.logWarning("warn")
  yield* Effect.logError("error")
  yield* Effect.logFatal("fatal")
})

/** What a handler writes to its console. */
const linesOf = (layer: Layer.Layer<never> = Layer.empty) =>
  Effect.suspend(() => {
    const lines: Array<string> = []
    const console = new Proxy(Context.get(Context.empty(), Console.Console), {
      get: (target, key) => (key === "log" ? (line: string) => void lines.push(line) : Reflect.get(target, key))
    })
    const service = FakeService.make()
    const handler = DurableHandler.make(kit.Anything, () => everyLevel, {
      ...service.handlerOptions,
      layer: Layer.merge(Layer.succeed(Console.Console, console), layer)
    })
    return Effect.as(service.invoke(handler), lines)
  }).pipe(Effect.map((lines) => lines.map((line) => JSON.parse(line).level as string)))

describe("AWS_LAMBDA_LOG_LEVEL", () => {
  const from = (level: string) => {
    const all = ["TRACE", "DEBUG", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
    return all.slice(all.indexOf(level))
  }

  it.effect("is where lines begin to be written; in lower case, too", () =>
    Effect.gen(function* () {
      for (const level of ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]) {
        assert.deepStrictEqual(yield* withLevel(level, linesOf()), from(level), level)
        assert.deepStrictEqual(yield* withLevel(level.toLowerCase(), linesOf()), from(level), level)
      }
    })
  )

  it.effect("absent, or none of Lambda's: from INFO on", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* withLevel(undefined, linesOf()), from("INFO"))
      assert.deepStrictEqual(yield* withLevel("LOUD", linesOf()), from("INFO"))
    })
  )

  it.effect("the handler's layer has the last word", () =>
    Effect.gen(function* () {
      const layer = Layer.succeed(References.MinimumLogLevel, "Error")
      assert.deepStrictEqual(yield* withLevel("DEBUG", linesOf(layer)), from("ERROR"))
    })
  )

  it.effect("levelFromEnvironment", () =>
    Effect.gen(function* () {
      const read = Effect.sync(() => DurableLogger.levelFromEnvironment())
      assert.strictEqual(yield* withLevel("warn", read), "Warn")
      assert.isUndefined(yield* withLevel(undefined, read))
    })
  )
})

describe("stdout", () => {
  it.effect("has each line as it is: Lambda's own console would put text in front of it", () =>
    Effect.gen(function* () {
      const service = FakeService.make()
      const handler = DurableHandler.make(kit.Anything, () => Effect.log("to stdout"), service.handlerOptions)
      const chunks: Array<string> = []
      yield* Effect.acquireUseRelease(
        Effect.sync(() => {
          const { write } = process.stdout
          const { log } = globalThis.console
          process.stdout.write = (chunk: unknown) => chunks.push(String(chunk)) > 0
          globalThis.console.log = (text: string) => void chunks.push(`patched by Lambda\t${text}`)
          return { write, log }
        }),
        () => service.invoke(handler),
        ({ log, write }) =>
          Effect.sync(() => {
            process.stdout.write = write
            globalThis.console.log = log
          })
      )
      const [line = "", ...more] = chunks
      assert.deepStrictEqual(more, [])
      assert.strictEqual(line.at(-1), "\n")
      assert.strictEqual(line.trimEnd().includes("\n"), false)
      assert.strictEqual(JSON.parse(line).message, "to stdout")
    }).pipe(process_.withPermits(1))
  )
})
