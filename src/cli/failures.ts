/**
 * How the command line fails: one sentence that says what to do, and an exit code that scripts can rely on.
 */
import * as Data from "effect/Data"
import type * as DurableError from "../DurableError.ts"
import { safe } from "./terminal.ts"

/** What an exit code means. They are part of the documentation: never give one another meaning. */
export const EXIT = {
  ok: 0,
  /** The execution that was waited for has failed, timed out or was stopped. */
  executionFailed: 1,
  badUsage: 2,
  /** No such function, execution or callback. */
  notFound: 3,
  /** The engine, or AWS, cannot be reached. */
  unreachable: 4,
  /** The service refuses: a name that is taken, a callback that is not open, a missing permission. */
  refused: 5,
  /** The execution still ran when the time for waiting was over. */
  stillRunning: 6,
  /** A fault of this program. */
  fault: 70,
  interrupted: 130
} as const

/**
 * A failure that ends a command.
 * @see [Troubleshooting](../../docs/troubleshooting.md#commandfailed)
 */
export class CommandFailed extends Data.TaggedError("CommandFailed")<{
  readonly exitCode: number
  /** What is wrong, and what to do. Nothing is printed when it is empty: the result has said it. */
  readonly message: string
}> {}

export const badUsage = (message: string) => new CommandFailed({ exitCode: EXIT.badUsage, message })

/** Where commands go. */
export type Place = { readonly _tag: "Local"; readonly url: string } | { readonly _tag: "Aws" }

/** What calls of the client fail with. */
export type CallError =
  | DurableError.FunctionNotFound
  | DurableError.ExecutionNotFound
  | DurableError.ExecutionAlreadyStarted
  | DurableError.ExecutionStillRunning
  | DurableError.CallbackNotOpen
  | DurableError.SerdesFailed
  | DurableError.ClientFailed

const START = "start it with `effect-durable-lambda dev FILE`"

/** No engine answers. */
export const unreachable = (message: string) => new CommandFailed({ exitCode: EXIT.unreachable, message })

/** The engine's place is known, but nobody is there. */
export const nobodyAt = (url: string, reason: string) =>
  unreachable(`The local engine at ${url} does not answer (${reason}): ${START}, or use --aws.`)

const UNPREPARED = /credential|token|region/i

const clientFailed = (place: Place, error: DurableError.ClientFailed): CommandFailed => {
  const { errorName, reason, status } = error
  if (errorName === "ERR_MODULE_NOT_FOUND" || /Cannot find (?:package|module)/.test(reason)) {
    return unreachable("AWS's client is missing: install it with `npm install @aws-sdk/client-lambda`.")
  }
  // it was reached, and does not do what was asked for
  if (errorName === "NotDurable" || errorName === "UnreadableResponse") {
    return new CommandFailed({ exitCode: EXIT.refused, message: `${error.call}: ${reason}.` })
  }
  if (status === undefined) {
    if (place._tag === "Local") return nobodyAt(place.url, reason === "" ? errorName : reason)
    return unreachable(
      UNPREPARED.test(`${errorName} ${reason}`)
        ? `AWS's client is not set up: ${reason}. Set AWS_REGION, and AWS_PROFILE or other credentials, in the environment.`
        : `AWS cannot be reached: ${errorName}: ${reason}. Check the network and AWS_REGION.`
    )
  }
  if (status === 404) return new CommandFailed({ exitCode: EXIT.notFound, message: `${errorName}: ${reason}` })
  const hint =
    status === 403 && place._tag === "Aws"
      ? " The credentials in the environment lack a permission, or have expired."
      : ""
  return new CommandFailed({
    exitCode: status >= 500 ? EXIT.unreachable : EXIT.refused,
    message: `${errorName} (${error.call}): ${reason}${hint}`
  })
}

/** A failure of a call, as the command that made it ends with it. */
export const fromCall =
  (place: Place) =>
  (error: CallError | CommandFailed): CommandFailed => {
    switch (error._tag) {
      case "CommandFailed":
        return error
      case "ClientFailed":
        return clientFailed(place, error)
      case "FunctionNotFound":
        return new CommandFailed({
          exitCode: EXIT.notFound,
          message:
            place._tag === "Aws"
              ? error.message
              : `The engine at ${place.url} has no function "${safe(error.functionName)}": serve the file that has it with \`effect-durable-lambda dev FILE\`.`
        })
      case "ExecutionNotFound":
        return new CommandFailed({ exitCode: EXIT.notFound, message: error.message })
      case "ExecutionStillRunning":
        return new CommandFailed({ exitCode: EXIT.stillRunning, message: error.message })
      default:
        return new CommandFailed({ exitCode: EXIT.refused, message: error.message })
    }
  }
