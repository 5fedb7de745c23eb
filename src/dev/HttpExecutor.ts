/**
 * Functions that run elsewhere and are invoked over HTTP, by Lambda's own `Invoke`: SAM's local Lambda endpoint,
 * or anything that answers as it does.
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as http from "node:http"
import * as Engine from "../engine/Engine.ts"

const field = (value: unknown, key: string): string | undefined => {
  const found = typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined
  return typeof found === "string" ? found : undefined
}

const parse = (text: string): unknown =>
  Result.getOrElse(
    Result.try(() => JSON.parse(text) as unknown),
    () => undefined
  )

/** What came back: the answer, or how the function failed. */
const judge = (response: http.IncomingMessage, text: string): Effect.Effect<unknown, Engine.InvocationError> => {
  const body = parse(text)
  const { statusCode = 0 } = response
  // the Runtime Interface Emulator tells a failure by the body alone
  const isFailure =
    response.headers["x-amz-function-error"] !== undefined ||
    (field(body, "errorType") !== undefined && field(body, "errorMessage") !== undefined && !field(body, "Status"))
  if (statusCode === 200 && !isFailure) return Effect.succeed(body)
  return Effect.fail(
    new Engine.InvocationError({
      errorType: field(body, "errorType") ?? String(response.headers["x-amzn-errortype"] ?? "Runtime.ExitError"),
      reason:
        field(body, "errorMessage") ?? field(body, "message") ?? field(body, "Message") ?? `HTTP ${statusCode}: ${text}`
    })
  )
}

/** Runs a function by posting its events to a URL, as one does to Lambda's Runtime Interface Emulator. */
export const fromUrl =
  (url: string): Engine.Executor =>
  (event) =>
    Effect.callback<Effect.Effect<unknown, Engine.InvocationError>, Engine.InvocationError>((resume, signal) => {
      const failed = (error: Error) =>
        resume(Effect.fail(new Engine.InvocationError({ errorType: "Runtime.ExitError", reason: error.message })))
      const request = http.request(
        url,
        { method: "POST", headers: { "content-type": "application/json" }, signal },
        (response) => {
          const chunks: Array<Buffer> = []
          response.on("data", (chunk: Buffer) => chunks.push(chunk))
          response.on("end", () => resume(Effect.succeed(judge(response, Buffer.concat(chunks).toString()))))
          response.on("error", failed)
        }
      )
      request.on("error", failed)
      request.end(JSON.stringify(event))
    }).pipe(Effect.flatten)

/** Runs a function by posting its events to `<endpoint>/2015-03-31/functions/<name>/invocations`. */
export const fromEndpoint = (endpoint: string, functionName: string): Engine.Executor =>
  fromUrl(new URL(`/2015-03-31/functions/${encodeURIComponent(functionName)}/invocations`, endpoint).href)
