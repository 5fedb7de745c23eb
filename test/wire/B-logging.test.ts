import { assert, describe, it } from "@effect/vitest"
import { Durable, DurableFunction, DurableHandler, DurableLogger } from "effect-durable-lambda"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as FakeService from "./FakeService.ts"

/** A workflow that logs everywhere, over three invocations, and what it logged in each. */
const linesOf = Effect.fnUntraced(function* (options?: DurableLogger.Options) {
  const lines: Array<string> = []
  const real = yield* Console.Console
  const console = Layer.succeed(Console.Console, {
    ...real,
    log: (line: string) => lines.push(JSON.parse(line).message)
  })
  const service = FakeService.make()
  const handler = DurableHandler.make(
    DurableFunction.make("order", { payload: Schema.Unknown }),
    () =>
      Effect.gen(function* () {
        yield* Effect.logInfo("root start")
        yield* Effect.gen(function* () {
          yield* Effect.logInfo("child start")
          yield* Durable.step("s", Effect.logInfo("step"))
          yield* Effect.logInfo("child after step")
          yield* Durable.wait("first", "1 second")
          yield* Effect.logInfo("child after first wait")
          yield* Durable.wait("second", "1 second")
          yield* Effect.logInfo("child end")
        }).pipe(Durable.childContext("c"))
        yield* Effect.logInfo("root end")
      }),
    {
      ...service.handlerOptions,
      layer: Layer.provideMerge(options === undefined ? Layer.empty : DurableLogger.layerWith(options), console)
    }
  )
  const invocations: Array<ReadonlyArray<string>> = []
  for (const _ of [1, 2, 3]) {
    yield* service.invoke(handler)
    service.pass(1)
    invocations.push(lines.splice(0))
  }
  return invocations
})

describe("wire-protocol appendix B: log lines of STARTED contexts repeat on every invocation", () => {
  it.effect("every line appears once, also those of a context that is found STARTED", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* linesOf(), [
        ["root start", "child start", "step", "child after step"],
        ["child after first wait"],
        ["child end", "root end"]
      ])
    })
  )
})

describe("wire-protocol appendix B: modeAware: false is not inherited by child contexts", () => {
  it.effect("with replay: true all lines of the body appear in every invocation, in child contexts too", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* linesOf({ replay: true }), [
        ["root start", "child start", "step", "child after step"],
        ["root start", "child start", "child after step", "child after first wait"],
        ["root start", "child start", "child after step", "child after first wait", "child end", "root end"]
      ])
    })
  )
})
