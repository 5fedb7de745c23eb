/**
 * One JSON line per log entry, with the execution and the operation it belongs to, and silent while a
 * workflow is being replayed: every line appears once, however often the body runs, as long as every invocation answers.
 */
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import type * as LogLevel from "effect/LogLevel"
import * as References from "effect/References"
import * as Result from "effect/Result"
import { CurrentExecution } from "./CurrentExecution.ts"
import { DurableContext } from "./DurableContext.ts"
import { isReplaying } from "./internal/core/world.ts"
import { textOf } from "./internal/failure.ts"
import { CurrentLoggers as currentLoggers } from "./internal/warn.ts"
import { CurrentStep, StepAttempt } from "./operations/step.ts"

/** Options of `make`. */
export interface Options {
  /** Log while replaying, too. Default: false. */
  readonly replay?: boolean | undefined
}

/**
 * Whether the code that runs has run before. Steps run only when they have not. The body has, while it has recorded
 * operations to come to, and while nothing has been delivered to it that the service says is new.
 */
const isReplay = (current: DurableContext["Service"] | undefined): boolean =>
  current !== undefined &&
  !current.inStep &&
  (isReplaying(current.place.world) || current.core.isPast(current.place.world))

const nameOf = ({ message, name }: Error): string => `${name}: ${message}`

/** How many causes of an error are shown. */
const MAX_CAUSES = 4

/** The stack of an error, and those of its causes: the first one is often only what wraps the others. */
const stackOf = ({ cause, stack }: Error, causes = MAX_CAUSES): ReadonlyArray<string> | undefined => {
  const lines = stack?.split("\n")
  if (lines === undefined || !(cause instanceof Error) || causes === 0) return lines
  const [first, ...rest] = stackOf(cause, causes - 1) ?? [nameOf(cause)]
  return [...lines, `Caused by: ${first}`, ...rest]
}

/** What a failure adds to a line, or else the first error among the arguments: type, message and stack, never data. */
const errorFields = (cause: Cause.Cause<unknown>, message: unknown): Record<string, unknown> => {
  const error =
    cause.reasons.length > 0
      ? Cause.squash(cause)
      : Array.isArray(message)
        ? message.find((value) => value instanceof Error)
        : undefined
  if (error === undefined) return {}
  return error instanceof Error
    ? { errorType: error.name, errorMessage: error.message, stackTrace: stackOf(error) }
    : { errorType: typeof error, errorMessage: textOf(error) }
}

const messageOf = (message: unknown): unknown =>
  Array.isArray(message) && message.length === 1 ? (message[0] as unknown) : message

/** How long the log spans around an entry have lasted, milliseconds. In the body that is time of its own clock. */
const spansOf = ({ date, fiber }: Logger.Options<unknown>): Record<string, unknown> => {
  const spans = fiber.getRef(References.CurrentLogSpans)
  return spans.length === 0
    ? {}
    : { spans: Object.fromEntries(spans.map(([label, at]) => [label, date.getTime() - at])) }
}

const stringify = (line: object): string => {
  const parents: Array<unknown> = []
  function replacer(this: unknown, _key: string, value: unknown): unknown {
    if (typeof value === "bigint" || typeof value === "symbol" || typeof value === "function") return String(value)
    if (typeof value !== "object" || value === null) return value
    if (value instanceof Error) return nameOf(value)
    while (parents.length > 0 && parents.at(-1) !== this) parents.pop()
    if (parents.includes(value)) return "[Circular]"
    parents.push(value)
    return value
  }
  return JSON.stringify(line, replacer)
}

/** A line as JSON. What throws when it is looked at is left out, and said to be: a log line never fails. */
const toJson = (head: object, message: unknown, rest: () => object): string =>
  Result.getOrElse(
    Result.try(() => stringify({ ...head, ...rest() })),
    (fault) =>
      stringify({
        ...head,
        message: [message].flat().filter((part) => typeof part === "string"),
        logFault: `The rest of this entry could not be written as JSON: ${textOf(fault)}`
      })
  )

/**
 * A logger that writes `{ level, timestamp, executionArn, requestId, tenantId?, operationId?, operationName?,
 * attempt?, parentId?, …fields of plugins, message, spans?, …annotations, errorType?, errorMessage?, stackTrace? }` as one line of JSON to
 * the console. `timestamp` is the real time, also in the body, whose own clock stands still between operations.
 */
export const make = (options?: Options): Logger.Logger<unknown, string | undefined> =>
  Logger.make((entry) => {
    const context = entry.fiber.context as Context.Context<DurableContext | CurrentExecution | CurrentStep>
    const current = Context.getOrUndefined(context, DurableContext)
    if (options?.replay !== true && isReplay(current)) return undefined
    const execution = Context.getOrUndefined(context, CurrentExecution)
    const step = current?.inStep !== true ? undefined : Context.getOrUndefined(context, CurrentStep)
    const host = current?.core.host
    const clock = host?.clock
    const line = {
      operationId: step?.operationId,
      operationName: step?.name,
      attempt: step?.attempt,
      parentId: (StepAttempt.placeOf(step) ?? current?.place)?.parentId
    }
    const head = {
      level: entry.logLevel.toUpperCase(),
      timestamp: (clock === undefined ? entry.date : new Date(clock.currentTimeMillisUnsafe())).toISOString(),
      executionArn: execution?.arn,
      requestId: execution?.requestId,
      tenantId: execution?.tenantId,
      ...line
    }
    return toJson(head, entry.message, () => ({
      ...host?.observer?.logFields(line),
      message: messageOf(entry.message),
      ...spansOf(entry),
      ...entry.fiber.getRef(References.CurrentLogAnnotations),
      ...errorFields(entry.cause, entry.message)
    }))
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

/** Lambda's runtime puts text in front of what goes through its console, or another JSON around it. */
const toConsole = (logger: Logger.Logger<unknown, string | undefined>): Logger.Logger<unknown, void> =>
  Logger.make((entry) => {
    const line = logger.log(entry)
    if (line === undefined) return
    const console = entry.fiber.getRef(Console.Console)
    if (console === globalThis.console) process.stdout.write(`${line}\n`)
    else console.log(line)
  })

/** The level that Lambda is configured to log from (`AWS_LAMBDA_LOG_LEVEL`), if it is. */
export const levelFromEnvironment = (): LogLevel.LogLevel | undefined => {
  const name = process.env.AWS_LAMBDA_LOG_LEVEL?.toLowerCase()
  return (["Trace", "Debug", "Info", "Warn", "Error", "Fatal"] as const).find((level) => level.toLowerCase() === name)
}

/**
 * The loggers of a fiber, as `Logger.CurrentLoggers`, but without its default: a handler that brings no logger
 * of its own need not carry Effect's.
 */
export const CurrentLoggers: Context.Reference<ReadonlySet<Logger.Logger<unknown, any>>> = currentLoggers

/** What the handler logs to unless its layer brings other loggers. */
export const loggers = (options?: Options): ReadonlySet<Logger.Logger<unknown, any>> =>
  new Set([toConsole(make(options))])

/** The handler's logger with options, for the handler's `layer`. */
export const layerWith = (options?: Options): Layer.Layer<never> => Layer.succeed(CurrentLoggers, loggers(options))

/** The handler's default logger, silent while replaying. */
export const layer: Layer.Layer<never> = /*#__PURE__*/ layerWith()
