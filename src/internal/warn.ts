/**
 * Warnings of the library itself. They go to the `Console` service, not through Effect's loggers: a handler
 * that logs nothing need not carry those.
 */
import * as Console from "effect/Console"
import * as Context from "effect/Context"

export const warn = (context: Context.Context<never>, message: string): void =>
  Context.get(context, Console.Console).warn(`effect-durable-lambda: ${message}`)
