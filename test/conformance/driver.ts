/**
 * Plays our engine for the conformance runner (`.conformance/run.mjs --driver test/conformance/driver.ts`).
 * Handlers are ordinary Lambda handlers: they get plain JSON and reach the engine with a real `LambdaClient`
 * through a loopback gateway, so that what is on the wire is what AWS's clients read and write.
 *
 * Loaded by plain Node: types are stripped, nothing else.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { createServer, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import * as Engine from "../../src/engine/Engine.ts"
import * as ExecutionStore from "../../src/engine/ExecutionStore.ts"
import * as functions from "../../src/engine/functions.ts"
import * as Timers from "../../src/engine/Timers.ts"
import type * as Protocol from "../../src/Protocol.ts"
import { invokedBy, spansOf } from "./spans.ts"

// The runner's own helpers, copied beside the project at run time; they have no types.
interface Helpers {
  readonly invokeCrashable: (invoke: () => unknown, onCrash: () => void) => Promise<unknown>
  readonly captureLogs: () => void
  readonly logsOf: (arn: string) => ReadonlyArray<unknown>
}
export const helper = (name: string): Promise<Helpers> =>
  import(new URL(`../../.conformance/drivers/${name}`, import.meta.url).href)

export type Handler = (event: unknown, context: Engine.InvocationContext) => unknown

export interface Target {
  readonly handler: Handler
  readonly functions?: Record<
    string,
    { readonly durable?: Handler | Target; readonly plain?: (event: unknown) => unknown }
  >
  readonly executionTimeoutSeconds?: number
}

/** Handlers may log after they have answered. */
export const LOG_SETTLE_MILLIS = 50

/** A function that is invoked by another takes longer to start than its caller takes to answer PENDING. */
const COLD_START_MILLIS = 100

export const delayed =
  (handler: Handler): Handler =>
  async (event, context) => {
    await new Promise((resolve) => setTimeout(resolve, COLD_START_MILLIS))
    return handler(event, context)
  }

// ---- the gateway ---------------------------------------------------------------------------------

type Run = <A, E>(effect: Effect.Effect<A, E, Engine.Engine>) => Promise<A>

/** Which engine an execution is on, and whether its current invocation still gets answers. */
interface Route {
  readonly run: Run
  cutOff: boolean
}

const TIMESTAMPS = new Set(["StartTimestamp", "EndTimestamp", "NextAttemptTimestamp", "ScheduledEndTimestamp"])

/** REST-JSON: timestamps are epoch seconds, with all the digits that they have. */
const encode = (value: unknown): string =>
  JSON.stringify(value, (key, item) => (typeof item === "number" && TIMESTAMPS.has(key) ? item / 1000 : item))

const PATH = /^\/2025-12-01\/durable-executions\/([^/]+)\/(checkpoint|state)$/

const readBody = async (request: IncomingMessage): Promise<Record<string, unknown>> => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk)
  return chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString())
}

const startGateway = async () => {
  const routes = new Map<string, Route>()

  const call = async (request: IncomingMessage): Promise<unknown> => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost")
    const [, encodedArn = "", action] = PATH.exec(pathname) ?? []
    const DurableExecutionArn = decodeURIComponent(encodedArn)
    const route = routes.get(DurableExecutionArn)
    if (route === undefined) {
      throw new Engine.Rejection({
        errorName: "ResourceNotFoundException",
        status: 404,
        reason: `Unknown path ${pathname}`
      })
    }
    const never = new Promise<never>(() => {})
    if (route.cutOff) return never
    const body = action === "checkpoint" ? await readBody(request) : Object.fromEntries(searchParams)
    const response = await route.run(
      Engine.Engine.use((engine): Effect.Effect<unknown, Engine.Rejection> =>
        action === "checkpoint"
          ? engine.checkpoint({
              DurableExecutionArn,
              CheckpointToken: String(body.CheckpointToken ?? ""),
              Updates: (body.Updates ?? []) as ReadonlyArray<Protocol.OperationUpdate>,
              ClientToken: String(body.ClientToken ?? "")
            })
          : engine.getExecutionState({
              DurableExecutionArn,
              CheckpointToken: String(body.CheckpointToken ?? ""),
              Marker: String(body.Marker ?? ""),
              MaxItems: Number(body.MaxItems ?? 0)
            })
      )
    )
    return route.cutOff ? never : response
  }

  const answer = async (request: IncomingMessage, response: ServerResponse) => {
    const send = (status: number, body: unknown, headers: Record<string, string> = {}) => {
      response.writeHead(status, { "content-type": "application/json", ...headers })
      response.end(encode(body))
    }
    try {
      send(200, await call(request))
    } catch (error) {
      if (!(error instanceof Engine.Rejection))
        return send(500, { message: String(error) }, { "x-amzn-errortype": "ServiceException" })
      const { errorName, reason, status } = error
      if (status === 0) return void request.destroy()
      send(
        status,
        { __type: errorName, message: reason, Message: reason, Type: status < 500 ? "User" : "Service" },
        {
          "x-amzn-errortype": errorName
        }
      )
    }
  }

  const server = createServer((request, response) => void answer(request, response))
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  server.unref()
  const { port } = server.address() as AddressInfo
  return { routes, endpoint: `http://127.0.0.1:${port}`, close: () => server.closeAllConnections() }
}

