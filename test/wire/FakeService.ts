/**
 * A small scripted stand-in for AWS's service behind the `DurableExecutionClient` port. It records what it is
 * asked, answers as the service would (in the wire's own types), and does what a test tells it: fail, page,
 * omit tokens, hang until released, change records from outside. It checks nothing: the engine does that.
 */
import * as CheckpointService from "effect-durable-lambda/CheckpointService"
import * as DurableExecutionClient from "effect-durable-lambda/DurableExecutionClient"
import type * as DurableHandler from "effect-durable-lambda/DurableHandler"
import type * as Protocol from "effect-durable-lambda/Protocol"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"

// ---- shapes ----------------------------------------------------------------------------------------

/** What the service answers, before anyone has decoded it. */
export interface RawCheckpoint {
  readonly CheckpointToken?: string | null | undefined
  readonly NewExecutionState: {
    readonly Operations: ReadonlyArray<unknown>
    readonly NextMarker?: string | null | undefined
  }
}

/** Answers one checkpoint; `ordinary` applies the updates and gives what the service would answer. */
export type Reply = (ordinary: () => RawCheckpoint, request: Protocol.CheckpointRequest) => unknown

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
type Record_ = Mutable<Protocol.Operation>

/** What tests read of what a handler throws. */
export interface Thrown {
  readonly _tag?: string
  readonly message: string
  readonly scope?: string
}

/** An error as `@aws-sdk/client-lambda` throws it. */
export const awsError = (status: number | undefined, name: string, message: string = name): Error =>
  Object.assign(new Error(message), { name, $metadata: status === undefined ? {} : { httpStatusCode: status } })

/** What plain asynchronous code, or a slow service, takes: real time, unlike `Effect.sleep` in a body. */
export const later = <A>(millis: number, value: A): Promise<A> =>
  new Promise((resolve) => setTimeout(() => resolve(value), millis))

// ---- replies ---------------------------------------------------------------------------------------

/** The request never arrives: the client throws. */
export const fails =
  (error: unknown): Reply =>
  () =>
    Promise.reject(error)

/** The updates are recorded, but the answer is lost. */
export const lost =
  (error: unknown): Reply =>
  (ordinary) => {
    ordinary()
    return Promise.reject(error)
  }

/** The service takes the updates and gives no further token. */
export const withoutToken: Reply = (ordinary) => ({ NewExecutionState: ordinary().NewExecutionState })

/** Only the first `count` operations come with the answer; the rest stands behind `marker`. */
export const paged =
  (marker: string, count = 0): Reply =>
  (ordinary) => {
    const { CheckpointToken, NewExecutionState } = ordinary()
    return {
      CheckpointToken,
      NewExecutionState: { Operations: NewExecutionState.Operations.slice(0, count), NextMarker: marker }
    }
  }

/** Nothing is answered until `release` is called; `asked` tells when the request has come. */
export const held = () => {
  const asked = Promise.withResolvers<void>()
  const released = Promise.withResolvers<void>()
  const reply: Reply = async (ordinary) => {
    asked.resolve()
    await released.promise
    return ordinary()
  }
  return { reply, asked: Effect.promise(() => asked.promise), release: () => released.resolve() }
}

// ---- the service -----------------------------------------------------------------------------------

export const ARN =
  "arn:aws:lambda:us-east-1:123456789012:function:order:$LATEST/durable-execution/my-name/0f5e5c3a-1f2e-3d4c"

const EXECUTION_ID = "0f5e5c3a-1f2e-3d4c"

/** Options of a fake service. */
export interface Options {
  /** The execution's input, as text. */
  readonly input?: string | undefined
  /** Answers to the checkpoints, in order; those that come later, and `undefined`, get ordinary answers. */
  readonly replies?: ReadonlyArray<Reply | undefined> | undefined
  /** Answers to GetDurableExecutionState, by marker. */
  readonly pages?:
    | Readonly<
        Record<
          string,
          (service: FakeService) => {
            readonly Operations?: ReadonlyArray<unknown>
            readonly NextMarker?: string | null
          }
        >
      >
    | undefined
}

