/**
 * One JSON line per log entry, with the execution and the operation it belongs to, and silent while a
 * workflow is being replayed: every line appears once, however often the body runs.
 */
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Result from "effect/Result"
import { CurrentExecution } from "./CurrentExecution.ts"
import { DurableContext } from "./DurableContext.ts"
import { CurrentStep } from "./operations/step.ts"

/** Options of `make`. */
export interface Options {
  /** Log while replaying, too. Default: false. */
  readonly replay?: boolean | undefined
}

/**
 * Whether the code that runs has run before: its context has recorded operations that it has not asked for
 * again yet, or is finished and only being rebuilt. Steps run only when they have not run before.
 */
const isReplay = (current: DurableContext["Service"] | undefined): boolean => {
  if (current === undefined || current.inStep) return false
  const { world } = current.place
  return world.rebuilding || (world.unvisited?.size ?? 0) > 0
}

/** What a failure adds to a line: its type, message and stack, never its data. */
const errorFields = (cause: Cause.Cause<unknown>): Record<string, unknown> => {
  if (cause.reasons.length === 0) return {}
  const error = Cause.squash(cause)
  return error instanceof Error
    ? { errorType: error.name, errorMessage: error.message, stackTrace: error.stack?.split("\n") }
    : { errorType: typeof error, errorMessage: String(error) }
}

/** An error among the arguments of a log call is shown by type and message. */
const readable = (value: unknown): unknown => (value instanceof Error ? `${value.name}: ${value.message}` : value)

const messageOf = (message: unknown): unknown =>
  Array.isArray(message) ? (message.length === 1 ? readable(message[0]) : message.map(readable)) : readable(message)

/** A line as JSON. What cannot be JSON is shown as text: a log line never fails. */
const toJson = (line: object): string => {
  const parents: Array<unknown> = []
  function replacer(this: unknown, _key: string, value: unknown): unknown {
    if (typeof value === "bigint" || typeof value === "symbol" || typeof value === "function") return String(value)
    if (typeof value !== "object" || value === null) return value
    while (parents.length > 0 && parents.at(-1) !== this) parents.pop()
    if (parents.includes(value)) return "[Circular]"
    parents.push(value)
    return value
  }
  return Result.getOrElse(
    Result.try(() => JSON.stringify(line, replacer)),
    (cause) => JSON.stringify({ message: `A log entry could not be written as JSON: ${String(cause)}` })
  )
}

/**
 * A logger that writes `{ level, timestamp, executionArn, requestId, tenantId?, operationId?, operationName?,
 * attempt?, parentId?, message, …annotations, errorType?, errorMessage?, stackTrace? }` as one line of JSON to
 * the console. `timestamp` is the real time, also in the body, whose own clock stands still between operations.
 */
export const make = (options?: Options): Logger.Logger<unknown, string | undefined> =>
  Logger.make((entry) => {
    const context = entry.fiber.context as Context.Context<DurableContext | CurrentExecution | CurrentStep>
    const current = Context.getOrUndefined(context, DurableContext)
    if (options?.replay !== true && isReplay(current)) return undefined
    const execution = Context.getOrUndefined(context, CurrentExecution)
    const step = current?.inStep !== true ? undefined : Context.getOrUndefined(context, CurrentStep)
    const clock = current?.core.host.clock
    return toJson({
      level: entry.logLevel.toUpperCase(),
      timestamp: (clock === undefined ? entry.date : new Date(clock.currentTimeMillisUnsafe())).toISOString(),
      executionArn: execution?.arn,
      requestId: execution?.requestId,
      tenantId: execution?.tenantId,
      operationId: step?.operationId,
      operationName: step?.name,
      attempt: step?.attempt,
      parentId: current?.place.parentId,
      message: messageOf(entry.message),
      ...entry.fiber.getRef(References.CurrentLogAnnotations),
      ...errorFields(entry.cause)
    })
  })

/**
 * Keeps a logger of your own silent while a workflow is being replayed, so that each of its lines appears once.
 *
 * **Example** (Effect's pretty logger, once per line)
 *
 * ```ts
 * import { DurableLogger } from "effect-durable-lambda"
 * import { Logger } from "effect"
 *
 * const layer = Logger.layer([DurableLogger.replayAware(Logger.consolePretty())])
 * ```
 */
export const replayAware = <Message, Output>(
  logger: Logger.Logger<Message, Output>
): Logger.Logger<Message, Output | undefined> =>
  Logger.make((entry) =>
    isReplay(Context.getOrUndefined(entry.fiber.context as Context.Context<DurableContext>, DurableContext))
      ? undefined
      : logger.log(entry)
  )

const toConsole = (logger: Logger.Logger<unknown, string | undefined>): Logger.Logger<unknown, void> =>
  Logger.make((entry) => {
    const line = logger.log(entry)
    if (line !== undefined) entry.fiber.getRef(Console.Console).log(line)
  })

/**
 * The loggers of a fiber, as `Logger.CurrentLoggers`, but without its default: a handler that brings no logger
 * of its own need not carry Effect's.
 */
export const CurrentLoggers: Context.Reference<ReadonlySet<Logger.Logger<unknown, any>>> = Context.Reference(
  "effect/Logger/CurrentLoggers",
  {
    defaultValue: (): ReadonlySet<Logger.Logger<unknown, any>> => new Set()
  }
)

/** What the handler logs to unless its layer brings other loggers. */
export const loggers = (options?: Options): ReadonlySet<Logger.Logger<unknown, any>> =>
  new Set([toConsole(make(options))])

/** The handler's logger with options, for the handler's `layer`. */
export const layerWith = (options?: Options): Layer.Layer<never> => Layer.succeed(CurrentLoggers, loggers(options))

/** The handler's default logger, silent while replaying. */
export const layer: Layer.Layer<never> = /*#__PURE__*/ layerWith()
