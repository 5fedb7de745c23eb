/**
 * Durable handlers in raw wire calls, without any SDK: what the engine's tests run.
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as DurableExecutionClient from "../../src/DurableExecutionClient.ts"
import * as Engine from "../../src/engine/Engine.ts"
import type * as Protocol from "../../src/Protocol.ts"

export interface Event {
  readonly DurableExecutionArn: string
  readonly CheckpointToken: string
  readonly InitialExecutionState: {
    readonly Operations: ReadonlyArray<Protocol.Operation>
    readonly NextMarker: string
  }
  readonly UpdatedOperationIds: ReadonlyArray<string>
}

/** Ends the invocation with PENDING. */
export class Suspended extends Data.TaggedError("Suspended") {}

export interface Durable {
  readonly event: Event
  readonly input: unknown
  readonly operations: Map<string, Protocol.Operation>
  readonly token: () => string
  readonly send: (
    updates: ReadonlyArray<Protocol.OperationUpdate>,
    request?: Partial<Protocol.CheckpointRequest>
  ) => Effect.Effect<Protocol.CheckpointResponse, DurableExecutionClient.ServiceCallFailed>
  readonly step: <A>(id: string, body: Effect.Effect<A>) => Effect.Effect<A, DurableExecutionClient.ServiceCallFailed>
  readonly wait: (
    id: string,
    seconds: number
  ) => Effect.Effect<void, DurableExecutionClient.ServiceCallFailed | Suspended>
  /** Starts an operation and waits for its end. */
  readonly external: (
    update: Protocol.OperationUpdate
  ) => Effect.Effect<Protocol.Operation, DurableExecutionClient.ServiceCallFailed | Suspended>
}

export const start = (Id: string, Type: Protocol.OperationType): Protocol.OperationUpdate => ({
  Id,
  Type,
  Action: "START"
})

const terminal = new Set<string | undefined>(["SUCCEEDED", "FAILED", "TIMED_OUT", "STOPPED", "CANCELLED"])

/** Registers a durable function whose body is written against the wire. */
export const register = Effect.fnUntraced(function* (
  name: string,
  body: (
    durable: Durable
  ) => Effect.Effect<unknown, DurableExecutionClient.ServiceCallFailed | Suspended | Engine.InvocationError>,
  options?: Engine.FunctionOptions
) {
  const engine = yield* Engine.Engine
  let requests = 0
  yield* engine.register(
    name,
    (input, context) => {
      const event = input as Event
      let token = event.CheckpointToken
      const operations = new Map(event.InitialExecutionState.Operations.map((operation) => [operation.Id, operation]))
      const execution = event.InitialExecutionState.Operations.find(({ Type }) => Type === "EXECUTION")
      const send: Durable["send"] = (Updates, request) =>
        Effect.map(
          engine.client.checkpoint({
            DurableExecutionArn: event.DurableExecutionArn,
            CheckpointToken: token,
            Updates,
            ClientToken: `${context.awsRequestId}-${requests++}`,
            ...request
          }),
          (response) => {
            token = response.CheckpointToken ?? ""
            for (const operation of response.NewExecutionState?.Operations ?? [])
              operations.set(operation.Id, operation)
            return response
          }
        )
      const external: Durable["external"] = Effect.fnUntraced(function* (update) {
        if (!operations.has(update.Id)) yield* send([update])
        const known = operations.get(update.Id)
        return terminal.has(known?.Status) ? known! : yield* new Suspended()
      })
      const durable: Durable = {
        event,
        input: JSON.parse(execution?.ExecutionDetails?.InputPayload ?? "null"),
        operations,
        token: () => token,
        send,
        external,
        step: Effect.fnUntraced(function* (id, run) {
          const known = operations.get(id)
          if (known?.Status === "SUCCEEDED") return JSON.parse(known.StepDetails?.Result ?? "null")
          const value = yield* run
          yield* send([
            ...(known?.Status === "STARTED" ? [] : [start(id, "STEP")]),
            { Id: id, Type: "STEP", Action: "SUCCEED", Payload: JSON.stringify(value) }
          ])
          return value
        }),
        wait: (id, seconds) =>
          Effect.asVoid(external({ ...start(id, "WAIT"), SubType: "Wait", WaitOptions: { WaitSeconds: seconds } }))
      }
      return body(durable).pipe(
        Effect.map((value) => ({ Status: "SUCCEEDED", Result: JSON.stringify(value ?? null) })),
        Effect.catchTag("Suspended", () => Effect.succeed({ Status: "PENDING" as const })),
        Effect.catchTag("ServiceCallFailed", (error) =>
          error.scope === "invocation"
            ? Effect.fail(Engine.fromThrown(error))
            : Effect.succeed({ Status: "FAILED", Error: { ErrorType: error.errorName, ErrorMessage: error.reason } })
        )
      )
    },
    options
  )
})

/** The types of the events, for assertions on order. */
export const types = (events: ReadonlyArray<{ readonly EventType: string }>) => events.map(({ EventType }) => EventType)
