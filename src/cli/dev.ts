/**
 * `dev`: the local engine with its server and web page, and the functions of files, until Ctrl-C.
 */
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as fs from "node:fs"
import * as path from "node:path"
import * as Functions from "../dev/Functions.ts"
import * as Server from "../dev/Server.ts"
import * as Engine from "../engine/Engine.ts"
import * as Store from "../engine/ExecutionStore.ts"
import * as SqliteStore from "../engine/SqliteStore.ts"
import * as Timers from "../engine/Timers.ts"
import * as History from "../History.ts"
import { badUsage, CommandFailed, EXIT } from "./failures.ts"
import { answers, functionName } from "./find.ts"
import { logLine } from "./logLine.ts"
import * as target from "./target.ts"
import { clock, Json, note, type Paint, paintFor, plain, safe, toggle } from "./terminal.ts"
import * as timeline from "./timeline.ts"

// ---- flags ---------------------------------------------------------------------------------------

/** The port that is tried first: the same URL every day. */
const PORT = 9014

const config = {
  files: Argument.String("file").pipe(
    Argument.withDescription("Files of handlers: order.ts for all that it exports, order.ts#handler for one"),
    Argument.variadic()
  ),
  config: Flag.String("config").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("A JSON list of functions with settings: file or url, name, durable, timeoutSeconds, env, …"),
    Flag.optional
  ),
  port: Flag.Int("port").pipe(
    Flag.withDescription(`The port, 0 for any. Default ${PORT}, or any other if that is taken`),
    Flag.filter(
      (port) => port >= 0 && port <= 65_535,
      (port) => `${port} is no port`
    ),
    Flag.optional
  ),
  timeScale: Flag.Finite("time-scale").pipe(
    Flag.withDescription("Multiplies waits, delays and timeouts: with 0.001 an hour takes 3.6 seconds. Default 1"),
    Flag.filter(
      (scale) => scale > 0,
      (scale) => `${scale} is no time scale: it must be above 0`
    ),
    Flag.withDefault(1)
  ),
  memory: toggle("memory", "Keep executions in memory only, and forget them at the end"),
  folder: Flag.String("folder").pipe(
    Flag.withMetavar("FOLDER"),
    Flag.withDescription(`Where executions are kept. Default ${target.FOLDER}`),
    Flag.withDefault(target.FOLDER)
  ),
  reload: Flag.Literals("reload", ["new", "all", "off"]).pipe(
    Flag.withDescription(
      "Who runs changed code: executions that start afterwards (new, the default), all, or nobody (off)"
    ),
    Flag.withDefault("new")
  )
}

type Config = {
  readonly files: ReadonlyArray<string>
  readonly config: Option.Option<string>
  readonly port: Option.Option<number>
  readonly timeScale: number
  readonly memory: boolean
  readonly folder: string
  readonly reload: "new" | "all" | "off"
}

// ---- what is served ------------------------------------------------------------------------------

/**
 * What Node was told about modules holds for the functions' processes too. Only these: the others may mean this
 * process alone, as `--inspect` does.
 */
const nodeOptions = (): Readonly<Record<string, string>> => {
  const own = process.execArgv.filter((one) =>
    /^(?:--conditions|-C|--import|--require|--experimental-loader)=/.test(one)
  )
  return own.length === 0 ? {} : { NODE_OPTIONS: [process.env["NODE_OPTIONS"] ?? "", ...own].join(" ").trim() }
}

const readConfig = (file: string): Effect.Effect<ReadonlyArray<unknown>, CommandFailed> =>
  Effect.try({
    try: () => JSON.parse(fs.readFileSync(file, "utf8")) as unknown,
    catch: (error) => badUsage(`${file} cannot be read: ${(error as Error).message}.`)
  }).pipe(
    Effect.flatMap((parsed) =>
      Array.isArray(parsed)
        ? Effect.succeed(parsed)
        : Effect.fail(badUsage(`${file} is no list of functions: write [{ "file": "order.ts" }].`))
    )
  )

