/**
 * Runs the handlers of requirements as they are, with a real `LambdaClient`, on the engine; a test plays the outside.
 */
import { afterAll, assert, beforeAll } from "@effect/vitest"
import type { History, Protocol } from "effect-durable-lambda"
import { Engine } from "effect-durable-lambda/engine"
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"

// ---- the way from a LambdaClient to the engine of a test -----------------------------------------------------

type Service = Engine.Engine["Service"]
/** Which engine an execution is on. */
export const engines = new Map<string, Service>()
const TIMESTAMPS = new Set(["StartTimestamp", "EndTimestamp", "NextAttemptTimestamp", "ScheduledEndTimestamp"])

/** REST-JSON: timestamps are epoch seconds. */
const encode = (value: unknown) =>
  JSON.stringify(value, (key, item) => (typeof item === "number" && TIMESTAMPS.has(key) ? item / 1000 : item))

let gateway: Server

/** Serves the executions of a file of tests. */
export const serve = (): void => {
  beforeAll(async () => {
    gateway = createServer(async (request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost")
      const [, arn = "", call] = /durable-executions\/([^/]+)\/(checkpoint|state)$/.exec(pathname) ?? []
      const DurableExecutionArn = decodeURIComponent(arn)
      const chunks: Array<Buffer> = []
      for await (const chunk of request) chunks.push(chunk)
      const engine = engines.get(DurableExecutionArn)!
      const answer: Effect.Effect<unknown, Engine.Rejection> =
        call === "checkpoint"
          ? engine.checkpoint({ DurableExecutionArn, ...JSON.parse(Buffer.concat(chunks).toString()) })
          : engine.getExecutionState({
              DurableExecutionArn,
              CheckpointToken: searchParams.get("CheckpointToken") ?? "",
              Marker: searchParams.get("Marker") ?? "",
              MaxItems: Number(searchParams.get("MaxItems") ?? 0)
            })
      const result = await Effect.runPromise(Effect.result(answer))
      const failed = result._tag === "Failure" ? result.failure : undefined
      response.writeHead(failed?.status ?? 200, {
        "content-type": "application/json",
        ...(failed === undefined ? undefined : { "x-amzn-errortype": failed.errorName })
      })
      response.end(
        encode(failed === undefined ? (result as { success?: unknown }).success : { message: failed.reason })
      )
    })
    await new Promise<void>((resolve) => gateway.listen(0, "127.0.0.1", resolve))
    Object.assign(process.env, {
      AWS_ENDPOINT_URL_LAMBDA: `http://127.0.0.1:${(gateway.address() as AddressInfo).port}`,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: "local",
      AWS_SECRET_ACCESS_KEY: "local"
    })
  })

  afterAll(() => {
    gateway.closeAllConnections()
    gateway.close()
  })
}

// ---- running -----------------------------------------------------------------------------------------------------

export type Handler = (event: never, context: never) => Promise<unknown>
/** A handler, or one with the functions that it invokes. */
export type Target =
  | Handler
  | {
      readonly handler: Handler
      readonly functions: Readonly<
        Record<string, { readonly durable?: Handler; readonly plain?: (event: unknown) => unknown }>
      >
    }

/** What happened, and how it ended. */
export interface Ran {
  readonly arn: string
  readonly description: Engine.Description
  readonly history: ReadonlyArray<History.Event>
  readonly invocations: number
}

/** What the outside does meanwhile. */
export type Outside = (execution: { readonly arn: string; readonly engine: Service }) => Effect.Effect<unknown, unknown>

const executor = (engine: Service, handler: Handler, invoked: () => void = () => {}) =>
  Engine.fromHandler((event, context) => {
    engines.set((event as Protocol.InvocationEvent).DurableExecutionArn, engine)
    invoked()
    return handler(event as never, context as never)
  })

