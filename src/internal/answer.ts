/**
 * What an invocation answers: the outcome of its body, once everything is durable, or the error that ended it.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Checkpoints } from "../CheckpointService.ts"
import * as DurableError from "../DurableError.ts"
import type * as DurableFunction from "../DurableFunction.ts"
import type * as Protocol from "../Protocol.ts"
import * as Serdes from "../Serdes.ts"
import type { Outcome } from "./core/host.ts"
import * as failures from "./failure.ts"
import { type Deadline, GIVE_UP, inTime, UNANSWERED } from "./inTime.ts"
import { operationId } from "./operationId.ts"
import { logDefects } from "./warn.ts"
import { jsonBytes, Limits } from "./wire.ts"

/** Answers with a fatal error, or fails with it when Lambda should invoke again. */
export const answerFatal = (
  error: DurableError.Fatal
): Effect.Effect<Protocol.InvocationOutput, DurableError.Fatal> => {
  const scope = DurableError.scopeOf(error)
  return scope === "invocation"
    ? Effect.fail(error)
    : scope === "suspend"
      ? Effect.succeed({ Status: "PENDING" })
      : Effect.succeed({
          Status: "FAILED",
          Error: {
            ErrorType: failures.typeOf(error),
            ErrorMessage: `${failures.messageOf(error)} (help: docs/troubleshooting.md#${error._tag.toLowerCase()} in effect-durable-lambda)`
          }
        })
}

/** Everything is durable before the invocation answers; whether it became durable decides the answer. */
export const answer = (
  definition: DurableFunction.Any,
  checkpoints: Checkpoints,
  outcome: Outcome,
  deadline: () => Deadline | undefined
): Effect.Effect<Protocol.InvocationOutput, DurableError.Fatal, any> => {
  const { drain, inFlight, queued } = checkpoints
  const recorded = inFlight() || queued() > 0 ? answered(drain, deadline()) : drain
  switch (outcome._tag) {
    case "Suspended":
      return Effect.as(recorded, { Status: "PENDING" })
    case "Fatal":
      // what is to be done again must not put on record what followed from an order that is not: the queue is left as it is
      return outcome.error._tag === "CheckpointFailed" || DurableError.scopeOf(outcome.error) === "invocation"
        ? Effect.fail(outcome.error)
        : Effect.andThen(recorded, Effect.fail(outcome.error))
    case "Completed":
      return Effect.andThen(
        recorded,
        Exit.isSuccess(outcome.exit)
          ? succeeded(definition, checkpoints, outcome.exit.value, deadline)
          : Effect.map(
              Effect.andThen(
                logDefects(`the body of "${definition.name}"`, outcome.exit.cause),
                inTime(
                  failures.encodeFailure(
                    outcome.exit.cause,
                    { operation: definition.name, schema: definition.error, Wrapper: DurableError.ChildContextFailed },
                    `The error of "${definition.name}"`
                  ),
                  deadline(),
                  `The error of "${definition.name}" was still being encoded`,
                  GIVE_UP
                )
              ),
              (error): Protocol.InvocationOutput => ({ Status: "FAILED", Error: fitting(error) })
            )
      )
  }
}

/** What the service has to say yet. */
const answered = <A, E>(wait: Effect.Effect<A, E>, deadline: Deadline | undefined) =>
  inTime(wait, deadline, "The service had not answered the last checkpoint", UNANSWERED)

/** In the answer a text is quoted once more: one that is full of quotes may grow to twice its size. */
const fits = (answer: Protocol.InvocationOutput, result: string): boolean =>
  result.length * 3 <= Limits.responseBytes || // a character takes three bytes at most
  (Buffer.byteLength(result) <= Limits.responseBytes &&
    jsonBytes(answer) <= Limits.responseBytes + Limits.envelopeBytes)

/** A result that is too large for a function's answer is recorded by a checkpoint instead. */
const succeeded = /*#__PURE__*/ Effect.fnUntraced(function* (
  definition: DurableFunction.Any,
  checkpoints: Checkpoints,
  value: unknown,
  deadline: () => Deadline | undefined
): Effect.fn.Return<Protocol.InvocationOutput, DurableError.Fatal, any> {
  const what = `The result of "${definition.name}"`
  const encoded = Effect.mapErrorEager(
    Serdes.payloadCodec(definition.success).encodeNow(value),
    DurableError.serdesFailed(what, "encode")
  )
  const result = yield* inTime(encoded, deadline(), `${what} was still being encoded`, GIVE_UP)
  if (result === undefined) return { Status: "SUCCEEDED" }
  const answer: Protocol.InvocationOutput = { Status: "SUCCEEDED", Result: result }
  if (fits(answer, result)) return answer
  const ending: Protocol.OperationUpdate = {
    Id: operationId("", "execution", definition.name, 1),
    Type: "EXECUTION",
    Action: "SUCCEED",
    Payload: result
  }
  yield* answered(checkpoints.commit(ending), deadline())
  return { Status: "SUCCEEDED", Result: "" }
})

/** Drops the data of an error that no answer could carry; type and message always fit. */
const fitting = (error: Protocol.ErrorObject): Protocol.ErrorObject => {
  if (jsonBytes(error) <= Limits.payloadBytes) return error
  const { ErrorData: _, ...rest } = error
  return { ...rest, ErrorMessage: `${rest.ErrorMessage ?? ""} (its data is larger than the service records)` }
}
