/**
 * The Runtime API of AWS Lambda, for one process: it asks for an invocation, and posts the answer. Any runtime for
 * Lambda that reads `AWS_LAMBDA_RUNTIME_API` can be on the other side.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import * as Engine from "../engine/Engine.ts"
import { allow } from "../engine/functions.ts"
import * as Protocol from "../Protocol.ts"

// ---- shapes --------------------------------------------------------------------------------------

/** What our bootstrap tells besides Lambda's API: the exports of the handler's file, and the files that it loaded. */
export const Loaded = Schema.Struct({
  exports: Schema.optional(
    Schema.Array(Schema.Struct({ export: Schema.String, definition: Schema.optional(Schema.String) }))
  ),
  files: Schema.Array(Schema.String)
})

/** What our bootstrap tells besides Lambda's API. */
export type Loaded = typeof Loaded.Type

/** The Runtime API as the parent of the process sees it. */
export interface RuntimeApi {
  /** `127.0.0.1:43210`, for `AWS_LAMBDA_RUNTIME_API`. */
  readonly authority: string
  /** Hands one invocation to the process, at its next request, and gives its answer. One at a time. */
  readonly invoke: (
    event: unknown,
    context: Engine.InvocationContext,
    traceId: string
  ) => Effect.Effect<unknown, Engine.InvocationError>
  /** Waits until the process has asked for the next invocation. */
  readonly ready: Effect.Effect<void>
  /** The process is gone: what it was to do fails with this, unless it has said why itself. */
  readonly end: (error: Engine.InvocationError) => void
}

/** What a process may tell, besides answers. */
export interface Listener {
  readonly loaded: (loaded: Loaded) => void
  /** The code does not load. */
  readonly failed: (error: Engine.InvocationError) => void
}

/** An invocation that the process works on, or will. */
interface Current {
  readonly requestId: string
  readonly headers: () => http.OutgoingHttpHeaders
  readonly body: string
  readonly answer: Deferred.Deferred<unknown, Engine.InvocationError>
  isHanded: boolean
}

// ---- what is posted ------------------------------------------------------------------------------

/** Lambda's limit of an answer, and as much as an error or a report may have. */
const MAX_BYTES: number = Protocol.Limits.responseBytes + 150
const tooLarge = new Engine.InvocationError({
  errorType: "Function.ResponseSizeTooLarge",
  reason: `Response payload size exceeded maximum allowed payload size (${MAX_BYTES} bytes).`
})

/** The body, or nothing where it is larger than it may be. */
const readBody = (message: http.IncomingMessage, done: (body: string | undefined) => void) => {
  const chunks: Array<Buffer> = []
  let bytes = 0
  message.on("data", (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > MAX_BYTES) chunks.length = 0
    else chunks.push(chunk)
  })
  message.on("end", () => done(bytes > MAX_BYTES ? undefined : Buffer.concat(chunks).toString()))
}

/** What is no JSON stays the text that it is, as with Lambda. */
const parse = (text: string): unknown =>
  Result.getOrElse(
    Result.try(() => JSON.parse(text) as unknown),
    () => text
  )

const readLoaded = Schema.decodeUnknownOption(Loaded)
const readError = Schema.decodeUnknownOption(
  Schema.Struct({ errorType: Schema.optional(Schema.String), errorMessage: Schema.optional(Schema.String) })
)

/** What a runtime posts as an error; its type may be in a header only. */
const toError = (body: string | undefined, headers: http.IncomingHttpHeaders) => {
  const { errorMessage, errorType } = Option.getOrElse(
    readError(parse(body ?? "")),
    () => ({}) as Record<string, never>
  )
  return new Engine.InvocationError({
    errorType: errorType ?? String(headers["lambda-runtime-function-error-type"] ?? "Error"),
    reason: errorMessage ?? ""
  })
}

// ---- the server ----------------------------------------------------------------------------------

/** The real clock: processes know no other, wherever the engine's time is. */
const clock: Clock.Clock = Context.get(Context.empty(), Clock.Clock)

const PREFIX = "/2018-06-01/runtime/"

/**
 * Serves one process on loopback, on a port of its own, until the scope closes. Requests that name another host, and
 * those of web pages, are refused.
 */