const entries = Effect.fnUntraced(function* (options: Config) {
  const listed = Option.isSome(options.config) ? yield* readConfig(options.config.value) : []
  const all = [...options.files.map((file): unknown => ({ file })), ...listed]
  if (all.length === 0) {
    return yield* Effect.fail(badUsage("Name a file of handlers: `effect-durable-lambda dev order.ts`."))
  }
  const env = nodeOptions()
  return all.map((entry) => {
    const own: unknown = Object(entry)["env"]
    return typeof entry === "object" && entry !== null && !("url" in entry)
      ? { ...entry, env: { ...env, ...(typeof own === "object" ? own : undefined) } }
      : entry
  })
})

/** The folder of the executions; nothing in it is for others, or for version control. */
const makeFolder = (folder: string) =>
  Effect.try({
    try: () => {
      fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
      const ignore = path.join(folder, ".gitignore")
      if (!fs.existsSync(ignore)) fs.writeFileSync(ignore, "*\n")
    },
    catch: (error) => badUsage(`The folder ${folder} cannot be made: ${(error as Error).message}.`)
  })

// ---- what is printed -----------------------------------------------------------------------------

type Message = Readonly<Record<string, unknown>> & { readonly type: string }

/** Prints messages as they come: a line for people, or a line of JSON. */
const printer = (isJson: boolean) => (message: Message, text: string | undefined) => {
  if (isJson) process.stdout.write(`${History.toJson(message)}\n`)
  else if (text !== undefined) process.stdout.write(`${text}\n`)
}

type Print = ReturnType<typeof printer>

const functionLine = (event: Functions.FunctionEvent, paint: Paint): string | undefined => {
  switch (event._tag) {
    case "Line":
      return `${paint("dim", `${" ".repeat(14)}${safe(event.functionName)} |`)} ${logLine(event.text, paint)}`
    case "ProcessEnded":
      return event.reason === undefined
        ? undefined
        : paint(
            "red",
            `${" ".repeat(14)}${safe(event.functionName)}: the process ${event.pid} ended: ${safe(event.reason)}`
          )
    case "CodeChanged":
    case "Warning":
      return paint(
        event._tag === "Warning" ? "yellow" : "cyan",
        `${" ".repeat(14)}${safe(Functions.format(event) ?? "")}`
      )
    default:
      return undefined
  }
}

/** A name that nobody has given is random: its beginning tells it from others. */
const shortName = (name: string): string =>
  /^[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}/.test(name) ? name.slice(0, 8) : safe(name)

/** Prints each event of each execution when it is stored. */
const follow = (engine: Engine.Engine["Service"], print: Print, paint: Paint) =>
  engine.subscribe(({ events, execution }) => {
    for (const event of events) {
      const name = paint("magenta", shortName(execution.name))
      const lines = [
        `${paint("dim", clock(event.EventTimestamp ?? execution.stamp))}  ${name}  ${timeline.describe(event, paint, execution.functionName)}`
      ]
      const callbackId = event.CallbackStartedDetails?.CallbackId
      if (callbackId !== undefined) {
        lines.push(paint("dim", `${" ".repeat(14)}effect-durable-lambda callback succeed ${callbackId}`))
      }
      print(
        { type: "event", executionArn: execution.arn, functionName: execution.functionName, event },
        lines.join("\n")
      )
    }
  })

// ---- the engine ----------------------------------------------------------------------------------

const store = (options: Config, folder: string) =>
  options.memory ? Store.layerMemory : SqliteStore.layer({ filename: path.join(folder, "executions.sqlite") })

/** The usual port, or any: a second folder has an engine of its own. */
const server = (options: Config) =>
  Option.isSome(options.port)
    ? Server.layerWith({ port: options.port.value })
    : Layer.catch(Server.layerWith({ port: PORT }), () => Server.layerWith({ port: 0 }))

const makeLayer = (options: Config, folder: string) =>
  Layer.provideMerge(
    server(options),
    Layer.provide(Engine.layerRecovering, [
      store(options, folder),
      Timers.layerScaled({ timeScale: options.timeScale })
    ])
  )

const runningOf = (engine: Engine.Engine["Service"]) => engine.list({ status: "RUNNING" })

const executions = (count: number, one: string, many: string) =>
  count === 1 ? `1 execution ${one}` : `${count} executions ${many}`

/** What becomes of the executions that run. It is said while the engine is still there. */
const farewell = Effect.fnUntraced(function* (options: Config, engine: Engine.Engine["Service"]) {
  const length = yield* engine.count({ status: "RUNNING" })
  if (length === 0) return
  yield* note(
    options.memory
      ? executions(length, "that was running is forgotten (--memory).", "that were running are forgotten (--memory).")
      : executions(length, "goes on at the next start.", "go on at the next start.")
  )
})

