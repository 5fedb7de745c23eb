/**
 * Plays our engine over HTTP for the conformance runner (`.conformance/run.mjs --driver test/conformance/driver.http.ts`):
 * handlers reach `Server` with a real `LambdaClient`, and so does everything that the runner itself asks for. One
 * engine runs one requirement after the other, since the endpoint belongs to the process.
 *
 * Loaded by plain Node: types are stripped, nothing else.
 */
import * as aws from "@aws-sdk/client-lambda"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Server from "../../src/dev/Server.ts"
import * as Engine from "../../src/engine/Engine.ts"
import * as ExecutionStore from "../../src/engine/ExecutionStore.ts"
import * as functions from "../../src/engine/functions.ts"
import * as Timers from "../../src/engine/Timers.ts"
import { asTarget, delayed, type Handler, helper, LOG_SETTLE_MILLIS, type Target } from "./driver.ts"
import { invokedBy, spansOf } from "./spans.ts"

const POLL_MILLIS = 10

const pause = (millis: number) => new Promise<void>((resolve) => setTimeout(resolve, millis))

/** As the runner reads it: times are epoch milliseconds, what is absent is left out. */
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, function (this: Record<string, unknown>, key, item: unknown) {
      const original = this[key]
      return original instanceof Date ? original.getTime() : item
    })
  )

/** Gives the driver: one engine, one server. */
export const createDriver = async ({ timeScale = 0.1 }: { readonly timeScale?: number } = {}) => {
  const [crash, logs] = await Promise.all([helper("crash.mjs"), helper("log-capture.mjs")])
  logs.captureLogs()
  const engine = Engine.layerWith({
    // The suite's targets are named without a version, and its crashes are not to wait for long.
    limits: { qualifiedNames: false },
    retry: { immediate: 0, initialSeconds: 1, factor: 1, retries: 3 }
  }).pipe(Layer.provide([ExecutionStore.layerMemory, Timers.layerScaled({ timeScale })]))
  const runtime = ManagedRuntime.make(Layer.provideMerge(Server.layer, engine))
  const { url } = await runtime.runPromise(Server.Server)
  Object.assign(process.env, {
    AWS_ENDPOINT_URL_LAMBDA: url,
    AWS_REGION: "us-east-1",
    AWS_ACCESS_KEY_ID: "local",
    AWS_SECRET_ACCESS_KEY: "local"
  })
  const client = new aws.LambdaClient({})

  /** Survives the handler's `process.exit()`. What goes on after it has a token that is dead. */
  const executor =
    (handler: Handler): Engine.Executor =>
    (event, context) =>
      Effect.tryPromise({
        try: () =>
          crash.invokeCrashable(
            () => handler(event, context),
            () => {}
          ),
        catch: Engine.fromThrown
      })

  const register = Effect.fnUntraced(function* (
    name: string,
    target: Target
  ): Effect.fn.Return<void, never, Engine.Engine> {
    const service = yield* Engine.Engine
    yield* service.register(name, executor(target.handler), { executionTimeoutSeconds: target.executionTimeoutSeconds })
    for (const [reference, { durable, plain }] of Object.entries(target.functions ?? {})) {
      const key = functions.parseReference(reference).name
      if (durable !== undefined) {
        const inner = asTarget(durable)
        yield* register(key, { ...inner, handler: delayed(inner.handler) })
      } else if (plain !== undefined) yield* service.registerPlain(key, Engine.fromHandler(delayed(plain)))
    }
  })

  let started = 0
  const driverFor = (target: Handler | Target) => ({
    start: async ({ input }: { readonly input: unknown }) => {
      const FunctionName = `conformance-${++started}`
      await runtime.runPromise(register(FunctionName, asTarget(target)))
      const Payload = input === undefined ? {} : { Payload: new TextEncoder().encode(JSON.stringify(input)) }
      const { DurableExecutionArn: arn = "" } = await client.send(
        new aws.InvokeCommand({ FunctionName, InvocationType: "Event", ...Payload })
      )
      const execution = { DurableExecutionArn: arn }
      const describe = () => client.send(new aws.GetDurableExecutionCommand(execution))
      const history = async () => {
        const events: Array<unknown> = []
        for await (const page of aws.paginateGetDurableExecutionHistory({ client }, execution)) {
          events.push(...(page.Events ?? []))
        }
        return plain(events) as ReadonlyArray<unknown>
      }
      return {
        arn,
        history,
        describe: async () => plain(await describe()),
        completion: async () => {
          while ((await describe()).Status === "RUNNING") await pause(POLL_MILLIS)
        },
        sendCallbackSuccess: (CallbackId: string, result?: string) =>
          client.send(
            new aws.SendDurableExecutionCallbackSuccessCommand({
              CallbackId,
              ...(result === undefined ? {} : { Result: new TextEncoder().encode(result) })
            })
          ),
        sendCallbackFailure: (CallbackId: string, Error?: aws.ErrorObject) =>
          client.send(new aws.SendDurableExecutionCallbackFailureCommand({ CallbackId, Error })),
        sendCallbackHeartbeat: (CallbackId: string) =>
          client.send(new aws.SendDurableExecutionCallbackHeartbeatCommand({ CallbackId })),
        logs: async () => {
          await pause(LOG_SETTLE_MILLIS)
          return logs.logsOf(arn)
        },
        spans: async () => spansOf(arn, invokedBy(await history())),
        stop: () => client.send(new aws.StopDurableExecutionCommand(execution))
      }
    }
  })

  const close = async () => {
    client.destroy()
    await runtime.dispose()
  }
  return { driverFor, close, concurrency: 1 }
}