export class FakeService {
  /** Every checkpoint that was asked for, in order. */
  readonly requests: Array<Protocol.CheckpointRequest> = []
  /** Every page of state that was asked for, in order. */
  readonly stateRequests: Array<Protocol.ExecutionStateRequest> = []
  /** The records, by id, in the order of starting. */
  readonly records = new Map<string, Record_>()
  private readonly replies: Array<Reply | undefined>
  private readonly options: Options
  private tokens = 0
  private lastStamp = 0
  private skipped = 0
  private unseen = new Set<string>()

  constructor(options: Options = {}) {
    this.options = options
    this.replies = [...(options.replies ?? [])]
    this.records.set(EXECUTION_ID, {
      Id: EXECUTION_ID,
      Type: "EXECUTION",
      Status: "STARTED",
      Name: "my-name",
      StartTimestamp: this.stamp(),
      ExecutionDetails: options.input === undefined ? {} : { InputPayload: options.input }
    })
  }

  // ---- what tests look at

  /** Every update of every request. */
  get updates(): ReadonlyArray<Protocol.OperationUpdate> {
    return this.requests.flatMap(({ Updates }) => Updates)
  }

  /** `Action Type Name` of every update, one array per request. */
  get trace(): ReadonlyArray<ReadonlyArray<string>> {
    return this.requests.map(({ Updates }) =>
      Updates.map(({ Action, Name, Type }) => [Action, Type, ...(Name === undefined ? [] : [Name])].join(" "))
    )
  }

  /** The record of that name. */
  record(name: string): Protocol.Operation {
    const found = this.find(name)
    if (found === undefined)
      throw new Error(
        `no record "${name}", only ${[...this.records.values()].map(({ Name }) => Name ?? "?").join(", ")}`
      )
    return found
  }

  // ---- what tests do

  /** Changes a record from outside, as a person, a timer or another program may. */
  change(name: string, change: Partial<Protocol.Operation>): void {
    const record = this.record(name)
    const status = change.Status
    const ended = status !== undefined && !["STARTED", "PENDING", "READY"].includes(status)
    this.records.set(record.Id, { ...record, ...(ended ? { EndTimestamp: this.stamp() } : undefined), ...change })
    this.unseen.add(record.Id)
  }

  forget(name: string): void {
    this.records.delete(this.record(name).Id)
  }

  /** Ends the waits and retry delays of the next `seconds`. */
  pass(seconds: number): void {
    this.skipped += seconds * 1000
    this.lastStamp += seconds * 1000
    const now = this.stamp()
    for (const record of this.records.values()) {
      const { NextAttemptTimestamp, ...step } = record.StepDetails ?? {}
      if (record.Type === "WAIT" && record.Status === "STARTED" && record.WaitDetails!.ScheduledEndTimestamp! <= now) {
        this.records.set(record.Id, { ...record, Status: "SUCCEEDED", EndTimestamp: now })
        this.unseen.add(record.Id)
      } else if (record.Status === "PENDING" && NextAttemptTimestamp! <= now) {
        this.records.set(record.Id, { ...record, Status: "READY", StepDetails: step })
        this.unseen.add(record.Id)
      }
    }
  }

  /** Gives answers to the next checkpoints. */
  next(...replies: ReadonlyArray<Reply | undefined>): void {
    this.replies.push(...replies)
  }

  /** The event of the next invocation. `state` takes the place of the recorded operations. */
  event(state?: { readonly Operations?: ReadonlyArray<unknown>; readonly NextMarker?: string | null }): unknown {
    this.unseen.clear()
    return JSON.parse(
      JSON.stringify({
        DurableExecutionArn: ARN,
        CheckpointToken: this.token(),
        UpdatedOperationIds: [],
        InitialExecutionState: state ?? { Operations: [...this.records.values()], NextMarker: "" }
      })
    )
  }

  /** One invocation; fails with what the handler throws. */
  invoke(
    handler: DurableHandler.LambdaHandler,
    ...given: readonly [event?: unknown, context?: DurableHandler.LambdaContext]
  ): Effect.Effect<Protocol.InvocationOutput, { readonly _tag: "Thrown"; readonly error: Thrown }> {
    return Effect.tryPromise({
      try: () => handler(given.length === 0 ? this.event() : given[0], given[1] ?? {}),
      catch: (error) => ({ _tag: "Thrown" as const, error: error as Thrown })
    })
  }

