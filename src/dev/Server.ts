/**
 * The local engine over HTTP, with the paths, headers, errors and timestamps of AWS Lambda's API: AWS's own
 * clients and SDKs work against it when their endpoint is its URL.
 *
 * **Example** (A real `LambdaClient` on the local engine)
 *
 * ```ts
 * import { LambdaClient } from "@aws-sdk/client-lambda"
 * import { Server } from "effect-durable-lambda/dev"
 * import { Engine } from "effect-durable-lambda/engine"
 * import { Effect, Layer } from "effect"
 *
 * const program = Effect.gen(function*() {
 *   const server = yield* Server.Server
 *   return new LambdaClient({
 *     endpoint: server.url,
 *     region: "us-east-1",
 *     credentials: { accessKeyId: "local", secretAccessKey: "local" }
 *   })
 * }).pipe(Effect.provide(Server.layer), Effect.provide(Engine.layerMemory))
 * ```
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { Engine } from "../engine/Engine.ts"
import { uuid } from "../engine/functions.ts"
import * as validate from "../engine/validate.ts"
import * as executions from "./executions.ts"
import * as invoke from "./invoke.ts"
import * as PageRoutes from "./PageRoutes.ts"
import { type Reply, type Request, type Route, router } from "./Route.ts"
import * as sam from "./sam.ts"
import * as wire from "./wire.ts"

export { type Reply, type Request, type Route } from "./Route.ts"

// ---- shapes --------------------------------------------------------------------------------------

/** Settings of a server. */
export interface Options {
  /** Default 0: any free port. */
  readonly port?: number | undefined
  /** The loopback address to listen on. Default 127.0.0.1. */
  readonly host?: "127.0.0.1" | "::1" | undefined
  /**
   * Names, without a port, by which others may call the server besides `localhost` and the loopback addresses:
   * `host.docker.internal` for functions in containers. Requests for any other name are refused.
   */
  readonly allowedHosts?: ReadonlyArray<string> | undefined
  /** Bytes that a request's body may have. Default 16 MiB. */
  readonly maxBodyBytes?: number | undefined
  /** Routes besides those of Lambda, asked first. */
  readonly routes?: ReadonlyArray<Route> | undefined
  /** Whether `GET /` is the web page that shows executions and answers callbacks. Default true. */
  readonly page?: boolean | undefined
  /** How long open requests may take when the server closes. Default 1 second. */
  readonly grace?: Duration.Input | undefined
}

/**
 * The server could not listen: the port is taken, most likely.
 * @see [Troubleshooting](../../docs/troubleshooting.md#serverfailed)
 */
export class ServerFailed extends Data.TaggedError("ServerFailed")<{
  readonly port: number
  readonly reason: string
}> {
  override get message() {
    const port = this.port === 0 ? "a free port" : `port ${this.port}`
    return `The local server cannot listen on ${port}: ${this.reason}. Stop what uses the port, or choose another (0 takes any).`
  }
}

/** A server that runs. */
export class Server extends Context.Service<
  Server,
  {
    /** `http://127.0.0.1:43210`: the endpoint for AWS's clients, also as `AWS_ENDPOINT_URL_LAMBDA`. */
    readonly url: string
    readonly port: number
  }
>()("effect-durable-lambda/dev/Server") {}

// ---- who may ask ---------------------------------------------------------------------------------

const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]

const denied = (reason: string) => new validate.Rejection({ errorName: "AccessDeniedException", status: 403, reason })

const hostName = (authority: string) => authority.replace(/:\d+$/, "").toLowerCase()

/**
 * Only those who mean this server: a page that made a name of its own resolve to loopback (DNS rebinding) sends
 * that name, and a page that posts blindly across sites sends its origin.
 */
const checkCaller = (
  { headers }: http.IncomingMessage,
  allowed: ReadonlySet<string>
): validate.Rejection | undefined => {
  const { host, origin } = headers
  if (host === undefined || !allowed.has(hostName(host))) {
    return denied(`This server does not answer for the host "${(host ?? "").slice(0, 100)}".`)
  }
  if (origin !== undefined && origin !== `http://${host}`) {
    return denied(`Pages of "${origin.slice(0, 100)}" may not use this server.`)
  }
  return headers["sec-fetch-site"] === "cross-site"
    ? denied("Pages of other sites may not use this server.")
    : undefined
}

