/**
 * `Invoke`, for durable and for plain functions.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Engine from "../engine/Engine.ts"
import * as functions from "../engine/functions.ts"
import * as starts from "../engine/starts.ts"
import * as validate from "../engine/validate.ts"
import type * as Protocol from "../Protocol.ts"
import { qualified } from "./executions.ts"
import type { Reply, Request, Route } from "./Route.ts"
import * as wire from "./wire.ts"

type Service = Engine.Engine["Service"]

const TYPES = ["Event", "RequestResponse", "DryRun"] as const
type InvocationType = (typeof TYPES)[number]

const typeOf = (request: Request): Effect.Effect<InvocationType, validate.Rejection> => {
  const value = request.headers["x-amz-invocation-type"] ?? "RequestResponse"
  const found = TYPES.find((type) => type === value)
  return found === undefined
    ? Effect.fail(
        validate.violation([
          validate.at(value, "invocationType", `Member must satisfy enum value set: [${TYPES.join(", ")}]`)
        ])! // one reason
      )
    : Effect.succeed(found)
}

/** The payload is any JSON, or nothing. It is handed on as the text that it is. */
const payloadOf = (request: Request): Effect.Effect<string | undefined, validate.Rejection> =>
  Effect.flatMap(wire.text(request), (text) =>
    text === undefined
      ? Effect.succeed(undefined)
      : Effect.as(
          Effect.mapError(
            wire.parse(text),
            ({ reason }) =>
              new validate.Rejection({
                errorName: "InvalidRequestContentException",
                status: 400,
                reason: `Could not parse request body into json: ${reason}`
              })
          ),
          text
        )
  )

// ---- answers -------------------------------------------------------------------------------------

const unhandled = (error: Protocol.ErrorObject, headers: Readonly<Record<string, string>>): Reply =>
  wire.json(
    { errorType: error.ErrorType ?? "Error", errorMessage: error.ErrorMessage ?? "", trace: error.StackTrace ?? [] },
    200,
    { ...headers, "x-amz-function-error": "Unhandled" }
  )

const answered = (body: string | undefined, headers: Readonly<Record<string, string>>): Reply => ({
  status: 200,
  headers: { "content-type": "application/json", ...headers },
  body: body ?? "null"
})

/** What a synchronous caller gets of an execution that has ended. */
const ended = (end: Engine.Description, headers: Readonly<Record<string, string>>): Reply => {
  if (end.Status === "SUCCEEDED") return answered(end.Result, headers)
  const fallback = { ErrorType: `Execution.${end.Status}`, ErrorMessage: `The execution is ${end.Status}.` }
  return unhandled({ ...fallback, ...end.Error }, headers)
}

/** What a synchronous caller gets of an execution that takes longer than such a caller may wait. */
const stillRunning = (seconds: number, headers: Readonly<Record<string, string>>): Reply =>
  unhandled(
    {
      ErrorType: "Execution.RUNNING",
      ErrorMessage:
        `A synchronous invocation ends after ${seconds} seconds; the execution goes on. ` +
        "Invoke with the type Event what takes longer."
    },
    headers
  )

/** An execution that was found again keeps the version that it was started with. */
const versionOf = (arn: string): string => /:([^:/]+)\/durable-execution\//.exec(arn)?.[1] ?? "$LATEST"

// ---- the route -----------------------------------------------------------------------------------

/** The route of `Invoke`. `background` runs what an asynchronous invocation leaves behind. */
export const route = (engine: Service, background: (effect: Effect.Effect<unknown>) => void): Route => {
  const durable = Effect.fnUntraced(function* (
    request: Request,
    functionName: string,
    _version: string,
    invocationType: "Event" | "RequestResponse"
  ) {
    const arn = yield* engine.start({
      functionName,
      invocationType,
      payload: yield* payloadOf(request),
      executionName: request.headers["x-amz-durable-execution-name"],
      tenantId: request.headers["x-amz-tenant-id"]
    })
    const headers = { "x-amz-durable-execution-arn": arn, "x-amz-executed-version": versionOf(arn) }
    if (invocationType === "Event") return { status: 202, headers }
    const { synchronousSeconds } = engine.settings.limits
    const end = yield* Effect.timeoutOption(engine.await(arn), Duration.seconds(synchronousSeconds))
    return Option.match(end, {
      onNone: () => stillRunning(synchronousSeconds, headers),
      onSome: (description) => ended(description, headers)
    })
  })

  const plain = Effect.fnUntraced(function* (
    request: Request,
    functionName: string,
    version: string,
    invocationType: "Event" | "RequestResponse"
  ) {
    const payload = yield* payloadOf(request)
    yield* wire.refuse(
      request.headers["x-amz-durable-execution-name"] === undefined
        ? undefined
        : validate.invalid("DurableExecutionName is only for durable functions."),
      starts.checkPayload(payload, invocationType, engine.settings)
    )
    const headers = { "x-amz-executed-version": version }
    const call = engine.invokePlain(functionName, payload, request.headers["x-amz-tenant-id"])
    if (invocationType === "Event") {
      background(Effect.exit(call))
      return { status: 202, headers }
    }
    return yield* call.pipe(
      Effect.map((body) => answered(body, headers)),
      Effect.catchTag("InvocationError", (error) => Effect.succeed(unhandled(functions.errorObject(error), headers)))
    )
  })

  return {
    method: "POST",
    path: "/2015-03-31/functions/{functionName}/invocations",
    handle: Effect.fnUntraced(function* (request) {
      const functionName = yield* qualified(request)
      const invocationType = yield* typeOf(request)
      const found = yield* engine.find(functionName)
      if (found.durable && found.qualifier === undefined && engine.settings.limits.qualifiedNames) {
        return yield* Effect.fail(validate.invalid(functions.UNQUALIFIED))
      }
      if (invocationType === "DryRun") return { status: 204 }
      return yield* (found.durable ? durable : plain)(request, functionName, found.version, invocationType)
    })
  }
}
