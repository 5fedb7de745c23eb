/**
 * What the tests of running functions share: an engine behind its HTTP server, what the functions' processes say, and
 * files to change.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as fs from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import * as Functions from "../../src/dev/Functions.ts"
import * as Server from "../../src/dev/Server.ts"
import * as Engine from "../../src/engine/Engine.ts"

export const fixture = (name: string) => path.join(import.meta.dirname, "fixtures", name)

/** Our own library in a function's process is the source, not a build. */
export const env = { NODE_OPTIONS: "--conditions=@effect-durable-lambda/source" }

type Tag = Functions.FunctionEvent["_tag"]
type Of<T extends Tag> = Extract<Functions.FunctionEvent, { readonly _tag: T }>

/** Collects events, and waits for those that are still to come. */
export const recorder = () => {
  const events: Array<Functions.FunctionEvent> = []
  const waiting = new Set<() => void>()
  const all = <T extends Tag>(tag: T): ReadonlyArray<Of<T>> =>
    events.filter((event): event is Of<T> => event._tag === tag)
  return {
    onEvent: (event: Functions.FunctionEvent) => {
      events.push(event)
      for (const check of waiting) check()
    },
    all,
    lines: () => all("Line").map(({ text }) => text),
    /** The first event, of those after `from`, that fits. */
    event: <T extends Tag>(tag: T, fits: (event: Of<T>) => boolean = () => true, from = 0) =>
      Effect.suspend(() => {
        const found = Deferred.makeUnsafe<Of<T>>()
        const check = () => {
          const event = events.slice(from).find((event): event is Of<T> => event._tag === tag && fits(event as Of<T>))
          if (event !== undefined) Deferred.doneUnsafe(found, Effect.succeed(event))
        }
        waiting.add(check)
        check()
        return Effect.ensuring(
          Deferred.await(found),
          Effect.sync(() => waiting.delete(check))
        )
      }),
    count: () => events.length
  }
}

export type Recorder = ReturnType<typeof recorder>

/** Waits for a line that begins so, and gives the number at its end: a pid. */
export const said = (recorder: Recorder, prefix: string) =>
  Effect.map(
    recorder.event("Line", ({ text }) => text.startsWith(prefix)),
    ({ text }) => Number(text.split(" ").at(-1))
  )

/** Serves functions on the engine of the test, and records what they say. */
export const serve = Effect.fnUntraced(function* (config: unknown, options: Functions.Options = {}) {
  const engine = yield* Engine.Engine
  const { url } = yield* Server.Server
  const events = recorder()
  const served = yield* Functions.serveFunctions(config, { endpoint: url, onEvent: events.onEvent, ...options })
  const call = (name: string, payload: unknown = null) =>
    Effect.map(engine.invokePlain(name, JSON.stringify(payload)), (text) => JSON.parse(text) as unknown)
  const run = Effect.fnUntraced(function* (name: string, payload: unknown = null) {
    const arn = yield* engine.start({ functionName: `${name}:$LATEST`, payload: JSON.stringify(payload) })
    return yield* engine.await(arn)
  })
  return { engine, events, served, call, run }
})

/** Serves the functions of plain.mjs, as plain functions. */
export const servePlain = (names: ReadonlyArray<string>, config: Record<string, unknown> = {}) =>
  serve(names.map((name) => ({ file: `${fixture("plain.mjs")}#${name}`, durable: false, ...config })))

/** How a plain function fails: type and message. */
export const failure = (call: Effect.Effect<unknown, Engine.InvocationError | Engine.Rejection>) =>
  Effect.map(Effect.flip(call), (error) =>
    error._tag === "InvocationError" ? [error.errorType, error.reason] : [error.errorName, error.reason]
  )

/** A folder that goes with the scope. */
export const folder = Effect.acquireRelease(
  Effect.sync(() => fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "functions-")))),
  (name) => Effect.sync(() => fs.rmSync(name, { recursive: true, force: true }))
)

export const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
  } catch {
    return false
  }
  // a zombie has ended
  if (process.platform !== "linux") return true
  try {
    return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}

/** Waits until a process has ended; a child of a child says so to nobody. */
export const gone = (pid: number) =>
  Effect.promise(async () => {
    while (isRunning(pid)) await new Promise((resolve) => setTimeout(resolve, 5))
  })