// ---- bodies --------------------------------------------------------------------------------------

const tooLarge = (limit: number) =>
  new validate.Rejection({
    errorName: "RequestTooLargeException",
    status: 413,
    reason: `Request must be smaller than ${limit} bytes for the local server.`
  })

/** Reads a body up to its limit. What is beyond is thrown away as it comes. */
const readBody = (message: http.IncomingMessage, limit: number): Effect.Effect<Uint8Array, validate.Rejection> =>
  Effect.callback((resume) => {
    if (Number(message.headers["content-length"] ?? 0) > limit) return resume(Effect.fail(tooLarge(limit)))
    const chunks: Array<Buffer> = []
    let bytes = 0
    message.on("data", (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes > limit) {
        chunks.length = 0
        resume(Effect.fail(tooLarge(limit)))
      } else chunks.push(chunk)
    })
    message.on("end", () => resume(Effect.sync(() => Buffer.concat(chunks))))
    message.on("error", () => resume(Effect.fail(wire.malformed("The body ended early."))))
  })

// ---- answering -----------------------------------------------------------------------------------

const write = (response: http.ServerResponse, chunk: Uint8Array): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (response.write(chunk)) return resume(Effect.void)
    response.once("drain", () => resume(Effect.void))
  })

const send = (
  response: http.ServerResponse,
  requestId: string,
  { body, headers, status }: Reply,
  closing: Effect.Effect<void>
): Effect.Effect<void> =>
  Effect.suspend(() => {
    response.writeHead(status, { "x-amzn-requestid": requestId, "cache-control": "no-store", ...headers })
    if (!Stream.isStream(body)) return Effect.sync(() => void response.end(body))
    response.flushHeaders()
    return Effect.ensuring(
      Stream.runForEach(Stream.interruptWhen(body as Stream.Stream<Uint8Array>, closing), (chunk) =>
        write(response, chunk)
      ),
      Effect.sync(() => void response.end())
    )
  })

/** Nothing that a route does brings the server down: what it did not foresee is a ServiceException, and is logged. */
const unforeseen = (cause: Cause.Cause<unknown>): Effect.Effect<Reply> =>
  Effect.as(
    Effect.logError("the local server could not answer a request", cause),
    wire.refusal(
      new validate.Rejection({
        errorName: "ServiceException",
        status: 500,
        reason: "The local server failed; see its log."
      })
    )
  )

/** How long a connection may be idle. */
const KEEP_ALIVE_MILLIS = 60_000

// ---- the server ----------------------------------------------------------------------------------

/**
 * Serves an engine until the scope closes. Then it takes no new requests, gives the open ones a moment, and cuts
 * off what is left.
 *
 * **Details**
 *
 * The operations are Checkpoint, GetState, Get, GetHistory, ListByFunction and Stop of durable executions, the
 * three answers to callbacks, and Invoke (RequestResponse, Event and DryRun, with execution names); and what SAM
 * asks of its emulator (`DURABLE_EXECUTIONS_EXTERNAL_EMULATOR_PORT`). `GET /` is the web page. ARNs and callback ids may be
 * percent-encoded or not. Any signature is accepted.
 *
 * It listens on loopback only and refuses (403, `AccessDeniedException`) requests for other host names and from
 * web pages of other origins. Limits and patterns are the engine's (`Engine.layerWith`).
 */
