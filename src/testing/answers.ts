/**
 * What a test answers in place of the outside: what is written for callbacks and invoked functions.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { ChildContextFailed, StepFailed } from "../DurableError.ts"
import * as failures from "../internal/failure.ts"
import type * as DurableFunction from "../DurableFunction.ts"
import type * as Protocol from "../Protocol.ts"
import { encodeInput, payloadCodec } from "../Serdes.ts"
import type { MaybeSchema } from "../StepServices.ts"

/** A failure that no schema covers, as the workflow sees it in `CallbackFailed` or `InvokeFailed`. */
export interface Failure {
  readonly type: string
  readonly message: string
  readonly data?: Schema.Json | undefined
}

/** The schemas of an answer, the same as those that the workflow waits with. */
export interface AnswerSchemas {
  readonly success?: MaybeSchema
  readonly error?: MaybeSchema
}

/** An answer as it goes over the wire. */
export type Written =
  | { readonly _tag: "Success"; readonly text: string | undefined }
  | { readonly _tag: "Failure"; readonly error: Protocol.ErrorObject }

const isFailure = (error: unknown): error is Failure =>
  typeof error === "object" &&
  error !== null &&
  typeof (error as Failure).type === "string" &&
  typeof (error as Failure).message === "string" &&
  !(error instanceof Error)

/** An answer that the test's own schemas refuse is a mistake of the test. */
const mistake = (what: string) => (reason: unknown) =>
  new Error(`The answer to ${what} cannot be written: ${typeof reason === "string" ? reason : String(reason)}`)

/** The text of what a test starts an execution with. */
export const writeInput = (
  { name, payload: schema }: Pick<DurableFunction.Any, "name" | "payload">,
  payload: unknown
): Effect.Effect<string | undefined, never, any> =>
  Effect.catch(encodeInput(schema, payload), (reason) =>
    Effect.die(new Error(`The payload of "${name}" is not what its definition declares: ${String(reason)}`))
  )

/** The text of a value: by its schema, else as it is. */
export const writeValue = (
  what: string,
  schema: MaybeSchema,
  value: unknown
): Effect.Effect<string | undefined, never, any> =>
  schema === undefined
    ? value === undefined || typeof value === "string"
      ? Effect.succeed(value)
      : Effect.die(mistake(what)("without a `success` schema it is text, or nothing"))
    : Effect.orDie(Effect.mapError(payloadCodec(schema).encode(value), mistake(what)))

/** The error object of a failure: by its schema, else with its type and message. */
export const writeError = (
  what: string,
  schema: MaybeSchema,
  error: unknown
): Effect.Effect<Protocol.ErrorObject, never, any> => {
  if (schema !== undefined && schema.ast._tag !== "Never" && Schema.is(schema)(error)) {
    const written = failures.encodeFailure(Cause.fail(error), { operation: what, schema, Wrapper: StepFailed })
    return Effect.orDie(Effect.mapError(written, mistake(what)))
  }
  const { data, message, type } = isFailure(error)
    ? error
    : { type: failures.typeOf(error), message: failures.messageOf(error), data: undefined }
  return Effect.succeed({
    ErrorType: type,
    ErrorMessage: message,
    ...(data === undefined ? undefined : { ErrorData: JSON.stringify(data) })
  })
}

/** Runs what a test answers with, and writes down what it gives or fails with. */
export const write = (
  what: string,
  { error, success }: AnswerSchemas,
  answer: Effect.Effect<unknown, unknown, any>
): Effect.Effect<Written, never, any> =>
  Effect.matchEffect(answer, {
    onSuccess: (value) => Effect.map(writeValue(what, success, value), (text): Written => ({ _tag: "Success", text })),
    onFailure: (failure) =>
      Effect.map(writeError(what, error, failure), (error): Written => ({ _tag: "Failure", error }))
  })

/** What a durable function of this error schema answers when it fails. */
export const writeFailed = (
  name: string,
  schema: Schema.Constraint,
  failure: unknown
): Effect.Effect<Protocol.ErrorObject, never, any> =>
  isFailure(failure)
    ? writeError(name, undefined, failure)
    : Effect.orDie(
        Effect.mapError(
          failures.encodeFailure(Cause.fail(failure), { operation: name, schema, Wrapper: ChildContextFailed }),
          mistake(name)
        )
      )
