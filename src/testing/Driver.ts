/**
 * What a test runner does, wherever its executions run.
 */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as DurableFunction from "../DurableFunction.ts"
import type * as DurableHandler from "../DurableHandler.ts"
import type * as History from "../History.ts"
import type * as Protocol from "../Protocol.ts"
import type { InvokeTarget } from "../operations/invoke.ts"
import type * as Schema from "effect/Schema"
import type { Written } from "./answers.ts"

/** Options of a run. */
export interface Options extends DurableHandler.RunOptions {
  /** Name of the execution. Default: random. */
  readonly executionName?: string | undefined
  /** The function's execution timeout. Default: none. In memory only: a deployed function has its own. */
  readonly executionTimeout?: Duration.Input | undefined
  /**
   * The function's timeout: how long one invocation may take, in whole seconds. Default: none, so that skipped time runs
   * into no deadline. In memory only.
   */
  readonly functionTimeout?: Duration.Input | undefined
}

/** A callback that has come to exist. */
export interface OpenCallback {
  readonly callbackId: string
  readonly executionArn: string
  /** The how-manieth of its name in this execution, from 1. */
  readonly nth: number
}

/** How an execution has ended. */
export interface End {
  readonly DurableExecutionArn: string
  readonly Status: Protocol.AnyExecutionStatus
  readonly Result?: string | undefined
  readonly Error?: Protocol.ErrorObject | undefined
}

// any: requirements are those of the typed functions that call these
/** Runs executions for tests. Payloads and answers are text here. */
export interface Driver {
  readonly start: (
    definition: DurableFunction.Any,
    body: DurableHandler.AnyBody<any>,
    payload: unknown,
    options: Options
  ) => Effect.Effect<string, never, any>
  /** Waits for the end. */
  readonly end: (arn: string) => Effect.Effect<End>
  /**
   * Completes when nothing will go on by itself any more, for so many milliseconds of real time (default 100); never
   * where nobody can know.
   */
  readonly standstill: (forMillis?: number) => Effect.Effect<void>
  /** Gives failures that were read from records the stacks of their originals; absent where those are not known. */
  readonly restore?: ((arn: string, cause: Cause.Cause<unknown>) => void) | undefined
  readonly status: (arn: string) => Effect.Effect<Protocol.AnyExecutionStatus>
  readonly operations: (arn: string) => Effect.Effect<ReadonlyArray<Protocol.Operation>>
  readonly history: (arn: string) => Effect.Effect<ReadonlyArray<History.Event>>
  /** How often a step of this name was run, on record or not; absent where only the history tells. */
  readonly runs: ((arn: string, name: string) => Effect.Effect<number>) | undefined
  /** Waits for an open callback of this name that nobody was given yet. Time stands still until it is answered. */
  readonly callback: (arn: string, name: string) => Effect.Effect<OpenCallback>
  readonly answer: (callbackId: string, written: Written) => Effect.Effect<void>
  readonly heartbeat: (callbackId: string) => Effect.Effect<void>
  readonly stop: (arn: string, error: Protocol.ErrorObject) => Effect.Effect<void>
  readonly onCallback: (
    name: string,
    answer: (callback: OpenCallback) => Effect.Effect<Written, never, any>
  ) => Effect.Effect<void, never, any>
  readonly onInvoke: (
    functionName: string,
    target: Target,
    answer: (payload: unknown) => Effect.Effect<unknown, unknown, any>
  ) => Effect.Effect<void, never, any>
  readonly register: (
    functionName: string,
    definition: DurableFunction.Any,
    body: DurableHandler.AnyBody<any>,
    options: Options
  ) => Effect.Effect<void, never, any>
  readonly advance: (duration: Duration.Input) => Effect.Effect<void>
}

/** What a stand-in for a function is told of it: a definition, or the schemas of any function. */
export type Target = InvokeTarget<Schema.Constraint, Schema.Constraint, Schema.Constraint>
