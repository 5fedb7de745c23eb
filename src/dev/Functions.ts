/**
 * Runs functions for the local engine: handlers of any Lambda SDK from their files, each invocation in a process of
 * its own, as in Lambda's sandboxes; handlers in this process; and functions behind a URL.
 *
 * **Example** (A file of handlers)
 *
 * ```ts
 * import { Functions, Server } from "effect-durable-lambda/dev"
 * import { Engine } from "effect-durable-lambda/engine"
 * import { Effect } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const { url } = yield* Server.Server
 *   yield* Functions.serveFunctions([{ file: "src/orders.ts" }], { endpoint: url })
 *   const engine = yield* Engine.Engine
 *   return yield* engine.start({ functionName: "process-order:$LATEST", payload: "{}" })
 * })
 * ```
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberSet from "effect/FiberSet"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import * as path from "node:path"
import * as Engine from "../engine/Engine.ts"
import { uuid } from "../engine/functions.ts"
import type { Exported } from "./bootstrap.ts"
import * as Code from "./Code.ts"
import * as config from "./FunctionConfig.ts"
import * as FunctionProcess from "./FunctionProcess.ts"
import * as HttpExecutor from "./HttpExecutor.ts"
import * as Sandboxes from "./Sandboxes.ts"
import * as snapshot from "./snapshot.ts"

export { type FunctionConfig, type Handler, InvalidFunctions } from "./FunctionConfig.ts"

// ---- shapes --------------------------------------------------------------------------------------

/** What happens to functions, as it happens. */
export type FunctionEvent =
  /** A line that a function has written; without a request id while its code is being loaded. */
  | {
      readonly _tag: "Line"
      readonly functionName: string
      readonly pid: number
      readonly requestId: string | undefined
      readonly stream: "stdout" | "stderr"
      readonly text: string
    }
  | { readonly _tag: "ProcessStarted"; readonly functionName: string; readonly pid: number; readonly version: number }
  /** Without a reason it was asked to. */
  | {
      readonly _tag: "ProcessEnded"
      readonly functionName: string
      readonly pid: number
      readonly reason: string | undefined
    }
  | {
      readonly _tag: "Invoked"
      readonly functionName: string
      readonly pid: number
      readonly requestId: string
      /** The process has run an invocation before. */
      readonly reused: boolean
    }
  /** New code: what starts from now on runs it. */
  | {
      readonly _tag: "CodeChanged"
      readonly functionName: string
      readonly version: number
      readonly files: ReadonlyArray<string>
      /** The executions that go on with the code that they started with. */
      readonly keeping: number
    }
  /** An execution goes on with other code than it started with, or changes cannot be seen. */
  | { readonly _tag: "Warning"; readonly functionName: string; readonly message: string }

/** A function that is served. */
export interface Served {
  readonly name: string
  readonly durable: boolean
  /** `/home/me/orders.ts#process`, a URL, or `in this process`. */
  readonly source: string
}

/** Settings of `serveFunctions`. */
export interface Options {
  /** The URL of the engine's server: where processes send their checkpoints. Needed for durable functions in files. */
  readonly endpoint?: string | undefined
  /**
   * What a change of a file means. `"new"` (default): executions that start from then on run the new code, the others
   * keep the code they have started with. `"all"`: every invocation from then on runs the new code, as with `$LATEST`
   * on Lambda. `"off"`: nothing is watched.
   */
  readonly reload?: "new" | "all" | "off" | undefined
  /** Gets what happens, synchronously. Default: lines are printed where the function wrote them, changes and warnings to stderr. */
  readonly onEvent?: ((event: FunctionEvent) => void) | undefined
}

// ---- what is printed by default ------------------------------------------------------------------

/** One event as a line of text; nothing for those that only a timeline would show. */
export const format = (event: FunctionEvent): string | undefined => {
  switch (event._tag) {
    case "Line":
      return `${event.functionName} ${event.requestId?.slice(0, 8) ?? "loading "} | ${event.text}`
    case "CodeChanged": {
      const files = event.files.map((file) => path.relative(process.cwd(), file)).join(", ")
      const kept = event.keeping === 0 ? "" : `; ${event.keeping} running executions keep the code they started with`
      return `${event.functionName}: new code (${files})${kept}`
    }
    case "Warning":
      return `${event.functionName}: ${event.message}`
    default:
      return undefined
  }
}

const print = (event: FunctionEvent): void => {
  const text = format(event)
  const stream = event._tag === "Line" && event.stream === "stdout" ? process.stdout : process.stderr
  if (text !== undefined) stream.write(`${text}\n`)
}

// ---- events of executions ------------------------------------------------------------------------

