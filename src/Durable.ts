/**
 * Durable operations: everything a workflow's body is made of.
 */
export { CurrentExecution } from "./CurrentExecution.ts"
export { childContext, type ChildContext, type ChildContextOptions } from "./operations/childContext.ts"
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
export { text } from "./Serdes.ts"
export type { Requires, StepServices } from "./StepServices.ts"

export { defaultRetry, noRetry } from "./internal/retries.ts"