  // ---- what handlers are given

  get calls(): DurableExecutionClient.Calls {
    return {
      checkpoint: async (request) => {
        this.requests.push(request)
        const reply = this.replies.shift() ?? ((ordinary: () => RawCheckpoint) => ordinary())
        return await reply(() => this.apply(request), request)
      },
      getExecutionState: async (request) => {
        this.stateRequests.push(request)
        const page = this.options.pages?.[request.Marker]
        if (page === undefined) throw awsError(400, "InvalidParameterValueException", `no page ${request.Marker}`)
        return page(this)
      }
    }
  }

  get layer(): Layer.Layer<DurableExecutionClient.DurableExecutionClient> {
    return Layer.succeed(DurableExecutionClient.DurableExecutionClient, DurableExecutionClient.fromCalls(this.calls))
  }

  /** Options for `DurableHandler.make`: this service, and resending without a pause. */
  get handlerOptions() {
    return {
      client: this.layer,
      checkpoints: CheckpointService.layerWith({ resendAfter: [0, 0] })
    }
  }

  // ---- inside

  private find(name: string): Record_ | undefined {
    return [...this.records.values()].find(
      ({ Id, Name, Type }) => Type !== "EXECUTION" && (Name === name || Id === name)
    )
  }

  private token(): string {
    return `token${this.tokens++}`
  }

  /** Epoch milliseconds, never the same twice. */
  private stamp(): number {
    this.lastStamp = Math.max(this.lastStamp + 1, Date.now() + this.skipped)
    return this.lastStamp
  }

  private apply({ Updates }: Protocol.CheckpointRequest): RawCheckpoint {
    const changed = this.unseen
    this.unseen = new Set()
    for (const update of Updates) {
      const now = this.stamp()
      const { Action, Error, Id, Name, ParentId, Payload, SubType, Type } = update
      const before = this.records.get(Id)
      const attempt = before?.StepDetails?.Attempt ?? 0
      const outcome = {
        ...(Payload === undefined ? undefined : { Result: Payload }),
        ...(Error === undefined ? undefined : { Error })
      }
      const ends = Action === "SUCCEED" || Action === "FAIL"
      const record: Record_ = {
        Id,
        Type,
        StartTimestamp: now,
        ...(ParentId === undefined ? undefined : { ParentId }),
        ...(Name === undefined ? undefined : { Name }),
        ...(SubType === undefined ? undefined : { SubType }),
        ...before,
        Status:
          Action === "SUCCEED"
            ? "SUCCEEDED"
            : Action === "FAIL"
              ? "FAILED"
              : Action === "RETRY"
                ? "PENDING"
                : "STARTED",
        ...(ends ? { EndTimestamp: now } : undefined)
      }
      if (Type === "STEP")
        record.StepDetails = {
          ...outcome,
          Attempt: Action === "START" ? attempt : attempt + 1,
          ...(Action === "RETRY"
            ? { NextAttemptTimestamp: now + (update.StepOptions?.NextAttemptDelaySeconds ?? 0) * 1000 }
            : undefined)
        }
      if (Type === "CONTEXT")
        record.ContextDetails = { ...outcome, ...(ends ? (update.ContextOptions ?? {}) : undefined) }
      if (Type === "CALLBACK") record.CallbackDetails = { CallbackId: Buffer.from(`callback ${Id}`).toString("base64") }
      if (Type === "WAIT")
        record.WaitDetails = { ScheduledEndTimestamp: now + (update.WaitOptions?.WaitSeconds ?? 0) * 1000 }
      this.records.set(Id, record)
      changed.add(Id)
    }
    return {
      CheckpointToken: this.token(),
      NewExecutionState: { Operations: [...changed].flatMap((id) => this.records.get(id) ?? []) }
    }
  }
}

/** A service with these options. */
export const make = (options?: Options): FakeService => new FakeService(options)
