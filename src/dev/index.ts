/**
 * For development on one's own machine, on Node.js.
 */
export * as Functions from "./Functions.ts"
export * as HttpExecutor from "./HttpExecutor.ts"
export { renderHistory } from "./renderHistory.ts"
export * as Server from "./Server.ts"
