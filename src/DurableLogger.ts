/**
 * One JSON line per log entry, with the execution and the operation it belongs to, and silent while a
 * workflow is being replayed: every line appears once, however often the body runs.
 */
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import type * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
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

/** What a failure adds to a line: never more than its type, message and stack. */
const errorFields = (cause: Cause.Cause<unknown>): Record<string, unknown> => {
  if (cause.reasons.length === 0) return {}
  const error = Cause.squash(cause)
  return {
    errorType: error instanceof Error ? error.name : typeof error,
    errorMessage: error instanceof Error ? error.message : String(error),
    stackTrace: Cause.pretty(cause).split("\n")
  }
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
    const { annotations, level, message } = Logger.formatStructured.log(entry)
    const clock = current?.core.host.clock
    return JSON.stringify({
      level,
      timestamp: (clock === undefined ? entry.date : new Date(clock.currentTimeMillisUnsafe())).toISOString(),
      executionArn: execution?.arn,
      requestId: execution?.requestId,
      tenantId: execution?.tenantId,
      operationId: step?.operationId,
      operationName: step?.name,
      attempt: step?.attempt,
      parentId: current?.place.parentId,
      message,
      ...annotations,
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
export const replayAware = <Message, Output>(logger: Logger.Logger<Message, Output>): Logger.Logger<Message, Output | undefined> =>
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

/** The handler's default logger, silent while replaying. */
export const layer: Layer.Layer<never> = Logger.layer([toConsole(make())])

/** The handler's logger with other options, for the handler's `layer`. */
export const layerWith = (options: Options): Layer.Layer<never> => Logger.layer([toConsole(make(options))])
