/**
 * A process that runs invocations of one function, one at a time: what a sandbox is on AWS. Crashes, exits and kills
 * in it are real.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { type ChildProcess, spawn } from "node:child_process"
import * as path from "node:path"
import type { Readable } from "node:stream"
import { StringDecoder } from "node:string_decoder"
import { fileURLToPath } from "node:url"
import * as Engine from "../engine/Engine.ts"
import { SANDBOX } from "./bootstrap.ts"
import * as RuntimeApi from "./RuntimeApi.ts"

// ---- shapes --------------------------------------------------------------------------------------

/** A line that a function has written. */
export interface Line {
  readonly stream: "stdout" | "stderr"
  readonly text: string
  /** The invocation that wrote it; absent while the code is being loaded. */
  readonly requestId: string | undefined
}

/** What a process is started with. */
export interface Options {
  readonly functionName: string
  /** The file of the handler, absolute. */
  readonly file: string
  /** The name of the export, with dots where it is nested. Empty: the code is loaded, and nothing is invoked. */
  readonly exported: string
  /** The folder that keeps the code of this version, if its code is kept. */
  readonly snapshot?: string | undefined
  /** The URL of the engine's server, for `AWS_ENDPOINT_URL_LAMBDA`. */
  readonly endpoint?: string | undefined
  readonly region: string
  readonly memoryMegabytes: number
  /** What is to be in the environment besides, or instead. */
  readonly env: Readonly<Record<string, string>>
  readonly line: (line: Line, pid: number) => void
  readonly loaded: (loaded: RuntimeApi.Loaded) => void
  /** The code does not load. */
  readonly failed: (error: Engine.InvocationError) => void
  /** The process has ended, and why, if it was not asked to. */
  readonly ended: (pid: number, error: Engine.InvocationError | undefined) => void
}

/** A process that runs, or has run. */
export interface FunctionProcess {
  readonly pid: number
  /**
   * Runs one invocation. Interrupting it kills the process; so does a runtime that has answered and does not ask
   * for more.
   */
  readonly invoke: RuntimeApi.RuntimeApi["invoke"]
  /** Whether it can be invoked (again). */
  readonly isAlive: () => boolean
  /** Done when the process has ended, with the error that an invocation at that time fails with. */
  readonly ended: Effect.Effect<Engine.InvocationError>
}

// ---- the environment -----------------------------------------------------------------------------

/** The variables that Lambda sets; no configuration changes them. */
const reserved = (options: Options, authority: string): Readonly<Record<string, string>> => {
  const { file, functionName } = options
  const relative = path.relative(process.cwd(), file)
  return {
    AWS_LAMBDA_RUNTIME_API: authority,
    AWS_LAMBDA_FUNCTION_NAME: functionName,
    AWS_LAMBDA_FUNCTION_VERSION: "$LATEST",
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE: String(options.memoryMegabytes),
    AWS_LAMBDA_LOG_GROUP_NAME: `/aws/lambda/${functionName}`,
    AWS_LAMBDA_LOG_STREAM_NAME: "local",
    AWS_LAMBDA_INITIALIZATION_TYPE: "on-demand",
    LAMBDA_TASK_ROOT: process.cwd(),
    _HANDLER: `${relative.slice(0, relative.length - path.extname(relative).length)}.${options.exported}`
  }
}

/** What Lambda sets and a configuration may change. */
const defaults = ({ endpoint, region }: Options): Readonly<Record<string, string>> => ({
  AWS_EXECUTION_ENV: `AWS_Lambda_nodejs${process.versions.node.split(".")[0]}.x`,
  AWS_REGION: region,
  AWS_DEFAULT_REGION: region,
  AWS_ACCESS_KEY_ID: "local",
  AWS_SECRET_ACCESS_KEY: "local",
  AWS_SESSION_TOKEN: "local",
  AWS_EC2_METADATA_DISABLED: "true",
  TZ: "UTC",
  ...(endpoint === undefined ? undefined : { AWS_ENDPOINT_URL_LAMBDA: endpoint })
})

/** The parent's own, without what is AWS's: nothing local uses real credentials because they happened to be there. */
const inherited = (): Record<string, string | undefined> =>
  Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(?:AWS|_X_AMZN)_/.test(name)))

// ---- output --------------------------------------------------------------------------------------

/** A line that is longer is given in pieces. */
const MAX_LINE = 64 * 1024

/** Gives the lines of a stream, and a function that gives what has come of the last one. */
const readLines = (stream: Readable, emit: (text: string) => void) => {
  const decoder = new StringDecoder("utf8")
  let rest = ""
  stream.on("data", (chunk: Buffer) => {
    const lines = (rest + decoder.write(chunk)).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) emit(line.replace(/\r$/, ""))
    for (; rest.length >= MAX_LINE; rest = rest.slice(MAX_LINE)) emit(rest.slice(0, MAX_LINE))
  })
  const flush = () => {
    if (rest !== "") emit(rest)
    rest = ""
  }
  stream.on("end", flush)
  stream.on("error", () => {}) // the process has ended
  return flush
}

// ---- ends ----------------------------------------------------------------------------------------

const signals: Readonly<Record<string, string>> = {
  SIGKILL: "killed",
  SIGTERM: "terminated",
  SIGABRT: "aborted",
  SIGSEGV: "segmentation fault"
}

