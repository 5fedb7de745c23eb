/**
 * Where the engine keeps its executions: one record per execution and per operation, and the history.
 * Everything that one request changes is written by one `commit`, all of it or nothing.
 *
 * The records are flat and hold only JSON values, so that a store can keep each as a row.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as History from "../History.ts"
import type * as Protocol from "../Protocol.ts"

// ---- records -------------------------------------------------------------------------------------

/** One invocation of an execution, as far as the service remembers it. */
export interface InvocationRecord {
  /** From 1. */
  readonly number: number
  readonly requestId: string
  /** Epoch milliseconds. */
  readonly startedAt: number
  /** Whether it still runs. A closed invocation's tokens are dead. */
  readonly open: boolean
  /** The number of its current token: every accepted checkpoint uses one up. */
  readonly token: number
  /** How many changes (see `OperationRecord.changed`) it has been told of. */
  readonly seen: number
}

/** Where the outcome of an execution goes that was started by `CHAINED_INVOKE`. */
export interface Caller {
  readonly arn: string
  readonly operationId: string
}

/** One execution, without its operations and its history. */
export interface ExecutionRecord {
  readonly arn: string
  /** Id of its EXECUTION operation: the last segment of the ARN. */
  readonly id: string
  readonly functionName: string
  readonly version: string
  readonly name: string
  readonly status: Protocol.ExecutionStatus
  /** The payload that it was started with, as text. */
  readonly input?: string | undefined
  readonly result?: string | undefined
  readonly error?: Protocol.ErrorObject | undefined
  /** Epoch milliseconds. */
  readonly startedAt: number
  readonly endedAt?: number | undefined
  /** Seconds, as the history shows them. */
  readonly timeoutSeconds: number
  /** When the timeout is due: epoch milliseconds. */
  readonly timeoutAt: number
  readonly tenantId?: string | undefined
  readonly caller?: Caller | undefined
  /** The stamp of the last request: the next one is later. */
  readonly stamp: number
  /** Events written so far: the id of the last one. */
  readonly events: number
  /** Operations so far, the EXECUTION operation not counted. */
  readonly operations: number
  /** Bytes of payloads and errors written so far. */
  readonly bytes: number
  /** Changes of operations so far. */
  readonly changes: number
  /** Operations that the service will complete some day: PENDING is a lie without them. */
  readonly outstanding: number
  /** Invocations that failed since the last one that did not. */
  readonly failures: number
  readonly invocation: InvocationRecord
}

/** The callback's deadlines, epoch milliseconds, where it has any. */
export interface CallbackDeadlines {
  readonly timeoutAt?: number | undefined
  readonly heartbeatAt?: number | undefined
  readonly heartbeatSeconds?: number | undefined
}

/** One operation, with what the service knows of it beyond what it tells. */
export interface OperationRecord {
  readonly operation: Protocol.Operation
  /** Place in the order of starting. The EXECUTION operation is 0. */
  readonly position: number
  /** The number of its last change, counted over the execution. */
  readonly changed: number
  /** Whether that change came from outside: a timer, a callback, the end of a chained invoke. */
  readonly external: boolean
  readonly waitSeconds?: number | undefined
  readonly callback?: CallbackDeadlines | undefined
  /** What a chained invoke called, as the caller named it; the ARN when it is a durable function. */
  readonly target?:
    | {
        readonly functionName: string
        readonly payload?: string | undefined
        readonly tenantId?: string | undefined
        readonly arn?: string | undefined
      }
    | undefined
}

/** A request that was answered, kept so that the same `ClientToken` gets the same response. */
export interface AnsweredRequest {
  readonly clientToken: string
  /** Epoch milliseconds. */
  readonly at: number
  readonly response: Protocol.CheckpointResponse
}

/** What one request, timer or outside call writes. */
export interface Commit {
  readonly execution: ExecutionRecord
  /** New and changed operations. */
  readonly operations: ReadonlyArray<OperationRecord>
  /** New events. */
  readonly events: ReadonlyArray<History.Event>
  readonly answered?: AnsweredRequest | undefined
}

/** All that is needed to carry on with an execution. */
export interface Snapshot {
  readonly execution: ExecutionRecord
  /** In the order of starting. */
  readonly operations: ReadonlyArray<OperationRecord>
  readonly answered: ReadonlyArray<AnsweredRequest>
}

/** Which executions to list, newest first. Absent fields match all. */
export interface ListFilter {
  readonly functionName?: string | undefined
  readonly name?: string | undefined
  readonly status?: Protocol.ExecutionStatus | undefined
}

