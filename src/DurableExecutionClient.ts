/**
 * The two calls that an execution makes to AWS, as a port. Swap its layer and the same workflow runs on
 * Lambda (`layer`), on a client of your own (`layerClient`), or on the local engine.
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import { load as importAws } from "#aws"
import type { Aws } from "./internal/aws.ts"
import * as decode from "./internal/decode.ts"
import type * as Protocol from "./Protocol.ts"

// ---- errors --------------------------------------------------------------------------------------

/**
 * A call to the service failed after the client's own retries.
 *
 * `scope` says what the failure ends: `"execution"` when no later invocation could do better (a request
 * that is refused for what it contains, a missing permission, a lost encryption key), `"invocation"` when
 * the service should simply invoke again (throttling, 5xx, network, a stale token).
 * @see [Troubleshooting](../docs/troubleshooting.md#servicecallfailed)
 */
export class ServiceCallFailed extends Data.TaggedError("ServiceCallFailed")<{
  readonly call: "CheckpointDurableExecution" | "GetDurableExecutionState"
  readonly scope: "execution" | "invocation"
  /** The service's name of the error, for example `TooManyRequestsException`. */
  readonly errorName: string
  /** HTTP status, where there was a response. */
  readonly status?: number
  readonly reason: string
  /** Worth sending again with the same ClientToken (throttling, 5xx, network). */
  readonly transient: boolean
}> {
  override get message() {
    const status = this.status === undefined ? "" : ` (HTTP ${this.status})`
    return `${this.call} failed: ${this.errorName}${status}: ${this.reason}`
  }
}

const KMS_ERROR = /^KMS(?:AccessDenied|Disabled|InvalidState|NotFound)Exception$/

const field = (value: unknown, key: string): unknown =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined

/**
 * Classifies what `@aws-sdk/client-lambda`, or anything shaped like it, throws. Status first and name
 * second, because emulators and proxies send errors without a name. The first rule that fits decides.
 *
 * **Example** (The one 4xx that is not final)
 *
 * ```ts import.meta.vitest
 * import { DurableExecutionClient } from "effect-durable-lambda"
 *
 * const stale = { message: "Invalid checkpoint token", $metadata: { httpStatusCode: 400 } }
 * DurableExecutionClient.classify("CheckpointDurableExecution", stale).scope // => "invocation"
 * ```
 */
export const classify = (call: ServiceCallFailed["call"], cause: unknown): ServiceCallFailed => {
  if (cause instanceof ServiceCallFailed) return cause // the transport states its own scope
  const rawStatus = field(field(cause, "$metadata"), "httpStatusCode")
  const status = typeof rawStatus === "number" ? rawStatus : undefined
  const rawName = field(cause, "name")
  const errorName = typeof rawName === "string" ? rawName : "UnknownError"
  const rawMessage = field(cause, "message")
  const reason = typeof rawMessage === "string" ? rawMessage : String(cause)
  const refused = status !== undefined && status >= 400 && status < 500
  const stale = refused && reason.toLowerCase().startsWith("invalid checkpoint token")
  const scope = (refused || KMS_ERROR.test(errorName)) && !stale && status !== 429 ? "execution" : "invocation"
  return new ServiceCallFailed({
    call,
    scope,
    errorName,
    ...(status === undefined ? undefined : { status }),
    reason,
    transient: scope === "invocation" && !stale
  })
}

// ---- the port ------------------------------------------------------------------------------------

/** The calls as plain promises, undecoded: what `fromCalls` turns into the service. */
export interface Calls {
  readonly checkpoint: (request: Protocol.CheckpointRequest) => Promise<unknown>
  readonly getExecutionState: (request: Protocol.ExecutionStateRequest) => Promise<unknown>
}

/**
 * `CheckpointDurableExecution` and `GetDurableExecutionState`, decoded and with classified errors.
 */
export class DurableExecutionClient extends Context.Service<
  DurableExecutionClient,
  {
    readonly checkpoint: (
      request: Protocol.CheckpointRequest
    ) => Effect.Effect<Protocol.CheckpointResponse, ServiceCallFailed>
    readonly getExecutionState: (
      request: Protocol.ExecutionStateRequest
    ) => Effect.Effect<Protocol.ExecutionStateResponse, ServiceCallFailed>
  }
>()("effect-durable-lambda/DurableExecutionClient") {}

const unreadable = (call: ServiceCallFailed["call"]) => (reason: string) =>
  new ServiceCallFailed({
    call,
    scope: "invocation",
    errorName: "UnreadableResponse",
    reason: `it cannot be read: ${reason}`,
    transient: false
  })

/**
 * A client from two promise functions: decodes what they answer and classifies what they throw. An answer
 * that cannot be read ends the invocation, not the execution: what was recorded stays recorded.
 */
export const fromCalls = (calls: Calls): DurableExecutionClient["Service"] => {
  const run =
    <Request, Response>(
      call: ServiceCallFailed["call"],
      send: (request: Request) => Promise<unknown>,
      read: (response: unknown) => Result.Result<Response, string>
    ) =>
    (request: Request): Effect.Effect<Response, ServiceCallFailed> =>
      Effect.tryPromise({
        // what cannot be read fails like the call itself
        try: () => send(request).then((response) => Result.getOrThrowWith(read(response), unreadable(call))),
        catch: (cause) => classify(call, cause)
      })
  return {
    checkpoint: run("CheckpointDurableExecution", calls.checkpoint, decode.decodeCheckpointResponse),
    getExecutionState: run("GetDurableExecutionState", calls.getExecutionState, decode.decodeExecutionState)
  }
}

