/**
 * What observers of workflows implement and are told, and what the core and the handler see of them.
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { Checkpoints } from "../CheckpointService.ts"
import type * as Protocol from "../Protocol.ts"

// ---- what hooks are told -------------------------------------------------------------------------------------

/** What every hook is told. */
export interface InvocationBase {
  readonly executionArn: string
  /** Of this invocation. */
  readonly requestId: string
}

/** An operation, as it is on record. Timestamps are epoch milliseconds. */
export interface OperationInfo extends InvocationBase {
  /** The wire's id, the same in every invocation. */
  readonly id: string
  readonly name: string | undefined
  readonly type: Protocol.OperationType
  readonly subType: string | undefined
  /** Of the context it stands in; absent at the top. */
  readonly parentId: string | undefined
  readonly status: Protocol.OperationStatus
  readonly startTimestamp: number | undefined
  readonly endTimestamp: number | undefined
  /** The payload's text, as it is on record. */
  readonly result: string | undefined
  readonly error: Protocol.ErrorObject | undefined
  /** Of a step: the attempt that runs, or else the last one, from 1. */
  readonly attempt: number | undefined
  /** An earlier invocation was told the same. */
  readonly isReplay: boolean
}

/** Operations by id. A live view: it is read when it is asked, and costs nothing before. */
export type Operations = ReadonlyMap<string, OperationInfo>

/** An invocation that begins. */
export interface InvocationInfo extends InvocationBase {
  readonly isFirstInvocation: boolean
  /** The input's text. */
  readonly executionInput: string | undefined
  /** The same in every invocation, epoch milliseconds. */
  readonly executionStartTimestamp: number | undefined
  /** All operations on record. */
  readonly operations: Operations
  /** Those that changed since the last invocation, if the service tells. */
  readonly updatedOperations: Operations
}

/** An invocation that has its answer. */
export interface InvocationEndInfo extends InvocationInfo {
  /** `PENDING`: it suspends. `RETRYING`: it throws, and Lambda invokes again. */
  readonly status: "SUCCEEDED" | "FAILED" | "PENDING" | "RETRYING"
  /** The result's text. */
  readonly executionResult: string | undefined
  readonly executionError: Protocol.ErrorObject | undefined
}

/** What the service has answered to a checkpoint. */
export interface OperationChangeInfo extends InvocationBase {
  readonly updatedOperations: Operations
  /** All operations on record. */
  readonly operations: Operations
}

/** A checkpoint that was answered, or failed for good. Reading further pages and sending again are part of it. */
export interface CheckpointInfo extends InvocationBase {
  /** How many updates it carried; 0 asks for news. */
  readonly updates: number
  readonly durationMillis: number
  /** What it failed with. The invocation cannot go on then. */
  readonly failure: string | undefined
}

/** An attempt of a step that begins. `startTimestamp` is its own. */
export interface AttemptInfo extends OperationInfo {
  readonly attempt: number
}

/** `INTERRUPTED`: a race was lost, a time-out struck, or the invocation ended. */
export type Outcome = "SUCCEEDED" | "FAILED" | "INTERRUPTED"

/** An attempt that has ended. Both timestamps are its own. */
export interface AttemptEndInfo extends AttemptInfo {
  readonly outcome: Outcome
  readonly endTimestamp: number
}

/** The body of a context that begins to run. */
export interface ContextInfo extends OperationInfo {
  /** It runs again, over recorded operations. */
  readonly isReplayingChildren: boolean
}

/** The body of a context that no longer runs. `INTERRUPTED` when its invocation suspends, too. */
export interface ContextEndInfo extends ContextInfo {
  readonly outcome: Outcome
}

/** The log line that fields are asked for. */
export interface LogLineInfo extends InvocationBase {
  readonly operationId: string | undefined
  readonly operationName: string | undefined
  readonly attempt: number | undefined
  readonly parentId: string | undefined
}

