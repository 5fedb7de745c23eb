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
import * as Protocol from "../Protocol.ts"

// ---- records -------------------------------------------------------------------------------------

const optional = Schema.optional

/** A time or a deadline: epoch milliseconds. */
const Millis = Schema.Finite

const Count = Schema.Int

/** One invocation of an execution, as far as the service remembers it. */
export const InvocationRecord = Schema.Struct({
  /** From 1. */
  number: Count,
  requestId: Schema.String,
  /** Epoch milliseconds. */
  startedAt: Millis,
  /** Whether it still runs. A closed invocation's tokens are dead. */
  open: Schema.Boolean,
  /** The number of its current token: every accepted checkpoint uses one up. */
  token: Count,
  /** How many changes (see `OperationRecord.changed`) it has been told of. */
  seen: Count
})
export interface InvocationRecord extends Schema.Schema.Type<typeof InvocationRecord> {}

/** Where the outcome of an execution goes that was started by `CHAINED_INVOKE`. */
export const Caller = Schema.Struct({ arn: Schema.String, operationId: Schema.String })
export interface Caller extends Schema.Schema.Type<typeof Caller> {}

/** One execution, without its operations and its history. */
export const ExecutionRecord = Schema.Struct({
  arn: Schema.String,
  /** Id of its EXECUTION operation: the last segment of the ARN. */
  id: Schema.String,
  functionName: Schema.String,
  version: Schema.String,
  name: Schema.String,
  status: Protocol.ExecutionStatus,
  /** The payload that it was started with, as text. */
  input: optional(Schema.String),
  result: optional(Schema.String),
  error: optional(Protocol.ErrorObject),
  /** Epoch milliseconds. */
  startedAt: Millis,
  endedAt: optional(Millis),
  /** Seconds, as the history shows them. */
  timeoutSeconds: Schema.Finite,
  /** When the timeout is due: epoch milliseconds. */
  timeoutAt: Millis,
  tenantId: optional(Schema.String),
  caller: optional(Caller),
  /** The stamp of the last request: the next one is later. */
  stamp: Millis,
  /** Events written so far: the id of the last one. */
  events: Count,
  /** Operations so far, the EXECUTION operation not counted. */
  operations: Count,
  /** Bytes of payloads and errors written so far. */
  bytes: Count,
  /** Changes of operations so far. */
  changes: Count,
  /** Operations that the service will complete some day: PENDING is a lie without them. */
  outstanding: Count,
  /** Invocations that failed since the last one that did not. */
  failures: Count,
  invocation: InvocationRecord
})
export interface ExecutionRecord extends Schema.Schema.Type<typeof ExecutionRecord> {}

/** The callback's deadlines, epoch milliseconds, where it has any. */
export const CallbackDeadlines = Schema.Struct({
  timeoutAt: optional(Millis),
  heartbeatAt: optional(Millis),
  heartbeatSeconds: optional(Schema.Finite)
})
export interface CallbackDeadlines extends Schema.Schema.Type<typeof CallbackDeadlines> {}

/** One operation, with what the service knows of it beyond what it tells. */
export const OperationRecord = Schema.Struct({
  operation: Protocol.Operation,
  /** Place in the order of starting. The EXECUTION operation is 0. */
  position: Count,
  /** The number of its last change, counted over the execution. */
  changed: Count,
  /** Whether that change came from outside: a timer, a callback, the end of a chained invoke. */
  external: Schema.Boolean,
  waitSeconds: optional(Schema.Finite),
  callback: optional(CallbackDeadlines),
  /** What a chained invoke called, as the caller named it; the ARN when it is a durable function. */
  target: optional(
    Schema.Struct({
      functionName: Schema.String,
      payload: optional(Schema.String),
      tenantId: optional(Schema.String),
      arn: optional(Schema.String)
    })
  )
})
export interface OperationRecord extends Schema.Schema.Type<typeof OperationRecord> {}

/** A request that was answered, kept so that the same `ClientToken` gets the same response. */
export const AnsweredRequest = Schema.Struct({
  clientToken: Schema.String,
  /** Epoch milliseconds. */
  at: Millis,
  response: Protocol.CheckpointResponse
})
export interface AnsweredRequest extends Schema.Schema.Type<typeof AnsweredRequest> {}

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

/** Which executions to list. Absent fields match all. */
export interface ListFilter {
  readonly functionName?: string | undefined
  readonly version?: string | undefined
  readonly name?: string | undefined
  readonly status?: Protocol.ExecutionStatus | undefined
  /** Only those that started later: epoch milliseconds. */
  readonly startedAfter?: number | undefined
  /** Only those that started earlier: epoch milliseconds. */
  readonly startedBefore?: number | undefined
  /** Only those whose ARN has this text in it, in whatever case. */
  readonly search?: string | undefined
}

/** Which part of a listing to read. Absent fields: all of it, the newest first. */
export interface ListPage {
  /** The ARN of the last execution that the reader has: only what comes after it is read. */
  readonly after?: string | undefined
  /** At most so many. */
  readonly limit?: number | undefined
  /** The oldest first. Default false. */
  readonly reverse?: boolean | undefined
}

