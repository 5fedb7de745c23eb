/**
 * Workflows in memory, with the spans that they have exported.
 */
import { assert } from "@effect/vitest"
import { Durable, DurableTracer } from "effect-durable-lambda"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { exporter, faultsOf, type Span, tree } from "./conformance/spans.ts"
import * as kit from "./operations/kit.ts"

/** Runs a body in memory, and gives the spans that were exported. */
export const traced = (body: kit.Body, options?: DurableTracer.Options) =>
  Effect.gen(function* () {
    const spans: Array<Span> = []
    const { arn, exit, execution } = yield* Effect.gen(function* () {
      const execution = yield* kit.start(body, { plugins: [DurableTracer.make({ timeout: "30 seconds", ...options })] })
      const exit = yield* Effect.exit(execution.result)
      return { arn: execution.arn, exit, execution }
    }).pipe(Effect.provide(exporter(spans)))
    return { spans, arn, exit, execution }
  })

/** Spans as a tree, of which everything holds that must hold of any. */
export const treeOf = (body: kit.Body, options?: DurableTracer.Options) =>
  Effect.map(traced(body, options), ({ spans }) => {
    assert.deepStrictEqual(faultsOf(spans), [])
    return tree(spans)
  })

export const find = (spans: ReadonlyArray<Span>, name: string) => spans.filter((span) => span.name === name)

/** Collects warnings: they go to the console. */
export const warnings = () => {
  const lines: Array<string> = []
  const console = new Proxy(Context.get(Context.empty(), Console.Console), {
    get: (target, key) =>
      key === "warn" || key === "log" ? (line: string) => void lines.push(line) : Reflect.get(target, key)
  })
  return { lines, layer: Layer.succeed(Console.Console, console) }
}

export const step = (name: string) => Durable.step(name, Effect.succeed(name))