/** Of an event of the service, the execution, and whether it has only just begun. */
const executionOf = (event: unknown): { readonly arn: string; readonly isNew: boolean } | undefined => {
  const { DurableExecutionArn: arn, InitialExecutionState: state } = Object(event) as Record<string, unknown>
  const operations: unknown = Object(state)["Operations"]
  return typeof arn === "string" ? { arn, isNew: !Array.isArray(operations) || operations.length <= 1 } : undefined
}

// ---- functions in files --------------------------------------------------------------------------

/** What the functions of one call of `serveFunctions` share. */
interface Shared {
  readonly engine: Engine.Engine["Service"]
  readonly options: Options
  readonly emit: (event: FunctionEvent) => void
  readonly scope: Scope.Scope
  readonly run: (effect: Effect.Effect<void>) => void
  readonly traceId: () => string
}

/** The processes of a version, and who needs them. */
interface Running {
  readonly version: Code.Version
  readonly sandboxes: Sandboxes.Sandboxes
  readonly scope: Scope.Closeable
  /** The executions that keep to this version. */
  readonly executions: Set<string>
  invocations: number
}

interface FileFunction {
  readonly name: string
  readonly file: string
  readonly exported: string
  readonly code: Code.Code
  readonly entry: config.FunctionConfig
}

const processOptions = (
  shared: Shared,
  { code, entry, exported, file, name }: FileFunction,
  version: Code.Version
): FunctionProcess.Options => ({
  functionName: name,
  file,
  exported,
  snapshot: version.folder,
  endpoint: shared.options.endpoint,
  region: shared.engine.settings.place.region,
  memoryMegabytes: entry.memoryMegabytes ?? 128,
  env: entry.env ?? {},
  line: (line, pid) => shared.emit({ _tag: "Line", functionName: name, pid, ...line }),
  loaded: ({ exports, files }) => {
    if (exports !== undefined) version.isBroken = false
    code.loaded(version, files)
  },
  failed: () => {
    version.isBroken = true
  },
  ended: (pid, error) => shared.emit({ _tag: "ProcessEnded", functionName: name, pid, reason: error?.reason })
})

/** Runs one function of a file: its invocations go to processes of the version that they belong to. */
const serveFile = Effect.fnUntraced(function* (shared: Shared, served: FileFunction) {
  const { code, entry, name } = served
  const { emit, engine, options, scope } = shared
  const versions = new Map<Code.Version, Running>()
  const kept = new Map<string, Running>()

  const open = Effect.fnUntraced(function* (version: Code.Version) {
    const own = yield* Scope.fork(scope)
    const sandboxes = yield* Sandboxes.make({
      start: FunctionProcess.make(processOptions(shared, served, version)),
      concurrency: entry.concurrency ?? 10,
      invoked: (pid, requestId, reused) => emit({ _tag: "Invoked", functionName: name, pid, requestId, reused }),
      started: (pid) => emit({ _tag: "ProcessStarted", functionName: name, pid, version: version.number })
    }).pipe(Scope.provide(own))
    const running: Running = { version, sandboxes, scope: own, executions: new Set(), invocations: 0 }
    versions.set(version, running)
    return running
  })

  /** Lets the processes of a version go that nobody needs any more. */
  const release = (running: Running) => {
    if (running.version === code.current() || running.invocations > 0 || running.executions.size > 0) return
    if (versions.delete(running.version)) shared.run(Scope.close(running.scope, Exit.void))
  }

  const forget = (arn: string) => {
    const running = kept.get(arn)
    kept.delete(arn)
    running?.executions.delete(arn)
    return running
  }

  /** The version that an invocation runs: an execution stays with its first one, if that loads at all. */
  const take = Effect.fnUntraced(function* (event: unknown) {
    const version = code.current()
    const newest = versions.get(version) ?? (yield* open(version))
    // what a plain function is called with is its caller's, whatever it looks like
    const execution = entry.durable === false ? undefined : executionOf(event)
    if (execution === undefined || options.reload === "all") return newest
    const known = kept.get(execution.arn)
    if (known !== undefined && !known.version.isBroken) return known
    forget(execution.arn)
    kept.set(execution.arn, newest)
    newest.executions.add(execution.arn)
    if (known === undefined && !execution.isNew) {
      const message =
        `An execution that began before these processes goes on with the code as it is now: ${execution.arn}. ` +
        "If its workflow has changed meanwhile, it may end as NonDeterministic."
      emit({ _tag: "Warning", functionName: name, message })
    }
    return newest
  }, Effect.uninterruptible)

  const executor: Engine.Executor = (event, context) =>
    Effect.flatMap(take(event), (running) => {
      running.invocations += 1
      return Effect.ensuring(
        running.sandboxes.invoke(event, context, shared.traceId()),
        Effect.sync(() => {
          running.invocations -= 1
          release(running)
        })
      )
    })

  code.subscribe((version, files) => {
    const keeping = [...versions.values()].reduce((sum, { executions }) => sum + executions.size, 0)
    emit({ _tag: "CodeChanged", functionName: name, version: version.number, files, keeping })
    for (const running of versions.values()) release(running)
    shared.run(engine.retry(name))
  })
  yield* engine.subscribe(({ execution }) => {
    if (execution.status === "RUNNING") return
    const running = forget(execution.arn)
    if (running !== undefined) release(running)
  })
  return executor
})