// ---- the port ------------------------------------------------------------------------------------

/** The store could not read or write. */
export class ExecutionStoreError extends Schema.TaggedError<ExecutionStoreError>()("ExecutionStoreError", {
  action: Schema.Literals(["commit", "load", "history", "list", "running"]),
  cause: Schema.Defect()
}) {
  override get message() {
    return `the execution store failed to ${this.action}`
  }
}

/** Keeps executions, their operations and their histories. */
export class ExecutionStore extends Context.Service<
  ExecutionStore,
  {
    /** Writes everything or nothing. The first commit of an ARN creates the execution. */
    readonly commit: (commit: Commit) => Effect.Effect<void, ExecutionStoreError>
    /** One execution with all its operations. */
    readonly load: (arn: string) => Effect.Effect<Option.Option<Snapshot>, ExecutionStoreError>
    /** The events of an execution in order; none for an unknown ARN. */
    readonly history: (arn: string) => Effect.Effect<ReadonlyArray<History.Event>, ExecutionStoreError>
    /** Executions that match, newest first. */
    readonly list: (filter: ListFilter) => Effect.Effect<ReadonlyArray<ExecutionRecord>, ExecutionStoreError>
    /** ARNs of the executions that are running, oldest first: what a restarted engine carries on with. */
    readonly running: Effect.Effect<ReadonlyArray<string>, ExecutionStoreError>
  }
>()("effect-durable-lambda/engine/ExecutionStore") {}

// ---- memory --------------------------------------------------------------------------------------

interface Row {
  execution: ExecutionRecord
  readonly operations: Map<string, OperationRecord>
  readonly events: Array<History.Event>
  readonly answered: Map<string, AnsweredRequest>
}

/** Requests are remembered for as long as the service does. */
export const CLIENT_TOKEN_MILLIS = 15 * 60 * 1000

const make = Effect.sync((): ExecutionStore["Service"] => {
  const rows = new Map<string, Row>()
  // By function and name, since every start with a name asks for it.
  const named = new Map<string, Array<Row>>()
  const key = (functionName: string, name: string) => `${functionName}/${name}`

  const matches =
    ({ functionName, name, status }: ListFilter) =>
    ({ execution }: Row) =>
      (functionName === undefined || functionName === execution.functionName) &&
      (name === undefined || name === execution.name) &&
      (status === undefined || status === execution.status)

  const create = (execution: ExecutionRecord): Row => {
    const row: Row = { execution, operations: new Map(), events: [], answered: new Map() }
    rows.set(execution.arn, row)
    const siblings = named.get(key(execution.functionName, execution.name))
    if (siblings === undefined) named.set(key(execution.functionName, execution.name), [row])
    else siblings.push(row)
    return row
  }

  const answer = (row: Row, answered: AnsweredRequest) => {
    row.answered.set(answered.clientToken, answered)
    for (const old of row.answered.values()) {
      if (answered.at - old.at <= CLIENT_TOKEN_MILLIS) break
      row.answered.delete(old.clientToken)
    }
  }

  return {
    commit: (commit) =>
      Effect.sync(() => {
        const row = rows.get(commit.execution.arn) ?? create(commit.execution)
        row.execution = commit.execution
        for (const record of commit.operations) row.operations.set(record.operation.Id, record)
        for (const event of commit.events) row.events.push(event)
        if (commit.answered !== undefined) answer(row, commit.answered)
      }),
    load: (arn) =>
      Effect.sync(() =>
        Option.map(Option.fromUndefinedOr(rows.get(arn)), (row): Snapshot => ({
          execution: row.execution,
          operations: Array.from(row.operations.values()).sort((left, right) => left.position - right.position),
          answered: Array.from(row.answered.values())
        }))
      ),
    history: (arn) => Effect.sync(() => rows.get(arn)?.events.slice() ?? []),
    list: (filter) =>
      Effect.sync(() => {
        const candidates =
          filter.functionName !== undefined && filter.name !== undefined
            ? (named.get(key(filter.functionName, filter.name)) ?? [])
            : Array.from(rows.values())
        return candidates
          .filter(matches(filter))
          .map((row) => row.execution)
          .reverse()
      }),
    running: Effect.sync(() =>
      Array.from(rows.values(), ({ execution }) => execution)
        .filter(({ status }) => status === "RUNNING")
        .map(({ arn }) => arn)
    )
  }
})

/** Keeps everything in this process's memory, and loses it with the process. */
export const layerMemory: Layer.Layer<ExecutionStore> = Layer.effect(ExecutionStore, make)