export const make = Effect.fnUntraced(function* (listener: Listener): Effect.fn.Return<RuntimeApi, never, Scope.Scope> {
  let current: Current | undefined
  let poll: http.ServerResponse | undefined
  let broken: Engine.InvocationError | undefined
  let waiting: Array<() => void> = []

  const reply = (response: http.ServerResponse, status: number, body: unknown) =>
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body))
  const refuse = (response: http.ServerResponse, status: number, errorType: string, errorMessage: string) =>
    reply(response, status, { errorType, errorMessage })
  const accept = (response: http.ServerResponse) => reply(response, 202, { status: "OK" })

  const hand = () => {
    if (poll === undefined || current === undefined || current.isHanded) return
    current.isHanded = true
    poll.writeHead(200, { "content-type": "application/json", ...current.headers() }).end(current.body)
    poll = undefined
  }

  const settle = (exit: Exit.Exit<unknown, Engine.InvocationError>) => {
    const { answer } = current ?? {}
    current = undefined
    if (answer !== undefined) Deferred.doneUnsafe(answer, exit)
  }

  const end = (error: Engine.InvocationError) => {
    broken ??= error
    settle(Exit.fail(broken))
    for (const resume of waiting) resume()
    waiting = []
  }

  const onNext = (response: http.ServerResponse) => {
    // It asks for the next one before it has answered: the answer will not come any more.
    if (current?.isHanded === true) settle(Exit.fail(Engine.exited()))
    poll = response
    response.once("close", () => {
      if (poll === response) poll = undefined
    })
    for (const resume of waiting) resume()
    waiting = []
    hand()
  }

  const onPost = (route: string, message: http.IncomingMessage, response: http.ServerResponse) =>
    readBody(message, (body) => {
      if (route === "/effect-durable-lambda/loaded") {
        const loaded = readLoaded(parse(body ?? ""))
        if (Option.isSome(loaded)) listener.loaded(loaded.value)
        return accept(response)
      }
      if (route === `${PREFIX}init/error`) {
        broken = toError(body, message.headers)
        listener.failed(broken)
        return accept(response)
      }
      const [id, kind] = route.slice(`${PREFIX}invocation/`.length).split("/")
      if (current === undefined || !current.isHanded || id !== current.requestId) {
        return refuse(response, 400, "InvalidRequestID", "Invalid request ID")
      }
      if (kind === "error") {
        settle(Exit.fail(toError(body, message.headers)))
      } else if (body === undefined) {
        settle(Exit.fail(tooLarge))
        return refuse(response, 413, "RequestEntityTooLarge", tooLarge.reason)
      } else settle(Exit.succeed(parse(body)))
      return accept(response)
    })

  const server = http.createServer((message, response) => {
    const { method, url = "" } = message
    const isPost =
      url === "/effect-durable-lambda/loaded" ||
      url === `${PREFIX}init/error` ||
      /^\/2018-06-01\/runtime\/invocation\/[^/]+\/(?:response|error)$/.test(url)
    if (message.headers.host !== authority || message.headers.origin !== undefined) {
      return refuse(response, 403, "AccessDenied", "Only the process of this function may ask.")
    }
    if (method === "GET" && url === `${PREFIX}invocation/next`) return onNext(response)
    if (method === "POST" && isPost) return onPost(url, message, response)
    return refuse(response, 404, "NotFound", "There is no such route.")
  })
  // an invocation may be asked for long before there is one
  server.requestTimeout = 0
  server.keepAliveTimeout = 0

  const listen = Effect.callback<AddressInfo>((resume) => {
    server.once("error", (error) => resume(Effect.die(error)))
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server.address() as AddressInfo))) // of a TCP server
  })
  const close = Effect.sync(() => {
    server.close()
    server.closeAllConnections()
  })
  const { port } = yield* Effect.acquireRelease(listen, () => close)
  const authority = `127.0.0.1:${port}`

  const ready = Effect.callback<void>((resume) => {
    if (poll !== undefined || broken !== undefined) return resume(Effect.void)
    const done = () => resume(Effect.void)
    waiting.push(done)
    return Effect.sync(() => {
      waiting = waiting.filter((one) => one !== done)
    })
  })

  const invoke: RuntimeApi["invoke"] = (event, context, traceId) =>
    Effect.suspend(() => {
      if (broken !== undefined) return Effect.fail(broken)
      const answer = Deferred.makeUnsafe<unknown, Engine.InvocationError>()
      const deadline = () => {
        allow(context, 0) // the code is loaded: its time begins
        return clock.currentTimeMillisUnsafe() + context.getRemainingTimeInMillis()
      }
      current = {
        requestId: context.awsRequestId,
        headers: () => ({
          "lambda-runtime-aws-request-id": context.awsRequestId,
          "lambda-runtime-deadline-ms": String(Math.ceil(deadline())),
          "lambda-runtime-invoked-function-arn": context.invokedFunctionArn,
          "lambda-runtime-trace-id": traceId,
          // a header holds no other characters
          ...(context.tenantId === undefined
            ? undefined
            : { "lambda-runtime-aws-tenant-id": context.tenantId.replace(/[^\x20-\x7e]/g, "?") })
        }),
        body: JSON.stringify(event ?? null),
        answer,
        isHanded: false
      }
      hand()
      return Deferred.await(answer)
    })

  return { authority, invoke, ready, end }
})
