/**
 * Durable operations: everything a workflow's body is made of.
 */
import * as Schedule from "effect/Schedule"
import { defaultPolicy } from "./internal/retry.ts"

export { CurrentExecution } from "./CurrentExecution.ts"
export { childContext, type ChildContext, type ChildContextOptions } from "./operations/childContext.ts"
export { CurrentStep, type Retry, type Semantics, step, type Step, type StepInput, type StepOptions } from "./operations/step.ts"
export { wait, waitUntil } from "./operations/wait.ts"
export { text } from "./Serdes.ts"
export type { Requires, StepServices } from "./StepServices.ts"

/**
 * How a step is retried when it says nothing else, as AWS's SDKs do: 6 attempts, 5 s before the second, twice
 * as long before each further one, 60 s at most, with full jitter (a random part of the delay).
 */
export const defaultRetry: Schedule.Schedule<unknown, unknown> = defaultPolicy

/** No retry: the first failure fails the step. */
export const noRetry: Schedule.Schedule<unknown, unknown> = Schedule.recurs(0)