export type Hook<Info> = ((info: Info) => Effect.Effect<unknown>) | undefined
export type Around<Info> = (<A, E, R>(info: Info, effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) | undefined

/** What an observer may implement. All of it is optional. */
export interface Hooks {
  /** For warnings about the plugin. Default: `plugin`. */
  readonly name?: string | undefined
  /**
   * How long a hook may take; also how long the end of an invocation waits for hooks that have not run yet. What
   * takes longer is interrupted, with a warning. Default: 1 second.
   */
  readonly timeout?: Duration.Input | undefined
  /** Before anything of the invocation runs. It is waited for. */
  readonly onInvocationStart?: Hook<InvocationInfo>
  /** The answer is decided, and everything is on record. It is waited for: the place to flush. */
  readonly onInvocationEnd?: Hook<InvocationEndInfo>
  /** Once live, and once at the beginning of each later invocation that finds it unfinished (`isReplay`). */
  readonly onOperationStart?: Hook<OperationInfo>
  /** It has its outcome. Once, also for what ended between two invocations. */
  readonly onOperationEnd?: Hook<OperationInfo>
  /** After each answer of the service that changed something. */
  readonly onOperationChange?: Hook<OperationChangeInfo>
  /** A request to the service has ended. */
  readonly onCheckpoint?: Hook<CheckpointInfo>
  readonly onAttemptStart?: Hook<AttemptInfo>
  readonly onAttemptEnd?: Hook<AttemptEndInfo>
  /**
   * The body of a child context, branch or item begins to run: again in every invocation that has to enter it. One
   * without a record of its own (virtual, flat) is not told.
   */
  readonly onContextStart?: Hook<ContextInfo>
  readonly onContextEnd?: Hook<ContextEndInfo>
  /** Around the invocation, between its two hooks. */
  readonly aroundInvocation?: Around<InvocationInfo>
  /** Around each run of a context's body. */
  readonly aroundContext?: Around<ContextInfo>
  /** Around each attempt of a step. */
  readonly aroundAttempt?: Around<AttemptInfo>
  /** Fields for a line that `DurableLogger` writes. */
  readonly logFields?: ((info: LogLineInfo) => Readonly<Record<string, unknown>> | undefined) | undefined
  /**
   * For the library's own tracer. It runs in the body, where nothing keeps it from doing harm.
   *
   * @internal
   */
  readonly inBody?:
    | {
        readonly asked: (info: InvocationBase, op: Observed, fiber: Fiber.Fiber<unknown, unknown>) => void
        readonly virtual: <A, E, R>(
          info: InvocationBase,
          op: Observed,
          body: Effect.Effect<A, E, R>
        ) => Effect.Effect<A, E, R>
      }
    | undefined
}

// ---- what the core and the handler see of them -------------------------------------------------------------------

/** What is known of an invocation when it begins. */
export interface Invocation extends InvocationBase {
  readonly isFirstInvocation: boolean
  readonly execution: Protocol.Operation
  readonly updatedOperationIds: ReadonlyArray<string>
  readonly remainingTime: Effect.Effect<Duration.Duration>
}

/** An operation as the core has it. */
export interface Observed {
  readonly id: string
  readonly spec: { readonly type: Protocol.OperationType; readonly subType: string; readonly name: string }
  readonly place: { readonly parentId: string | undefined }
  readonly record: Protocol.Operation | undefined
}

/** How an attempt ends. */
export type AttemptEnding = Pick<Protocol.OperationUpdate, "Action" | "Payload" | "Error">

/** An attempt that is about to run. */
interface AttemptRun {
  readonly effect: Effect.Effect<unknown, unknown, any>
  readonly ending: (exit: Exit.Exit<unknown, unknown>) => AttemptEnding | Effect.Effect<AttemptEnding, unknown>
}

/** Told by the core and the logger, in the few places where the wire does not tell. */
export interface Observer {
  /** An attempt begins. An interrupted one does not: an earlier invocation began it, and now it is over. */
  readonly attempt: <Run extends AttemptRun>(
    op: Observed,
    attempt: { readonly number: number; readonly interrupted: boolean },
    run: Run
  ) => Run
  /** A context begins, before its START is queued: what happens in it comes after it. */
  readonly begin: (op: Observed) => void
  /** The body of a context is about to run. */
  readonly context: <A, E, R>(
    op: Observed,
    isReplayingChildren: boolean,
    body: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, E, R>
  readonly logFields: (line: Omit<LogLineInfo, keyof InvocationBase>) => Readonly<Record<string, unknown>>
  /** A fiber of the body asks for an operation, in every invocation that gets there. */
  readonly asked: (op: Observed, fiber: Fiber.Fiber<unknown, unknown>) => void
  /** A context that has no record of its own is about to run, in the fiber that asks for it. */
  readonly virtual: <A, E, R>(op: Observed, body: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/** Runs an invocation under the eyes of all plugins. */
export type Observe = <E, R>(
  plugins: ReadonlyArray<{ readonly hooks: Hooks }>,
  invocation: Invocation,
  checkpoints: Checkpoints,
  run: (checkpoints: Checkpoints, observer: Observer) => Effect.Effect<Protocol.InvocationOutput, E, R>
) => Effect.Effect<Protocol.InvocationOutput, E, R>