export const make = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<Server["Service"], ServerFailed, Engine | Scope.Scope> {
  const engine = yield* Engine
  const random = yield* Random.Random
  const run = yield* FiberSet.makeRuntime<never, void, never>()
  // Streams have no end of their own: they would hold the server for all of its grace.
  const closing = Latch.makeUnsafe(false)
  const host = options.host ?? "127.0.0.1"
  const port = options.port ?? 0
  const allowed = new Set([...LOOPBACK, ...(options.allowedHosts ?? []).map((name) => name.toLowerCase())])
  const maxBodyBytes = options.maxBodyBytes ?? 16 * 1024 * 1024
  const page = options.page === false ? [] : yield* PageRoutes.make(engine)
  const find = router([
    ...(options.routes ?? []),
    ...page,
    ...sam.routes(engine, allowed),
    invoke.route(engine, (effect) => void run(Effect.asVoid(effect))),
    ...executions.routes(engine)
  ])

  const reply = (message: http.IncomingMessage): Effect.Effect<Reply, validate.Rejection> =>
    Effect.suspend(() => {
      const refused = checkCaller(message, allowed)
      if (refused !== undefined) return Effect.fail(refused)
      const match = find(message.method ?? "", message.url ?? "")
      if (match instanceof validate.Rejection) return Effect.fail(match)
      const request: Request = {
        method: message.method ?? "",
        path: match.path,
        query: match.query,
        // repeated headers are joined by Node, but for set-cookie, which no request has
        headers: message.headers as Request["headers"],
        body: readBody(message, maxBodyBytes)
      }
      return match.route.handle(request)
    })

  const answer = (message: http.IncomingMessage, response: http.ServerResponse): Effect.Effect<void> =>
    reply(message).pipe(
      Effect.matchCauseEffect({
        onSuccess: Effect.succeed,
        onFailure: (cause): Effect.Effect<Reply | undefined> => {
          const failure = Cause.findErrorOption(cause)
          if (failure._tag === "None") return Cause.hasInterruptsOnly(cause) ? Effect.interrupt : unforeseen(cause)
          // a response that got lost on its way has no status
          return Effect.succeed(failure.value.status === 0 ? undefined : wire.refusal(failure.value))
        }
      }),
      Effect.flatMap((answered) => {
        if (answered === undefined) return Effect.sync(() => void response.destroy())
        if (!message.complete) {
          // what was not read is thrown away, and the connection with it
          response.shouldKeepAlive = false
          message.resume()
        }
        return send(response, uuid(random), answered, closing.await)
      }),
      // an answer that cannot be sent must not leave its client waiting
      Effect.catchCause((cause) =>
        Effect.andThen(
          Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("the local server could not answer", cause),
          Effect.sync(() => void response.destroy())
        )
      )
    )

  const server = http.createServer({ requireHostHeader: false }, (message, response) => {
    const fiber = run(answer(message, response))
    // whoever waits for an execution may stop waiting; the execution goes on
    response.once("close", () => fiber.interruptUnsafe())
  })
  // AWS's clients keep connections; one that is closed under a request looks like a network failure to them
  server.keepAliveTimeout = KEEP_ALIVE_MILLIS
  // the rest of what HTTP itself finds wrong: a named refusal as well
  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (!socket.writable || error.code === "ECONNRESET") return void socket.destroy()
    const { body, headers } = wire.refusal(wire.malformed("The request is not HTTP as it should be."))
    const lines = Object.entries({ ...headers, connection: "close", "content-length": Buffer.byteLength(String(body)) })
    socket.end(
      `HTTP/1.1 400 Bad Request\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${String(body)}`
    )
  })

  const listen = Effect.callback<AddressInfo, ServerFailed>((resume) => {
    const failed = (error: Error) => resume(Effect.fail(new ServerFailed({ port, reason: error.message })))
    server.once("error", failed)
    server.listen(port, host, () => {
      server.off("error", failed)
      resume(Effect.succeed(server.address() as AddressInfo)) // of a TCP server
    })
  })
  const close = Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    closing.openUnsafe()
    server.closeIdleConnections()
  }).pipe(
    Effect.timeoutOption(options.grace ?? "1 second"),
    Effect.andThen(Effect.sync(() => server.closeAllConnections()))
  )
  const address = yield* Effect.acquireRelease(listen, () => close)
  return { url: `http://${host === "::1" ? "[::1]" : host}:${address.port}`, port: address.port }
})

/** A server with settings of your own. */
export const layerWith = (options: Options): Layer.Layer<Server, ServerFailed, Engine> =>
  Layer.effect(Server, make(options))

/** A server on any free port of loopback. */
export const layer: Layer.Layer<Server, ServerFailed, Engine> = layerWith({})