/** How long the code of a file may take to load, when it is asked for its exports. */
const LOAD_SECONDS = 60

/** Loads a file in a process of its own and asks what it exports. */
const inspect = Effect.fnUntraced(function* (shared: Shared, inspected: FileFunction) {
  let found: ReadonlyArray<Exported> | undefined
  let failure: Engine.InvocationError | undefined
  const version = inspected.code.current()
  const process = yield* FunctionProcess.make({
    ...processOptions(shared, inspected, version),
    loaded: ({ exports, files }) => {
      inspected.code.loaded(version, files)
      found = exports ?? found
    },
    failed: (error) => {
      failure = error
    },
    ended: () => {} // nobody has been told that it started
  })
  // it ends once it has told
  const end = yield* Effect.timeoutOption(process.ended, `${LOAD_SECONDS} seconds`)
  if (found === undefined) {
    const error = failure ?? Option.getOrUndefined(end)
    const why =
      error === undefined ? `it has not loaded after ${LOAD_SECONDS} seconds` : `${error.errorType}: ${error.reason}`
    return yield* Effect.fail(config.invalid(`"${inspected.file}": it does not load: ${why}`))
  }
  return found.length > 0
    ? found
    : yield* Effect.fail(
        config.invalid(
          `"${inspected.file}": it exports no function. ` +
            "Export a handler: `export const handler = DurableHandler.make(…)`."
        )
      )
}, Effect.scoped)

/** The functions of a file: the one that is named, or the handlers of this library, or else everything it exports. */
const select = (
  { config: entry, source }: config.Entry,
  file: string,
  found: ReadonlyArray<Exported>
): Effect.Effect<ReadonlyArray<Exported>, config.InvalidFunctions> => {
  const exported = source._tag === "File" ? source.exported : undefined
  const marked = found.filter(({ definition }) => definition !== undefined)
  const all = marked.length > 0 ? marked : found
  const chosen = exported === undefined ? all : found.filter((one) => one.export === exported)
  if (exported !== undefined && chosen.length === 0 && !exported.includes(".")) {
    const names = found.map((one) => one.export).join(", ")
    return Effect.fail(config.invalid(`"${file}" exports no function "${exported}"; it exports ${names}.`))
  }
  if (entry.name !== undefined && chosen.length > 1) {
    const names = chosen.map((one) => one.export).join(", ")
    return Effect.fail(
      config.invalid(
        `"${file}" exports several functions (${names}): \`name\` is for one. Choose one as "file#export".`
      )
    )
  }
  return Effect.succeed(chosen.length === 0 ? [{ export: exported ?? "handler" }] : chosen)
}

const nameOf = (entry: config.FunctionConfig, file: string, one: Exported, isOnly: boolean) =>
  entry.name ??
  one.definition ??
  (isOnly && /^(?:handler|default)$/.test(one.export) ? path.basename(file, path.extname(file)) : one.export)

// ---- all of them ---------------------------------------------------------------------------------

interface Found {
  readonly name: string
  readonly source: string
  readonly entry: config.FunctionConfig
  readonly executor: Effect.Effect<Engine.Executor, never, Scope.Scope>
}

/** The mark of `DurableHandler.make`. */
const definitionOf = (handler: config.Handler): string | undefined => {
  const mark: unknown = Reflect.get(handler, "~effect-durable-lambda/DurableHandler")
  return typeof mark === "string" ? mark : undefined
}

/**
 * Registers functions with the engine, and runs them until the scope closes.
 *
 * **Details**
 *
 * The configuration is a list of `{ file | handler | url, name, durable, timeoutSeconds, executionTimeoutSeconds,
 * retries, concurrency, memoryMegabytes, env }`. What is wrong with it fails as `InvalidFunctions`, all of it at once,
 * before anything is registered; so does a file that does not load.
 *
 * - `file`: each invocation runs in a process of its own, which is used again when it is free. A function that takes
 *   longer than `timeoutSeconds` is killed (`Sandbox.Timedout`); one that exits is `Runtime.ExitError`; the engine
 *   invokes again as the service does. Processes have the environment of this process without its `AWS_*` variables,
 *   what Lambda sets, and `env`. A file that exports several handlers of `DurableHandler.make` gives a function for
 *   each, named by its definition; a file without them gives one for each function that it exports.
 * - `handler`: runs in this process, and so does what it does wrong. Give it the engine as its `client`.
 * - `url`: gets the event by POST, as Lambda's Runtime Interface Emulator does.
 *
 * When a file changes, or one that it imports (installed packages aside), what starts afterwards runs the new code.
 * Executions that are running keep the code that they started with, also in new processes, as long as this scope is
 * open; after a restart they go on with the code as it is then, and a warning says so. `reload` changes this. It needs
 * Node.js 22.15; older ones load the code anew for each process and warn.
 */
