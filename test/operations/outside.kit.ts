/**
 * Workflows whose callbacks and invokes the test completes: the TestRunner on an engine of the test.
 */
import { DurableHandler } from "effect-durable-lambda"
import type { DurableFunction, Protocol } from "effect-durable-lambda"
import { DurableExecutionClient } from "effect-durable-lambda/DurableExecutionClient"
import { Engine } from "effect-durable-lambda/engine"
import { TestRunner } from "effect-durable-lambda/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Call, type Fault, Faults } from "../../src/engine/Faults.ts"
import * as kit from "./kit.ts"

/** Time is skipped: what waits for a timer goes on at once. What waits for the outside waits. */
export const layerSkipping: Layer.Layer<TestRunner.TestRunner | Engine.Engine> = Layer.fresh(
  Layer.provideMerge(TestRunner.layer, Engine.layerSkipping)
)

/** Time moves with `TestRunner.advance`. */
export const layerClock: Layer.Layer<TestRunner.TestRunner | Engine.Engine> = Layer.fresh(
  Layer.provideMerge(TestRunner.layer, Engine.layerMemory)
)

/** Time is skipped, and calls of the execution fail. */
export const layerFaulty = (fault: (call: Call) => Fault | undefined): typeof layerSkipping =>
  layerSkipping.pipe(Layer.provide(Layer.succeed(Faults, (call: Call) => Effect.sync(() => fault(call)))))

type Execution = TestRunner.TestExecution<unknown, unknown>

/** Lets everything under way go on; resends after a refused call take a little real time. */
const pause = (round: number) =>
  round < 100 ? kit.turn : Effect.promise(() => new Promise<void>((resolve) => setTimeout(resolve, 1)))

/** Waits until an operation of this name and type is there, and in this status. */
export const until = (
  execution: Execution,
  name: string,
  type: Protocol.OperationType,
  status: Protocol.OperationStatus = "STARTED"
): Effect.Effect<Protocol.Operation> =>
  Effect.gen(function* () {
    for (let round = 0; round < 100_000; round++) {
      const found = (yield* execution.operations).find(
        (operation) => operation.Name === name && operation.Type === type && operation.Status === status
      )
      if (found !== undefined) return found
      yield* pause(round)
    }
    return yield* Effect.die(new Error(`no ${type} "${name}" is ${status}: ${yield* execution.timeline}`))
  })

/** The id of a callback, once it is open. */
export const idOf = (execution: Execution, name: string): Effect.Effect<string> =>
  Effect.map(until(execution, name, "CALLBACK"), (operation) => operation.CallbackDetails?.CallbackId ?? "none")

/** Waits until the execution has answered so many invocations. */
export const invoked = (execution: Execution, times: number): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (let round = 0; round < 100_000; round++) {
      if ((yield* execution.invocations) >= times) return
      yield* pause(round)
    }
    return yield* Effect.die(new Error(`never invoked ${times} times: ${yield* execution.timeline}`))
  })

/** Completes a callback by the name of its operation. */
export const succeed = (execution: Execution, name: string, result?: string) =>
  Effect.flatMap(idOf(execution, name), (id) => Engine.Engine.use((engine) => engine.succeedCallback(id, result)))

export const fail = (execution: Execution, name: string, error?: Protocol.ErrorObject) =>
  Effect.flatMap(idOf(execution, name), (id) => Engine.Engine.use((engine) => engine.failCallback(id, error)))

export const heartbeat = (execution: Execution, name: string) =>
  Effect.flatMap(idOf(execution, name), (id) => Engine.Engine.use((engine) => engine.heartbeatCallback(id)))

/** Deploys a workflow that others can invoke. */
export const deploy = (
  definition: DurableFunction.Any,
  body: (payload: any) => Effect.Effect<unknown, unknown, any>, // any: the definition's own
  options?: { readonly executionTimeoutSeconds?: number }
) =>
  Effect.flatMap(Engine.Engine, (engine) =>
    engine.register(
      definition.name,
      Engine.fromHandler(
        DurableHandler.make(definition as DurableFunction.DurableFunction<any, any, any>, body as never, {
          client: Layer.succeed(DurableExecutionClient, engine.client)
        })
      ),
      options
    )
  )

/** Deploys a function that is not durable: JSON in, JSON out. */
export const deployPlain = (name: string, run: (payload: unknown) => unknown) =>
  Effect.flatMap(Engine.Engine, (engine) => engine.registerPlain(name, Engine.fromHandler(run)))
