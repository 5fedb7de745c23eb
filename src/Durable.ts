/**
 * Durable operations: everything a workflow's body is made of.
 */
export type { BatchItem, BatchResult, CompletionReason } from "./BatchResult.ts"
export { CurrentExecution } from "./CurrentExecution.ts"
export type {
  BatchOptions,
  Completion,
  CompletionDecision,
  CompletionIn,
  CompletionProgress,
  ResultCodecIn
} from "./operations/batchOptions.ts"
export { callback, type Callback, type CallbackOptions } from "./operations/callback.ts"
export { added, retired } from "./operations/changes.ts"
export { childContext, type ChildContext, type ChildContextOptions } from "./operations/childContext.ts"
export { acquireRelease, addFinalizer, scoped, withCompensation } from "./operations/cleanup.ts"
export { invoke, type InvokeOptions, type InvokeTarget } from "./operations/invoke.ts"
export { type Batch, map, type MapOptions } from "./operations/map.ts"
export {
  branch,
  type Branch,
  type Branches,
  type BranchOptions,
  parallel,
  type ParallelOptions,
  type ParallelResult
} from "./operations/parallel.ts"
export {
  CurrentStep,
  type Retry,
  type Semantics,
  step,
  type Step,
  type StepInput,
  type StepOptions
} from "./operations/step.ts"
export { wait, waitUntil } from "./operations/wait.ts"
export { waitForCallback, type WaitForCallbackOptions } from "./operations/waitForCallback.ts"
export { waitForCondition, type WaitForConditionOptions } from "./operations/waitForCondition.ts"
export { text } from "./Serdes.ts"
export type { Requires, StepServices } from "./StepServices.ts"

export { defaultPolling, defaultRetry, noRetry } from "./internal/retries.ts"