// ---- the driver ----------------------------------------------------------------------------------

export const asTarget = (target: Handler | Target): Target =>
  typeof target === "function" ? { handler: target } : target

/** Gives the driver: an engine for each requirement, one gateway for all of them. */
export const createDriver = async ({ timeScale = 0.1 }: { readonly timeScale?: number } = {}) => {
  const [crash, logs] = await Promise.all([helper("crash.mjs"), helper("log-capture.mjs")])
  logs.captureLogs()
  const gateway = await startGateway()
  Object.assign(process.env, {
    AWS_ENDPOINT_URL_LAMBDA: gateway.endpoint,
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "local",
    AWS_SECRET_ACCESS_KEY: "local"
  })
  const layer = Engine.layerWith({
    // The suite's targets are named without a version, and its crashes are not to wait for long.
    limits: { qualifiedNames: false },
    retry: { immediate: 0, initialSeconds: 1, factor: 1, retries: 3 }
  }).pipe(Layer.provide([ExecutionStore.layerMemory, Timers.layerScaled({ timeScale })]))
  const runtimes: Array<() => Promise<void>> = []

  /** An executor that survives the handler's `process.exit()`; whatever goes on after that is cut off. */
  const executor =
    (run: Run, handler: Handler): Engine.Executor =>
    (event, context) =>
      Effect.tryPromise({
        try: async () => {
          const route: Route = { run, cutOff: false }
          const cutOff = () => {
            route.cutOff = true
          }
          gateway.routes.set((event as Protocol.InvocationEvent).DurableExecutionArn, route)
          try {
            return await crash.invokeCrashable(() => handler(event, context), cutOff)
          } finally {
            cutOff()
          }
        },
        catch: Engine.fromThrown
      })

  const register = Effect.fnUntraced(function* (
    run: Run,
    name: string,
    target: Target
  ): Effect.fn.Return<void, never, Engine.Engine> {
    const engine = yield* Engine.Engine
    yield* engine.register(name, executor(run, target.handler), {
      executionTimeoutSeconds: target.executionTimeoutSeconds
    })
    for (const [reference, { durable, plain }] of Object.entries(target.functions ?? {})) {
      const key = functions.parseReference(reference).name
      if (durable !== undefined) {
        const target = asTarget(durable)
        yield* register(run, key, { ...target, handler: delayed(target.handler) })
      } else if (plain !== undefined) yield* engine.registerPlain(key, Engine.fromHandler(delayed(plain)))
    }
  })

  const driverFor = (anyTarget: Handler | Target) => {
    const runtime = ManagedRuntime.make(Layer.fresh(layer))
    const run: Run = (effect) => runtime.runPromise(effect)
    runtimes.push(() => runtime.dispose())
    const use = <A>(f: (engine: Engine.Engine["Service"]) => Effect.Effect<A, Engine.Rejection>) =>
      run(Engine.Engine.use(f))
    return {
      start: async ({ input }: { readonly input: unknown }) => {
        await run(register(run, "conformance", asTarget(anyTarget)))
        const payload = JSON.stringify(input)
        const arn = await use((engine) => engine.start({ functionName: "conformance:$LATEST", payload }))
        return {
          arn,
          history: () => use((engine) => engine.history(arn)),
          describe: () => use((engine) => engine.describe(arn)),
          completion: () => use((engine) => Effect.asVoid(engine.await(arn))),
          sendCallbackSuccess: (id: string, result?: string) => use((engine) => engine.succeedCallback(id, result)),
          sendCallbackFailure: (id: string, error?: Protocol.ErrorObject) =>
            use((engine) => engine.failCallback(id, error)),
          sendCallbackHeartbeat: (id: string) => use((engine) => engine.heartbeatCallback(id)),
          logs: async () => {
            await new Promise((resolve) => setTimeout(resolve, LOG_SETTLE_MILLIS))
            return logs.logsOf(arn)
          },
          spans: () => use((engine) => Effect.map(engine.history(arn), (history) => spansOf(arn, invokedBy(history)))),
          stop: () => use((engine) => Effect.asVoid(engine.stop(arn)))
        }
      }
    }
  }

  const close = async () => {
    await Promise.all(runtimes.map((dispose) => dispose()))
    gateway.close()
  }
  return { driverFor, close }
}
