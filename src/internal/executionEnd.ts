/**
 * How a client learns how an execution has ended, and what it makes of that.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import * as DurableError from "../DurableError.ts"
import type * as Protocol from "../Protocol.ts"
import { payloadCodec } from "../Serdes.ts"
import type { ExecutionDescription, ExecutionSummary } from "./clientCalls.ts"
import * as failures from "./failure.ts"

/** What of a definition is needed to read a result. */
export interface Definition {
  readonly name: string
  readonly success: Schema.Constraint
  readonly error: Schema.Constraint
}

/** Failures in a row that waiting takes: throttling, or a network that is gone for a while. */
const PATIENCE = 10

const ENDED: ReadonlySet<string> = new Set(["SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED"])

/** Whether an execution has ended. Of a status that is not known here its end time tells. */
export const hasEnded = ({ EndTimestamp, Status }: Pick<ExecutionSummary, "EndTimestamp" | "Status">): boolean =>
  ENDED.has(Status) || (Status !== "RUNNING" && EndTimestamp !== undefined)

/** The error that an execution has ended with; of a status that is not known here, that. */
export const errorOf = ({
  Error: error,
  Status
}: Pick<ExecutionDescription, "Error" | "Status">): Protocol.ErrorObject | undefined =>
  error !== undefined || ENDED.has(Status)
    ? error
    : { ErrorType: Status, ErrorMessage: `It has ended with the status ${Status}, which this version does not know.` }

/** Asks by the schedule until the execution has ended. */
export const awaitEnd = <E, R>(
  get: Effect.Effect<ExecutionDescription, E | DurableError.ClientFailed, R>,
  executionArn: string,
  schedule: Schedule.Schedule<unknown>
): Effect.Effect<ExecutionDescription, E | DurableError.ClientFailed | DurableError.ExecutionStillRunning, R> =>
  Effect.suspend(() => {
    let failed = 0
    const ask = get.pipe(
      Effect.tap(() => Effect.sync(() => (failed = 0))),
      Effect.map(Option.some),
      Effect.catch((error) =>
        error instanceof DurableError.ClientFailed && error.transient && ++failed < PATIENCE
          ? Effect.succeedNone
          : Effect.fail(error)
      )
    )
    return Effect.flatMap(
      Effect.repeat(ask, { schedule, until: (asked) => Option.isSome(asked) && hasEnded(asked.value) }),
      (asked) =>
        Option.isSome(asked) && hasEnded(asked.value)
          ? Effect.succeed(asked.value)
          : Effect.fail(new DurableError.ExecutionStillRunning({ executionArn }))
    )
  })

/** What an execution ended with, in this process a failure also where it was a defect over there. */
export const failureOf = <E>(exit: Exit.Exit<never, E>, otherwise: () => E): E | DurableError.DeadlineExceeded =>
  Option.getOrElse(Exit.findErrorOption(exit), () => {
    const defect = Result.getOrUndefined(Exit.findDefect(exit))
    return defect instanceof DurableError.DeadlineExceeded ? defect : otherwise()
  })

/** Reads what an execution ended with. A defect over there is no defect here. */
const readFailure = (
  definition: Definition,
  executionArn: string,
  error: Protocol.ErrorObject | undefined
): Effect.Effect<never, unknown, any> => {
  const type = error?.ErrorType ?? "Failure"
  const otherwise = (note = "") =>
    new DurableError.ExecutionFailed({
      executionArn,
      type,
      message: `${error?.ErrorMessage ?? "It failed without a message."}${note}`
    })
  return Effect.matchEffect(
    failures.decodeFailure(error, {
      operation: definition.name,
      schema: definition.error,
      ...failures.CONTEXTS,
      otherwise: () => otherwise()
    }),
    {
      onFailure: (failed) =>
        Effect.fail(
          DurableError.isRepairable(failed)
            ? failed
            : otherwise(definition.error.ast._tag === "Never" ? "" : ` (its data does not fit: ${failed.reason})`)
        ),
      onSuccess: (exit) => Effect.fail(failureOf<unknown>(exit, otherwise))
    }
  )
}

/** The result of an execution that has ended, or what it failed with. */
export const readEnd = (definition: Definition, end: ExecutionDescription): Effect.Effect<unknown, unknown, any> => {
  const { DurableExecutionArn: executionArn, Error: error, Result: result, Status } = end
  switch (Status) {
    case "SUCCEEDED":
      return Effect.mapError(
        payloadCodec(definition.success).decode(result),
        DurableError.serdesFailed(`The result of "${definition.name}"`, "decode")
      )
    case "TIMED_OUT":
      return Effect.fail(
        new DurableError.ExecutionTimedOut({ executionArn, message: error?.ErrorMessage ?? "The execution timed out." })
      )
    case "STOPPED":
      return Effect.fail(
        new DurableError.ExecutionStopped({
          executionArn,
          message: error?.ErrorMessage ?? "The execution was stopped from outside."
        })
      )
    default:
      return readFailure(definition, executionArn, errorOf(end))
  }
}
