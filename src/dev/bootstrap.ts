/**
 * The program in the process of a function, in the place of AWS's runtime for Node.js: loads the handler, asks the
 * Runtime API for invocations, and answers. It knows nothing of this library: any Lambda handler runs in it. It runs
 * beside the user's code, so it imports only Node.
 */
import * as http from "node:http"
import * as path from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { pathToFileURL } from "node:url"
import { Worker } from "node:worker_threads"
import * as snapshot from "./snapshot.ts"

/** The first argument of a process that runs this program; without it the module does nothing. */
export const SANDBOX = "--effect-durable-lambda-sandbox"

/** What an exported function is, as the parent wants to know it. */
export interface Exported {
  readonly export: string
  /** The name of the definition, if it is a handler of `DurableHandler.make`. */
  readonly definition?: string | undefined
}

/** What the process tells its parent about the code that it has loaded. */
export interface Loaded {
  /** Absent in later reports. */
  readonly exports?: ReadonlyArray<Exported> | undefined
  /** The files that are new since the last report. */
  readonly files: ReadonlyArray<string>
}

interface RuntimeError {
  readonly errorType: string
  readonly errorMessage: string
  readonly trace: ReadonlyArray<string>
}

type Callback = (error: unknown, result?: unknown) => void
type Handler = (event: unknown, context: unknown, callback: Callback) => unknown

// ---- errors --------------------------------------------------------------------------------------

const named = (errorType: string, errorMessage: string, trace: ReadonlyArray<string> = []): RuntimeError => ({
  errorType,
  errorMessage,
  trace
})

/** An error as Lambda's runtimes report it. Hostile ones, with getters that throw, are errors as well. */
const describe = (thrown: unknown): RuntimeError => {
  // try: reading a property of what was thrown may throw
  try {
    return thrown instanceof Error
      ? named(String(thrown.name), String(thrown.message), String(thrown.stack ?? "").split("\n"))
      : named(typeof thrown, String(thrown))
  } catch {
    return named("Error", "An error that cannot be read was thrown.")
  }
}

/** Why the code did not load, with the names of Lambda's runtime. */
const describeImport = (thrown: unknown): RuntimeError => {
  const error = describe(thrown)
  const code = thrown instanceof Error ? (thrown as NodeJS.ErrnoException).code : undefined
  if (code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND") {
    return { ...error, errorType: "Runtime.ImportModuleError", errorMessage: `Error: ${error.errorMessage}` }
  }
  return thrown instanceof SyntaxError
    ? { ...error, errorType: "Runtime.UserCodeSyntaxError", errorMessage: `SyntaxError: ${error.errorMessage}` }
    : error
}

// ---- what a file exports -------------------------------------------------------------------------

/** The mark of `DurableHandler.make`. */
const MARK = "~effect-durable-lambda/DurableHandler"

/** Effect's schemas can be called, and are no handlers. */
const isSchema = (value: Function) => "~effect/Schema/Schema" in value

const isClass = (value: Function) => /^class\b/.test(Function.prototype.toString.call(value))

/** The members of a module; those of `module.exports`, where it is CommonJS. */
const membersOf = (loaded: Record<string, unknown>): Record<string, unknown> => {
  const { default: main, "module.exports": _, ...members } = loaded
  return typeof main === "object" && main !== null ? { ...main, ...members } : { ...members, default: main }
}

const exportsOf = (members: Record<string, unknown>): ReadonlyArray<Exported> =>
  Object.entries(members).flatMap(([name, value]) => {
    if (typeof value !== "function" || isClass(value) || isSchema(value)) return []
    const mark: unknown = Reflect.get(value, MARK)
    return [typeof mark === "string" ? { export: name, definition: mark } : { export: name }]
  })

// ---- the program ---------------------------------------------------------------------------------