export const serveFunctions = Effect.fnUntraced(function* (
  input: ReadonlyArray<config.FunctionConfig> | unknown,
  options: Options = {}
): Effect.fn.Return<ReadonlyArray<Served>, config.InvalidFunctions, Engine.Engine | Scope.Scope> {
  const entries = yield* config.read(input)
  const engine = yield* Engine.Engine
  const random = yield* Random.Random
  const scope = yield* Effect.scope
  const fork = yield* FiberSet.makeRuntime<never, void, never>()
  const emit = options.onEvent ?? print
  const shared: Shared = {
    engine,
    options,
    emit,
    // processes of all functions end at the same time
    scope: yield* Scope.fork(scope, "parallel"),
    run: (effect) => void fork(effect),
    traceId: () => {
      const [first, second] = [uuid(random), uuid(random)].map((id) => id.replaceAll("-", ""))
      return `Root=1-${first!.slice(0, 8)}-${first!.slice(8)};Parent=${second!.slice(0, 16)};Sampled=0`
    }
  }

  const folder = yield* Code.folder
  const codes = new Map<string, Code.Code>()
  const codeOf = Effect.fnUntraced(function* (file: string) {
    const known = codes.get(file)
    if (known !== undefined) return known
    const warn = (message: string) => emit({ _tag: "Warning", functionName: path.basename(file), message })
    const isWatched = options.reload !== "off" && snapshot.isSupported
    if (options.reload !== "off" && !snapshot.isSupported)
      warn("Changes are not seen: that needs Node.js 22.15 or newer.")
    const code = isWatched ? yield* Code.watch(path.join(folder, String(codes.size)), warn) : Code.fixed()
    codes.set(file, code)
    return code
  })

  // several entries of one file, with the same environment, load it once
  const inspected = new Map<string, Effect.Effect<ReadonlyArray<Exported>, config.InvalidFunctions>>()
  const inspectOnce = Effect.fnUntraced(function* (common: Omit<FileFunction, "name" | "exported">) {
    const key = JSON.stringify([common.file, common.entry.env])
    const name = common.entry.name ?? path.basename(common.file, path.extname(common.file))
    const found = inspected.get(key) ?? (yield* Effect.cached(inspect(shared, { ...common, name, exported: "" })))
    inspected.set(key, found)
    return yield* found
  })

  const findIn = Effect.fnUntraced(function* (entry: config.Entry, file: string) {
    const code = yield* codeOf(file)
    const common = { file, code, entry: entry.config }
    const found = yield* inspectOnce(common)
    const chosen = yield* select(entry, file, found)
    return chosen.map((one): Found => {
      const name = nameOf(entry.config, file, one, chosen.length === 1)
      return {
        name,
        source: `${file}#${one.export}`,
        entry: entry.config,
        executor: serveFile(shared, { ...common, name, exported: one.export })
      }
    })
  })

  const findAll = (entry: config.Entry): Effect.Effect<ReadonlyArray<Found>, config.InvalidFunctions, Scope.Scope> => {
    const { config: own, source } = entry
    if (source._tag === "File") return findIn(entry, source.file)
    const name = own.name ?? (source._tag === "Handler" ? definitionOf(source.handler) : undefined)
    if (name === undefined) {
      const which = source._tag === "Url" ? `The function at ${source.url}` : "A handler in this process"
      return Effect.fail(config.invalid(`${which} needs a name.`))
    }
    return Effect.succeed([
      source._tag === "Url"
        ? { name, source: source.url, entry: own, executor: Effect.succeed(HttpExecutor.fromUrl(source.url)) }
        : {
            name,
            source: "in this process",
            entry: own,
            executor: Effect.succeed(Engine.fromHandler(source.handler))
          }
    ])
  }

  const found = (yield* config.all(entries, findAll)).flat()
  yield* config.checkNames(found.map(({ name }) => name))
  return yield* Effect.forEach(
    found,
    Effect.fnUntraced(function* ({ entry, executor, name, source }) {
      const durable = entry.durable ?? true
      const register = durable ? engine.register : engine.registerPlain
      yield* register(name, yield* executor, config.toOptions(entry))
      return { name, durable, source }
    })
  )
})
