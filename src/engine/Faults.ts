/**
 * Breaks the engine on purpose: what a test provides to see what becomes of a workflow when a response is
 * lost, a token is stale, the service is busy, or the process dies between two checkpoints.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/**
 * One thing that goes wrong.
 *
 * - `DropResponse`: the request is carried out, but its answer never arrives (a network error).
 * - `StaleToken`, `Throttle`, `ServerError`: refused without being carried out (400, 429, 500).
 * - `CrashBefore`, `CrashAfter`: the runtime exits before, or right after, the request is carried out.
 */
export type Fault = "DropResponse" | "StaleToken" | "Throttle" | "ServerError" | "CrashBefore" | "CrashAfter"

/** The call that is about to be carried out. */
export interface Call {
  readonly operation: "CheckpointDurableExecution" | "GetDurableExecutionState"
  readonly arn: string
  /** The number of the invocation, from 1. */
  readonly invocation: number
  /** The number of this call among those of the execution, from 1, refused ones and retries included. */
  readonly call: number
  /** Updates in the request; 0 for a poll and for GetDurableExecutionState. */
  readonly updates: number
}

/** Decides for every call whether something goes wrong with it. The default lets all of them pass. */
export const Faults = Context.Reference<(call: Call) => Effect.Effect<Fault | undefined>>(
  "effect-durable-lambda/engine/Faults",
  { defaultValue: () => () => Effect.succeed(undefined) }
)