const run = (authority: string, [file = "", exported = "", folder]: ReadonlyArray<string>) => {
  const agent = new http.Agent({ keepAlive: true })
  const env = process.env
  let requestId: string | undefined
  let isStopping = false
  let isFailing = false
  let isLoaded = false
  let fresh: Array<string> = []
  let poll: http.ClientRequest | undefined
  let answerNothing: (() => void) | undefined

  const request = (method: string, route: string, body?: string) => {
    let sent: http.ClientRequest | undefined
    const answer = new Promise<{ readonly headers: http.IncomingHttpHeaders; readonly text: string }>(
      (resolve, reject) => {
        sent = http.request(`http://${authority}${route}`, { method, agent }, (response) => {
          const chunks: Array<Buffer> = []
          response.on("data", (chunk: Buffer) => chunks.push(chunk))
          response.on("end", () => resolve({ headers: response.headers, text: Buffer.concat(chunks).toString() }))
          response.on("error", reject)
        })
        sent.on("error", reject)
        sent.end(body)
      }
    )
    return { answer, sent: sent! } // a promise runs its function at once
  }
  const post = (route: string, body: unknown) => request("POST", route, JSON.stringify(body)).answer
  const runtime = (rest: string) => `/2018-06-01/runtime/${rest}`

  const report = (members?: Record<string, unknown>) => {
    const files = fresh
    fresh = []
    const loaded: Loaded = members === undefined ? { files } : { exports: exportsOf(members), files }
    return post("/effect-durable-lambda/loaded", loaded)
  }

  // async: as below. What has been written is on its way before the answer; a full pipe makes writing asynchronous.
  const flushed = async () => {
    for (const stream of [process.stdout, process.stderr]) {
      while (stream.writableLength > 0 && !stream.destroyed) await pause(1)
    }
  }

  /** The process cannot go on: says why, and exits. */
  const fail = (error: RuntimeError, status: number): void => {
    if (isFailing) return
    isFailing = true
    const route = requestId === undefined ? "init/error" : `invocation/${requestId}/error`
    const exit = () => process.exit(status)
    setTimeout(exit, 5_000) // a parent that does not answer; a busy one may take a while
    flushed()
      .then(() => report())
      .then(() => post(runtime(route), error))
      .then(exit, () => endAll(exit))
  }

  const crash = (label: string, thrown: unknown, error: RuntimeError, status: number) => {
    console.error(label, thrown)
    fail(error, status)
  }

  const makeContext = (headers: http.IncomingHttpHeaders, settle: Callback) => {
    const deadline = Number(headers["lambda-runtime-deadline-ms"])
    return {
      awsRequestId: requestId,
      functionName: env.AWS_LAMBDA_FUNCTION_NAME,
      functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
      invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
      memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
      logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
      logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
      tenantId: headers["lambda-runtime-aws-tenant-id"],
      callbackWaitsForEmptyEventLoop: true,
      getRemainingTimeInMillis: () => Math.max(deadline - Date.now(), 0),
      done: settle,
      succeed: (result: unknown) => settle(null, result),
      fail: (error: unknown) => settle(error ?? new Error("failed"))
    }
  }

  const call = (handler: Handler, event: unknown, headers: http.IncomingHttpHeaders) =>
    new Promise<unknown>((resolve, reject) => {
      const settle: Callback = (error, result) =>
        error === null || error === undefined ? resolve(result) : reject(error)
      // a callback that nobody calls is an answer, too
      answerNothing = handler.length < 3 ? undefined : () => resolve(undefined)
      const result = handler(event, makeContext(headers, settle), settle)
      // who takes a callback may answer later; everybody else has answered, now or by a promise
      if (handler.length < 3 || typeof (result as PromiseLike<unknown> | undefined)?.then === "function") {
        resolve(result)
      }
    })

  const serialise = (result: unknown): string => {
    // try: a value that is no JSON is the handler's failure, by the name that Lambda gives it
    try {
      return JSON.stringify(result ?? null) ?? "null"
    } catch (cause) {
      const error = new Error(`Unable to stringify response body: ${String(cause)}`)
      error.name = "Runtime.MarshalError"
      throw error
    }
  }

  // async: no Effect here, this is not the library's code but the host of the user's
  const loop = async (handler: Handler) => {
    while (!isStopping) {
      if (fresh.length > 0) await report()
      const next = request("GET", runtime("invocation/next"))
      poll = next.sent
      const { headers, text } = await next.answer
      poll = undefined
      requestId = String(headers["lambda-runtime-aws-request-id"])
      const trace = headers["lambda-runtime-trace-id"]
      if (trace !== undefined) env._X_AMZN_TRACE_ID = String(trace)
      const answered = await call(handler, JSON.parse(text), headers)
        .then(serialise)
        .then(
          (body) => ({ kind: "response", body }),
          (thrown: unknown) => {
            console.error(thrown)
            return { kind: "error", body: JSON.stringify(describe(thrown)) }
          }
        )
      await flushed()
      if (isFailing) return
      await request("POST", runtime(`invocation/${requestId}/${answered.kind}`), answered.body).answer
      requestId = undefined
    }
  }

  // the event loop is empty, and the code has not loaded, or the handler has not answered: nothing will make it
  process.on("beforeExit", () => {
    if ((isLoaded && requestId === undefined) || isFailing) return
    if (answerNothing !== undefined) return answerNothing()
    const message =
      "The Lambda runtime client detected an unexpected Node.js exit code. " +
      "This is most commonly caused by a Promise that was never settled."
    fail(named("Runtime.NodeJsExit", message), 13)
  })
  process.on("uncaughtException", (error) => crash("Uncaught exception:", error, describe(error), 129))
  process.on("unhandledRejection", (reason) => {
    const error = describe(reason)
    const message = reason instanceof Error ? `${error.errorType}: ${error.errorMessage}` : error.errorMessage
    crash(
      "Unhandled rejection:",
      reason,
      { ...error, errorType: "Runtime.UnhandledPromiseRejection", errorMessage: message },
      128
    )
  })
  // First of all listeners, so that it sees whether there are others. With them the process ends when they are done.
  process.on("SIGTERM", () => {
    isStopping = true
    if (process.listenerCount("SIGTERM") === 1) process.exit(0)
    poll?.destroy()
  })

  if (folder !== undefined && folder !== "") snapshot.install(folder, (loaded) => void fresh.push(loaded))
  import(pathToFileURL(file).href)
    .then(
      (loaded: Record<string, unknown>) => {
        isLoaded = true
        const members = membersOf(loaded)
        const handler = exported.split(".").reduce<unknown>((value, key) => Object(value)[key], members)
        if (exported !== "" && typeof handler !== "function") {
          const message = `${path.basename(file)}.${exported} is undefined or not exported`
          return fail(named("Runtime.HandlerNotFound", message), 1)
        }
        return report(members).then(() => (exported === "" ? process.exit(0) : loop(handler as Handler)))
      },
      (thrown: unknown) => crash("The code does not load:", thrown, describeImport(thrown), 1)
    )
    .catch((error: unknown) => {
      if (!isStopping) crash("The Runtime API does not answer:", error, describe(error), 1)
    })
}

/** Ends this process, and what it has started: who would do so does not answer. */
const endAll = (otherwise: () => void) => {
  // try: where it is in no group of its own
  try {
    process.kill(-process.pid, "SIGKILL")
  } catch {
    otherwise()
  }
}

/**
 * Ends this process, and what it has started, when the parent is gone. In a thread of its own: code that never gives
 * the event loop back must not outlive the parent either.
 */
const watchParent = () => {
  const code = `
    const { Socket } = require("node:net")
    const end = () => {
      try { process.kill(-process.pid, "SIGKILL") } catch { process.kill(process.pid, "SIGKILL") }
    }
    new Socket({ fd: 3 }).on("error", end).on("close", end).resume()`
  new Worker(code, { eval: true, env: {}, execArgv: [] }).unref()
}

const [, , sandbox, ...rest] = process.argv
if (sandbox === SANDBOX && process.env.AWS_LAMBDA_RUNTIME_API !== undefined) {
  watchParent()
  run(process.env.AWS_LAMBDA_RUNTIME_API, rest)
}