// ---- Lambda --------------------------------------------------------------------------------------

/** What we need of a `LambdaClient`: anything that can send its commands. */
export interface CommandSender {
  // The commands are AWS's classes; naming their types here would load AWS's declarations into every user's build.
  readonly send: (command: any, options?: any) => Promise<unknown>
}

/** A client of AWS's own takes options, too. */
interface AwsSender {
  readonly send: (command: any, options: { readonly abortSignal: AbortSignal }) => Promise<unknown> // as above
}

/**
 * AWS's client, loaded.
 *
 * @internal
 */
export const loadAws: Effect.Effect<Aws, ServiceCallFailed> = /*#__PURE__*/ Effect.tryPromise({
  try: () =>
    importAws().then((aws) => {
      if (aws.CheckpointDurableExecutionCommand === undefined) throw new Error("it is too old")
      return aws
    }),
  catch: (cause) =>
    new ServiceCallFailed({
      call: "CheckpointDurableExecution",
      scope: "execution",
      errorName: "AwsClientNotFound",
      reason:
        `cannot load @aws-sdk/client-lambda (${cause instanceof Error ? cause.message : String(cause)}). ` +
        "Run npm install @aws-sdk/client-lambda, 3.943 or later, and bundle it (ESM with a createRequire banner) " +
        "or leave it to Lambda's runtime.",
      transient: false
    })
})

/**
 * The time-outs of AWS's own durable SDKs, and who is asking.
 *
 * @internal
 */
export const clientConfig: import("@aws-sdk/client-lambda").LambdaClientConfig = {
  customUserAgent: [["effect-durable-lambda"]],
  requestHandler: {
    connectionTimeout: 5_000,
    socketTimeout: 50_000,
    requestTimeout: 55_000,
    throwOnRequestTimeout: true
  }
}

const fromAws = (aws: Aws, client: CommandSender): DurableExecutionClient["Service"] =>
  fromCalls({
    checkpoint: (request) => client.send(new aws.CheckpointDurableExecutionCommand(request as any)), // readonly arrays
    getExecutionState: (request) => client.send(new aws.GetDurableExecutionStateCommand(request))
  })

/**
 * Gets a client ready for its first request: it settles its configuration, signs, and compiles what it needs for that.
 * The request has been aborted, so that nothing is sent. Where credentials are not simply in the environment, nothing is
 * done: to find some may take requests.
 */
const prepare = (aws: Aws, client: AwsSender): Effect.Effect<unknown, unknown> =>
  Effect.suspend(() => {
    const { AWS_ACCESS_KEY_ID, AWS_PROFILE } = process.env
    if (!AWS_ACCESS_KEY_ID || AWS_PROFILE) return Effect.void
    // any: the texts are not AWS's enums
    const request: any = { DurableExecutionArn: "-", CheckpointToken: "-", Updates: [{ Id: "-", Type: "STEP" }] }
    const command = new aws.CheckpointDurableExecutionCommand(request)
    return Effect.tryPromise(() => client.send(command, { abortSignal: AbortSignal.abort() }))
  })

/**
 * Loaded by the first call, or at once; then it is also made ready, unless there is something else to do by then. What
 * fails ahead says nothing: the first call tries again, and tells.
 */
const fromSender = (sender: (aws: Aws) => CommandSender, ahead: boolean): DurableExecutionClient["Service"] => {
  type Made = { readonly service: DurableExecutionClient["Service"]; readonly prepare: Effect.Effect<unknown, unknown> }
  let made: Made | undefined
  let called = false
  const make = (aws: Aws): Made => {
    const client = sender(aws)
    return { service: fromAws(aws, client), prepare: prepare(aws, client) }
  }
  const load = Effect.suspend(() => (made ? Effect.succeed(made) : Effect.map(loadAws, (aws) => (made ??= make(aws)))))
  if (ahead) {
    const quiet = Effect.tap(load, Effect.yieldNow)
    void Effect.runPromiseExit(Effect.flatMap(quiet, ({ prepare }) => (called ? Effect.void : prepare)))
  }
  const call = <A, E>(send: (service: DurableExecutionClient["Service"]) => Effect.Effect<A, E>) =>
    Effect.flatMap(load, ({ service }) => {
      called = true
      return send(service)
    })
  return {
    checkpoint: (request) => call((client) => client.checkpoint(request)),
    getExecutionState: (request) => call((client) => client.getExecutionState(request))
  }
}

/**
 * The service of `make`; with `ahead`, AWS's client begins to load at once, and is made ready.
 *
 * @internal
 */
export const makeUnsafe = (ahead: boolean): DurableExecutionClient["Service"] =>
  fromSender((aws) => new aws.LambdaClient(clientConfig), ahead)

/**
 * AWS Lambda, through `@aws-sdk/client-lambda`, loaded when the first call is made. Endpoint, region and
 * credentials come from the environment (`AWS_ENDPOINT_URL_LAMBDA` included). Time-outs: 5 s to connect,
 * 50 s without a byte, 55 s for a request; three attempts, as AWS's own SDKs.
 */
export const make: Effect.Effect<DurableExecutionClient["Service"]> = /*#__PURE__*/ Effect.sync(() => makeUnsafe(false))

/** AWS Lambda, as a layer: see `make`. */
export const layer: Layer.Layer<DurableExecutionClient> = /*#__PURE__*/ Layer.effect(DurableExecutionClient, make)

/** AWS Lambda, through a `LambdaClient` of your own (other region, credentials, middleware). */
export const layerClient = (client: CommandSender): Layer.Layer<DurableExecutionClient> =>
  Layer.sync(DurableExecutionClient, () => fromSender(() => client, false))
