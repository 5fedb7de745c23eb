/**
 * What several of the engine's tests share.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Engine from "../../src/engine/Engine.ts"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Store from "../../src/engine/ExecutionStore.ts"
import * as SqliteStore from "../../src/engine/SqliteStore.ts"
import * as Timers from "../../src/engine/Timers.ts"
import * as raw from "./raw.ts"

export const days = 24 * 60 * 60

export const threeDays = raw.register("three-days", (durable) =>
  Effect.gen(function* () {
    const value = yield* durable.step("s", Effect.succeed("computed"))
    yield* durable.wait("w", 3 * days)
    return value
  })
)

export const engineWith = (options: Engine.Options, timers: Layer.Layer<Timers.Timers> = Timers.layer) =>
  Engine.layerWith(options).pipe(Layer.provide([Store.layerMemory, timers]))

/** The name of a file in a folder of its own, which goes with the scope. */
export const temporary: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => path.join(fs.mkdtempSync(path.join(os.tmpdir(), "engine-")), "store.sqlite")),
  (filename) => Effect.sync(() => fs.rmSync(path.dirname(filename), { recursive: true }))
)

type Opening = () => Layer.Layer<Store.ExecutionStore, SqliteStore.StoreNotOpened>

/** Stores that outlive an engine: each gives the way to open it, again and again. */
export const stores: ReadonlyArray<readonly [name: string, store: Effect.Effect<Opening, never, Scope.Scope>]> = [
  ["memory", Effect.map(Layer.build(Store.layerMemory), (built) => () => Layer.succeedContext(built))],
  ["SQLite", Effect.map(temporary, (filename) => () => SqliteStore.layer({ filename }))]
]

export const run = Effect.fnUntraced(function* (name: string, payload = "null") {
  const engine = yield* Engine.Engine
  const arn = yield* engine.start({ functionName: `${name}:$LATEST`, payload })
  const description = yield* engine.await(arn)
  return { arn, description, history: yield* engine.history(arn) }
})

export const running = Effect.fnUntraced(function* (name: string, payload = "null") {
  const engine = yield* Engine.Engine
  const arn = yield* engine.start({ functionName: `${name}:$LATEST`, payload })
  yield* TestClock.adjust(0)
  const callback = Effect.map(
    engine.operations(arn),
    (operations) => operations.findLast(({ Type }) => Type === "CALLBACK")?.CallbackDetails?.CallbackId ?? ""
  )
  return { arn, engine, callback, types: Effect.map(engine.history(arn), raw.types) }
})

export const errors = (history: Effect.Success<ReturnType<Engine.Engine["Service"]["history"]>>) =>
  history.flatMap(({ InvocationCompletedDetails: details }) => details?.Error?.Payload?.ErrorType ?? [])
