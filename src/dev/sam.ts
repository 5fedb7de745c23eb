/**
 * What SAM asks of its durable functions emulator besides Lambda's own API.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Engine from "../engine/Engine.ts"
import * as functions from "../engine/functions.ts"
import * as validate from "../engine/validate.ts"
import * as HttpExecutor from "./HttpExecutor.ts"
import type { Route } from "./Route.ts"
import * as wire from "./wire.ts"

type Service = Engine.Engine["Service"]

const optional = Schema.optional(Schema.NullOr(Schema.String))
const seconds = Schema.optional(Schema.NullOr(Schema.Number))

const readStart = wire.body(
  Schema.Struct({
    FunctionName: Schema.String,
    FunctionQualifier: optional,
    ExecutionName: optional,
    ExecutionTimeoutSeconds: seconds,
    Input: optional,
    LambdaEndpoint: optional
  })
)

/** Functions are called where SAM says, but only on this machine. */
const checkEndpoint = (endpoint: string, allowed: ReadonlySet<string>): validate.Rejection | undefined => {
  const url = Result.getOrUndefined(Result.try(() => new URL(endpoint)))
  return url?.protocol === "http:" && (allowed.has(url.hostname) || url.hostname === "host.docker.internal")
    ? undefined
    : validate.invalid(`LambdaEndpoint must be an http URL of this machine, not ${endpoint.slice(0, 100)}.`)
}

const start = (engine: Service, allowed: ReadonlySet<string>, endpoints: Map<string, string>): Route => ({
  method: "POST",
  path: "/start-durable-execution",
  handle: Effect.fnUntraced(function* (request) {
    const input = yield* readStart(request)
    const { name } = functions.parseReference(input.FunctionName)
    const timeout = input.ExecutionTimeoutSeconds ?? undefined
    yield* wire.refuse(
      validate.violation([
        ...validate.text(name, "functionName", 64, /^[a-zA-Z0-9-_]+$/),
        ...validate.whole(timeout, "executionTimeoutSeconds", 1, 31_622_400)
      ]),
      validate.checkStart(input.ExecutionName ?? undefined, undefined)
    )
    if (typeof input.Input === "string" && input.Input !== "") yield* wire.parse(input.Input)
    const endpoint = input.LambdaEndpoint ?? undefined
    if (endpoint !== undefined) {
      yield* wire.refuse(checkEndpoint(endpoint, allowed))
      const isKnown = Exit.isSuccess(yield* Effect.exit(engine.find(name)))
      const before = endpoints.get(name)
      // SAM's next session has another port; what others have registered stays theirs
      if (!isKnown || (before !== undefined && before !== endpoint)) {
        yield* engine.register(name, HttpExecutor.fromEndpoint(endpoint, name))
        endpoints.set(name, endpoint)
      }
    }
    const ExecutionArn = yield* engine.start({
      functionName: `${name}:${input.FunctionQualifier ?? "$LATEST"}`,
      payload: input.Input ?? undefined,
      executionName: input.ExecutionName ?? undefined,
      executionTimeoutSeconds: timeout
    })
    return wire.json({ ExecutionArn }, 201)
  })
})

const health: Route = {
  method: "GET",
  path: "/health",
  handle: () => Effect.succeed(wire.json({ status: "healthy" }))
}

/** The routes that SAM uses. `allowed`: host names of this machine. */
export const routes = (engine: Service, allowed: ReadonlySet<string>): ReadonlyArray<Route> => [
  start(engine, allowed, new Map()),
  health
]
