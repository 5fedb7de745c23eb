/**
 * What the library itself has to say. Warnings go to the `Console` service. Nothing goes through `Effect.log`: a handler
 * that brings no logger need not carry Effect's.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Console from "effect/Console"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Logger from "effect/Logger"
import * as References from "effect/References"
import * as Result from "effect/Result"
import { hasStack } from "./failure.ts"

export const warn = (context: Context.Context<never>, message: string): void =>
  Context.get(context, Console.Console).warn(`effect-durable-lambda: ${message}`)

/** The loggers of a fiber, as `Logger.CurrentLoggers`, but without its default. */
export const CurrentLoggers: Context.Reference<ReadonlySet<Logger.Logger<unknown, any>>> = Context.Reference(
  "effect/Logger/CurrentLoggers",
  {
    defaultValue: (): ReadonlySet<Logger.Logger<unknown, any>> => new Set()
  }
)

/** Logs thrown errors where they have happened: no record has their stacks. A logger that fails changes nothing. */
export const logDefects = (
  what: { readonly toString: () => string },
  cause: Cause.Cause<unknown>
): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const level = fiber.getRef(References.MinimumLogLevel)
    if (level === "Fatal" || level === "None") return Effect.void
    const date = new Date(fiber.getRef(Clock.Clock).currentTimeMillisUnsafe())
    for (const reason of cause.reasons) {
      if (reason._tag !== "Die" || !hasStack(reason.defect)) continue
      const entry = {
        cause: Cause.die(reason.defect),
        date,
        fiber,
        logLevel: "Error",
        message: [`A defect in ${what}`]
      } as const
      for (const logger of fiber.getRef(CurrentLoggers)) Result.try(() => logger.log(entry))
    }
    return Effect.void
  })
