/** What the two processes of the demo tell each other. */
import type { Protocol } from "effect-durable-lambda"

/** From the engine's process to the handler's. */
export type ToWorker =
  | { readonly _tag: "Invoke"; readonly event: unknown; readonly requestId: string; readonly remainingMillis: number }
  | { readonly _tag: "Answer"; readonly call: number; readonly response: unknown }
  /** As AWS's client throws it. */
  | { readonly _tag: "Refusal"; readonly call: number; readonly error: unknown }

/** From the handler's process to the engine's. */
export type FromWorker =
  | { readonly _tag: "Checkpoint"; readonly call: number; readonly request: Protocol.CheckpointRequest }
  | { readonly _tag: "GetState"; readonly call: number; readonly request: Protocol.ExecutionStateRequest }
  /** The invocation's answer, or what the handler threw. */
  | { readonly _tag: "Answered"; readonly output: unknown }
  | { readonly _tag: "Threw"; readonly name: string; readonly message: string }
  /** The body of a step begins to run. */
  | { readonly _tag: "Ran"; readonly step: string }
  /** A line that the workflow logged. */
  | { readonly _tag: "Logged"; readonly message: string }
