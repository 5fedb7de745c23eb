/**
 * Durable operations: everything a workflow's body is made of.
 */
export { CurrentExecution } from "./CurrentExecution.ts"
export { callback, type Callback, type CallbackOptions } from "./operations/callback.ts"
export { childContext, type ChildContext, type ChildContextOptions } from "./operations/childContext.ts"
export { invoke, type InvokeOptions, type InvokeTarget } from "./operations/invoke.ts"
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
