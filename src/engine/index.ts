/**
 * The local engine: what runs when there is no AWS.
 */
export * as Engine from "./Engine.ts"
export * as ExecutionStore from "./ExecutionStore.ts"
export * as Faults from "./Faults.ts"
export * as Timers from "./Timers.ts"