const exitError = (reason: string) =>
  new Engine.InvocationError({ errorType: "Runtime.ExitError", reason: `Error: ${reason}` })

/** How Lambda reports a process that has ended in the middle of an invocation. */
const describeExit = (status: number | null, signal: NodeJS.Signals | null): Engine.InvocationError =>
  signal !== null
    ? exitError(`Runtime exited with error: signal: ${signals[signal] ?? signal}`)
    : status === 0
      ? exitError("Runtime exited without providing a reason")
      : Engine.exited(status ?? 1)

/** Kills the process and what it has started: it leads a group of its own, where there are groups. */
const signal = (child: ChildProcess, name: "SIGTERM" | "SIGKILL") => {
  if (child.pid === undefined) return
  // try: it may have ended just now
  try {
    process.kill(name === "SIGKILL" && process.platform !== "win32" ? -child.pid : child.pid, name)
  } catch {
    return
  }
}

/** One turn of the event loop, in which streams are read. */
const turn: Effect.Effect<void> = Effect.callback((resume) => {
  setImmediate(() => resume(Effect.void))
})

/** Processes end in real time, wherever the engine's time is. */
const inRealTime = Effect.provideService(Clock.Clock, Context.get(Context.empty(), Clock.Clock))

const BOOTSTRAP = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "./bootstrap.ts" : "./bootstrap.js", import.meta.url)
)

// ---- the process ---------------------------------------------------------------------------------

/**
 * Starts a process. When the scope closes it is asked to end (SIGTERM), and killed half a second later, as Lambda does.
 * It never outlives this process, however that ends: it notices that a pipe between the two has closed.
 */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<FunctionProcess, never, Scope.Scope> {
  const ended = Deferred.makeUnsafe<Engine.InvocationError>()
  const api = yield* RuntimeApi.make(options)
  let isAlive = true
  let isAsked = false
  let requestId: string | undefined

  const child = spawn(
    process.execPath,
    [
      // before Node.js 22.18 types are stripped only where it is asked for
      ...(process.features.typescript === false ? ["--experimental-strip-types"] : []),
      BOOTSTRAP,
      SANDBOX,
      options.file,
      options.exported,
      ...(options.snapshot === undefined ? [] : [options.snapshot])
    ],
    {
      env: { ...inherited(), ...defaults(options), ...options.env, ...reserved(options, api.authority) },
      stdio: ["ignore", "pipe", "pipe", "pipe"],
      detached: process.platform !== "win32",
      windowsHide: true
    }
  )
  const pid = child.pid ?? 0
  child.stdio[3]?.on("error", () => {}) // it closes with the process
  let reads = 0
  const flushes = (["stdout", "stderr"] as const).map((stream) => {
    const readable = child[stream]
    if (readable === null) return () => {} // the process could not be started
    readable.on("data", () => reads++)
    return readLines(readable, (text) => options.line({ stream, text, requestId }, pid))
  })

  let isOver = false
  const end = (error: Engine.InvocationError) => {
    if (isOver) return
    isOver = true
    isAlive = false
    signal(child, "SIGKILL") // what it has started ends with it
    options.ended(pid, isAsked ? undefined : error)
    api.end(error)
    Deferred.doneUnsafe(ended, Effect.succeed(error))
  }
  child.once("error", (error) => end(exitError(`The process could not be started: ${error.message}`)))
  child.once("exit", (status, name) => {
    const error = describeExit(status, name)
    isAlive = false
    // Its last lines come first. They end now, unless something that it has started holds them open.
    const late = setTimeout(() => end(error), 200)
    child.once("close", () => {
      clearTimeout(late)
      end(error)
    })
    signal(child, "SIGKILL")
  })

  /** Another process may have the number of one that is over. */
  const ask = (name: "SIGTERM" | "SIGKILL") => {
    isAlive = false
    if (!isOver) signal(child, name)
  }

  const kill = Effect.suspend(() => {
    ask("SIGKILL")
    return Effect.asVoid(Deferred.await(ended))
  })

  const terminate = Effect.suspend(() => {
    isAsked = true
    ask("SIGTERM")
    return Effect.timeoutOption(Deferred.await(ended), "500 millis")
  }).pipe(Effect.andThen(kill), inRealTime)

  /** What an invocation has written is told before its answer. Without end, it is told with what follows. */
  const drain = Effect.gen(function* () {
    for (let quiet = 0, turns = 0; quiet < 2 && turns < 100; turns++) {
      const before = reads
      yield* turn
      quiet = reads === before ? quiet + 1 : 0
    }
    for (const flush of flushes) flush()
  })

  /** The process has answered; it is to ask for more before it counts as free. */
  const finish = api.ready.pipe(
    Effect.timeoutOption("2 seconds"),
    Effect.flatMap(Option.match({ onNone: () => kill, onSome: () => drain })),
    inRealTime
  )

  const invoke: FunctionProcess["invoke"] = (event, context, traceId) =>
    Effect.suspend(() => {
      requestId = context.awsRequestId
      return api.invoke(event, context, traceId)
    }).pipe(Effect.onExit((exit) => (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause) ? kill : finish)))

  yield* Effect.addFinalizer(() => terminate)
  return { pid, invoke, isAlive: () => isAlive, ended: Deferred.await(ended) }
})
