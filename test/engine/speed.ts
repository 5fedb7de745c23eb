/**
 * How fast the engine is on a SQLite file. As a program it prints:
 *
 *     node --conditions=@effect-durable-lambda/source test/engine/speed.ts
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Engine from "../../src/engine/Engine.ts"
import type * as SqliteStore from "../../src/engine/SqliteStore.ts"
import * as Timers from "../../src/engine/Timers.ts"
import { stores } from "./kit.ts"
import * as raw from "./raw.ts"

const median = (numbers: ReadonlyArray<number>) =>
  numbers.toSorted((left, right) => left - right)[Math.floor(numbers.length / 2)] ?? NaN

const payload = "x".repeat(200)

/** Runs executions of so many steps, all at once; gives what each step took, in milliseconds, by execution. */
const run = (
  store: (typeof stores)[number][1],
  { executions, steps }: { readonly executions: number; readonly steps: number }
): Effect.Effect<ReadonlyArray<ReadonlyArray<number>>, SqliteStore.StoreNotOpened | Engine.Rejection> =>
  Effect.gen(function* () {
    const open = yield* store
    const times = new Map<string, Array<number>>()
    const program = Effect.gen(function* () {
      yield* raw.register("steps", (durable) =>
        Effect.gen(function* () {
          const mine: Array<number> = []
          times.set(durable.event.DurableExecutionArn, mine)
          for (let i = 0; i < steps; i++) {
            const before = performance.now()
            yield* durable.step(`s${i}`, Effect.succeed(payload))
            mine.push(performance.now() - before)
          }
        })
      )
      const engine = yield* Engine.Engine
      const start = engine.start({ functionName: "steps:1" })
      const arns = yield* Effect.all(Array.from({ length: executions }, () => start))
      yield* Effect.forEach(arns, (arn) => engine.await(arn), { concurrency: "unbounded" })
    })
    const layer = Engine.layer.pipe(Layer.provide([open(), Timers.layer]), Layer.fresh)
    yield* Effect.provide(program, layer)
    return Array.from(times.values())
  }).pipe(Effect.scoped)

/** What a step takes around the hundredth and around the last one, in milliseconds, and how the second is to the first. */
export const growth = Effect.fnUntraced(function* (store: (typeof stores)[number][1], steps: number) {
  const [times = []] = yield* run(store, { executions: 1, steps })
  const at100 = median(times.slice(50, 150))
  const atEnd = median(times.slice(-100))
  return { at100, atEnd, ratio: atEnd / at100 }
})

/** What a step takes when so many executions run at once: the time of all, divided by all steps. */
export const together = Effect.fnUntraced(function* (
  store: (typeof stores)[number][1],
  size: { readonly executions: number; readonly steps: number }
) {
  const before = performance.now()
  const times = yield* run(store, size)
  return (performance.now() - before) / times.reduce((sum, { length }) => sum + length, 0)
})

if (process.argv[1] === import.meta.filename) {
  const show = (millis: number) => `${millis.toFixed(3)} ms`
  const print = Effect.forEach(
    stores,
    ([name, store]) =>
      Effect.gen(function* () {
        yield* growth(store, 1_000) // warm
        const { at100, atEnd, ratio } = yield* growth(store, 1_000)
        const far = yield* growth(store, 2_900)
        const all = yield* together(store, { executions: 100, steps: 100 })
        process.stdout.write(
          `${name.padEnd(8)} a step at 100: ${show(at100)}, at 1,000: ${show(atEnd)} (${ratio.toFixed(2)}), ` +
            `at 2,900: ${show(far.atEnd)} (${far.ratio.toFixed(2)}); 100 executions at once: ${show(all)} a step\n`
        )
      }),
    { discard: true }
  )
  await Effect.runPromise(print)
}