/** Which events of a history to read. Absent fields: all of them, the first one first. */
export interface EventPage {
  /** The id of the last event that the reader has: only later ones are read, with `reverse` earlier ones. */
  readonly after?: number | undefined
  /** At most so many. */
  readonly limit?: number | undefined
  /** The last one first. Default false. */
  readonly reverse?: boolean | undefined
}

// ---- the port ------------------------------------------------------------------------------------

/**
 * The store could not read or write.
 * @see [Troubleshooting](../../docs/troubleshooting.md#executionstoreerror)
 */
export class ExecutionStoreError extends Schema.TaggedError<ExecutionStoreError>()("ExecutionStoreError", {
  action: Schema.Literals(["commit", "load", "execution", "history", "list", "count", "running"]),
  cause: Schema.Defect()
}) {
  override get message() {
    const { action, cause } = this
    return `the execution store failed to ${action}: ${cause instanceof Error ? cause.message : String(cause)}`
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
    /** One execution alone. */
    readonly execution: (arn: string) => Effect.Effect<Option.Option<ExecutionRecord>, ExecutionStoreError>
    /** The events of an execution, or a page of them, in order; none for an unknown ARN. */
    readonly history: (
      arn: string,
      page?: EventPage
    ) => Effect.Effect<ReadonlyArray<History.Event>, ExecutionStoreError>
    /** Executions that match, or a page of them, the newest first; none after an ARN that is not known. */
    readonly list: (
      filter: ListFilter,
      page?: ListPage
    ) => Effect.Effect<ReadonlyArray<ExecutionRecord>, ExecutionStoreError>
    /** How many executions match. */
    readonly count: (filter: ListFilter) => Effect.Effect<number, ExecutionStoreError>
    /** ARNs of the executions that are running, oldest first: what a restarted engine carries on with. */
    readonly running: Effect.Effect<ReadonlyArray<string>, ExecutionStoreError>
  }
>()("effect-durable-lambda/engine/ExecutionStore") {}

// ---- memory --------------------------------------------------------------------------------------

interface Row {
  /** Place in the order of starting. */
  readonly number: number
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

  const inOrder: Array<Row> = []

  const matches = ({ functionName, name, search, startedAfter, startedBefore, status, version }: ListFilter) => {
    const part = search?.toLowerCase() ?? ""
    return ({ execution }: Row) =>
      (functionName === undefined || functionName === execution.functionName) &&
      (version === undefined || version === execution.version) &&
      (name === undefined || name === execution.name) &&
      (status === undefined || status === execution.status) &&
      (startedAfter === undefined || execution.startedAt > startedAfter) &&
      (startedBefore === undefined || execution.startedAt < startedBefore) &&
      (part === "" || execution.arn.toLowerCase().includes(part))
  }

  /** Those that may match, in the order of starting. */
  const candidates = ({ functionName, name }: ListFilter): ReadonlyArray<Row> =>
    functionName === undefined || name === undefined ? inOrder : (named.get(key(functionName, name)) ?? [])

  const create = (execution: ExecutionRecord): Row => {
    const row: Row = { number: inOrder.length, execution, operations: new Map(), events: [], answered: new Map() }
    rows.set(execution.arn, row)
    inOrder.push(row)
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
    execution: (arn) => Effect.sync(() => Option.map(Option.fromUndefinedOr(rows.get(arn)), (row) => row.execution)),
    history: (arn, { after, limit = Infinity, reverse = false } = {}) =>
      Effect.sync(() => {
        const all = rows.get(arn)?.events ?? []
        // events are numbered from 1, without gaps
        if (!reverse) return all.slice(after ?? 0, (after ?? 0) + limit)
        const end = Math.min((after ?? Infinity) - 1, all.length)
        return all.slice(Math.max(end - limit, 0), Math.max(end, 0)).reverse()
      }),
    list: (filter, { after, limit = Infinity, reverse = false } = {}) =>
      Effect.sync(() => {
        const matching = matches(filter)
        const last = after === undefined ? undefined : (rows.get(after)?.number ?? (reverse ? Infinity : -1))
        const found: Array<ExecutionRecord> = []
        const among = candidates(filter)
        for (let i = 0; i < among.length && found.length < limit; i++) {
          const row = among[reverse ? i : among.length - 1 - i]!
          const isLater = last === undefined || (reverse ? row.number > last : row.number < last)
          if (isLater && matching(row)) found.push(row.execution)
        }
        return found
      }),
    count: (filter) => Effect.sync(() => candidates(filter).filter(matches(filter)).length),
    running: Effect.sync(() => inOrder.flatMap(({ execution: { arn, status } }) => (status === "RUNNING" ? [arn] : [])))
  }
})

/** Keeps everything in this process's memory, and loses it with the process. */
export const layerMemory: Layer.Layer<ExecutionStore> = Layer.effect(ExecutionStore, make)