/** Runs the functions until it is interrupted. */
const serve = Effect.fnUntraced(function* (options: Config, folder: string, functions: ReadonlyArray<unknown>) {
  const isJson = yield* Json
  const paint = isJson ? plain : paintFor(process.stdout)
  const print = printer(isJson)
  const engine = yield* Engine.Engine
  const { url } = yield* Server.Server
  const before = yield* runningOf(engine)
  yield* follow(engine, print, paint)
  const served = yield* Functions.serveFunctions(functions, {
    endpoint: url,
    reload: options.reload,
    onEvent: ({ _tag, ...event }) =>
      print({ type: _tag, ...event }, functionLine({ _tag, ...event } as Functions.FunctionEvent, paint))
  })
  yield* target.announce(folder, { url, pid: process.pid })
  yield* Effect.addFinalizer(() => Effect.ignore(farewell(options, engine)))
  const names = new Set(served.map(({ name }) => name))
  const missing = before.map(({ FunctionArn }) => functionName(FunctionArn)).filter((name) => !names.has(name))
  const going = before.length - missing.length
  const first = served[0]?.name ?? "NAME"
  const shown = (file: string) => safe(path.isAbsolute(file) ? path.relative(process.cwd(), file) || "." : file)
  const isOtherPort = Option.isNone(options.port) && new URL(url).port !== String(PORT)
  const lines = [
    ...served.map(
      ({ durable, name, source }) =>
        `${paint("bold", safe(name))}${durable ? "" : paint("dim", " (plain)")}  ${paint("dim", shown(source))}`
    ),
    `${paint("bold", "ready")}  ${paint("cyan", url)}  ${paint("dim", options.memory ? "in memory" : shown(folder))}`,
    ...(isOtherPort ? [paint("dim", `port ${PORT} is taken: this is another one`)] : []),
    ...(going > 0 ? [executions(going, "from before goes on", "from before go on")] : []),
    ...(missing.length > 0
      ? [
          paint(
            "yellow",
            `${executions(missing.length, "waits", "wait")} for a file with ${[...new Set(missing)].map(safe).join(", ")}`
          )
        ]
      : []),
    paint("dim", `start one:  effect-durable-lambda start ${safe(first)} --payload '…'`)
  ]
  print({ type: "ready", url, pid: process.pid, functions: served, running: before.length }, lines.join("\n"))
  return yield* Effect.never
})

const run = Effect.fnUntraced(function* (options: Config) {
  const functions = yield* entries(options)
  const folder = path.resolve(options.folder)
  yield* makeFolder(folder)
  const other = target.read(folder)
  if (other !== undefined && target.isAlive(other) && (yield* answers(other.url))) {
    return yield* Effect.fail(
      new CommandFailed({
        exitCode: EXIT.refused,
        message: `An engine runs on ${options.folder} already: ${other.url} (process ${other.pid}). Use that, end it, or choose another folder with --folder.`
      })
    )
  }
  yield* Effect.scoped(serve(options, folder, functions)).pipe(
    Effect.provide(makeLayer(options, folder)),
    Effect.raceFirst(target.signal)
  )
})

/** What ends it, in the words that it has for itself. */
const failed = (error: CommandFailed | Functions.InvalidFunctions | { readonly message: string }) =>
  error instanceof CommandFailed
    ? error
    : new CommandFailed({
        exitCode: error instanceof Functions.InvalidFunctions ? EXIT.badUsage : EXIT.refused,
        message: error.message
      })

export const dev = Command.make("dev", config, (options) => Effect.mapError(run(options), failed)).pipe(
  Command.withDescription(
    "Run functions on a local engine, with its web page. Executions outlive it: they go on at the next start"
  ),
  Command.withExamples([
    { command: "effect-durable-lambda dev order.ts", description: "All handlers that order.ts exports" },
    {
      command: "effect-durable-lambda dev src/*.ts --time-scale 0.001",
      description: "An hour takes 3.6 seconds"
    },
    {
      command: "effect-durable-lambda dev order.ts --memory --port 0",
      description: "For a test: leaves nothing behind"
    }
  ])
)