/** Runs the handler of a requirement to its end. */
export const run = Effect.fnUntraced(function* (
  id: string,
  target: Target,
  input: unknown = null,
  outside: Outside = () => Effect.void
): Effect.fn.Return<Ran, unknown, Engine.Engine> {
  const engine = yield* Engine.Engine
  const name = `requirement-${id}`
  const { functions, handler } = typeof target === "function" ? { handler: target, functions: {} } : target
  let invocations = 0
  yield* engine.register(
    name,
    executor(engine, handler, () => invocations++)
  )
  for (const [reference, { durable, plain }] of Object.entries(functions)) {
    const called = reference.replace(/:.*$/, "")
    if (durable !== undefined) yield* engine.register(called, executor(engine, durable))
    if (plain !== undefined) yield* engine.registerPlain(called, Engine.fromHandler(plain))
  }
  const arn = yield* engine.start({ functionName: `${name}:$LATEST`, payload: JSON.stringify(input) })
  yield* outside({ arn, engine })
  const description = yield* engine.await(arn)
  const history = yield* engine.history(arn)
  return { arn, description, history, invocations }
}, Effect.provide(Engine.layerSkipping))

/** There is one `process.exit`. */
const oneAtATime = Semaphore.makeUnsafe(1)

/** While it runs, `process.exit` ends the invocation of the one execution of this kind and not this process. */
export const crashable = Effect.fnUntraced(
  function* (id: string, handler: Handler, input: unknown) {
    const { exit } = process
    const exits: Array<unknown> = []
    const name = `requirement-${id}`
    const engine = yield* Engine.Engine
    let arn = ""
    process.exit = ((code) => {
      exits.push(code)
      Effect.runFork(engine.crash(arn))
      throw new Error("the runtime has exited") // stops the caller
    }) as typeof exit
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        process.exit = exit
      })
    )
    yield* engine.register(
      name,
      Engine.fromHandler((event, context) => {
        arn = (event as Protocol.InvocationEvent).DurableExecutionArn
        engines.set(arn, engine)
        return handler(event as never, context as never)
      })
    )
    yield* engine.start({ functionName: `${name}:$LATEST`, payload: JSON.stringify(input) })
    yield* Effect.promise(async () => {
      while (arn === "") await new Promise((resolve) => setImmediate(resolve))
    })
    const description = yield* engine.await(arn)
    return { arn, description, history: yield* engine.history(arn), exits }
  },
  Effect.scoped,
  Effect.provide(Engine.layerSkipping),
  oneAtATime.withPermit
)

/** The id of a callback, once it is open and `invocations` have been answered. */
export const callbackId = Effect.fnUntraced(function* (
  { arn, engine }: Parameters<Outside>[0],
  name: string,
  invocations = 1
) {
  for (let round = 0; round < 100_000; round++) {
    const history = yield* engine.history(arn)
    const id = history.find((event) => event.EventType === "CallbackStarted" && event.Name === name)
      ?.CallbackStartedDetails?.CallbackId
    const answered = history.filter(({ EventType }) => EventType === "InvocationCompleted").length
    if (id !== undefined && answered >= invocations) return id
    yield* Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 1)))
  }
  return assert.fail(`no callback "${name}" after ${invocations} invocations`)
})

/** `Type Name` of each event but the first and the last, which every execution has. */
export const events = (history: ReadonlyArray<History.Event>) =>
  history.slice(1, -1).map(({ EventType, Name }) => (Name === undefined ? EventType : `${EventType} ${Name}`))

export const find = (history: ReadonlyArray<History.Event>, type: History.EventType, name?: string) =>
  history.find(({ EventType, Name }) => EventType === type && (name === undefined || Name === name))!

export const delays = (history: ReadonlyArray<History.Event>) =>
  history.flatMap(({ StepFailedDetails: details }) =>
    details === undefined ? [] : [details.RetryDetails?.NextAttemptDelaySeconds]
  )

/** Name of the event's parent, by its id. */
export const parentOf = (history: ReadonlyArray<History.Event>, event: History.Event) =>
  history.find(({ EventType, Id }) => EventType === "ContextStarted" && Id === event.ParentId)?.Name
